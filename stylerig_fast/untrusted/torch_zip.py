"""torch's zip files: ``<name>/data.pkl``, and each storage's bytes in ``<name>/data/<key>``."""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import Any, BinaryIO

from stylerig_fast.errors import CheckpointError
from stylerig_fast.untrusted.pickle_vm import shown
from stylerig_fast.untrusted.tensors import storage_type
from stylerig_fast.untrusted.values import Storage

DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, ValueError, EOFError, RuntimeError)
MAX_ENTRIES = 100_000
MAX_PICKLE = 256 << 20
MAX_RATIO = 1000  # weights hardly compress; torch does not compress at all


class TorchZip:
    """An archive, checked before anything in it is unpacked. Nothing of it is ever written to disk.

    Args:
        file: open for reading.
        budget: bytes that everything in it may take unpacked.
    """

    def __init__(self, file: BinaryIO, budget: int) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
        except DAMAGE as error:
            raise CheckpointError(f"starts like a zip file and is none ({error}); it looks truncated") from error
        entries = self._zip.infolist()
        _check(entries, budget)
        self._entries = {entry.filename: entry for entry in entries}
        self.prefix = self._find_pickle()
        self._storages: dict[str, Storage] = {}
        self._check_byte_order()

    def pickle(self) -> bytes:
        """The pickle that describes the tensors."""
        return self._read(f"{self.prefix}data.pkl", MAX_PICKLE)

    def persistent(self, key: Any) -> Storage:
        """The storage of a persistent id: ``("storage", type, key, device, element count)``."""
        if not isinstance(key, tuple) or len(key) < 5 or key[0] != "storage" or not isinstance(key[2], str):
            raise CheckpointError("a tensor refers to its bytes in an unknown way; the file is damaged")
        dtype, name, count = storage_type(key[1]), key[2], key[4]
        if type(count) is not int or count < 0:
            raise CheckpointError(f"the storage {shown(name)!r} has no valid size; the file is damaged")
        if name not in self._storages:
            data = self._read(f"{self.prefix}data/{name}", None) if count else b""
            self._storages[name] = Storage(dtype, count, data, f"the storage {name!r}")
        stored = self._storages[name]
        if (stored.dtype, stored.count) != (dtype, count):
            # The same bytes under two types: allowed by torch for views, never written by a state_dict.
            return Storage(dtype, count, stored.data, stored.where)
        return stored

    def _find_pickle(self) -> str:
        if any(name.split("/", 1)[-1] == "constants.pkl" or "/code/" in name for name in self._entries):
            raise CheckpointError(
                "is a TorchScript archive: a program, not weights. Load it where it was made and save its state_dict"
            )
        found = [
            name[: -len("data.pkl")] for name in self._entries if name.count("/") <= 1 and name.endswith("data.pkl")
        ]
        found = [prefix for prefix in found if prefix == "" or prefix.endswith("/")]
        if len(found) != 1:
            raise CheckpointError(f"is a zip file with {len(found)} data.pkl in it; a torch checkpoint has one")
        return found[0]

    def _check_byte_order(self) -> None:
        name = f"{self.prefix}byteorder"
        if name in self._entries:
            order = self._read(name, 16)
            if order != b"little":
                raise CheckpointError(
                    f"has the byte order {order[:16]!r}; expected 'little'. Save it anew on a little-endian machine"
                )

    def _read(self, name: str, most: int | None) -> bytes:
        entry = self._entries.get(name)
        if entry is None:
            raise CheckpointError(f"lacks the entry {shown(name)!r}; the file is damaged")
        if most is not None and entry.file_size > most:
            raise CheckpointError(
                f"the entry {shown(name)!r} takes {entry.file_size} bytes, more than the {most} that are allowed"
            )
        try:
            with self._zip.open(entry) as source:
                # One more than announced, so that a stream that goes on shows.
                data = source.read(entry.file_size + 1)
        except DAMAGE as error:
            raise CheckpointError(
                f"the entry {shown(name)!r} cannot be unpacked ({error}); the file is damaged"
            ) from error
        if len(data) != entry.file_size:
            raise CheckpointError(
                f"the entry {shown(name)!r} has not the {entry.file_size} bytes it announces; it is damaged"
            )
        return data


def _check(entries: list[zipfile.ZipInfo], budget: int) -> None:
    if len(entries) > MAX_ENTRIES:
        raise CheckpointError(f"has {len(entries)} entries; expected at most {MAX_ENTRIES}")
    if len({entry.filename for entry in entries}) != len(entries):
        raise CheckpointError("has two entries of one name; which one counts would depend on the reader")
    for entry in entries:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CheckpointError(f"the entry {shown(entry.filename)!r} is packed by method {entry.compress_type}")
        if entry.flag_bits & 1:
            raise CheckpointError(f"the entry {shown(entry.filename)!r} is encrypted")
        if entry.file_size > MAX_RATIO * max(entry.compress_size, 1):
            raise CheckpointError(
                f"the entry {shown(entry.filename)!r} claims to unpack from {entry.compress_size} to {entry.file_size} "
                "bytes; that is a zip bomb"
            )
    total = sum(entry.file_size for entry in entries)
    if total > budget:
        raise CheckpointError(
            f"its entries take {total >> 20} MiB unpacked, more than the {budget >> 20} MiB, half of the memory limit, "
            "that are allowed; if it is that large, raise the limit: Limits(memory=...)"
        )
