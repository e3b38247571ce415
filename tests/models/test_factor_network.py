import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.errors import ConfigError
from mmrec_tf.models.factor_network import FactorNetwork
from mmrec_tf.models.feature_lookup import FeatureLookup
from tests import tiny_world


def _network(objective="bpr", lookup=None, **settings):
    network = FactorNetwork(
        4, tiny_world.ITEMS, 3, objective, lookup=lookup, content_factors=2 if lookup else 0, **settings
    )
    random = np.random.default_rng(1)
    for variable in network.trainable_variables:
        variable.assign(random.normal(scale=0.5, size=variable.shape))
    return network


def _batch():
    random = np.random.default_rng(2)
    return {
        "user": np.array([0, 1, 3], np.int32),
        "item": np.array([5, 17, 29], np.int32),
        "negatives": random.integers(0, 30, (3, 2)).astype(np.int32),
        "weight": np.array([[1, 1], [1, 0], [0, 1]], np.float32),
        "label": np.array([1.0, 4.0, 2.5], np.float32),
    }


def _written_out(network, user, item):
    """The score by the formula, one pair at a time."""
    factors = network.user_embedding.embeddings.numpy()[user]
    score = network.offset + network.item_bias.embeddings.numpy()[item, 0]
    score += factors[:3] @ network.item_embedding.embeddings.numpy()[item]
    if network.user_bias is not None:
        score += network.user_bias.embeddings.numpy()[user, 0]
    if network.content:
        for name, (vectors, masks) in _content().items():
            if masks[item]:
                place = vectors[item] @ network.content[name].kernel.numpy()
                score += factors[3:] @ place[:2] + place[2]
    return score


def _content():
    table = tiny_world.item_table()
    return {name: (table.vectors[name][1:], table.masks[name][1:]) for name in table.vectors}


def _lookup():
    return FeatureLookup.from_table(tiny_world.item_table(), name="items")


@pytest.mark.parametrize("objective", ["bpr", "logistic", "squared"])
@pytest.mark.parametrize("has_content", [False, True])
def test_scores_and_losses_are_those_of_the_formula(objective, has_content):
    network = _network(objective, _lookup() if has_content else None, offset=0.25)
    batch = _batch()
    own = np.array([_written_out(network, u, i) for u, i in zip(batch["user"], batch["item"])])
    np.testing.assert_allclose(network(batch), own, rtol=1e-5, atol=1e-6)
    others = np.array([[_written_out(network, u, j) for j in row] for u, row in zip(batch["user"], batch["negatives"])])
    np.testing.assert_allclose(
        network({"user": batch["user"], "item": batch["negatives"]}), others, rtol=1e-4, atol=1e-5
    )

    def minus_log_sigmoid(x):
        return np.log1p(np.exp(-x))

    weight = batch["weight"]
    expected = {
        "bpr": (weight * minus_log_sigmoid(own[:, None] - others)).sum() / weight.sum(),
        "logistic": (minus_log_sigmoid(own) + (weight * minus_log_sigmoid(-others)).sum(axis=1)).mean(),
        "squared": np.square(batch["label"] - own).mean(),
    }
    np.testing.assert_allclose(network.compute_loss(batch), expected[objective], rtol=1e-5)
    users, items = network.all_factors(batch_size=7)
    np.testing.assert_allclose(np.sum(users[batch["user"]] * items[batch["item"]], axis=1), own, rtol=1e-4, atol=1e-5)


def test_regularization_counts_the_rows_of_the_batch_by_hand():
    network, plain = _network("squared", regularization=0.5), _network("squared")
    batch = _batch()
    rows = [
        plain.user_embedding.embeddings.numpy()[batch["user"]],
        plain.item_embedding.embeddings.numpy()[batch["item"]],
        plain.user_bias.embeddings.numpy()[batch["user"]],
        plain.item_bias.embeddings.numpy()[batch["item"]],
    ]
    squares = sum(np.square(row).sum() for row in rows)
    added = network.compute_loss(batch) - plain.compute_loss(batch)
    np.testing.assert_allclose(added, 0.5 * squares / 3, rtol=1e-5)
    shares = {"user_share": np.array([0.5, 1, 0.25], "float32"), "item_share": np.array([1, 0, 0.5], "float32")}
    weights = [shares["user_share"], shares["item_share"]] * 2
    squares = sum((np.square(row).sum(axis=1) * weight).sum() for row, weight in zip(rows, weights))
    added = network.compute_loss({**batch, **shares}) - plain.compute_loss(batch)
    np.testing.assert_allclose(added, 0.5 * squares / 3, rtol=1e-5)


def test_gradients_and_updates_are_sparse():
    network = _network("logistic")
    before = network.item_embedding.embeddings.numpy()
    with tf.GradientTape() as tape:
        loss = network.compute_loss(_batch(), training=True)
    gradients = tape.gradient(loss, network.trainable_variables)
    assert all(isinstance(gradient, tf.IndexedSlices) for gradient in gradients)
    optimizer = tf_keras.optimizers.Adagrad(0.1)
    network.compile(optimizer=optimizer)
    network.fit(tf.data.Dataset.from_tensors(_batch()), verbose=0)
    changed = np.flatnonzero((network.item_embedding.embeddings.numpy() != before).any(axis=1))
    batch = _batch()
    # A negative of weight 0 moves nothing.
    assert set(changed) == {*batch["item"].tolist(), *batch["negatives"][batch["weight"] > 0].tolist()}


def test_an_item_without_content_has_its_id_alone():
    network = _network("bpr", _lookup())
    item = tiny_world.WITHOUT_MODALITIES
    assert not any(masks[item] for _, masks in _content().values())
    expected = network.item_embedding.embeddings.numpy()[item]
    np.testing.assert_array_equal(
        network.all_factors()[1][item], [*expected, 0, 0, network.item_bias.embeddings[item, 0], 1]
    )


def test_one_step_compiles_under_xla():
    network = _network("bpr", _lookup())
    network.compile(optimizer=tf_keras.optimizers.Adagrad(0.1), jit_compile=True)
    loss = network.fit(tf.data.Dataset.from_tensors(_batch()), verbose=0).history["loss"][0]
    np.testing.assert_allclose(loss, _network("bpr", _lookup()).compute_loss(_batch()), rtol=1e-5)


def test_it_is_written_and_read_back(tmp_path):
    network = _network("bpr", _lookup())
    expected = network(_batch()).numpy()
    rebuilt = FactorNetwork.from_config(network.get_config())
    network.save_weights(str(tmp_path / "weights"))
    rebuilt.load_weights(str(tmp_path / "weights")).assert_existing_objects_matched()
    np.testing.assert_array_equal(rebuilt(_batch()).numpy(), expected)


def test_another_objective_is_refused():
    with pytest.raises(ConfigError, match="'hinge' is unknown; allowed: bpr, logistic, squared"):
        FactorNetwork(2, 2, 2, "hinge")
