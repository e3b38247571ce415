"""PyTorch checkpoints without PyTorch: both formats read, everything else refused and nothing run."""

import collections
import io
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import pytest

from mmrec_tf.encoders.pretrained.restricted_checkpoint import read_state_dict
from mmrec_tf.errors import EncoderError

_MAGIC = 0x1950A86A20F9469CFC6C


@pytest.fixture
def torch(monkeypatch):
    """Stand-ins for the names that a checkpoint is pickled with, importable as the pickler wants them."""
    module, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("FloatStorage", "LongStorage"):
        setattr(module, name, type(name, (), {"__module__": "torch"}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter", "_evil"):
        exec(f"def {name}(*arguments): raise AssertionError('it was run')", utils.__dict__)
        utils.__dict__[name].__module__ = "torch._utils"
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return module, utils


class _Storage:
    def __init__(self, kind, key, numbers):
        self.kind, self.key, self.numbers = kind, key, numbers


class _Call:
    """Pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class _Pickler(pickle.Pickler):
    def __init__(self, stream, is_legacy, protocol):
        super().__init__(stream, protocol)
        self.is_legacy = is_legacy
        self.storages = {}

    def persistent_id(self, value):
        if not isinstance(value, _Storage):
            return None
        self.storages[value.key] = value
        end = (None,) if self.is_legacy else ()
        return ("storage", value.kind, value.key, "cpu", len(value.numbers), *end)


def pickled(value, is_legacy=False, protocol=2):
    stream = io.BytesIO()
    pickler = _Pickler(stream, is_legacy, protocol)
    pickler.dump(value)
    return stream.getvalue(), pickler.storages


def zipped(value, protocol=2, compression=zipfile.ZIP_STORED):
    data, storages = pickled(value, protocol=protocol)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data)
        for key, storage in storages.items():
            archive.writestr(f"archive/data/{key}", storage.numbers.tobytes())
    return stream.getvalue()


def legacy(value, counts=None):
    data, storages = pickled(value, is_legacy=True)
    parts = [pickle.dumps(_MAGIC, 2), pickle.dumps(1001, 2), pickle.dumps({"little_endian": True}, 2), data]
    parts.append(pickle.dumps(sorted(storages), 2))
    for key in sorted(storages):
        numbers = storages[key].numbers
        parts += [struct.pack("<q", (counts or {}).get(key, len(numbers))), numbers.tobytes()]
    return b"".join(parts)


def state(torch, shape=(2, 3), strides=(3, 1), offset=1, numbers=7):
    module, utils = torch
    floats = _Storage(module.FloatStorage, "0", np.arange(numbers, dtype=np.float32))
    whole = _Storage(module.LongStorage, "1", np.array([41, 42], np.int64))
    return collections.OrderedDict(
        weight=_Call(
            utils._rebuild_parameter,
            _Call(utils._rebuild_tensor_v2, floats, offset, shape, strides, False, collections.OrderedDict()),
            True,
            collections.OrderedDict(),
        ),
        transposed=_Call(utils._rebuild_tensor_v2, floats, 0, (3, 2), (1, 3), False, collections.OrderedDict()),
        count=_Call(utils._rebuild_tensor_v2, whole, 1, (), (), False, collections.OrderedDict()),
    )


@pytest.mark.parametrize("write", [zipped, lambda value: zipped(value, protocol=4), legacy])
def test_tensors_are_windows_on_their_storages(torch, write):
    # The storage is 0 1 2 3 4 5 6: from 1 on, rows of 3; and from 0 on, columns of 3.
    found = read_state_dict(write(state(torch)))
    assert list(found) == ["weight", "transposed", "count"]
    np.testing.assert_array_equal(found["weight"], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(found["transposed"], [[0, 3], [1, 4], [2, 5]])
    assert found["weight"].dtype == np.float32 and found["count"].dtype == np.int64 and found["count"] == 42
    assert not found["weight"].flags.writeable


def test_attributes_of_the_dict_are_left_out(torch):
    # PyTorch's OrderedDict carries `_metadata`, which is pickled as its state.
    value = state(torch)
    value._metadata = collections.OrderedDict(version=1)
    assert list(read_state_dict(zipped(value))) == ["weight", "transposed", "count"]


@pytest.mark.parametrize(
    "change",
    [
        {"offset": 2},  # the last number would be 2 + 1 * 3 + 2 * 1 = 7, of 0 to 6
        {"strides": (4, 1)},
        {"strides": (-3, 1)},
        {"offset": -1},
        {"shape": (1 << 40, 3), "strides": (0, 0)},  # no memory holds it
        {"shape": (2,)},
        {"shape": (2.0, 3)},
    ],
)
def test_windows_beyond_their_storage_are_refused(torch, change):
    for write in (zipped, legacy):
        with pytest.raises(EncoderError, match="not a readable PyTorch state dict"):
            read_state_dict(write(state(torch, **change)))


class _Touch:
    """Unpickled, it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_call_that_a_pickle_would_make_is_refused_and_not_made(torch, tmp_path):
    path = tmp_path / "touched"
    pickle.loads(pickle.dumps(_Touch(path))).close()  # noqa: S301
    assert path.exists()
    path.unlink()
    for protocol in (2, 4):
        with pytest.raises(EncoderError, match=r"the name _?io\.open is no part of a plain state dict"):
            read_state_dict(zipped({"weight": _Touch(path)}, protocol=protocol))
    assert not path.exists()


@pytest.mark.parametrize(
    ("program", "refused"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"cbuiltins\neval\n.", "builtins.eval"),
        (b"ctorch._utils\n_evil\n.", "torch._utils._evil"),
        (b"ctorch\nload\n.", "torch.load"),
        (b"ccollections\nOrderedDict.update\n.", "OrderedDict.update"),
        (b"(ios\nsystem\n.", "opcode INST"),
        (b"(cos\nsystem\no.", "os.system"),
        (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "opcode NEWOBJ"),
        (b"\x82\x01.", "opcode EXT1"),
        (b"Pstorage\n.", "opcode PERSID"),
        (b"ccollections\nOrderedDict\n(ccollections\nOrderedDict\ntR.", "a call of 'collections OrderedDict'"),
        (b"}}b.", "1 objects|no dict of tensors"),
        (b"]}b.", "a dict was expected"),
        (b"K\x01R.", "IndexError"),
        (b"}K\x01K\x02s.", "a tensor's name is 1"),
        (b"}X\x01\x00\x00\x00aK\x02s.", "holds a int beside the tensors"),
        (b"}].", "leaves 2 objects"),
        (b"}K\x01.", "leaves 2 objects"),
        (b"h\x05.", "KeyError"),
        (b"}(K\x01u.", "ValueError"),
        (b"X\xff\xff\xff\x7fa.", "ValueError"),
        (b"}", "ValueError"),
    ],
)
def test_other_programs_are_refused(program, refused):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", program)
    with pytest.raises(EncoderError, match=refused):
        read_state_dict(stream.getvalue())


def test_damaged_files_are_refused(torch):
    for write in (zipped, legacy):
        data = write(state(torch))
        for length in (0, 3, 40, len(data) // 2, len(data) - 1):
            with pytest.raises(EncoderError, match="not a readable PyTorch state dict"):
                read_state_dict(data[:length])
    with pytest.raises(EncoderError, match="storage 0 has 9 numbers where 7 were announced"):
        read_state_dict(legacy(state(torch), counts={"0": 9}))
    with pytest.raises(EncoderError, match="is compressed"):
        read_state_dict(zipped(state(torch), compression=zipfile.ZIP_DEFLATED))


def test_a_storage_has_one_type(torch):
    module, utils = torch
    value = state(torch)
    twice = _Storage(module.LongStorage, "0", np.zeros(3, np.int64))
    value["more"] = _Call(utils._rebuild_tensor_v2, twice, 0, (3,), (1,), False, collections.OrderedDict())
    with pytest.raises(EncoderError, match="storage 0 is announced twice"):
        read_state_dict(zipped(value))
