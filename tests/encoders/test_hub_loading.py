"""Finding, loading and telling apart modules in TF-Hub's format."""

import hashlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.encoders.hub import HubEncoder
from mmrec_tf.encoders.hub_loading import declared_input, is_downloaded, load_module
from mmrec_tf.errors import EncoderError
from tools.hub_module_kinds import Module, make_image_module, make_movinet_module


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return make_image_module(tmp_path_factory.mktemp("modules") / "image", dim=5, image_size=None)


def test_fingerprint_is_of_the_modules_content(module, tmp_path):
    one = HubEncoder("image", str(module), image_size=24)
    moved = shutil.copytree(module, tmp_path / "moved")
    assert HubEncoder("image", str(moved), image_size=24, batch_size=3).fingerprint == one.fingerprint
    others = [
        HubEncoder("image", str(module), image_size=32),
        HubEncoder("image", str(module), image_size=24, interface={"value_range": [-1.0, 1.0]}),
        HubEncoder("image", str(make_image_module(tmp_path / "other", dim=5, image_size=None, seed=9)), image_size=24),
    ]
    assert len({encoder.fingerprint for encoder in [one, *others]}) == 4


def test_a_directory_that_is_absent_or_no_saved_model(tmp_path):
    with pytest.raises(EncoderError, match="nowhere does not exist"):
        HubEncoder("text", str(tmp_path / "nowhere"))
    (tmp_path / "weights.h5").write_bytes(b"x")
    with pytest.raises(EncoderError, match=r"is no SavedModel: it holds weights\.h5, but no saved_model\.pb"):
        HubEncoder("text", str(tmp_path))
    (tmp_path / "saved_model.pb").write_bytes(b"not a graph")
    with pytest.raises(EncoderError, match="could not be loaded"):
        HubEncoder("text", str(tmp_path))


def test_an_address_that_cannot_be_reached(monkeypatch, tmp_path):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    # Port 9 of this machine: refused at once.
    handle = "http://127.0.0.1:9/module/1"
    assert not is_downloaded(handle)
    with pytest.raises(EncoderError, match="could not be reached") as caught:
        HubEncoder("image", handle)
    for told in (handle, "`path: DIR`", "TFHUB_CACHE_DIR", "mmrec pretrained list"):
        assert told in str(caught.value)


def test_a_handle_resolves_from_the_cache_without_internet(monkeypatch, tmp_path, module):
    # TF-Hub keeps a module in a directory named by the SHA-1 of its handle.
    handle = "https://tfhub.dev/nobody/image/1"
    shutil.copytree(module, tmp_path / hashlib.sha1(handle.encode()).hexdigest())
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    assert is_downloaded(handle)
    encoder = HubEncoder("image", handle, image_size=24)
    assert encoder.dim == 5 and encoder.identity()["module"] == handle


def test_what_a_module_declares(module, tmp_path):
    assert declared_input(load_module(str(module)), rank=4) == (None, (None, None, None, 3))
    assert declared_input(load_module(str(module)), rank=2) == (None, (None, None))
    video = load_module(str(make_movinet_module(tmp_path / "video")))
    assert declared_input(video, rank=5) == ("image", (None, None, None, None, 3))


def test_a_module_that_is_called_by_its_signature(tmp_path):
    class Signed(Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, "images")])
        def serve(self, images):
            return {"features": tf.reduce_mean(images, [1, 2]) * self.scale}

    signed = Signed(scale=np.float32([1.0, 2.0, 3.0]))
    tf.saved_model.save(signed, str(tmp_path), signatures={"serving_default": signed.serve})
    encoder = HubEncoder("image", str(tmp_path))
    assert (encoder.image_size, encoder.dim) == (8, 3)
    # White pixels have the mean 1 in each channel: (1, 2, 3), scaled to length 1.
    white = np.full((1, 8, 8, 3), 255, np.uint8)
    np.testing.assert_allclose(encoder(white), [np.array([1, 2, 3]) / np.sqrt(14)], atol=1e-6)
    with pytest.raises(EncoderError, match="by its signature 'serving_default' only, and so cannot be trained"):
        HubEncoder("image", str(tmp_path), trainable=True)
