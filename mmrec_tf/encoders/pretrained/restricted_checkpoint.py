"""Reads the tensors of a PyTorch checkpoint into NumPy, without PyTorch and without running what is in the file.

A checkpoint is a pickle, which as such is a program: unpickling it imports modules and calls functions that the file
names. Here its opcodes are only listed, and a small machine follows those that a plain state dict is made of: numbers,
strings, containers, and four names, which stand for plain data. Any other opcode or name is refused.
"""

import io
import math
import pickletools
import struct
import zipfile
from dataclasses import dataclass

import numpy as np

from mmrec_tf.errors import EncoderError

_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_FUNCTIONS = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_COUNT = struct.Struct("<q")
# Whatever a hostile file makes the reader stumble over, apart from what it refuses by name.
_DAMAGE = (ValueError, TypeError, KeyError, IndexError, AttributeError, struct.error, zipfile.BadZipFile, OverflowError)


@dataclass(frozen=True)
class _Name:
    """A name that the file would have imported."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """A flat array of numbers, kept elsewhere in the file."""

    key: str
    dtype: np.dtype
    count: int


@dataclass(frozen=True)
class _View:
    """A tensor: a strided window on a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Mark:
    """Where the items of the next container begin on the stack."""


def read_state_dict(data: bytes) -> dict[str, np.ndarray]:
    """The tensors of a state dict by name, as read-only arrays.

    Takes what `torch.save(module.state_dict())` writes, in today's format (a zip) or that before PyTorch 1.6.

    Args:
        data: content of the `.pt` or `.pth` file.

    Raises:
        EncoderError: if the file is damaged, holds anything but a flat dict of tensors, or would do anything but
            rebuild those.

    Reference: https://docs.python.org/3/library/pickletools.html
    """
    try:
        views, arrays = _read_zip(data) if data.startswith(b"PK\x03\x04") else _read_legacy(data)
        if not isinstance(views, dict) or not views:
            raise ValueError("it holds no dict of tensors")
        return {_checked_key(key): _array(view, arrays) for key, view in views.items()}
    except _DAMAGE as error:
        raise EncoderError(f"not a readable PyTorch state dict: {type(error).__name__}: {error}.") from error


def _checked_key(key) -> str:
    if not isinstance(key, str):
        raise ValueError(f"a tensor's name is {key!r}")
    return key


def _read_zip(data: bytes):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        pickled = [info for info in archive.infolist() if info.filename.endswith("/data.pkl")]
        if len(pickled) != 1:
            raise ValueError("the zip file holds no data.pkl")
        root = pickled[0].filename.removesuffix("data.pkl")
        machine = _StateDictMachine()
        views = machine.run(io.BytesIO(_stored(archive, f"{root}data.pkl")))
        arrays = {
            key: _numbers(_stored(archive, f"{root}data/{key}"), storage) for key, storage in machine.storages.items()
        }
    return views, arrays


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    # PyTorch stores without compression; a small file that claims to be compressed could unpack to any size.
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    return archive.read(name)


def _read_legacy(data: bytes):
    """Five pickles (a magic number, a version, the machine, the dict, the storages' keys), then the storages."""
    stream = io.BytesIO(data)
    if _StateDictMachine().run(stream) != _LEGACY_MAGIC:
        raise ValueError("it does not begin as a checkpoint does")
    _StateDictMachine().run(stream)
    _StateDictMachine().run(stream)
    machine = _StateDictMachine()
    views = machine.run(stream)
    arrays = {}
    for key in _StateDictMachine().run(stream):
        storage = machine.storages[key]
        (count,) = _COUNT.unpack(stream.read(_COUNT.size))
        if count != storage.count:
            raise ValueError(f"storage {key} has {count} numbers where {storage.count} were announced")
        arrays[key] = _numbers(stream.read(count * storage.dtype.itemsize), storage)
    return views, arrays


def _numbers(data: bytes, storage: _Storage) -> np.ndarray:
    if len(data) != storage.count * storage.dtype.itemsize:
        raise ValueError(f"storage {storage.key} has {len(data)} bytes for {storage.count} numbers")
    return np.frombuffer(data, storage.dtype)


def _array(view, arrays: dict[str, np.ndarray]) -> np.ndarray:
    if not isinstance(view, _View):
        raise ValueError(f"it holds a {type(view).__name__} beside the tensors")
    numbers = arrays[view.storage.key]
    if any(size < 0 for size in (*view.shape, *view.strides, view.offset)) or len(view.shape) != len(view.strides):
        raise ValueError(f"shape {view.shape} with strides {view.strides}")
    count = math.prod(view.shape)
    last = view.offset + sum((size - 1) * stride for size, stride in zip(view.shape, view.strides))
    # A window beyond the storage would read foreign memory; one with more numbers than it could claim any size.
    if count > len(numbers) or count and last >= len(numbers):
        raise ValueError(f"a tensor of shape {view.shape} lies outside its storage of {len(numbers)} numbers")
    if count == 0:
        return np.zeros(view.shape, numbers.dtype)
    steps = [stride * numbers.itemsize for stride in view.strides]
    return np.lib.stride_tricks.as_strided(numbers[view.offset :], view.shape, steps, writeable=False)


class _StateDictMachine:
    """Follows a pickle's opcodes on a stack of plain data; `storages` are those that it has met."""

    def __init__(self):
        self.storages: dict[str, _Storage] = {}
        self._stack: list = []
        self._memo: dict[int, object] = {}

    def run(self, stream: io.BytesIO):
        """The object that the pickle at the stream's position describes."""
        for opcode, argument, _ in pickletools.genops(stream):
            self._step(opcode.name, argument)
        if len(self._stack) != 1:
            raise ValueError(f"the pickle leaves {len(self._stack)} objects")
        return self._stack.pop()

    def _step(self, opcode: str, argument) -> None:
        match opcode:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINUNICODE":
                self._stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                self._stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode])
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                self._stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[opcode]())
            case "MARK":
                self._stack.append(_Mark)
            case "TUPLE":
                self._stack.append(tuple(self._since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = int(opcode[-1])
                self._stack[-size:] = [tuple(self._stack[-size:])]
            case "APPEND" | "APPENDS":
                items = [self._stack.pop()] if opcode == "APPEND" else self._since_mark()
                self._container(list).extend(items)
            case "SETITEM" | "SETITEMS":
                value = [self._stack.pop()] if opcode == "SETITEM" else self._since_mark()
                items = [self._stack.pop(), *value] if opcode == "SETITEM" else value
                self._container(dict).update(zip(items[::2], items[1::2], strict=True))
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self._stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._stack[-1]
            case "BINGET" | "LONG_BINGET":
                self._stack.append(self._memo[argument])
            case "GLOBAL":
                self._stack.append(self._named(argument))
            case "STACK_GLOBAL":
                module, name = self._stack[-2:]
                self._stack[-2:] = [self._named(f"{module} {name}")]
            case "BINPERSID":
                self._stack.append(self._storage(self._stack.pop()))
            case "REDUCE":
                arguments, function = self._stack.pop(), self._stack.pop()
                self._stack.append(self._rebuilt(function, arguments))
            case "BUILD":
                # The attributes of the dict, such as the versions of the modules' formats.
                self._stack.pop()
                self._container(dict)
            case _:
                raise ValueError(f"the opcode {opcode} is no part of a plain state dict and was refused")

    def _since_mark(self) -> list:
        mark = len(self._stack) - 1 - self._stack[::-1].index(_Mark)
        items = self._stack[mark + 1 :]
        del self._stack[mark:]
        return items

    def _container(self, kind: type):
        if type(self._stack[-1]) is not kind:
            raise ValueError(f"a {kind.__name__} was expected, not a {type(self._stack[-1]).__name__}")
        return self._stack[-1]

    def _named(self, name: str) -> _Name:
        module, _, kind = name.partition(" ")
        if name not in _FUNCTIONS and not (module in ("torch", "torch.storage") and kind in _STORAGES):
            raise ValueError(f"the name {name.replace(' ', '.')} is no part of a plain state dict and was refused")
        return _Name(name)

    def _storage(self, pid) -> _Storage:
        tag, kind, key, _, count, *view = pid
        # Before PyTorch 0.4 a storage could be a window on another one; those files are not read.
        if tag != "storage" or not isinstance(kind, _Name) or any(part is not None for part in view):
            raise ValueError(f"{pid!r} is no storage")
        storage = _Storage(_checked_key(key), np.dtype(_STORAGES[kind.name.partition(" ")[2]]), int(count))
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError(f"storage {key} is announced twice, as different ones")
        return storage

    def _rebuilt(self, function, arguments):
        match function, arguments:
            case _Name("collections OrderedDict"), ():
                return {}
            case _Name("torch._utils _rebuild_tensor_v2"), (_Storage() as storage, int(offset), shape, strides, *_):
                return _View(storage, offset, _whole_numbers(shape), _whole_numbers(strides))
            case _Name("torch._utils _rebuild_parameter"), (_View() as view, *_):
                return view
        raise ValueError(f"a call of {getattr(function, 'name', function)!r} was refused")


def _whole_numbers(values) -> tuple[int, ...]:
    if not isinstance(values, tuple) or not all(type(value) is int for value in values):
        raise ValueError(f"{values!r} is no shape")
    return values
