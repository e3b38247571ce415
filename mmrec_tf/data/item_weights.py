"""What training examples count, by how many others their item has."""

import numpy as np


def inverse_popularity_weights(item_index: np.ndarray, exponent: float = 0.5) -> np.ndarray:
    """What each training example counts where items that everybody takes are to count less.

    A loss that sums over interactions is mostly about the few items that have most of them. With

        weight = count(item) ** -exponent,   scaled to a mean of 1,

    the examples of an item count count ** (1 - exponent) in sum: as many as there are at 0, the same for every item
    at 1. The mean of 1 leaves the size of the loss, and so the learning rate, where it was.

    Args:
        item_index: `[n]` int. Item of each training example.
        exponent: float. Defaults to 0.5.

    Returns:
        `[n]` float32, in the order of the examples.

    Reference: Cui et al., Class-balanced loss based on effective number of samples (CVPR 2019), for the idea.
    """
    if not len(item_index):
        return np.zeros(0, np.float32)
    weights = np.bincount(item_index)[item_index].astype(np.float64) ** -exponent
    return (weights / weights.mean()).astype(np.float32)
