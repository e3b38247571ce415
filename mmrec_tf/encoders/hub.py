"""Pretrained modules in TF-Hub's format, from a URL or a local directory, as encoders."""

import hashlib
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.data.audio import decode_audio
from mmrec_tf.data.images import decode_image
from mmrec_tf.encoders.base import Encoder, normalised
from mmrec_tf.encoders.hub_outputs import pick_vector
from mmrec_tf.errors import EncoderError

_DEFAULT_IMAGE_SIZE = 224
# What TensorFlow and Keras raise when a module does not take what it is given.
_CALL_ERRORS = (ValueError, TypeError, KeyError, tf.errors.OpError)


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class HubEncoder(Encoder):
    """Turns text, images or sound into vectors with a pretrained module in TF-Hub's format.

    The module is called the way its kind is published:

    - image: `[batch, height, width, 3]` float32 from 0 to 1, giving `[batch, dim]`;
    - text: `[batch]` strings, or, with a preprocessor, the dict of tensors that the preprocessor makes of them;
    - audio: `[batch, samples]` float32, or one waveform `[samples]` at a time, giving a vector per frame, as YAMNet and
      VGGish do; the vector is then the frames' mean, without the zeros that fill a short clip up.

    Of several outputs, `output_key` is taken, else `default`, else the first that is a vector; of YAMNet's three the
    embeddings. Vectors are scaled to length 1.

    Args:
        modality: str. `text`, `image` or `audio`.
        handle: str. URL of the module, or its directory.
        preprocessor: str. URL or directory of the text module's preprocessor.
        output_key: str. Name (or position) of the output that is the vector.
        image_size: int. Pixels of the square image; by default what the module declares, or 224.
        sample_rate: int. Hz of the waveform. Defaults to 16000.
        seconds: float. Longest part of a clip that is heard. Defaults to 10.
        batch_size: int. Items that the feature store encodes at a time. Defaults to 64.
        trainable: bool. Whether the module's weights are trained with the model around it. Defaults to False.

    Raises:
        EncoderError: if the module cannot be found, reached, loaded or called, or returns no vector.

    Reference: https://www.tensorflow.org/hub/common_saved_model_apis
    """

    def __init__(
        self,
        modality: str,
        handle: str,
        preprocessor: str | None = None,
        output_key: str | None = None,
        image_size: int | None = None,
        sample_rate: int = 16000,
        seconds: float = 10.0,
        batch_size: int = 64,
        trainable: bool = False,
        **kwargs,
    ):
        super().__init__(batch_size=batch_size, trainable=trainable, **kwargs)
        if modality not in ("text", "image", "audio"):
            raise EncoderError(f"a hub encoder takes text, image or audio, not {modality!r}.")
        if preprocessor and modality != "text":
            raise EncoderError(f"the {modality} module {handle} takes no preprocessor; only text modules do.")
        self.modality = modality
        self.handle = str(handle)
        self.preprocessor = str(preprocessor) if preprocessor else None
        self.output_key = output_key
        self.sample_rate = sample_rate
        self.seconds = seconds
        self.preprocess = _load(self.preprocessor) if self.preprocessor else None
        self.module = _load(self.handle, trainable=trainable)
        self.image_size = image_size
        if modality == "image" and image_size is None:
            self.image_size = _declared_image_size(self.module.resolved_object) or _DEFAULT_IMAGE_SIZE
        self._takes_one_waveform = False
        self.dim = self._probe()

    def decode(self, source: str | Path | bytes) -> np.ndarray | str | None:
        if self.modality == "image":
            return decode_image(source, self.image_size)
        if self.modality == "audio":
            return decode_audio(source, self.sample_rate, self.seconds)
        text = source.decode("utf-8", "replace") if isinstance(source, bytes) else str(source)
        return text if text.strip() else None

    def call(self, batch, training=False):
        if self._takes_one_waveform:
            one = tf.TensorSpec([self.dim], tf.float32)
            vectors = tf.map_fn(self._waveform_vector, tf.cast(batch, tf.float32), fn_output_signature=one)
        else:
            vectors = self._vector(self._outputs(batch, training), ranks=(2,))
        return normalised(tf.ensure_shape(vectors, [None, self.dim]))

    def _outputs(self, batch, training):
        if self.modality == "image":
            batch = tf.cast(batch, tf.float32) / 255.0
        elif self.modality == "audio":
            batch = tf.cast(batch, tf.float32)
        elif self.preprocess is not None:
            batch = self.preprocess(batch)
        return self.module(batch, training=training)

    def _waveform_vector(self, waveform):
        sounding = tf.where(waveform != 0.0)[:, 0]
        last = tf.cast(tf.reduce_max(tf.concat([[0], sounding], 0)), tf.int32) + 1
        # Some modules give no frame at all, and no mean, for less than a second.
        frames = self._vector(self.module(waveform[: tf.maximum(last, self.sample_rate)]), ranks=(1, 2))
        return frames if frames.shape.rank == 1 else tf.reduce_mean(frames, axis=0)

    def _vector(self, outputs, ranks):
        return tf.cast(pick_vector(outputs, ranks, self.output_key, self.handle), tf.float32)

    def _probe(self) -> int:
        """Calls the module once, to see that it can be called and how wide its vector is."""
        try:
            if self.modality == "text":
                outputs = self._outputs(tf.constant(["one", "two"]), False)
            elif self.modality == "image":
                outputs = self._outputs(tf.zeros([2, self.image_size, self.image_size, 3]), False)
            else:
                return self._probe_audio()
        except _CALL_ERRORS as error:
            raise self._refused(error) from error
        return self._width(self._vector(outputs, ranks=(2,)))

    def _probe_audio(self) -> int:
        silence = tf.zeros([2, max(1, round(self.sample_rate * self.seconds))])
        try:
            outputs = self.module(silence, training=False)
        except _CALL_ERRORS:
            self._takes_one_waveform = True
            return self._width(self._vector(self.module(silence[0], training=False), ranks=(1, 2)))
        return self._width(self._vector(outputs, ranks=(2,)))

    def _width(self, vectors) -> int:
        return int(vectors.shape[-1])

    def _refused(self, error) -> EncoderError:
        taken = {
            "text": "[batch] strings",
            "image": f"[batch, {self.image_size}, {self.image_size}, 3] floats",
            "audio": f"{self.seconds:g} s waveforms at {self.sample_rate} Hz, [batch, samples] or [samples]",
        }[self.modality]
        remedy = {
            "text": "A module that takes token ids needs its `preprocessor`.",
            "image": "If it is made for one size of image, set `image_size`.",
            "audio": "If it is made for one length or rate, set `seconds` and `sample_rate`.",
        }[self.modality]
        return EncoderError(f"the module {self.handle} does not take {taken}: {_brief(error)} {remedy}")

    def fingerprinted_weights(self):
        return self.weights if self.trainable else []

    def identity(self) -> dict:
        used = {
            "text": ("preprocessor",),
            "image": ("image_size",),
            "audio": ("sample_rate", "seconds"),
        }[self.modality]
        identity = {key: getattr(self, key) for key in ("modality", "output_key", *used)}
        identity |= {"encoder": type(self).__name__, "revision": self.revision, "module": _content(self.handle)}
        if self.preprocessor:
            identity["preprocessor"] = _content(self.preprocessor)
        return identity

    def get_config(self):
        return {
            **super().get_config(),
            "modality": self.modality,
            "handle": self.handle,
            "preprocessor": self.preprocessor,
            "output_key": self.output_key,
            "image_size": self.image_size,
            "sample_rate": self.sample_rate,
            "seconds": self.seconds,
        }


def _is_url(handle: str) -> bool:
    return "://" in handle


def _load(handle: str, trainable: bool = False):
    """The module as a `hub.KerasLayer`, which keeps the loaded object, and so its variables, alive."""
    if not _is_url(handle):
        _check_directory(Path(handle))
    import tensorflow_hub as hub

    try:
        # Registers the operations that most text modules are made of; a module of core operations does without.
        import tensorflow_text  # noqa: F401
    except ImportError:
        pass
    try:
        # Under a mixed precision policy the layer would round the module's inputs, which it refuses.
        return hub.KerasLayer(handle, trainable=trainable, dtype="float32")
    except (OSError, ValueError, TypeError, RuntimeError, tf.errors.OpError) as error:
        if _is_url(handle):
            raise EncoderError(
                f"the module {handle} could not be loaded: {_brief(error)} Without internet, download the module "
                "elsewhere and name its directory by `path`, or set TFHUB_CACHE_DIR to a cache that holds it."
            ) from error
        raise EncoderError(
            f"the module in {handle} could not be loaded: {_brief(error)} It must be a callable SavedModel in TF-Hub's "
            "format; if an operation is not registered, install the package it is from (often tensorflow-text)."
        ) from error


def _check_directory(path: Path) -> None:
    if not path.is_dir():
        raise EncoderError(
            f"the module's directory {path} does not exist. Give the directory that holds saved_model.pb, or a URL."
        )
    if not any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        inside = ", ".join(sorted(child.name for child in path.iterdir())[:5]) or "nothing"
        raise EncoderError(f"{path} is no SavedModel: it holds {inside}, but no saved_model.pb.")


def _content(handle: str) -> str:
    """A URL as it is (its last part is the version), or a hash of a directory's graph, weights and assets."""
    if _is_url(handle):
        return handle
    digest = hashlib.sha256()
    folder = Path(handle)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name.split("/")[0] in ("saved_model.pb", "saved_model.pbtxt", "variables", "assets"):
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _declared_image_size(module) -> int | None:
    for function in getattr(module.__call__, "concrete_functions", []):
        for spec in tf.nest.flatten(function.structured_input_signature):
            if isinstance(spec, tf.TensorSpec) and spec.shape.rank == 4 and spec.shape[1]:
                return int(spec.shape[1])
    return None


def _brief(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200].rstrip('.') if lines else ''}."
