"""The configuration's sections about models: what they are, how they are measured and exported."""

from typing import Literal

from pydantic import Field, field_validator

from mmrec_tf.config_ranking import RankingConfig
from mmrec_tf.errors import suggestion
from mmrec_tf.schema import StrictModel, Width


class AdversarialConfig(StrictModel):
    """Training on modality vectors that are pushed in the direction that hurts the most.

    Args:
        weight: float. Weight of the loss on pushed vectors beside that on the vectors as they are.
        epsilon: float. Length of the push; the vectors have about length 1, and a push of 0.1 in the worst direction
            already costs a good part of what content tells of new items.
    """

    weight: float = Field(default=0.5, gt=0.0, le=100.0)
    epsilon: float = Field(default=0.02, gt=0.0, le=100.0)


HISTORY_SETTINGS = ("blocks", "heads", "dropout")

HISTORY_ENCODERS: dict[str, tuple[str, ...]] = {
    "mean": (),
    "gru": (),
    "attention_pooling": (),
    "transformer": HISTORY_SETTINGS,
}
"""What `models.retrieval.history.encoder` takes, and which of `HISTORY_SETTINGS` each is made with;
`register_history_encoder` adds to it."""


class HistoryConfig(StrictModel):
    """How the query tower reads a user's latest items.

    Args:
        encoder: `mean` (weighted by how recent they are), `gru`, `attention_pooling` or `transformer`, or a name of
            your own that `register_history_encoder` knows.
        blocks, heads: int. Of the transformer.
        dropout: float. Of the transformer.
        all_positions: bool. Train on every position of a window of history at once: one pass of the encoder for as many
            examples, which see shorter histories.
    """

    encoder: str = "mean"
    blocks: int = Field(default=2, ge=1)
    heads: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    all_positions: bool = False

    @field_validator("encoder")
    @classmethod
    def _known(cls, encoder):
        if encoder not in HISTORY_ENCODERS:
            raise ValueError(
                f"there is no history encoder {encoder!r}.{suggestion(encoder, HISTORY_ENCODERS)} "
                f"Allowed: {', '.join(HISTORY_ENCODERS)}."
            )
        return encoder


class NegativesConfig(StrictModel):
    """What an example's own item is told apart from.

    Args:
        source: `full` (the whole catalogue), `in_batch` (the other examples' items), `uniform` (drawn from the
            catalogue), `mixed` (both), `cached` (the items of earlier batches too), or `auto`: `full` for catalogues of
            up to `full_up_to` items, else `mixed`.
        count: int. Items that are drawn a step, or kept of earlier batches.
        logq: `counts`, `streaming` (estimated while training) or False: the correction for how often an item stands
            among the negatives.
        hard: int. Negatives of each example that the model itself ranks high for the user; looked up anew whenever an
            epoch is validated, and so none without a validation part.
        full_up_to: int. Items.
    """

    source: Literal["auto", "full", "in_batch", "uniform", "mixed", "cached"] = "auto"
    count: int = Field(default=1024, ge=1)
    logq: Literal["counts", "streaming", False] = "counts"
    hard: int = Field(default=0, ge=0)
    full_up_to: int = Field(default=20_000, ge=1)

    def source_for(self, size: int) -> str:
        """The source itself, of as many item indices as there are; index 0 is no item."""
        if self.source != "auto":
            return self.source
        return "full" if size - 1 <= self.full_up_to else "mixed"


class LossConfig(StrictModel):
    """How positives and negatives are judged.

    Args:
        name: `softmax`, `bpr`, `binary`, `hinge` or `reinforce`.
        smoothing: float. Label smoothing of `softmax`.
        calibration: float. Of `binary`: 0 for plain cross-entropy, 1 for gBCE, which undoes the overconfidence that few
            negatives bring.
        margin: float. Of `hinge`, in scores divided by the temperature.
        top_k, cap: int and float. Of `reinforce`: items that are shown at a time, and the most that an example counts.
        behaviour: of `reinforce`: `counted` or `learned`, how likely the policy that the log comes from was to show an
            item: to anybody, by all training interactions, or to this user, by the positives among them.
        rewards: `equal`, or `label`: an example counts by its label.
    """

    name: Literal["softmax", "bpr", "binary", "hinge", "reinforce"] = "softmax"
    smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    calibration: float = Field(default=0.0, ge=0.0, le=1.0)
    margin: float = Field(default=1.0, gt=0.0)
    top_k: int = Field(default=10, ge=1)
    cap: float = Field(default=20.0, gt=0.0)
    behaviour: Literal["counted", "learned"] = "counted"
    rewards: Literal["equal", "label"] = "equal"


class TrendsConfig(StrictModel):
    """Popularity of late, as known at the moment of each interaction.

    Args:
        half_lives: list of float. Days after which an interaction counts half; `.inf` for all that is known. An empty
            list for none: items are then as popular at any time.
        periods: int. The most periods that time is cut into.
    """

    half_lives: list[float] = Field(default_factory=lambda: [1.0, 7.0, 30.0, 180.0, 1000.0])
    periods: int = Field(default=64, ge=1)

    @field_validator("half_lives")
    @classmethod
    def _positive(cls, half_lives):
        if any(not days > 0.0 for days in half_lives):
            raise ValueError(f"half_lives must be days above 0, or .inf, got {half_lives}.")
        return half_lives


class GraphConfig(StrictModel):
    """What id embeddings take on from others: an item from its neighbours in the catalogue, users and items from each
    other.

    Args:
        neighbours: int. Of each item; 0, the default, for no graph.
        cooccurrence: float. Share of the neighbours that the same users consumed.
        content: float. Share of the neighbours with the most similar content. To find them, once before training, every
            item is compared with every other: ten times the items take a hundred times as long. With 0 none is.
        layers: int. How far apart items still count. With more than 1 each step goes through the whole catalogue, and
            `lazy_adam` touches all of its embeddings.
        light_gcn: int. Layers of propagation between users and the items that they consumed; 0, the default, for none.
            Each step then takes time in proportion to all interactions.
    """

    neighbours: int = Field(default=0, ge=0)
    cooccurrence: float = Field(default=0.5, ge=0.0, le=1.0)
    content: float = Field(default=0.5, ge=0.0, le=1.0)
    layers: int = Field(default=1, ge=1)
    light_gcn: int = Field(default=0, ge=0)


class RetrievalConfig(StrictModel):
    """The two-tower model.

    Args:
        dim: int. Width of the query and candidate embeddings.
        hidden: list of int. Widths of the towers' hidden layers.
        history_length: int. How many of the user's latest items the query tower sees.
        history: how it reads them.
        negatives: what an example's own item is told apart from.
        loss: how.
        trends: popularity of late.
        graph: neighbours in the catalogue.
        neighbours: int. Items that are remembered of each item, those of the same users and as many that came soon
            after it, which are added to the score as far as validation finds them of use; 0 for none.
        temperature: float. Divides the cosine similarity.
        learned_temperature: bool. Let training change it.
        id_dropout: float. Chance that a training example hides an item's or a user's id, so that content and history
            can stand in for ids that are new.
        user_dropout: float. Chance that a training example hides all that is known of its user, so that strangers are
            served by popularity.
        dropout: float. Dropout before the towers' last layer.
        embedding_l2: float. Weight of the squared lengths of the id embeddings in a batch.
        adversarial: `weight` and `epsilon` of training on perturbed modality vectors, or None for none of it.
    """

    dim: int = Field(default=64, ge=2)
    hidden: list[Width] = Field(default_factory=lambda: [128])
    history_length: int = Field(default=30, ge=0)
    history: HistoryConfig = HistoryConfig()
    negatives: NegativesConfig = NegativesConfig()
    loss: LossConfig = LossConfig()
    trends: TrendsConfig = TrendsConfig()
    graph: GraphConfig = GraphConfig()
    neighbours: int = Field(default=50, ge=0)
    temperature: float = Field(default=0.07, gt=0.0)
    learned_temperature: bool = False
    id_dropout: float = Field(default=0.3, ge=0.0, lt=1.0)
    user_dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    embedding_l2: float = Field(default=0.0, ge=0.0)
    adversarial: AdversarialConfig | None = None


class ModelsConfig(StrictModel):
    """The retrieval and the ranking model.

    Args:
        clock: list of `hour_of_day`, `day_of_week`, `month`: what both models are told of the moment of a request
            (UTC), beside the other features of `schema.context`. Defaults to none.
        retrieval, ranking: each model's settings.
    """

    clock: list[Literal["hour_of_day", "day_of_week", "month"]] = Field(default_factory=list)
    retrieval: RetrievalConfig = RetrievalConfig()
    ranking: RankingConfig = RankingConfig()


BASELINE_NAMES = [
    "popularity",
    "recent_popularity",
    "segment_popularity",
    "item_knn",
    "user_knn",
    "ease",
    "matrix_factorization",
    "implicit_sgd",
    "explicit_als",
    "explicit_sgd",
    "bpr",
    "vbpr",
    "content",
    "hybrid",
]
"""What `evaluation.baselines` takes; `register_recommender` adds to it."""


class EvaluationConfig(StrictModel):
    """What is measured.

    Args:
        k: list of int. Cut-offs of the ranking metrics; the first is the headline.
        baselines: list of str. Models trained on the same split and shown in the same table: `BASELINE_NAMES`, or a
            name of your own that `register_recommender` knows. The default three are quick; `ease`, the models trained
            by gradient descent and `hybrid` take longer. One that the data cannot feed is refused before training;
            one that then fails is left out with a warning.
        batch_size: int. Users scored at a time, fewer where the catalogue has more than 2^26 / batch_size items.
    """

    k: list[int] = Field(default_factory=lambda: [10, 20, 50])
    baselines: list[str] = Field(default_factory=lambda: ["popularity", "item_knn", "matrix_factorization"])
    batch_size: int = Field(default=256, ge=1)

    @field_validator("k")
    @classmethod
    def _positive(cls, k):
        if not k or min(k) < 1:
            raise ValueError(f"k must list one or more cut-offs of at least 1, got {k}.")
        return k

    @field_validator("baselines")
    @classmethod
    def _known(cls, baselines):
        for name in baselines:
            if name not in BASELINE_NAMES:
                raise ValueError(
                    f"there is no baseline {name!r}.{suggestion(name, BASELINE_NAMES)} "
                    f"Allowed: {', '.join(BASELINE_NAMES)}."
                )
        return baselines


class ExportConfig(StrictModel):
    """What the exported models answer.

    Args:
        candidates: int. Items that retrieval hands to the ranker.
        k: int. Items that `recommend` returns when the request does not say.
        modality_weights: bool. Export `recommend_weighted` too; it takes the item embeddings once more per modality.
        index: `exact`, every item is scored; `ivf`, an inverted file, which looks at the items of the blocks that lie
            nearest; `auto`, the inverted file for more than 200,000 items, where it reaches `recall`; or `scann`, by
            ScaNN, for servers built with its ops: stock TensorFlow Serving does not run it. Needs `mmrec-tf[scann]`.
        recall: float. Share of the exact lists that an inverted file, or ScaNN, is to find, as measured on the run's
            own users.
        table: `float32`; `int8`, the items' embeddings at about a quarter of the size; or `float16`, at about half.
    """

    candidates: int = Field(default=100, ge=1)
    k: int = Field(default=10, ge=1)
    modality_weights: bool = True
    index: Literal["auto", "exact", "ivf", "scann"] = "auto"
    recall: float = Field(default=0.95, gt=0.0, le=1.0)
    table: Literal["float32", "float16", "int8"] = "float32"
