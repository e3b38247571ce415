"""A window of answers against a reference: by hand, and moving on."""

import numpy as np
import pytest

from mmrec_tf.serving.id_sketches import KnownIds
from mmrec_tf.serving.model_drift import ModelDrift
from mmrec_tf.serving.reference import Distribution, Reference

LOWEST = np.finfo(np.float32).min
# Two places over two bins, 0 to 0.5 and above: the first place is high in 3 of 4 lists, the second in 1 of 4.
SCORES = Distribution(np.array([[0.5]] * 2), np.array([[1, 3], [3, 1]]), np.zeros(2), np.ones(2))
EMBEDDINGS = Distribution(np.array([[0.0]] * 3), np.array([[5, 5], [5, 5], [0, 10]]), np.zeros(3), np.array([1, 1, 0]))


def drift(clock=lambda: 0.0, **changes):
    said = {
        "catalogue_size": 10,
        "known": {"user": KnownIds.of(["u1", "u2"]), "item": KnownIds.of([f"i{n}" for n in range(10)])},
        "scores": SCORES,
        "score_signatures": ("recommend",),
        "embeddings": EMBEDDINGS,
        "embedding_signatures": ("embed_user",),
        "listed_times": np.array([1]),
        "listed_items": np.array([10]),
    }
    return ModelDrift(Reference(**said | changes), 1200, clock)


def texts(*rows):
    return np.array(rows, object)


def lists(first, second, count):
    scores = np.tile(np.array([[first, second]], np.float32), (count, 1))
    return {"item_id": np.tile(texts([b"i0", b"i1"]), (count, 1)), "score": scores}


def test_scores_as_expected_are_no_shift():
    watched = drift()
    # By hand 3/4 of the first places are high, and 1/4 of the second.
    for first, second, count in [(0.9, 0.1, 300), (0.9, 0.9, 0), (0.1, 0.1, 0), (0.2, 0.7, 100)]:
        watched.add("recommend", {}, lists(first, second, count))
    report = watched.report()
    assert report.score_rows == 400 and report.score_expected == [0.5, 0.5] and report.score_observed == [0.5, 0.5]
    assert report.score_psi == 0


def test_shorter_lists_are_compared_with_their_places():
    watched = drift()
    answer = lists(0.9, 0.1, 400)
    watched.add("recommend", {}, {name: values[:, :1] for name, values in answer.items()})
    report = watched.report()
    assert report.score_expected == [0.25, 0.75] and report.score_observed == [0, 1]
    # (0.0001 - 0.25) ln(0.0001 / 0.25) + (1 - 0.75) ln(1 / 0.75) = 0.2499 * 7.824046 + 0.25 * 0.287682
    assert report.score_psi == pytest.approx(2.027150, abs=1e-5)


def test_places_without_an_item_are_left_out():
    watched = drift()
    answer = lists(0.9, LOWEST, 300)
    answer["item_id"][:, 1] = b""
    watched.add("recommend", {}, answer)
    report = watched.report()
    assert report.picks == 300 and report.score_observed == [0, 1] and report.score_expected == [0.25, 0.75]


def test_of_few_answers_nothing_is_told():
    watched = drift()
    watched.add("recommend", {"user_id": texts(b"u1", b"stranger")}, lists(0.9, 0.1, 2))
    report = watched.report()
    assert report.score_rows == 2 and report.picks == 4 and report.ids == {"user": 2, "item": 0}
    assert (report.score_psi, report.embedding_psi, report.coverage, report.coverage_expected) == (None,) * 4
    assert report.unknown == {"user": None, "item": None}


def test_other_signatures_tell_of_ids_alone():
    watched = drift()
    watched.add("explain", {"user_id": texts(*[b"u1"] * 400), "item_id": texts(*[b"x"] * 400)}, lists(9, 9, 400))
    report = watched.report()
    assert report.score_rows == 0 and report.picks == 0
    assert report.unknown == {"user": 0, "item": 1}


def test_unknown_ids_by_hand():
    watched = drift()
    # "" says nothing; of the items in histories two of three are known; what is excluded does not count.
    inputs = {
        "user_id": texts(*[b"u1", b"u2", b"nobody", b""] * 100),
        "history_item_ids": np.tile(texts([b"i0", b"i9", b"new", b""]), (100, 1)),
        "exclude_ids": np.tile(texts([b"gone"]), (400, 1)),
    }
    watched.add("recommend", inputs, {})
    report = watched.report()
    assert report.ids == {"user": 300, "item": 300}
    assert report.unknown == {"user": pytest.approx(1 / 3), "item": pytest.approx(1 / 3)}


def test_coverage_by_hand():
    watched = drift()
    watched.add("recommend", {}, lists(0.9, 0.1, 200))
    report = watched.report()
    assert report.picks == 400
    # Two of ten items; 400 picks of ten items that are equally liked miss one with 0.9^400.
    assert report.coverage == pytest.approx(0.2, rel=0.01)
    assert report.coverage_expected == pytest.approx(1 - 0.9**400)


def test_embeddings_by_dimension():
    watched = drift()
    # The first dimension as expected, the second all on one side, the third a constant of the reference.
    half = np.repeat([-1.0, 1.0], 200)
    watched.add("embed_user", {}, {"embedding": np.column_stack([half, np.ones(400), half]).astype(np.float32)})
    watched.add("embed_item", {}, {"embedding": np.full([400, 3], 9, np.float32)})
    report = watched.report()
    # (0.0001 - 0.5) ln(0.0001 / 0.5) + (1 - 0.5) ln(1 / 0.5)
    assert report.embedding_rows == 400 and report.embedding_psi_largest == pytest.approx(4.604318, abs=1e-5)
    assert report.embedding_psi == pytest.approx(4.604318 / 2, abs=1e-5)


def test_embeddings_of_another_width_are_left_out():
    watched = drift()
    watched.add_embeddings(np.zeros([400, 5]))
    assert watched.report().embedding_rows == 0


def test_a_pair_is_a_place():
    # A ranker's answers have no names, and the place of an item in a client's own list says nothing.
    one = Distribution(np.array([[0.5]]), np.array([[1, 1]]), np.zeros(1), np.ones(1))
    watched = drift(scores=one, score_signatures=("rank",))
    watched.add("rank", {}, {"score": np.tile(np.array([[0.1, 0.9, LOWEST]], np.float32), (200, 1))})
    report = watched.report()
    assert report.score_rows == 400 and report.score_observed == [0.5, 0.5] and report.score_psi == 0
    assert report.coverage is None


def test_the_window_moves_on():
    now = [0.0]
    watched = drift(lambda: now[0])
    watched.add("recommend", {"user_id": texts(*[b"nobody"] * 300)}, lists(0.9, 0.9, 300))
    now[0] = 600.0
    watched.add("recommend", {"user_id": texts(*[b"u1"] * 300)}, lists(0.1, 0.1, 300))
    assert watched.report().score_observed == [0.5, 0.5] and watched.report().unknown["user"] == 0.5
    now[0] = 1250.0
    report = watched.report()
    assert report.score_observed == [1, 0] and report.score_rows == 300 and report.unknown["user"] == 0
    now[0] = 10_000.0
    assert watched.report().score_rows == 0


def test_memory_does_not_grow():
    now = [0.0]
    watched = drift(lambda: now[0])
    for _ in range(100):
        now[0] += 60
        watched.add("recommend", {}, lists(0.9, 0.1, 5))
    assert len(watched._slices) <= 12
