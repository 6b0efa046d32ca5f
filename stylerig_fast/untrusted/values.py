"""What the pickle machine puts on its stack besides plain Python values: descriptions, never the things themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Global:
    """A module's attribute that a pickle names and that is on the allow-list. It stays a name."""

    name: str


@dataclass(eq=False)
class Instance:
    """An object of an allowed class: what it would have been made from."""

    kind: str
    name: str = ""
    args: tuple[Any, ...] = ()
    state: Any = None


@dataclass(eq=False)
class DType:
    """``numpy.dtype`` while it is being described: a pickle tells the byte order after the type."""

    dtype: np.dtype[Any]


@dataclass(eq=False)
class Array:
    """``numpy.ndarray`` while it is being described."""

    dtype: np.dtype[Any] | None = None
    shape: tuple[int, ...] = (0,)
    fortran: bool = False
    raw: bytes | memoryview | str = b""


@dataclass(eq=False)
class Storage:
    """A torch storage: ``count`` elements of one type whose bytes may come later in the file."""

    dtype: str
    count: int
    data: bytes | memoryview | None = None
    where: str = "a tensor"


@dataclass(eq=False)
class Tensor:
    """A strided view into a storage; numbers as the file has them, not checked yet."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str = field(default="")
