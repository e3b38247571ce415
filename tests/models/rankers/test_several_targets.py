"""What rankers of several targets promise, whatever their network: losses, weights, order, saving, compiling."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from scipy.special import expit
from sklearn.metrics import log_loss

from mmrec_tf.config_targets import SEVERAL_TARGETS
from mmrec_tf.models.rankers.several_targets import SeveralTargets
from tests import tiny_world
from tests.models.rankers.worlds import pairs, randomized, with_trends

TARGETS = {
    "purchase": {"after": "click", "weight": 0.5},
    "minutes": {"kind": "rating", "weight": 2.0},
    "returned": {"after": "purchase"},
}
ALL = pytest.mark.parametrize("name", SEVERAL_TARGETS)


def ranker(name="mmoe", targets=None, **ranking):
    model = tiny_world.ranker(model=name, dropout=0.0, targets=TARGETS if targets is None else targets, **ranking)
    randomized(model, scale=0.1)
    return model if model.trend_field is None else with_trends(model)


def batch(group=3):
    """Pairs with labels of which some are not known; what was not clicked was not bought nor returned."""
    inputs, random = pairs(group), np.random.default_rng(5)
    shape = inputs["label"].shape
    bought = inputs["label"].numpy() * random.integers(0, 2, shape)
    labels = {
        "purchase": bought,
        "minutes": random.normal(size=shape),
        "returned": bought * random.integers(0, 2, shape),
    }
    known = {name: random.integers(0, 2, shape) for name in labels}
    inputs["targets"] = {
        name: {
            "label": tf.constant(labels[name] * known[name], tf.float32),
            "weight": tf.constant(known[name], tf.float32),
        }
        for name in labels
    }
    return inputs


def losses_by_hand(model, inputs):
    """Each target's loss in NumPy and scikit-learn, from its scores."""
    scores = {name: value.numpy().astype(np.float64).ravel() for name, value in model.target_scores(inputs).items()}
    said = {name: [of[key].numpy().ravel() for key in ("label", "weight")] for name, of in inputs["targets"].items()}
    click = expit(scores["click"])
    both = click * expit(scores["purchase"])
    all_three = both * expit(scores["returned"])
    label, weight = said["minutes"]
    return {
        "click": log_loss(inputs["label"].numpy().ravel(), click),
        "purchase": log_loss(said["purchase"][0], both, sample_weight=said["purchase"][1], labels=[0, 1]),
        "returned": log_loss(said["returned"][0], all_three, sample_weight=said["returned"][1], labels=[0, 1]),
        "minutes": np.average(np.square(scores["minutes"] - label), weights=weight),
    }


@ALL
def test_losses_and_their_sums_against_numpy(name):
    inputs = batch()
    fixed, learned = ranker(name, weighting="fixed"), ranker(name)
    expected = losses_by_hand(fixed, inputs)
    total = expected["click"] + 0.5 * expected["purchase"] + 2.0 * expected["minutes"] + expected["returned"]
    assert float(fixed.compute_loss(inputs)) == pytest.approx(total, rel=1e-4)
    shown = {metric.name: float(metric.result()) for metric in fixed.means.values()}
    assert shown == pytest.approx({f"{target} loss": value for target, value in expected.items()}, rel=1e-4)
    learned.balance.log_variances.assign(np.log([1.0, 2.0, 0.25, 1.0]))
    expected = losses_by_hand(learned, inputs)
    # Weights of 1 / sigma^2, of numbers half of it, and half the logarithms: 1, 1/2, 2 and 1.
    total = expected["click"] + 0.5 * expected["purchase"] + 2.0 * expected["minutes"] + expected["returned"]
    assert float(learned.compute_loss(inputs)) == pytest.approx(total + 0.5 * np.log(0.5), rel=1e-4)


def test_pairs_that_say_nothing_of_the_main_target_do_not_divide_its_loss():
    model = tiny_world.ranker(model="shared_bottom", dropout=0.0, targets=TARGETS)
    inputs = {**batch(), **{name: pairs()[name][:2] for name in ("user_index", "history", "item_index")}}
    inputs["targets"] = {name: {key: of[key][:2] for key in of} for name, of in inputs["targets"].items()}
    inputs["label"] = tf.constant([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    inputs["weight"] = tf.constant([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    scores = model.target_scores(inputs)["click"].numpy().astype(np.float64)
    # Four of the six pairs count.
    lost = [np.log1p(np.exp(-scores[0, 0])), *np.log1p(np.exp([scores[0, 1], scores[0, 2], scores[1, 0]]))]
    model.compute_loss(inputs)
    assert float(model.means["click"].result()) == pytest.approx(sum(lost) / 4, rel=1e-5)


def test_learned_weights_start_as_asked_and_go_to_where_the_losses_are():
    model, inputs = ranker(), batch()
    # `ranker` has moved them; made anew they are as asked.
    fresh = tiny_world.ranker(model="mmoe", targets=TARGETS).balance.weights_by_task()
    asked = {"click": 1.0, "purchase": 0.5, "minutes": 2.0, "returned": 1.0}
    assert {name: float(weight) for name, weight in fresh.items()} == pytest.approx(asked)
    # Each one's best is 1 / (2 L), where nothing draws it up or down.
    losses = losses_by_hand(model, inputs)
    best = np.log([2 * losses["click"], 2 * losses["purchase"], losses["minutes"], 2 * losses["returned"]])
    for moved, drawn in ((0.0, 0.0), (0.5, 1.0), (-0.5, -1.0)):
        model.balance.log_variances.assign(best + moved)
        with tf.GradientTape() as tape:
            loss = model.compute_loss(inputs)
        gradient = tape.gradient(loss, model.balance.log_variances).numpy()
        np.testing.assert_array_equal(np.sign(np.round(gradient, 3)), np.full(4, drawn))
    found = {name: float(weight) for name, weight in model.balance.weights_by_task().items()}
    assert found == pytest.approx({name: np.exp(0.5) / (2 * value) for name, value in losses.items()}, rel=1e-4)


def test_a_batch_that_says_nothing_of_a_target_leaves_it_alone():
    model, inputs = ranker(), batch()
    nothing = {"label": tf.zeros([6, 3]), "weight": tf.zeros([6, 3])}
    inputs["targets"] = {**inputs["targets"], "minutes": nothing}
    with tf.GradientTape() as tape:
        loss = model.compute_loss(inputs)
    towers = model.towers["minutes"].trainable_variables
    gradients = tape.gradient(loss, [*towers, model.balance.log_variances])
    assert all(not np.any(gradient.numpy()) for gradient in gradients[:-1])
    assert [bool(value) for value in gradients[-1].numpy() != 0.0] == [True, True, False, True]
    assert float(model.means["minutes"].result()) == 0.0


@ALL
def test_json_xla_gradients_and_shapes_not_known_beforehand(name):
    model, inputs = ranker(name), batch()
    scores = {target: value.numpy() for target, value in model.target_scores(inputs).items()}
    assert list(scores) == ["click", *TARGETS]
    assert all(value.shape == (6, 3) and value.dtype == np.float32 for value in scores.values())

    def loss_and_gradients():
        with tf.GradientTape() as tape:
            loss = model.compute_loss(inputs)
        return loss, [tf.convert_to_tensor(g) for g in tape.gradient(loss, model.trainable_variables)]

    plain = loss_and_gradients()
    # The whole step of the one with the most layers; of the others, which compile as long, the loss.
    compiled = tf.function(
        loss_and_gradients if name == "ple" else lambda: model.compute_loss(inputs), jit_compile=True
    )
    for one, other in zip(tf.nest.flatten(compiled()), tf.nest.flatten(plain)):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-3, atol=1e-4)
    for weight, gradient in zip(model.trainable_variables, plain[1], strict=True):
        assert 0.0 < float(tf.reduce_max(tf.abs(gradient))) < np.inf, weight.name

    copy = tf_keras.saving.deserialize_keras_object(
        json.loads(json.dumps(tf_keras.saving.serialize_keras_object(model)))
    )
    assert type(copy) is type(model) and copy.get_config() == model.get_config()
    copy.create_weights(5)
    copy.set_weights(model.get_weights())
    asked = {key: inputs[key] for key in ("user_index", "history", "item_index")}
    specs = {key: tf.TensorSpec([None] * value.shape.rank, value.dtype) for key, value in asked.items()}
    specs["history"] = tf.TensorSpec([None, 5], tf.int32)
    serve = tf.function(copy.target_scores, input_signature=[specs])
    found = serve(asked)
    for target, expected in scores.items():
        np.testing.assert_allclose(found[target].numpy(), expected, rtol=1e-4, atol=1e-5)
    # A server may be asked for nobody, or about nothing.
    assert serve({key: value[:0] for key, value in asked.items()})["minutes"].shape == (0, 3)
    assert serve({**asked, "item_index": asked["item_index"][:, :0]})["minutes"].shape == (6, 0)


@ALL
def test_mixed_precision_keeps_scores_in_float32(name):
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model, inputs = ranker(name, order_by={"click": 1, "minutes": 0.5}), batch()
        answers = [model(inputs), model.compute_loss(inputs, training=True), *model.target_scores(inputs).values()]
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert all(answer.dtype == tf.float32 and np.isfinite(answer.numpy()).all() for answer in answers)


@ALL
def test_the_main_target_orders_alone_unless_told_otherwise(name):
    model, inputs = ranker(name), batch()
    np.testing.assert_array_equal(model(inputs), model.target_scores(inputs)["click"])
    # What the other targets learn does not change it.
    before = model(inputs).numpy()
    model.target_heads["purchase"].start_from(0.9, 0.1)
    np.testing.assert_array_equal(model(inputs), before)


def test_order_is_the_product_of_the_chances_to_their_powers():
    model, inputs = ranker(order_by={"click": 1, "purchase": 0.5, "minutes": 0.25}, calibration="temperature"), batch()
    model.calibrator.temperature.assign(2.0)
    model.target_heads["purchase"].calibrator.temperature.assign(0.5)
    scores = {name: value.numpy().astype(np.float64) for name, value in model.target_scores(inputs).items()}
    expected = expit(scores["click"] / 2) * expit(scores["purchase"] / 0.5) ** 0.5 * np.exp(0.25 * scores["minutes"])
    np.testing.assert_allclose(np.exp(model(inputs).numpy()), expected, rtol=1e-4)
    # What retrieval adds comes on top.
    model.similarity_weight.assign(8.0)
    similarity = tf.random.stateless_normal([6, 3], [1, 2])
    found = model({**inputs, "similarity": similarity}).numpy()
    np.testing.assert_allclose(found, np.log(expected) + 8 * similarity.numpy(), rtol=1e-4, atol=1e-4)
    # A chance that float32 has as 0 is finite to order by.
    model.bias.assign(-1e6)
    assert np.isfinite(model(inputs).numpy()).all()


def test_saved_weights_hold_levels_and_calibrations(tmp_path):
    model, inputs = ranker("ple", calibration="platt"), batch()
    model.start_from({"minutes": (5.0, 3.0), "purchase": (0.25, 0.4)})
    model.target_heads["purchase"].calibrator.slope.assign(0.5)
    model.save_weights(str(tmp_path / "ranking.weights.h5"))
    fresh = tiny_world.ranker(model="ple", targets=TARGETS, calibration="platt")
    fresh.load_weights(str(tmp_path / "ranking.weights.h5"))
    found, expected = (one.target_predictions(one.target_scores(inputs)) for one in (fresh, model))
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6)
    assert (float(fresh.target_heads["minutes"].scale), float(fresh.target_heads["purchase"].calibrator.slope)) == (
        3.0,
        0.5,
    )


def test_a_rating_may_be_the_main_target():
    liked = {"liked": {"weight": 1.0}}
    model = ranker(targets=liked, target="rating", loss="ordinal", levels=[1, 2, 5], weighting="fixed")
    inputs = pairs(group=None)
    inputs["label"] = tf.constant([1.0, 2.0, 5.0, 1.0, 2.0, 5.0])
    inputs["targets"] = {"liked": {"label": tf.constant([0.0, 0, 1, 0, 0, 1]), "weight": tf.ones([6])}}
    raw, scores = model(inputs, is_raw=True), model.target_scores(inputs)
    assert raw["rating"].shape == (6, 2) and list(scores) == ["rating", "liked"]
    above = expit(raw["rating"].numpy())
    np.testing.assert_allclose(scores["rating"], 1 + above[:, 0] + 3 * above[:, 1], rtol=1e-5)
    chances = np.stack([1 - above[:, 0], above[:, 0] - above[:, 1], above[:, 1]], axis=1)
    expected = -np.log(chances[np.arange(6), [0, 1, 2, 0, 1, 2]]).mean()
    expected += log_loss([0, 0, 1, 0, 0, 1], expit(scores["liked"].numpy()))
    assert float(model.compute_loss(inputs)) == pytest.approx(expected, rel=1e-4)


def test_refuses_an_unknown_weighting():
    with pytest.raises(ValueError, match="weighting 'equal' is none. Allowed: uncertainty, fixed"):
        SeveralTargets(*(tiny_world.ranker().users, tiny_world.ranker().items), dim=2, hidden=[2], weighting="equal")


def test_the_main_target_keeps_its_list_loss_and_its_places():
    minutes = {"minutes": {"kind": "rating"}}
    model, inputs = ranker(targets=minutes, loss="softmax", weighting="fixed"), batch(group=4)
    inputs["label"] = tf.tile([[1.0, 0.0, 0.0, 0.0]], [6, 1])
    scores = model.target_scores(inputs)
    clicks, said = scores["click"].numpy().astype(np.float64), inputs["targets"]["minutes"]
    expected = np.mean(np.log(np.exp(clicks).sum(axis=1)) - clicks[:, 0])
    wrong = np.square(scores["minutes"].numpy() - said["label"].numpy())
    expected += np.average(wrong, weights=said["weight"].numpy())
    assert float(model.compute_loss(inputs)) == pytest.approx(expected, rel=1e-4)

    # The place counts for the click in training, and for no other target.
    model, inputs = ranker("esmm"), batch()
    model = type(model)(**{**model.get_config(), "users": model.users, "items": model.items, "positions": 3})
    model.create_weights(5)
    model.id_dropout, model.position_bias.dropout = 0.0, 0.0
    model.position_bias.raw.assign([0.1, 0.2, 0.3])
    plain = model(inputs, is_raw=True)
    placed = model({**inputs, "position": tf.constant([1, 2, 3, 1, 2, 3])}, training=True, is_raw=True)
    np.testing.assert_allclose(placed["click"] - plain["click"], np.tile([[-1.0], [0.0], [1.0]], [2, 3]), atol=1e-5)
    np.testing.assert_allclose(placed["purchase"], plain["purchase"], atol=1e-5)
