"""An unpickler for PyTorch files that imports and calls nothing named by the file.

`torch.save` and TorchScript describe a model by a pickle whose tensors refer to storages elsewhere in the file.
Ordinary unpickling calls any function that a file names. This unpickler knows a few names and replaces every other
one by a `Stub`, which keeps its state and has no behavior. Tensors stay descriptions until they are read.
"""

import math
import mmap
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import IO, Any, ClassVar, Self

import torch

from rsmtdf_core.weights.keys import KeyGuard, require_near

_STORAGE_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}

# Bounds of PyTorch.
_MOST_DIMENSIONS = 64
_LARGEST = 2**63
# Elements that calls may copy: a constant, and a multiple of the bytes of the pickle. Genuine files copy less than an
# element per byte, because they write the arguments of each call.
_FREE_WORK = 2**20
_WORK_PER_BYTE = 8


@dataclass(frozen=True, slots=True)
class Storage:
    """A block of bytes in a weights file.

    Attributes:
        key: name of the storage in the file.
        dtype: dtype of the elements; uint8 for untyped storages, whose tensors have a dtype.
        elements: number of elements.
    """

    key: str
    dtype: torch.dtype
    elements: int

    @property
    def bytes(self) -> int:
        """Length in the file, in bytes."""
        return self.elements * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor that has not been read from its file.

    Attributes:
        storage: storage that contains the elements.
        dtype: dtype of the elements.
        offset: position of the first element in the storage, in elements.
        shape: size of each dimension.
        stride: step along each dimension, in elements.
    """

    storage: Storage
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse a tensor that reaches beyond its storage, or has more elements than the storage."""
        sizes = (self.offset, *self.shape, *self.stride)
        sound = len(self.shape) == len(self.stride) <= _MOST_DIMENSIONS and all(
            type(size) is int and 0 <= size < _LARGEST for size in sizes
        )
        if sound and (elements := math.prod(self.shape)):
            last = self.offset + sum(
                (size - 1) * step for size, step in zip(self.shape, self.stride, strict=True)
            )
            sound = max(last + 1, elements) * self.dtype.itemsize <= self.storage.bytes
        if not sound:
            raise ValueError(f"a tensor does not fit into its storage {self.storage.key}")


class Stub:
    """Replaces an object whose class must not run. It keeps attributes and items, and has no behavior.

    Attributes:
        values: attributes and items by name.
    """

    def __new__(cls, *_args: object, **_named: object) -> Self:
        """Create an empty stub, whatever the arguments in the file are."""
        stub = super().__new__(cls)
        stub.values = {}
        return stub

    values: dict[Any, Any]

    def __init__(self, *_args: object, **_named: object) -> None: ...

    def __setstate__(self, state: object) -> None:
        if isinstance(state, Mapping):
            self.values.update(state)

    def __setitem__(self, key: object, value: object) -> None:
        self.values[key] = value

    def append(self, value: object) -> None:
        """Ignore an element of a list subclass."""

    def extend(self, values: object) -> None:
        """Ignore elements of a list subclass."""


Load = Callable[[Any], None]
_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)


def _guarded(opcode: bytes, keys: slice) -> Load:
    """Return the loader of an opcode, preceded by a check of the keys at these positions of the stack."""
    load: Load = pickle._Unpickler.dispatch[opcode[0]]

    def guarded(unpickler: "Unpickler") -> None:
        unpickler.guard.check(unpickler.stack[keys])
        load(unpickler)

    return guarded


def _counted(opcode: bytes, arguments: Callable[[list[Any]], Iterable[object]]) -> Load:
    """Return the loader of an opcode that calls something, preceded by a count of the arguments on the stack."""
    load: Load = pickle._Unpickler.dispatch[opcode[0]]

    def counted(unpickler: "Unpickler") -> None:
        unpickler.count(arguments(unpickler.stack))
        load(unpickler)

    return counted


def _state_parts(stack: list[Any]) -> tuple[object, ...]:
    state = stack[-1]
    return (state, *state[:2]) if isinstance(state, tuple) else (state,)


# Based on Python's implementation: the C class allocates an array as long as the largest memo index in the file.
class Unpickler(pickle._Unpickler):
    """Reads a pickle into plain containers, numbers, `StoredTensor` and `Stub` objects.

    Attributes:
        storages: the storages that the pickle refers to, by key.
        guard: checks the keys of all containers.
        work: number of elements that calls have copied. A small file can name one long list in many calls.
    """

    stack: list[Any]
    memo: dict[int, Any]
    read: Callable[[int], bytes]
    readline: Callable[[], bytes]

    def __init__(self, file: IO[bytes] | mmap.mmap) -> None:
        super().__init__(file, encoding="utf-8", errors="replace")
        self.storages: dict[str, Storage] = {}
        self.guard = KeyGuard()
        self.work = 0
        self._file = file
        self._stubs: dict[tuple[str, str], type[Stub]] = {}

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - whatever the file names
        """Return the harmless counterpart of a global, without importing a module."""
        self.count((module, name))
        if (module, name) == ("collections", "OrderedDict"):
            return lambda *items: self._ordered(*items)  # noqa: PLW0108 - as below
        if module in {"torch", "torch.cuda", "torch.storage"} and name in _STORAGE_DTYPES:
            return _STORAGE_DTYPES[name]
        if module == "torch" and isinstance(dtype := getattr(torch, name, None), torch.dtype):
            return dtype
        if rebuild := _REBUILDS.get((module, name)):
            return lambda *args: self._rebuilt(rebuild, args)
        return self._stubs.setdefault((module, name), type("Stub", (Stub,), {}))

    def count(self, arguments: Iterable[object]) -> None:
        """Add the elements of a call's arguments to `work`.

        Raises:
            ValueError: If the work is out of proportion to the bytes that were read.
        """
        for argument in arguments:
            self.work += 1 + (len(argument) if isinstance(argument, _SIZED) else 0)
        if self.work > _FREE_WORK + _WORK_PER_BYTE * self._file.tell():
            raise ValueError("its calls copy far more elements than it contains")

    def _rebuilt(self, rebuild: Callable[..., object], args: tuple[object, ...]) -> object:
        self.count(args)  # of a call inside of another one, too
        return rebuild(*args)

    def _ordered(self, items: Iterable[tuple[object, object]] = ()) -> OrderedDict[object, object]:
        pairs = [(key, value) for key, value in items]
        self.guard.check(key for key, _ in pairs)
        return OrderedDict(pairs)

    def _load_put(self) -> None:
        self._keep(int(self.readline()[:-1]))

    def _load_long_binput(self) -> None:
        self._keep(int.from_bytes(self.read(4), "little"))

    def _load_bytearray8(self) -> None:
        # Python's loader allocates the announced length before it reads.
        self.stack.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    def _keep(self, index: int) -> None:
        require_near(index, len(self.memo))
        self.memo[index] = self.stack[-1]

    dispatch: ClassVar[dict[int, Load]] = {
        **pickle._Unpickler.dispatch,
        pickle.SETITEM[0]: _guarded(pickle.SETITEM, slice(-2, -1)),
        pickle.SETITEMS[0]: _guarded(pickle.SETITEMS, slice(0, None, 2)),
        pickle.DICT[0]: _guarded(pickle.DICT, slice(0, None, 2)),
        pickle.ADDITEMS[0]: _guarded(pickle.ADDITEMS, slice(None)),
        pickle.FROZENSET[0]: _guarded(pickle.FROZENSET, slice(None)),
        pickle.REDUCE[0]: _counted(pickle.REDUCE, lambda stack: stack[-1]),
        pickle.NEWOBJ[0]: _counted(pickle.NEWOBJ, lambda stack: stack[-1]),
        pickle.NEWOBJ_EX[0]: _counted(pickle.NEWOBJ_EX, lambda stack: (*stack[-2], stack[-1])),
        pickle.OBJ[0]: _counted(pickle.OBJ, lambda stack: stack),
        pickle.INST[0]: _counted(pickle.INST, lambda stack: stack),
        pickle.BUILD[0]: _counted(pickle.BUILD, _state_parts),
        pickle.BINPERSID[0]: _counted(pickle.BINPERSID, lambda stack: stack[-1:]),
        pickle.BYTEARRAY8[0]: _load_bytearray8,
        pickle.PUT[0]: _load_put,
        pickle.LONG_BINPUT[0]: _load_long_binput,
    }

    def persistent_load(self, pid: Any) -> Any:  # noqa: ANN401 - whatever the file names
        """Return the storage or module that a persistent id refers to."""
        kind, *facts = pid
        if kind == "module":
            return facts[0]
        dtype, key, _, elements, *view = facts
        if kind != "storage" or any(view) or not isinstance(dtype, torch.dtype):
            raise ValueError("it refers to a storage in an unknown way")
        if not isinstance(key, str) or type(elements) is not int or elements < 0:
            raise ValueError(
                f"storage {key if isinstance(key, str) else ''} has no name or no size"
            )
        storage = Storage(key, dtype, elements)
        if self.storages.setdefault(storage.key, storage) != storage:
            raise ValueError(f"storage {key} is described in two ways")
        return storage


def _tensor(
    storage: Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> StoredTensor:
    return StoredTensor(storage, storage.dtype, offset, tuple(shape), tuple(stride))


def _tensor_v3(
    storage: Storage,
    offset: int,
    shape: tuple[int, ...],
    stride: tuple[int, ...],
    _requires_grad: object,
    _hooks: object,
    dtype: torch.dtype,
    *_: object,
) -> StoredTensor:
    return StoredTensor(storage, dtype, offset, tuple(shape), tuple(stride))


def _parameter(data: object, *_: object) -> object:
    return data


def _from_type(
    rebuild: Callable[..., object], _kind: object, args: tuple[object, ...], _: object
) -> object:
    return rebuild(*args)


class _NumpyDtype:
    """The name of a NumPy dtype, such as "f8"; the rest of its state is not needed."""

    __slots__ = ("name",)

    def __init__(self, name: str, *_: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None: ...


def _numpy_scalar(dtype: _NumpyDtype, content: bytes) -> float | int:
    """Read a number of the training history, such as the best score."""
    layout = {"f8": "<d", "f4": "<f", "f2": "<e", "i8": "<q", "i4": "<i", "b1": "<?"}[dtype.name]
    number: float | int = struct.unpack(layout, content)[0]
    return number


def _encoded(text: str, _encoding: str = "latin1") -> bytes:
    """Decode bytes as pickle protocol 2 writes them."""
    return text.encode("latin1")


def _size(sizes: tuple[int, ...] = ()) -> tuple[int, ...]:
    return tuple(sizes)


_REBUILDS: dict[tuple[str, str], Callable[..., object]] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_v3,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _from_type,
    ("torch", "Size"): _size,
    ("_codecs", "encode"): _encoded,
    ("numpy", "dtype"): _NumpyDtype,
    ("numpy.core.multiarray", "scalar"): _numpy_scalar,
    ("numpy._core.multiarray", "scalar"): _numpy_scalar,
}
