"""The heads: their losses against NumPy and scikit-learn, and what they do not count."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, softmax
from sklearn.metrics import log_loss

from mmrec_tf.models.task_heads import CategoryHead, RatingHead, SentimentHead
from tests.layer_checks import check_layer

CONTENT = np.random.default_rng(1).normal(size=[5, 4]).astype(np.float32)
EVERYTHING = np.ones(5, bool)


def pairs(count=6, width=4, labels=None) -> dict[str, np.ndarray]:
    random = np.random.default_rng(2)
    read = {
        "query": random.normal(size=[count, width]).astype(np.float32),
        "candidate": random.normal(size=[count, width]).astype(np.float32),
        "user_id": np.arange(count, dtype=np.int32) % 3,
        "item_id": np.arange(count, dtype=np.int32) % 4,
    }
    return read if labels is None else {**read, "label": np.asarray(labels, np.float32)}


def items(category, has_content=EVERYTHING) -> dict:
    return {"content": CONTENT, "categories": {"genre": np.asarray(category, np.int32)}, "has_content": has_content}


def test_category_head_passes_the_layer_checks(tmp_path):
    check_layer(
        lambda: CategoryHead("genre", classes=3),
        {"content": CONTENT},
        tmp_path,
        expected_shape=(5, 3),
        has_float32_output=True,
    )


@pytest.mark.parametrize("head", [RatingHead, SentimentHead])
def test_pair_heads_pass_the_layer_checks(tmp_path, head):
    check_layer(
        lambda: head(user_ids=3, item_ids=4, hidden=5, id_dropout=0.2),
        pairs(),
        tmp_path,
        expected_shape=(6,),
        has_float32_output=True,
    )


def test_one_category_is_a_softmax_over_the_known_ones():
    head = CategoryHead("genre", classes=3)
    # Item 1 has no category, item 3 no content: the others are counted.
    inputs = items([2, 0, 1, 3, 3], has_content=np.array([True, True, True, False, True]))
    loss, counted = head.loss(inputs)
    chances = softmax(CONTENT @ head.score.kernel.numpy() + head.score.bias.numpy(), axis=1)
    # Categories 2, 1 and 3 are the classes 1, 0 and 2.
    assert float(loss) == pytest.approx(log_loss([1, 0, 2], chances[[0, 2, 4]], labels=[0, 1, 2]), rel=1e-5)
    assert float(counted) == 3


def test_several_categories_are_a_sigmoid_each():
    head = CategoryHead("genre", classes=3)
    # Item 0 has the categories 1 and 3, item 1 the category 2 (named twice), item 2 none that is known.
    loss, counted = head.loss(items([[1, 3], [2, 2], [0, 0], [3, 0], [0, 1]]))
    chances = expit(CONTENT @ head.score.kernel.numpy() + head.score.bias.numpy())
    truth = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]])
    values = -np.where(truth, np.log(chances), np.log(1 - chances)).mean(axis=1)
    assert float(loss) == pytest.approx(values[[0, 1, 3, 4]].mean(), rel=1e-5)
    assert float(counted) == 4


@pytest.mark.parametrize("category", [[0, 0, 0, 0, 0], [[0, 0]] * 5])
def test_nothing_counted_is_a_loss_of_zero_with_finite_gradients(category):
    head = CategoryHead("genre", classes=3)
    with tf.GradientTape() as tape:
        loss, counted = head.loss(items(category))
    assert float(loss) == 0.0 and float(counted) == 0.0
    for gradient in tape.gradient(loss, head.trainable_variables):
        np.testing.assert_array_equal(gradient.numpy(), 0.0)


def test_a_sure_and_right_head_has_no_loss():
    head = CategoryHead("genre", classes=3)
    head({"content": CONTENT})
    head.score.kernel.assign(tf.zeros_like(head.score.kernel))
    head.score.bias.assign([90.0, -90.0, 90.0])
    # log(1 + exp(90)) - 90 for the two that are there, log(1 + exp(-90)) for the third: 0 but for rounding.
    assert float(head.loss(items([[1, 3]] * 5))[0]) == pytest.approx(0.0, abs=1e-5)


def with_known_weights(head):
    """A head whose deep part says q . c, from a hidden layer that only passes on."""
    head(pairs(1, width=1))
    head.user_bias.embeddings.assign([[0.0], [1.0], [-1.0]])
    head.item_bias.embeddings.assign([[0.0], [0.5], [0.25], [0.125]])
    # Of the inputs q, c and q * c only the last; + 100 on the way, where gelu is its input, and - 100 behind it.
    head.deep.set_weights([np.array([[0.0], [0.0], [1.0]]), np.array([100.0])])
    head.score.set_weights([np.array([[1.0]]), np.array([-100.0])])
    return head


TWO = {
    "query": np.array([[2.0], [1.0]], np.float32),
    "candidate": np.array([[3.0], [-1.0]], np.float32),
    "user_id": np.array([1, 2], np.int32),
    "item_id": np.array([1, 3], np.int32),
}


def test_rating_by_hand():
    head = with_known_weights(RatingHead(3, 4, hidden=1, centre=3.0, scale=2.0))
    # 1 + 0.5 + 2 * 3 = 7.5, so 3 + 2 * 7.5 = 18; -1 + 0.125 - 1 = -1.875, so 3 - 3.75 = -0.75.
    np.testing.assert_allclose(head(TWO).numpy(), [18.0, -0.75], atol=1e-4)
    # Off by 2 and by 1 stars, which is 1 and 1/2 deviations: (1 + 0.25) / 2.
    loss, counted = head.loss({**TWO, "label": np.array([16.0, 0.25], np.float32)})
    assert float(loss) == pytest.approx(0.625, abs=1e-4) and float(counted) == 2


def test_a_rating_of_one_is_what_the_mean_gets():
    labels = np.array([1.0, 2.0, 4.0, 5.0], np.float32)
    head = RatingHead(3, 4, centre=float(labels.mean()), scale=float(labels.std()))
    read = pairs(4, labels=labels)
    head(read)
    head.score.set_weights([np.zeros([64, 1]), np.zeros([1])])
    assert float(head.loss(read)[0]) == pytest.approx(1.0, rel=1e-5)


def test_sentiment_by_hand():
    head = with_known_weights(SentimentHead(3, 4, hidden=1, positive_from=4.0))
    np.testing.assert_allclose(head(TWO).numpy(), [7.5, -1.875], atol=1e-4)
    # A label of 4 is liked, one of 3.5 is not: -log sigmoid(7.5) = 0.000553, -log sigmoid(1.875) = 0.142686.
    loss, _ = head.loss({**TWO, "label": np.array([4.0, 3.5], np.float32)})
    assert float(loss) == pytest.approx(log_loss([1, 0], expit([7.5, -1.875])), abs=1e-5)


def test_hidden_ids_take_the_bias_of_new_ones():
    head = with_known_weights(RatingHead(3, 4, hidden=1, id_dropout=0.999999))
    # Only q . c is left; the bias of id 0 is 0.
    np.testing.assert_allclose(head(TWO, training=True).numpy(), [6.0, -1.0], atol=1e-4)


def test_labels_are_not_rounded_in_half_precision():
    head = with_known_weights(RatingHead(3, 4, hidden=1, centre=1000.0, dtype="mixed_bfloat16"))
    # bfloat16 holds 1004 as 1000 or 1008.
    label = head(TWO) + tf.constant([1.0, -1.0])
    assert float(head.loss({**TWO, "label": label})[0]) == pytest.approx(1.0, rel=1e-3)
