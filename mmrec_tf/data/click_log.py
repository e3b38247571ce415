"""What a log of shown items has besides its clicks: the place of each item, and negatives by the million."""

from dataclasses import dataclass

import numpy as np

from mmrec_tf.errors import DataError

POSITION_BUCKETS = 32
"""Places that are told apart; where a log has more of them, neighbours are put together, with as many rows in each."""


@dataclass(frozen=True)
class PositionBuckets:
    """Positions as buckets: one for each position, or, of more than `POSITION_BUCKETS`, one for some neighbours.

    Attributes:
        starts: `[buckets - 1]` float64, rising. The first position of each bucket but the first.
    """

    starts: np.ndarray

    @classmethod
    def fit(cls, positions: np.ndarray, name: str = "position") -> "PositionBuckets":
        """Buckets of the positions of the training interactions.

        Args:
            positions: `[n]` float; NaN where it is not known.
            name: of the column, for the message.

        Raises:
            DataError: if no row has a position.
        """
        known = positions[np.isfinite(positions)]
        if not len(known):
            raise DataError(f"no training interaction has a {name}. Fill the column, or leave out position.")
        found = np.unique(known)
        if len(found) > POSITION_BUCKETS:
            shares = np.linspace(0.0, 1.0, POSITION_BUCKETS + 1)[1:-1]
            found = np.unique(np.quantile(known, [0.0, *shares], method="higher"))
        return cls(found[1:])

    def apply(self, positions: np.ndarray) -> np.ndarray:
        """`[n]` int32 buckets from 1; 0 where the position is not known."""
        buckets = np.searchsorted(self.starts, positions, side="right") + 1
        return np.where(np.isfinite(positions), buckets, 0).astype(np.int32)


def trained_rows(labels: np.ndarray, negatives_kept: float, position: str | None, seed: int) -> np.ndarray:
    """`[n]` bool: the interactions that a ranker is trained on, all positives and a share of the negatives at random.

    Args:
        labels: `[n]`, above 0 for positives.
        negatives_kept: float in (0, 1]. The share.
        position: name of the column of positions, or None.
        seed: int. Of the draw.

    Raises:
        DataError: if there is no negative and a setting needs some: to thin them out, or to tell what the place does.
    """
    is_positive = np.asarray(labels) > 0
    for setting, is_set in (("position", position is not None), ("negatives_kept", negatives_kept < 1.0)):
        if is_set and is_positive.all():
            raise DataError(
                f"models.ranking.{setting} needs training interactions that are no positives, what was shown and not "
                f"taken, and all {len(labels)} are positives. Add those rows with a label of 0, or leave {setting} out."
            )
    if negatives_kept == 1.0:
        return np.ones(len(is_positive), bool)
    return is_positive | (np.random.default_rng(seed).random(len(is_positive)) < negatives_kept)
