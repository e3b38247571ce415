"""Every named encoder against a module of its interface, called by hand as the published module's page shows it."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.config import EncoderConfig
from mmrec_tf.encoders.hub import HubEncoder
from mmrec_tf.encoders.named import NAMED
from mmrec_tf.encoders.registry import build_encoder
from mmrec_tf.errors import EncoderError
from mmrec_tf.schema import Feature
from tests.layer_checks import check_layer
from tools import make_hub_module
from tools.make_hub_module import make_named_module

# Videos of the published number of frames would take the test most of its time.
OPTIONS = {name: {"frames": 10} if declared.modality == "video" else {} for name, declared in NAMED.items()}
IMAGES = [name for name, declared in NAMED.items() if declared.modality == "image"]
AUDIO = [name for name, declared in NAMED.items() if declared.modality == "audio"]


def _with_slow_twin(names):
    """BERT's interface twice is once too much for every day."""
    twin = "bert_multilingual"
    return [pytest.param(name, marks=pytest.mark.slow) if name == twin else name for name in names]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Gives the local module of a name."""
    root = tmp_path_factory.mktemp("named")

    def made(name):
        # Both BERTs have one interface, and theirs takes longest to make.
        path = root / ("bert" if name == "bert_multilingual" else name)
        return path if path.is_dir() else make_named_module(name, path)

    return made


def built(name, path, **options):
    config = EncoderConfig(type=name, path=path, **OPTIONS[name], **options)
    return build_encoder(Feature(name="content", kind=NAMED[name].modality), config)


@pytest.fixture(scope="module")
def frozen(folder):
    """Gives the encoder of a name, as it is used most: not trained, without options."""
    encoders = {}

    def of(name):
        if name not in encoders:
            encoders[name] = built(name, folder(name))
        return encoders[name]

    return of


def items_of(encoder):
    """Three items as `decode` gives them, of different lengths where they may have any."""
    random = np.random.default_rng(0)
    if encoder.modality == "text":
        return ["a red shirt", "blue", "a much longer text of several words, as descriptions are"]
    if encoder.modality == "audio":
        return [random.uniform(-0.5, 0.5, length).astype(np.float32) for length in (20000, 9000, 48000)]
    return list(random.integers(0, 256, (3, *encoder.content_shape), dtype=np.uint8))


def batch_of(items, length=None):
    """Items stacked, with zeros behind the shorter ones."""
    if isinstance(items[0], str):
        return np.array(items)
    length = length or max(len(item) for item in items)
    return np.stack([np.pad(item, [(0, length - len(item)), *[(0, 0)] * (item.ndim - 1)]) for item in items])


def as_published(name, module, preprocess, item):
    """One item's vector, not scaled."""
    if NAMED[name].preprocessor:
        return module(preprocess(tf.constant([item])))["pooled_output"][0]
    if name == "universal_sentence_encoder":
        return module(tf.constant([item]))[0]
    if name in IMAGES:
        pixels = item / 127.5 - 1.0 if name == "vit_b16" else item / 255.0
        return module(tf.constant(pixels[None], tf.float32))[0]
    if name == "yamnet":
        return np.mean(module(item)[1], axis=0)
    if name == "vggish":
        # Of less than a frame it gives nothing.
        return np.mean(module(np.pad(item, (0, max(0, 15600 - len(item))))), axis=0)
    if name == "wav2vec2":
        clip = (item - item.mean()) / np.sqrt(item.var() + 1e-5)
        steps = module(tf.constant(np.pad(clip, (0, 246000 - len(clip)))[None]))[0]
        return np.mean(steps[: (len(clip) - 400) // 320 + 1], axis=0)
    frames = tf.constant(item[None] / 255.0, tf.float32)
    if name == "i3d":
        return module.signatures["default"](frames)["default"][0]
    assert name == "movinet_a0"
    return module({"image": frames})[0]


def unit(vector):
    return np.asarray(vector) / np.linalg.norm(vector)


@pytest.mark.parametrize("name", _with_slow_twin(NAMED))
def test_interface(name, folder, frozen):
    encoder = frozen(name)
    assert (encoder.dim, encoder.modality) == (NAMED[name].dim, NAMED[name].modality)
    items = items_of(encoder)
    vectors = encoder(batch_of(items)).numpy()
    assert vectors.shape == (3, NAMED[name].dim) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    module = tf.saved_model.load(str(folder(name)))
    preprocess = tf.saved_model.load(f"{folder(name)}-preprocessor") if NAMED[name].preprocessor else None
    for vector, item in zip(vectors, items):
        np.testing.assert_allclose(vector, unit(as_published(name, module, preprocess, item)), atol=1e-5)
        # Alone as in a batch.
        np.testing.assert_allclose(encoder(batch_of([item]))[0].numpy(), vector, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(encoder.prepare(batch_of(items), static_shape=True)), vectors, atol=1e-5)
    # The store calls it inside a graph, where the length of a batch is not known beforehand.
    shape = [None, *([None] * encoder.varying_length + list(encoder.content_shape)[encoder.varying_length :])]
    spec = tf.TensorSpec(shape, tf.constant(batch_of(items)).dtype)
    graph = tf.function(lambda batch: encoder(batch, training=False), input_signature=[spec])
    np.testing.assert_allclose(graph(batch_of(items)).numpy(), vectors, atol=1e-5)


@pytest.mark.parametrize("name", AUDIO)
def test_zeros_at_the_end_change_nothing(name, frozen):
    encoder = frozen(name)
    items = items_of(encoder)
    filled = batch_of(items, encoder.content_shape[0])
    np.testing.assert_allclose(encoder(filled).numpy(), encoder(batch_of(items)).numpy(), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yamnet", "i3d"])
def test_as_a_layer_that_a_fresh_process_loads(name, frozen, tmp_path):
    # Those that are most unlike a plain function of a batch.
    encoder = frozen(name)
    config = encoder.get_config()
    check_layer(
        lambda: type(encoder).from_config(config),
        batch_of(items_of(encoder)),
        tmp_path,
        expected_shape=(3, encoder.dim),
        is_trainable=False,
        has_float32_output=True,
        compiles=False,
        fresh_process=True,
    )


@pytest.mark.parametrize("name", _with_slow_twin(name for name, declared in NAMED.items() if declared.is_tunable))
def test_those_that_are_published_for_tuning_train(name, frozen):
    encoder = HubEncoder(**{**frozen(name).get_config(), "trainable": True})
    before = [weight.numpy() for weight in encoder.trainable_weights]
    prepared = encoder.prepare(batch_of(items_of(encoder)), static_shape=True)
    wanted = tf.constant(np.random.default_rng(1).standard_normal((3, encoder.dim)), tf.float32)
    with tf.GradientTape() as tape:
        loss = -tf.reduce_sum(encoder.encode(prepared, training=True) * wanted)
    gradients = tape.gradient(loss, encoder.trainable_weights)
    for weight, gradient in zip(encoder.trainable_weights, gradients):
        weight.assign_sub(0.1 * tf.convert_to_tensor(gradient))
    changed = [np.abs(weight.numpy() - old).max() for weight, old in zip(encoder.trainable_weights, before)]
    assert len(changed) >= 1 and min(changed) > 0.0


@pytest.mark.parametrize("name", [name for name, declared in NAMED.items() if not declared.is_tunable])
def test_the_others_refuse_to_be_trained(name, frozen):
    config = {**frozen(name).get_config(), "trainable": True}
    with pytest.raises(EncoderError, match="no weights that can be trained|cannot be trained"):
        HubEncoder(**config)


def test_options_change_what_is_asked_for(folder):
    encoder = built("inception_v3", folder("inception_v3"), image_size=96, batch_size=3)
    assert (encoder.content_shape, encoder.batch_size) == ((96, 96, 3), 3)
    assert encoder(np.zeros((1, 96, 96, 3), np.uint8)).shape == (1, 2048)
    encoder = built("yamnet", folder("yamnet"), seconds=2.0, windows=3, output_key="0")
    assert (encoder.content_shape, encoder.dim) == ((3 * 32000,), 521)
    # Unless asked otherwise, videos come in small batches.
    assert built("movinet_a0", folder("movinet_a0")).batch_size == 4


def test_a_module_that_frames_otherwise(folder):
    with pytest.raises(EncoderError, match="gives 7 vectors for 61680 samples, where 4 were expected.*type `hub`"):
        # 15,600 + 3 x 15,360 samples are 4 frames of VGGish, and (61,680 - 15,600) / 7,680 + 1 = 7 of YAMNet.
        built("vggish", folder("yamnet"), output_key="1")


def test_a_window_longer_than_the_module_takes(folder):
    with pytest.raises(EncoderError, match=r"takes 246000 samples, 15\.375 s at 16000 Hz; a window of 20 s is longer"):
        built("wav2vec2", folder("wav2vec2"), seconds=20.0)


def test_declarations():
    for name, declared in NAMED.items():
        assert declared.name == name
        assert declared.handle.startswith("https://tfhub.dev/")
        assert declared.licence and declared.takes and declared.gives and declared.reference


@pytest.mark.parametrize("arguments", [["vggish"], ["audio", "--dim", "3"]])
def test_the_tool(arguments, tmp_path, monkeypatch, capsys):
    path = tmp_path / "module"
    monkeypatch.setattr(sys, "argv", ["make_hub_module.py", arguments[0], str(path), *arguments[1:]])
    make_hub_module.main()
    assert capsys.readouterr().out == f"{path}\n"
    config = EncoderConfig(path=path, seconds=1.0)
    encoder = build_encoder(Feature(name="content", kind="audio"), config)
    assert encoder.dim == {"vggish": 128, "audio": 3}[arguments[0]]
