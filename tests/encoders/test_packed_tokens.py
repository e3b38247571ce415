"""Special tokens, cutting, filling up, and lowering, with a tokenizer that splits at spaces."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.encoders.packed_tokens import TokenPacker


class Lengths:
    """Each word's token is 10 and its number of bytes; begins with 1, ends with 2, is filled up with 7."""

    start_token_id, end_token_id, pad_token_id = 1, 2, 7

    def __call__(self, texts):
        return 10 + tf.strings.length(tf.strings.split(texts))


class Bare:
    """No special tokens."""

    def __call__(self, texts):
        return Lengths()(texts)


def test_special_tokens_and_filling_up():
    found = TokenPacker(Lengths(), lowers=False).pack(tf.constant(["a bb", "", "ccc"]), 8, None)
    np.testing.assert_array_equal(found["token_ids"], [[1, 11, 12, 2], [1, 2, 7, 7], [1, 13, 2, 7]])
    np.testing.assert_array_equal(found["padding_mask"], [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])


def test_the_end_is_kept_when_a_text_is_cut():
    found = TokenPacker(Lengths(), lowers=False).pack(tf.constant(["a bb ccc dddd", "a"]), 4, 4)
    np.testing.assert_array_equal(found["token_ids"], [[1, 11, 12, 2], [1, 11, 2, 7]])
    found = TokenPacker(Bare(), lowers=False).pack(tf.constant(["a bb ccc dddd", "a"]), 3, 5)
    np.testing.assert_array_equal(found["token_ids"], [[11, 12, 13, 0, 0], [11, 0, 0, 0, 0]])


@pytest.mark.parametrize(("lowers", "expected"), [(True, [11, 14]), (False, [12, 15])])
def test_accents_are_taken_off(lowers, expected):
    # "é" takes two bytes, "e" one.
    found = TokenPacker(Lengths(), lowers=lowers).pack(tf.constant(["É café"]), 8, None)
    np.testing.assert_array_equal(found["token_ids"], [[1, *expected, 2]])


def test_tables_are_exported(tmp_path):
    class Table(Bare):
        def __init__(self):
            initializer = tf.lookup.KeyValueTensorInitializer(["red"], [5])
            self.table = tf.lookup.StaticHashTable(initializer, -1)

        def __call__(self, texts):
            return self.table.lookup(tf.strings.split(texts))

    module = tf.Module()
    module.packer = TokenPacker(Table(), lowers=False)
    module.serve = tf.function(
        lambda texts: module.packer.pack(texts, 8, None), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(tmp_path))
    found = tf.saved_model.load(str(tmp_path)).serve(tf.constant(["red blue"]))
    np.testing.assert_array_equal(found["token_ids"], [[5, -1]])
