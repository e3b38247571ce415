"""How often items turn up in the training examples: what negatives are drawn and corrected by."""

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
        `[size]` float32, summing to 1 over the items that have examples. Those that have none are given half an
        example, so that the logarithm is finite.

    Reference: Yi et al., Sampling-bias-corrected neural modeling for large corpus item recommendations (RecSys 2019).
    """
    counts = np.bincount(item_index, minlength=size).astype(np.float64)
    return (np.maximum(counts, 0.5) / max(counts.sum(), 1.0)).astype(np.float32)
