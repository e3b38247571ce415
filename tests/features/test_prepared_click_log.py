"""A log of what was shown, on its way to the ranker: places, thinned negatives, and what the models are not told."""

import numpy as np
import pandas as pd
import pytest

from mmrec_tf.data.rec_data import RecData
from mmrec_tf.errors import DataError
from mmrec_tf.evaluation.pairs import evaluation_pairs
from mmrec_tf.features.prepared import prepare
from mmrec_tf.models.build import build_ranker
from mmrec_tf.schema import Schema
from tests import target_world, tiny_world

SCHEMA = Schema(
    user={"user_id": "id"},
    item={"item_id": "id"},
    context={"place": "number", "device": "categorical", "timestamp": "timestamp"},
)
ROWS = 400


def prepared(folder, clicked=None, **ranking):
    """Ten users who are shown items in the places 1, 2, 3 in turn, and take every fourth."""
    rows = np.arange(ROWS)
    frame = pd.DataFrame(
        {
            "user_id": [f"u{row % 10}" for row in rows],
            "item_id": [f"i{row % 30}" for row in rows],
            "place": 1.0 + rows % 3,
            "device": np.array(["phone", "tv"], dtype=object)[rows % 2],
            "timestamp": rows.astype(float),
            "clicked": (rows % 4 == 0 if clicked is None else clicked(rows)).astype(np.float32),
        }
    )
    items = pd.DataFrame({"item_id": [f"i{row}" for row in range(30)]})
    data = RecData(SCHEMA, frame, items, pd.DataFrame({"user_id": [f"u{row}" for row in range(10)]}), "clicked", None)
    config = tiny_world.config(
        schema=SCHEMA.model_dump(),
        ranking={"negatives": 0, "hard_negatives": 0, **ranking},
        split={"method": "random"},
        data={"label": "clicked"},
        store=folder,
    )
    return prepare(data, config)


def test_the_place_goes_to_the_bias_and_not_into_the_context(tmp_path):
    with_bias, plain = prepared(tmp_path, position="place"), prepared(tmp_path)
    frame = with_bias.split.train
    examples = with_bias.ranking_examples(frame, with_bias.sequences())
    np.testing.assert_array_equal(examples["position"], frame["place"].to_numpy())
    assert with_bias.context.spec["numbers"] == [] and "device" in with_bias.context.spec["categorical"]
    assert "position" not in plain.ranking_examples(frame, plain.sequences())
    assert plain.context.spec["numbers"] == ["place"]
    model = build_ranker(with_bias.config, with_bias.users, with_bias.items, with_bias.context)
    for batch in with_bias.ranking_dataset(32).take(2):
        np.testing.assert_array_equal(batch["position"].numpy() > 0, True)
        assert np.isfinite(float(model.compute_loss(batch, training=True)))
    assert build_ranker(plain.config, plain.users, plain.items, plain.context).position_bias is None


def test_negatives_are_thinned_in_training_alone_and_counted_again(tmp_path):
    world = prepared(tmp_path, negatives_kept=0.5)
    labels = np.concatenate([batch["label"].numpy().ravel() for batch in world.ranking_dataset(1)])
    expected = world.labels(world.split.train)
    assert (labels == 1).sum() == (expected == 1).sum()
    # Four standard deviations of a binomial with p = 1/2.
    negatives = int((expected == 0).sum())
    assert abs(int((labels == 0).sum()) - negatives / 2) < 2 * np.sqrt(negatives)
    judged = evaluation_pairs(world, world.split.test, world.sequences())
    np.testing.assert_array_equal(judged["label"], world.labels(world.split.test))
    model = build_ranker(world.config, world.users, world.items, world.context)
    # Odds of 1 to 1 among half of the negatives are 1 to 2.
    assert float(model.predictions(np.float32([0.0]))[0]) == pytest.approx(1 / 3, rel=1e-5)


def test_to_other_targets_the_negatives_that_are_left_stand_for_all(tmp_path):
    frame = target_world.log()
    frame["saved"] = np.arange(len(frame)) % 2
    targets = {"purchase": {"column": "bought", "after": "click"}, "minutes": {"kind": "rating"}, "saved": {}}
    batches = list(
        target_world.prepared(tmp_path, frame=frame, targets=targets, negatives_kept=0.25).ranking_dataset(16)
    )
    clicked = np.concatenate([batch["label"].numpy().ravel() for batch in batches]) > 0
    assert clicked.any() and not clicked.all()
    # A purchase is learned together with the click, whose chances are put right; what is not clicked has no minutes.
    expected = {"purchase": np.ones(len(clicked)), "minutes": clicked, "saved": np.where(clicked, 1.0, 4.0)}
    for name, weights in expected.items():
        found = np.concatenate([batch["targets"][name]["weight"].numpy().ravel() for batch in batches])
        np.testing.assert_array_equal(found, weights)


def test_a_ranker_that_is_trained_on_the_log_alone_is_judged_by_the_log_alone(tmp_path):
    alone, drawing = prepared(tmp_path), prepared(tmp_path, negatives=1)
    rows = len(alone.split.test)
    assert len(evaluation_pairs(alone, alone.split.test, alone.sequences())["label"]) == rows
    # Every user has met every third of the 30 items, and no other; that they click on nothing new leaves all to judge.
    pairs = evaluation_pairs(drawing, drawing.split.test, drawing.sequences(), negatives=2)
    assert len(pairs["label"]) == rows + 2 * int(drawing.labels(drawing.split.test).sum())


def test_clicks_alone_say_nothing_of_places(tmp_path):
    world = prepared(tmp_path, clicked=lambda rows: rows >= 0, position="place", negatives=1)
    with pytest.raises(DataError, match="models.ranking.position needs training interactions that are no positives"):
        world.ranking_dataset(32)


def test_clicks_alone_are_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(DataError, match="nothing to tell clicks from: all [0-9]+ .*clicked is above 0 in all of them"):
        prepared(tmp_path, clicked=lambda rows: rows >= 0)
    assert prepared(tmp_path, clicked=lambda rows: rows >= 0, enabled=False).split.train["clicked"].all()
