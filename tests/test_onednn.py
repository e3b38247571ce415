"""TensorFlow chooses its kernels when it is imported, so every case runs in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.quick_stack

REPOSITORY = Path(__file__).resolve().parents[1]
VARIABLE = "TF_ENABLE_ONEDNN_OPTS"

# Without oneDNN no CPU has this gradient; on processors without VNNI only the variable brings it.
GROUPED_CONVOLUTION = """
import mmrec_tf
import tensorflow as tf
signal, kernel = tf.ones([1, 5, 4]), tf.Variable(tf.ones([3, 2, 4]))
with tf.GradientTape() as tape:
    total = tf.reduce_sum(tf.nn.conv1d(signal, kernel, stride=1, padding="SAME"))
print(tape.gradient(total, kernel).numpy()[:, 0, 0].tolist())
"""


def output(code: str, **environment: str) -> str:
    """What a fresh Python prints that has the variable only where it is given."""
    inherited = {name: value for name, value in os.environ.items() if name != VARIABLE}
    environment = {**inherited, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(REPOSITORY), **environment}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_grouped_convolutions_have_a_gradient():
    # A kernel's first and last place each miss one of the five steps, where it stands over the padding.
    assert output(GROUPED_CONVOLUTION) == "[4.0, 5.0, 4.0]"


def test_what_the_user_decides_stays():
    shown = f"import os, mmrec_tf; print(os.environ['{VARIABLE}'])"
    assert output(shown) == "1"
    assert output(shown, **{VARIABLE: "0"}) == "0"
