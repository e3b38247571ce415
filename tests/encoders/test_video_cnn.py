"""The built-in video encoder: its contract, and that it tells videos and motions apart before any training."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.encoders.video_cnn import VideoCnnEncoder, _average, moving_filters, still_filters
from mmrec_tf.errors import EncoderError
from tests.layer_checks import check_layer

DISTINCT = ("bigbuckbunny.mp4", "bottle-detection.mp4", "flower.mp4", "friday.mp4", "people-detection.gif")


def moving_box(speed, seed=0, frames=16, size=64):
    """`[frames, size, size, 3]`: a box of seeded colour, size and place on a seeded background; speed in pixels."""
    random = np.random.default_rng(seed)
    down, right = np.mgrid[:size, :size]
    waves = np.sin(down / random.uniform(2, 6) + random.uniform(0, 6)) * np.sin(right / random.uniform(2, 6))
    background = random.integers(60, 140, 3) + 40 * waves[..., None]
    colour, half, row, start = random.integers(0, 256, 3), *random.uniform((5, 16, 16), (9, 48, 48))
    video = []
    for frame in range(frames):
        # It leaves on one side and comes back on the other.
        apart = np.abs(right - (start + speed * frame) % size)
        inside = (np.minimum(apart, size - apart) < half) & (np.abs(down - row) < half)
        video.append(np.where(inside[..., None], colour, background))
    return np.clip(video, 0, 255).astype(np.uint8)


def drifting_wave(direction, wavelength, speed, size=32, frames=5):
    down, right = np.mgrid[:size, :size]
    across = right * np.cos(direction) + down * np.sin(direction)
    wave = [np.cos(2 * np.pi * (across - speed * frame) / wavelength) for frame in range(frames)]
    return np.repeat(np.stack(wave)[None, ..., None], 3, axis=-1).astype(np.float32)


def test_layer(tmp_path):
    videos = np.stack([moving_box(2, seed, frames=4, size=32) for seed in range(2)])
    check_layer(
        lambda: VideoCnnEncoder(dim=8, frames=4, image_size=32),
        videos,
        tmp_path,
        expected_shape=(2, 8),
        has_float32_output=True,
    )


def test_vectors_have_length_one_and_blank_videos_are_finite():
    videos = np.stack([np.zeros((16, 64, 64, 3)), np.full((16, 64, 64, 3), 255.0), moving_box(2)])
    vectors = VideoCnnEncoder(dim=32)(videos).numpy()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_moving_filters_answer_to_their_direction_and_speed():
    # 24 even filters, then 24 odd ones: 8 directions for each of three pairs of wavelength and speed.
    for number, (wavelength, speed) in enumerate([(5.0, 0.5), (5.0, 1.2), (6.5, 2.4)]):
        for direction in range(8):
            wave = drifting_wave(2 * np.pi * direction / 8, wavelength, speed)
            responses = tf.nn.conv3d(wave, moving_filters(), [1] * 5, "VALID").numpy()
            energy = (responses[..., :24] ** 2 + responses[..., 24:] ** 2).mean(axis=(0, 1, 2, 3))
            assert energy.argmax() == 8 * number + direction


def test_filters_ignore_what_is_flat_and_still():
    # A flat orange: red - green = 0.5, blue - (red + green) / 2 = -0.75, lightness by the usual weights.
    orange = np.full((1, 5, 7, 7, 3), [1.0, 0.5, 0.0], np.float32)
    np.testing.assert_allclose(tf.nn.conv3d(orange, moving_filters(), [1] * 5, "VALID"), 0.0, atol=1e-4)
    responses = tf.nn.conv2d(orange[:, 0], still_filters(), 1, "VALID").numpy()[0, 0, 0]
    np.testing.assert_allclose(responses[:32], 0.0, atol=1e-4)
    np.testing.assert_allclose(responses[32:], [0.5, -0.75, 0.299 + 0.2935], atol=1e-4)
    # A video without motion has no part that moves.
    encoder = VideoCnnEncoder(frames=6, image_size=32)
    encoder.build(None)
    still = np.repeat(moving_box(0, frames=1, size=32)[None], 6, axis=1).astype(np.float32) / 255
    np.testing.assert_allclose(encoder._moving(tf.constant(still)), 0.0, atol=1e-4)


def test_grid_means_by_hand():
    # Rows 0 to 4 on 2 cells: 0, 1, 2 and 2, 3, 4, whose means are 1 and 3.
    maps = np.repeat(np.arange(5, dtype=np.float32)[None, :, None, None], 4, axis=2)
    np.testing.assert_allclose(_average(tf.constant(maps), 2)[0, :, :, 0], [[1, 1], [3, 3]])


def test_left_and_right_are_told_apart():
    # The same box and background: where it begins matters less than where it goes.
    encoder = VideoCnnEncoder()
    margins = []
    for seed in range(8):
        right, left = moving_box(3, seed), moving_box(-3, seed)
        vectors = encoder(np.stack([right, np.roll(right, 12, axis=2), left])).numpy()
        margins.append(vectors[0] @ vectors[1] - vectors[0] @ vectors[2])
    assert np.mean(margins) > 0.05


@pytest.mark.parametrize(("speeds", "least"), [((-3, 3), 0.85), ((1, 4), 0.75)])
def test_motion_can_be_read_from_the_vectors(speeds, least):
    # Boxes of any look: a linear readout fitted on 80 videos names direction, or speed, of 40 others (chance: 0.5).
    # Where speed is asked for, half of them move either way.
    signs = [1, -1] if speeds[0] > 0 else [1, 1]
    kinds = np.arange(120) % 2
    videos = [moving_box(speeds[kind] * signs[number // 2 % 2], 11 + number) for number, kind in enumerate(kinds)]
    vectors = np.c_[VideoCnnEncoder()(np.stack(videos)).numpy(), np.ones(120)]
    fitted = vectors[:80]
    readout = np.linalg.solve(fitted.T @ fitted + 0.05 * np.eye(129), fitted.T @ (2.0 * kinds[:80] - 1))
    assert ((vectors[80:] @ readout > 0) == kinds[80:]).mean() > least


def test_same_settings_give_same_weights_and_fingerprint():
    one, other = VideoCnnEncoder(dim=16), VideoCnnEncoder(dim=16, batch_size=3, name="other")
    assert one.fingerprint == other.fingerprint
    for changes in ({"seed": 1}, {"frames": 8}, {"image_size": 32}, {"sampling": "scenes"}):
        assert one.fingerprint != VideoCnnEncoder(dim=16, **changes).fingerprint


def test_training_changes_the_fingerprint():
    encoder = VideoCnnEncoder(dim=8, frames=4, image_size=32)
    before = encoder.fingerprint
    model = tf_keras.Sequential([encoder, tf_keras.layers.Dense(1)])
    # Eagerly, as tracing Keras' train step takes longer than the training.
    model.compile(optimizer=tf_keras.optimizers.SGD(0.1), loss="mse", run_eagerly=True)
    videos = np.stack([moving_box(speed, seed, 4, 32) for seed in range(4) for speed in (-2, 2)])
    losses = model.fit(videos, np.tile([0.0, 1.0], 4), epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert encoder.fingerprint != before


def test_a_short_video_is_repeated_and_shots_are_refused():
    assert VideoCnnEncoder(frames=8).content_shape == (8, 64, 64, 3)
    assert not VideoCnnEncoder().varying_length
    with pytest.raises(EncoderError, match="set sampling to uniform, or the encoder to frames"):
        VideoCnnEncoder(sampling="shots")


def test_halves_of_a_video_are_nearer_than_different_videos(shared_data, tmp_path):
    encoder = VideoCnnEncoder()
    halves = [[], []]
    for name in DISTINCT:
        for half, path in enumerate(cut_in_half(shared_data / "video" / name, tmp_path)):
            halves[half].append(encoder.decode(path))
    first, second = (encoder(np.stack(clips)).numpy() for clips in halves)
    similarity = first @ second.T
    own = similarity.diagonal().copy()
    np.fill_diagonal(similarity, -1)
    assert (own > similarity.max(axis=0) + 0.1).all() and (own > similarity.max(axis=1) + 0.1).all()


def cut_in_half(source, folder):
    """Writes a video's first and second half, 25 frames a second, 160 by 120 pixels."""
    import av

    with av.open(str(source)) as container:
        decoded = itertools.islice(container.decode(video=0), 300)
        frames = [frame.to_ndarray(width=160, height=120, format="rgb24") for frame in decoded]
    middle = len(frames) // 2
    for name, part in (("first", frames[:middle]), ("second", frames[middle:])):
        path = folder / f"{source.stem}-{name}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.bit_rate = 160, 120, 2_000_000
            for frame in part:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        yield path
