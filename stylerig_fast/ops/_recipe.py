"""How the compiled operations are built: the one recipe of setup.py and of the build on first use.

Imports nothing of the package, so that setup.py can load it by its path.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# The kernels are registered through torch's ABI-stable interface as of 2.10: the library serves every later torch.
TORCH_TARGET = "0x020a000000000000"
# Turing (T4, RTX 20), Ampere and Ada (8.x), Hopper; later GPUs compile the PTX when they first load it.
DEFAULT_ARCHITECTURES = "7.5;8.0;9.0+PTX"
GIGABYTES_PER_JOB = 2.0

CXX_FLAGS = (
    "-std=c++17 -O3 -fPIC -fvisibility=hidden -Wall -Wextra -Wno-unknown-pragmas "
    # Edge functions of neighbouring triangles must be exact negatives: no fused multiply-add behind our back. Nobody
    # reads errno or floating-point exceptions, and reading them would keep loops from being vectorised.
    "-ffp-contract=off -fno-math-errno -fno-trapping-math"
).split()
NVCC_FLAGS = (
    "-std=c++17 -O3 -Xcompiler -fPIC,-fvisibility=hidden,-ffp-contract=off -diag-suppress 20012,20208"
).split()


@dataclass(frozen=True)
class BuildPlan:
    """What is compiled, and how.

    Attributes:
        sources: C++ and CUDA files.
        include_dirs: our own and torch's.
        torch_lib: the folder of torch's libraries.
        cxx: the C++ compiler.
        nvcc: the CUDA compiler, None to build without CUDA.
        architectures: CUDA architectures in torch's notation.
        jobs: compilers at a time.
    """

    sources: tuple[Path, ...]
    include_dirs: tuple[Path, ...]
    torch_lib: Path
    cxx: str
    nvcc: str | None
    architectures: str
    jobs: int

    def describe(self) -> str:
        """One line for people."""
        cuda = f"CUDA ({self.nvcc}, {self.architectures})" if self.nvcc else "no CUDA"
        return f"building {len(self.sources)} files with {self.cxx}, {cuda}, {self.jobs} at a time"


def find_compiler() -> str | None:
    """The C++ compiler: $CXX, or the first that is there."""
    wanted = os.environ.get("CXX")
    for name in [wanted] if wanted else ["c++", "g++", "clang++"]:
        if name and shutil.which(name.split()[0]):
            return name
    return None


def find_nvcc() -> str | None:
    """The CUDA compiler: of $CUDA_HOME, on the path, or in the usual place."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    candidates = [f"{home}/bin/nvcc"] if home else ["nvcc", "/usr/local/cuda/bin/nvcc"]
    return next((found for found in map(shutil.which, candidates) if found), None)


def find_ninja() -> str | None:
    """Ninja on the path, or of the Python package of that name."""
    beside = Path(sys.executable).parent / "ninja"
    return shutil.which("ninja") or (str(beside) if beside.exists() else None)


def why_not_buildable() -> str:
    """What is missing for a build; empty if nothing is."""
    if os.environ.get("STYLERIG_BUILD_OPS", "1") == "0":
        return "STYLERIG_BUILD_OPS=0"
    if platform.system() not in ("Linux", "Darwin"):
        return f"the build recipe knows Linux and macOS, not {platform.system()}"
    if importlib.util.find_spec("torch") is None:
        return "torch cannot be imported by the build; install torch first and use --no-build-isolation"
    if find_compiler() is None:
        return "no C++ compiler was found; install one (Debian, Ubuntu: apt-get install g++) or set CXX"
    if find_ninja() is None:
        return "ninja was not found; pip install ninja"
    return ""


def wants_cuda() -> str | None:
    """The nvcc to build with, or None; see STYLERIG_BUILD_CUDA in setup.py.

    Raises:
        RuntimeError: STYLERIG_BUILD_CUDA has an unknown value, or is 1 without an nvcc.
    """
    choice = os.environ.get("STYLERIG_BUILD_CUDA", "auto")
    if choice not in ("0", "1", "auto"):
        raise RuntimeError(f"STYLERIG_BUILD_CUDA={choice!r}: expected 0, 1 or auto")
    nvcc = None if choice == "0" else find_nvcc()
    if choice == "1" and nvcc is None:
        raise RuntimeError("STYLERIG_BUILD_CUDA=1, but there is no nvcc: put it on PATH or set CUDA_HOME")
    import torch

    # The library would build and load beside a torch without CUDA, but nothing could ever call its CUDA half.
    return nvcc if choice == "1" or torch.version.cuda is not None else None


def parallel_jobs() -> int:
    """Compilers at a time: $MAX_JOBS, or one per core as far as the free memory goes."""
    if os.environ.get("MAX_JOBS"):
        return max(1, int(os.environ["MAX_JOBS"]))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 1e6
    except (OSError, StopIteration):
        return cores
    return max(1, min(cores, int(free / GIGABYTES_PER_JOB)))


def make_plan(csrc: Path, cuda: bool | None = None) -> BuildPlan:
    """The plan for this machine; ``cuda`` False leaves CUDA out whatever the environment says.

    Raises:
        RuntimeError: there is no C++ compiler, or there are no sources in ``csrc``.
    """
    import torch

    root, csrc = Path(torch.__file__).parent, csrc.resolve()
    nvcc = None if cuda is False else wants_cuda()
    patterns = ["**/*_cpu.cpp", "registration.cpp", "architectures.cpp"] + (["**/*_cuda.cu"] if nvcc else [])
    sources = tuple(sorted(path for pattern in patterns for path in csrc.glob(pattern)))
    compiler = find_compiler()
    if compiler is None or not sources:
        raise RuntimeError(f"no C++ compiler, or no sources in {csrc}")
    return BuildPlan(
        sources=sources,
        include_dirs=(csrc, root / "include"),
        torch_lib=root / "lib",
        cxx=compiler,
        nvcc=nvcc,
        architectures=os.environ.get("TORCH_CUDA_ARCH_LIST") or DEFAULT_ARCHITECTURES,
        jobs=parallel_jobs(),
    )


def split_architectures(architectures: str) -> list[str]:
    """``"8.0;9.0+PTX"`` to its entries; torch's notation also separates them by spaces, and people do by commas."""
    return architectures.replace(";", " ").replace(",", " ").split()


def gencode_flags(architectures: str) -> list[str]:
    """``"8.0;9.0+PTX"`` to nvcc's flags."""
    flags = []
    for entry in split_architectures(architectures):
        number = entry.removesuffix("+PTX").replace(".", "")
        flags.append(f"-gencode=arch=compute_{number},code=sm_{number}")
        if entry.endswith("+PTX"):
            flags.append(f"-gencode=arch=compute_{number},code=compute_{number}")
    return flags


def ninja_file(plan: BuildPlan, output: Path) -> str:
    """The text of build.ninja."""
    includes = [f"-I{plan.include_dirs[0]}", *(f"-isystem {path}" for path in plan.include_dirs[1:])]
    shared = [*includes, f"-DTORCH_TARGET_VERSION={TORCH_TARGET}"]
    cxx = [*CXX_FLAGS, *shared, *os.environ.get("CXXFLAGS", "").split()]
    nvcc = [*NVCC_FLAGS, *gencode_flags(plan.architectures), *shared]
    if plan.nvcc:  # csrc/architectures.cpp writes it down
        cxx.append(f"-DSTYLERIG_CUDA_ARCHITECTURES={','.join(split_architectures(plan.architectures))}")
    # torch is always loaded first, so its libraries are found by their names; CUDA's symbols lie behind libtorch's.
    words = [f"-rpath,{plan.torch_lib}"] if platform.system() == "Darwin" else ["--no-as-needed"]
    libraries = ["-shared", f"-L{plan.torch_lib}"]
    libraries += [f"-Xlinker {w}" if plan.nvcc else f"-Wl,{w}" for w in words]  # nvcc knows where its own runtime is
    libraries += ["-ltorch", "-ltorch_cpu", "-lc10"] + (["-cudart static"] if plan.nvcc else [])
    lines = [
        "ninja_required_version = 1.5",
        "rule cxx",
        f"  command = {plan.cxx} -MMD -MF $out.d {' '.join(cxx)} -c $in -o $out",
        "  depfile = $out.d",
        "  deps = gcc",
        "rule nvcc",
        f"  command = {plan.nvcc} -MMD -MF $out.d {' '.join(nvcc)} -c $in -o $out",
        "  depfile = $out.d",
        "  deps = gcc",
        "rule link",
        f"  command = {plan.nvcc or plan.cxx} $in {' '.join(libraries)} {os.environ.get('LDFLAGS', '')} -o $out",
    ]
    objects = []
    for source in plan.sources:
        rule = "nvcc" if source.suffix == ".cu" else "cxx"
        lines.append(f"build {source.stem}.o: {rule} {escape(source)}")
        objects.append(f"{source.stem}.o")
    lines += [f"build {escape(output)}: link {' '.join(objects)}", f"default {escape(output)}", ""]
    return "\n".join(lines)


def escape(path: Path) -> str:
    """A path in ninja's notation."""
    return str(path).replace("$", "$$").replace(" ", "$ ").replace(":", "$:")


def build(plan: BuildPlan, folder: Path, output: Path) -> None:
    """Builds the library.

    Args:
        plan: what is compiled, and how.
        folder: for the object files; those that are up to date are taken from there.
        output: the library.

    Raises:
        RuntimeError: the compiler failed; its messages are in the error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    (folder / "build.ninja").write_text(ninja_file(plan, output.resolve()))
    command = [str(find_ninja()), "-C", str(folder), "-j", str(plan.jobs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"building the compiled operations failed:\n{done.stdout}{done.stderr}")
