"""Vectors pushed along the gradient: by hand, and what training on them is good for."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.models.adversarial import adversarial_vectors
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.models.retrieval_scores import Queries
from mmrec_tf.models.side_losses import loss_of_pushed
from tests import tiny_world
from tests.tiny_world import retrieval_batch


def tensors(rows=slice(None)) -> dict[str, tf.Tensor]:
    return {name: tf.constant(array) for name, array in retrieval_batch(rows).items()}


def model_with(**retrieval):
    calm = {"id_dropout": 0.0, "user_dropout": 0.0, "dropout": 0.0}
    config = tiny_world.config(retrieval={**calm, **retrieval}, fusion={"modality_dropout": 0.0})
    tables = tiny_world.user_table(), tiny_world.item_table()
    return build_two_tower(config, *tables, tiny_world.sequences().item_index)


def in_batch_loss(model, batch, vectors):
    """The softmax of each example's own item among the batch's others, divided by how often they are expected there."""
    query = model.embed_query(batch["user_index"], batch["history"])
    items = batch["item_index"]
    scores = tf.matmul(query, model.embed_candidate(items, vectors=vectors), transpose_b=True) / model.temperature
    expected = tf.gather(model.sampling_probabilities, items) * len(items)
    others = tf.where(items != items[:, None], tf.exp(scores) / expected, 0.0)
    own = tf.exp(tf.linalg.diag_part(scores))
    return -tf.reduce_mean(tf.math.log(own / (own + tf.reduce_sum(others, axis=1))))


def test_push_by_hand():
    # The loss is sum of x^2 / 2, so its gradient is x: a row goes on in its own direction by epsilon.
    vectors = {"image": tf.constant([[3.0, 4.0], [0.0, 0.0]])}
    pushed = adversarial_vectors(vectors, lambda given: tf.reduce_sum(tf.square(given["image"])) / 2, epsilon=0.5)
    np.testing.assert_allclose(pushed["image"], [[3.3, 4.4], [0.0, 0.0]], atol=1e-6)


def test_no_gradient_flows_through_the_direction():
    weight = tf.Variable([1.0, 2.0])
    vectors = {"image": tf.constant([[1.0, 1.0]])}
    with tf.GradientTape() as tape:
        pushed = adversarial_vectors(vectors, lambda given: tf.reduce_sum(given["image"] * weight), epsilon=1.0)
        total = tf.reduce_sum(pushed["image"] * weight)
    # d/dw of w . (x + w/|w|) with the direction held fixed is x + w/|w|.
    np.testing.assert_allclose(tape.gradient(total, weight), [1 + 1 / 5**0.5, 1 + 2 / 5**0.5], rtol=1e-5)


def test_the_loss_is_that_of_the_vectors_and_of_the_pushed_ones():
    batch = tensors(slice(0, 100, 5))
    plain, hardened = model_with(), model_with(adversarial={"weight": 0.7, "epsilon": 0.4})
    hardened.set_weights(plain.get_weights())
    own = float(plain.compute_loss(batch, training=True))
    item_index = batch["item_index"]

    def loss(vectors):
        return in_batch_loss(plain, batch, vectors)

    pushed = adversarial_vectors(plain.items.lookup(item_index)["vectors"], loss, epsilon=0.4)
    worse = float(loss(pushed))
    assert worse > own
    assert float(hardened.compute_loss(batch, training=True)) == pytest.approx(own + 0.7 * worse, rel=1e-4)
    assert float(hardened.compute_loss(batch, training=False)) == pytest.approx(own, rel=1e-5)


@pytest.mark.parametrize("size", [20, None], ids=["known size", "any size"])
def test_what_windows_are_padded_with_is_no_negative(size):
    model = model_with(adversarial={"weight": 1.0, "epsilon": 0.4})
    batch = tensors(slice(0, 100, 5))
    place = model.embed_query(batch["user_index"], batch["history"])[:, : tiny_world.DIM]
    rows = [place, tf.ones([20]), tf.fill([20], model.periods - 1), batch["item_index"], tf.ones([20])]
    padded = [tf.concat([part, tf.zeros_like(part[:4])], axis=0) for part in rows]

    def loss(place, gain, moment, item_index, weight):
        return loss_of_pushed(model, Queries(place, gain, moment), item_index, weight)

    expected = float(loss(*rows))
    if size is None:
        loss = tf.function(loss, input_signature=[tf.TensorSpec([None, *x.shape[1:]], x.dtype) for x in rows])
        assert float(loss(*rows)) == pytest.approx(expected, rel=1e-5)
    assert float(loss(*padded)) == pytest.approx(expected, rel=1e-5)


def test_a_hardened_model_loses_less_to_an_attack():
    batch = tensors()

    def damage(adversarial):
        tf_keras.utils.set_random_seed(2)
        model = model_with(adversarial=adversarial)
        model.compile(tf_keras.optimizers.Adam(0.01))
        model.fit(tf.data.Dataset.from_tensors(batch).repeat(150), verbose=0)
        item_index = batch["item_index"]

        def loss(vectors):
            return in_batch_loss(model, batch, vectors)

        vectors = model.items.lookup(item_index)["vectors"]
        return float(loss(adversarial_vectors(vectors, loss, epsilon=1.0)) - loss(vectors))

    assert damage({"weight": 1.0, "epsilon": 1.0}) < 0.8 * damage(None)


def test_without_modalities_there_is_nothing_to_push():
    config = tiny_world.config(retrieval={"adversarial": {}, "id_dropout": 0.0, "user_dropout": 0.0, "dropout": 0.0})
    table = tiny_world.FeatureTable.build(
        tiny_world.items_frame(), tiny_world.SCHEMA.item[:4], np.unique(tiny_world.interactions()[1])
    )
    model = build_two_tower(config, tiny_world.user_table(), table, tiny_world.sequences().item_index)
    batch = tensors(slice(0, 20))
    found = [float(model.compute_loss(batch, training=training)) for training in (False, True)]
    assert found[0] == pytest.approx(found[1], rel=1e-5)
