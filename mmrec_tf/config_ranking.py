"""The configuration's section about the ranking model."""

from typing import Literal

from pydantic import Field, model_validator

from mmrec_tf.errors import ConfigError, suggestion
from mmrec_tf.schema import StrictModel

RANKERS: dict[str, tuple[str, ...]] = {
    "deepfm": (),
    "wide_deep": ("crosses",),
    "dcn": ("cross_layers", "cross_rank"),
    "finalmlp": ("second_hidden", "heads"),
    "afm": ("attention_width",),
    "autoint": ("blocks", "heads"),
    "din": ("attention_hidden",),
    "bst": ("blocks", "heads"),
    "fm": (),
    "logistic_regression": (),
}
"""What `models.ranking.model` takes, and the settings that only some rankers have; `register_ranker` adds to it."""

RANKER_SETTINGS = (
    "crosses",
    "cross_layers",
    "cross_rank",
    "second_hidden",
    "heads",
    "blocks",
    "attention_width",
    "attention_hidden",
)
_GROUP_LOSSES = ("pairwise", "softmax", "list_mle", "approx_ndcg")
_LOSSES = {"click": ("log_loss", *_GROUP_LOSSES), "rating": ("mse", "huber", "ordinal")}


class RankingConfig(StrictModel):
    """The ranker.

    A setting of the last group that is left out takes the ranker's own default; one that it does not have is refused.

    Args:
        enabled: bool. Train a ranker; without one, recommendations keep the retrieval order.
        model: str. One of `RANKERS`.
        target: `click` (positives and sampled negatives) or `rating` (the label).
        loss: of clicks `log_loss` (the default), `pairwise`, `softmax`, `list_mle` or `approx_ndcg`, which judge a
            positive and its negatives together; of ratings `mse` (the default), `huber` or `ordinal`.
        levels: list of float. The ratings there are, for `ordinal`; the whole numbers of `data.label_range` by default.
        dim: int. Width of every field's embedding.
        hidden: list of int. Widths of the deep part, where the ranker has one.
        dropout: float. Dropout in the deep part.
        negatives: int. Random negatives for each positive.
        hard_negatives: int. Negatives for each positive that the retrieval stage ranks high.
        trends: bool. Tell the ranker how popular items were of late, by `models.retrieval.trends`; by default where
            negatives are drawn. Of a log's own negatives it tells little: they were taken up at the same moments.
        negatives_kept: float in (0, 1]. Share of the interactions that are no positives which training takes, of logs
            that have too many; the predicted chances are put right for it. For clicks without drawn negatives.
        position: str. The number of `schema.context` that says in which place an item was shown. What the place does
            to the chance of a click is learned beside the ranker and left out when it is served. For `log_loss`.
        calibration: `none`, `temperature`, `platt` (the default) or `isotonic`: how chances of clicks are made to come
            true, fitted on the validation split. Without one, or of ratings, nothing is.
        embedding_l2: float. Weight of the squared lengths of the id embeddings in a batch.
        number_embedding: `linear`, `periodic`, `piecewise_linear` or `bucketised`.
        number_bins: int. The most bins of the latter two, with as many training values in each.
        crosses: int. Weights that the crosses of `wide_deep` share.
        cross_layers, cross_rank: int. Of `dcn`.
        second_hidden: list of int. Widths of the second network of `finalmlp`.
        heads: int. Of `finalmlp`, `autoint` and `bst`.
        blocks: int. Layers of attention, of `autoint` and `bst`.
        attention_width: int. Of `afm`.
        attention_hidden: list of int. Of `din`.
    """

    enabled: bool = True
    model: str = "deepfm"
    target: Literal["click", "rating"] = "click"
    loss: str | None = None
    levels: list[float] | None = Field(default=None, min_length=2)
    dim: int = Field(default=32, ge=1)
    hidden: list[int] = Field(default_factory=lambda: [128, 64])
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    negatives: int = Field(default=4, ge=0)
    hard_negatives: int = Field(default=2, ge=0)
    trends: bool | None = None
    negatives_kept: float = Field(default=1.0, gt=0.0, le=1.0)
    position: str | None = None
    calibration: Literal["none", "temperature", "platt", "isotonic"] = "platt"
    embedding_l2: float = Field(default=0.0, ge=0.0)
    number_embedding: Literal["linear", "periodic", "piecewise_linear", "bucketised"] = "linear"
    number_bins: int = Field(default=16, ge=1)
    crosses: int | None = Field(default=None, ge=0)
    cross_layers: int | None = Field(default=None, ge=1, le=16)
    cross_rank: int | None = Field(default=None, ge=1)
    second_hidden: list[int] | None = Field(default=None, min_length=1)
    heads: int | None = Field(default=None, ge=1, le=64)
    blocks: int | None = Field(default=None, ge=1, le=16)
    attention_width: int | None = Field(default=None, ge=1)
    attention_hidden: list[int] | None = Field(default=None, min_length=1)

    @property
    def own_settings(self) -> dict:
        """The settings of the last group that are given."""
        return {name: getattr(self, name) for name in RANKER_SETTINGS if getattr(self, name) is not None}

    @property
    def draws_negatives(self) -> bool:
        """Whether clicks are told from drawn items too, and not only from the data's own negatives."""
        return self.target == "click" and self.negatives + self.hard_negatives > 0

    @model_validator(mode="after")
    def _check(self):
        if self.model not in RANKERS:
            raise ValueError(
                f"there is no ranker {self.model!r}.{suggestion(self.model, RANKERS)} Allowed: {', '.join(RANKERS)}."
            )
        own = RANKERS[self.model]
        for name in self.own_settings:
            if name not in own:
                raise ValueError(
                    f"{name} is no setting of {self.model}, which takes {', '.join(own) or 'none of its own'}. "
                    "Leave it out, or choose a model that has it."
                )
        self._check_loss()
        self._check_log()
        self._check_heads()
        return self

    def _check_loss(self):
        allowed = _LOSSES[self.target]
        if self.loss is not None and self.loss not in allowed:
            raise ValueError(
                f"loss {self.loss!r} is none for the target {self.target}.{suggestion(self.loss, allowed)} "
                f"Allowed: {', '.join(allowed)}."
            )
        if self.loss in _GROUP_LOSSES and self.negatives + self.hard_negatives == 0:
            raise ValueError(
                f"the loss {self.loss} tells a positive from its negatives, and there are none: "
                "set negatives or hard_negatives above 0, or take log_loss."
            )
        if self.levels and any(not low < high for low, high in zip(self.levels, self.levels[1:])):
            raise ValueError(f"levels must rise, got {self.levels}.")

    def _check_log(self):
        if self.negatives_kept < 1.0 and (self.target == "rating" or self.draws_negatives):
            raise ValueError(
                f"negatives_kept is {self.negatives_kept}, and chances can be put right for it only of clicks that are "
                "told from the data's own negatives: set target to click, negatives and hard_negatives to 0."
            )
        if self.position is not None and (self.target, self.loss or "log_loss") != ("click", "log_loss"):
            raise ValueError(
                f"position needs the target click with log_loss, got {self.target} with {self.loss or 'its default'}: "
                "the other losses compare items of the same place. Leave position out, or change the loss."
            )

    def _check_heads(self):
        if self.model == "finalmlp":
            for name in ("hidden", "second_hidden"):
                widths = getattr(self, name)
                if widths is not None:
                    _check_heads(self.heads or 2, widths[-1] if widths else 0, f"the last of {name}")
        if self.model in ("autoint", "bst"):
            _check_heads(self.heads or 2, self.dim, "dim")


def check_divides(heads: int, width: int, what: str) -> None:
    """Refuses heads that do not share a width out evenly.

    Raises:
        ConfigError: with the heads that are allowed.
    """
    try:
        _check_heads(heads, width, what)
    except ValueError as error:
        raise ConfigError(f"models.ranking.{error}") from error


def _check_heads(heads, width, what):
    if heads < 1 or width < 1 or width % heads:
        allowed = ", ".join(str(number) for number in range(1, width + 1) if width % number == 0)
        raise ValueError(
            f"heads is {heads}, which does not divide {what}, {width or 'which is not there'}. "
            + (f"Choose one of {allowed}." if allowed else f"Give {what} one width or more.")
        )
