"""musicnn's ears (mel scale, windows, repetition) by arithmetic; its network by what it must not depend on."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.encoders.pretrained import musicnn
from mmrec_tf.encoders.pretrained.musicnn import MusicEncoder, musicnn_network, slaney_mel_weights


@pytest.fixture(scope="module")
def network():
    tf.random.set_seed(0)
    return musicnn_network()


@pytest.fixture(scope="module")
def encoder(network):
    return MusicEncoder(network)


def noise(batch, samples, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, samples)).astype(np.float32) / 4


def test_mel_triangles():
    weights = slaney_mel_weights()
    assert weights.shape == (257, 96) and weights.min() == 0.0
    # 8 kHz are 15 + 27 ln 8 / ln 6.4 = 45.246 mels, cut by 98 corners. The 32nd, at 31 * 45.246 / 97 = 14.460 mels,
    # is at 964.0 Hz, and so the centre of band 30; the two beside it are 0.46645 mels away, 31.097 Hz. A triangle of
    # area 1 is 1 / 31.097 high. The bin of 968.75 Hz (number 31) is 4.75 Hz above: 1 - 4.75 / 31.097 of that.
    assert weights[31, 30] == pytest.approx((1 - 4.75 / 31.097) / 31.097, rel=2e-3)
    # Bins are 31.25 Hz apart. Where triangles are many bins wide, sums are near integrals.
    np.testing.assert_allclose(weights[:, 70:].sum(axis=0) * 31.25, 1.0, atol=0.01)


def test_a_tone_is_loudest_in_its_band(encoder):
    # The 61st inner corner, number 61 of 0 to 97, is at 28.453 mels: 1000 exp(13.453 ln 6.4 / 27) = 2521.7 Hz.
    tone = np.sin(2 * np.pi * 2521.7 * np.arange(48_000) / 16_000)[np.newaxis].astype(np.float32)
    windows, _ = encoder.windows(tone)
    assert np.argmax(windows.numpy()[0, 90]) == 60


def test_windows_are_the_nearest_whole_number_and_at_least_one(encoder):
    # A window is 187 frames of 256 samples: 47,872. 10 s are 3.34 of them, 5 s 1.67, 1 s 0.33, 95,744 samples 2.
    waves = noise(5, 160_000)
    for row, samples in enumerate((160_000, 80_000, 16_000, 95_744, 0)):
        waves[row, samples:] = 0.0
    windows, clips = encoder.windows(waves)
    np.testing.assert_array_equal(np.bincount(clips), [3, 2, 1, 2, 1])
    assert windows.shape == (9, 187, 96)


def test_a_short_clip_is_heard_again_and_again(encoder):
    # 10,240 samples, 40 hops, repeat from frame to frame 40 later; the first is the reflection at the start.
    clip = noise(1, 10_240)
    (window,), _ = encoder.windows(clip)
    np.testing.assert_allclose(window[1:100], window[41:140], atol=1e-4)
    assert np.abs(window[1:100] - window[31:130]).max() > 0.1


def test_a_batchs_clips_come_out_as_each_alone(encoder):
    waves = noise(3, 100_000)
    waves[1, 60_000:] = 0.0
    waves[2, 9_000:] = 0.0
    together = encoder(waves)
    for row, samples in enumerate((100_000, 60_000, 9_000)):
        alone = encoder(waves[row : row + 1, :samples])
        for key in ("default", "tags"):
            np.testing.assert_allclose(together[key][row], alone[key][0], rtol=1e-3, atol=1e-5)


def test_the_vector_is_the_mean_over_windows(encoder, network):
    waves = noise(1, 2 * 47_872)
    windows, _ = encoder.windows(waves)
    vectors, logits = network(windows, training=False)
    found = encoder(waves)
    np.testing.assert_allclose(found["default"][0], vectors.numpy().mean(axis=0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found["tags"][0], (1 / (1 + np.exp(-logits.numpy()))).mean(axis=0), atol=1e-5)


def test_computed_in_parts(monkeypatch, network, encoder):
    waves = noise(4, 100_000)
    monkeypatch.setattr(musicnn, "_WINDOWS_AT_A_TIME", 3)
    # 8 windows are 3, 3 and 2.
    in_parts = MusicEncoder(network)(waves)
    np.testing.assert_allclose(in_parts["default"], encoder(waves)["default"], rtol=1e-3, atol=1e-5)


def test_no_clip_and_no_sample(encoder):
    assert encoder(tf.zeros([0, 1000]))["default"].shape == (0, 200)
    found = encoder(tf.zeros([2, 0]))
    assert np.isfinite(found["default"]).all() and found["tags"].shape == (2, 50)


def test_the_head_is_not_trained(encoder):
    names = {variable.name for variable in encoder.trainable_variables}
    assert "dense/kernel:0" in names and "dense_1/kernel:0" not in names
    assert "dense_1/kernel:0" in {variable.name for variable in encoder.variables}


def test_float32_under_a_mixed_policy():
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        assert [output.dtype for output in musicnn_network().outputs] == [tf.float32, tf.float32]
    finally:
        tf_keras.mixed_precision.set_global_policy(before)
