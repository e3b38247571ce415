"""An image encoder over frames: the mean, what fills up, names, shots, and that it tells real videos apart."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.config_encoders import EncoderConfig
from mmrec_tf.encoders import frames
from mmrec_tf.encoders.frames import FramesEncoder
from mmrec_tf.encoders.hashed_text import HashedTextEncoder
from mmrec_tf.encoders.image_cnn import ImageCnnEncoder
from mmrec_tf.encoders.registry import build_encoder
from mmrec_tf.errors import EncoderError
from mmrec_tf.schema import Feature
from tests.layer_checks import check_layer


def pictures(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 32, 32, 3)).astype(np.uint8)


def small(**changes):
    return FramesEncoder(ImageCnnEncoder(dim=8, image_size=32), **{"frames": 3, **changes})


def write_video(path, images, rate=25):
    """Images of one size, each shown once."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = images[0].shape[:2]
        stream.bit_rate = 4_000_000
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode())
    return path


def test_layer(tmp_path):
    # How many frames are encoded depends on what they show, which XLA does not compile; a training step has all.
    check_layer(small, pictures(2, 3), tmp_path, expected_shape=(2, 8), has_float32_output=True, compiles=False)


def test_the_mean_of_the_frames_that_are_there():
    encoder = small()
    videos = pictures(2, 3)
    videos[1, 2] = 0
    vectors = encoder(videos).numpy()
    for video, count, vector in zip(videos, (3, 2), vectors):
        mean = encoder.image(video[:count]).numpy().mean(axis=0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)
    np.testing.assert_allclose(encoder(videos, training=True), vectors, atol=1e-5)
    np.testing.assert_array_equal(encoder(np.zeros_like(videos)), 0.0)


def test_a_training_step_compiles_and_reaches_the_image_encoder():
    encoder = small()
    videos = tf.constant(pictures(2, 3))
    encoder(videos)

    @tf.function(jit_compile=True)
    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(encoder.encode(videos, training=True) * np.arange(8, dtype=np.float32))
        return tape.gradient(loss, encoder.trainable_weights)

    found = gradients()
    assert len(found) == len(encoder.image.trainable_weights) == 4
    assert all(np.abs(gradient).max() > 0 for gradient in found)


def test_named_image_encoders(monkeypatch, tmp_path):
    # Where nothing has been built, the default is the built-in encoder.
    monkeypatch.setenv("MMREC_CACHE", str(tmp_path))
    encoder = FramesEncoder()
    assert isinstance(encoder.image, ImageCnnEncoder) and encoder.dim == 128
    assert encoder.content_shape == (8, 64, 64, 3) and encoder.varying_length
    assert FramesEncoder("image_cnn", frames=4, image_size=32).content_shape == (4, 32, 32, 3)


def test_built_from_the_configuration():
    config = EncoderConfig(type="frames", image="image_cnn", frames=5, dim=16, image_size=32, sampling="scenes")
    encoder = build_encoder(Feature(name="clip", kind="video"), config)
    assert isinstance(encoder, FramesEncoder) and encoder.content_shape == (5, 32, 32, 3)
    assert encoder.dim == 16 and encoder.reader.sampling == "scenes"


def test_wrong_image_encoders():
    with pytest.raises(EncoderError, match="takes an image encoder, but HashedTextEncoder is one of text"):
        FramesEncoder(HashedTextEncoder(dim=8))
    with pytest.raises(EncoderError, match="64 pixels are asked for, but the image encoder ImageCnnEncoder takes 32"):
        small(image_size=64)
    with pytest.raises(EncoderError, match="'imagecnn' is unknown. Did you mean 'image_cnn'"):
        FramesEncoder("imagecnn")


def test_the_fingerprint_covers_frames_and_the_image_encoder(monkeypatch):
    monkeypatch.setattr(frames, "_shot_scores", lambda: None)
    one, other = small(), small(batch_size=2, name="other")
    assert one.fingerprint == other.fingerprint
    variants = [small(frames=4), small(sampling="scenes"), small(sampling="shots")]
    variants.append(FramesEncoder(ImageCnnEncoder(dim=8, image_size=32, seed=1), frames=3))
    assert len({one.fingerprint, *(variant.fingerprint for variant in variants)}) == 5
    other.image.bias.assign_add(tf.ones(8))
    assert one.fingerprint != other.fingerprint


def test_shots_choose_one_frame_of_each(monkeypatch, tmp_path):
    # 30 frames, of which 0 to 9 are red, 10 to 27 green and two blue; the known answers mark the last of each shot.
    images = np.zeros((30, 48, 64, 3), np.uint8)
    for channel, part in enumerate((slice(0, 10), slice(10, 28), slice(28, 30))):
        images[part, ..., channel] = 200
    seen = []

    def scores(thumbnails):
        seen.append(thumbnails.shape)
        return np.isin(np.arange(30), [9, 27]).astype(np.float32)

    monkeypatch.setattr(frames, "_shot_scores", lambda: scores)
    content = small(sampling="shots").decode(write_video(tmp_path / "colours.mp4", images))
    assert seen == [(30, 27, 48, 3)] and content.shape == (3, 32, 32, 3)
    np.testing.assert_array_equal(content.mean(axis=(1, 2)).argmax(axis=1), [0, 1, 2])


def test_halves_of_a_video_are_nearer_than_different_videos(shared_data):
    encoder = FramesEncoder(ImageCnnEncoder(), frames=6)
    names = ("bigbuckbunny.mp4", "flower.mp4", "friday.mp4", "people-detection.gif", "asl/book.mkv")
    contents = [encoder.decode(shared_data / "video" / name) for name in names]
    first, second = (
        encoder(np.stack([content[part] for content in contents])).numpy() for part in (slice(3), slice(3, 6))
    )
    similarity = first @ second.T
    own = similarity.diagonal().copy()
    np.fill_diagonal(similarity, -1)
    assert (own > similarity.max(axis=0) + 0.05).all() and (own > similarity.max(axis=1) + 0.05).all()
