"""Models from the configuration."""

import numpy as np
import pytest

from mmrec_tf.data.pipelines import ranking_dataset, retrieval_dataset
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.models.build import build_ranker, build_two_tower
from mmrec_tf.models.history.gru import GruHistory
from mmrec_tf.schema import Schema
from mmrec_tf.training.fit import fit
from tests import tiny_world


def test_models_take_their_settings_from_the_configuration():
    settings = tiny_world.config(
        retrieval={
            "dim": 6,
            "hidden": [9, 7],
            "temperature": 0.2,
            "negatives": {"source": "cached", "count": 9, "logq": False},
            "loss": {"name": "binary", "calibration": 0.5},
            "history": {"encoder": "gru"},
            "id_dropout": 0.4,
            "user_dropout": 0.3,
            "dropout": 0.2,
            "history_length": 3,
        },
        ranking={"dim": 5, "hidden": [8], "dropout": 0.1},
        fusion={"modality_dropout": 0.5},
    )
    tables = tiny_world.user_table(), tiny_world.item_table()
    model = build_two_tower(settings, *tables)
    assert (model.task.temperature.initial, model.user_dropout) == (0.2, 0.3)
    assert model.negatives_options == {"name": "cached", "count": 9, "logq": False}
    # An example is told from the cached items and from those of its batch.
    assert model.task.loss_options == {"name": "binary", "calibration": 0.5, "share": 1 / 30}
    assert (model.periods, model.half_lives) == (64, 5)
    for tower in (model.query_tower, model.candidate_tower):
        assert (tower.dim, tower.hidden, tower.dropout) == (6, [9, 7], 0.2)
    assert model.query_tower.id_dropout == model.items.id_dropout == 0.4
    # The fused vector is summed with the others, so it has the towers' width whatever fusion.dim says.
    assert (model.items.fusion.dim, model.items.fusion.modality_dropout) == (6, 0.5)
    assert isinstance(model.query_tower.history, GruHistory) and model.query_tower.history.length == 3
    # Without training examples every item is drawn alike.
    np.testing.assert_allclose(model.sampling_probabilities.numpy(), 1 / 31)
    ranker = build_ranker(settings, *tables)
    assert (ranker.dim, ranker.hidden, ranker.dropout, ranker.target) == (5, [8], 0.1, "click")


def test_the_rankers_bins_are_those_of_the_training_rows():
    users, items = tiny_world.user_table(), tiny_world.item_table()
    ranking = {"model": "fm", "number_embedding": "piecewise_linear", "number_bins": 2}
    model = build_ranker(tiny_world.config(ranking=ranking), users, items)
    seen = items.numbers["price"][(items.id_index > 0) & (items.numbers["price"][:, 1] > 0), 0]
    expected = [seen.min(), np.median(seen), seen.max()]
    np.testing.assert_allclose(model.item_fields.side.numbers["price"].edges, expected, rtol=1e-6)
    assert len(model.user_fields.side.numbers["age"].edges) == 3
    plain = build_ranker(tiny_world.config(ranking={"model": "fm"}), users, items)
    assert plain.number_edges == {"users": {}, "items": {}}


def test_popularity_starts_at_the_log_of_the_share():
    items = tiny_world.item_table()
    settings = tiny_world.config(retrieval={"temperature": 0.2})
    # Item 1 is the positive of four examples, item 2 of one, the other items of training of none (counted as a half).
    model = build_two_tower(settings, tiny_world.user_table(), items, np.array([1, 1, 1, 1, 2]))
    popularity = model.popularity.embeddings.numpy()[:, 0]
    first, second, third = popularity[items.id_index[[1, 2, 3]]]
    np.testing.assert_allclose([first - second, third - second], [0.2 * np.log(4), 0.2 * np.log(0.5)], rtol=1e-5)
    # New items stand at the mean of the known ones, which is 0.
    assert popularity[0] == 0.0
    np.testing.assert_allclose(popularity[1:].mean(), 0.0, atol=1e-6)


def test_features_may_have_any_name(tmp_path):
    names = {"category": "Category/é", "tags": "a b", "price": "price ($)", "text": "标题", "image": "*"}
    kinds = ("categorical", "multi_categorical", "number", "vector", "vector")
    schema = Schema(user={"user_id": "id"}, item={"item_id": "id", **dict(zip(names.values(), kinds))})
    frame = tiny_world.items_frame().rename(columns=names)
    modalities = {names[name]: pair for name, pair in tiny_world.modalities().items()}
    tables = (
        FeatureTable.build(tiny_world.users_frame(), schema.user, np.arange(tiny_world.ACTIVE_USERS)),
        FeatureTable.build(frame, schema.item, np.arange(tiny_world.TRAINED_ITEMS), modalities),
    )
    settings = tiny_world.config(schema=schema.model_dump(), split={"method": "random"})
    pairs = ranking_dataset(tiny_world.ranking_examples(), np.arange(1, 28), 200, negatives=1)
    examples = retrieval_dataset(tiny_world.sequences(), 100)
    for build, dataset in ((build_two_tower, examples), (build_ranker, pairs)):
        model, fresh = build(settings, *tables), build(settings, *tables)
        # Optimisers make scopes of the weights' names.
        fit(model, dataset, epochs=1, learning_rate=0.1, patience=1)
        model.save_weights(str(tmp_path / "model.weights.h5"))
        fresh.load_weights(str(tmp_path / "model.weights.h5"))
        for one, other in zip(model.get_weights(), fresh.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("ranking", "knows"),
    [
        ({}, True),
        ({"negatives": 0, "hard_negatives": 0}, False),
        ({"negatives": 0, "hard_negatives": 0, "trends": True}, True),
        ({"trends": False}, False),
    ],
)
def test_rankers_know_trends_where_negatives_are_drawn_or_where_they_are_told_to(ranking, knows):
    assert (tiny_world.ranker(**ranking).trend_field is not None) == knows
