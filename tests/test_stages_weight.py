"""How much retrieval's score counts beside the ranker's, of users for whom it is plain what is best."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from mmrec_tf import stages

USERS, CANDIDATES = 400, 50
WANTED = np.random.default_rng(0).integers(0, CANDIDATES, USERS)
IS_WANTED = WANTED[:, None] == np.arange(CANDIDATES)


def weight(monkeypatch, similarities, scores) -> float:
    """The weight for users each of whom wants one of the candidates, which stand in the order of their rows."""
    validation = SimpleNamespace(user_rows=np.arange(USERS), relevant=csr_matrix(IS_WANTED))
    lists = SimpleNamespace(
        retrieval=lambda model, count: np.tile(np.arange(CANDIDATES), (USERS, 1)),
        similarities=lambda model, candidates: similarities,
        scores=lambda model, candidates: scores,
    )
    monkeypatch.setattr(stages, "judged_users", lambda prepared, part, most: (validation, lists))
    config = SimpleNamespace(evaluation=SimpleNamespace(k=[10]), export=SimpleNamespace(candidates=CANDIDATES))
    return stages.best_similarity_weight(SimpleNamespace(config=config), None, None)


def test_a_ranker_that_knows_more_takes_over(monkeypatch):
    # Cosines that know nothing, times 32, outweigh scores that differ by 1.
    similarities = np.random.default_rng(1).uniform(-1, 1, IS_WANTED.shape)
    assert weight(monkeypatch, similarities, IS_WANTED.astype(float)) == 0.0


def test_a_ranker_that_knows_nothing_is_not_heard(monkeypatch):
    # Scores that differ by up to 1,000, so that all but the largest weight leave the order to them.
    scores = np.random.default_rng(2).uniform(0, 1000, IS_WANTED.shape)
    assert weight(monkeypatch, IS_WANTED.astype(float), scores) == max(stages.SIMILARITY_WEIGHTS)


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_the_usual_weight_stands_where_all_are_as_good(monkeypatch, scale):
    # Both know the same, or the ranker says nothing.
    assert weight(monkeypatch, IS_WANTED.astype(float), scale * IS_WANTED) == stages.USUAL_WEIGHT


def test_the_usual_weight_stands_where_nobody_is_asked(monkeypatch):
    nobody = SimpleNamespace(user_rows=np.array([], int))
    monkeypatch.setattr(stages, "judged_users", lambda prepared, part, most: (nobody, None))
    assert stages.best_similarity_weight(None, None, None) == stages.USUAL_WEIGHT


def test_the_usual_weight_is_one_of_those_tried():
    assert stages.USUAL_WEIGHT in stages.SIMILARITY_WEIGHTS
