"""Binary archives of the C++ library cereal, as eos writes them: numbers one after the other, nothing named.

Every length is checked against what the file still holds before anything is allocated.
Sources: cereal's ``archives/binary.hpp`` and ``types/*.hpp``, eos' ``morphablemodel/io/eigen_cerealisation.hpp``.
"""

from __future__ import annotations

import struct

import numpy as np

from stylerig_fast.errors import FaceModelError

MAX_TEXT = 1 << 12


class CerealArchive:
    """Reads a little-endian archive from its beginning.

    Args:
        content: the file.
        where: its name, for messages.
    """

    def __init__(self, content: bytes, where: str) -> None:
        self._content, self._position, self._where = memoryview(content), 0, where

    @property
    def left(self) -> int:
        """Bytes that have not been read."""
        return len(self._content) - self._position

    def take(self, count: int) -> memoryview:
        if not 0 <= count <= self.left:
            raise FaceModelError(
                f"{self._where}: wants {count} bytes at byte {self._position} and has {self.left}; the file is "
                "truncated, or of another format"
            )
        self._position += count
        return self._content[self._position - count : self._position]

    def number(self, code: str) -> int:
        """One integer; ``code`` as in `struct`: i, I, Q, B."""
        return int(struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0])

    def size(self, each: int) -> int:
        """A container's length, whose elements take at least ``each`` bytes."""
        count = self.number("Q")
        if count * each > self.left:
            raise FaceModelError(
                f"{self._where}: a list of {count} at byte {self._position - 8} does not fit in the {self.left} bytes "
                "that are left; the file is truncated, or of another format"
            )
        return count

    def flag(self) -> bool:
        value = self.number("B")
        if value > 1:
            raise FaceModelError(
                f"{self._where}: {value} at byte {self._position - 1} where a yes or no belongs; another format"
            )
        return bool(value)

    def text(self) -> str:
        length = self.size(1)
        if length > MAX_TEXT:
            raise FaceModelError(f"{self._where}: a name of {length} letters; the file is damaged")
        return bytes(self.take(length)).decode("utf-8", errors="replace")

    def matrix(self) -> np.ndarray:
        """An ``Eigen::Matrix<float>``: rows and columns as int32, then the numbers, columns first."""
        rows, columns = self.number("i"), self.number("i")
        if rows < 0 or columns < 0:
            raise FaceModelError(f"{self._where}: a matrix of {rows} x {columns}; it is of another format")
        raw = self.take(4 * rows * columns)
        return np.frombuffer(raw, "<f4").reshape((rows, columns), order="F")

    def array(self, dtype: str, width: int) -> np.ndarray:
        """A ``std::vector<std::array<..., width>>``: its length, then the numbers."""
        size = np.dtype(dtype).itemsize * width
        count = self.size(size)
        return np.frombuffer(self.take(size * count), dtype).reshape(count, width)
