"""Tunes one encoder: the model, its data, the schedule, and what is kept."""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf
import tf_keras

from mmrec_tf.config_encoders import AugmentationConfig, TuningConfig
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.frames import FramesEncoder
from mmrec_tf.encoders.hub import HubEncoder
from mmrec_tf.encoders.tuning import TuningPlan, plan_tuning
from mmrec_tf.encoders.tuning.behind import AdaptedEncoder
from mmrec_tf.errors import EncoderError
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.schedule import warm_up_cosine
from mmrec_tf.training.callbacks import BestByScore, StopOnBadLoss
from mmrec_tf.training.encoder_tuning import EncoderTuning
from mmrec_tf.training.layerwise_adam import LayerwiseAdam
from mmrec_tf.training.tuning_data import TuningData

HELD_OUT = 512
"""Examples of the validation split that the encoder is judged by."""


@dataclass(frozen=True)
class Tuned:
    """A tuned encoder.

    Attributes:
        plan: the encoder, and the weights that have learned.
        history: name -> one value per epoch: `loss`, and `validation loss` where there are validation examples.
        summary: `steps`, `parameters`, `share` of all the encoder's parameters, and `loss before` and `loss after`,
            on validation examples (training's first and last epoch where there are none).
    """

    plan: TuningPlan
    history: dict[str, list[float]]
    summary: dict


def tune_encoder(
    prepared: Prepared,
    retrieval: TwoTower,
    encoder: Encoder,
    feature: str,
    tuning: TuningConfig,
    *,
    augment: AugmentationConfig | None = None,
    xla: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Tuned:
    """Lets an encoder learn from the training interactions which items' contents the same users choose.

    The learning rate rises over the share `warm_up` of the steps and falls to zero as a cosine. After every epoch the
    loss on validation examples is measured, and the best weights are kept; those that the encoder came with, if none
    are better.

    Args:
        prepared: the data, with the vectors of the encoder as it comes.
        retrieval: a `TwoTower` trained on these vectors. It stays as it is; train another one on the tuned vectors.
        encoder: what embedded the feature in `prepared`. It is tuned in place, as far as its layers can be reached.
        feature: str. The item feature.
        tuning: how.
        augment: how content is changed at random in training; not at all when None, the default.
        xla: bool. Compile the step, unless the encoder takes strings.
        progress: called with (description, steps done, steps).

    Raises:
        EncoderError: if the encoder cannot be tuned this way.
        RunError: when the loss is no longer a number.
    """
    _check(encoder, tuning)
    plan = plan_tuning(encoder, tuning)
    learning = _in_bfloat16(plan.encoder, tuning) if tuning.mixed_precision else plan
    data = TuningData(prepared, feature, learning.encoder, prepared.config.seed, augment, static_shape=xla)
    size = min(tuning.batch_size, len(data.items))
    accumulate = min(tuning.accumulate, len(data.items) // size)
    epochs, steps = _steps(len(data.items) // (size * accumulate), tuning)
    examples = data.examples(size * accumulate)
    model = EncoderTuning(
        retrieval,
        learning,
        feature,
        prepared.items.centres[feature],
        prepared.items.scales[feature],
        accumulate=accumulate,
    )
    model.compile(
        optimizer=LayerwiseAdam(
            warm_up_cosine(epochs * steps, tuning.learning_rate, tuning.warm_up), plan.rates, global_clipnorm=1.0
        ),
        # Modules that split texts by themselves take strings, which XLA does not.
        jit_compile=xla and all(spec.dtype != tf.string for spec in tf.nest.flatten(examples.element_spec)),
    )
    # As in `fit`: else the first step is traced twice.
    model.optimizer.build(model.trainable_weights)
    named = feature if feature in prepared.config.encoders else encoder.modality
    advice = f"Lower encoders.{named}.tuning.learning_rate, for example to a third."
    callbacks = [StopOnBadLoss(advice=advice)]
    held_out = data.held_out(size, HELD_OUT)
    before = weights = None
    if held_out is not None:
        if encoder.modality == "text":
            # Word pieces take no room, while decoded media might fill the memory.
            held_out = held_out.cache()

        def score():
            return -model.evaluate(held_out, verbose=0, return_dict=True)["loss"]

        before, weights = -score(), [weight.numpy() for weight in model.trainable_weights]
        callbacks.append(BestByScore(score, "score", patience=epochs))
    if progress is not None:
        callbacks.append(_Steps(progress, f"tuning the encoder of {feature}", epochs * steps))
    logged = model.fit(examples, epochs=epochs, steps_per_epoch=steps, callbacks=callbacks, verbose=0).history
    history = {"loss": [float(loss) for loss in logged["loss"]]}
    after = history["loss"][-1]
    if held_out is not None:
        history["validation loss"] = [before, *(-float(score) for score in logged["score"])]
        after = min(history["validation loss"])
        if after == before:
            for weight, value in zip(model.trainable_weights, weights):
                weight.assign(value)
    for name, weight in plan.weights.items():
        if learning is not plan:
            weight.assign(learning.weights[name])
    summary = {
        "steps": epochs * steps,
        "parameters": plan.parameters,
        "share": plan.share,
        "loss before": history["loss"][0] if before is None else before,
        "loss after": after,
    }
    return Tuned(plan, history, summary)


class _Steps(tf_keras.callbacks.Callback):
    """Reports finished steps: an epoch may take an hour."""

    def __init__(self, progress: Callable[[str, int, int], None], description: str, steps: int):
        super().__init__()
        self.progress, self.description, self.steps = progress, description, steps
        self.done = 0

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        self.progress(self.description, self.done, self.steps)


def _steps(in_an_epoch: int, tuning: TuningConfig) -> tuple[int, int]:
    """Epochs, and steps in each: what is asked for, or at most `max_steps` in all."""
    most = tuning.max_steps or tuning.epochs * in_an_epoch
    epochs = max(1, min(tuning.epochs, round(most / in_an_epoch)))
    return epochs, max(1, min(in_an_epoch, most // epochs))


def _check(encoder: Encoder, tuning: TuningConfig) -> None:
    inner = getattr(encoder, "image", encoder)
    if tuning.checkpointing and not hasattr(inner, "checkpointing"):
        raise EncoderError(
            f"`checkpointing` works with encoders whose layers can be reached (minilm, efficientnet_lite0), not with "
            f"{type(inner).__name__}. To need less memory, lower `batch_size` and raise `accumulate`."
        )
    if tuning.mixed_precision and isinstance(inner, HubEncoder):
        raise EncoderError(
            f"the module {inner.handle} computes in the precision that it was published in, so `mixed_precision` has "
            "no effect on it. Leave it out."
        )


def _in_bfloat16(encoder: Encoder, tuning: TuningConfig) -> TuningPlan:
    """The same encoder once more, computing in bfloat16. The one that embeds the items goes on in float32."""
    copy = _bfloat16_copy(encoder)
    plan = plan_tuning(copy, tuning)
    copy.set_weights(encoder.get_weights())
    return plan


def _bfloat16_copy(encoder: Encoder) -> Encoder:
    """With weights as at first. What is inside another encoder is copied too: a layer's precision does not reach it."""
    config = {**encoder.get_config(), "dtype": "mixed_bfloat16"}
    if isinstance(encoder, AdaptedEncoder):
        return type(encoder)(**{**config, "encoder": _bfloat16_copy(encoder.encoder)})
    if isinstance(encoder, FramesEncoder):
        return type(encoder)(**{**config, "image": _bfloat16_copy(encoder.image)})
    return type(encoder).from_config(config)
