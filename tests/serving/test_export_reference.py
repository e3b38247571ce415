"""What an export stores of its own answers, against the engine's."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.serving.export_reference import References
from mmrec_tf.serving.signatures import model_signatures
from tests import tiny_world


@pytest.fixture(scope="module")
def engine():
    return tiny_world.engine(ranking=tiny_world.ranker(), removed=[tiny_world.item_table().ids[0]])


@pytest.fixture(scope="module")
def made(engine):
    models = model_signatures(engine, 4, modality_weights=False)
    made = References(engine, models)
    return {name: made.of(name) for name in models}


def test_what_each_model_is_compared_by(made):
    assert {name: one.score_signatures for name, one in made.items()} == {
        "recommend": ("serving_default", "recommend"),
        "retrieval": ("serving_default", "retrieve"),
        "ranking": ("serving_default", "rank"),
    }
    assert [name for name, one in made.items() if one.embeddings is not None] == ["retrieval"]
    assert made["retrieval"].embedding_signatures == ("embed_user",)


def test_the_scores_of_all_users_by_place(engine, made):
    users = tf.constant(tiny_world.user_table().ids)
    _, scores = engine.recommend(users, tf.constant(4))
    spread = made["recommend"].scores
    assert spread.counts.shape[0] == 4 and (spread.counts.sum(axis=1) == len(users)).all()
    np.testing.assert_allclose(spread.mean, scores.numpy().mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(spread.variance, scores.numpy().var(axis=0), rtol=1e-4)


def test_the_embeddings_of_all_users(engine, made):
    embeddings = engine.embed_user(tf.constant(tiny_world.user_table().ids)).numpy()
    spread = made["retrieval"].embeddings
    np.testing.assert_allclose(spread.mean, embeddings.mean(axis=0), rtol=1e-4, atol=1e-6)
    assert (spread.counts.sum(axis=1) == len(embeddings)).all()


def test_how_often_items_are_listed(engine, made):
    users = tf.constant(tiny_world.user_table().ids)
    names, _ = engine.retrieve_ids(users, tf.constant(4))
    _, times = np.unique(names.numpy(), return_counts=True)
    one = made["retrieval"]
    assert np.repeat(one.listed_times, one.listed_items).tolist() == sorted(times.tolist())


def test_the_ranker_is_asked_for_what_retrieval_finds(engine, made):
    users = tf.constant(tiny_world.user_table().ids)
    names, _ = engine.retrieve_ids(users, tf.constant(4))
    scores = engine.rank_targets(users, names)["score"].numpy()
    spread = made["ranking"].scores
    assert spread.counts.shape[0] == 1 and spread.counts.sum() == scores.size
    np.testing.assert_allclose(spread.mean, [scores.mean()], rtol=1e-4)


def test_ids_and_the_catalogue(made):
    known = made["recommend"].known
    assert all(name in known["user"] for name in tiny_world.user_table().ids)
    assert all(name in known["item"] for name in tiny_world.item_table().ids)
    # One is not offered any more, and known all the same.
    assert made["recommend"].catalogue_size == len(tiny_world.item_table().ids) - 1
