"""Items that join a trained catalogue."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from mmrec_tf.data.number_scale import NumberScale
from mmrec_tf.errors import DataError
from mmrec_tf.models.build import build_ranker, build_two_tower
from mmrec_tf.recommend.engine import RecommendationEngine
from mmrec_tf.recommend.grown_catalogue import take_weights, with_new_items
from tests import tiny_world

TRAINED = np.unique(tiny_world.interactions()[1])
PRICES = NumberScale.fit(tiny_world.items_frame()["price"].to_numpy()[TRAINED])


def new_items(rows=(4, 6)) -> pd.DataFrame:
    """New ids for the content of items that are there."""
    frame = tiny_world.items_frame().iloc[list(rows)].reset_index(drop=True)
    return frame.assign(item_id=[f"new{row}" for row in rows])


def modalities(rows=(4, 6)) -> dict:
    return {name: (vectors[list(rows)], mask[list(rows)]) for name, (vectors, mask) in tiny_world.modalities().items()}


def grown(rows=(4, 6)):
    table = tiny_world.item_table()
    return with_new_items(table, new_items(rows), tiny_world.SCHEMA.item, modalities(rows), {"price": PRICES})


def test_new_rows_are_encoded_as_those_of_the_training():
    rows = [4, 6, 17, 5]
    table, larger = tiny_world.item_table(), grown(rows)
    assert larger.size == 35 and larger.ids[30:] == ["new4", "new6", "new17", "new5"]
    assert larger.id_index[31:].tolist() == [0] * 4 and larger.id_vocabulary_size == table.id_vocabulary_size
    for group in ("categorical", "multi_categorical", "numbers", "vectors", "masks"):
        for name, array in getattr(table, group).items():
            found = getattr(larger, group)[name]
            np.testing.assert_array_equal(found[:31], array)
            # Their content is that of trained items, and so are their rows.
            np.testing.assert_allclose(found[31:], array[np.array(rows) + 1], atol=1e-6, err_msg=name)
            assert found.dtype == array.dtype
    assert table.size == 31


def test_values_that_training_has_not_seen_are_unknown():
    frame = new_items([4]).assign(category=["unheard of"], tags=[["t1", "?", "t0", "t1", "t1"]], price=[np.nan])
    larger = with_new_items(tiny_world.item_table(), frame, tiny_world.SCHEMA.item, modalities([4]), {"price": PRICES})
    known = tiny_world.item_table().vocabularies["tags"].lookup(["t1"])[0]
    assert larger.categorical["category"][31] == 0 and larger.numbers["price"][31].tolist() == [0.0, 0.0]
    # As many tags as a trained item has at most: two.
    assert larger.multi_categorical["tags"][31].tolist() == [known, 0]


def test_items_that_are_there_and_vectors_of_another_width_are_refused():
    table = tiny_world.item_table()
    frame = new_items().assign(item_id=["i3", "new"])
    with pytest.raises(DataError, match="1 of 2 items are in the catalogue already.*'i3'.*mmrec train"):
        with_new_items(table, frame, tiny_world.SCHEMA.item, modalities(), {"price": PRICES})
    wide = modalities() | {"text": (np.zeros((2, 9), np.float32), np.ones(2, bool))}
    with pytest.raises(DataError, match="'text' have 9 numbers, those of the training 6"):
        with_new_items(table, new_items(), tiny_world.SCHEMA.item, wide, {"price": PRICES})


def test_the_models_keep_what_they_have_learned_and_place_new_items_by_their_content():
    tf.keras.utils.set_random_seed(2)
    config, users, larger = tiny_world.config(), tiny_world.user_table(), grown()
    retrieval, ranking = tiny_world.two_tower(neighbours=3), tiny_world.ranker()
    for weight in retrieval.trainable_weights + ranking.trainable_weights:
        weight.assign_add(np.random.default_rng(0).normal(size=weight.shape, scale=0.05))
    more = build_two_tower(tiny_world.config(retrieval={"neighbours": 3}), users, larger)
    take_weights(more, retrieval)
    found, before = more.candidate_embeddings(), retrieval.candidate_embeddings()
    np.testing.assert_allclose(found[:31], before, atol=1e-6)
    expected = retrieval.candidate_embeddings(without_ids=True)[[5, 7]]
    np.testing.assert_allclose(found[31:], expected, atol=1e-5)
    more_ranking = build_ranker(config, users, larger)
    take_weights(more_ranking, ranking)

    trained = RecommendationEngine(retrieval, ranking, users, tiny_world.item_table(), tiny_world.sequences())
    engine = RecommendationEngine(more, more_ranking, users, larger, tiny_world.sequences(), candidates=32)
    ids = [f"i{row}" for row in range(30)]
    ask = tf.constant(["u3"]), tf.constant([ids])
    np.testing.assert_allclose(engine.rank_pairs(*ask), trained.rank_pairs(*ask), atol=1e-6)
    names, _ = engine.recommend(tf.constant(["nobody"]), tf.constant(32))
    assert {b"new4", b"new6"} <= set(names.numpy()[0])
    # What is nearest to the old item by content is the new one of the same content.
    nearest, _ = engine.similar_items(tf.constant(["new4"]), tf.constant(31))
    assert len(set(nearest.numpy()[0])) == 31 and b"new4" not in nearest.numpy()[0]


def test_of_trends_that_a_larger_catalogue_has_fewer_periods_of_what_there_is_of_both_is_taken():
    trained = tf.Variable(np.arange(24, dtype=np.float32).reshape(2, 4, 3))
    larger = tf.Variable(tf.fill([3, 2, 3], -1.0))
    take_weights(SimpleNamespace(weights=[larger]), SimpleNamespace(weights=[trained]))
    assert larger[:2].numpy().tolist() == trained[:, :2].numpy().tolist()
    assert (larger[2].numpy() == -1.0).all()
