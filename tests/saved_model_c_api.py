"""Runs a SavedModel through TensorFlow's C library alone: the closest check to TensorFlow Serving without it.

`run_signatures` starts this very file in a process of its own, which loads the library of the installed wheel with
ctypes and never imports the Python package. Only TensorFlow's own ops exist there, as in the stock server: a graph that
needs a Python function or an op of another library does not load.
"""

import ctypes
import importlib.util
import json
import subprocess
import sys
from ctypes import c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

import numpy as np

_TYPES = {1: np.float32, 3: np.int32, 7: bytes, 9: np.int64}
"""TF_DataType -> what its elements are here."""
_STRING, _STRING_BYTES = 7, 24


def run_signatures(
    calls: list[tuple[Path, str, dict[str, np.ndarray]]], ops: Path | None = None
) -> list[dict[str, np.ndarray]]:
    """Outputs of (model directory, signature, inputs), strings as bytes, each call with a session of its own.

    `ops` is a library of further ops, for what is not meant for the stock server.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    requests = []
    for model, name, inputs in calls:
        content = saved_model_pb2.SavedModel.FromString((model / "saved_model.pb").read_bytes())
        signature = content.meta_graphs[0].signature_def[name]
        requests.append(
            {
                "model": str(model),
                "inputs": {signature.inputs[key].name: _as_text(value).tolist() for key, value in inputs.items()},
                "types": {signature.inputs[key].name: signature.inputs[key].dtype for key in inputs},
                "outputs": {key: info.name for key, info in signature.outputs.items()},
            }
        )
    folder = importlib.util.find_spec("tensorflow").submodule_search_locations[0]
    process = subprocess.run(
        [sys.executable, __file__, folder, *([] if ops is None else [str(ops)])],
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return [
        {
            key: np.array([text.encode("latin-1") for text in np.ravel(values)], object).reshape(np.shape(values))
            if np.asarray(values).dtype.kind == "U"
            else np.array(values)
            for key, values in answer.items()
        }
        for answer in json.loads(process.stdout)
    ]


def _as_text(value) -> np.ndarray:
    """Bytes as characters of the same numbers, which JSON holds whatever the bytes are; numbers as they are."""
    value = np.asarray(value)
    if value.dtype.kind not in "SUO":
        return value
    strings = [text if isinstance(text, bytes) else str(text).encode() for text in value.ravel().tolist()]
    return np.array([text.decode("latin-1") for text in strings], object).reshape(value.shape)


class _Output(ctypes.Structure):
    """TF_Output: an operation and the number of one of its outputs."""

    _fields_ = [("operation", c_void_p), ("index", c_int)]


class _Library:
    """The C functions that are needed, by name, with their types."""

    _RESULTS = {
        "TF_Message": c_char_p,
        "TF_GetCode": c_int,
        "TF_NumDims": c_int,
        "TF_Dim": c_int64,
        "TF_TensorType": c_int,
        "TF_StringGetSize": c_size_t,
        "TF_SetConfig": None,
        "TF_SessionRun": None,
        "TF_StringInit": None,
        "TF_StringCopy": None,
    }
    _ARGUMENTS = {
        "TF_AllocateTensor": [c_int, ctypes.POINTER(c_int64), c_int, c_size_t],
        "TF_Dim": [c_void_p, c_int],
        "TF_LoadLibrary": [c_char_p, c_void_p],
        "TF_GraphOperationByName": [c_void_p, c_char_p],
        "TF_LoadSessionFromSavedModel": [
            c_void_p, c_void_p, c_char_p, ctypes.POINTER(c_char_p), c_int, c_void_p, c_void_p, c_void_p,
        ],
        "TF_SessionRun": [
            c_void_p, c_void_p, ctypes.POINTER(_Output), ctypes.POINTER(c_void_p), c_int,
            ctypes.POINTER(_Output), ctypes.POINTER(c_void_p), c_int, c_void_p, c_int, c_void_p, c_void_p,
        ],
        "TF_StringCopy": [c_void_p, c_char_p, c_size_t],
    }  # fmt: skip
    _WITHOUT_ARGUMENTS = ("TF_NewStatus", "TF_NewGraph", "TF_NewSessionOptions")

    def __init__(self, folder: Path):
        ctypes.CDLL(str(folder / "libtensorflow_framework.so.2"), ctypes.RTLD_GLOBAL)
        self._library = ctypes.CDLL(str(folder / "libtensorflow_cc.so.2"), ctypes.RTLD_GLOBAL)

    def load_ops(self, path: str) -> None:
        status = self.NewStatus()
        self.LoadLibrary(path.encode(), status)
        if self.GetCode(status):
            raise RuntimeError(self.Message(status).decode())

    def __getattr__(self, name: str):
        function = getattr(self._library, f"TF_{name}")
        function.restype = self._RESULTS.get(f"TF_{name}", c_void_p)
        one = [] if f"TF_{name}" in self._WITHOUT_ARGUMENTS else [c_void_p]
        function.argtypes = self._ARGUMENTS.get(f"TF_{name}", one)
        return function


class _Model:
    """A SavedModel in a session of the C library."""

    def __init__(self, library: _Library, folder: str):
        self._tf = library
        self._status = library.NewStatus()
        self._graph = library.NewGraph()
        self._session = library.LoadSessionFromSavedModel(
            library.NewSessionOptions(),
            None,
            folder.encode(),
            (c_char_p * 1)(b"serve"),
            1,
            self._graph,
            None,
            self._status,
        )
        self._check()

    def run(self, inputs: dict[str, list], types: dict[str, int], outputs: dict[str, str]) -> dict[str, list]:
        """Values by tensor name -> values by output name."""
        given = (c_void_p * len(inputs))(*(self._tensor(value, types[name]) for name, value in inputs.items()))
        found = (c_void_p * len(outputs))()
        self._tf.SessionRun(
            self._session,
            None,
            (_Output * len(inputs))(*map(self._place, inputs)),
            given,
            len(inputs),
            (_Output * len(outputs))(*map(self._place, outputs.values())),
            found,
            len(outputs),
            None,
            0,
            None,
            self._status,
        )
        self._check()
        return {name: self._values(tensor) for name, tensor in zip(outputs, found)}

    def _check(self):
        if self._tf.GetCode(self._status):
            raise RuntimeError(self._tf.Message(self._status).decode())

    def _place(self, name: str) -> _Output:
        operation, _, index = name.partition(":")
        return _Output(self._tf.GraphOperationByName(self._graph, operation.encode()), int(index or 0))

    def _tensor(self, values, number: int) -> int:
        if number == _STRING:
            shape, strings = np.shape(values), [text.encode("latin-1") for text in np.ravel(values)]
            tensor = self._tf.AllocateTensor(
                number, (c_int64 * len(shape))(*shape), len(shape), len(strings) * _STRING_BYTES
            )
            start = self._tf.TensorData(tensor)
            for place, text in enumerate(strings):
                self._tf.StringInit(start + place * _STRING_BYTES)
                self._tf.StringCopy(start + place * _STRING_BYTES, text, len(text))
            return tensor
        array = np.ascontiguousarray(values, _TYPES[number])
        tensor = self._tf.AllocateTensor(number, (c_int64 * array.ndim)(*array.shape), array.ndim, array.nbytes)
        ctypes.memmove(self._tf.TensorData(tensor), array.ctypes.data, array.nbytes)
        return tensor

    def _values(self, tensor: int) -> list:
        shape = [self._tf.Dim(tensor, axis) for axis in range(self._tf.NumDims(tensor))]
        start, count, kind = self._tf.TensorData(tensor), int(np.prod(shape)), _TYPES[self._tf.TensorType(tensor)]
        if kind is bytes:
            places = range(start, start + count * _STRING_BYTES, _STRING_BYTES)
            strings = [
                ctypes.string_at(self._tf.StringGetDataPointer(place), self._tf.StringGetSize(place)).decode("latin-1")
                for place in places
            ]
            return np.array(strings).reshape(shape).tolist()
        return np.frombuffer(ctypes.string_at(start, count * np.dtype(kind).itemsize), kind).reshape(shape).tolist()


def main() -> None:
    library = _Library(Path(sys.argv[1]))
    for ops in sys.argv[2:]:
        library.load_ops(ops)
    models = {}
    answers = []
    for request in json.load(sys.stdin):
        folder = request.pop("model")
        if folder not in models:
            models[folder] = _Model(library, folder)
        answers.append(models[folder].run(**request))
    assert "tensorflow" not in sys.modules
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
