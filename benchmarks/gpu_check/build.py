"""The stage ``build``: finds compiled operations that load here and give correct results, or compiles them here."""

from __future__ import annotations

import lzma
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from stylerig_fast.ops import _library, _recipe

from .task import CheckTask, argument_parser


def candidates(carried: Path | None, library: Path) -> list[tuple[str, bool]]:
    """Libraries to try before compiling: a name, and whether it is the file ``library`` (else it is installed)."""
    libraries = []
    if carried is not None and carried.is_file():
        library.write_bytes(lzma.decompress(carried.read_bytes()))
        libraries.append(("the carried library", True))
    if _library.library().path is not None and not os.environ.get("STYLERIG_KERNELS"):
        libraries.append(("the installed library", False))
    return libraries


def works(task: CheckTask, library: Path | None) -> bool:
    """Whether the library loads in a fresh process and its kernels agree with the plain operations."""
    environment = {name: value for name, value in os.environ.items() if name != "STYLERIG_KERNELS"}
    if library is not None:
        environment["STYLERIG_KERNELS"] = str(library)
    command = [sys.executable, "-m", f"{__package__}.kernels", "--device", task.device.type, "--smoke"]
    return subprocess.run(command, env=environment, check=False).returncode == 0


def compile_here(task: CheckTask, csrc: Path, library: Path) -> None:
    """Compiles the operations for this GPU only.

    Args:
        task: with the device.
        csrc: folder of the sources.
        library: file to write.

    Raises:
        RuntimeError: a compiler is missing, or fails.
    """
    if problem := _recipe.why_not_buildable():
        raise RuntimeError(problem)
    if task.cuda:
        os.environ["STYLERIG_BUILD_CUDA"] = "1"
        os.environ["TORCH_CUDA_ARCH_LIST"] = "{}.{}".format(*torch.cuda.get_device_capability(task.device))
    plan = _recipe.make_plan(csrc, cuda=None if task.cuda else False)
    print(plan.describe(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        _recipe.build(plan, Path(folder), library)


def small_generators(folder: Path) -> None:
    """Tiny generators for dry runs of the other stages."""
    from stylerig_fast.generators import MobileStyleGAN, StyleGAN2, save_generator

    torch.manual_seed(0)
    save_generator(folder / "mobilestylegan", MobileStyleGAN((8, 8, 8, 8), mapping_layers=1, name="small-mobile"))
    save_generator(folder / "stylegan2", StyleGAN2(channels=(8, 8, 8, 8), name="small-stylegan2"))


def main() -> None:
    """Loads or compiles the operations, looks at each kernel's answers and writes what it found."""
    parser = argument_parser(__doc__)
    parser.add_argument("--library", type=Path, required=True, help="where to put a library that is not installed")
    parser.add_argument("--csrc", type=Path, required=True, help="the sources")
    parser.add_argument("--carried", type=Path, help="a compiled library, packed with xz")
    parser.add_argument("--outdated", action="store_true", help="the carried library was compiled from other sources")
    parser.add_argument("--generators", type=Path, help="also make tiny generators in this folder")
    task = CheckTask.of(parser.parse_args())
    options, start = task.options, time.monotonic()
    if options.generators is not None and not options.generators.is_dir():
        small_generators(options.generators)
    results: dict[str, Any] = {"refused": []}
    if options.outdated:
        print("the kit was packed before csrc changed: its library is not used", flush=True)
    for name, is_file in candidates(options.carried, options.library):
        if works(task, options.library if is_file else None):
            results["library"] = name
            break
        results["refused"].append(name)
        print(f"{name} does not work here", flush=True)
    else:
        compile_here(task, options.csrc, options.library)
        results["library"] = "compiled here"
        if not works(task, options.library):
            options.library.unlink()
            raise SystemExit("what was compiled here gives wrong results")
    if results["library"] == "the installed library":
        options.library.unlink(missing_ok=True)
    results["seconds"] = round(time.monotonic() - start, 1)
    task.save(results)
    print(f"{results['library']} works here; {results['seconds']} s")


if __name__ == "__main__":
    main()
