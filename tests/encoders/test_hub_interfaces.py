"""How text and image modules are called: ranges of values, preprocessors, numbers of tokens."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.encoders.hub import HubEncoder
from mmrec_tf.encoders.hub_interfaces import in_range
from mmrec_tf.errors import EncoderError
from tests.layer_checks import check_layer
from tools.hub_module_kinds import Module, random_weights

TEXTS = np.array(["a red shirt", "blue"])
NAMES = ("input_word_ids", "input_mask", "input_type_ids")


@pytest.fixture(scope="module")
def modules(tmp_path_factory, small_bert):
    folder = tmp_path_factory.mktemp("modules")
    make_plain_preprocessor(folder / "plain")
    make_fixed_encoder(folder / "fixed")
    modules = {path.name: str(path) for path in folder.iterdir()}
    return {**modules, "bert": str(small_bert), "preprocessor": f"{small_bert}-preprocessor"}


@pytest.fixture(scope="module")
def bert(modules):
    return encoder_of(modules)


def make_plain_preprocessor(path):
    """A preprocessor of 16 tokens, letters by their code, without parts that could be called on their own."""

    class Plain(Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, texts):
            codes = tf.strings.unicode_decode(texts, "UTF-8").to_tensor(0, shape=[None, 16]) % 40
            mask = tf.cast(codes > 0, tf.int32)
            return {"input_word_ids": codes, "input_mask": mask, "input_type_ids": tf.zeros_like(codes)}

    tf.saved_model.save(Plain(False), str(path))


def make_fixed_encoder(path):
    """An encoder that was exported for 128 tokens."""

    class Fixed(Module):
        @tf.function
        def __call__(self, inputs, training=False):
            mask = tf.cast(inputs["input_mask"], tf.float32)[..., None]
            return tf.reduce_sum(tf.gather(self.table, inputs["input_word_ids"]) * mask, 1)

    Fixed(table=random_weights(0, 50, 6)).save(path, {name: tf.TensorSpec([None, 128], tf.int32) for name in NAMES})


def encoder_of(modules, module="bert", preprocessor="preprocessor", **options):
    return HubEncoder("text", modules[module], preprocessor=modules[preprocessor], **options)


def unit(vectors):
    return np.asarray(vectors) / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_pixels_in_the_modules_range():
    pixels = tf.constant([0, 51, 255], tf.uint8)
    np.testing.assert_allclose(in_range(pixels, (0.0, 1.0)), [0.0, 0.2, 1.0], atol=1e-6)
    # 2 x 51 / 255 - 1
    np.testing.assert_allclose(in_range(pixels, (-1.0, 1.0)), [-1.0, -0.6, 1.0], atol=1e-6)


def test_numbers_of_a_text_with_a_preprocessor(bert):
    prepared = bert.prepare(tf.constant(TEXTS))
    assert set(prepared) == set(NAMES)
    # Pieces are letters, "a" has number 3; 9 letters with [CLS] = 1 before and [SEP] = 2 behind are the longest text.
    a, r, e, d, s, h, i, t, b, lo, u = (3 + ord(letter) - ord("a") for letter in "aredshitblu")
    np.testing.assert_array_equal(
        prepared["input_word_ids"],
        [[1, a, r, e, d, s, h, i, r, t, 2], [1, b, lo, u, e, 2, 0, 0, 0, 0, 0]],
    )
    np.testing.assert_array_equal(tf.reduce_sum(prepared["input_mask"], 1), [11, 6])
    assert {value.dtype for value in prepared.values()} == {tf.int32}


def test_one_shape_where_it_is_asked_for(bert):
    assert bert.max_tokens == 128
    prepare = tf.function(lambda texts: bert.prepare(texts, static_shape=True))
    shapes = prepare.get_concrete_function(tf.TensorSpec([None], tf.string)).structured_outputs
    assert {name: tuple(value.shape) for name, value in shapes.items()} == {name: (None, 128) for name in NAMES}
    full = bert.encode(bert.prepare(tf.constant(TEXTS), static_shape=True), training=False)
    np.testing.assert_allclose(bert(TEXTS), full, atol=1e-6)
    compiled = tf.function(lambda prepared: bert.encode(prepared, training=True), jit_compile=True)
    np.testing.assert_allclose(compiled(bert.prepare(tf.constant(TEXTS), static_shape=True)), full, atol=1e-5)


def test_max_tokens_cuts_long_texts(modules, bert):
    encoder = encoder_of(modules, max_tokens=6)
    # Room for 4 letters between the two marks, so both texts are one of 4 letters.
    assert encoder.prepare(tf.constant(TEXTS))["input_word_ids"].shape == (2, 6)
    np.testing.assert_allclose(encoder(TEXTS), encoder(np.array(["a red", "blue"])), atol=1e-6)
    assert encoder.fingerprint != bert.fingerprint
    assert encoder_of(modules, max_tokens=128).fingerprint == bert.fingerprint


def test_which_output(modules, bert):
    module, preprocess = (tf.saved_model.load(modules[name]) for name in ("bert", "preprocessor"))
    prepared = preprocess(tf.constant(TEXTS))
    outputs = module(prepared)
    np.testing.assert_allclose(bert(TEXTS), unit(outputs["pooled_output"]), atol=1e-5)
    # Of a vector per token, the mean over a text's own tokens: 11 and 6 with the marks.
    sequence = outputs["sequence_output"].numpy()
    expected = unit([sequence[0, :11].mean(axis=0), sequence[1, :6].mean(axis=0)])
    np.testing.assert_allclose(encoder_of(modules, output_key="sequence_output")(TEXTS), expected, atol=1e-5)
    with pytest.raises(
        EncoderError, match="no output 'pooled'. It returns default .*, encoder_outputs .*pooled_output"
    ):
        encoder_of(modules, output_key="pooled")
    with pytest.raises(EncoderError, match=r"no usable vector, but .*sequence_output float32 \[2, 10, 6\]"):
        encoder_of(modules, output_key="encoder_outputs")


def test_a_preprocessor_without_parts_keeps_its_number_of_tokens(modules):
    encoder = encoder_of(modules, preprocessor="plain")
    assert encoder.max_tokens == 16
    assert encoder.prepare(tf.constant(TEXTS))["input_mask"].shape == (2, 16)
    module, preprocess = (tf.saved_model.load(modules[name]) for name in ("bert", "plain"))
    expected = unit(module(preprocess(tf.constant(TEXTS)))["pooled_output"])
    np.testing.assert_allclose(encoder(TEXTS), expected, atol=1e-5)
    assert encoder_of(modules, preprocessor="plain", max_tokens=16).max_tokens == 16
    with pytest.raises(EncoderError, match="makes 16 tokens of every text, not 8.*`max_tokens`"):
        encoder_of(modules, preprocessor="plain", max_tokens=8)


def test_an_encoder_of_one_length_gets_that(modules):
    encoder = encoder_of(modules, module="fixed")
    assert encoder.prepare(tf.constant(TEXTS))["input_mask"].shape == (2, 128)
    assert encoder(TEXTS).shape == (2, 6)


def test_token_ids_need_their_preprocessor(modules):
    with pytest.raises(EncoderError, match="does not take .batch. strings.*`preprocessor`"):
        HubEncoder("text", modules["bert"])
    with pytest.raises(EncoderError, match="preprocessor of .*bert does not make tensors"):
        encoder_of(modules, preprocessor="bert")
    with pytest.raises(EncoderError, match="fixed does not take what its preprocessor makes"):
        encoder_of(modules, module="fixed", preprocessor="plain")


@pytest.mark.slow
def test_exported_in_a_model_that_a_fresh_process_loads(bert, tmp_path):
    # With the vocabulary's file, which the model must carry along.
    config = bert.get_config()
    check_layer(
        lambda: HubEncoder(**{**config, "name": None}),
        TEXTS,
        tmp_path,
        is_trainable=False,
        compiles=False,
        fresh_process=True,
    )
