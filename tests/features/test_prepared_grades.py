"""Likes that say how much, on their way to the ranker."""

import numpy as np
import pandas as pd
import pytest

from mmrec_tf.data.rec_data import RecData
from mmrec_tf.features.prepared import prepare
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.models.graded_ranker import GradedRanker
from mmrec_tf.schema import Schema
from mmrec_tf.stages import train_ranking
from mmrec_tf.training import fit_ranker as training
from tests import tiny_world

SCHEMA = Schema(user={"user_id": "id"}, item={"item_id": "id"}, context={"timestamp": "timestamp"})
ROWS = 300


def prepared(folder, stars, least: float | None = 4.0, **ranking):
    rows = np.arange(ROWS)
    frame = pd.DataFrame(
        {
            "user_id": [f"u{row % 10}" for row in rows],
            "item_id": [f"i{row % 29}" for row in rows],
            "timestamp": rows.astype(float),
            "stars": stars(rows).astype(np.float32),
        }
    )
    items = pd.DataFrame({"item_id": [f"i{row}" for row in range(29)]})
    data = RecData(SCHEMA, frame, items, pd.DataFrame({"user_id": [f"u{row}" for row in range(10)]}), "stars", least)
    config = tiny_world.config(
        schema=SCHEMA.model_dump(),
        ranking={"negatives": 0, "hard_negatives": 0, **ranking},
        split={"method": "temporal"},
        data={"label": "stars", "positive_from": least},
        store=folder,
    )
    return prepare(data, config)


def five_stars(rows):
    return 1.0 + (rows * 7) % 5


def test_rows_come_with_their_grades(tmp_path):
    world = prepared(tmp_path, five_stars)
    stars = world.split.train["stars"].to_numpy()
    examples = world.ranking_examples(world.split.train, world.sequences())
    np.testing.assert_array_equal(examples["grade"], stars - 1)
    batch = next(iter(world.ranking_dataset(16)))
    assert batch["grade"].shape == batch["label"].shape == (16, 1)
    np.testing.assert_array_equal(batch["grade"].numpy() >= 3, batch["label"].numpy() == 1.0)


def test_drawn_items_have_none(tmp_path):
    batch = next(iter(prepared(tmp_path, five_stars, negatives=3, grades=True).ranking_dataset(32)))
    grades = batch["grade"].numpy()
    assert grades.shape == (8, 4) and (grades[:, 0] >= 0).all() and (grades[:, 1:] == -1).all()


def test_statistics_are_of_the_grades(tmp_path):
    world = prepared(tmp_path, five_stars)
    train = world.split.train
    stars = train["stars"].to_numpy()
    places = np.array([np.mean(stars < star) + 0.5 * np.mean(stars == star) for star in stars])
    of_first = places[(train["user_id"] == "u0").to_numpy()]
    # Ten rows of the mean of all, which is 1/2, beside the user's own.
    expected = (of_first.sum() + 10 * 0.5) / (len(of_first) + 10)
    row = world.data.user_rows(pd.Series(["u0"]))[0] + 1
    assert world.target_statistics().user[row, 0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("stars", "least", "ranking"),
    [
        (lambda rows: (rows % 3 == 0) * 1.0, None, {}),
        (five_stars, 4.0, {"grades": False}),
        (five_stars, 4.0, {"negatives": 2}),
        (five_stars, 4.0, {"target": "rating"}),
    ],
    ids=["two values", "switched off", "drawn negatives", "ratings"],
)
def test_none_where_there_are_none_to_learn(stars, least, ranking, tmp_path):
    world = prepared(tmp_path, stars, least, **ranking)
    assert world.grades is None
    assert "grade" not in world.ranking_examples(world.split.train, world.sequences())


@pytest.mark.parametrize("graded", [True, False])
def test_the_ranker_is_trained_on_them(graded, tmp_path, monkeypatch):
    world, fitted, fit = prepared(tmp_path, five_stars, grades=graded, members=2), [], training.fit

    def remembered(model, *args, **options):
        fitted.append(model)
        return fit(model, *args, **options)

    monkeypatch.setattr(training, "fit", remembered)
    retrieval = build_two_tower(world.config, world.users, world.items, world.sequences().item_index)
    model, history = train_ranking(world, retrieval)
    assert [isinstance(one, GradedRanker) for one in fitted] == [graded] * 2
    if graded:
        assert [one.ranker for one in fitted] == model.members
        # Each member has thresholds of its own, and they have moved.
        assert fitted[0].likes.gaps is not fitted[1].likes.gaps
        assert not np.allclose(fitted[0].likes.gaps.numpy(), GradedRanker(model.members[0], world.grades).likes.gaps)
    assert np.isfinite(history["loss"]).all()
