"""The configuration as validated objects, and the one place for defaults.

One YAML file names the tables, features, split, encoders, fusion, models, training and export. Every field but the
tables and the schema has a default that suits a laptop. `config_file` reads and writes it.
"""

from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from mmrec_tf.config_encoders import EncoderConfig
from mmrec_tf.config_models import EvaluationConfig, ExportConfig, ModelsConfig
from mmrec_tf.config_pretraining import Pretraining
from mmrec_tf.config_ranking import RankingConfig
from mmrec_tf.config_targets import check_columns
from mmrec_tf.config_tasks import TasksConfig, check_tasks
from mmrec_tf.config_training import TrainConfig
from mmrec_tf.config_tuning import SearchConfig
from mmrec_tf.errors import suggestion
from mmrec_tf.schema import Schema, StrictModel


class Policies(StrictModel):
    """What to do with each kind of problem that validation finds, when `data.strict` is false.

    `drop` removes the row, `keep` keeps it (a modality is masked, a user or item is known by its id alone), `fill`
    puts a neutral value (a number becomes missing and takes the training mean, a label is clipped into its range),
    `stop` ends the run.
    """

    duplicate_id: Literal["drop", "stop"] = "drop"
    unknown_item: Literal["drop", "keep", "stop"] = "drop"
    unknown_user: Literal["keep", "drop", "stop"] = "keep"
    bad_timestamp: Literal["drop", "stop"] = "drop"
    non_finite_number: Literal["fill", "drop", "stop"] = "fill"
    label_out_of_range: Literal["drop", "fill", "stop"] = "drop"
    missing_media: Literal["keep", "drop", "stop"] = "keep"
    undecodable_media: Literal["keep", "drop", "stop"] = "keep"
    empty_text: Literal["keep", "drop", "stop"] = "keep"


class DataConfig(StrictModel):
    """The tables. Paths are relative to the configuration file; media paths are relative to their table.

    Args:
        interactions: path of the interactions table (CSV or Parquet).
        items: path of the items table.
        users: path of the users table, or None when all that is known of a user is the id.
        label: str. Column of the interactions with a rating or a click flag, or None (every row is a positive).
        label_range: two floats. Labels outside are reported.
        positive_from: float. Labels below it are no positives (they stay in the ranker's training as zeros).
        strict: bool. Stop at any problem instead of following the policies.
        policies: what to do with each kind of problem.
    """

    interactions: Path
    items: Path
    users: Path | None = None
    label: str | None = None
    label_range: tuple[float, float] | None = None
    positive_from: float | None = None
    strict: bool = False
    policies: Policies = Policies()

    @model_validator(mode="after")
    def _check(self):
        if self.label is None and (self.positive_from is not None or self.label_range is not None):
            raise ValueError("positive_from and label_range need a label column: set data.label.")
        if self.label_range and self.label_range[0] >= self.label_range[1]:
            raise ValueError(f"label_range {list(self.label_range)} is empty; give [lowest, highest].")
        return self


class SplitConfig(StrictModel):
    """How interactions are divided into train, validation and test.

    Args:
        method: `leave_one_out` (each user's last interaction is test, the one before is validation), `temporal`
            (everything after a moment is test), `random`, or `column` (a column says train, validation or test).
        validation: float. Share of the interactions for `temporal` and `random`.
        test: float. Share of the interactions for `temporal` and `random`.
        validation_from, test_from: date or timestamp. Moments for `temporal`, instead of shares.
        column: str. The column for `column`.
    """

    method: Literal["leave_one_out", "temporal", "random", "column"] = "leave_one_out"
    validation: float = Field(default=0.1, ge=0.0, lt=1.0)
    test: float = Field(default=0.1, gt=0.0, lt=1.0)
    validation_from: int | float | str | None = None
    test_from: int | float | str | None = None
    column: str = "split"

    @field_validator("validation_from", "test_from", mode="before")
    @classmethod
    def _accept_date(cls, moment):
        # YAML makes a date object of an unquoted 2024-01-31.
        return moment.isoformat() if isinstance(moment, date) else moment

    @model_validator(mode="after")
    def _check(self):
        if self.validation + self.test >= 1.0:
            raise ValueError(f"validation {self.validation} and test {self.test} leave nothing to train on.")
        return self


class FusionConfig(StrictModel):
    """How the modalities of one item become one vector.

    An option that is left out takes the method's own default; one that the method does not have is refused.

    Args:
        method: str. Name of a registered fusion: `concat`, `weighted_sum`, `gated`, `bilinear`, `multilinear`,
            `attention`, `attention_pooling`, `cross_attention`, `co_attention` or `encoder_decoder`.
        dim: int. Width of the fused vector where a fusion is built by itself; in the retrieval model it is
            `models.retrieval.dim`.
        modality_dropout: float. Chance of hiding a present modality in training.
        balance: float. Weight of a penalty on modalities that dominate the fused vector.
        heads: int. Attention heads; a divisor of the width. For the four methods with attention.
        layers: int. Transformer layers, for `co_attention`.
        rank: int. Rank of the interactions between modalities, for `bilinear` and `multilinear`.
        query: str. The item feature that queries the others, for `cross_attention`.
        reconstruction_weight: float. Weight of the reconstruction beside the model's loss, for `encoder_decoder`.
    """

    method: str = "concat"
    dim: int = Field(default=64, ge=1)
    modality_dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    balance: float = Field(default=0.0, ge=0.0, le=100.0)
    heads: int | None = Field(default=None, ge=1, le=64)
    layers: int | None = Field(default=None, ge=1, le=12)
    rank: int | None = Field(default=None, ge=1, le=1024)
    query: str | None = None
    reconstruction_weight: float | None = Field(default=None, ge=0.0, le=100.0)


class AlignmentConfig(StrictModel):
    """Draws the modalities of an item together while the retrieval model is fitted; `alignment: NAME` for short.

    Args:
        method: `contrastive`, `sigmoid`, `triplet`, `cca`, or a registered one; None for no alignment.
        pairs: list of two-element lists of item features; all pairs by default.
        weight: float. Weight of each pair's loss beside the retrieval loss.
        dim: int. Width of the space in which modalities are compared. What lies outside of it stays a modality's own;
            None compares all that the fusion makes of a modality.
    """

    method: str | None = None
    pairs: list[tuple[str, str]] | None = Field(default=None, min_length=1)
    weight: float = Field(default=0.1, ge=0.0, le=100.0)
    dim: int | None = Field(default=32, ge=1)


class Config(StrictModel):
    """Everything a run needs to know.

    Args:
        name: str. The run's title in reports.
        seed: int. Seeds data order, initial weights, sampling and dropout.
        data, schema, split, encoders, fusion, alignment, pretraining, tasks, models, train, search, evaluation,
            export: the sections.
        store: path of the feature store, relative to the configuration file.

    `encoders` is keyed by the item feature's name or by its kind; a feature without an entry takes the built-in
    encoder of its kind.
    """

    name: str = "mmrec run"
    seed: int = Field(default=42, ge=0, lt=2**31 - 1)
    data: DataConfig
    # `schema` is the name of a deprecated pydantic method, hence the alias.
    features: Schema = Field(alias="schema")
    split: SplitConfig = SplitConfig()
    encoders: dict[str, EncoderConfig] = Field(default_factory=dict)
    fusion: FusionConfig = FusionConfig()
    alignment: AlignmentConfig = AlignmentConfig()
    pretraining: Pretraining = Field(default_factory=list)
    tasks: TasksConfig = TasksConfig()
    models: ModelsConfig = ModelsConfig()
    train: TrainConfig = TrainConfig()
    search: SearchConfig = SearchConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    export: ExportConfig = ExportConfig()
    store: Path = Path("feature_store")

    @field_validator("encoders", mode="before")
    @classmethod
    def _accept_name(cls, encoders):
        if isinstance(encoders, dict):
            named = (str, list)
            return {key: {"type": value} if isinstance(value, named) else value for key, value in encoders.items()}
        return encoders

    @field_validator("alignment", mode="before")
    @classmethod
    def _accept_method(cls, alignment):
        return {"method": alignment} if alignment is None or isinstance(alignment, str) else alignment

    @model_validator(mode="after")
    def _check(self):
        allowed = {feature.name for feature in self.features.modalities}
        allowed |= {feature.kind for feature in self.features.modalities}
        for key in self.encoders:
            if key not in allowed:
                raise ValueError(
                    f"encoders names {key!r}, which is neither an item feature with content nor a kind of one; "
                    f"allowed: {', '.join(sorted(allowed)) or 'none, as the schema has no text, media or vectors'}."
                    + suggestion(key, allowed)
                )
        modalities = [feature.name for feature in self.features.modalities]
        if self.fusion.query is not None and self.fusion.query not in modalities:
            raise ValueError(
                f"fusion.query {self.fusion.query!r} is no item feature with content."
                f"{suggestion(self.fusion.query, modalities)} Allowed: {', '.join(modalities) or 'none'}."
            )
        for one, other in self.alignment.pairs or []:
            for name in (one, other):
                if name not in modalities:
                    raise ValueError(
                        f"alignment.pairs names {name!r}, which is no item feature with content."
                        f"{suggestion(name, modalities)} Allowed: {', '.join(modalities) or 'none'}."
                    )
            if one == other:
                raise ValueError(f"alignment.pairs: a pair names two different item features, got {one!r} twice.")
        if self.features.timestamp is None and self.split.method in ("leave_one_out", "temporal"):
            raise ValueError(
                f"split.method {self.split.method} needs a timestamp feature in schema.context. "
                "Declare one, or set split.method to random or column."
            )
        if self.models.ranking.target == "rating" and self.data.label is None:
            raise ValueError("models.ranking.target rating needs data.label, the column that holds the rating.")
        if self.models.ranking.grades and self.data.label is None:
            raise ValueError("models.ranking.grades needs data.label, the column that says how much was liked.")
        if self.models.retrieval.loss.rewards == "label":
            if self.data.label is None:
                raise ValueError("models.retrieval.loss.rewards label needs data.label, the column of the rewards.")
            if (self.data.positive_from or 0.0) < 0.0:
                raise ValueError(
                    "models.retrieval.loss.rewards label takes no rewards below 0, which data.positive_from "
                    f"{self.data.positive_from} lets in. Raise it to 0 or more."
                )
        position, numbers = self.models.ranking.position, [f.name for f in self.features.features("context", "number")]
        if position is not None and position not in numbers:
            raise ValueError(
                f"models.ranking.position {position!r} is no number of schema.context.{suggestion(position, numbers)} "
                f"Allowed: {', '.join(numbers) or 'none, as it has no numbers'}. Declare it there as a number."
            )
        check_columns(self.models.ranking.targets, self._columns_models_see)
        if self.models.ranking.loss == "ordinal" and self.rating_levels is None:
            raise ValueError(
                "models.ranking.loss ordinal needs the ratings there are: set models.ranking.levels, as in "
                "[1, 2, 3, 4, 5], or a data.label_range between whole numbers."
            )
        check_tasks(self.tasks, self.features, self.data.label, self.data.positive_from, self.models.retrieval.hidden)
        return self

    @property
    def _columns_models_see(self) -> dict[str, str]:
        """Column of the interactions -> what it is, the label left out."""
        taken = {self.features.user_id: "the id of the user", self.features.item_id: "the id of the item"}
        if self.split.method == "column":
            taken[self.split.column] = "split.column"
        for feature in self.features.context:
            taken |= dict.fromkeys((feature.column, feature.name), f"the feature {feature.name!r} of schema.context")
        return taken

    def with_ranking(self, ranking: RankingConfig) -> "Config":
        """The same with another section `models.ranking`, which has been validated."""
        return self.model_copy(update={"models": self.models.model_copy(update={"ranking": ranking})})

    def without_trends(self) -> "Config":
        """The same without `models.retrieval.trends`, for data that do not tell what was popular of late."""
        trends = self.models.retrieval.trends.model_copy(update={"half_lives": []})
        retrieval = self.models.retrieval.model_copy(update={"trends": trends})
        return self.model_copy(update={"models": self.models.model_copy(update={"retrieval": retrieval})})

    @property
    def rating_levels(self) -> list[float] | None:
        """The ratings there are: as given, or the whole numbers of the label range; None where neither says."""
        levels, label_range = self.models.ranking.levels, self.data.label_range
        if levels is not None or label_range is None or any(end % 1 for end in label_range):
            return levels
        return [float(level) for level in range(int(label_range[0]), int(label_range[1]) + 1)]
