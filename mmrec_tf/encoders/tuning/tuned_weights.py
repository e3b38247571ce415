"""What tuning has changed in an encoder, as two small files: the weights, and what they belong to."""

import json
from pathlib import Path
from urllib.parse import quote

from mmrec_tf.config_encoders import TuningConfig
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.pretrained.safetensors_file import read_safetensors
from mmrec_tf.encoders.tuning.plan import TuningPlan, plan_tuning
from mmrec_tf.errors import EncoderError


def save_tuned(folder: Path, feature: str, plan: TuningPlan, tuning: TuningConfig) -> None:
    """Writes `<feature>.safetensors`, the weights that learned, and `<feature>.json`, how they did.

    Args:
        folder: made where it is not there.
        feature: the item feature's name.
        plan: the tuned encoder and its weights.
        tuning: what was asked for.
    """
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    tensors = save({name: weight.numpy() for name, weight in plan.weights.items()})
    # The library's own writer leaves a file that only its owner may read; a run is served by others.
    _path(folder, feature, "safetensors").write_bytes(tensors)
    about = {
        "feature": feature,
        "encoder": type(plan.encoder).__name__,
        "fingerprint": plan.encoder.fingerprint,
        "parameters": plan.parameters,
        "share": plan.share,
        "tuning": tuning.model_dump(),
    }
    _path(folder, feature, "json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def load_tuned(folder: Path, feature: str, encoder: Encoder, tuning: TuningConfig) -> Encoder:
    """The encoder with the weights that `save_tuned` wrote: it gives the vectors that it gave at the end of tuning.

    Args:
        folder, feature: as for `save_tuned`.
        encoder: built anew, as the configuration asks for it.
        tuning: the configuration's.

    Raises:
        EncoderError: if the files are not there or damaged, or belong to another encoder or another way of tuning.
    """
    path = _path(folder, feature, "safetensors")
    try:
        tensors = read_safetensors(path.read_bytes())
        about = json.loads(_path(folder, feature, "json").read_text(encoding="utf-8"))
        fingerprint = about["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(
            f"the tuned weights of {feature!r} cannot be read: {error}. Train again with: mmrec train"
        ) from error
    plan = plan_tuning(encoder, tuning)
    problem = _difference(tensors, plan)
    if problem:
        raise EncoderError(
            f"{path} does not fit the encoder of {feature!r}: {problem}. The configuration must ask for the encoder "
            "and the tuning that the weights are from; or train again with: mmrec train"
        )
    for name, weight in plan.weights.items():
        weight.assign(tensors[name])
    if plan.encoder.fingerprint != fingerprint:
        raise EncoderError(
            f"{path} was tuned from another {type(plan.encoder).__name__} than the one that the configuration asks for "
            f"now: its own weights or settings have changed, so the vectors would differ. Name the one it was tuned "
            "from by `path`, or train again with: mmrec train"
        )
    return plan.encoder


def _path(folder: Path, feature: str, ending: str) -> Path:
    # A feature's name is a column's, and may hold anything.
    return folder / f"{quote(feature, safe=' ')}.{ending}"


def _difference(tensors: dict, plan: TuningPlan) -> str:
    for name, weight in plan.weights.items():
        if name not in tensors:
            return f"it has no {name}"
        if tensors[name].shape != tuple(weight.shape):
            return f"{name} is {list(tensors[name].shape)}, where the encoder has {weight.shape.as_list()}"
    left = sorted(set(tensors) - set(plan.weights))
    return f"it has {left[0]}, which the encoder has not" if left else ""
