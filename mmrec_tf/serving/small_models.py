"""Models for devices: TFLite files in float32, float16 and int8, and what runs them."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from mmrec_tf._keras import weight_name
from mmrec_tf.errors import ServingError

PRECISIONS = ("float32", "float16", "int8", "int8 full")

_STEP = "."


class SmallModel:
    """A TFLite model that answers in this process, in one thread; an interpreter is not to be asked by two at once.

    Args:
        content: bytes of the `.tflite` file, with one signature of one output.

    Call arguments:
        inputs: dict of the signature's inputs, arrays of exactly its shapes; see `named_inputs`.

    Returns:
        The output as an array.
    """

    def __init__(self, content: bytes):
        self.content = content
        with _silenced():
            self._interpreter = tf.lite.Interpreter(model_content=content, num_threads=1)
            self._interpreter.allocate_tensors()
        runner = self._interpreter.get_signature_runner()
        self.inputs = {name: detail["index"] for name, detail in runner.get_input_details().items()}
        (self._output,) = (detail["index"] for detail in runner.get_output_details().values())

    def __call__(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        for name, index in self.inputs.items():
            self._interpreter.set_tensor(index, inputs[name])
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)

    def describe(self) -> dict[str, dict]:
        """Input name -> `dtype` and `shape`, as JSON takes them."""
        details = self._interpreter.get_signature_runner().get_input_details()
        return {
            name: {"dtype": np.dtype(detail["dtype"]).name, "shape": detail["shape"].tolist()}
            for name, detail in sorted(details.items())
        }


def small_model(
    call: Callable[[dict], tf.Tensor],
    example: dict[str, Any],
    precision: str,
    calibration: list[dict[str, Any]] = (),
) -> bytes:
    """A function of a model's inputs as a TFLite file.

    - `float32`: as it is.
    - `float16`: weights of half the size, which become float32 where they are used.
    - `int8`: weights of a quarter; dynamic range, that is, what is computed from the inputs is quantised as it comes.
    - `int8 full`: what is computed is whole numbers too, scaled by what the calibration examples gave. The file's
      inputs and output stay as they are.

    Args:
        call: from the inputs, as a dict that may be nested, to one tensor.
        example: the inputs of one request, arrays; the file takes arrays of these shapes.
        precision: one of `PRECISIONS`.
        calibration: further examples, for `int8 full`.

    Raises:
        ServingError: for a precision that is not known or has no examples, and with the converter's reason where it
            gives up.
    """
    if precision not in PRECISIONS:
        raise ServingError(f"precision is {precision!r}. Allowed: {', '.join(PRECISIONS)}.")
    if precision == "int8 full" and not calibration:
        raise ServingError("int8 full needs calibration examples, inputs as training saw them. Give some.")
    specs = [tf.TensorSpec(x.shape, x.dtype, name=name) for name, x in named_inputs(example).items()]

    @tf.function(input_signature=specs)
    def flat(*given):
        return {"output": call(_nested(example, iter(given)))}

    function = flat.get_concrete_function()
    # The converter wants something that tracks the variables; a model itself would be saved with all that Keras knows.
    holder = tf.Module()
    holder.tracked = list(function.graph.variables)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], holder)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8 full":
        converter.representative_dataset = lambda: (named_inputs(one) for one in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    try:
        with _silenced():
            return converter.convert()
    except Exception as error:
        # The converter raises what its passes raise, of any kind; its first line says which op it was.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ServingError(f"TFLite cannot hold this in {precision}: {reason[:200]}") from error


def named_inputs(inputs: dict[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    """Nested inputs as one dict, named `context.numbers.age` by where they stood, in the order of the names."""
    flat = {}
    for name in sorted(inputs):
        path, value = f"{prefix}{weight_name(name)}", inputs[name]
        # `price ($)` and `price [$]` become the same name.
        while path in flat:
            path += "_"
        flat |= named_inputs(value, f"{path}{_STEP}") if isinstance(value, dict) else {path: np.asarray(value)}
    return flat


def _nested(example: dict[str, Any], values: Iterator[tf.Tensor]) -> dict[str, Any]:
    """The values in the places of an example that `named_inputs` has flattened."""
    return {
        name: _nested(example[name], values) if isinstance(example[name], dict) else next(values)
        for name in sorted(example)
    }


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Without what TFLite's C++ side prints on every conversion, past Python, to the error stream."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
