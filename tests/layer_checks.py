"""One check that every public layer passes: call, gradient, dtype policy, XLA, JSON, weights, SavedModel."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

_TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}

_RELOAD = """
import sys
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
given = np.load(folder + "/inputs.npz")
signature = tf.saved_model.load(folder + "/model").signatures["serving_default"]
found = signature(**{name: tf.constant(given[name]) for name in given.files})
assert not any(module.split(".")[0] == "mmrec_tf" for module in sys.modules)
np.savez(folder + "/found.npz", **{name: value.numpy() for name, value in found.items()})
"""


def check_layer(
    layer_factory: Callable[[], tf_keras.layers.Layer],
    call_inputs,
    folder: Path,
    *,
    call_arguments: dict | None = None,
    expected_shape=None,
    is_trainable: bool = True,
    has_float32_output: bool = False,
    compiles: bool = True,
    fresh_process: bool = False,
) -> tf_keras.layers.Layer:
    """Checks that a layer does all that this project promises of its public layers.

    The layer is called as `layer(call_inputs, **call_arguments)`; both may hold nested dicts, lists and tuples of
    arrays. Layers are compared in inference mode.

    Args:
        layer_factory: makes a new layer with the same arguments each time.
        call_inputs: the first call argument.
        folder: an empty directory to write to, such as `tmp_path`.
        call_arguments: further call arguments by name.
        expected_shape: shape of the output, or a structure of shapes like the output; not checked when None.
        is_trainable: bool. The layer has trainable weights and a gradient reaches all of them.
        has_float32_output: bool. The layer promises float32 also under a mixed precision policy.
        compiles: bool. The layer can be compiled by XLA; layers that take strings cannot.
        fresh_process: bool. Reload the SavedModel also in a new process that does not import mmrec_tf (some seconds).

    Returns:
        The first layer made, after it has been called.
    """
    inputs = tf.nest.map_structure(tf.convert_to_tensor, (call_inputs, call_arguments or {}))

    def run(layer, training=False):
        given, arguments = inputs
        return layer(given, **arguments, **({"training": training} if _takes_training(layer) else {}))

    layer = layer_factory()
    expected = run(layer)
    assert layer.built, "the layer is not built after a call"
    _check_output(expected, expected_shape)
    _check_gradient(layer, run, is_trainable)
    _check_policy(layer_factory, run, expected, has_float32_output)
    if compiles:
        _assert_equal(tf.function(lambda: run(layer), jit_compile=True)(), expected, "XLA")
    _check_config_and_weights(layer, run, expected, folder)
    _check_saved_model(layer, inputs, run, expected, folder, fresh_process)
    return layer


def _takes_training(layer) -> bool:
    return layer._call_spec.expects_training_arg


def _check_output(output, expected_shape):
    for value in tf.nest.flatten(output):
        if value.dtype.is_floating:
            assert np.isfinite(value.numpy()).all(), "the output is not finite"
    if expected_shape is not None:
        found = tf.nest.map_structure(lambda value: tuple(value.shape), output)
        assert found == expected_shape, f"output shape {found}, expected {expected_shape}"


def _check_gradient(layer, run, is_trainable):
    assert bool(layer.trainable_weights) == is_trainable, [weight.name for weight in layer.trainable_weights]
    if not is_trainable:
        return
    with tf.GradientTape() as tape:
        # Fixed random weights of the outputs, as the plain sum of, say, a softmax is constant.
        random = np.random.default_rng(0)
        loss = tf.add_n(
            [
                tf.reduce_sum(tf.cast(value, tf.float32) * random.normal(size=value.shape).astype(np.float32))
                for value in tf.nest.flatten(run(layer, training=True))
                if value.dtype.is_floating
            ]
            # What the layer adds to the model's loss by `add_loss` trains weights too.
            + [tf.cast(value, tf.float32) for value in layer.losses]
        )
    for weight, gradient in zip(layer.trainable_weights, tape.gradient(loss, layer.trainable_weights)):
        assert gradient is not None, f"no gradient reaches {weight.name}"
        values = tf.convert_to_tensor(gradient).numpy()
        assert np.isfinite(values).all(), f"the gradient of {weight.name} is not finite"
        assert np.abs(values).max() > 0, f"the gradient of {weight.name} is zero"


def _check_policy(layer_factory, run, expected, has_float32_output):
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        output = run(layer_factory())
    finally:
        tf_keras.mixed_precision.set_global_policy(before)
    for value, reference in zip(tf.nest.flatten(output), tf.nest.flatten(expected)):
        assert value.shape == reference.shape
        if reference.dtype.is_floating:
            assert np.isfinite(tf.cast(value, tf.float32).numpy()).all(), "not finite under mixed_bfloat16"
            if has_float32_output:
                assert value.dtype == tf.float32, f"{value.dtype.name} output under mixed_bfloat16"


def _check_config_and_weights(layer, run, expected, folder):
    serialized = json.loads(json.dumps(tf_keras.layers.serialize(layer)))
    assert serialized.get("registered_name", "").startswith("mmrec_tf>"), "not registered with package='mmrec_tf'"
    copy = tf_keras.layers.deserialize(serialized)
    assert type(copy) is type(layer)
    # Through JSON again: the shapes that Keras keeps for nested layers are tuples before and lists after.
    assert json.loads(json.dumps(tf_keras.layers.serialize(copy)))["config"] == serialized["config"]
    # Optimisers and random initialisers must not matter, so the original is moved away from its initial weights.
    random = np.random.default_rng(1)
    initial = [weight.numpy() for weight in layer.weights]
    for weight in layer.weights:
        if weight.dtype.is_floating:
            weight.assign_add(0.01 * random.normal(size=weight.shape).astype(np.float32))
    moved = run(layer)
    checkpoint = tf.train.Checkpoint(layer=layer).write(str(folder / "checkpoint"))
    run(copy)
    tf.train.Checkpoint(layer=copy).read(checkpoint).assert_existing_objects_matched()
    _assert_equal(run(copy), moved, "weights restored from a checkpoint")
    for weight in copy.weights:
        weight.assign(tf.zeros_like(weight))
    copy.set_weights(layer.get_weights())
    _assert_equal(run(copy), moved, "set_weights(get_weights())")
    layer.set_weights(initial)
    _assert_equal(run(layer), expected, "weights set back")


def _check_saved_model(layer, inputs, run, expected, folder, fresh_process):
    """Exports the layer with a signature of flat inputs (which may nest in Python, but not in a signature)."""
    flat = tf.nest.flatten(inputs)
    module = tf.Module()
    module.layer = layer

    @tf.function
    def serve(**given):
        values = tf.nest.pack_sequence_as(inputs, [given[f"input_{i}"] for i in range(len(flat))])
        arguments = {**values[1], **({"training": False} if _takes_training(layer) else {})}
        output = tf.nest.flatten(layer(values[0], **arguments))
        return {f"output_{i}": value for i, value in enumerate(output)}

    specs = {
        f"input_{i}": tf.TensorSpec([None, *value.shape[1:]] if value.shape.rank else [], value.dtype, f"input_{i}")
        for i, value in enumerate(flat)
    }
    path = folder / "exported" / "model"
    tf.saved_model.save(module, str(path), signatures=serve.get_concrete_function(**specs))
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    given = {f"input_{i}": value for i, value in enumerate(flat)}
    found = signature(**given)
    wanted = tf.nest.flatten(expected)
    _assert_equal([found[f"output_{i}"] for i in range(len(wanted))], wanted, "SavedModel")
    if fresh_process:
        np.savez(path.parent / "inputs.npz", **{name: _plain(value) for name, value in given.items()})
        command = [sys.executable, "-c", _RELOAD, str(path.parent)]
        process = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert process.returncode == 0, process.stderr[-2000:]
        with np.load(path.parent / "found.npz") as again:
            _assert_equal([again[f"output_{i}"] for i in range(len(wanted))], wanted, "SavedModel in a fresh process")


def _plain(value):
    """A NumPy array that `np.savez` stores without pickling."""
    array = value.numpy()
    return array.astype("S") if array.dtype == object else array


def _assert_equal(found, expected, what):
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), err_msg=what, **_TOLERANCE)
