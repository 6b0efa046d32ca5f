"""The stage ``build``: compiled operations that load here and answer rightly; compiled here if none do."""

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

from .task import Task, parser, task


def candidates(carried: Path | None, library: Path) -> list[tuple[str, bool]]:
    """What to try before compiling: a name for people, and whether it lies in ``library`` (else it is installed)."""
    found = []
    if carried is not None and carried.is_file():
        library.write_bytes(lzma.decompress(carried.read_bytes()))
        found.append(("the carried library", True))
    if _library.library().path is not None and not os.environ.get("STYLERIG_KERNELS"):
        found.append(("the installed library", False))
    return found


def answers(work: Task, library: Path | None) -> bool:
    """Whether the library loads in a fresh process and its kernels answer like the plain operations."""
    environment = {name: value for name, value in os.environ.items() if name != "STYLERIG_KERNELS"}
    if library is not None:
        environment["STYLERIG_KERNELS"] = str(library)
    command = [sys.executable, "-m", f"{__package__}.kernels", "--device", work.device.type, "--smoke"]
    return subprocess.run(command, env=environment, check=False).returncode == 0


def compile_here(work: Task, csrc: Path, library: Path) -> None:
    """Compiles for this GPU alone.

    Raises:
        RuntimeError: a compiler is missing, or failed.
    """
    if problem := _recipe.why_not_buildable():
        raise RuntimeError(problem)
    if work.cuda:
        os.environ["STYLERIG_BUILD_CUDA"] = "1"
        os.environ["TORCH_CUDA_ARCH_LIST"] = "{}.{}".format(*torch.cuda.get_device_capability(work.device))
    plan = _recipe.make_plan(csrc, cuda=None if work.cuda else False)
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
    words = parser(__doc__)
    words.add_argument("--library", type=Path, required=True, help="where to put a library that is not installed")
    words.add_argument("--csrc", type=Path, required=True, help="the sources")
    words.add_argument("--carried", type=Path, help="a compiled library, packed with xz")
    words.add_argument("--outdated", action="store_true", help="the carried library is not of these sources")
    words.add_argument("--generators", type=Path, help="also make tiny generators in this folder")
    work = task(words.parse_args())
    options, start = work.words, time.monotonic()
    if options.generators is not None and not options.generators.is_dir():
        small_generators(options.generators)
    found: dict[str, Any] = {"refused": []}
    if options.outdated:
        print("the kit was packed before csrc changed: its library is left aside", flush=True)
    for name, is_file in candidates(options.carried, options.library):
        if answers(work, options.library if is_file else None):
            found["library"] = name
            break
        found["refused"].append(name)
        print(f"{name} does not serve here", flush=True)
    else:
        compile_here(work, options.csrc, options.library)
        found["library"] = "compiled here"
        if not answers(work, options.library):
            options.library.unlink()
            raise SystemExit("what was compiled here does not answer rightly")
    if found["library"] == "the installed library":
        options.library.unlink(missing_ok=True)
    found["seconds"] = round(time.monotonic() - start, 1)
    work.save(found)
    print(f"{found['library']} works here; {found['seconds']} s")


if __name__ == "__main__":
    main()
