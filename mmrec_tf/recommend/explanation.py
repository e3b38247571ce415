"""Why one item scores as it does for one user, part by part."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Explanation:
    """What each part of an item contributes to its score for a user.

    A part's contribution is the score less what the score would be without it: positive where it speaks for the item.
    Parts that overlap share what they say, so that contributions need not sum to the score, which also holds what the
    item's categories, numbers and the user tell.

    Attributes:
        user_id: str. A user who is not known is answered for the average user.
        item_id: str.
        score: float. What `recommend` orders by, whether or not the item would make it into the list.
        contributions: dict of part -> float. The parts are the modalities and, last, `id`: what the item's own
            interactions tell. Exactly 0.0 for what the item does not have.
    """

    HEADER: ClassVar = ("part", "contribution")

    user_id: str
    item_id: str
    score: float
    contributions: dict[str, float]

    def to_rows(self) -> list[tuple[str, float]]:
        """(part, contribution), what counts most first."""
        return sorted(self.contributions.items(), key=lambda entry: -abs(entry[1]))
