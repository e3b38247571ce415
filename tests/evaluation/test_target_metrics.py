"""What predictions of several targets are worth, by scikit-learn, and their calibration."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss, mean_absolute_error, mean_squared_error, roc_auc_score

from mmrec_tf.evaluation.pairs import evaluation_pairs
from mmrec_tf.evaluation.stage_lists import score_pairs, score_targets
from mmrec_tf.evaluation.target_metrics import fit_calibrators, target_metrics
from mmrec_tf.models.build import build_ranker
from mmrec_tf.models.calibrators import PlattCalibrator
from tests import target_world, tiny_world
from tests.models.rankers.worlds import randomized


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """The log's pairs, with a drawn item for each click, and a ranker of far-off weights."""
    prepared = target_world.prepared(tmp_path_factory.mktemp("log"), "shared_bottom", negatives=1)
    pairs = evaluation_pairs(prepared, prepared.split.train, prepared.sequences(), negatives=1)
    model = build_ranker(prepared.config, prepared.users, prepared.items, prepared.context, prepared.trends())
    randomized(model)
    return prepared, model, pairs, score_targets(model, pairs)


def test_drawn_items_were_not_bought_and_say_nothing_of_minutes(judged):
    prepared, _, pairs, _ = judged
    rows = len(prepared.split.train)
    clicks = int(prepared.labels(prepared.split.train).sum())
    assert len(pairs["label"]) == rows + clicks
    purchase, minutes = (pairs["targets"][name] for name in ("purchase", "minutes"))
    frame = prepared.split.train
    # Of what was shown: bought, or not bought, clicked or not.
    np.testing.assert_array_equal(purchase["label"][:rows], np.nan_to_num(frame["bought"]))
    np.testing.assert_array_equal(purchase["weight"], np.ones(rows + clicks))
    np.testing.assert_array_equal(minutes["weight"], np.concatenate([frame["clicked"], np.zeros(clicks)]))
    assert not purchase["label"][rows:].any() and not minutes["label"][rows:].any()


def test_metrics_against_scikit_learn(judged):
    prepared, model, pairs, scores = judged
    options = prepared.config.models.ranking
    found = target_metrics(options, model, pairs, scores)
    assert list(found) == ["purchase", "minutes"]
    rows = len(prepared.split.train)
    clicked = pairs["label"] > 0
    bought, chance = pairs["targets"]["purchase"]["label"], expit(scores["purchase"].astype(np.float64))
    both = expit(scores["click"].astype(np.float64)) * chance
    purchase = found["purchase"]
    assert purchase["pairs"] == clicked.sum() and purchase["share"] == pytest.approx(bought[clicked].mean())
    assert purchase["auc"] == pytest.approx(roc_auc_score(bought[clicked], scores["purchase"][clicked]))
    assert purchase["log_loss"] == pytest.approx(log_loss(bought[clicked], chance[clicked]), rel=1e-4)
    assert purchase["joint_auc"] == pytest.approx(roc_auc_score(bought, both), abs=1e-6)
    assert purchase["joint_log_loss"] == pytest.approx(log_loss(bought, both), rel=1e-4)
    minutes, label, said = found["minutes"], pairs["targets"]["minutes"]["label"][:rows], scores["minutes"][:rows]
    rated = clicked[:rows]
    assert minutes["pairs"] == rated.sum()
    assert minutes["rmse"] == pytest.approx(np.sqrt(mean_squared_error(label[rated], said[rated])), rel=1e-5)
    assert minutes["mae"] == pytest.approx(mean_absolute_error(label[rated], said[rated]), rel=1e-5)
    assert minutes["spread"] == pytest.approx(label[rated].std(), rel=1e-5)


def test_each_target_is_calibrated_by_the_pairs_that_say_something_of_it(judged):
    prepared, model, pairs, scores = judged
    options = prepared.config.models.ranking
    before = target_metrics(options, model, pairs, scores)["purchase"]
    fit_calibrators(options, model, pairs, scores)
    after = target_metrics(options, model, pairs, scores)["purchase"]
    # Two numbers that minimise the log loss, nearly, make it no worse; of a log, they go as far as its users agree.
    assert after["log_loss"] < before["log_loss"]
    assert after["uncalibrated_log_loss"] == pytest.approx(before["uncalibrated_log_loss"])
    assert after["auc"] == before["auc"]
    clicked = pairs["label"] > 0
    chances = model.target_predictions(scores)
    expected = PlattCalibrator()
    expected.fit(
        scores["purchase"][clicked],
        pairs["targets"]["purchase"]["label"][clicked],
        users=pairs["user_index"][clicked],
    )
    np.testing.assert_allclose(
        chances["purchase"].numpy()[clicked], expected(scores["purchase"][clicked]).numpy(), rtol=1e-5
    )
    # Beside drawn negatives the mean chance becomes the share.
    assert chances["click"].numpy().mean() == pytest.approx(clicked.mean(), abs=0.01)
    assert chances["minutes"] is scores["minutes"]


def test_pairs_that_say_nothing_have_no_figures_and_fit_nothing(judged):
    prepared, model, pairs, scores = judged
    options = prepared.config.models.ranking
    rows = np.flatnonzero(pairs["label"] == 0)
    few = {
        "label": pairs["label"][rows],
        "user_index": pairs["user_index"][rows],
        "targets": {name: {key: of[key][rows] for key in of} for name, of in pairs["targets"].items()},
    }
    some = {name: values[rows] for name, values in scores.items()}
    slope = float(model.target_heads["purchase"].calibrator.slope)
    fit_calibrators(options, model, few, some)
    assert float(model.target_heads["purchase"].calibrator.slope) == slope
    found = target_metrics(options, model, few, some)
    assert found["minutes"] == {"pairs": 0}
    assert (found["purchase"]["pairs"], found["purchase"]["auc"], found["purchase"]["log_loss"]) == (0, None, None)
    # All of what was not clicked was not bought: no order to judge, and a loss.
    assert found["purchase"]["joint_auc"] is None and found["purchase"]["joint_log_loss"] > 0


def test_a_ranker_of_one_target_has_none_of_it(judged):
    prepared, _, pairs, _ = judged
    model = tiny_world.ranker()
    scores = score_targets(model, pairs)
    assert list(scores) == ["click"] and target_metrics(prepared.config.models.ranking, model, pairs, scores) == {}
    np.testing.assert_array_equal(scores["click"], score_pairs(model, pairs))
