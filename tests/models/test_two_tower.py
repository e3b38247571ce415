"""The retrieval model: its loss against NumPy, what it hides in training, and its way through fit, save and export."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.data.pipelines import retrieval_dataset
from mmrec_tf.serving.export import export_models
from mmrec_tf.training.fit import fit
from tests import tiny_world
from tests.tiny_world import calm_two_tower, retrieval_batch, two_tower


def tensors(batch) -> dict[str, tf.Tensor]:
    return {name: tf.constant(array) for name, array in batch.items()}


def embeddings(model, batch) -> tuple[np.ndarray, np.ndarray]:
    queries = model(tensors(batch)).numpy()
    return queries, model.embed_candidate(tf.constant(batch["item_index"])).numpy()


def three_examples() -> dict[str, np.ndarray]:
    """Examples 0 and 2 have the same item."""
    batch = retrieval_batch([1, 20, 40])
    batch["item_index"] = np.array([5, 9, 5], np.int32)
    return batch


def softmax_losses(scores, expected, counted) -> np.ndarray:
    """-log of the share of each own score (the diagonal) beside the counted others, divided by how often they stand."""
    others = np.where(counted, np.exp(scores) / expected, 0.0).sum(axis=1)
    own = np.exp(np.diag(scores))
    return -np.log(own / (own + others))


@pytest.mark.parametrize("logq", ["counts", False])
def test_in_batch_loss_against_numpy(logq):
    model = calm_two_tower(temperature=0.2, negatives={"source": "in_batch", "logq": logq})
    batch = three_examples()
    queries, candidates = embeddings(model, batch)
    # Candidate 2 is the item of example 0, and candidate 0 that of example 2.
    counted = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    expected = 3 * model.sampling_probabilities.numpy()[batch["item_index"]] if logq else 1.0
    losses = softmax_losses(queries @ candidates.T / 0.2, expected, counted)
    for training in (False, True):
        assert float(model.compute_loss(tensors(batch), training=training)) == pytest.approx(losses.mean(), rel=1e-4)
    # Examples of one user are no negatives of each other either: they are all liked.
    batch["user_index"][2] = batch["user_index"][1]
    counted[[1, 2], [2, 1]] = False
    queries, candidates = embeddings(model, batch)
    losses = softmax_losses(queries @ candidates.T / 0.2, expected, counted)
    assert float(model.compute_loss(tensors(batch))) == pytest.approx(losses.mean(), rel=1e-4)


def test_whole_catalogue_loss_against_numpy():
    model = calm_two_tower(temperature=0.2, negatives={"source": "full"})
    batch = retrieval_batch(slice(0, 20))
    queries, candidates = model(tensors(batch)).numpy(), model.candidate_embeddings()
    losses = []
    for query, own, history in zip(queries, batch["item_index"], batch["history"]):
        # What the user has touched before is no negative, and is not shown again either.
        others = [item for item in range(1, 31) if item != own and item not in history]
        scores = np.exp(candidates @ query / 0.2)
        losses.append(-np.log(scores[own] / (scores[own] + scores[others].sum())))
    assert float(model.compute_loss(tensors(batch))) == pytest.approx(np.mean(losses), rel=1e-4)
    # Examples count by their weights.
    batch["weight"] = np.arange(20, dtype=np.float32)
    expected = np.average(losses, weights=batch["weight"])
    assert float(model.compute_loss(tensors(batch))) == pytest.approx(expected, rel=1e-4)


def test_hard_negatives_count_beside_the_others():
    model = calm_two_tower(temperature=0.2, negatives={"source": "in_batch", "hard": 2})
    batch = three_examples()
    plain = float(model.compute_loss(tensors(batch)))
    # For the users of examples 0 and 2 the item 7 stands at every place, for that of example 1 its own item and none.
    hard = np.zeros([21, 100], np.int32)
    hard[batch["user_index"][[0, 2]]] = 7
    hard[batch["user_index"][1]] = [9, 0] * 50
    model.set_hard_items(hard)
    queries, candidates = embeddings(model, batch)
    counted = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    expected = 3 * model.sampling_probabilities.numpy()[batch["item_index"]]
    scores = queries @ candidates.T / 0.2
    drawn = np.exp(queries @ model.candidate_embeddings()[7] / 0.2) * [2, 0, 2]
    others = np.where(counted, np.exp(scores) / expected, 0.0).sum(axis=1) + drawn
    own = np.exp(np.diag(scores))
    losses = -np.log(own / (own + others))
    assert losses.mean() > plain
    assert float(model.compute_loss(tensors(batch), training=True)) == pytest.approx(losses.mean(), rel=1e-4)


def test_trends_of_the_moment_are_part_of_the_score():
    model = calm_two_tower(temperature=0.2, negatives={"source": "full"}, trends={"half_lives": [1, 7], "periods": 3})
    random = np.random.default_rng(0)
    table = random.uniform(0, 2, [31, 3, 2]).astype(np.float32)
    model.trends.assign(table)
    model.trend_blend.assign([0.5, 0.25])
    model.gain.bias.assign([0.2])
    batch = {**retrieval_batch(slice(0, 6)), "moment": np.array([0, 1, 2, 0, 1, 2], np.int32)}
    places, items = model(tensors(batch)).numpy()[:, :9], model.candidate_embeddings()[:, :9]
    trend = 0.5 * table[:, :, 0] + 0.25 * table[:, :, 1]
    losses = []
    for place, own, history, moment in zip(places, batch["item_index"], batch["history"], batch["moment"]):
        scores = np.exp((items @ place + 1.2 * trend[:, moment]) / 0.2)
        others = [item for item in range(1, 31) if item != own and item not in history]
        losses.append(-np.log(scores[own] / (scores[own] + scores[others].sum())))
    assert float(model.compute_loss(tensors(batch))) == pytest.approx(np.mean(losses), rel=1e-4)
    # As embeddings: the present is the last period.
    np.testing.assert_allclose(model(tensors(batch)).numpy()[:, 8:], np.tile([1.0, 1.2], [6, 1]), rtol=1e-5)
    np.testing.assert_allclose(model.candidate_embeddings()[:, 9], trend[:, 2], rtol=1e-5)
    np.testing.assert_allclose(model.trend_scores(np.array([1, 2, 1])), trend.T[[1, 2, 1]], rtol=1e-5)


@pytest.mark.parametrize(("length", "expected"), [(6, [3.6, 1.2]), (0, [1.2, 1.2])], ids=["some", "none is read"])
def test_trends_may_count_more_for_users_without_a_history(length, expected):
    model = calm_two_tower(trends={"half_lives": [1, 7], "periods": 3}, history_length=length)
    model.gain.bias.assign([0.2])
    model.newcomer_gain.assign(3.0)
    history = np.zeros([2, length], np.int32)
    history[1:, -1:] = 5
    numbers = model({"user_index": tf.constant([1, 1]), "history": tf.constant(history)})[:, 8:]
    np.testing.assert_allclose(numbers, [[1.0, gain] for gain in expected], rtol=1e-5)


def test_new_items_have_a_learned_number_in_place_of_a_trend():
    model = calm_two_tower(trends={"half_lives": [1], "periods": 2})
    # Items 28 to 30 are not in the training interactions. The first of them has come to be known since.
    trends = np.ones([31, 2, 1])
    trends[29:] = 0.0
    model.trends.assign(trends)
    model.trend_blend.assign([0.5])
    popularity = np.zeros_like(model.popularity.embeddings)
    popularity[0] = 0.125
    model.popularity.embeddings.assign(popularity)
    model.newness.assign(0.125)
    numbers = model.candidate_embeddings()[:, 8:]
    np.testing.assert_allclose(numbers[1:29], np.tile([0.0, 0.5], [28, 1]))
    np.testing.assert_allclose(numbers[29:], np.tile([0.25, 0.0], [2, 1]))
    np.testing.assert_allclose(model.candidate_embeddings(without_ids=True)[1:, 8:], np.tile([0.25, 0.0], [30, 1]))
    trained = {variable.name for variable in model.trainable_variables}
    assert "newness:0" in trained and not any("popularity" in name for name in trained)


@pytest.mark.parametrize("half_lives", [[1], []], ids=["trends", "none"])
def test_what_training_met_and_nobody_liked_is_not_new(half_lives):
    model = calm_two_tower(trends={"half_lives": half_lives, "periods": 2})
    met = np.arange(31) < 30
    model.items.lookup.is_met.assign(met)
    popularity = np.zeros_like(model.popularity.embeddings)
    popularity[0] = 0.25
    model.popularity.embeddings.assign(popularity)
    model.newness.assign(0.125)
    # Of the items without an id, 28 to 30, the last alone.
    told = model.candidate_embeddings()[28:, 8]
    np.testing.assert_allclose(told, [0.0, 0.0, 0.375])
    np.testing.assert_allclose(model.candidate_embeddings(without_ids=True)[28:, 8], 0.375)
    # In training as well; there an item whose id is hidden stands for one that nobody has met, a liked one too.
    model.items.id_dropout = 1.0
    index = tf.range(31)
    trained = model.candidates(index, model.items(index, training=True), training=True)
    np.testing.assert_allclose(trained.popularity[1:], np.where(np.isin(index[1:], [28, 29]), 0.0, 0.375))


def test_all_positions_are_the_examples_one_by_one():
    # With the mean of what came before as the history's encoder, a window's positions are examples with the histories
    # that the window holds up to there.
    model = calm_two_tower(negatives={"source": "uniform", "count": 3})
    known = tiny_world.sequences()
    window = next(iter(retrieval_dataset(known, 10, seed=1, all_positions=True)))
    assert window["item_index"].shape == (2, 5) and model.query_tower.history.length == 5
    single = {"user_index": [], "history": [], "gaps": [], "since": [], "item_index": []}
    for row in range(2):
        for place in range(5):
            before = window["history"][row].numpy()[: place + 1]
            gaps = window["gaps"][row].numpy()[: place + 1]
            single["user_index"].append(int(window["user_index"][row]))
            single["history"].append(np.pad(before, (4 - place, 0)))
            single["gaps"].append(np.pad(gaps, (4 - place, 0)))
            single["since"].append(int(window["since"][row, place]))
            single["item_index"].append(int(window["item_index"][row, place]))
    single = {name: np.array(values, np.int32) for name, values in single.items()}
    rows = model.items.rows(None, False)
    at_once = model._queries(window, rows, False).place.numpy()
    one_by_one = model._queries(tensors(single), rows, False).place.numpy()
    np.testing.assert_allclose(at_once, one_by_one, atol=1e-5)


def test_sampling_probabilities_come_from_the_training_interactions():
    counts = np.bincount(tiny_world.sequences().item_index, minlength=31)
    expected = np.maximum(counts, 0.5) / counts.sum()
    np.testing.assert_allclose(two_tower().sampling_probabilities.numpy(), expected, rtol=1e-6)


def test_embeddings_have_unit_length_beside_the_popularity():
    model = two_tower()
    model.popularity.embeddings.assign(np.linspace(0, 1, model.items.lookup.id_vocabulary_size)[:, None])
    queries, candidates = embeddings(model, retrieval_batch())
    for found in (queries, candidates, model.candidate_embeddings()):
        np.testing.assert_allclose(np.linalg.norm(found[:, :8], axis=1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(queries[:, 8:], 1.0)
    # A query and a candidate meet as cosine + popularity, by the item's place among the ids of training.
    expected = model.popularity.embeddings.numpy()[model.items.lookup.id_index.numpy(), 0]
    np.testing.assert_allclose(model.candidate_embeddings()[:, 8], expected)
    assert model.candidate_embeddings().shape == (31, 10)


def test_query_embeddings_are_the_models_in_batches_of_any_size():
    model, batch = two_tower(), retrieval_batch(slice(0, 7))
    expected = model(tensors(batch)).numpy()
    found = model.query_embeddings(batch["user_index"], batch["history"], batch_size=3)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert model.query_embeddings(np.zeros(0, int), np.zeros((0, 5), int)).shape == (0, 10)
    np.testing.assert_allclose(model.candidate_embeddings(batch_size=7), model.candidate_embeddings(), atol=1e-6)


def test_user_dropout_hides_all_that_is_known_of_the_user():
    model = calm_two_tower(user_dropout=0.999999, negatives={"source": "in_batch"})
    batch = retrieval_batch(slice(0, 90, 6))
    known = float(model.compute_loss(tensors(batch)))
    _, candidates = embeddings(model, batch)
    # Nothing known: a query equally near to all, and only the popularity, 0 here, and how often an item stands count.
    items = batch["item_index"]
    expected = len(items) * model.sampling_probabilities.numpy()[items]
    scores = np.tile(candidates[:, 8] / 0.07, [len(items), 1])
    expected = softmax_losses(scores, expected, items != items[:, None]).mean()
    assert abs(known - expected) > 1e-3
    assert float(model.compute_loss(tensors(batch), training=True)) == pytest.approx(expected, rel=1e-5)


def test_catalogue_and_row_wise_embeddings_agree():
    model, batch = calm_two_tower(negatives={"source": "in_batch"}), retrieval_batch(slice(0, 20))
    asked, call = [], model.items.call

    def spy(index, **options):
        asked.append(index.shape.as_list())
        return call(index, **options)

    model.items.call = spy
    # 20 * (5 + 1) rows are more than the catalogue's 31, so it is embedded once as a whole.
    whole = float(model.compute_loss(tensors(batch)))
    assert asked == [[31]]
    # With shapes unknown at tracing, the history's and the candidates' rows are embedded one by one.
    asked.clear()
    specs = {name: tf.TensorSpec([None, *array.shape[1:]], tf.int32) for name, array in batch.items()}
    row_wise = tf.function(model.compute_loss, input_signature=[specs])
    assert float(row_wise(tensors(batch))) == pytest.approx(whole, rel=1e-5)
    assert asked == [[None], [None]]


def test_unknown_users_and_new_items_are_placed():
    model = two_tower()
    batch = {"user_index": np.array([0, 19, 20]), "history": np.zeros((3, 5), np.int32)}
    assert np.isfinite(model(tensors(batch)).numpy()).all()
    # New items have no id of their own and still differ, by content.
    new = model.candidate_embeddings()[28:31]
    assert np.abs(new[0] - new[1]).max() > 1e-3


def test_without_history():
    model = calm_two_tower(history_length=0)
    batch = retrieval_batch(slice(0, 8))
    batch["history"] = batch["history"][:, :0]
    assert np.isfinite(float(model.compute_loss(tensors(batch), training=True)))


@pytest.mark.parametrize("xla", [False, True])
def test_fit_reduces_the_loss(xla):
    tf_keras.utils.set_random_seed(0)
    model = two_tower(id_dropout=0.1, user_dropout=0.1)
    before = float(model.compute_loss(tensors(retrieval_batch())))
    dataset = retrieval_dataset(tiny_world.sequences(), batch_size=32, seed=1)
    history = fit(model, dataset, epochs=30, learning_rate=0.02, patience=30, xla=xla)
    assert np.isfinite(history["loss"]).all()
    assert float(model.compute_loss(tensors(retrieval_batch()))) < before - 0.5
    # Users find items of their own group: by chance a quarter would be.
    users = np.arange(tiny_world.ACTIVE_USERS)
    queries = model.query_embeddings(users + 1, tiny_world.sequences().latest(users))
    best = np.argsort(-queries @ model.candidate_embeddings()[1:].T, axis=1)[:, :5]
    assert (best % 4 == users[:, None] % 4).mean() > 0.5


def test_plain_keras_compile_fit_evaluate_and_predict():
    model = two_tower()
    dataset = retrieval_dataset(tiny_world.sequences(), batch_size=54, seed=1)
    model.compile(optimizer="adam")
    model.fit(dataset, epochs=1, verbose=0)
    assert model.evaluate(dataset, verbose=0, return_dict=True)["loss"] > 0
    assert model.predict(dataset, verbose=0).shape == (108, 10)


def test_mixed_precision_trains_and_keeps_the_loss_in_float32():
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = calm_two_tower(negatives={"source": "in_batch"})
        batch = three_examples()
        queries, candidates = embeddings(model, batch)
        assert queries.dtype == candidates.dtype == np.float32
        counted = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
        expected = 3 * model.sampling_probabilities.numpy()[batch["item_index"]]
        expected = softmax_losses(queries @ candidates.T / 0.07, expected, counted).mean()
        # Rounding the embeddings to bfloat16 would change scores of about 10 in the second digit.
        assert float(model.compute_loss(tensors(batch))) == pytest.approx(expected, rel=1e-4)
        dataset = retrieval_dataset(tiny_world.sequences(), batch_size=32, seed=1)
        history = fit(model, dataset, epochs=5, learning_rate=0.02, patience=5)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert np.isfinite(history["loss"]).all() and history["loss"][-1] < history["loss"][0]


def test_config_round_trip_through_json():
    model = two_tower(
        temperature=0.3,
        learned_temperature=True,
        user_dropout=0.4,
        negatives={"source": "mixed", "count": 7, "logq": "streaming"},
        loss={"name": "hinge", "margin": 0.4},
        history={"encoder": "transformer", "blocks": 1},
        trends={"half_lives": [2.0, 9.0], "periods": 4},
    )
    copy = tf_keras.saving.deserialize_keras_object(
        json.loads(json.dumps(tf_keras.saving.serialize_keras_object(model)))
    )
    serialized = [json.dumps(tf_keras.saving.serialize_keras_object(one), sort_keys=True) for one in (copy, model)]
    assert serialized[0] == serialized[1]
    copy.set_weights(model.get_weights())
    batch = retrieval_batch(slice(0, 9))
    np.testing.assert_allclose(copy(tensors(batch)).numpy(), model(tensors(batch)).numpy(), atol=1e-6)
    np.testing.assert_allclose(copy.candidate_embeddings(), model.candidate_embeddings(), atol=1e-6)


@pytest.mark.quick_stack
def test_fit_save_export_and_reload(tmp_path):
    model = two_tower()
    fit(model, retrieval_dataset(tiny_world.sequences(), batch_size=32), epochs=1, learning_rate=0.01, patience=1)
    queries, candidates = model(tensors(retrieval_batch())).numpy(), model.candidate_embeddings()

    model.save_weights(str(tmp_path / "retrieval.weights.h5"))
    fresh = two_tower()
    assert np.abs(fresh.candidate_embeddings() - candidates).max() > 1e-3
    fresh.load_weights(str(tmp_path / "retrieval.weights.h5"))
    np.testing.assert_allclose(fresh(tensors(retrieval_batch())).numpy(), queries, atol=1e-6)
    np.testing.assert_allclose(fresh.candidate_embeddings(), candidates, atol=1e-6)

    engine = tiny_world.engine(fresh)
    path = export_models(engine, tmp_path / "export")["retrieval"]
    served = tf.saved_model.load(str(path)).signatures["retrieve"]
    answer = served(user_id=tf.constant(["u3", "nobody"]), k=tf.constant([4, 4]))
    items, scores = engine.retrieve_ids(tf.constant(["u3", "nobody"]), tf.constant(4))
    assert answer["item_id"].numpy().tolist() == items.numpy().tolist()
    np.testing.assert_allclose(answer["score"].numpy(), scores.numpy(), atol=1e-6)


def test_placed_by_content_as_if_the_id_were_new():
    model = tiny_world.calm_two_tower()
    index = np.array([3, 7, 9], np.int32)
    stored = {name: vectors[index] for name, vectors in tiny_world.item_table().vectors.items()}
    places = model.place_by_content(index, stored).numpy()
    # Where ids are new, an embedding is the place and the popularity of the unknown id behind it.
    model.items.lookup.id_index.assign(np.zeros(tiny_world.ITEMS + 1, np.int32))
    np.testing.assert_allclose(model.embed_candidate(index).numpy()[:, :8], places, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), 1.0, atol=1e-5)
