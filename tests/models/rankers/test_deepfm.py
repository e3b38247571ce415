"""DeepFM: its three parts against NumPy, and a ranker's way through fit, save and export."""

from itertools import combinations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from sklearn.metrics import roc_auc_score

from mmrec_tf.data.pipelines import ranking_dataset
from mmrec_tf.serving.export import export_models
from mmrec_tf.training.fit import fit
from tests import tiny_world
from tests.models.rankers.worlds import linear_part, of_deep, one_pair, only_ids, pairs, randomized, side_by_side
from tests.tiny_world import ranking_examples

CATALOGUE = np.arange(1, tiny_world.TRAINED_ITEMS + 1)


def test_score_by_hand():
    model = only_ids("deepfm", hidden=[])
    # The deep part without hidden layers is linear in the vectors: item (3, -1), user (1, 2).
    model.deep.first_of_item.set_weights([np.array([[0.1], [0.2]])])
    model.deep.first_of_user.set_weights([np.array([[0.3], [0.4]]), np.array([100.0])])
    # bias 10; linear 0.5 - 0.25 = 0.25; pair 1*3 - 2*1 = 1; deep 0.3 - 0.2 + 0.3 + 0.8 + 100 = 101.2
    assert model(one_pair()).numpy() == pytest.approx([10 + 0.25 + 1 + 101.2])


def test_score_is_linear_part_all_pairs_of_fields_and_deep_part():
    model, inputs = randomized(tiny_world.ranker(hidden=[12, 5])), pairs()
    parts = model._pairs(inputs, False, (), False, None)
    vectors, expected = side_by_side(parts), linear_part(model, parts)
    # item: id, category, tags, price, image, text; user: id, country, age; the history: as the item, twice
    assert vectors.shape == (18, 22, 4)
    for f, g in combinations(range(22), 2):
        expected += (vectors[:, f] * vectors[:, g]).sum(axis=1)
    flat = vectors.reshape(18, -1)
    expected += of_deep(model.deep, flat[:, : 6 * 4], flat[:, 6 * 4 :])
    np.testing.assert_allclose(model(inputs).numpy().ravel(), expected, rtol=1e-4, atol=1e-4)


def accuracy(model) -> float:
    """AUC of the items of a user's group against the others, over the trained catalogue."""
    users = np.arange(tiny_world.ACTIVE_USERS)
    inputs = {
        "user_index": tf.constant(users + 1, tf.int32),
        "history": tf.constant(tiny_world.sequences().latest(users)),
        "item_index": tf.constant(np.tile(CATALOGUE, (len(users), 1)), tf.int32),
    }
    same = (CATALOGUE - 1)[None, :] % 4 == users[:, None] % 4
    return roc_auc_score(same.ravel(), model(inputs).numpy().ravel())


def training_pairs(negatives=4):
    return ranking_dataset(ranking_examples(), CATALOGUE, batch_size=32 * (1 + negatives), negatives=negatives, seed=1)


def test_fit_learns_the_taste():
    model = tiny_world.ranker()
    assert accuracy(model) < 0.65
    history = fit(model, training_pairs(), epochs=40, learning_rate=0.03, patience=40)
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert accuracy(model) > 0.8


def test_fit_compiles_under_xla():
    history = fit(tiny_world.ranker(), training_pairs(), epochs=3, learning_rate=0.02, patience=3, xla=True)
    assert np.isfinite(history["loss"]).all() and history["loss"][-1] < history["loss"][0]


def test_mixed_precision_trains_and_keeps_scores_in_float32():
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model, inputs = tiny_world.ranker(), pairs()
        model.similarity_weight.assign(1.0)
        plain = model(inputs)
        # 0.7001953125 is 0.69921875 in bfloat16.
        blended = model({**inputs, "similarity": tf.fill([6, 3], 0.7001953125)})
        assert plain.dtype == blended.dtype == tf.float32
        np.testing.assert_allclose(blended - plain, 0.7001953125, atol=1e-5)
        history = fit(model, training_pairs(), epochs=4, learning_rate=0.02, patience=4)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert np.isfinite(history["loss"]).all() and history["loss"][-1] < history["loss"][0]


@pytest.mark.quick_stack
def test_fit_save_export_and_reload(tmp_path):
    model = tiny_world.ranker()
    fit(model, training_pairs(), epochs=1, learning_rate=0.02, patience=1)
    model.similarity_weight.assign(3.0)
    scores = model(pairs()).numpy()

    model.save_weights(str(tmp_path / "ranking.weights.h5"))
    fresh = tiny_world.ranker()
    assert np.abs(fresh(pairs()).numpy() - scores).max() > 1e-3
    fresh.load_weights(str(tmp_path / "ranking.weights.h5"))
    np.testing.assert_allclose(fresh(pairs()).numpy(), scores, atol=1e-6)
    assert float(fresh.similarity_weight) == 3.0

    engine = tiny_world.engine(ranking=fresh)
    written = export_models(engine, tmp_path / "export")
    users, items = tf.constant(["u3", "nobody"]), tf.constant(["i4", "i28"])
    ranking = tf.saved_model.load(str(written["ranking"])).signatures["serving_default"]
    np.testing.assert_allclose(
        ranking(user_id=users, item_id=items)["score"].numpy(), engine.rank_pairs(users, items).numpy(), atol=1e-6
    )
    recommend = tf.saved_model.load(str(written["recommend"])).signatures["recommend"]
    nothing = tf.zeros([2, 0], tf.string)
    answer = recommend(user_id=users, k=tf.constant([4, 4]), exclude_ids=nothing, history_item_ids=nothing)
    names, best = engine.recommend(users, tf.constant(4))
    assert answer["item_id"].numpy().tolist() == names.numpy().tolist()
    np.testing.assert_allclose(answer["score"].numpy(), best.numpy(), atol=1e-6)
