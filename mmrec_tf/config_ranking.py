"""The configuration's section about the ranking model."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from mmrec_tf.config_targets import TargetConfig, check_targets
from mmrec_tf.errors import ConfigError, suggestion
from mmrec_tf.schema import StrictModel, Width

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
    "shared_bottom": ("shared_layers",),
    "mmoe": ("experts",),
    "ple": ("shared_layers", "experts", "own_experts"),
    "esmm": (),
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
    "shared_layers",
    "experts",
    "own_experts",
)
_MEMBERS = 4
_MOST_PAIRS_OF_AN_ENSEMBLE = 1_000_000
_GROUP_LOSSES = ("pairwise", "softmax", "list_mle", "approx_ndcg")
_LOSSES = {"click": ("log_loss", *_GROUP_LOSSES), "rating": ("mse", "huber", "ordinal")}


class ExplorationConfig(StrictModel):
    """How what is served finds out about items of which little is known; `exploration: METHOD` for short.

    Args:
        method: `ucb`, which adds to each score how uncertain it is, or `thompson`, which adds a draw from that.
        strength: float. How much not knowing counts; 0 adds nothing.
        precision: float. How sure the ranker is taken to be of what it has not seen: a pair unlike any before is
            uncertain by about one over the root of it, in logits of a click or in stars.
    """

    method: Literal["ucb", "thompson"]
    strength: float = Field(default=1.0, ge=0.0, le=1000.0)
    precision: float = Field(default=1.0, gt=0.0)


class RankingConfig(StrictModel):
    """The ranker.

    A setting of the last group that is left out takes the ranker's own default; one that it does not have is refused.

    Args:
        enabled: bool. Train a ranker; without one, recommendations keep the retrieval order.
        model: str. One of `RANKERS`.
        target: `click` (positives and sampled negatives) or `rating` (the label).
        loss: of clicks `log_loss` (the default), `pairwise`, `softmax`, `list_mle` or `approx_ndcg`, which judge a
            positive and its negatives together; of ratings `mse` (the default), `huber` or `ordinal`.
        targets: dict of name -> `TargetConfig`. What else is learned of an interaction, by the models that can.
        weighting: `uncertainty` (the weights of several targets' losses are learned) or `fixed` (they stay as given).
        order_by: dict of target -> exponent. What orders the lists: the product of the chances, each to the power of
            its exponent, and of e^(exponent * number); the main target alone by default.
        levels: list of float. The ratings there are, for `ordinal`; the whole numbers of `data.label_range` by default.
        dim: int. Width of every field's embedding.
        hidden: list of int. Widths of the deep part, where the ranker has one.
        dropout: float. Dropout in the deep part.
        negatives: int. Random negatives for each positive.
        hard_negatives: int. Negatives for each positive that the retrieval stage ranks high.
        trends: bool. Tell the ranker how popular items were of late, by `models.retrieval.trends`; by default where
            negatives are drawn. Of a log's own negatives it tells little: they were taken up at the same moments.
        last_item: bool. Tell the ranker of the history's last item beside the means of all of them; by default where
            negatives are drawn. What comes next goes by what came last; whether it is liked, hardly.
        target_encoding: bool. Tell the ranker how often the user, the item and the item's categories came in training,
            what became of it, and what user and item each added beside the other; by default where no negatives are
            drawn, without which there is nothing to tell.
        grades: bool. Teach the ranker how much was liked by `data.label` too, and not only whether it came to
            `data.positive_from`; by default where the label has three values or more, no negatives are drawn and none
            are left out. For `log_loss`.
        negatives_kept: float in (0, 1]. Share of the interactions that are no positives which training takes, of logs
            that have too many; the predicted chances are put right for it, and other targets count those that are left
            for as many as there were. For clicks without drawn negatives.
        position: str. The number of `schema.context` that says in which place an item was shown. What the place does
            to the chance of a click is learned beside the ranker and left out when it is served. For `log_loss`.
        calibration: `none`, `temperature`, `platt` (the default) or `isotonic`: how chances of clicks are made to come
            true, fitted on the validation split. Without one, or of ratings, nothing is. Of a log, `platt` believes a
            ranker trained by `log_loss` until enough users say otherwise.
        members: int. Rankers of this kind that are trained one after the other and answer together, with their mean; by
            default 4 where training has up to a million pairs an epoch, where they err least beside one, and 1 where it
            has more. What they are trained and served in grows with their number.
        exploration: what is served adds to the scores to show items of which little is known; see `ExplorationConfig`.
            Nothing by default, and never in what is evaluated.
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
        shared_layers: int. Of `shared_bottom` and `ple`: how many of the layers of `hidden` the targets share.
        experts: int. Of `mmoe` and `ple`: those that the targets share, in each layer.
        own_experts: int. Of `ple`: those of each target.
    """

    enabled: bool = True
    model: str = "deepfm"
    target: Literal["click", "rating"] = "click"
    loss: str | None = None
    targets: dict[str, TargetConfig] = Field(default_factory=dict)
    weighting: Literal["uncertainty", "fixed"] = "uncertainty"
    order_by: dict[str, float] | None = None
    levels: list[float] | None = Field(default=None, min_length=2)
    dim: int = Field(default=32, ge=1)
    hidden: list[Width] = Field(default_factory=lambda: [128, 64])
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    negatives: int = Field(default=4, ge=0)
    hard_negatives: int = Field(default=2, ge=0)
    trends: bool | None = None
    last_item: bool | None = None
    target_encoding: bool | None = None
    grades: bool | None = None
    negatives_kept: float = Field(default=1.0, gt=0.0, le=1.0)
    position: str | None = None
    calibration: Literal["none", "temperature", "platt", "isotonic"] = "platt"
    members: int | None = Field(default=None, ge=1, le=64)
    exploration: ExplorationConfig | None = None
    embedding_l2: float = Field(default=0.0, ge=0.0)
    number_embedding: Literal["linear", "periodic", "piecewise_linear", "bucketised"] = "linear"
    number_bins: int = Field(default=16, ge=1)
    crosses: int | None = Field(default=None, ge=0)
    cross_layers: int | None = Field(default=None, ge=1, le=16)
    cross_rank: int | None = Field(default=None, ge=1)
    second_hidden: list[Width] | None = Field(default=None, min_length=1)
    heads: int | None = Field(default=None, ge=1, le=64)
    blocks: int | None = Field(default=None, ge=1, le=16)
    attention_width: int | None = Field(default=None, ge=1)
    attention_hidden: list[Width] | None = Field(default=None, min_length=1)
    shared_layers: int | None = Field(default=None, ge=1, le=16)
    experts: int | None = Field(default=None, ge=1, le=64)
    own_experts: int | None = Field(default=None, ge=1, le=64)

    @field_validator("exploration", mode="before")
    @classmethod
    def _accept_method(cls, exploration):
        return {"method": exploration} if isinstance(exploration, str) else exploration

    @property
    def own_settings(self) -> dict:
        """The settings of the last group that are given."""
        return {name: getattr(self, name) for name in RANKER_SETTINGS if getattr(self, name) is not None}

    @property
    def learned_targets(self) -> dict[str, TargetConfig]:
        """The targets beside the main one. Of `esmm` those that happen come after the click, unless they say else."""
        follows = self.model == "esmm" and self.target == "click"
        return {
            name: target.model_copy(update={"after": self.target})
            if follows and target.kind == "click" and target.after is None
            else target
            for name, target in self.targets.items()
        }

    @property
    def targets_after_main(self) -> list[str]:
        """Those that cannot happen where the main target did not."""
        targets = self.learned_targets

        def follows(name):
            after = targets[name].after
            return after == self.target or (after is not None and follows(after))

        return [name for name in targets if follows(name)]

    @property
    def draws_negatives(self) -> bool:
        """Whether clicks are told from drawn items too, and not only from the data's own negatives."""
        return self.target == "click" and self.negatives + self.hard_negatives > 0

    def with_members(self, interactions: int, positives: int) -> "RankingConfig":
        """With the default number of members for so many training interactions, unless one is given."""
        if self.members is not None:
            return self
        pairs = positives * (1 + self.negatives + self.hard_negatives) if self.draws_negatives else interactions
        return self.model_copy(update={"members": _MEMBERS if pairs <= _MOST_PAIRS_OF_AN_ENSEMBLE else 1})

    @property
    def encodes_targets(self) -> bool:
        """Whether the ranker is told what became of earlier pairs."""
        return not self.draws_negatives and self.target_encoding is not False

    @property
    def learns_grades(self) -> bool:
        """Whether a ranker of likes learns their grades too, where there are some."""
        if self.grades is not None:
            return self.grades
        is_log_loss = self.target == "click" and self.loss in (None, "log_loss")
        return is_log_loss and not self.draws_negatives and self.negatives_kept == 1.0

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
        loss = self.loss or _LOSSES[self.target][0]
        check_targets(self.model, self.target, loss, self.learned_targets, self.order_by)
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
        if self.grades and (self.target == "rating" or self.loss not in (None, "log_loss")):
            raise ValueError(
                f"grades teach chances of likes: set target to click and loss to log_loss, or leave grades out. "
                f"The target is {self.target}, the loss {self.loss or _LOSSES[self.target][0]}."
            )
        if self.target_encoding and self.draws_negatives:
            raise ValueError(
                "target_encoding tells what became of interactions, and of clicks that are told from drawn items all "
                "became positives: set negatives and hard_negatives to 0, the target to rating, or leave it out."
            )
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
        if self.model in ("shared_bottom", "mmoe", "ple") and len(self.hidden) < (self.shared_layers or 1):
            raise ValueError(
                f"the targets of {self.model} share {self.shared_layers or 1} of the layers of hidden, which has "
                f"{len(self.hidden)}. Give hidden more widths, as in [128, 64], or lower shared_layers."
            )


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
