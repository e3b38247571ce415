"""Histories to try encoders on, of 5 users and up to 6 items of width 4."""

import numpy as np

LENGTH, DIM = 6, 4
# A full history, one that lacks an item, some, all but one, and none.
MASK = np.arange(LENGTH) >= np.array([0, 1, 3, 5, 6])[:, None]


def given(seed: int = 0) -> dict[str, np.ndarray]:
    """`items`, `mask` and `gaps` as an encoder is called with."""
    random = np.random.default_rng(seed)
    return {
        "items": random.normal(size=[*MASK.shape, DIM]).astype(np.float32),
        "mask": MASK,
        "gaps": np.where(MASK, random.integers(0, 32, MASK.shape), 0).astype(np.int32),
    }


def randomized(encoder, seed: int = 1):
    """The encoder with weights far from where training starts, so that all its parts matter."""
    encoder(**given())
    random = np.random.default_rng(seed)
    for weight in encoder.weights:
        weight.assign_add(0.5 * random.normal(size=weight.shape).astype(np.float32))
    return encoder
