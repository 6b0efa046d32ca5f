"""Files that want more than being read. Each is written by a function; none of them is kept."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.untrusted.craft import (
    BUILD,
    EMPTY_TUPLE,
    MARK,
    NONE,
    REDUCE,
    TUPLE1,
    call,
    data,
    legacy,
    legacy_storage,
    named,
    number,
    persistent,
    sequence,
    stacked,
    tensor,
    text,
    torch_zip,
    whole,
)

ONES = np.ones(4, np.float32)


def _command(sentinel: Path) -> bytes:
    return text(f"touch '{sentinel}'")


def _source(sentinel: Path) -> str:
    return f"open({str(sentinel)!r}, 'w').close()"


def _persistent_object(sentinel: Path, **changes: bytes) -> bytes:
    meta = {
        "type": text("class"),
        "version": number(6),
        "module_src": text(_source(sentinel)),
        "class_name": text("Generator"),
        "state": b"}" + MARK + text("_parameters") + b"}" + b"u",
        **changes,
    }
    items = b"".join(text(key) + value for key, value in meta.items())
    return call(named("torch_utils.persistence._reconstruct_persistent_obj"), b"}" + MARK + items + b"u")


def _load_bytes(content: bytes) -> bytes:
    return call(named("torch.storage._load_from_bytes"), data(content))


# What executes something in an ordinary unpickler. Given the sentinel's path: the file's bytes.
EXECUTING: dict[str, Callable[[Path], bytes]] = {
    "os.system": lambda s: whole(call(named("os.system"), _command(s))),
    "posix.system": lambda s: whole(call(named("posix.system"), _command(s))),
    "protocol 0": lambda s: b"cos\nsystem\n(S'touch " + str(s).encode() + b"'\ntR.",
    "subprocess": lambda s: whole(call(named("subprocess.getoutput"), _command(s))),
    "eval": lambda s: whole(call(named("builtins.eval"), text(_source(s)))),
    "exec in Python 2": lambda s: whole(call(named("__builtin__.exec"), text(_source(s)))),
    "open": lambda s: whole(call(named("io.open"), text(str(s)), text("w"))),
    "INST": lambda s: b"(S'touch " + str(s).encode() + b"'\nios\nsystem\n.",
    "OBJ": lambda s: whole(MARK, named("os.system"), _command(s), b"o"),
    "NEWOBJ": lambda s: whole(named("subprocess.Popen"), _command(s), TUPLE1, b"\x81"),
    "NEWOBJ_EX": lambda s: whole(named("subprocess.Popen"), _command(s), TUPLE1, b"}", b"\x92"),
    "getattr": lambda s: whole(
        call(
            call(named("builtins.getattr"), call(named("builtins.__import__"), text("os")), text("system")), _command(s)
        )
    ),
    "attrgetter": lambda s: whole(
        call(call(call(named("operator.attrgetter"), text("system")), named("os.path")), _command(s))
    ),
    "methodcaller": lambda s: whole(call(named("operator.methodcaller"), text("system"), _command(s))),
    "partial": lambda s: whole(call(call(named("functools.partial"), named("os.system")), _command(s))),
    "dotted name": lambda s: whole(call(stacked("torch", "serialization.os.system"), _command(s))),
    "dotted name in the list": lambda s: whole(call(stacked("numpy", "dtype.__class__.__subclasses__"))),
    "dotted module": lambda s: whole(call(stacked("torch.serialization.os", "system"), _command(s))),
    "attribute of a function": lambda s: whole(
        call(stacked("torch._utils", "_rebuild_tensor_v2.__globals__.__getitem__"), text("os"))
    ),
    "storage.os": lambda s: whole(call(stacked("torch.storage", "io.open"), text(str(s)), text("w"))),
    "load": lambda s: whole(call(named("torch.load"), text(str(s)))),
    "numpy.load": lambda s: whole(call(named("numpy.load"), text(str(s)), NONE, b"\x88")),
    "numpy.save": lambda s: whole(call(named("numpy.save"), text(str(s)), number(1))),
    "nested pickle": lambda s: whole(call(named("pickle.loads"), data(whole(call(named("os.system"), _command(s)))))),
    "setstate": lambda s: whole(
        call(named("torch.Size"), EMPTY_TUPLE), b"}" + MARK + text("__class__") + named("os.system") + b"u", BUILD
    ),
    "state of a function": lambda s: whole(named("torch.Size"), b"}" + MARK + text("__call__") + NONE + b"u", BUILD),
    "copyreg": lambda s: whole(call(named("copyreg.add_extension"), text("os"), text("system"), number(1))),
    "EXT1": lambda s: whole(b"\x82\x01", _command(s), TUPLE1, REDUCE),
    "EXT2": lambda s: whole(b"\x83\x01\x00", _command(s), TUPLE1, REDUCE),
    "EXT4": lambda s: whole(b"\x84\x01\x00\x00\x00", _command(s), TUPLE1, REDUCE),
    "call of text": lambda s: whole(call(text("os.system"), _command(s))),
    "call of a dictionary": lambda s: whole(call(b"}", _command(s))),
    "bytes by codec": lambda s: whole(call(named("_codecs.encode"), _command(s), text("zip"))),
    "reconstructor": lambda s: whole(
        call(named("copyreg._reconstructor"), named("subprocess.Popen"), named("builtins.object"), NONE)
    ),
    "dictionary subclass": lambda s: whole(call(named("collections.defaultdict"), named("os.system"))),
    "load_from_bytes": lambda s: whole(_load_bytes(whole(call(named("os.system"), _command(s))))),
    "load_from_bytes, legacy": lambda s: whole(
        _load_bytes(legacy(whole(call(named("os.system"), _command(s))), [], b""))
    ),
    "load_from_bytes, in the magic number": lambda s: whole(_load_bytes(whole(call(named("os.system"), _command(s))))),
    "load_from_bytes, twice": lambda s: whole(
        _load_bytes(legacy_storage(ONES, whole(_load_bytes(legacy_storage(ONES)))))
    ),
    "load_from_bytes, thrice": lambda s: whole(
        _load_bytes(
            legacy_storage(ONES, whole(_load_bytes(legacy_storage(ONES, whole(call(named("os.system"), _command(s)))))))
        )
    ),
    "legacy keys": lambda s: (
        legacy(whole(persistent("Float", "0", number(0))), [], b"")[:-4] + whole(call(named("os.system"), _command(s)))
    ),
    "source in a module id": lambda s: legacy(
        whole(sequence(text("module"), named("torch.Size"), text("x.py"), text(_source(s))), b"Q"), [], b""
    ),
    "persistent id": lambda s: whole(_command(s), b"Q"),
    "persistent object of a function": lambda s: whole(_persistent_object(s, type=text("function"))),
    "persistent object, called": lambda s: whole(call(_persistent_object(s), _command(s))),
    "persistent object with code": lambda s: whole(_persistent_object(s, state=call(named("os.system"), _command(s)))),
}


def _laughs(width: int = 10, levels: int = 30) -> bytes:
    """A list of lists of lists: short as a pickle, ``width ** levels`` values when walked."""
    body = b"]"
    for level in range(levels):
        body = body + b"q" + bytes([level]) + b"0" + b"]" + MARK + (b"h" + bytes([level])) * width + b"e"
    return whole(body)


def _repeated_array() -> bytes:
    """Ten thousand tensors of a mebibyte on one storage."""
    one = tensor(b"h\x00", (1 << 18,), (1,))
    storage = _load_bytes(legacy_storage(np.zeros(1 << 18, np.float32))) + b"q\x000"
    return whole(storage, b"]", MARK, one * 10_000, b"e")


# What takes too much, or cannot be.
EXCESSIVE: dict[str, Callable[[], bytes]] = {
    "billion laughs": _laughs,
    "cycle": lambda: whole(b"]q\x00h\x00a"),
    "cycle in a dictionary": lambda: whole(b"}q\x00", text("self"), b"h\x00s"),
    "cycle in a record": lambda: whole(named("argparse.Namespace"), EMPTY_TUPLE, b"\x81q\x00h\x00b"),
    "deep lists": lambda: whole(b"]" * 100_000, b"a" * 99_999),
    "deep tuples": lambda: whole(b")", TUPLE1 * 100_000),
    "many arrays": _repeated_array,
    "huge integer": lambda: whole(b"\x8b", struct.pack("<i", 1 << 20), b"\x7f" * (1 << 20)),
    "huge decimal": lambda: b"I" + b"9" * 60_000 + b"\n.",
    "announced gigabytes": lambda: whole(b"\x8e", struct.pack("<Q", 1 << 40)),
    "announced bytearray": lambda: whole(b"\x96", struct.pack("<Q", 1 << 40)),
    "announced text": lambda: whole(b"\x8d", struct.pack("<Q", (1 << 64) - 1)),
    "negative length": lambda: whole(b"T", struct.pack("<i", -1)),
    "negative memo": lambda: b"]p-1\n.",
    "memo never stored": lambda: whole(b"j\xff\xff\xff\xff"),
    "buffer": lambda: whole(b"\x97"),
    "frame": lambda: whole(b"\x95", struct.pack("<Q", 1 << 40), NONE),
    "protocol 77": lambda: b"\x80\x4dN.",
    "empty stack": lambda: whole(b"0"),
    "no mark": lambda: whole(b"Nt"),
    "left over": lambda: whole(b"NN"),
    "goes on": lambda: whole(NONE) + b"rest",
    "unhashable key": lambda: whole(b"}", b"]", NONE, b"s"),
    "two keys of one name": lambda: whole(b"}", MARK, text("1"), NONE, number(1), NONE, b"u"),
    "half a surrogate": lambda: whole(b"V\\ud800\n"),
    "not UTF-8": lambda: whole(b"X", struct.pack("<I", 1), b"\xff"),
    "zeros by bytes(n)": lambda: whole(call(named("builtins.bytes"), number(1 << 40))),
    "zeros by bytearray(n)": lambda: whole(call(named("builtins.bytearray"), number(1 << 40))),
    "object array": lambda: whole(
        call(named("numpy._core.multiarray._reconstruct"), named("numpy.ndarray"), sequence(number(0)), data(b"b")),
        sequence(number(1), sequence(number(1)), call(named("numpy.dtype"), text("O8")), b"\x89", b"]" + NONE + b"a"),
        BUILD,
    ),
    "array of a wrong size": lambda: whole(
        call(named("numpy._core.multiarray._reconstruct"), named("numpy.ndarray"), sequence(number(0)), data(b"b")),
        sequence(
            number(1), sequence(number(1 << 40)), call(named("numpy.dtype"), text("f4")), b"\x89", data(b"\0" * 4)
        ),
        BUILD,
    ),
    "array of a negative size": lambda: whole(
        call(named("numpy._core.multiarray._reconstruct"), named("numpy.ndarray"), sequence(number(0)), data(b"b")),
        sequence(number(1), sequence(number(-4)), call(named("numpy.dtype"), text("f4")), b"\x89", data(b"\0" * 4)),
        BUILD,
    ),
    "array without a state": lambda: whole(
        call(named("numpy._core.multiarray._reconstruct"), named("numpy.ndarray"), sequence(number(0)), data(b"b"))
    ),
}

_STORED = {"0": ONES.tobytes()}


def _sized(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0, count: int = 4) -> bytes:
    return whole(tensor(persistent("Float", "0", number(count)), size, stride, offset))


# Tensors in torch's zip files that cannot be: the pickle; the storage 0 has four floats.
TENSORS: dict[str, bytes] = {
    "a million million by stride 0": _sized((1_000_000, 1_000_000), (0, 0)),
    "beyond the storage": _sized((5,), (1,)),
    "beyond by offset": _sized((4,), (1,), offset=1),
    "beyond by stride": _sized((2, 2), (3, 1)),
    "negative stride": _sized((4,), (-1,), offset=3),
    "negative size": _sized((-4,), (1,)),
    "negative offset": _sized((4,), (1,), offset=-4),
    "overflowing size": _sized((1 << 62, 4), (1, 1)),
    "more dimensions than numpy has": _sized((1,) * 80, (1,) * 80),
    "sizes and strides differ": _sized((2, 2), (1,)),
    "storage of another size": _sized((4,), (1,), count=5),
    "storage of a negative size": _sized((4,), (1,), count=-4),
    "storage of absurd size": _sized((4,), (1,), count=1 << 60),
    "missing storage": whole(tensor(persistent("Float", "7", number(4)), (4,), (1,))),
    "storage outside": whole(tensor(persistent("Float", "../../../../etc/passwd", number(4)), (4,), (1,))),
    "complex": whole(tensor(persistent("ComplexFloat", "0", number(2)), (2,), (1,))),
    "quantised": whole(tensor(persistent("QInt8", "0", number(16)), (16,), (1,))),
    "no storage": whole(tensor(NONE, (4,), (1,))),
    "sparse": whole(call(named("torch._utils._rebuild_sparse_tensor"), number(1), EMPTY_TUPLE)),
}


def write_tensor(path: Path, pickled: bytes) -> Path:
    return torch_zip(path, pickled, _STORED)
