"""Set-up shared by all tests: legacy Keras, quiet TensorFlow, fixed seeds, real data where it is present."""

import gc
import os

# TensorFlow reads these when it is imported, so they stand above every other import.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:
    # There are as many processes as cores: threads that share an operation would wait for each other's cores, which
    # takes a quarter of the suite's time.
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")

import random
import sys
from pathlib import Path

import numpy as np
import pytest

# A traced graph is hundreds of thousands of objects that live long: looking through them all for cycles as often as
# Python does by default takes a tenth of the suite's time.
gc.set_threshold(200_000, 20, 100)

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _fixed_seeds():
    """A test's result must not depend on which tests ran before it."""
    random.seed(0)
    np.random.seed(0)
    if "tf_keras" in sys.modules:
        sys.modules["tf_keras"].utils.set_random_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data that lies beside the checkout on the project's machines."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data not found: {folder} does not exist")
    return folder
