"""Modules of sound: lengths, windows, and clips laid in one waveform."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.encoders.hub import HubEncoder
from mmrec_tf.encoders.hub_audio import (
    FramedWaveformCall,
    WaveformCall,
    filled_up,
    lengths_of,
    mean_of_first,
    standardised,
)
from mmrec_tf.encoders.module_interface import ModuleInterface
from tools.hub_module_kinds import (
    Module,
    make_audio_module,
    make_vggish_module,
    make_wav2vec2_module,
    make_yamnet_module,
)

YAMNET = ModuleInterface(one_waveform=True, frame_length=15600, frame_hop=7680, fills_up=True)
VGGISH = ModuleInterface(one_waveform=True, frame_length=15600, frame_hop=15360)


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")
    return {
        "yamnet": str(make_yamnet_module(folder / "yamnet", dim=3)),
        "vggish": str(make_vggish_module(folder / "vggish", dim=3)),
        "audio": str(make_audio_module(folder / "audio", dim=4)),
        "steps": str(make_wav2vec2_module(folder / "steps", dim=4, samples=8000)),
        "means": str(make_means(folder / "means")),
    }


def make_means(path):
    """A module that leaves zeros out by itself, as musicnn does: the mean of x and of x squared over a clip."""

    class Means(Module):
        @tf.function
        def __call__(self, waveforms, training=False):
            count = tf.reduce_sum(tf.cast(waveforms != 0.0, tf.float32), axis=1, keepdims=True)
            sums = [tf.reduce_sum(power, axis=1, keepdims=True) for power in (waveforms, tf.square(waveforms))]
            return tf.concat(sums, axis=1) / tf.maximum(count, 1.0) * self.scale

    return Means(scale=np.ones(2, np.float32)).save(path, tf.TensorSpec([None, None], tf.float32))


def noise(*lengths, seed=0):
    random = np.random.default_rng(seed)
    clips = [random.uniform(-0.5, 0.5, length).astype(np.float32) for length in lengths]
    return clips, np.stack([np.pad(clip, (0, max(lengths) - len(clip))) for clip in clips])


def unit(vectors):
    return np.asarray(vectors) / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_lengths_end_with_the_last_sample_that_is_not_zero():
    waveforms = tf.constant([[0.1, 0.0, 0.2, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, -0.1]])
    np.testing.assert_array_equal(lengths_of(waveforms), [3, 0, 4])


def test_filled_up_to_a_length_at_least():
    waveforms = tf.ones([2, 3])
    np.testing.assert_array_equal(filled_up(waveforms, 5), [[1, 1, 1, 0, 0]] * 2)
    assert filled_up(waveforms, 2).shape == (2, 3)


def test_standardised_over_a_clips_own_samples():
    # The first clip has mean 2 and variance 1 over its two samples; the second is one sample, which has no variance.
    found = standardised(tf.constant([[1.0, 3.0, 0.0], [5.0, 0.0, 0.0]]), tf.constant([2, 1])).numpy()
    np.testing.assert_allclose(found, [[-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]], atol=1e-4)


def test_mean_of_first():
    steps = tf.constant([[[1.0], [3.0], [100.0]], [[7.0], [100.0], [100.0]]])
    np.testing.assert_array_equal(mean_of_first(steps, tf.constant([2, 1])), [[2.0], [7.0]])


# Below one frame, exactly one, one sample more, whole hops, and three seconds.
LENGTHS = (4000, 15600, 15601, 15600 + 2 * 15360, 48000)


@pytest.mark.parametrize(("name", "interface"), [("yamnet", YAMNET), ("vggish", VGGISH)])
@pytest.mark.parametrize("training", [False, True])
def test_clips_in_one_waveform_are_as_called_one_by_one(modules, name, interface, training):
    clips, batch = noise(*LENGTHS)
    encoder = HubEncoder("audio", modules[name], interface=interface, seconds=3.0)
    module = tf.saved_model.load(modules[name])
    given = [np.pad(clip, (0, max(0, 15600 - len(clip)))) for clip in clips]
    frames = [module(clip)[1] if name == "yamnet" else module(clip) for clip in given]
    # (n - 15,600) / hop + 1 frames: YAMNet rounds up, VGGish down.
    assert [len(one) for one in frames] == ([1, 1, 2, 5, 6] if name == "yamnet" else [1, 1, 1, 3, 3])
    expected = unit([np.mean(one, axis=0) for one in frames])
    np.testing.assert_allclose(encoder.encode(batch, training=training).numpy(), expected, atol=1e-5)


def test_one_call_for_a_batch(modules):
    encoder = HubEncoder("audio", modules["yamnet"], interface=YAMNET, seconds=3.0)
    assert isinstance(encoder._module_call, FramedWaveformCall)
    calls, module = [], encoder._module_call.module
    encoder._module_call.module = lambda inputs, training: calls.append(inputs.shape) or module(inputs)
    encoder(noise(*LENGTHS)[1])
    # Frames need 3, 3, 4, 7 and 8 hops of 7,680 samples: (frames - 1) x 7,680 + 15,600, rounded up.
    assert calls == [((3 + 3 + 4 + 7 + 8) * 7680,)]


def test_the_compiled_step_has_one_shape(modules):
    encoder = HubEncoder("audio", modules["yamnet"], interface=YAMNET, seconds=2.0)
    batch = noise(4000, 32000)[1]
    compiled = tf.function(lambda given: encoder.encode(given, training=True), jit_compile=True)
    np.testing.assert_allclose(compiled(batch).numpy(), encoder(batch).numpy(), atol=1e-4)


def test_a_module_that_takes_one_waveform_and_says_no_more(modules):
    # Clips of 0.5, 1.5 and 2 s: each as if it were sent on its own, with zeros up to 1 s.
    clips, batch = noise(8000, 24000, 32000)
    encoder = HubEncoder("audio", modules["yamnet"], seconds=2.0)
    assert isinstance(encoder._module_call, WaveformCall)
    module = tf.saved_model.load(modules["yamnet"])
    expected = [np.mean(module(np.pad(clip, (0, max(0, 16000 - len(clip)))))[1], axis=0) for clip in clips]
    np.testing.assert_allclose(encoder(batch).numpy(), unit(expected), atol=1e-5)
    np.testing.assert_allclose(encoder(clips[0][None])[0].numpy(), unit(expected[0]), atol=1e-5)
    scores = HubEncoder("audio", modules["yamnet"], seconds=2.0, output_key="0")
    assert scores.dim == 5


def test_waveforms_are_filled_up_to_a_window_where_zeros_count(modules):
    clips, batch = noise(1000, 3000)
    encoder = HubEncoder("audio", modules["audio"], sample_rate=8000, seconds=0.5)
    whole = np.pad(batch, [(0, 0), (0, 1000)])
    expected = unit(tf.saved_model.load(modules["audio"])(tf.constant(whole)))
    for found in (encoder(batch), encoder(whole), [encoder(clip[None])[0] for clip in clips]):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_waveforms_come_as_short_as_they_are_where_zeros_do_not_count(modules):
    batch = noise(1000, 3000)[1]
    encoder = HubEncoder("audio", modules["means"], sample_rate=8000, seconds=0.5)
    shapes, module = [], encoder._module_call.module
    encoder._module_call.module = lambda inputs, training: shapes.append(inputs.shape) or module(inputs)
    expected = [[row[row != 0].mean(), np.square(row[row != 0]).mean()] for row in batch]
    np.testing.assert_allclose(encoder(batch).numpy(), unit(expected), atol=1e-5)
    assert shapes == [(2, 3000)]


def test_a_fixed_length_is_found_in_the_module(modules):
    encoder = HubEncoder("audio", modules["steps"])
    assert (encoder.seconds, encoder.content_shape) == (0.5, (8000,))
    # Without a declared distance of the steps, those that a clip's share of the length has: 24 x 0.25 = 6.
    clips, batch = noise(2000, 8000)
    steps = tf.saved_model.load(modules["steps"])(tf.constant(batch))
    assert steps.shape == (2, 24, 4)
    expected = unit([np.mean(steps[0, :6], axis=0), np.mean(steps[1], axis=0)])
    np.testing.assert_allclose(encoder(batch).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(encoder(clips[0][None])[0].numpy(), expected[0], atol=1e-5)


@pytest.mark.parametrize(("name", "interface"), [("yamnet", YAMNET), ("audio", None)])
def test_the_windows_of_a_long_clip_are_averaged(modules, name, interface):
    # 2.5 windows of a second, and one: the mean of the windows' vectors, each of length 1.
    clips, batch = noise(40000, 16000)
    encoder = HubEncoder("audio", modules[name], interface=interface, seconds=1.0, windows=3)
    windows = np.pad(batch, [(0, 0), (0, 8000)]).reshape(2, 3, 16000)
    alone = encoder(windows.reshape(6, 16000)).numpy().reshape(2, 3, -1)
    expected = unit([alone[0].mean(axis=0), alone[1, 0]])
    np.testing.assert_allclose(encoder(batch).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(batch, training=True).numpy(), expected, atol=1e-5)
