"""Basic Pitch: windows and pooling by arithmetic with a network of known answers; the real one on tones."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.encoders.hub import HubEncoder
from mmrec_tf.encoders.pretrained import basic_pitch
from mmrec_tf.encoders.pretrained.basic_pitch import LOWEST_NOTE, SAMPLE_RATE, WINDOW, PitchProfile


class KnownAnswers:
    """In place of the published network: note n of frame f sounds as loud as sample 256 f, times n / 87."""

    def __init__(self):
        self.variables = [tf.Variable(1.0, name="scale"), tf.Variable(0.0, name="moving_mean")]
        self.trainable_variables = self.variables[:1]

    def __call__(self, windows, training):
        levels = tf.gather(windows[..., 0], tf.range(172) * 256, axis=1)
        return {"note": self.variables[0] * levels[..., tf.newaxis] * tf.linspace(0.0, 1.0, 88)}


@pytest.fixture
def module():
    return PitchProfile(KnownAnswers())


def steps(batch, samples):
    """Rising from 1 / 1000 by that much every 256 samples."""
    return np.tile((1 + np.arange(samples) // 256) / 1000, (batch, 1)).astype(np.float32)


def test_mean_and_highest_of_the_notes(module):
    # 44,032 samples, 172 frames: but a window is 43,844, in which frames begin at 0, 256, ..., 43,776. The second
    # window's 188 samples begin one frame, at sample 43,844: level 1 + 43844 // 256 = 172.
    found = module(steps(1, 44_032)).numpy()[0]
    levels = np.array([*range(1, 173), 172]) / 1000
    assert found.shape == (176,)
    np.testing.assert_allclose(found[[0, 87]], [0.0, levels.mean()], rtol=1e-5)
    np.testing.assert_allclose(found[[88, 175]], [0.0, 0.172], rtol=1e-5)
    np.testing.assert_allclose(found[29], levels.mean() / 3, rtol=1e-5)


def test_windows_and_what_is_heard_of_them(module):
    waves = steps(4, 100_000)
    for row, samples in enumerate((100_000, WINDOW, 513, 0)):
        waves[row, samples:] = 0.0
    windows, clips, is_heard = module.windows(waves)
    # 100,000 samples are 2.28 windows. Frames begin at 0, 256 and 512 of the 513; no sample counts as one.
    np.testing.assert_array_equal(np.bincount(clips), [3, 1, 1, 1])
    assert windows.shape == (6, WINDOW) and not windows.numpy()[2, 100_000 - 2 * WINDOW :].any()
    np.testing.assert_array_equal(
        is_heard.numpy().sum(axis=1), [172, 172, -(-(100_000 - 2 * WINDOW) // 256), 172, 3, 1]
    )


def test_a_batchs_clips_come_out_as_each_alone(module):
    waves = steps(3, 100_000)
    waves[1, 60_000:] = 0.0
    waves[2, 9_000:] = 0.0
    together = module(waves).numpy()
    for row, samples in enumerate((100_000, 60_000, 9_000)):
        np.testing.assert_allclose(together[row], module(waves[row : row + 1, :samples])[0], rtol=1e-5)


def test_computed_in_parts(monkeypatch, module):
    waves = steps(3, 100_000)
    whole = module(waves).numpy()
    monkeypatch.setattr(basic_pitch, "_WINDOWS_AT_A_TIME", 2)
    # 9 windows are four times 2, and 1.
    np.testing.assert_allclose(PitchProfile(KnownAnswers())(waves), whole, rtol=1e-6)
    np.testing.assert_allclose(module(waves, training=True), whole, rtol=1e-6)


def test_no_clip_no_sample_and_a_gradient(module):
    assert module(tf.zeros([0, 1000])).shape == (0, 176)
    np.testing.assert_array_equal(module(tf.zeros([2, 0])), 0.0)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(module(steps(1, 1000), training=True))
    # The output is the scale, 1, times what it would be without.
    assert tape.gradient(loss, module.trainable_variables)[0].numpy() == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.slow
def test_the_real_network_hears_tones(build_real):
    path = build_real("basic_pitch")
    encoder = HubEncoder("audio", str(path), sample_rate=SAMPLE_RATE, seconds=4.0)
    seconds = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    # A4 at 440 Hz is MIDI 69; C4, 261.63 Hz, is 60.
    tones = np.stack([np.sin(2 * np.pi * frequency * seconds) / 2 for frequency in (440.0, 261.63)])
    vectors = encoder(tones.astype(np.float32)).numpy()
    np.testing.assert_array_equal(LOWEST_NOTE + vectors[:, :88].argmax(axis=1), [69, 60])
    np.testing.assert_array_equal(LOWEST_NOTE + vectors[:, 88:].argmax(axis=1), [69, 60])

    published = tf.saved_model.load(str(path / "published"))
    notes = published(tones[:1, :WINDOW, np.newaxis].astype(np.float32), False)["note"].numpy()[0]
    assert notes.shape == (172, 88) and LOWEST_NOTE + notes.mean(axis=0).argmax() == 69


@pytest.mark.slow
def test_music_of_one_genre_is_nearer_by_its_notes(build_real, shared_data):
    import pandas as pd

    folder = shared_data / "emotify-odd"
    items = pd.read_csv(folder / "items.csv").groupby("genre").head(15)
    encoder = HubEncoder("audio", str(build_real("basic_pitch")), sample_rate=SAMPLE_RATE, seconds=6.0)
    waves = [encoder.decode(folder / path) for path in items["audio"]]
    batch = np.zeros((len(waves), max(map(len, waves))), np.float32)
    for row, wave in enumerate(waves):
        batch[row, : len(wave)] = wave
    vectors = encoder(batch).numpy()
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -1)
    genres, nearest = items["genre"].to_numpy(), np.argsort(-similarity, axis=1)[:, :5]
    # Four genres of equal size: chance is 24 %.
    assert (genres[nearest] == genres[:, np.newaxis]).mean() > 0.35
