"""The check that a converted module computes what the published model computes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from mmrec_tf.encoders.base import random_signs
from mmrec_tf.errors import EncoderError

_PROJECTIONS = 4


@dataclass(frozen=True)
class Agreement:
    """Inputs, and what an independent implementation of the model gives for them.

    To store few numbers and yet miss no coordinate, vectors are compared by a few sums of all their coordinates under
    random signs; see `projected`.

    Attributes:
        inputs: makes the module's input.
        expected: by output key (`default` where the module returns one tensor), `[batch, 4]` projections.
        tolerance: largest difference of a projection.
    """

    inputs: Callable[[], np.ndarray]
    expected: dict[str, list[list[float]]]
    tolerance: float

    def check(self, module, name: str) -> float:
        """The largest difference.

        Raises:
            EncoderError: if it is beyond the tolerance.
        """
        outputs = module(tf.constant(self.inputs()), training=False)
        outputs = outputs if isinstance(outputs, dict) else {"default": outputs}
        largest = 0.0
        for key, expected in self.expected.items():
            difference = float(np.abs(projected(outputs[key].numpy()) - np.array(expected)).max())
            if not difference <= self.tolerance:
                raise EncoderError(
                    f"the converted module {name} differs from the published model: output {key} by {difference:.2g}, "
                    f"where {self.tolerance:.2g} is allowed. It was not kept. Please report it with the versions of "
                    "TensorFlow and NumPy and the kind of processor."
                )
            largest = max(largest, difference)
        return largest


def projected(vectors: np.ndarray) -> np.ndarray:
    """`[batch, dim]` vectors -> `[batch, 4]` float64 sums of their coordinates under random signs."""
    signs = random_signs((vectors.shape[-1], _PROJECTIONS), 1.0, seed=0)
    return np.asarray(vectors, np.float64) @ signs.astype(np.float64)
