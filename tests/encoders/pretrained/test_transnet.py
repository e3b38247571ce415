"""TransNetV2: its parts by arithmetic, windows of long videos, and the real network on cuts between real videos."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.encoders.frames import FramesEncoder
from mmrec_tf.encoders.pretrained.transnet import ShotBoundaries, _histograms, _likeness, shot_scores
from mmrec_tf.errors import EncoderError


def random_state(seed=0):
    """Tensors with the checkpoint's names and PyTorch's shapes."""
    random = np.random.default_rng(seed)

    def tensor(*shape):
        return random.normal(0, 1 / np.sqrt(np.prod(shape[1:]) or 1), shape).astype(np.float32)

    state = {}
    inputs = 3
    for stack, filters in enumerate((16, 32, 64)):
        for block in range(2):
            name = f"SDDCNN.{stack}.DDCNN.{block}"
            for dilation in (1, 2, 4, 8):
                state[f"{name}.Conv3D_{dilation}.layers.0.weight"] = tensor(2 * filters, inputs, 1, 3, 3)
                state[f"{name}.Conv3D_{dilation}.layers.1.weight"] = tensor(filters, 2 * filters, 3, 1, 1)
            inputs = 4 * filters
            for part in ("weight", "bias", "running_mean"):
                state[f"{name}.bn.{part}"] = tensor(inputs)
            state[f"{name}.bn.running_var"] = random.uniform(0.5, 2.0, inputs).astype(np.float32)
            state[f"{name}.bn.num_batches_tracked"] = np.array(7)
    sizes = {
        "frame_sim_layer.projection": (128, 448),
        "frame_sim_layer.fc": (128, 101),
        "color_hist_layer.fc": (128, 101),
    }
    sizes |= {"fc1": (1024, 3 * 6 * 256 + 256), "cls_layer1": (1, 1024), "cls_layer2": (1, 1024)}
    for name, shape in sizes.items():
        state[f"{name}.weight"], state[f"{name}.bias"] = tensor(*shape), tensor(shape[0])
    return state


@pytest.fixture(scope="module")
def network():
    return ShotBoundaries(random_state())


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 27, 48, 3)).astype(np.uint8)


def test_a_block_is_convolution_normalisation_and_four_speeds(network):
    # One frame amid zeros, one channel after the other, by NumPy: the kernels' centre in space, and in time the taps
    # at -8 to 8 frames; a single bright pixel meets each tap once.
    state = random_state()
    maps = np.zeros((1, 17, 5, 5, 3), np.float32)
    maps[0, 8, 2, 2] = [1.0, -2.0, 3.0]
    found = network._block(tf.constant(maps), tf.constant([1, 17]), 0, 0).numpy()[0, :, 2, 2]
    name = "SDDCNN.0.DDCNN.0"
    expected = np.zeros((17, 64))
    for place, dilation in enumerate((1, 2, 4, 8)):
        spatial = state[f"{name}.Conv3D_{dilation}.layers.0.weight"][:, :, 0, 1, 1] @ maps[0, 8, 2, 2]
        over_time = state[f"{name}.Conv3D_{dilation}.layers.1.weight"][..., 0, 0]
        for tap, offset in enumerate((dilation, 0, -dilation)):
            expected[8 + offset, 16 * place : 16 * place + 16] += over_time[:, :, tap] @ spatial
    norm = {part: state[f"{name}.bn.{part}"] for part in ("weight", "bias", "running_mean", "running_var")}
    expected = (expected - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-3) * norm["weight"] + norm["bias"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_likeness_to_the_neighbours():
    # Three frames along x, x and y: cosines 1, 1, 0. Column 50 is the frame itself, 49 the one before.
    found = _likeness(tf.constant([[[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]]])).numpy()[0]
    assert found.shape == (3, 101)
    np.testing.assert_allclose(found[:, 48:53], [[0, 0, 1, 1, 0], [0, 1, 1, 0, 0], [0, 0, 1, 0, 0]], atol=1e-6)
    assert found.sum() == pytest.approx(5.0)


def test_histograms_of_colours():
    # Levels of 32: (31, 32, 255) is level 0, 1, 7, number 0 * 64 + 1 * 8 + 7 = 15.
    thumbnails = np.zeros((1, 2, 27, 48, 3), np.int32)
    thumbnails[0, 1, :, :12] = [31, 32, 255]
    found = _histograms(tf.constant(thumbnails), tf.constant([1, 2])).numpy()[0]
    assert found[0, 0] == 27 * 48 and found[1, 0] == 27 * 36 and found[1, 15] == 27 * 12 and found.sum() == 2 * 27 * 48


def test_whole_numbers_and_floats_give_the_same(network):
    thumbnails = noise(2, 6)
    scores = network(thumbnails).numpy()
    assert scores.shape == (2, 6) and scores.std() > 0
    np.testing.assert_allclose(network(thumbnails.astype(np.float32) / 255.0), scores, atol=1e-5)


@pytest.mark.parametrize("count", [1, 50, 51, 130])
def test_windows_of_a_long_video(count):
    calls = []

    def module(window, training):
        calls.append(window.numpy())
        return tf.cast(window[..., 0, 0, 0], tf.float32)

    # Each frame's brightness is its number, and the module gives it back: every frame is answered once, in order.
    thumbnails = np.zeros((count, 27, 48, 3), np.uint8) + np.arange(count, dtype=np.uint8)[:, None, None, None]
    np.testing.assert_array_equal(shot_scores(thumbnails, module), np.arange(count))
    # 50 frames a window, rounded up; 25 repetitions of the first before it.
    assert len(calls) == -(-count // 50) and calls[0].shape == (1, 100, 27, 48, 3)
    np.testing.assert_array_equal(calls[0][0, :26, 0, 0, 0], 0)
    np.testing.assert_array_equal(calls[-1][0, -25:, 0, 0, 0], count - 1)


def test_no_frame_and_other_shapes():
    assert shot_scores(np.zeros((0, 27, 48, 3), np.uint8), None).shape == (0,)
    with pytest.raises(EncoderError, match=r"\[frames, 27, 48, 3\] uint8 thumbnails, not in \[2, 48, 27, 3\] uint8"):
        shot_scores(np.zeros((2, 48, 27, 3), np.uint8), None)


def test_another_networks_checkpoint():
    state = random_state()
    with pytest.raises(EncoderError, match="not TransNetV2's: extra.weight is left"):
        ShotBoundaries({**state, "extra.weight": np.zeros(3)})
    del state["SDDCNN.1.DDCNN.0.bn.bias"]
    with pytest.raises(EncoderError, match=r"not TransNetV2's: 'SDDCNN\.1\.DDCNN\.0\.bn\.bias'"):
        ShotBoundaries(state)


@pytest.mark.slow
def test_the_real_network_finds_the_cuts_between_real_videos(build_real, shared_data):
    import av
    from PIL import Image

    def thumbnails(name, count):
        with av.open(str(shared_data / "video" / name)) as container:
            frames = [
                frame.to_image().resize((48, 27), Image.Resampling.BILINEAR) for frame in container.decode(video=0)
            ]
        return np.stack(frames[:count])

    module = tf.saved_model.load(str(build_real("transnetv2")))
    joined = [thumbnails("flower.mp4", 60), thumbnails("friday.mp4", 70), thumbnails("bigbuckbunny.mp4", 45)]
    scores = shot_scores(np.concatenate(joined), module)
    # The last frames of the first two parts; none of the three videos has a cut of its own.
    np.testing.assert_array_equal(np.flatnonzero(scores > 0.5), [59, 129])
    assert np.delete(scores, [59, 129]).max() < 0.1


@pytest.mark.slow
def test_frames_are_taken_from_different_shots(build_real, shared_data, monkeypatch, tmp_path):
    # Two real videos behind one another, the second a quarter as long: of two frames, evenly spread, the second would
    # be at 75 of 100; it is from the second video.
    import av

    monkeypatch.setenv("MMREC_CACHE", str(build_real("transnetv2").parents[1]))
    path = tmp_path / "joined.mp4"
    with av.open(str(path), "w") as joined:
        stream = joined.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.bit_rate = 320, 180, 4_000_000
        for name, count in (("flower.mp4", 80), ("friday.mp4", 20)):
            with av.open(str(shared_data / "video" / name)) as container:
                for frame in itertools.islice(container.decode(video=0), count):
                    image = frame.to_ndarray(width=320, height=180, format="rgb24")
                    joined.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        joined.mux(stream.encode())
    encoder = FramesEncoder("image_cnn", frames=2, sampling="shots")
    flower, friday = encoder.decode(path)
    # The flower is coloured, the film is black and white.
    assert np.ptp(flower, axis=-1).mean() > 20 > 10 > np.ptp(friday, axis=-1).mean()
    copy = tf_keras.layers.deserialize(tf_keras.layers.serialize(encoder))
    assert copy.fingerprint == encoder.fingerprint != FramesEncoder("image_cnn", frames=2).fingerprint
