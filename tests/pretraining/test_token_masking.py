"""Texts with words hidden: how many, which, and what stands in their place."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.encoders.hashed_text import HashedTextEncoder
from mmrec_tf.errors import EncoderError
from mmrec_tf.pretraining.token_masking import HiddenWords, token_ids, vocabulary_of
from tests.pretraining.worlds import MASKED_WORDS, masked_encoder

PAD, UNK, CLS, SEP, MASK = range(5)
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]", *(f"w{number}" for number in range(94))]
FIRST_WORD = 6


def texts(count=400, words=20, seed=0):
    """Ids with marks around words, all of the same length."""
    ids = np.random.default_rng(seed).integers(FIRST_WORD, len(VOCABULARY), [count, words])
    marks = [np.full([count, 1], mark) for mark in (CLS, SEP)]
    ids = np.concatenate([marks[0], ids, marks[1]], axis=1).astype(np.int32)
    return ids, np.full(count, words + 2, np.int32)


def hide(ids, lengths, share=0.15, seed=(1, 2)):
    hidden = HiddenWords(ids, lengths, VOCABULARY, share)
    given = {"ids": ids, "lengths": lengths, "wanted": hidden.wanted}
    batch = hidden({**{name: tf.constant(array) for name, array in given.items()}, "seed": tf.constant(seed)})
    return {name: value.numpy() for name, value in batch.items()}


def test_the_share_of_words_is_hidden_at_least_one():
    ids = np.array([[CLS, 7, 8, 9, 10, SEP, 0], [CLS, 7, SEP, 0, 0, 0, 0], [CLS, SEP, 0, 0, 0, 0, 0]], np.int32)
    lengths = np.array([6, 3, 2], np.int32)
    hidden = HiddenWords(ids, lengths, VOCABULARY, share=0.6)
    # 0.6 of four words is 2.4, of one 0.6, and the last has none.
    assert hidden.wanted.tolist() == [2, 1, 0] and hidden.most == 2
    assert HiddenWords(ids, lengths, VOCABULARY, share=0.01).wanted.tolist() == [1, 1, 0]


def test_labels_are_what_stood_there_and_the_rest_is_as_it_was():
    ids, lengths = texts()
    batch = hide(ids, lengths)
    asked = np.zeros(ids.shape, bool)
    # 0.15 of 20 words.
    assert batch["positions"].shape == (400, 3) and batch["weights"].all()
    np.put_along_axis(asked, batch["positions"], True, axis=1)
    assert asked.sum(axis=1).tolist() == [3] * 400
    np.testing.assert_array_equal(np.take_along_axis(ids, batch["positions"], axis=1), batch["labels"])
    np.testing.assert_array_equal(batch["ids"][~asked], ids[~asked])
    assert not asked[:, 0].any() and not asked[:, -1].any()


def test_eight_in_ten_become_the_mask_and_one_another_word():
    ids, lengths = texts(count=4000)
    batch = hide(ids, lengths)
    shown = np.take_along_axis(batch["ids"], batch["positions"], axis=1)
    share = {"mask": np.mean(shown == MASK), "same": np.mean(shown == batch["labels"])}
    # A random word is the same one in 1 of 94; deviations of 12000 draws are 0.004 and less.
    assert share["mask"] == pytest.approx(0.8, abs=0.015)
    assert share["same"] == pytest.approx(0.1 + 0.1 / 94, abs=0.012)
    others = shown[(shown != MASK) & (shown != batch["labels"])]
    assert others.min() >= FIRST_WORD and len(np.unique(others)) > 80


def test_marks_padding_and_unused_words_are_never_asked_for():
    ids = np.array([[CLS, UNK, 9, 5, SEP, 0, 0, 0]] * 200, np.int32)
    batch = hide(ids, np.full(200, 5, np.int32), share=0.9)
    # Only the 9 is a word.
    assert batch["positions"].tolist() == [[2]] * 200
    assert not (np.isin(batch["ids"][:, 2], [PAD, UNK, CLS, SEP, 5])).any()


def test_a_text_without_words_is_not_asked_for():
    ids = np.array([[CLS, 7, 8, SEP], [CLS, SEP, 0, 0]], np.int32)
    batch = hide(ids, np.array([4, 2], np.int32), share=0.9)
    assert batch["weights"].tolist() == [[1.0, 1.0], [0.0, 0.0]]
    np.testing.assert_array_equal(batch["ids"][1], ids[1])
    assert batch["mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]


def test_places_change_with_the_step_and_every_word_has_its_turn():
    ids, lengths = texts(count=1)
    found = {tuple(hide(ids, lengths, seed=(1, step))["positions"][0]) for step in range(60)}
    assert len(found) > 50 and {place for places in found for place in places} == set(range(1, 21))
    one, other = (hide(ids, lengths, seed=(1, 7)) for _ in range(2))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_ids_of_texts_are_filled_up_to_the_longest(tmp_path):
    encoder = masked_encoder(tmp_path / "network")
    ids, lengths = token_ids(encoder, ["a tale", "word1 word2 word3", ""])
    words = [MASKED_WORDS.index(word) for word in ("word1", "word2", "word3")]
    assert lengths.tolist() == [4, 5, 2] and ids.shape == (3, 5)
    assert ids[1].tolist() == [MASKED_WORDS.index("[CLS]"), *words, MASKED_WORDS.index("[SEP]")]
    assert ids[2].tolist() == [MASKED_WORDS.index("[CLS]"), MASKED_WORDS.index("[SEP]"), 0, 0, 0]
    assert vocabulary_of(encoder) == MASKED_WORDS


def test_encoders_without_word_pieces_are_refused():
    with pytest.raises(EncoderError, match="HashedTextEncoder does not. Set the feature's encoder to minilm"):
        token_ids(HashedTextEncoder(dim=8), ["a tale"])
    with pytest.raises(EncoderError, match="word pieces of HashedTextEncoder cannot be read"):
        vocabulary_of(HashedTextEncoder(dim=8))


def test_without_a_mask_nothing_can_be_hidden():
    encoder = HashedTextEncoder(dim=8)
    encoder.vocabulary = ["[PAD]", "a"]
    with pytest.raises(EncoderError, match=r"2 word pieces of HashedTextEncoder hold no \[MASK\]"):
        vocabulary_of(encoder)
