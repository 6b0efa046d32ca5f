"""torch's older files: five pickles one after the other, then the storages' bytes.

The pickles are a magic number, the version, facts about the machine that wrote the file, the object, and the list of
storage keys; each storage follows as its number of elements (int64) and its bytes. Storages inside another pickle,
as NVlabs' checkpoints have them, are whole files of this kind.
"""

from __future__ import annotations

import struct
from typing import Any

from stylerig_fast.errors import CheckpointError
from stylerig_fast.untrusted.allowlist import AllowList
from stylerig_fast.untrusted.opcodes import unpickle
from stylerig_fast.untrusted.pickle_vm import shown
from stylerig_fast.untrusted.tensors import item_size, storage_type
from stylerig_fast.untrusted.values import Storage

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
START = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little")  # how the magic number's pickle begins


class TorchLegacy:
    """One file.

    Args:
        data: the bytes from the magic number on.
        allow: what its globals mean.
    """

    def __init__(self, data: memoryview, allow: AllowList) -> None:
        self._data, self._allow, self._position = data, allow, 0
        self._storages: dict[str, Storage] = {}

    def read(self) -> Any:
        """The object, its storages filled with bytes."""
        if self._pickle() != MAGIC or self._pickle() != VERSION:
            raise CheckpointError("is no torch file of the older kind, or of an unknown version")
        self._pickle()  # the machine's facts: sizes of C types, and the byte order, which is little in every such file
        value = self._pickle(self._persistent)
        keys = self._pickle()
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise CheckpointError("the list of storages is damaged")
        for key in keys:
            self._fill(key)
        if self._position != len(self._data):
            raise CheckpointError("goes on after its last storage; the file is damaged")
        return value

    def _pickle(self, persistent: Any = None) -> Any:
        value, self._position = unpickle(self._data, self._allow, persistent, self._position)
        return value

    def _persistent(self, key: Any) -> Storage:
        if not isinstance(key, tuple) or len(key) < 5 or key[0] != "storage":
            raise CheckpointError(
                "refuses a persistent id that is no storage; old torch files of whole modules have them"
            )
        dtype, name, count = storage_type(key[1]), key[2], key[4]
        if len(key) > 5 and key[5] is not None:
            raise CheckpointError("has storages that are views of others, as torch 0.4 and older wrote; save it anew")
        if not isinstance(name, str) or type(count) is not int or count < 0:
            raise CheckpointError("a tensor refers to its bytes in an unknown way; the file is damaged")
        return self._storages.setdefault(name, Storage(dtype, count, None, f"the storage {shown(name, 40)!r}"))

    def _fill(self, key: str) -> None:
        storage = self._storages.get(key)
        if storage is None or storage.data is not None:
            raise CheckpointError(f"has the storage {shown(key, 40)!r} twice, or without a tensor; the file is damaged")
        header = self._take(8, key)
        if struct.unpack("<q", header)[0] != storage.count:
            raise CheckpointError(
                f"the storage {shown(key, 40)!r} has another size than announced; the file is damaged"
            )
        storage.data = self._take(storage.count * item_size(storage.dtype), key)

    def _take(self, count: int, key: str) -> memoryview:
        part = self._data[self._position : self._position + count]
        if len(part) != count:
            raise CheckpointError(
                f"the storage {shown(key, 40)!r} takes {count} bytes, of which {len(part)} are there; truncated"
            )
        self._position += count
        return part


def load_from_bytes(data: memoryview | bytes) -> Storage:
    """What ``torch.storage._load_from_bytes`` gives: a storage. The file inside may have no further one in it.

    Raises:
        CheckpointError: the bytes are no torch file of the older kind, or what is in it is no storage.
    """
    view = memoryview(data)
    if bytes(view[: len(START)]) != START:
        raise CheckpointError("torch.storage._load_from_bytes gets something else than torch's older file format")
    value = TorchLegacy(view, AllowList(None)).read()
    if not isinstance(value, Storage):
        raise CheckpointError("torch.storage._load_from_bytes gets a file that holds something else than a storage")
    return value
