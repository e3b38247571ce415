"""Whether ScaNN, which is an extra, is installed beside the TensorFlow that it fits."""

import pytest

from mmrec_tf.errors import ServingError
from mmrec_tf.recommend.scann_library import scann_ops


def _missing() -> str:
    try:
        scann_ops()
    except ServingError as error:
        return str(error)
    return ""


needs_scann = pytest.mark.skipif(bool(_missing()), reason=f"needs mmrec-tf[scann]: {_missing()}")
