"""Small modules of every kind that TF-Hub publishes, with random weights: text, image, sound and video.

What `tools/make_hub_module.py` builds; each function writes one module and gives its directory.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from pathlib import Path

import numpy as np
import tensorflow as tf

_BUCKETS = 512
_TOKENS = 128
_PAD, _START, _END = 0, 1, 2
_PIECES = ["[PAD]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz0123456789"]
_TF1_FORMAT = b"\x08\x03"
"""`tfhub_module.pb`: a `ModuleDef` whose field 1, the format, is 3."""


class Module(tf.__internal__.tracking.AutoTrackable):
    """A trackable object with the attributes that `hub.KerasLayer` looks for.

    A `tf.Module` would not do: there, `variables` and `trainable_variables` are properties, which are not saved.

    Reference: https://www.tensorflow.org/hub/reusable_saved_models
    """

    def __init__(self, is_tunable: bool = True, **weights):
        for name, value in weights.items():
            setattr(self, name, tf.Variable(value, name=name))
        if is_tunable:
            self.trainable_variables = [getattr(self, name) for name in weights]
            self.variables = list(self.trainable_variables)
            self.regularization_losses = []

    def save(self, path: Path, spec, has_training: bool = True) -> Path:
        """Writes the module, callable with an input of `spec`."""
        arguments = [{"training": training} for training in (True, False)] if has_training else [{}]
        signature = [self.__call__.get_concrete_function(spec, **given) for given in arguments][-1]
        outputs = signature.structured_outputs
        # A signature returns a flat dict of tensors, so a module that returns more has none.
        values = list(outputs.values()) if isinstance(outputs, dict) else [outputs]
        has_signature = all(isinstance(value, (tf.TensorSpec, tf.Tensor)) for value in values)
        tf.saved_model.save(self, str(path), signatures={"serving_default": signature} if has_signature else None)
        return Path(path)


def random_weights(seed: int, *shape: int) -> np.ndarray:
    """Float32 normal values, scaled so that a layer keeps its input's size."""
    weights = np.random.default_rng(seed).standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))
    return weights.astype(np.float32)


def make_image_module(path: Path, dim: int = 16, image_size: int | None = 32, seed: int = 0) -> Path:
    """`[batch, size, size, 3]` float32 -> `[batch, dim]`, as image feature vectors are published."""

    class Image(Module):
        @tf.function
        def __call__(self, images, training=False):
            maps = tf.nn.relu(tf.nn.conv2d(images, self.kernel, 4, "SAME"))
            if training:
                maps = tf.nn.dropout(maps, 0.1)
            return tf.matmul(tf.reduce_mean(maps, axis=[1, 2]), self.head)

    module = Image(kernel=random_weights(seed, 5, 5, 3, 8), head=random_weights(seed + 1, 8, dim))
    return module.save(path, tf.TensorSpec([None, image_size, image_size, 3], tf.float32, "images"))


def make_text_module(path: Path, dim: int = 16, seed: int = 0) -> Path:
    """`[batch]` strings -> `[batch, dim]`, as sentence encoders and NNLM are published."""

    class Text(Module):
        @tf.function
        def __call__(self, texts, training=False):
            words = tf.strings.to_hash_bucket_fast(tf.strings.split(tf.strings.lower(texts)), _BUCKETS)
            total = tf.reduce_sum(tf.gather(self.table, words), axis=1)
            return tf.math.divide_no_nan(total, tf.cast(words.row_lengths(), tf.float32)[:, None])

    module = Text(table=random_weights(seed, _BUCKETS, dim))
    return module.save(path, tf.TensorSpec([None], tf.string, "texts"))


def make_bert_modules(path: Path, preprocessor_path: Path, dim: int = 16, seed: int = 0) -> tuple[Path, Path]:
    """An encoder and its preprocessor with the interface of BERT.

    Preprocessor: `[batch]` strings -> dict of int32 `[batch, 128]`: `input_word_ids`, `input_mask`, `input_type_ids`;
    with the parts `tokenize` and `bert_pack_inputs(segments, seq_length)`. Its word pieces are letters.
    Encoder: that dict, of any length -> dict of `pooled_output` and `default` `[batch, dim]`, `sequence_output`
    `[batch, tokens, dim]`, and `encoder_outputs`, a list of one of these.
    """

    class Encoder(Module):
        @tf.function
        def __call__(self, inputs, training=False):
            places = tf.range(tf.shape(inputs["input_word_ids"])[1])
            sequence = tf.gather(self.table, inputs["input_word_ids"]) + tf.gather(self.places, places)
            sequence += tf.gather(self.types, inputs["input_type_ids"])
            mask = tf.cast(inputs["input_mask"], tf.float32)[..., None]
            mean = tf.math.divide_no_nan(tf.reduce_sum(sequence * mask, 1), tf.reduce_sum(mask, 1))
            pooled = tf.tanh(tf.matmul(mean, self.head))
            if training:
                pooled = tf.nn.dropout(pooled, 0.1)
            outputs = {"sequence_output": sequence, "pooled_output": pooled, "default": pooled}
            return {**outputs, "encoder_outputs": [sequence]}

    names = ("input_word_ids", "input_mask", "input_type_ids")
    spec = {name: tf.TensorSpec([None, None], tf.int32, name) for name in names}
    encoder = Encoder(
        table=random_weights(seed, len(_PIECES) + 1, dim),
        places=random_weights(seed + 1, 512, dim),
        types=random_weights(seed + 2, 2, dim),
        head=random_weights(seed + 3, dim, dim),
    )
    vocabulary = Path(str(preprocessor_path) + "-vocabulary.txt")
    vocabulary.parent.mkdir(parents=True, exist_ok=True)
    vocabulary.write_text("\n".join(_PIECES) + "\n")
    tf.saved_model.save(_Preprocessor(vocabulary), str(preprocessor_path))
    vocabulary.unlink()
    return encoder.save(path, spec), Path(preprocessor_path)


class _Tokenize(tf.__internal__.tracking.AutoTrackable):
    """`[batch]` strings -> ragged int32 `[batch, (words), (pieces)]`."""

    def __init__(self, vocabulary: Path):
        lines, numbers = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        self.vocabulary = tf.saved_model.Asset(str(vocabulary))
        file = tf.lookup.TextFileInitializer(self.vocabulary.asset_path, tf.string, lines, tf.int64, numbers)
        self.table = tf.lookup.StaticVocabularyTable(file, num_oov_buckets=1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, texts):
        letters = tf.strings.unicode_split(tf.strings.split(tf.strings.lower(texts)), "UTF-8")
        return tf.ragged.map_flat_values(lambda piece: tf.cast(self.table.lookup(piece), tf.int32), letters)


class _Preprocessor(tf.__internal__.tracking.AutoTrackable):
    """Text to BERT's input, whole or in its two steps."""

    def __init__(self, vocabulary: Path):
        self.tokenize = _Tokenize(vocabulary)
        self.bert_pack_inputs = tf.function(self._pack)
        for ragged_rank in (1, 2):
            for segments in (1, 2):
                pieces = tf.RaggedTensorSpec([None] * (ragged_rank + 1), tf.int32, ragged_rank)
                length = tf.TensorSpec([], tf.int32)
                self.bert_pack_inputs.get_concrete_function([pieces] * segments, seq_length=length)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, texts):
        packed = self._pack([self.tokenize(texts)], tf.constant(_TOKENS))
        return {name: tf.ensure_shape(value, [None, _TOKENS]) for name, value in packed.items()}

    @staticmethod
    def _pack(inputs, seq_length):
        flat = [pieces.merge_dims(-2, -1) if pieces.ragged_rank == 2 else pieces for pieces in inputs]
        room = (seq_length - 1 - len(flat)) // len(flat)
        marks = tf.ones([flat[0].nrows(), 1], tf.int32)
        segments = [tf.concat([pieces[:, :room], marks * _END], axis=1) for pieces in flat]
        ids = tf.concat([marks * _START, *segments], axis=1)
        types = tf.concat([marks * 0, *[tf.ones_like(part) * place for place, part in enumerate(segments)]], axis=1)

        def filled(ragged):
            dense = ragged.to_tensor(_PAD)
            return tf.pad(dense, [[0, 0], [0, seq_length - tf.shape(dense)[1]]])

        mask = filled(tf.ones_like(ids))
        return {"input_word_ids": filled(ids), "input_mask": mask, "input_type_ids": filled(types)}


def make_audio_module(path: Path, dim: int = 16, seed: int = 0) -> Path:
    """`[batch, samples]` float32 -> `[batch, dim]`."""

    class Audio(Module):
        @tf.function
        def __call__(self, waveforms, training=False):
            spectrum = tf.abs(tf.signal.stft(waveforms, 256, 128, 256, pad_end=True))
            return tf.matmul(tf.reduce_mean(tf.math.log(spectrum + 0.01), axis=1), self.head)

    return Audio(head=random_weights(seed, 129, dim)).save(path, tf.TensorSpec([None, None], tf.float32, "waveforms"))


def _patches(waveform: tf.Tensor, hop: int, fills_up: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """The log-mel spectrogram `[steps, 64]` of a waveform at 16 kHz, and patches `[frames, 96, 64]` of it.

    A step hears 400 samples, one every 160; a patch is 96 steps, one every `hop` steps: 15,600 samples at least.
    """
    if fills_up:
        least, samples = 15600, tf.shape(waveform)[0]
        behind = tf.maximum(samples - least, 0)
        waveform = tf.pad(waveform, [[0, least + -(-behind // (hop * 160)) * hop * 160 - samples]])
    magnitudes = tf.abs(tf.signal.stft(waveform, 400, 160, 512))
    to_mel = tf.signal.linear_to_mel_weight_matrix(64, 257, 16000, 125.0, 7500.0)
    spectrogram = tf.math.log(tf.matmul(magnitudes, to_mel) + 0.001)
    return spectrogram, tf.signal.frame(spectrogram, 96, hop, axis=0)


def make_yamnet_module(path: Path, dim: int = 16, classes: int = 5, seed: int = 0) -> Path:
    """One waveform `[samples]` at 16 kHz -> (scores `[frames, classes]`, embeddings `[frames, dim]`, spectrogram).

    As YAMNet, it hears patches of 0.96 s of spectrogram every 0.48 s, and fills the waveform up with silence to a
    whole number of them. It has nothing to train.
    """

    class Yamnet(Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def __call__(self, waveform):
            spectrogram, patches = _patches(waveform, hop=48, fills_up=True)
            embeddings = tf.nn.softplus(tf.tensordot(patches, self.head, 2))
            return tf.sigmoid(tf.matmul(embeddings, self.classify)), embeddings, spectrogram

    module = Yamnet(False, head=random_weights(seed, 96, 64, dim), classify=random_weights(seed + 1, dim, classes))
    return module.save(path, tf.TensorSpec([None], tf.float32), has_training=False)


def make_vggish_module(path: Path, dim: int = 16, seed: int = 0) -> Path:
    """One waveform `[samples]` at 16 kHz -> `[frames, dim]`.

    As VGGish, it hears patches of 0.96 s of spectrogram, one behind the other, whole ones only: less than 0.975 s of
    sound gives none. It has nothing to train.
    """

    class Vggish(Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def __call__(self, waveform):
            return tf.tensordot(_patches(waveform, hop=96, fills_up=False)[1], self.head, 2)

    module = Vggish(False, head=random_weights(seed, 96, 64, dim))
    return module.save(path, tf.TensorSpec([None], tf.float32), has_training=False)


def make_wav2vec2_module(path: Path, dim: int = 16, samples: int = 246000, seed: int = 0) -> Path:
    """`[batch, samples]` float32 -> `[batch, steps, dim]`, a step for every 320 samples that hears 400.

    As wav2vec 2.0, it takes waveforms of one length, and has a convolution in groups by which steps hear each other.
    """

    class Wav2vec2(Module):
        @tf.function
        def __call__(self, waveforms, training=False):
            steps = tf.nn.gelu(tf.nn.conv1d(waveforms[..., None], self.extract, 320, "VALID"))
            steps += tf.nn.gelu(tf.nn.conv1d(steps, self.position, 1, "SAME"))
            if training:
                steps = tf.nn.dropout(steps, 0.1)
            return tf.matmul(steps, self.project)

    module = Wav2vec2(
        extract=random_weights(seed, 400, 1, 8),
        position=random_weights(seed + 1, 16, 2, 8),
        project=random_weights(seed + 2, 8, dim),
    )
    return module.save(path, tf.TensorSpec([None, samples], tf.float32, "speech"))


def make_movinet_module(path: Path, dim: int = 16, seed: int = 0) -> Path:
    """`{"image": [batch, frames, height, width, 3] float32 from 0 to 1}` -> `[batch, dim]`."""

    class Movinet(Module):
        @tf.function
        def __call__(self, inputs, training=False):
            maps = tf.nn.relu(tf.nn.conv3d(inputs["image"], self.kernel, [1, 2, 8, 8, 1], "SAME"))
            if training:
                maps = tf.nn.dropout(maps, 0.1)
            return tf.matmul(tf.reduce_mean(maps, axis=[1, 2, 3]), self.head)

    module = Movinet(kernel=random_weights(seed, 3, 8, 8, 3, 8), head=random_weights(seed + 1, 8, dim))
    return module.save(path, {"image": tf.TensorSpec([None, None, None, None, 3], tf.float32, "image")})


def make_i3d_module(path: Path, dim: int = 16, image_size: int = 224, seed: int = 0) -> Path:
    """`[batch, frames, size, size, 3]` float32 from 0 to 1 -> `[batch, dim]`, in TF-Hub's format of TensorFlow 1.

    It is no callable object, but has the signature `default` with the output `default`. As I3D, whose strides divide
    the frames by 8 and whose last pooling takes two steps, it needs at least 9 frames.
    """
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        frames = v1.placeholder(tf.float32, [None, None, image_size, image_size, 3], "rgb_input")
        with v1.variable_scope("inception_i3d", use_resource=True):
            kernel = v1.get_variable("kernel", initializer=tf.constant(random_weights(seed, 8, 8, 8, 3, 8)))
            head = v1.get_variable("head", initializer=tf.constant(random_weights(seed + 1, 8, dim)))
        maps = tf.nn.relu(tf.nn.conv3d(frames, kernel, [1, 8, 8, 8, 1], "SAME"))
        maps = tf.nn.avg_pool3d(maps, [1, 2, image_size // 8, image_size // 8, 1], 1, "VALID")
        logits = tf.matmul(tf.reduce_mean(maps, axis=[1, 2, 3]), head)
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.predict_signature_def({"rgb_input": frames}, {"default": logits})
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(session, [], {"default": signature})
        builder.save()
    (Path(path) / "tfhub_module.pb").write_bytes(_TF1_FORMAT)
    return Path(path)
