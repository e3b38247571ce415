"""The sentence module on a vocabulary of eleven word pieces, and the real one."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.encoders.pretrained.bert import BertEncoder
from mmrec_tf.encoders.pretrained.minilm import SentenceEncoder, WordPieces, mean_of_tokens, read_network, write_network

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "shirt", "##s", "cafe", "blue", "!"]


@pytest.fixture(scope="module")
def encoder():
    tf.random.set_seed(0)
    encoder = BertEncoder(len(VOCABULARY), 16, width=8, heads=2, inner_width=16, blocks=1)
    encoder(tf.zeros([1, 1], tf.int32), tf.ones([1, 1]))
    for weight in encoder.weights:
        weight.assign_add(tf.random.normal(weight.shape, seed=1) * 0.3)
    return encoder


@pytest.fixture(scope="module")
def module(encoder):
    return SentenceEncoder(encoder, VOCABULARY, max_tokens=6)


def test_tokens(module):
    texts = ["A RED shirts!", "", "café green", "red " * 9]
    ids, lengths = module.tokenize(tf.constant(texts))
    # Lower case without accents, [CLS] 2 and [SEP] 3 around, at most 6 in all; "green" is unknown, 1.
    expected = [[2, 4, 5, 6, 7, 3], [2, 3, 0, 0, 0, 0], [2, 8, 1, 3, 0, 0], [2, 5, 5, 5, 5, 3]]
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_array_equal(lengths, [6, 2, 4, 6])


def test_a_batch_is_as_wide_as_its_longest_text(module):
    assert module.tokenize(tf.constant(["a", "a red"]))[0].shape == (2, 4)


def test_mean_over_the_tokens_of_length_1(module, encoder):
    found = module(tf.constant(["red", "a blue shirt"])).numpy()
    for row, ids in zip(found, ([2, 5, 3], [2, 4, 9, 6, 3])):
        mean = encoder(tf.constant([ids]), tf.ones([1, len(ids)])).numpy()[0].mean(axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), rtol=1e-4, atol=1e-6)


def test_bytes_that_are_no_text_and_no_texts(module):
    np.testing.assert_allclose(
        np.linalg.norm(module(tf.constant([b"red \xff\xfe", b"\xed\xa0\x80"])), axis=1), 1.0, 1e-5
    )
    assert module(tf.constant([], tf.string)).shape == (0, 8)


def test_saved_and_loaded(module, tmp_path):
    module.save(tmp_path, tf.TensorSpec([None], tf.string, "texts"))
    texts = tf.constant(["a blue shirt", "cafés"])
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_allclose(loaded(texts), module(texts), atol=1e-6)
    np.testing.assert_allclose(loaded.signatures["serving_default"](texts=texts)["output_0"], module(texts), atol=1e-6)
    assert len(loaded.trainable_variables) == len(module.trainable_variables)
    # Dropout tells training from inference.
    assert np.abs(loaded(texts, training=True) - module(texts)).max() > 1e-3


def test_the_network_beside_the_module(encoder, tmp_path):
    odd = [*VOCABULARY[:-1], "\r\x85"]
    write_network(tmp_path, encoder, odd)
    config, vocabulary = read_network(tmp_path)
    assert vocabulary == odd
    assert BertEncoder.from_config(config).get_config() == encoder.get_config()


def test_word_pieces_are_those_of_the_module(module):
    texts = tf.constant(["A RED shirts!", "", "red " * 9])
    ids, lengths = module.tokenize(texts)
    pieces = WordPieces(VOCABULARY, max_tokens=6)(texts)
    np.testing.assert_array_equal(pieces.to_tensor(), ids)
    np.testing.assert_array_equal(pieces.row_lengths(), lengths)


def test_mean_where_the_mask_says():
    vectors = tf.constant([[[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]], [[0.0, 2.0], [5.0, 5.0], [5.0, 5.0]]])
    mask = tf.constant([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    # (3, 4) / 2 has length 2.5; (0, 2) length 2.
    np.testing.assert_allclose(mean_of_tokens(vectors, mask), [[0.6, 0.8], [0.0, 1.0]], atol=1e-6)
