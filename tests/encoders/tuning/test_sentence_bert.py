"""The sentence encoder as layers gives what its module gives, and can learn."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.hub import HubEncoder
from mmrec_tf.encoders.tuning.sentence_bert import SentenceBertEncoder
from mmrec_tf.errors import EncoderError
from tests.tiny_encoders import WIDTH, make_text_network

TEXTS = tf.constant(["a tale of word3", "word7", "", "The words of WORD1, word2!", "word1 " * 30])


@pytest.mark.parametrize("adapter", [None, "lora", "bottleneck"])
def test_the_modules_vectors(text_module, adapter):
    encoder = SentenceBertEncoder(str(text_module), max_tokens=16, adapter=adapter)
    expected = HubEncoder("text", str(text_module))(TEXTS).numpy()
    assert encoder.dim == WIDTH
    np.testing.assert_allclose(encoder(TEXTS), expected, atol=1e-5)
    # The step's static shape must not matter, nor does training without dropout.
    prepared = encoder.prepare(TEXTS, static_shape=True)
    assert prepared["ids"].shape == (5, 16)
    np.testing.assert_allclose(encoder.encode(prepared, training=True), expected, atol=1e-5)


def test_texts_are_cut_at_max_tokens(text_module):
    encoder = SentenceBertEncoder(str(text_module), max_tokens=4)
    # [CLS] 2, [SEP] 3, `word1` is 9 + 1; two words fit between the marks.
    np.testing.assert_array_equal(encoder.prepare(tf.constant(["word1 word2 word3"]))["ids"], [[2, 10, 11, 3]])
    np.testing.assert_allclose(
        encoder(tf.constant(["word1 word2 a a"])), encoder(tf.constant(["word1 word2"])), atol=1e-6
    )


def test_cleaning_comes_first(text_module):
    encoder = SentenceBertEncoder(str(text_module), max_tokens=16, clean={"strip_html": True})
    np.testing.assert_allclose(encoder(tf.constant(["<b>word1</b>"])), encoder(tf.constant(["word1"])), atol=1e-6)


def test_fingerprint_is_of_what_the_vectors_depend_on(text_module):
    def fingerprint(change=None, **options):
        encoder = SentenceBertEncoder(str(text_module), **options)
        if change:
            change(encoder.network)
        return encoder.fingerprint

    plain = fingerprint()
    # Adapters that have learned nothing change nothing, so what is stored serves them too.
    assert fingerprint(adapter="lora") == fingerprint(adapter="bottleneck", rank=2) == plain
    ones = tf.ones_like
    changes = {
        fingerprint(max_tokens=8),
        fingerprint(clean={"lower": True}),
        fingerprint(lambda network: network.norm.beta.assign_add(ones(network.norm.beta))),
        fingerprint(lambda network: network.blocks[1].inner.lora_up.assign_add(ones(network.blocks[1].inner.lora_up)),
                    adapter="lora"),
    }  # fmt: skip
    assert len(changes | {plain}) == 5


def test_a_copy_elsewhere_is_the_same(text_module, tmp_path):
    shutil.copytree(text_module, tmp_path / "copy")
    copy = SentenceBertEncoder(str(tmp_path / "copy"))
    assert copy.fingerprint == SentenceBertEncoder(str(text_module)).fingerprint


def test_from_config(text_module):
    encoder = SentenceBertEncoder(str(text_module), 8, {"lower": True}, "lora", 2, True, batch_size=3)
    copy = SentenceBertEncoder.from_config(encoder.get_config())
    assert isinstance(copy, Encoder) and copy.get_config() == encoder.get_config()
    assert copy.fingerprint == encoder.fingerprint


def test_a_folder_without_network(text_module, tmp_path):
    with pytest.raises(EncoderError, match="does not hold the network .* mmrec pretrained build"):
        SentenceBertEncoder(str(tmp_path))
    shutil.copytree(text_module, tmp_path / "old")
    (tmp_path / "old" / "network.json").unlink()
    with pytest.raises(EncoderError, match="network.json"):
        SentenceBertEncoder(str(tmp_path / "old"))


def test_another_networks_weights(text_module, image_module, tmp_path):
    shutil.copytree(text_module, tmp_path / "mixed")
    shutil.rmtree(tmp_path / "mixed" / "variables")
    shutil.copytree(image_module / "variables", tmp_path / "mixed" / "variables")
    with pytest.raises(EncoderError, match="does not hold the network"):
        SentenceBertEncoder(str(tmp_path / "mixed"))


def test_more_tokens_than_places(text_module):
    with pytest.raises(EncoderError, match="reads 24 word pieces, not `max_tokens` 30"):
        SentenceBertEncoder(str(text_module), max_tokens=30)


def test_checkpointing_changes_memory_not_gradients(tmp_path):
    module = make_text_network(tmp_path / "module", dropout=0.3)

    def gradients(checkpointing):
        encoder = SentenceBertEncoder(str(module), max_tokens=8, adapter="lora", checkpointing=checkpointing)
        for block in encoder.network.blocks:
            block.inner.lora_up.assign(np.random.default_rng(0).normal(size=block.inner.lora_up.shape) / 4)
        block = encoder.network.blocks[0]
        weights = [encoder.network.words.embeddings, block.query.kernel, block.inner.lora_up, block.inner.lora_down]
        prepared = encoder.prepare(TEXTS, static_shape=True)

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(encoder.encode(prepared, training=True)[:, 0])
            return [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, weights)]

        # The same seed draws the same dropout, which the second pass through a block must meet again.
        tf.random.set_seed(5)
        return step()

    for kept, worked_out_again in zip(gradients(False), gradients(True)):
        assert np.abs(kept).max() > 0
        np.testing.assert_allclose(worked_out_again, kept, rtol=1e-3, atol=1e-5)


def test_bfloat16_inside_float32_outside(text_module):
    encoder = SentenceBertEncoder(str(text_module), max_tokens=16, dtype="mixed_bfloat16")
    prepared = encoder.prepare(TEXTS)
    assert encoder.network(prepared["ids"], tf.ones_like(prepared["ids"])).dtype == tf.bfloat16
    vectors = encoder.encode(prepared)
    assert vectors.dtype == tf.float32
    expected = SentenceBertEncoder(str(text_module), max_tokens=16)(TEXTS)
    # bfloat16 has 8 bits: 1 / 256 in each step.
    assert 1e-6 < np.abs(vectors - expected).max() < 0.05


# A process of its own, as a process' largest size never falls.
_PEAK = """
import sys
import tensorflow as tf
from mmrec_tf.encoders.pretrained.bert import BertEncoder

network = BertEncoder(100, 64, 128, 4, 512, blocks=8, checkpointing=sys.argv[1] == "True")
ids, mask = tf.ones([128, 64], tf.int32), tf.ones([128, 64])
network(ids[:1], mask[:1])

def most_memory():
    # Unlike what getrusage says, it does not begin with that of the process that started this one.
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])

before = most_memory()

@tf.function
def step():
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(network(ids, mask, training=True)))
    return [tf.reduce_sum(tf.convert_to_tensor(g)) for g in tape.gradient(loss, network.trainable_weights)]

step()
print(most_memory() - before)
"""


@pytest.mark.slow
def test_checkpointing_saves_memory():
    def peak(checkpointing):
        command = [sys.executable, "-c", "import mmrec_tf" + _PEAK, str(checkpointing)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[3])
        assert done.returncode == 0, done.stderr[-2000:]
        return int(done.stdout)

    # Of 8 blocks one is kept in whole and of the others what lies between them.
    assert peak(True) < 0.6 * peak(False)


@pytest.mark.slow
def test_the_real_module(build_real):
    path = str(build_real("minilm"))
    texts = tf.constant(["A red summer dress", "Un café très agréable à Zürich, 1998!", "", "robots " * 300])
    encoder = SentenceBertEncoder(path, adapter="lora")
    np.testing.assert_allclose(encoder(texts), HubEncoder("text", path)(texts), atol=1e-5)
    share = sum(
        int(tf.size(weight)) for _, block in encoder.tuning_blocks() for weight in block if "lora" in weight.name
    )
    assert share / sum(int(tf.size(weight)) for weight in encoder.weights) < 0.05
