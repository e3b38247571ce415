"""A configuration to search in, and judges with a known best setting in place of training."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from mmrec_tf.config import Config
from mmrec_tf.search.judge import Judged
from tests import tiny_world

SPACE = {
    "train.learning_rate": {"low": 0.0001, "high": 0.1, "scale": "log"},
    "models.retrieval.dim": [8, 16, 32, 64],
    "models.retrieval.dropout": {"low": 0.0, "high": 0.8},
}
BEST = {"train.learning_rate": 0.01, "models.retrieval.dim": 32, "models.retrieval.dropout": 0.4}


class Killed(BaseException):
    """Takes the place of a signal."""


def config(space=None, retrieval=None, **search) -> Config:
    """The tiny world with a search in it; a width of 8 and a rate of 0.002 are where it begins."""
    method = {"method": "random", "trials": 12, **search}
    return tiny_world.config(search={**method, "space": SPACE if space is None else space}, retrieval=retrieval or {})


def known_score(config: Config) -> float:
    """1 at `BEST`, falling on all sides."""
    options = config.models.retrieval
    return (
        1.0
        - 0.1 * abs(math.log10(config.train.learning_rate) + 2.0)
        - 0.05 * abs(math.log2(options.dim) - 5.0)
        - abs(options.dropout - 0.4)
    )


@dataclass
class StubJudge:
    """Scores without training, and remembers what it was asked.

    Args:
        score: configuration -> score, which may raise.
        kill_at: int. Number of the call that ends the process, so to say; None for none.
    """

    score: object = known_score
    kill_at: int | None = None
    interactions: str = "as they are"
    asked: list[Config] = field(default_factory=list)

    def begin(self) -> None:
        """There is nothing that all trials share."""

    def __call__(self, config: Config) -> Judged:
        self.asked.append(config)
        if len(self.asked) == self.kill_at:
            raise Killed
        return Judged(self.score(config), config.train.epochs)

    def made(self, config: Config, folder: Path, progress) -> "StubJudge":
        """For `make_judge`."""
        return self
