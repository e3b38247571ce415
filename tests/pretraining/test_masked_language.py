"""Masked-language modelling of the catalogue's texts on a tiny BERT."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax

from mmrec_tf.config_pretraining import MaskedLanguageConfig
from mmrec_tf.encoders.adapters import is_adapter_weight
from mmrec_tf.encoders.hashed_text import HashedTextEncoder
from mmrec_tf.encoders.tuning.sentence_bert import SentenceBertEncoder
from mmrec_tf.errors import DataError, EncoderError
from mmrec_tf.pretraining.fitting import fit_stage
from mmrec_tf.pretraining.masked_language import MaskedLanguageHead, masked_language
from tests.layer_checks import check_layer
from tests.pretraining.worlds import MASKED_WORDS, masked_encoder, masked_module

# Every text repeats its first word, so that a hidden word can be told from the others.
TEXTS = [" ".join([f"word{number % 40}"] * 4) for number in range(60)]


@pytest.fixture
def encoder(tmp_path):
    return masked_encoder(tmp_path / "network")


def test_loss_and_accuracy_by_hand(encoder):
    stage, batches, _ = masked_language(encoder, TEXTS[:4], MaskedLanguageConfig(), seed=0)
    batch = batches.first()
    values = stage(batch)
    vectors = encoder.network(batch["ids"], batch["mask"]).numpy()
    asked = np.take_along_axis(vectors, batch["positions"].numpy()[:, :, None], axis=1)
    logits = stage.head(tf.constant(asked), encoder.network.words.embeddings).numpy()
    labels, weights = batch["labels"].numpy(), batch["weights"].numpy()
    picked = np.take_along_axis(log_softmax(logits, axis=-1), labels[:, :, None], axis=2)[:, :, 0]
    assert float(values["loss"]) == pytest.approx(-(picked * weights).sum() / weights.sum(), rel=1e-5)
    hits = (logits.argmax(axis=-1) == labels) * weights
    assert float(values["accuracy"]) == pytest.approx(hits.sum() / weights.sum())


def test_what_is_not_asked_for_has_no_influence(encoder):
    stage, batches, _ = masked_language(encoder, ["word1 word2 word3 word4 word5 word6 word7", "word1"], OPTIONS, 0)
    batch = batches.first()
    assert sorted(batch["weights"].numpy().sum(axis=1)) == [1.0, 4.0]
    changed = {**batch, "labels": tf.where(batch["weights"] > 0, batch["labels"], 7)}
    assert float(stage(batch)["loss"]) == float(stage(changed)["loss"])


OPTIONS = MaskedLanguageConfig(epochs=30, batch_size=20, learning_rate=0.01, share=0.5)


@pytest.mark.slow
def test_it_learns_to_find_hidden_words_and_changes_the_encoders_vectors(encoder):
    before = encoder.fingerprint, encoder(tf.constant(TEXTS[:2])).numpy()
    stage, batches, sources = masked_language(encoder, TEXTS, OPTIONS, seed=0)
    history = fit_stage(stage, batches, OPTIONS, sources=sources, seed=0).history
    # Not knowing which of 40 words it is costs log 40 = 3.69.
    assert history["loss"][0] > 3.0 and history["loss"][-1] < 2.0
    assert history["accuracy"][0] < 0.2 and history["accuracy"][-1] > 0.4
    assert encoder.fingerprint != before[0]
    assert np.abs(encoder(tf.constant(TEXTS[:2])).numpy() - before[1]).max() > 1e-3


@pytest.mark.parametrize("adapter", ["lora", "bottleneck"])
def test_adapters_are_left_for_tuning(tmp_path, adapter):
    encoder = SentenceBertEncoder(str(masked_module(tmp_path / "network")), max_tokens=12, adapter=adapter)
    stage, batches, _ = masked_language(encoder, TEXTS[:4], MaskedLanguageConfig(), seed=0)
    stage(batches.first())
    trained = stage.trainable_variables
    assert not any(is_adapter_weight(weight) for weight in trained)
    assert {id(weight) for weight in encoder.network.trainable_weights if not is_adapter_weight(weight)} <= {
        id(weight) for weight in trained
    }


def test_most_steps_are_shared_by_the_epochs(encoder):
    options = MaskedLanguageConfig(epochs=3, batch_size=4, max_steps=7)
    _, batches, _ = masked_language(encoder, TEXTS, options, seed=0)
    assert batches.steps == 2


def test_texts_without_words_are_no_examples(encoder):
    _, batches, _ = masked_language(encoder, ["word1 word2", "", "[PAD]"], OPTIONS, seed=0)
    assert batches.count == 1
    with pytest.raises(DataError, match="no word in 2 texts"):
        masked_language(encoder, ["", " "], OPTIONS, seed=0)
    with pytest.raises(DataError, match="empty in every item"):
        masked_language(encoder, [], OPTIONS, seed=0)


def test_encoders_of_another_kind_are_refused():
    with pytest.raises(EncoderError, match="around a BERT network, got HashedTextEncoder. Set .* minilm"):
        masked_language(HashedTextEncoder(dim=8), ["a tale"], OPTIONS, seed=0)


def test_head(tmp_path):
    embeddings = tf.constant(np.random.default_rng(0).normal(size=[6, 4]).astype(np.float32))
    vectors = tf.constant(np.random.default_rng(1).normal(size=[2, 3, 4]).astype(np.float32))
    check_layer(
        lambda: MaskedLanguageHead(width=4, vocabulary_size=6),
        vectors,
        tmp_path,
        call_arguments={"embeddings": embeddings},
        expected_shape=(2, 3, 6),
        has_float32_output=True,
    )


def test_the_vocabulary_is_that_of_the_module(encoder):
    stage, batches, _ = masked_language(encoder, TEXTS, OPTIONS, seed=0)
    assert stage.head.vocabulary_size == len(MASKED_WORDS)
    assert batches.change.mask_id == MASKED_WORDS.index("[MASK]")
