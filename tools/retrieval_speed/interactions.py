"""Made-up interactions of the size and skew of MovieLens. Needs NumPy only."""

import numpy as np

SIZES = {
    "100k": (943, 1_682, 100_000),
    "1m": (6_040, 3_706, 1_000_000),
}
"""Users, items and interactions of MovieLens 100K and 1M."""


def interactions(users: int, items: int, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`[count]` int32 user rows and item rows, in the order of time.

    Both are skewed as in MovieLens, where the most popular tenth of the items has about half of the interactions.
    """
    random = np.random.default_rng(seed)
    return _skewed(random, users, count, 0.5), _skewed(random, items, count, 0.75)


def _skewed(random, size, count, power):
    """Rows whose frequency falls with a power of their place."""
    places = np.floor(size * random.random(count) ** (1.0 / (1.0 - power))).astype(np.int64)
    return random.permutation(size).astype(np.int32)[np.minimum(places, size - 1)]
