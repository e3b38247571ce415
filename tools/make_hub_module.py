"""Builds small modules in TF-Hub's format, with the interfaces of the published ones and random weights.

They stand in for modules that must be downloaded: tests load them, and so can you, to see that a configuration works
before the internet does.

    python tools/make_hub_module.py image DIR [--dim 16]

Kinds: `image` (feature vector), `text` (strings in), `bert` (dict of token ids in; its preprocessor is written beside
it, to DIR-preprocessor), `audio` (batch of waveforms in), `yamnet` (one waveform in; scores, embeddings, spectrogram
out).
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
from pathlib import Path

import numpy as np
import tensorflow as tf

_BUCKETS = 512
_LENGTH = 16
_INTERFACE = "https://www.tensorflow.org/hub/common_saved_model_apis"


class _Module(tf.__internal__.tracking.AutoTrackable):
    """A trackable object with the attributes that `hub.KerasLayer` looks for; see `_INTERFACE`.

    A `tf.Module` would not do: there, `variables` and `trainable_variables` are properties, which are not saved.
    """

    def __init__(self, **weights):
        self.trainable_variables = []
        for name, value in weights.items():
            variable = tf.Variable(value, name=name)
            setattr(self, name, variable)
            self.trainable_variables.append(variable)
        self.variables = list(self.trainable_variables)
        self.regularization_losses = []


def _weights(seed: int, *shape: int) -> np.ndarray:
    weights = np.random.default_rng(seed).standard_normal(shape) / np.sqrt(shape[-2])
    return weights.astype(np.float32)


def _save(module: _Module, path: Path, spec, has_training: bool = True) -> Path:
    call = module.__call__
    for training in (True, False) if has_training else ():
        call.get_concrete_function(spec, training=training)
    signature = call.get_concrete_function(spec, training=False) if has_training else call.get_concrete_function(spec)
    outputs = signature.structured_outputs
    # A signature returns a flat dict of tensors, so a module that returns a tuple has none.
    signatures = {"serving_default": signature} if isinstance(outputs, (dict, tf.TensorSpec, tf.Tensor)) else None
    tf.saved_model.save(module, str(path), signatures=signatures)
    return Path(path)


def make_image_module(path: Path, dim: int = 16, image_size: int | None = 32, seed: int = 0) -> Path:
    """`[batch, height, width, 3]` float32 from 0 to 1 -> `[batch, dim]`, as image feature vectors are published."""

    class Image(_Module):
        @tf.function
        def __call__(self, images, training=False):
            maps = tf.nn.relu(tf.nn.conv2d(images, self.kernel, 4, "SAME"))
            if training:
                maps = tf.nn.dropout(maps, 0.1)
            return tf.matmul(tf.reduce_mean(maps, axis=[1, 2]), self.head)

    kernel = np.random.default_rng(seed).standard_normal((5, 5, 3, 8)).astype(np.float32) / 5
    module = Image(kernel=kernel, head=_weights(seed + 1, 8, dim))
    return _save(module, path, tf.TensorSpec([None, image_size, image_size, 3], tf.float32, "images"))


def make_text_module(path: Path, dim: int = 16, seed: int = 0) -> Path:
    """`[batch]` strings -> `[batch, dim]`, as sentence encoders and NNLM are published."""

    class Text(_Module):
        @tf.function
        def __call__(self, texts, training=False):
            words = tf.strings.to_hash_bucket_fast(tf.strings.split(tf.strings.lower(texts)), _BUCKETS)
            total = tf.reduce_sum(tf.gather(self.table, words), axis=1)
            return tf.math.divide_no_nan(total, tf.cast(words.row_lengths(), tf.float32)[:, None])

    module = Text(table=_weights(seed, _BUCKETS, dim))
    return _save(module, path, tf.TensorSpec([None], tf.string, "texts"))


def make_bert_modules(path: Path, preprocessor_path: Path, dim: int = 16, seed: int = 0) -> tuple[Path, Path]:
    """An encoder and its preprocessor with the interface of BERT.

    Preprocessor: `[batch]` strings -> dict of int32 `[batch, 16]`: `input_word_ids`, `input_mask`, `input_type_ids`.
    Encoder: that dict -> dict of `pooled_output` and `default` `[batch, dim]`, `sequence_output` `[batch, 16, dim]`.
    """

    class Preprocessor(_Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, texts):
            words = tf.strings.to_hash_bucket_fast(tf.strings.split(tf.strings.lower(texts)), _BUCKETS - 1) + 1
            ids = tf.cast(words.to_tensor(0, shape=[None, _LENGTH]), tf.int32)
            mask = tf.cast(ids > 0, tf.int32)
            return {"input_word_ids": ids, "input_mask": mask, "input_type_ids": tf.zeros_like(ids)}

    class Encoder(_Module):
        @tf.function
        def __call__(self, inputs, training=False):
            sequence = tf.gather(self.table, inputs["input_word_ids"]) + tf.gather(self.types, inputs["input_type_ids"])
            mask = tf.cast(inputs["input_mask"], tf.float32)[..., None]
            mean = tf.math.divide_no_nan(tf.reduce_sum(sequence * mask, 1), tf.reduce_sum(mask, 1))
            pooled = tf.tanh(tf.matmul(mean, self.head))
            if training:
                pooled = tf.nn.dropout(pooled, 0.1)
            return {"sequence_output": sequence, "pooled_output": pooled, "default": pooled}

    names = ("input_word_ids", "input_mask", "input_type_ids")
    spec = {name: tf.TensorSpec([None, None], tf.int32, name) for name in names}
    encoder = Encoder(
        table=_weights(seed, _BUCKETS, dim), types=_weights(seed + 1, 2, dim), head=_weights(seed + 2, dim, dim)
    )
    preprocessor = Preprocessor()
    tf.saved_model.save(preprocessor, str(preprocessor_path), signatures={"serving_default": preprocessor.__call__})
    return _save(encoder, path, spec), Path(preprocessor_path)


def make_audio_module(path: Path, dim: int = 16, seed: int = 0) -> Path:
    """`[batch, samples]` float32 -> `[batch, dim]`."""

    class Audio(_Module):
        @tf.function
        def __call__(self, waveforms, training=False):
            spectrum = tf.abs(tf.signal.stft(waveforms, 256, 128, 256, pad_end=True))
            return tf.matmul(tf.reduce_mean(tf.math.log(spectrum + 0.01), axis=1), self.head)

    module = Audio(head=_weights(seed, 129, dim))
    return _save(module, path, tf.TensorSpec([None, None], tf.float32, "waveforms"))


def make_yamnet_module(path: Path, dim: int = 16, classes: int = 5, seed: int = 0) -> Path:
    """One waveform `[samples]` at 16 kHz -> (scores `[frames, classes]`, embeddings `[frames, dim]`, spectrogram).

    As YAMNet, it hears patches of 0.96 s every 0.48 s, and fills the waveform up to at least one.
    """

    class Yamnet(_Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def __call__(self, waveform):
            missing = tf.maximum(0, 15600 - tf.shape(waveform)[0])
            patches = tf.signal.frame(tf.pad(waveform, [[0, missing]]), 15360, 7680)
            spectrum = tf.math.log(tf.abs(tf.signal.stft(patches, 512, 256, 512)) + 0.01)
            embeddings = tf.matmul(tf.reduce_mean(spectrum, axis=1), self.head)
            return tf.sigmoid(tf.matmul(embeddings, self.classify)), embeddings, tf.reshape(spectrum, [-1, 257])

    module = Yamnet(head=_weights(seed, 257, dim), classify=_weights(seed + 1, dim, classes))
    return _save(module, path, tf.TensorSpec([None], tf.float32), has_training=False)


def main() -> None:
    makers = {
        "image": make_image_module,
        "text": make_text_module,
        "bert": lambda path, dim: make_bert_modules(path, path.with_name(path.name + "-preprocessor"), dim),
        "audio": make_audio_module,
        "yamnet": make_yamnet_module,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=sorted(makers))
    parser.add_argument("path", type=Path, help="directory to write")
    parser.add_argument("--dim", type=int, default=16, help="width of the vector (default: 16)")
    arguments = parser.parse_args()
    makers[arguments.kind](arguments.path, dim=arguments.dim)
    print(arguments.path)


if __name__ == "__main__":
    main()
