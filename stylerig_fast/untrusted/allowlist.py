"""The allow-list: which globals a checkpoint may name, and what each of them becomes here.

Only these names have a meaning, compared as a whole: there is no import and no attribute look-up behind them, so that
``os.system``, ``torch.serialization.os.system`` and a chain of getattr are refused alike, by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stylerig_fast.errors import CheckpointError
from stylerig_fast.untrusted import arrays, tensors
from stylerig_fast.untrusted.pickle_vm import checked_key, describe, shown
from stylerig_fast.untrusted.values import Array, DType, Global, Instance, Storage, Tensor

LoadBytes = Callable[[memoryview | bytes], Storage]

PERSISTENT = "torch_utils.persistence"

# Classes whose objects become records of their state.
CLASSES = {
    "argparse.Namespace",
    "dnnlib.tflib.network.Network",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "chumpy.ch.Ch",
    "chumpy.ch.Concatenate",
    "chumpy.ch.add",
    "chumpy.ch.subtract",
    "chumpy.ch.multiply",
    "chumpy.reordering.Select",
    "chumpy.reordering.concatenate",
    "chumpy.reordering.transpose",
    "chumpy.reordering.reshape",
    *(
        f"scipy.sparse.{module}.{kind}_{form}"
        for kind in ("csc", "csr", "coo")
        for form in ("matrix", "array")
        for module in (kind, f"_{kind}")
    ),
}
DICTIONARIES = {"builtins.dict", "collections.OrderedDict", "dnnlib.EasyDict", "dnnlib.util.EasyDict"}
# Classes that only stand beside others, and the types that occur as values.
NAMES = {"builtins.object", "numpy.ndarray", "torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter"}

_MODULES = ("numpy.core", "numpy._core")
# In pickles of Python 2 and of early numpy and torch things have other homes.
RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class AllowList:
    """What a pickle's globals mean.

    Args:
        load_bytes: reads the file inside the file that ``torch.storage._load_from_bytes`` gets; None refuses it.
    """

    def __init__(self, load_bytes: LoadBytes | None = None) -> None:
        self._functions: dict[str, Callable[..., Any]] = dict(_FUNCTIONS)
        if load_bytes is not None:
            self._functions["torch.storage._load_from_bytes"] = _with_bytes(load_bytes)

    def find(self, name: str) -> Global:
        """The value that stands for a global.

        Raises:
            CheckpointError: it is not on the list.
        """
        module, _, attribute = name.partition(".")
        name = f"{RENAMED.get(module, module)}.{attribute}"
        if name in self._functions or name in CLASSES or name in DICTIONARIES or name in NAMES or _is_torch_type(name):
            return Global(name)
        if name == "torch.storage._load_from_bytes":
            raise CheckpointError(
                "refuses a torch file inside a torch file inside a pickle; a checkpoint has one at most"
            )
        raise CheckpointError(
            f"refuses the global {shown(name)}: it is not in the allow-list; a checkpoint never needs it. The file may "
            "be hostile, or hold more than weights; if it is yours, save the generator's state_dict alone"
        )

    def call(self, target: Any, args: tuple[Any, ...]) -> Any:
        """REDUCE: what calling a global would have made, described."""
        name = _name(target)
        if name in self._functions:
            try:
                return self._functions[name](*args)
            except TypeError as error:  # from the call itself: a wrong number of arguments
                raise CheckpointError(f"{name} has other arguments than expected; the file is damaged") from error
        return self.make(target, args)

    def make(self, target: Any, args: tuple[Any, ...]) -> Any:
        """NEWOBJ, INST, OBJ: an object of a class, described."""
        name = _name(target)
        if name in DICTIONARIES:
            return _dictionary(args)
        if name in CLASSES:
            return Instance(name, args=args)
        if name == "numpy.ndarray":
            return Array()
        raise CheckpointError(f"refuses to make an object of {name}; the file is damaged or hostile")

    def build(self, target: Any, state: Any) -> None:
        """BUILD: gives a described object its state. No ``__setstate__`` is ever called."""
        if isinstance(target, Instance):
            target.state = state
        elif isinstance(target, DType):
            arrays.build_dtype(target, state)
        elif isinstance(target, Array):
            arrays.build_array(target, state)
        elif not isinstance(target, (dict, Tensor)):  # theirs is metadata: of a state_dict, of a parameter
            raise CheckpointError(f"the pickle gives a state to {describe(target)}, which has none; it is damaged")


def _name(target: Any) -> str:
    if not isinstance(target, Global):
        raise CheckpointError(f"the pickle calls {describe(target)}, which is no function or class")
    return target.name


def _is_torch_type(name: str) -> bool:
    module, _, last = name.rpartition(".")
    if module == "torch" and last in tensors.DTYPES:
        return True
    return module in ("torch", "torch.cuda", "torch.storage") and last in tensors.STORAGES


def _dictionary(args: tuple[Any, ...]) -> dict[Any, Any]:
    pairs = args[0] if args else ()
    if isinstance(pairs, dict):
        return dict(pairs)
    if not isinstance(pairs, (list, tuple)) or not all(isinstance(p, (list, tuple)) and len(p) == 2 for p in pairs):
        raise CheckpointError("a dictionary is made of something else than pairs; the file is damaged")
    return {checked_key(key): value for key, value in pairs}


def _persistent_object(meta: Any) -> Instance:
    """NVlabs' persistent object: class name and state. The source text that it brings is dropped unread."""
    if not isinstance(meta, dict) or meta.get("type") != "class" or not isinstance(meta.get("class_name"), str):
        raise CheckpointError("a persistent object of another kind than NVlabs' torch_utils.persistence writes")
    return Instance(PERSISTENT, name=meta["class_name"], state=meta.get("state"))


def _reconstructed(cls: Any, base: Any, state: Any) -> Any:
    """``copyreg._reconstructor``: an object as pickle protocols 0 and 1 make it."""
    if _name(base) != "builtins.object":
        if _name(base) != "builtins.dict":
            raise CheckpointError(f"an object is made on top of {_name(base)}; expected a plain one")
        return _dictionary((state,))
    return _dictionary(()) if _name(cls) in DICTIONARIES else AllowList().make(cls, ())


def _encoded(text: Any, encoding: Any = "utf-8") -> bytes:
    """``_codecs.encode(text, "latin1")``: bytes as protocol 2 writes them."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise CheckpointError("refuses _codecs.encode with anything but text as latin1")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise CheckpointError("bytes are given as text with letters that no byte stands for") from error


def _bytes(value: Any = b"", encoding: Any = None) -> Any:
    if encoding is not None:
        return _encoded(value, encoding)
    if not isinstance(value, (bytes, memoryview)):
        raise CheckpointError("bytes are made of something else than bytes; the file is damaged")
    return value


def _list(values: Any = ()) -> list[Any]:
    if not isinstance(values, (list, tuple)):
        raise CheckpointError("a list is made of something else than a list; the file is damaged")
    return list(values)


def _device(kind: Any, index: Any = None) -> str:
    if not isinstance(kind, str) or not (index is None or type(index) is int):
        raise CheckpointError("a device is not given by a name and a number; the file is damaged")
    return kind if index is None else f"{kind}:{index}"


def _with_bytes(load: LoadBytes) -> Callable[[Any], Storage]:
    def load_from_bytes(data: Any) -> Storage:
        if not isinstance(data, (bytes, memoryview)):
            raise CheckpointError("torch.storage._load_from_bytes gets something else than bytes; the file is damaged")
        return load(data)

    return load_from_bytes


def _rebuild_from_type(function: Any, cls: Any, args: Any, state: Any) -> Any:
    """``torch._tensor._rebuild_from_type_v2``: a tensor with attributes, which are forgotten."""
    if _name(function) not in _REBUILD or not isinstance(args, tuple):
        raise CheckpointError(f"a tensor is rebuilt by {_name(function)}, which rebuilds none")
    return _REBUILD[_name(function)](*args)


_REBUILD: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": tensors.rebuild,
    "torch._utils._rebuild_tensor_v2": tensors.rebuild,
    "torch._utils._rebuild_tensor_v3": tensors.rebuild_untyped,
    "torch._utils._rebuild_parameter": tensors.rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": tensors.rebuild_parameter,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **_REBUILD,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
    "torch.Size": _list,
    "torch.device": _device,
    "numpy.dtype": arrays.make_dtype,
    **{f"{module}.multiarray._reconstruct": arrays.reconstruct for module in _MODULES},
    **{f"{module}.multiarray.scalar": arrays.scalar for module in _MODULES},
    **{f"{module}.numeric._frombuffer": arrays.from_buffer for module in _MODULES},
    f"{PERSISTENT}._reconstruct_persistent_obj": _persistent_object,
    "copyreg._reconstructor": _reconstructed,
    "_codecs.encode": _encoded,
    "builtins.bytes": _bytes,
    "builtins.bytearray": _bytes,
    "builtins.list": _list,
    "builtins.tuple": _list,
    "builtins.set": _list,
    "builtins.frozenset": _list,
}
