"""The C++ half of the pretended device: compiling it, and loading it before torch looks for a GPU."""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("guard.cpp")
# What the library refers to, in the order of loading.
TORCH = ("libtorch_global_deps.so", "libc10.so", "libtorch_cpu.so")


def torch_folder() -> Path:
    """Where torch is installed; it is not imported."""
    found = importlib.util.find_spec("torch")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent


def build(compiler: str, library: Path) -> None:
    """Compiles the guard against the installed torch; raises AssertionError with what the compiler said."""
    torch = torch_folder()
    includes = [f"-I{torch / 'include'}", f"-I{torch / 'include/torch/csrc/api/include'}"]
    links = [f"-L{torch / 'lib'}", "-ltorch_cpu", "-lc10"]
    command = [compiler, "-shared", "-fPIC", "-std=c++20", *includes, str(SOURCE), "-o", str(library), *links]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def load(library: str) -> None:
    """Loads the guard.

    Raises:
        RuntimeError: torch is there already, and with it the decision that there is no GPU.
    """
    if "torch" in sys.modules:
        raise RuntimeError("the guard of the pretended device has to be loaded before torch is imported")
    for name in TORCH:
        ctypes.CDLL(str(torch_folder() / "lib" / name), mode=ctypes.RTLD_GLOBAL)
    ctypes.CDLL(library)
