"""Which GPUs a compiled library has kernels for.

A kernel is in the library as machine code, which runs on GPUs of the same major compute capability and at least the
same minor one, and as PTX where the build asked for it, which the driver compiles for any later GPU.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch


def built_for(library: Path) -> tuple[str, ...]:
    """The architectures of a loaded library's CUDA kernels, as ``"8.0"`` or ``"9.0+PTX"``.

    Empty if it has none, or was built before it was written down.
    """
    read = getattr(ctypes.CDLL(str(library)), "stylerig_cuda_architectures", None)
    if read is None:
        return ()
    read.restype = ctypes.c_char_p
    return tuple(read().decode().split(",")) if read() else ()


def runs_on(architectures: tuple[str, ...], capability: tuple[int, int]) -> bool:
    """Whether kernels built for ``architectures`` run on a GPU of this compute capability."""
    for entry in architectures:
        number = entry.removesuffix("+PTX")
        # Code with a letter, as in 9.0a, uses what only that one architecture has.
        specific = not number[-1].isdigit()
        major, minor = (int(part) for part in number.rstrip("af").split("."))
        if capability == (major, minor):
            return True
        if not specific and capability[0] == major and capability[1] > minor:
            return True
        if not specific and entry.endswith("+PTX") and capability > (major, minor):
            return True
    return False


def refusal(architectures: tuple[str, ...], index: int) -> str:
    """Why the kernels do not run on CUDA device ``index``, and what to do; empty if they do, or nothing is known."""
    capability = torch.cuda.get_device_capability(index)
    if not architectures or runs_on(architectures, capability):
        return ""
    wanted = "{}.{}".format(*capability)
    return (
        f"{torch.cuda.get_device_name(index)} has compute capability {wanted}, and the library was built for "
        f"{', '.join(architectures)}. With an nvcc that knows {wanted} on the machine, `TORCH_CUDA_ARCH_LIST={wanted} "
        "pip install --no-build-isolation --force-reinstall --no-deps stylerig-fast` builds it for this GPU"
    )
