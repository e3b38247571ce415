"""Which index serves an engine, and how many blocks it looks at."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.errors import ServingError
from mmrec_tf.recommend import index_choice
from mmrec_tf.recommend.exact_search import ExactSearch
from mmrec_tf.recommend.index_choice import choose_probes, chosen_search, found_shares, surely, takes_building
from mmrec_tf.recommend.inverted_file import InvertedFile
from mmrec_tf.recommend.search import NOTHING
from tests import tiny_world
from tests.recommend.engines_alike import USERS, assert_alike


@pytest.fixture(scope="module")
def retrieval():
    return tiny_world.remembering_two_tower(29)


def blocks_of_two(engine, **options) -> InvertedFile:
    """Over the items of an engine, behind a head of two."""
    embeddings = engine.item_embeddings.numpy()
    options = {"head": 2, "width": 2, "depth": 4, **options}
    return InvertedFile(embeddings, engine.is_offered.numpy(), embeddings[:, -2:].sum(axis=1), **options)


def test_an_engine_with_an_index_answers_as_one_without(retrieval):
    removed = ["i3", "i20"]
    plain = tiny_world.engine(retrieval, removed=removed)
    engine = tiny_world.engine(retrieval, removed=removed)
    engine.search = blocks_of_two(engine)
    engine.search.probes.assign(engine.search.blocks)
    assert_alike(engine, plain, removed)


def test_few_probes_still_hide_and_fill(retrieval):
    engine = tiny_world.engine(retrieval, removed=["i20"])
    engine.search = blocks_of_two(engine)
    engine.search.probes.assign(1)
    seen = {f"u{user}": set() for user in range(20)} | {"nobody": set()}
    for user, item in zip(*tiny_world.interactions()[:2]):
        seen[f"u{user}"].add(f"i{item}")
    for k in (3, 6, 24):
        names, scores = engine.recommend(USERS, tf.constant(k))
        for user, row, values in zip(USERS.numpy(), names.numpy(), scores.numpy()):
            found = {name.decode() for name in row if name}
            left = 30 - len(seen[user.decode()] | {"i20"})
            assert len(found) == min(k, left) and not found & (seen[user.decode()] | {"i20"})
            assert (np.diff(values) <= 0).all()


def test_strangers_are_answered_by_the_head(retrieval):
    plain, engine = tiny_world.engine(retrieval, candidates=4), tiny_world.engine(retrieval, candidates=4)
    engine.use_index("ivf")
    engine.search.probes.assign(1)
    found, wanted = (it.recommend(tf.constant(["nobody"]), tf.constant(4)) for it in (engine, plain))
    assert found[0].numpy().tolist() == wanted[0].numpy().tolist()


def test_the_least_probes_that_reach_the_recall():
    engine = tiny_world.engine(candidates=4)
    exact, index = engine.search, blocks_of_two(engine)
    index.__class__ = type("AllAllowed", (InvertedFile,), {"most_probes": property(lambda self: self.blocks)})

    samples = [[engine.sought_for(engine.asked(tf.range(1, 21)))], [engine.sought_near(tf.range(1, 31))]]

    def reached(probes):
        shares = []
        for ((queries, wishes),) in samples:
            wanted = exact(queries, tf.constant(4), wishes)[0].numpy()
            found = index.probed(queries, tf.constant(4), wishes, tf.constant(probes))[0].numpy()
            each = [len(set(a) & set(b)) / 4 for a, b in zip(found, wanted)]
            shares.append(np.mean(each) - 1.645 * np.std(each) / np.sqrt(len(each)))
        return min(shares)

    shares = [reached(probes) for probes in range(1, index.blocks + 1)]
    assert shares[0] < 0.7 and shares[-1] == 1.0
    for recall in (0.7, 1.0):
        found = choose_probes(exact, index, samples, 4, recall)
        first = next(place for place, share in enumerate(shares) if share >= recall)
        assert int(index.probes) == first + 1 and found == pytest.approx(shares[first], abs=1e-6)


def test_auto_is_exact_for_small_catalogues_and_where_the_recall_is_missed(retrieval, monkeypatch):
    assert isinstance(tiny_world.engine(retrieval, index="auto").search, ExactSearch)
    monkeypatch.setattr(index_choice, "EXACT_UP_TO", 29)
    assert takes_building("auto", 30) and not takes_building("auto", 29)
    assert takes_building("ivf", 1) and takes_building("scann", 1) and not takes_building("exact", 30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(tiny_world.engine(retrieval, index="auto", candidates=4).search, InvertedFile)
    monkeypatch.setattr(index_choice, "_built", blocks_of_two)
    missed = r"is sure to find only 0\.\d+ of what the exact search finds .* 1 of 1\d blocks, and 0\.99 is wanted"
    with pytest.warns(UserWarning, match=f"{missed}.*The export searches exactly"):
        engine = tiny_world.engine(retrieval, index="auto", recall=0.99, candidates=4)
    assert isinstance(engine.search, ExactSearch)
    with pytest.warns(UserWarning, match=f"{missed}.*export.index: exact finds everything"):
        engine = tiny_world.engine(retrieval, index="ivf", recall=0.99, candidates=4)
    assert isinstance(engine.search, InvertedFile)


def test_the_weights_of_modalities_follow_the_index(retrieval):
    plain, engine = tiny_world.engine(retrieval), tiny_world.engine(retrieval)
    assert engine.modality_shares.shape == (31, 20)
    engine.use_index("ivf")
    ask = USERS, tf.constant(5), tf.constant([["image"]] * 21), tf.constant([[0.0]] * 21)
    assert engine.recommend_weighted(*ask)[0].numpy().tolist() == plain.recommend_weighted(*ask)[0].numpy().tolist()


def test_an_index_that_is_not_known(retrieval):
    with pytest.raises(ServingError, match="index is 'hnsw'. Allowed: exact, ivf, scann, auto"):
        tiny_world.engine(retrieval, index="hnsw")
    for recall in (0.0, 1.5, float("nan")):
        with pytest.raises(ServingError, match="recall is .*above 0 and at most 1"):
            chosen_search(None, "ivf", recall)


def test_shares_found_are_counted_by_scores():
    wanted = np.array([[3.0, 2.0, 2.0], [5.0, 4.0, NOTHING]], np.float32)
    assert found_shares(wanted, wanted).tolist() == [1.0, 1.0]
    # Of the first list one of three is missed. Of the second both are found, beside an empty place.
    found = np.array([[3.0, 2.0, 1.0], [5.0, 4.0, NOTHING]], np.float32)
    np.testing.assert_allclose(found_shares(found, wanted), [2 / 3, 1.0])
    # Another item of the same score is as good, and more than are wanted count no more.
    found = np.array([[2.0, 2.0, 1.0], [4.0, 4.0, 4.0]], np.float32)
    np.testing.assert_allclose(found_shares(found, wanted), [2 / 3, 1.0])
    nothing = np.full([2, 3], NOTHING, np.float32)
    assert found_shares(nothing, wanted).tolist() == [0.0, 0.0] and found_shares(wanted, nothing).tolist() == [1.0, 1.0]


def test_a_sample_is_not_trusted_beyond_its_size():
    # Mean 0.9, deviation 0.1, of four: 0.9 - 1.645 * 0.1 / 2.
    assert surely(np.array([1.0, 0.8, 1.0, 0.8])) == pytest.approx(0.81775)
    assert surely(np.ones(3)) == 1.0
