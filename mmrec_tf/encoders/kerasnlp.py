"""KerasNLP's backbones as text encoders: the one place where Keras 3 is reached.

KerasNLP's layers are Keras 3 layers, while the models here are Keras 2 ones. A Keras 3 layer kept in a Keras 2 layer
computes, but none of its weights is seen, trained or saved; so the TensorFlow variables behind them are adopted.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.config_encoders import CleaningConfig
from mmrec_tf.encoders.base import Encoder, normalised
from mmrec_tf.encoders.packed_tokens import TokenPacker
from mmrec_tf.encoders.readers import TextReader
from mmrec_tf.errors import EncoderError, suggestion

_READ_BYTES = 1 << 20
# What KerasNLP raises for a preset that does not exist, cannot be reached, is damaged or of another kind.
_LOADING_ERRORS = (ValueError, TypeError, KeyError, OSError, ImportError, AttributeError, RuntimeError)


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class KerasNlpEncoder(Encoder):
    """Turns a text into the mean of a KerasNLP backbone's token vectors, scaled to length 1.

    Takes what KerasNLP knows: its presets by name, its preset directories, and Hugging Face directories (config.json,
    model.safetensors, tokenizer_config.json, the vocabulary) of the kinds that it converts: BERT, DistilBERT, ALBERT,
    XLM-RoBERTa, and in later versions more. RoBERTa, DeBERTa and others come as presets.

    A Hugging Face directory is read as its own library reads it, where KerasNLP does not: the activation is the one
    that config.json names (KerasNLP takes an approximation of BERT's), accents are taken off where the tokenizer was
    made so, and RoBERTa's vector of the type of token is added.

    A training step with it can be compiled by XLA. With a SavedModel of it, loaded to be trained on, it must not be:
    TensorFlow ends the process.

    Args:
        handle: str. Name of a preset, such as `bert_tiny_en_uncased`, or path of a directory.
        max_tokens: int. Tokens that are read of a text, the first and the last special one included; at most what the
            backbone takes. Defaults to 128.
        clean: what is done to texts first; nothing when None.
        batch_size: int. Items that the feature store encodes at a time. Defaults to 32.
        trainable: bool. Whether the backbone is trained with the model around it. Defaults to False.
        lora_rank: int. Rank of low-rank changes of the attention's query and value matrices, which alone are trained
            then; 0, the default, for none. They begin at zero, so that vectors stay what they are until training.

    Call arguments:
        batch: `[batch]` strings.

    Returns:
        `[batch, dim]` float32 tensor, `dim` being the backbone's hidden width.

    Raises:
        EncoderError: if the preset cannot be found, reached or read, or gives no vector for each token.

    Reference: https://keras.io/keras_hub/presets/; Hu et al., LoRA: Low-Rank Adaptation of Large Language Models (2021)
    """

    modality = "text"

    def __init__(
        self,
        handle: str,
        max_tokens: int = 128,
        clean: CleaningConfig | dict | None = None,
        batch_size: int = 32,
        trainable: bool = False,
        lora_rank: int = 0,
        **kwargs,
    ):
        super().__init__(batch_size=batch_size, trainable=trainable, **kwargs)
        self.handle = str(handle)
        self.reader = TextReader(clean)
        backbone, tokenizer = _load(self.handle, self._dtype_policy.name)
        self.dim = _width(backbone, self.handle)
        longest = getattr(backbone, "max_sequence_length", None)
        self.max_tokens = min(max_tokens, longest) if longest else max_tokens
        # Keras 2 would take the backbone for one of its own layers; what a function keeps, it does not look at.
        self._backbone = lambda: backbone
        self._inputs = set(backbone.input)
        self._tokenizer = TokenPacker(tokenizer, lowers=_lowers(self.handle))
        self.lora_rank = 0
        self._adopt()
        if lora_rank:
            self.enable_lora(lora_rank)

    def _adopt(self):
        """Makes the backbone's variables weights of this layer: those that are not yet, and each as it is trained."""
        variables = self._backbone().variables
        known = {id(weight) for weight in self._trainable_weights + self._non_trainable_weights}
        for variable in variables:
            if id(variable.value) not in known:
                # Paths may hold numbers that count the layers of the process; a checkpoint's names must not.
                name = f"{len(known):03d}_{variable.path.rpartition('/')[2]}"
                known.add(id(variable.value))
                self.add_weight(
                    name,
                    variable.shape,
                    dtype=variable.value.dtype,
                    trainable=variable.trainable,
                    experimental_autocast=False,
                    getter=lambda *_, value=variable.value, **__: value,
                )
        self._trainable_weights[:] = [variable.value for variable in variables if variable.trainable]
        self._non_trainable_weights[:] = [variable.value for variable in variables if not variable.trainable]

    def prepare(self, batch, static_shape=False):
        """`token_ids` and `padding_mask`, `[batch, tokens]` int32: the longest of the batch, or `max_tokens`."""
        texts = self.reader.prepare(batch)
        return self._tokenizer.pack(texts, self.max_tokens, self.max_tokens if static_shape else None)

    def encode(self, prepared, training=False):
        mask = prepared["padding_mask"]
        given = {**prepared, "segment_ids": tf.zeros_like(mask)}
        # Dropout is for weights that learn.
        outputs = self._backbone()({name: given[name] for name in self._inputs}, training=training and self.trainable)
        vectors = tf.cast(outputs["sequence_output"] if isinstance(outputs, dict) else outputs, tf.float32)
        counts = tf.cast(mask, tf.float32)[..., tf.newaxis]
        return normalised(tf.reduce_sum(vectors * counts, axis=1) / tf.reduce_sum(counts, axis=1))

    def enable_lora(self, rank: int) -> list[tf.Variable]:
        """What the argument `lora_rank` does, on an encoder that exists; returns the changes' weights.

        Raises:
            EncoderError: if the encoder has changes of another rank already.
        """
        if self.lora_rank:
            raise EncoderError(f"{self.name} has low-rank changes already, of rank {self.lora_rank}.")
        self._backbone().enable_lora(rank)
        for variable in self._backbone().variables:
            # Keras goes on training the biases.
            variable.trainable = variable.trainable and "lora_kernel" in variable.path
        self.lora_rank = rank
        self._adopt()
        return self.lora_weights

    @property
    def lora_weights(self) -> list[tf.Variable]:
        """The weights of the low-rank changes; none without such changes."""
        return [weight for weight in self.weights if "lora_kernel" in weight.name]

    def tuning_blocks(self) -> list[tuple[str, list[tf.Variable]]]:
        """Name and weights of each layer of the backbone that has any to train, from the input to the output."""
        blocks = []
        for layer in self._backbone().layers:
            # A layer that is not trained may hold one that is.
            weights = [variable.value for variable in layer.variables if variable.trainable]
            blocks += [(layer.name, weights)] if weights else []
        return blocks

    def fingerprinted_weights(self):
        # A directory's content is part of the identity; what a preset's name stands for may change.
        if not self.trainable and Path(self.handle).is_dir():
            return []
        return [weight for weight in self.weights if weight.dtype.is_floating]

    def identity(self) -> dict:
        identity = super().identity()
        if Path(self.handle).is_dir():
            identity["handle"] = _content(Path(self.handle))
        return identity

    def get_config(self):
        clean = self.reader.clean
        return {
            **super().get_config(),
            "handle": self.handle,
            "max_tokens": self.max_tokens,
            "lora_rank": self.lora_rank,
            "clean": clean.model_dump() if clean else None,
        }


def _load(handle: str, dtype: str):
    """The backbone and its tokenizer."""
    folder = Path(handle)
    is_folder = folder.is_dir()
    if not is_folder and (folder.is_absolute() or handle.startswith(("./", "../", "~"))):
        raise EncoderError(
            f"the directory {handle} does not exist. Give a preset's or Hugging Face directory, or a name."
        )
    import keras_nlp
    from safetensors import SafetensorError

    known = keras_nlp.models.Backbone.presets
    if not is_folder and "://" not in handle and handle not in known:
        raise EncoderError(
            f"{handle} is neither a directory nor the name of a preset.{suggestion(handle, known)} Names are listed at "
            "https://keras.io/keras_hub/presets/."
        )
    try:
        backbone = keras_nlp.models.Backbone.from_preset(handle, dtype=dtype)
        tokenizer = keras_nlp.models.Tokenizer.from_preset(handle)
    except (*_LOADING_ERRORS, SafetensorError) as error:
        remedy = (
            "It must hold what KerasNLP's `save_to_preset` writes, or config.json, model.safetensors, "
            "tokenizer_config.json and the vocabulary of a kind of model that KerasNLP converts."
            if is_folder
            else "Without internet, download the preset elsewhere (`save_to_preset`) and name its directory by `path`."
        )
        raise EncoderError(f"KerasNLP could not load {handle}: {_brief(error)} {remedy}") from error
    # Its vector of the whole text is not used, and so would be trained on nothing.
    for layer in backbone.layers:
        if layer.name == "pooled_dense":
            layer.trainable = False
    config = _json(folder / "config.json") if is_folder else {}
    if "model_type" in config:
        _as_hugging_face(backbone, tokenizer, config, _json(folder / "tokenizer_config.json"))
    if config.get("model_type") == "roberta":
        _add_token_type(backbone, folder / "model.safetensors")
    return backbone, tokenizer


def _as_hugging_face(backbone, tokenizer, config: dict, tokenizer_config: dict) -> None:
    import keras

    activation = config.get("hidden_act", config.get("activation", "gelu"))
    known = {
        "gelu": lambda values: keras.activations.gelu(values, approximate=False),
        "gelu_new": lambda values: keras.activations.gelu(values, approximate=True),
        "relu": keras.activations.relu,
    }
    if activation not in known:
        raise EncoderError(f"the model's activation is {activation!r}; those that can be read are {', '.join(known)}.")
    for layer in backbone._flatten_layers():
        if hasattr(layer, "_feedforward_intermediate_dense"):
            layer._feedforward_intermediate_dense.activation = known[activation]
    if hasattr(tokenizer, "strip_accents"):
        stripped = tokenizer_config.get("strip_accents")
        tokenizer.strip_accents = tokenizer.lowercase if stripped is None else bool(stripped)


def _add_token_type(backbone, path: Path) -> None:
    """RoBERTa adds one vector, that of its only type of token, to each token's, and KerasNLP (0.32) leaves it out."""
    from safetensors import safe_open

    if not path.is_file():
        raise EncoderError(f"{path} does not exist; a RoBERTa whose weights are in several files cannot be read.")
    with safe_open(path, "numpy") as tensors:
        tables = {name.split(".")[-2]: name for name in tensors.keys() if name.endswith("_embeddings.weight")}
        of_type = tensors.get_tensor(tables["token_type_embeddings"])[0]
        # The first two positions are kept for padding.
        of_position = tensors.get_tensor(tables["position_embeddings"])[2:]
    positions = backbone.embeddings.position_embedding.position_embeddings
    if np.allclose(positions.numpy(), of_position):
        positions.assign(of_position + of_type)


def _lowers(handle: str) -> bool:
    """Whether a Hugging Face directory's ALBERT lowers its texts before they are split, which KerasNLP leaves out."""
    folder = Path(handle)
    is_albert = _json(folder / "config.json").get("model_type") == "albert"
    return is_albert and bool(_json(folder / "tokenizer_config.json").get("do_lower_case", True))


def _width(backbone, handle: str) -> int:
    outputs = backbone.output
    outputs = outputs.get("sequence_output") if isinstance(outputs, dict) else outputs
    inputs = backbone.input if isinstance(backbone.input, dict) else {}
    takes_texts = "token_ids" in inputs and set(inputs) <= {"token_ids", "segment_ids", "padding_mask"}
    if not takes_texts or outputs is None or len(outputs.shape) != 3 or not outputs.shape[-1]:
        raise EncoderError(
            f"{type(backbone).__name__} of {handle} does not turn token ids into a vector for each. Take a text "
            "encoder, such as BERT, RoBERTa or DistilBERT."
        )
    return int(outputs.shape[-1])


def _content(folder: Path) -> str:
    """A hash of all files of a directory."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
    return digest.hexdigest()


def _json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _brief(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200].rstrip('.') if lines else ''}."
