"""The configuration's section about pretraining: the stages that run before and after the retrieval model is fitted.

    pretraining:
      - denoising
      - {stage: cross_modal, method: contrastive, epochs: 5}

A stage is named, or given as a mapping with its name under `stage`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from mmrec_tf.config_named import named_entries
from mmrec_tf.schema import StrictModel


class StageConfig(StrictModel):
    """A stage; its name is the default of the field `stage`."""


class FittedStageConfig(StageConfig):
    """What every stage that is fitted step by step has.

    Args:
        epochs: int. Passes over the stage's examples.
        batch_size: int. Examples a step; with fewer examples than that, all of them.
        learning_rate: float. Peak rate of Adam; reached by a linear warm-up, then a cosine decay to zero.
        xla: bool. Compile the train step.
    """

    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=0.002, gt=0.0)
    xla: bool = False


class LinearAlignmentConfig(StageConfig):
    """Starts the fusion's linear maps where the modalities of an item agree, found in closed form.

    Args:
        method: `cca` (the directions that correlate most) or `procrustes` (rotations, which keep distances).
        dim: int. Columns of the maps that are set; half of the fusion's width by default, and no more than agree. The
            others keep their random start, for what only one modality says.
        regularization: float. For `cca`: added to the variances, as a share of their mean. The more dimensions the
            vectors have for each item, the more is needed.
    """

    stage: Literal["linear_alignment"] = "linear_alignment"
    method: Literal["cca", "procrustes"] = "cca"
    dim: int | None = Field(default=None, ge=1)
    regularization: float = Field(default=0.1, ge=0.0)


class MaskedModalityConfig(FittedStageConfig):
    """Hides one of an item's modalities and predicts it from the others, fused.

    Args:
        objective: `contrastive` (tell the hidden vector from those of the batch's other items) or `regression` (the
            squared distance to it).
        temperature: float in [0.01, 1]. Divides the cosines of the contrastive objective at first; it learns.
        hide: float. Chance that a further present modality of the item is hidden too; one always stays.
    """

    stage: Literal["masked_modality"] = "masked_modality"
    objective: Literal["contrastive", "regression"] = "contrastive"
    temperature: float = Field(default=0.1, ge=0.01, le=1.0)
    hide: float = Field(default=0.0, ge=0.0, lt=1.0)


class CrossModalConfig(FittedStageConfig):
    """Aligns what the fusion makes of one modality with what it makes of another of the same item.

    Args:
        method: `contrastive`, `sigmoid` or `triplet`.
        pairs: list of two-element lists of item features; all pairs by default.
        whole: bool. Align each modality with the item's full vector too.
        keep: float. Weight of reconstructing each modality from the full vector, so that the alignment does not wipe
            out what only one modality says.
    """

    stage: Literal["cross_modal"] = "cross_modal"
    method: Literal["contrastive", "sigmoid", "triplet"] = "contrastive"
    pairs: list[tuple[str, str]] | None = Field(default=None, min_length=1)
    whole: bool = True
    keep: float = Field(default=1.0, ge=0.0)

    @model_validator(mode="after")
    def _check(self):
        for one, other in self.pairs or []:
            if one == other:
                raise ValueError(f"a pair names two different item features, got {one!r} twice.")
        return self


class DenoisingConfig(FittedStageConfig):
    """Spoils each modality's vector and restores it from the fused vector.

    Args:
        mask: float. Share of a vector's numbers that are set to zero.
        noise: float. Length of the noise added to a vector, as a share of a vector's usual length.
        modalities: list of str. Item features that are spoilt and restored; all by default.
    """

    stage: Literal["denoising"] = "denoising"
    mask: float = Field(default=0.2, ge=0.0, lt=1.0)
    noise: float = Field(default=0.3, ge=0.0, le=10.0)
    modalities: list[str] | None = Field(default=None, min_length=1)


class MaskedItemConfig(FittedStageConfig):
    """Hides an item of a training history; the query tower finds it by what stands before and after it.

    Args:
        hide: float. Chance that a further item of the history is hidden too.
    """

    stage: Literal["masked_item"] = "masked_item"
    epochs: int = Field(default=5, ge=1)
    batch_size: int = Field(default=1024, ge=2)
    hide: float = Field(default=0.1, ge=0.0, lt=1.0)


class MaskedLanguageConfig(FittedStageConfig):
    """Hides words of the catalogue's texts; the text encoder finds them. For encoders of the BERT type.

    Args:
        feature: str. The text feature whose encoder learns; the only one with such an encoder by default.
        share: float. Share of the word pieces that are to be found.
        max_steps: int. The most steps in all; the epochs share them, so that there is one for each at least.
    """

    stage: Literal["masked_language"] = "masked_language"
    epochs: int = Field(default=3, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=5e-5, gt=0.0)
    feature: str | None = None
    share: float = Field(default=0.15, gt=0.0, lt=1.0)
    max_steps: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _check(self):
        if self.max_steps is not None and self.max_steps < self.epochs:
            raise ValueError(f"max_steps {self.max_steps} is less than one step for each of {self.epochs} epochs.")
        return self


class DistillationConfig(FittedStageConfig):
    """Teaches the item tower the item vectors of a larger model.

    Args:
        teacher: path of the larger model's finished run, relative to the configuration file.
        temperature: float. Divides cosines where the distributions of similarity are compared.
        match: float. Weight of matching the vectors themselves beside the similarities.
    """

    stage: Literal["distillation"] = "distillation"
    teacher: Path
    temperature: float = Field(default=0.1, gt=0.0)
    match: float = Field(default=1.0, ge=0.0)


class PseudoLabelsConfig(FittedStageConfig):
    """Goes on training with what the fitted model is sure of, for users and items with few interactions.

    Args:
        few: int. Users and items with fewer positive training interactions are meant.
        k: int. Places of a user's list that count.
        views: int. Looks at the user and the catalogue, each with other parts dropped out.
        confidence: float. Share of the views that must have the item in the user's list for a pair to be added.
        pairs_per_user: int. The most pairs added for one user.
        weight: float. Weight of the added pairs' loss beside that of the interactions.
        consistency: float. Weight of the agreement between two views of the same user, and of the same item.
    """

    stage: Literal["pseudo_labels"] = "pseudo_labels"
    epochs: int = Field(default=3, ge=1)
    batch_size: int = Field(default=512, ge=2)
    learning_rate: float = Field(default=0.0005, gt=0.0)
    few: int = Field(default=5, ge=1)
    k: int = Field(default=10, ge=1)
    views: int = Field(default=10, ge=2)
    confidence: float = Field(default=0.8, gt=0.0, le=1.0)
    pairs_per_user: int = Field(default=5, ge=1)
    weight: float = Field(default=0.3, ge=0.0)
    consistency: float = Field(default=0.1, ge=0.0)


AnyStage = (
    LinearAlignmentConfig
    | MaskedModalityConfig
    | CrossModalConfig
    | DenoisingConfig
    | MaskedItemConfig
    | MaskedLanguageConfig
    | DistillationConfig
    | PseudoLabelsConfig
)

STAGES: dict[str, type[StageConfig]] = {config.model_fields["stage"].default: config for config in AnyStage.__args__}
"""The stages by name."""


def _by_name(stages: Any) -> Any:
    return named_entries(stages, "stage", "stage", STAGES)


Pretraining = Annotated[
    list[Annotated[AnyStage, Field(discriminator="stage")]],
    BeforeValidator(_by_name),
]
"""The type of `Config.pretraining`: a list of stages, in the order in which they run."""


def resolved_stages(stages: list[StageConfig], folder: Path) -> list[StageConfig]:
    """The stages with relative paths made to start from `folder`, the one of the configuration file."""
    return [
        stage.model_copy(update={"teacher": folder / stage.teacher}) if isinstance(stage, DistillationConfig) else stage
        for stage in stages
    ]
