"""How often items turn up in the training examples, and what follows from it: negatives and weights."""

import numpy as np


def sampling_probabilities(item_index: np.ndarray, size: int) -> np.ndarray:
    """The share of training examples that each item is the positive of: its chance to be drawn as an in-batch negative.

    In-batch softmax meets popular items as negatives far more often than rare ones and would push them down.
    Subtracting log q from each logit (the logQ correction) makes the batch's softmax an estimate of the one over the
    whole catalogue.

    Args:
        item_index: `[n]` int. Item of each training example.
        size: int. Number of item indices.

    Returns:
        `[size]` float32, summing to 1. Items without training examples are given half an example, so that the
        logarithm is finite.

    Reference: Yi et al., Sampling-bias-corrected neural modeling for large corpus item recommendations (RecSys 2019).
    """
    counts = np.bincount(item_index, minlength=size).astype(np.float64)
    counts = np.maximum(counts, 0.5)
    return (counts / counts.sum()).astype(np.float32)


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
