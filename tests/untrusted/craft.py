"""Pickles made by hand: opcodes as bytes, so that the tests can write what no pickler would."""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3 = b")", b"\x85", b"\x86", b"\x87"
REDUCE, BUILD, STOP, MARK, NONE = b"R", b"b", b".", b"(", b"N"


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def data(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def number(value: int) -> bytes:
    body = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(body)]) + body


def named(name: str) -> bytes:
    """A global, as protocol 0 writes it."""
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def stacked(module: str, name: str) -> bytes:
    """A global, as protocol 4 writes it; the name may have dots."""
    return text(module) + text(name) + b"\x93"


def call(function: bytes, *args: bytes) -> bytes:
    return function + MARK + b"".join(args) + b"t" + REDUCE


def sequence(*items: bytes) -> bytes:
    return MARK + b"".join(items) + b"t"


def whole(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + STOP


def inner(value: Any) -> bytes:
    """The opcodes of Python's own pickle of a value, to be put into another one."""
    return pickletools.optimize(pickle.dumps(value, 2))[2:-1]


def torch_zip(path: Path, pickled: bytes, storages: dict[str, bytes], **extra: bytes) -> Path:
    """torch's zip container around a pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, content in {"byteorder": b"little", "version": b"3\n", **extra}.items():
            archive.writestr(f"archive/{name}", content)
        for name, content in storages.items():
            archive.writestr(f"archive/data/{name}", content)
    return path


def persistent(dtype: str, key: str, count: bytes) -> bytes:
    """A storage's persistent id."""
    return sequence(text("storage"), named(f"torch.{dtype}Storage"), text(key), text("cpu"), count) + b"Q"


def tensor(
    storage: bytes, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0, rebuild: str = "_rebuild_tensor_v2"
) -> bytes:
    """A tensor on a storage."""
    sizes, strides = (sequence(*map(number, values)) for values in (size, stride))
    hooks = call(named("collections.OrderedDict"))
    return call(named(f"torch._utils.{rebuild}"), storage, number(offset), sizes, strides, b"\x89", hooks)


def legacy(pickled: bytes, keys: list[str], storages: bytes) -> bytes:
    """torch's older file around a pickle."""
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    facts = pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {}}, 2)
    return magic + pickle.dumps(1001, 2) + facts + pickled + pickle.dumps(keys, 2) + storages


def legacy_storage(values: np.ndarray, pickled_storage: bytes | None = None) -> bytes:
    """What ``torch.save`` writes for a float storage; the pickle in it may be another one."""
    storage = pickled_storage or whole(persistent("Float", "0", number(values.size)))
    return legacy(storage, ["0"], struct.pack("<q", values.size) + values.astype("<f4").tobytes())


def npz(path: Path, name: str, header: bytes, content: bytes = b"") -> Path:
    """A .npz with one array whose header is given as it is."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        block = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
        archive.writestr(f"{name}.npy", block + content)
    return path


def dumps_torch(value: Any, zipped: bool) -> bytes:
    import torch

    target = io.BytesIO()
    torch.save(value, target, _use_new_zipfile_serialization=zipped)
    return target.getvalue()
