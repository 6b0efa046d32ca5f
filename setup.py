"""Packages, and the compiled operations, which are built ahead of time where that is possible.

Environment:
    STYLERIG_BUILD_CUDA: 0 never, 1 always, auto (default) if nvcc is found and the installed torch is a CUDA build (a
        torch without CUDA could never call the kernels). Whether a GPU is visible does not matter.
    STYLERIG_BUILD_OPS: 0 installs the Python code and the sources only.
    TORCH_CUDA_ARCH_LIST: CUDA architectures in torch's notation, by default "7.5;8.0;9.0+PTX".
    MAX_JOBS: compilers at a time; by default one per core, with 2 GB of free memory for each.
    CXX, CXXFLAGS, LDFLAGS, CUDA_HOME: as usual.

Without torch, a compiler or ninja nothing is compiled, and a notice says so: then the sources inside the package are
built on first use if that is possible by then, and else the plain-torch path runs.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
KERNELS = "stylerig_fast.ops._kernels"


def load_recipe() -> ModuleType:
    """The build recipe, which the build on first use shares; loaded without importing the package."""
    spec = importlib.util.spec_from_file_location("stylerig_recipe", ROOT / "stylerig_fast" / "ops" / "_recipe.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


class BuildKernels(build_ext):
    """Builds one plain shared library with ninja. It is no Python module: torch loads it."""

    def get_ext_filename(self, fullname: str) -> str:
        return fullname.replace(".", "/") + ".so"

    def build_extension(self, ext: Any) -> None:
        recipe = load_recipe()
        plan = recipe.make_plan(ROOT / "csrc")
        print(f"stylerig_fast: {plan.describe()}", file=sys.stderr)
        recipe.build(plan, Path(self.build_temp).resolve() / "kernels", Path(self.get_ext_fullpath(ext.name)).resolve())


class BuildPyWithSources(build_py):
    """Puts the C++ and CUDA sources inside the package, for the build on first use."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self.copy_tree(str(ROOT / "csrc"), str(Path(self.build_lib) / "stylerig_fast" / "csrc"))


class PlatformWheel(bdist_wheel):
    """The library does not depend on Python: one wheel per platform serves every version."""

    def get_tag(self) -> tuple[str, str, str]:
        _, _, system = super().get_tag()
        return "py3", "none", system


def kernels() -> list[Extension]:
    """The extension to build; none, with a visible notice, if something for it is missing."""
    problem = load_recipe().why_not_buildable()
    if problem:
        print(f"\nstylerig_fast: installing without compiled operations: {problem}\n", file=sys.stderr)
        return []
    return [Extension(KERNELS, sources=[])]


def packages() -> dict[str, str]:
    """Package names and where they are; export/ and benchmarks/ are installed inside the package."""
    found = {name: name.replace(".", "/") for name in find_packages(include=["stylerig_fast*"])}
    for folder in ("export", "benchmarks"):
        if (ROOT / folder / "__init__.py").is_file():
            inner = [folder, *(f"{folder}.{name}" for name in find_packages(folder))]
            found.update({f"stylerig_fast.{name}": name.replace(".", "/") for name in inner})
    return found


def main() -> None:
    """Declares the packages and the compiled operations."""
    where = packages()
    setup(
        packages=list(where),
        package_dir=where,
        ext_modules=kernels(),
        cmdclass={"build_ext": BuildKernels, "build_py": BuildPyWithSources, "bdist_wheel": PlatformWheel},
    )


# Also when a build backend executes this file, whose __name__ is then __main__ too.
if __name__ == "__main__":
    main()
