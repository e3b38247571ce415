"""The real modules elsewhere: trained by `hub.KerasLayer` without mmrec_tf, exported, loaded in a fresh process."""

import subprocess
import sys

import numpy as np
import pytest

# What a stranger would write.
_TRAIN = """
import sys
import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text
import tf_keras

random = np.random.default_rng(0)
makers = {
    "text": lambda: np.array(["a red dress", "blue shoes for the beach"]),
    "image": lambda: random.random((2, 224, 224, 3), np.float32),
    "audio": lambda: random.normal(size=(2, 48000)).astype(np.float32) / 9,
}
for modality, path in zip(makers, sys.argv[2:]):
    inputs = makers[modality]()
    vector = hub.KerasLayer(path, trainable=True)
    given = tf_keras.Input(inputs.shape[1:], dtype=tf.as_dtype(inputs.dtype) if modality != "text" else tf.string)
    output = vector(given)
    model = tf_keras.Model(given, tf_keras.layers.Dense(1)(output["default"] if modality == "audio" else output))
    # Not compiled: tracing a step takes longer than one step.
    model.compile(tf_keras.optimizers.legacy.Adam(1e-3), "mse", run_eagerly=True)
    before = [weight.numpy() for weight in vector.trainable_weights]
    model.fit(tf.constant(inputs), np.array([0.0, 1.0]), verbose=0)
    same = [weight.name for weight, old in zip(vector.trainable_weights, before) if np.all(weight.numpy() == old)]
    assert len(before) > 10 and not same, (path, len(before), same)
    scores = model(tf.constant(inputs), training=False).numpy()
    np.savez(f"{sys.argv[1]}/{modality}.npz", inputs=inputs, scores=scores)
    model.save(f"{sys.argv[1]}/{modality}", save_format="tf")
assert not any(module.split(".")[0] == "mmrec_tf" for module in sys.modules)
"""
_RELOAD = """
import sys
import numpy as np
import tensorflow as tf
import tensorflow_text

for modality in ("text", "image", "audio"):
    with np.load(f"{sys.argv[1]}/{modality}.npz") as given:
        signature = tf.saved_model.load(f"{sys.argv[1]}/{modality}").signatures["serving_default"]
        (name,) = signature.structured_input_signature[1]
        (scores,) = signature(**{name: tf.constant(given["inputs"])}).values()
        np.testing.assert_allclose(scores, given["scores"], rtol=1e-3, atol=1e-4)
"""


def run(source, folder, *arguments):
    command = [sys.executable, "-c", source, str(folder), *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=folder)
    assert process.returncode == 0, process.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.thorough
def test_trained_exported_and_reloaded(build_real, tmp_path):
    run(_TRAIN, tmp_path, build_real("minilm"), build_real("efficientnet_lite0"), build_real("musicnn"))
    with np.load(tmp_path / "audio.npz") as written:
        assert written["scores"].shape == (2, 1)
    run(_RELOAD, tmp_path)
