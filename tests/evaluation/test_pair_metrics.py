"""What a ranker's predictions are worth, by scikit-learn, and its calibration from fitting to serving."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import log_loss, roc_auc_score

from mmrec_tf.evaluation.pair_metrics import fit_calibrator, pair_metrics, reliability_curves
from mmrec_tf.evaluation.stage_lists import predict_pairs, score_pairs
from mmrec_tf.models.calibrators import PlattCalibrator
from mmrec_tf.serving.signatures import model_signatures
from tests import tiny_world
from tests.models.rankers.worlds import pairs as grouped
from tests.models.rankers.worlds import randomized


def labelled(count=600, seed=0):
    """Pairs that a ranker of far-off weights judges, and labels that follow half its logits less 1."""
    pairs = grouped(group=None, count=18)
    random = np.random.default_rng(seed)
    rows = random.integers(0, len(pairs["label"]), count)
    found = {name: array.numpy()[rows] for name, array in pairs.items() if name != "weight"}
    found["item_index"] = random.integers(1, 31, count).astype(np.int32)
    return found, random


def world(calibration, **ranking):
    model = tiny_world.ranker(calibration=calibration, **ranking)
    pairs, random = labelled()
    for seed, member in enumerate(model.members):
        randomized(member, scale=0.3, seed=seed)
        member.bias.assign_sub(np.median(score_pairs(member, pairs)))
    scores = score_pairs(model, pairs)
    pairs["label"] = (random.random(len(scores)) < 1 / (1 + np.exp(1 - scores / 2))).astype(np.float32)
    return model, pairs, scores


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    return tiny_world.prepared(tmp_path_factory.mktemp("clicks"))


def test_metrics_before_and_after(clicks):
    model, pairs, scores = world("platt")
    before = pair_metrics(clicks, model, pairs, scores)
    # Not fitted yet.
    assert before["log_loss"] == before["uncalibrated_log_loss"]
    fit_calibrator(model, pairs, scores)
    after = pair_metrics(clicks, model, pairs, scores)
    plain = 1 / (1 + np.exp(-scores.astype(np.float64)))
    assert after["uncalibrated_log_loss"] == pytest.approx(log_loss(pairs["label"], plain), rel=1e-4)
    assert after["log_loss"] == pytest.approx(log_loss(pairs["label"], predict_pairs(model, pairs)), rel=1e-4)
    assert after["auc"] == before["auc"] == pytest.approx(roc_auc_score(pairs["label"], scores))
    assert after["log_loss"] < after["uncalibrated_log_loss"] - 0.05
    assert after["calibration_error"] < after["uncalibrated_calibration_error"] - 0.1
    curves = reliability_curves(model, pairs, scores)
    assert set(curves) == {"calibrated", "uncalibrated"}
    for name, found in (("calibrated", predict_pairs(model, pairs)), ("uncalibrated", plain)):
        said, happened, counts = np.array(curves[name]).T
        assert counts.sum() == len(found)
        assert (said * counts).sum() / len(found) == pytest.approx(found.mean(), rel=1e-5)
        assert (happened * counts).sum() == pytest.approx(pairs["label"].sum())


@pytest.mark.parametrize(("settings", "believes"), [({}, True), ({"members": 2}, True), ({"loss": "pairwise"}, False)])
def test_of_a_log_a_log_loss_is_believed_until_users_say_otherwise(settings, believes):
    model, pairs, scores = world("platt", **settings)
    fit_calibrator(model, pairs, scores, of_a_log=True)
    expected = PlattCalibrator()
    expected.fit(scores, pairs["label"], users=pairs["user_index"] if believes else None)
    np.testing.assert_allclose(predict_pairs(model, pairs), expected(scores), rtol=1e-4)
    expected.fit(scores, pairs["label"], users=None if believes else pairs["user_index"])
    assert np.abs(predict_pairs(model, pairs) - expected(scores)).max() > 0.01


def test_without_a_calibration_there_is_no_before(clicks):
    model, pairs, scores = world("none")
    fit_calibrator(model, pairs, scores)
    assert set(pair_metrics(clicks, model, pairs, scores)) == {"auc", "per_user_auc", "log_loss", "calibration_error"}
    assert set(reliability_curves(model, pairs, scores)) == {"calibrated"}


def test_ratings_are_not_calibrated(tmp_path):
    stars = np.tile([1.0, 5.0, 3.0], 36)
    prepared = tiny_world.prepared(tmp_path, stars, 4.0, ranking={"target": "rating"})
    model, (pairs, _) = tiny_world.ranker(target="rating"), labelled(60)
    pairs["label"] = np.tile([1.0, 5.0, 4.0], 20).astype(np.float32)
    scores = score_pairs(model, pairs)
    fit_calibrator(model, pairs, scores)
    found = pair_metrics(prepared, model, pairs, scores)
    assert set(found) == {"rmse", "auc", "per_user_auc"}
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((scores - pairs["label"]) ** 2)), rel=1e-5)
    assert found["auc"] == pytest.approx(roc_auc_score(pairs["label"] >= 4, scores))
    assert reliability_curves(model, pairs, scores) == {}


@pytest.mark.parametrize("labels", [[], [1.0], [0.0]])
def test_pairs_that_cannot_tell_leave_the_calibrator_as_it_is(labels):
    model = tiny_world.ranker(calibration="isotonic")
    pairs = {name: array[: len(labels)] for name, array in labelled(2)[0].items()}
    pairs["label"] = np.float32(labels)
    fit_calibrator(model, pairs, score_pairs(model, pairs))
    assert float(model.calibrator.is_fitted) == 0.0


@pytest.mark.parametrize("calibration", ["temperature", "platt", "isotonic"])
def test_it_is_saved_and_served_and_changes_no_recommendation(calibration, tmp_path):
    model, pairs, scores = world(calibration)
    users, items = tf.constant(["u3", "u5", "nobody"]), tf.constant([["i4", "i9"], ["i28", ""], ["i1", "i2"]])
    before = tiny_world.engine(ranking=model).recommend(users, tf.constant(6))
    plain = tiny_world.engine(ranking=model).rank_pairs(users, items).numpy()
    fit_calibrator(model, pairs, scores)
    model.save_weights(str(tmp_path / "ranking.weights.h5"))
    fresh = tiny_world.ranker(calibration=calibration)
    fresh.load_weights(str(tmp_path / "ranking.weights.h5"))
    np.testing.assert_allclose(predict_pairs(fresh, pairs), predict_pairs(model, pairs), atol=1e-6)

    engine = tiny_world.engine(ranking=fresh)
    for found, expected in zip(engine.recommend(users, tf.constant(6)), before):
        np.testing.assert_array_equal(found.numpy(), expected.numpy())
    chances = engine.rank_pairs(users, items).numpy()
    told = items.numpy() != b""
    assert np.abs(chances - plain)[told].min() > 1e-3
    np.testing.assert_allclose(chances[told], model.calibrator(np.log(plain[told] / (1 - plain[told]))), atol=1e-4)
    signatures = model_signatures(engine, k=5, modality_weights=False)["ranking"]
    tf.saved_model.save(engine, str(tmp_path / "ranking"), signatures=signatures)
    served = tf.saved_model.load(str(tmp_path / "ranking")).signatures["rank"](user_id=users, item_ids=items)["score"]
    np.testing.assert_allclose(served.numpy(), chances, atol=1e-6)
