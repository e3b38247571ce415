"""Which weights of an encoder learn, and how fast, for each mode of tuning."""

import re
from dataclasses import dataclass

import tensorflow as tf

from mmrec_tf.config_encoders import TuningConfig
from mmrec_tf.encoders.adapters import is_adapter_weight
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.tuning.behind import AdaptedEncoder
from mmrec_tf.errors import EncoderError

Blocks = list[tuple[str, list[tf.Variable]]]


@dataclass(frozen=True)
class TuningPlan:
    """An encoder and those of its weights that learn.

    Attributes:
        encoder: the one that was given, or that with an adapter behind it.
        weights: by a name that is the same whenever the encoder is built, from the input to the output.
        rates: one per weight: the share of the learning rate that it learns at.
    """

    encoder: Encoder
    weights: dict[str, tf.Variable]
    rates: list[float]

    @property
    def parameters(self) -> int:
        """How many numbers learn."""
        return _count(self.weights.values())

    @property
    def share(self) -> float:
        """Share of all the encoder's numbers that learn."""
        return self.parameters / _count(self.encoder.weights)


def plan_tuning(encoder: Encoder, tuning: TuningConfig) -> TuningPlan:
    """Readies an encoder for tuning: sets it trainable, or puts adapters where there are none yet.

    Args:
        encoder: as the configuration asks for it. Has it no adapters in its layers, because these cannot be reached,
            `adapter` puts a bottleneck behind its vector.
        tuning: what is wanted; any mode but `frozen`.

    Raises:
        EncoderError: if the encoder has nothing to learn, or fewer blocks than are to.
    """
    if not encoder.built:
        encoder.build(None)
    if not encoder.weights:
        raise EncoderError(
            f"{type(encoder).__name__} has no weights, so there is nothing to tune. Set `tuning: frozen`, or take an "
            "encoder that learns, such as minilm for text."
        )
    if tuning.mode == "adapter":
        encoder, blocks = _with_adapters(encoder, tuning)
    else:
        _set_trainable(encoder)
        blocks = [(name, [w for w in weights if not is_adapter_weight(w)]) for name, weights in blocks_of(encoder)]
        blocks = [(name, weights) for name, weights in blocks if weights]
        if not blocks:
            raise EncoderError(
                f"{type(encoder).__name__} has no weights that can be trained: it was published to be used as it is. "
                "Set `tuning: frozen`, or `adapter`, which puts a small network behind its vector."
            )
    if tuning.mode == "top":
        if tuning.blocks > len(blocks):
            raise EncoderError(
                f"the last {tuning.blocks} blocks are to be tuned, but {type(encoder).__name__} has {len(blocks)}: "
                f"{', '.join(name for name, _ in blocks[:8])}{', ...' if len(blocks) > 8 else ''}. Set `top` to "
                f"{len(blocks)} or less, or `tuning: full`."
            )
        blocks = blocks[-tuning.blocks :]
    weights, rates = {}, []
    for below_top, (name, block) in zip(reversed(range(len(blocks))), blocks):
        for weight in block:
            weights[_unique(f"{name}/{_tail(weight.name)}", weights)] = weight
            rates.append(tuning.layer_decay**below_top)
    return TuningPlan(encoder, weights, rates)


def blocks_of(encoder: Encoder) -> Blocks:
    """Name and trainable weights of an encoder's blocks, from the input to the output.

    An encoder knows its blocks if it has a method `tuning_blocks`. Of another one, such as a module in TF-Hub's format,
    the weights' names and order tell: see `blocks_by_name`.
    """
    if hasattr(encoder, "tuning_blocks"):
        return encoder.tuning_blocks()
    inner = getattr(encoder, "image", None)
    if isinstance(inner, Encoder):
        return blocks_of(inner)
    return blocks_by_name(encoder.trainable_weights)


def blocks_by_name(weights: list[tf.Variable]) -> Blocks:
    """Groups weights by the numbered part of their names: `bert/layer_3/query/kernel` belongs to `layer_3`.

    What all names begin with does not count. A weight without a numbered part is grouped with others of its layer; the
    blocks are in the order of their first weights.
    """
    paths = [weight.name.split(":")[0].split("/") for weight in weights]
    common = 0
    while paths and all(len(path) > common + 1 and path[common] == paths[0][common] for path in paths):
        common += 1
    blocks: dict[str, list[tf.Variable]] = {}
    for path, weight in zip(paths, weights):
        layers = path[common:-1]
        numbered = next((place for place, part in enumerate(layers) if re.search(r"\d", part)), len(layers) - 1)
        blocks.setdefault("/".join(layers[: numbered + 1]) or path[-1], []).append(weight)
    return list(blocks.items())


def _with_adapters(encoder: Encoder, tuning: TuningConfig) -> tuple[Encoder, Blocks]:
    # Adapters that an earlier plan has put in, as a copy of a planned encoder has them, keep their names.
    if isinstance(encoder, AdaptedEncoder):
        return encoder, [("behind", list(encoder.adapter.trainable_weights))]
    if getattr(encoder, "lora_rank", 0):
        return encoder, [("lora", encoder.lora_weights)]
    blocks = [(name, [w for w in weights if is_adapter_weight(w)]) for name, weights in blocks_of(encoder)]
    blocks = [(name, weights) for name, weights in blocks if weights]
    if blocks:
        return encoder, blocks
    if tuning.adapter == "lora" and hasattr(encoder, "enable_lora"):
        # KerasNLP's backbones bring their own, in the attention's matrices.
        weights = encoder.enable_lora(tuning.rank)
        encoder.trainable = True
        return encoder, [("lora", weights)]
    adapted = AdaptedEncoder(encoder, tuning.rank)
    adapted.build(None)
    return adapted, [("behind", list(adapted.adapter.trainable_weights))]


def _set_trainable(encoder: Encoder) -> None:
    """Modules are loaded frozen; as a Keras layer's property this reaches all layers inside."""
    encoder.trainable = True


def _count(weights) -> int:
    return sum(int(tf.size(weight)) for weight in weights)


def _tail(name: str) -> str:
    """What does not change with the place where a layer is made: the last layer's name and the weight's."""
    return "/".join(name.split(":")[0].split("/")[-2:])


def _unique(name: str, known: dict) -> str:
    number, found = 2, name
    while found in known:
        found, number = f"{name}#{number}", number + 1
    return found
