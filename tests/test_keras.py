"""Which Keras a process ends up with depends on what it imported first, so every case runs in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick_stack

REPOSITORY = Path(__file__).resolve().parents[1]


def run(*arguments: str, legacy_keras: str | None = None) -> subprocess.CompletedProcess:
    """Runs a fresh Python in which TF_USE_LEGACY_KERAS has the given value, or none."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(REPOSITORY)}
    if legacy_keras is not None:
        environment["TF_USE_LEGACY_KERAS"] = legacy_keras
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=120)


def assert_succeeds(process: subprocess.CompletedProcess) -> None:
    assert process.returncode == 0, process.stderr


def assert_import_error(process: subprocess.CompletedProcess, *parts: str) -> None:
    """The process died of an ImportError of one sentence that holds all `parts`."""
    kind, _, message = process.stderr.strip().splitlines()[-1].partition(": ")
    assert process.returncode == 1 and kind == "ImportError", process.stderr
    assert message.endswith(".") and ". " not in message
    for part in parts:
        assert part in message


# Every way to reach Keras has to give the same classes, and TensorFlow Recommenders has to accept them.
ALL_ROADS_LEAD_TO_KERAS_2 = """
import tensorflow as tf, tf_keras, tensorflow_recommenders
from tensorflow.keras import layers
import tensorflow.keras.losses
for layer in (tf.keras.layers.Layer, layers.Layer):
    assert layer is tf_keras.layers.Layer, layer
assert issubclass(tensorflow_recommenders.Model, tf_keras.Model)
assert tensorflow.keras.losses.Loss is tf_keras.losses.Loss
assert isinstance(tf.optimizers.Adam(), tf_keras.optimizers.Optimizer)
"""


def test_importing_the_package_does_not_import_tensorflow():
    assert_succeeds(
        run(
            "-c",
            "import os, sys, mmrec_tf\n"
            "assert os.environ['TF_USE_LEGACY_KERAS'] == '1'\n"
            "heavy = {'tensorflow', 'tf_keras', 'keras', 'pandas', 'matplotlib'} & set(sys.modules)\n"
            "assert not heavy, heavy",
        )
    )


def test_package_first_gives_legacy_keras():
    assert_succeeds(run("-c", "import mmrec_tf" + ALL_ROADS_LEAD_TO_KERAS_2))


def test_tensorflow_first_but_keras_untouched_is_repaired():
    assert_succeeds(run("-c", "import tensorflow\nimport mmrec_tf" + ALL_ROADS_LEAD_TO_KERAS_2))


@pytest.mark.parametrize("touch", ["tensorflow.keras.layers.Dense(1)", "from tensorflow.keras import layers"])
def test_keras_3_already_in_use_is_refused(touch):
    process = run("-c", f"import tensorflow\n{touch}\nimport mmrec_tf")
    assert_import_error(process, "Keras 3", "import mmrec_tf first", "os.environ['TF_USE_LEGACY_KERAS'] = '1'")


@pytest.mark.parametrize("value", ["0", "TRUE"])
def test_variable_that_tensorflow_reads_as_keras_3_is_refused(value):
    assert_import_error(
        run("-c", "import mmrec_tf", legacy_keras=value), "TF_USE_LEGACY_KERAS", repr(value), "set it to 1"
    )


def test_autograph_leaves_keras_and_the_package_alone_and_still_converts_other_code(tmp_path):
    # A Python `if` on a tensor needs conversion: it must keep working in a user's own tf.function, and in the `call` of
    # a layer that the package's code calls.
    script = tmp_path / "autograph.py"
    # A file, because AutoGraph cannot read source given with -c.
    script.write_text(
        """
import mmrec_tf
from mmrec_tf._keras import speed_up_autograph
from mmrec_tf.models.batched_calls import call_in_batches
from mmrec_tf.models.two_tower import TwoTower
import tensorflow as tf, tf_keras
from tensorflow.python.autograph.core import config
from tensorflow.python.autograph.impl import conversion

speed_up_autograph()
assert conversion.is_allowlisted(tf_keras.layers.Dense.call) and conversion.is_allowlisted(TwoTower.compute_loss)
rules = config.CONVERSION_RULES
speed_up_autograph()
assert config.CONVERSION_RULES is rules

@tf.function
def size(x):
    if tf.reduce_sum(x) > 1.0:
        return 2
    return 1
assert size(tf.constant([3.0])) == 2 and size(tf.constant([0.5])) == 1

class Size(tf_keras.layers.Layer):
    def call(self, x):
        if tf.reduce_sum(x) > 1.0:
            return x + 2.0
        return x

model = tf_keras.Sequential([Size()])
assert call_in_batches(model.call, tf.constant([3.0]), batch_size=1).tolist() == [5.0]
assert call_in_batches(model.call, tf.constant([0.5]), batch_size=1).tolist() == [0.5]
"""
    )
    assert_succeeds(run(str(script)))
