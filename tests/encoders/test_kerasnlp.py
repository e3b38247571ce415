"""KerasNLP's backbones: vectors against KerasNLP's own output and another BERT's, training, tokens, export, errors."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.config_encoders import EncoderConfig, TuningConfig
from mmrec_tf.encoders.kerasnlp import KerasNlpEncoder, _add_token_type
from mmrec_tf.encoders.pretrained.bert import BertEncoder
from mmrec_tf.encoders.registry import build_encoder
from mmrec_tf.encoders.tuning import plan_tuning
from mmrec_tf.errors import EncoderError
from mmrec_tf.schema import Feature
from tests.layer_checks import check_layer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "dress", "##es", "cafe", "un", "blue", ","]
# RoBERTa's vocabulary: special tokens, then bytes and what they are merged to; a space before a word is Ġ.
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "Ġ", "r", "e", "d", "Ġr", "ed", "Ġred", "b", "l", "u", "s"]
MERGES = ["Ġ r", "e d", "Ġr ed"]
SIZES = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16, "max_sequence_length": 24}
TEXTS = ["a red dress, a blue dresses", "un café", "red"]
BYTES = ["a red bus", "blue dresses", "red"]


def make_preset(folder, kind):
    """A tiny backbone of random weights, far enough from zero to tell activations apart, and its tokenizer."""
    import keras
    import keras_nlp

    keras.utils.set_random_seed(3)
    models = keras_nlp.models
    if kind == "roberta":
        backbone = models.RobertaBackbone(vocabulary_size=len(PIECES), **SIZES)
        vocabulary = {piece: number for number, piece in enumerate(PIECES)}
        tokenizer = models.RobertaTokenizer(vocabulary=vocabulary, merges=MERGES)
    else:
        name = {"bert": "Bert", "distilbert": "DistilBert"}[kind]
        backbone = getattr(models, f"{name}Backbone")(vocabulary_size=len(WORDS), **SIZES)
        tokenizer = getattr(models, f"{name}Tokenizer")(vocabulary=WORDS, lowercase=True, strip_accents=True)
    random = np.random.default_rng(3)
    for variable in backbone.trainable_variables:
        variable.assign(variable.numpy() + random.normal(0, 0.3, variable.shape))
    backbone.save_to_preset(str(folder))
    tokenizer.save_to_preset(str(folder))
    return folder


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets")
    return {kind: make_preset(folder / kind, kind) for kind in ("bert", "distilbert", "roberta")}


def write_hugging_face(folder, seed=0, activation="gelu", width=8, **tokenizer_config):
    """A BERT as Hugging Face's library saves it; returns its tensors."""
    from safetensors.numpy import save_file

    random = np.random.default_rng(seed)
    tensors = {}

    def matrix(name, outputs, inputs):
        tensors[f"{name}.weight"] = random.normal(0, 0.6, (outputs, inputs)).astype(np.float32)
        tensors[f"{name}.bias"] = random.normal(0, 0.2, outputs).astype(np.float32)

    def norm(name):
        tensors[f"{name}.weight"] = random.normal(1, 0.2, width).astype(np.float32)
        tensors[f"{name}.bias"] = random.normal(0, 0.2, width).astype(np.float32)

    for table, rows in (("word", len(WORDS)), ("position", 24), ("token_type", 2)):
        tensors[f"embeddings.{table}_embeddings.weight"] = random.normal(0, 1, (rows, width)).astype(np.float32)
    norm("embeddings.LayerNorm")
    for block in range(2):
        start = f"encoder.layer.{block}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            matrix(f"{start}.attention.{part}", width, width)
        norm(f"{start}.attention.output.LayerNorm")
        matrix(f"{start}.intermediate.dense", 2 * width, width)
        matrix(f"{start}.output.dense", width, 2 * width)
        norm(f"{start}.output.LayerNorm")
    matrix("pooler.dense", width, width)
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    config = {"vocab_size": len(WORDS), "hidden_size": width, "num_hidden_layers": 2, "num_attention_heads": 2}
    config |= {"intermediate_size": 2 * width, "max_position_embeddings": 24, "hidden_act": activation}
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **config}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, **tokenizer_config}))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return tensors


def masked_mean(vectors, mask):
    mean = (vectors * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["bert", "distilbert", pytest.param("roberta", marks=pytest.mark.slow)])
def test_vectors_are_the_means_of_keras_nlps_own(presets, kind):
    import keras_nlp

    backbone = keras_nlp.models.Backbone.from_preset(str(presets[kind]))
    preprocessor = keras_nlp.models.TextClassifierPreprocessor.from_preset(str(presets[kind]), sequence_length=16)
    texts = tf.constant(BYTES if kind == "roberta" else TEXTS)
    given = preprocessor(texts)
    outputs = backbone.predict({name: np.asarray(value) for name, value in given.items()}, verbose=0)
    outputs = outputs["sequence_output"] if isinstance(outputs, dict) else outputs
    encoder = KerasNlpEncoder(str(presets[kind]), max_tokens=16)
    expected = masked_mean(outputs, np.asarray(given["padding_mask"]).astype(np.float32))
    np.testing.assert_allclose(encoder(texts), expected, atol=1e-5)
    assert encoder.dim == 8 and encoder.modality == "text"


def test_layer(presets, tmp_path):
    # Strings are not compiled; `test_a_training_step_compiles` compiles what they are made to.
    check_layer(
        lambda: KerasNlpEncoder(str(presets["bert"]), max_tokens=8, trainable=True),
        np.array(TEXTS[:2]),
        tmp_path,
        expected_shape=(2, 8),
        has_float32_output=True,
        compiles=False,
    )


def test_a_hugging_face_directory_is_read_as_its_own_library_reads_it(tmp_path):
    # The other BERT agrees with Hugging Face's library (tests/encoders/pretrained). With KerasNLP's approximation of
    # the activation vectors would differ in the fourth digit; without the accents taken off, "café" would be unknown.
    tensors = write_hugging_face(tmp_path / "hf")
    encoder = KerasNlpEncoder(str(tmp_path / "hf"), max_tokens=16)
    prepared = encoder.prepare(tf.constant(TEXTS))
    #              [CLS]  a red dress  ,  a blue dress ##es [SEP]
    expected = [[2, 5, 6, 7, 12, 5, 11, 7, 8, 3], [2, 10, 9, 3] + 6 * [0], [2, 6, 3] + 7 * [0]]
    np.testing.assert_array_equal(prepared["token_ids"], expected)
    other = BertEncoder(
        vocabulary_size=len(WORDS), positions=24, width=8, heads=2, inner_width=16, blocks=2, dropout=0.0, epsilon=1e-12
    )
    other(tf.zeros([1, 4], tf.int32), tf.ones([1, 4]))
    other.load_hugging_face(tensors)
    mask = tf.cast(prepared["padding_mask"], tf.float32)
    vectors = other(prepared["token_ids"], mask).numpy()
    np.testing.assert_allclose(encoder.encode(prepared), masked_mean(vectors, mask.numpy()), atol=2e-6)


def test_accents_and_activation_follow_the_directory(tmp_path):
    write_hugging_face(tmp_path / "kept", strip_accents=False)
    write_hugging_face(tmp_path / "approximate", activation="gelu_new")
    kept = KerasNlpEncoder(str(tmp_path / "kept"))
    np.testing.assert_array_equal(kept.prepare(tf.constant(["un café"]))["token_ids"], [[2, 10, 1, 3]])
    prepared = kept.prepare(tf.constant(["a red dress"]))
    difference = kept.encode(prepared) - KerasNlpEncoder(str(tmp_path / "approximate")).encode(prepared)
    assert 1e-5 < np.abs(difference).max() < 1e-2
    write_hugging_face(tmp_path / "swish", activation="swish")
    with pytest.raises(EncoderError, match="activation is 'swish'; those that can be read are gelu, gelu_new, relu"):
        KerasNlpEncoder(str(tmp_path / "swish"))


def test_robertas_token_type_is_added_once(tmp_path):
    import keras_nlp
    from safetensors.numpy import save_file

    backbone = keras_nlp.models.RobertaBackbone(vocabulary_size=len(PIECES), **SIZES)
    positions = backbone.embeddings.position_embedding.position_embeddings
    before = positions.numpy()
    tensors = {"position_embeddings.weight": np.concatenate([np.zeros((2, 8), np.float32), before])}
    tensors["token_type_embeddings.weight"] = np.arange(8, dtype=np.float32)[np.newaxis]
    save_file({f"roberta.embeddings.{name}": value for name, value in tensors.items()}, tmp_path / "model.safetensors")
    # A version of KerasNLP that adds it itself leaves positions other than the file's, like the second call here.
    for _ in range(2):
        _add_token_type(backbone, tmp_path / "model.safetensors")
        np.testing.assert_allclose(positions.numpy(), before + np.arange(8), rtol=1e-6)


def test_tokens_are_cut_filled_up_and_made_in_tf_data(presets):
    encoder = KerasNlpEncoder(str(presets["bert"]), max_tokens=6)
    prepared = encoder.prepare(tf.constant(TEXTS))
    np.testing.assert_array_equal(prepared["token_ids"], [[2, 5, 6, 7, 12, 3], [2, 10, 9, 3, 0, 0], [2, 6, 3, 0, 0, 0]])
    np.testing.assert_array_equal(tf.reduce_sum(prepared["padding_mask"], axis=1), [6, 4, 3])
    dataset = tf.data.Dataset.from_tensors(tf.constant(["red", "a red"])).map(lambda t: encoder.prepare(t, True))
    (fixed,) = dataset
    assert dataset.element_spec["token_ids"].shape == [None, 6] and fixed["token_ids"].shape == (2, 6)
    np.testing.assert_allclose(encoder.encode(fixed), encoder(tf.constant(["red", "a red"])), atol=1e-6)
    # More tokens than the backbone has positions are not read.
    assert KerasNlpEncoder(str(presets["bert"])).max_tokens == 24


@pytest.mark.slow
def test_roberta_splits_bytes(presets):
    # " red" is one piece, "red" at the beginning is "r" and "ed"; special tokens 0 and 2, filled up with 1.
    encoder = KerasNlpEncoder(str(presets["roberta"]))
    found = encoder.prepare(tf.constant(["a red", "red"]))
    np.testing.assert_array_equal(found["token_ids"], [[0, 5, 12, 2], [0, 7, 11, 2]])
    found = encoder.prepare(tf.constant(["a", "a red"]))
    np.testing.assert_array_equal(found["token_ids"], [[0, 5, 2, 1], [0, 5, 12, 2]])


def test_texts_are_cleaned_first(presets):
    encoder = KerasNlpEncoder(str(presets["bert"]), clean={"strip_html": True})
    plain = KerasNlpEncoder(str(presets["bert"]))
    np.testing.assert_allclose(
        encoder(tf.constant(["a <b>red</b> dress"])), plain(tf.constant(["a red dress"])), atol=1e-6
    )
    assert encoder.fingerprint != plain.fingerprint


@pytest.mark.parametrize("kind", ["bert", "distilbert", pytest.param("roberta", marks=pytest.mark.slow)])
def test_training_changes_every_weight(presets, kind):
    encoder = KerasNlpEncoder(str(presets[kind]), trainable=True)
    before = [weight.numpy() for weight in encoder.trainable_weights]
    frozen_print = encoder.fingerprint
    model = tf_keras.Sequential([encoder, tf_keras.layers.Dense(1)])
    model.compile(optimizer=tf_keras.optimizers.Adam(0.01), loss="mse", run_eagerly=True)
    losses = model.fit(tf.constant(BYTES), np.array([1.0, 0.0, -1.0]), epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    unchanged = [
        weight.name for old, weight in zip(before, encoder.trainable_weights) if np.array_equal(old, weight.numpy())
    ]
    assert unchanged == [] and encoder.fingerprint != frozen_print


def test_frozen_weights_stay(presets):
    encoder = KerasNlpEncoder(str(presets["bert"]))
    assert encoder.trainable_weights == []
    # Without dropout, too: what a frozen encoder gives may be cached.
    texts = tf.constant(TEXTS)
    np.testing.assert_array_equal(encoder(texts, training=True), encoder(texts))


def test_a_training_step_compiles(presets):
    encoder = KerasNlpEncoder(str(presets["bert"]), max_tokens=8, trainable=True)
    prepared = encoder.prepare(tf.constant(TEXTS), static_shape=True)

    @tf.function(jit_compile=True)
    def gradients(given):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(encoder.encode(given, training=True) * tf.range(8.0))
        return tape.gradient(loss, encoder.trainable_weights)

    assert all(np.abs(tf.convert_to_tensor(gradient)).max() > 0 for gradient in gradients(prepared))


def test_low_rank_changes(presets):
    texts = tf.constant(TEXTS)
    plain = KerasNlpEncoder(str(presets["bert"]), trainable=True)
    encoder = KerasNlpEncoder(str(presets["bert"]), trainable=True, lora_rank=2)
    np.testing.assert_allclose(encoder(texts), plain(texts), atol=1e-6)
    # Of the query's and the value's kernels [8, 2 heads, 4] two factors each: [8, 2 heads, rank] and [rank, 4].
    assert len(encoder.trainable_weights) == 2 * 2
    assert sum(int(tf.size(weight)) for weight in encoder.trainable_weights) == 2 * (8 * 2 * 2 + 2 * 4)
    assert [name for name, _ in encoder.tuning_blocks()] == ["transformer_layer_0"]
    kept = {id(weight): weight.numpy() for weight in encoder.non_trainable_weights if weight.dtype.is_floating}
    model = tf_keras.Sequential([encoder, tf_keras.layers.Dense(1)])
    model.compile(optimizer=tf_keras.optimizers.Adam(0.01), loss="mse", run_eagerly=True)
    model.fit(texts, np.array([1.0, 0.0, -1.0]), epochs=3, verbose=0)
    assert np.abs(encoder(texts) - plain(texts)).max() > 1e-4
    for weight in encoder.non_trainable_weights:
        if weight.dtype.is_floating:
            np.testing.assert_array_equal(weight.numpy(), kept[id(weight)])
    copy = tf_keras.layers.deserialize(tf_keras.layers.serialize(encoder))
    copy.set_weights(encoder.get_weights())
    np.testing.assert_allclose(copy(texts), encoder(texts), atol=1e-6)
    with pytest.raises(EncoderError, match="has low-rank changes already, of rank 2"):
        encoder.enable_lora(4)
    assert len(plain.enable_lora(2)) == 4 == len(plain.trainable_weights)


@pytest.mark.parametrize(("adapter", "block"), [("lora", "lora/"), ("bottleneck", "behind/")])
def test_a_copy_with_adapters_has_the_same_plan(presets, adapter, block):
    tuning = TuningConfig(mode="adapter", adapter=adapter, rank=2, layer_decay=0.5)
    plan = plan_tuning(KerasNlpEncoder(str(presets["bert"])), tuning)
    copy = plan_tuning(type(plan.encoder).from_config(plan.encoder.get_config()), tuning)
    # Two factors for each of two kernels, or a bottleneck's two matrices and two biases.
    assert len(plan.weights) == 4 and all(name.startswith(block) for name in plan.weights)
    assert list(copy.weights) == list(plan.weights) and copy.rates == plan.rates == [1.0] * 4


def test_blocks_from_the_input_to_the_output(tmp_path):
    write_hugging_face(tmp_path / "hf")
    encoder = KerasNlpEncoder(str(tmp_path / "hf"), trainable=True)
    blocks = encoder.tuning_blocks()
    names = [name for name, _ in blocks]
    assert names[0] == "token_embedding" and names[-2:] == ["transformer_layer_0", "transformer_layer_1"]
    assert {id(weight) for _, weights in blocks for weight in weights} == {id(w) for w in encoder.trainable_weights}


def test_the_fingerprint_covers_the_directorys_content(presets, tmp_path):
    import shutil

    shutil.copytree(presets["bert"], tmp_path / "copy")
    one, other = KerasNlpEncoder(str(presets["bert"])), KerasNlpEncoder(str(tmp_path / "copy"), batch_size=2)
    assert one.fingerprint == other.fingerprint != KerasNlpEncoder(str(presets["bert"]), max_tokens=8).fingerprint
    (tmp_path / "copy" / "metadata.json").write_text("{}")
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize("kind", ["bert", pytest.param("roberta", marks=pytest.mark.slow)])
def test_the_saved_model_stands_alone(presets, kind, tmp_path):
    # Another process, which knows neither this package nor KerasNLP, only the operations of TF.Text.
    encoder = KerasNlpEncoder(str(presets[kind]))
    module = tf.Module()
    module.encoder = encoder

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serve(texts):
        return {"vectors": encoder(texts)}

    tf.saved_model.save(module, str(tmp_path / "model"), signatures=serve)
    code = f"""
import sys, numpy as np, tensorflow as tf, tensorflow_text
loaded = tf.saved_model.load({str(tmp_path / "model")!r})
found = loaded.signatures["serving_default"](tf.constant({BYTES!r}))["vectors"]
assert not {{"keras_nlp", "keras_hub", "mmrec_tf"}} & set(sys.modules)
np.save({str(tmp_path / "found.npy")!r}, found.numpy())
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr[-2000:]
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), encoder(tf.constant(BYTES)), atol=1e-5)


def test_built_from_the_configuration(presets):
    config = EncoderConfig(type="kerasnlp", path=presets["distilbert"], max_tokens=9, clean={"lower": True})
    encoder = build_encoder(Feature(name="title", kind="text"), config)
    assert isinstance(encoder, KerasNlpEncoder) and encoder.max_tokens == 9 and encoder.reader.clean.lower


def test_what_cannot_be_loaded(tmp_path):
    import keras_nlp

    with pytest.raises(EncoderError, match="does not exist. Give a preset's or Hugging Face directory"):
        KerasNlpEncoder(str(tmp_path / "absent"))
    with pytest.raises(
        EncoderError, match="neither a directory nor the name of a preset. Did you mean 'bert_tiny_en_unc"
    ):
        KerasNlpEncoder("bert_tiny_en_uncase")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EncoderError, match="KerasNLP could not load .*empty.*config.json"):
        KerasNlpEncoder(str(tmp_path / "empty"))
    write_hugging_face(tmp_path / "hf")
    (tmp_path / "hf" / "config.json").write_text(json.dumps({"model_type": "tapir"}))
    with pytest.raises(EncoderError, match="no converter for .* `'tapir'`"):
        KerasNlpEncoder(str(tmp_path / "hf"))
    keras_nlp.models.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=16, num_layers=1, num_heads=1, hidden_dim=4, mlp_dim=4
    ).save_to_preset(str(tmp_path / "vit"))
    with pytest.raises(EncoderError, match="KerasNLP could not load|does not turn token ids into a vector"):
        KerasNlpEncoder(str(tmp_path / "vit"))
