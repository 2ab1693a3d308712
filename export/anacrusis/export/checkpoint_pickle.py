# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The pickle inside a torch checkpoint, read without importing or calling anything it names.

Every global of the pickle becomes one of three things: our own stand-in (tensors, storages, plain
containers), an inert placeholder (classes of other packages: hyper-parameters, callbacks), or a
CheckpointError (anything that could run code). No stand-in imports, opens, or looks up an attribute by name.

The opcodes are scanned first (`checkpoint_scan`), which bounds memory and recursion; together with the limits
here a hostile file costs at most about 1 GB and some seconds.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from anacrusis.engine.errors import CheckpointError
from anacrusis.export.checkpoint_scan import scan

MAX_PICKLE_BYTES = 64 << 20
_MAX_COPIED_ITEMS = 1 << 22  # by all calls such as list([...]) together
_MAX_FOREIGN = 1000

_STORAGE_KINDS = "Float Half BFloat16 Double Long Int Short Char Byte Bool"
_STORAGES = frozenset(f"torch.{kind}Storage" for kind in _STORAGE_KINDS.split()) | {
    "torch.storage.UntypedStorage",
    "torch.storage.TypedStorage",
}
_DTYPE_NAMES = """
    float16 half bfloat16 float32 float float64 double complex32 complex64 complex128 float8_e4m3fn
    float8_e5m2 int8 int16 short int32 int int64 long uint8 uint16 uint32 uint64 bool
"""
_DTYPES = frozenset(f"torch.{name}" for name in _DTYPE_NAMES.split())

# Packages that can run code, open files or reach the network. Nothing here would be imported anyway; the
# refusal is for the user, who should know that the file asked.
_REFUSED = """
    builtins os posix nt _posixsubprocess subprocess sys shutil socket ssl ctypes _ctypes importlib
    zipimport pkgutil runpy pty code codeop codecs _codecs webbrowser antigravity pickle _pickle cPickle
    dill cloudpickle joblib shelve marshal types functools operator _operator inspect io _io tempfile
    platform timeit pdb bdb cProfile doctest asyncio concurrent multiprocessing threading _thread signal
    _signal atexit urllib http ftplib smtplib requests httpx aiohttp pip ensurepip
"""
_REFUSED_MODULES = frozenset(_REFUSED.split())
_REFUSED_NAMES = (
    "torch.hub",
    "torch.jit",
    "torch.load",
    "torch.serialization",
    "torch.storage._load_from_bytes",
    "torch.utils.cpp_extension",
    "torch.package",
    "numpy.load",
    "numpy.testing",
    "numpy.f2py",
)
# Out of refused modules, yet plain data that hyper-parameters do hold. Inert like every foreign class.
_INERT_ANYWAY = {
    "functools.partial",
    "types.SimpleNamespace",
    "_codecs.encode",
    "io.BytesIO",
    "_io.BytesIO",
    "builtins.object",
    "builtins.Ellipsis",
    "builtins.NotImplemented",
}

_SIZED = (list, tuple, set, frozenset, dict, str, bytes, bytearray)
_SCALARS = (int, float, complex, str, bytes)


def shown(name: str) -> str:
    """`name` from a file, made fit for one line of a message."""
    text = name if name.isprintable() else ascii(name)[1:-1]
    return text if len(text) <= 100 else text[:97] + "..."


class _Rigid:
    """Base of our stand-ins: a pickle may not set attributes of something that outlives the file."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("state for an object that has none")


class _Call(_Rigid):
    """A name that the pickle may call; what is called is ours."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *args: object) -> object:
        return self._function(*args)


class TypeName(_Rigid):
    """A torch storage class or dtype: only its dotted name, such as `torch.FloatStorage`."""

    __slots__ = ("dotted",)

    def __init__(self, dotted: str) -> None:
        self.dotted = dotted


@dataclass(frozen=True, eq=False)  # no slots: dataclass would then add a __setstate__ that sets fields
class StorageRef(_Rigid):
    """A storage by its record key, unchecked against the file. numel counts elements of `kind`."""

    kind: str
    key: str
    numel: int


@dataclass(frozen=True, eq=False)
class TensorRef(_Rigid):
    """A tensor as the pickle states it, unchecked: the types are the file's claim. Units: elements."""

    storage: Any
    offset: Any
    size: Any
    stride: Any


class OrderedDictCopy(dict[Any, Any]):
    """Stands for collections.OrderedDict. Its state (the `_metadata` of a state dict) is dropped."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


class Placeholder:
    """Instance of a class that this program does not load. Takes whatever a pickle does to it; runs nothing.

    `dotted` names the class; `state` is what the pickle built it from, or None.
    """

    __slots__ = ("state",)
    dotted = ""
    state: object

    def __new__(cls, *args: object, **kwargs: object) -> Placeholder:
        self = object.__new__(cls)
        self.state = None
        return self

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __call__(self, *args: object, **kwargs: object) -> None:
        return None

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, item: object) -> None:
        pass

    def extend(self, items: object) -> None:
        pass

    def add(self, item: object) -> None:
        pass


def _rebuild_tensor(storage: object, offset: object, size: object, stride: object, *rest: object) -> TensorRef:
    # rest: requires_grad, backward_hooks, and in newer files the lazy conj/neg bits, which change the values.
    if len(rest) > 2 and rest[2]:
        raise pickle.UnpicklingError("a tensor with a lazy conjugate or negative bit")
    return TensorRef(storage, offset, size, stride)


def _first(data: object, *rest: object) -> object:
    return data


def _flat(value: object = ()) -> tuple[object, ...]:
    if not isinstance(value, (list, tuple)) or len(value) > 1024 or any(type(v) is tuple for v in value):
        raise pickle.UnpicklingError("a tuple built from something else than a short flat list")
    return tuple(value)


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, label: str) -> None:
        super().__init__(io.BytesIO(data))
        self._label = label
        self._copied_items = 0
        self.foreign: dict[str, type[Placeholder]] = {}
        build: dict[str, Callable[..., object]] = {
            "collections.OrderedDict": self._sized(OrderedDictCopy),
            "torch._utils._rebuild_tensor": _rebuild_tensor,
            "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
            "torch._utils._rebuild_parameter": _first,
            "torch._utils._rebuild_parameter_with_state": _first,
            "torch.Size": _flat,
            "torch.device": lambda *where: ":".join(str(w) for w in where if type(w) in (str, int)),
            "builtins.tuple": _flat,
            "builtins.slice": slice,
            "builtins.range": range,
            "builtins.bool": bool,
            "builtins.str": self._scalar(lambda value="": str(value)),
        }
        for sized in (list, set, frozenset, dict, bytes, bytearray):
            build[f"builtins.{sized.__name__}"] = self._sized(sized)
        for scalar in (int, float, complex):
            build[f"builtins.{scalar.__name__}"] = self._scalar(scalar)
        self._known: dict[str, _Rigid] = {dotted: _Call(function) for dotted, function in build.items()}

    def _sized(self, kind: Callable[..., object]) -> Callable[..., object]:
        def make(value: object = (), encoding: str | None = None) -> object:
            # Only from something that exists in full: bytearray(10**12) and list(range(10**12)) do not.
            if not isinstance(value, _SIZED):
                raise pickle.UnpicklingError("a container built from something else than a container")
            self._copied_items += len(value)
            if self._copied_items > _MAX_COPIED_ITEMS:
                raise pickle.UnpicklingError("too many copies of containers")
            if encoding is None:
                return kind(value)
            if encoding not in ("latin-1", "latin1"):  # any other name would import a codec
                raise pickle.UnpicklingError("bytes in an unusual encoding")
            return kind(value, encoding)

        return make

    def _scalar(self, kind: Callable[..., object]) -> Callable[..., object]:
        def make(*values: object) -> object:
            if not all(isinstance(v, _SCALARS) for v in values):
                raise pickle.UnpicklingError("a number or text built from an object")
            return kind(*values)

        return make

    def find_class(self, module: str, name: str, /) -> Any:
        dotted = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if dotted in self._known:
            return self._known[dotted]
        if dotted in _STORAGES or dotted in _DTYPES:
            return self._known.setdefault(dotted, TypeName(dotted))
        if _is_refused(dotted, name):
            raise CheckpointError(
                f"{self._label}: refused: its pickle asks for {shown(dotted)}; a checkpoint needs no such "
                "call. Get the file from its publisher again."
            )
        if dotted not in self.foreign:
            if len(self.foreign) >= _MAX_FOREIGN:
                raise pickle.UnpicklingError(f"more than {_MAX_FOREIGN} foreign classes")
            # One class per name and per file: whatever the pickle does to it ends with the load.
            self.foreign[dotted] = type("ForeignObject", (Placeholder,), {"__slots__": (), "dotted": dotted})
        return self.foreign[dotted]

    def persistent_load(self, pid: Any) -> StorageRef:
        match pid:
            case ("storage", TypeName() | type() as kind, str() as key, str(), int() as numel):
                return StorageRef(getattr(kind, "dotted", ""), key, numel)
        raise pickle.UnpicklingError("a reference that is no torch storage")


def _is_refused(dotted: str, name: str) -> bool:
    if dotted in _INERT_ANYWAY:
        return False
    # "posixpath" + "os.system": a dotted name walks through attributes, so its inner parts count as modules.
    if any(part in _REFUSED_MODULES for part in (dotted.split(".", 1)[0], *name.split(".")[:-1])):
        return True
    return any(dotted == refused or dotted.startswith(refused + ".") for refused in _REFUSED_NAMES)


def unpickle(data: bytes, label: str) -> tuple[object, list[str]]:
    """The object in `data` and the sorted dotted names of the classes that became placeholders.

    Tensors come back as TensorRef, foreign objects as Placeholder. label: the file's name, for messages.
    Raises CheckpointError for a pickle that is damaged, too large, or asks for something that could run code.
    """
    if len(data) > MAX_PICKLE_BYTES:
        raise CheckpointError(f"{label}: refused: its pickle is larger than {MAX_PICKLE_BYTES >> 20} MiB")
    try:
        scan(data)
        unpickler = _Unpickler(data, label)
        root: object = unpickler.load()
    except CheckpointError:
        raise
    except Exception as error:  # hostile bytes raise nearly everything, from EOFError to OverflowError
        reason = shown(str(error) or type(error).__name__)
        raise CheckpointError(f"{label}: its pickle cannot be read ({reason}); get the file again") from error
    return root, sorted(unpickler.foreign)
