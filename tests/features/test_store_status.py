"""What a store says that it holds, and what pruning takes."""

import numpy as np
import pytest

from mmrec_tf.data.whole_files import marked
from mmrec_tf.encoders.hashed_text import HashedTextEncoder
from mmrec_tf.features.feature_store import FeatureStore
from mmrec_tf.features.store_status import FeatureUse, prune_store, store_status

TEXTS = ["a red shirt", "a blue shirt", "a green hat", None, ""]


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "store")


def use(store, encoder, texts, dtype="float32"):
    return FeatureUse("title", "text", store.directory(encoder, dtype), texts)


def test_an_empty_store_lacks_everything(store):
    status = store_status(store, [use(store, HashedTextEncoder(dim=8), TEXTS)])
    feature = status.features[0]
    # Five items, of which two have no text.
    assert (feature.items, feature.stored, feature.missing, feature.empty, feature.stale) == (5, 0, 3, 2, 0)
    assert status.stale_encoders == {}
    assert not store.folder.exists()


def test_stored_missing_undecodable_and_stale_are_told_apart(store):
    encoder = HashedTextEncoder(dim=8)
    store.embed(encoder, ["a red shirt", "a blue shirt", "gone", "..."])
    feature = store_status(store, [use(store, encoder, [*TEXTS, "..."])]).features[0]
    # Red and blue are stored, the hat is missing, "..." has no word, "gone" is no item's any more.
    assert (feature.stored, feature.missing, feature.undecodable, feature.empty, feature.stale) == (2, 1, 1, 2, 1)
    # A row is a key of 16 bytes, a flag and 8 float32.
    assert feature.bytes > 4 * (16 + 1 + 8 * 4)


def test_pruning_keeps_what_is_used_and_drops_the_rest(store):
    encoder, other = HashedTextEncoder(dim=8), HashedTextEncoder(dim=16)
    store.embed(encoder, ["a red shirt", "gone", "a blue shirt"])
    store.embed(other, ["a red shirt"])
    uses = [use(store, encoder, TEXTS)]
    before, mask = store.read(encoder, ["a red shirt", "a blue shirt"])
    assert mask.all()
    assert list(store_status(store, uses).stale_encoders) == [store.directory(other).name]
    assert prune_store(store, uses) > 0
    status = store_status(store, uses)
    assert status.stale_encoders == {} and status.features[0].stale == 0 and status.features[0].stored == 2
    assert not store.directory(other).exists()
    np.testing.assert_array_equal(store.read(encoder, ["a red shirt", "a blue shirt"])[0], before)
    assert prune_store(store, uses) == 0


def test_two_features_with_one_encoder_keep_both_contents(store):
    encoder = HashedTextEncoder(dim=8)
    store.embed(encoder, ["a title", "a plot"])
    uses = [use(store, encoder, ["a title"]), use(store, encoder, ["a plot"])]
    assert [feature.stale for feature in store_status(store, uses).features] == [0, 0]
    prune_store(store, uses)
    assert store.read(encoder, ["a title", "a plot"])[1].all()


def test_half_precision_is_an_entry_of_its_own(store):
    encoder = HashedTextEncoder(dim=8)
    store.embed(encoder, ["a red shirt"], dtype="float16")
    assert store_status(store, [use(store, encoder, ["a red shirt"])]).features[0].missing == 1
    assert store_status(store, [use(store, encoder, ["a red shirt"], "float16")]).features[0].stored == 1


def test_what_another_process_writes_to_is_left_alone(store):
    encoder = HashedTextEncoder(dim=8)
    store.embed(encoder, ["a red shirt"])
    with marked(store.directory(encoder)):
        prune_store(store, [])
    assert store.read(encoder, ["a red shirt"])[1].all()
    prune_store(store, [])
    assert not store.directory(encoder).exists()
