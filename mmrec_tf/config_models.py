"""The configuration's sections about models: what they are, how they are trained, measured and exported."""

from typing import Literal

from pydantic import Field, field_validator

from mmrec_tf.errors import suggestion
from mmrec_tf.schema import StrictModel


class AdversarialConfig(StrictModel):
    """Training on modality vectors that are pushed in the direction that hurts the most.

    Args:
        weight: float. Weight of the loss on pushed vectors beside that on the vectors as they are.
        epsilon: float. Length of the push; the vectors have about length 1, and a push of 0.1 in the worst direction
            already costs a good part of what content tells of new items.
    """

    weight: float = Field(default=0.5, gt=0.0, le=100.0)
    epsilon: float = Field(default=0.02, gt=0.0, le=100.0)


class RetrievalConfig(StrictModel):
    """The two-tower model.

    Args:
        dim: int. Width of the query and candidate embeddings.
        hidden: list of int. Widths of the towers' hidden layers.
        history_length: int. How many of the user's latest items the query tower sees.
        temperature: float. Divides the cosine similarity.
        id_dropout: float. Chance that a training example hides an item's or a user's id, so that content and history
            can stand in for ids that are new.
        user_dropout: float. Chance that a training example hides all that is known of its user, so that strangers are
            served by popularity.
        dropout: float. Dropout before the towers' last layer.
        logq: bool. Correct the in-batch softmax for how often each item is drawn.
        remove_accidental_hits: bool. Mask in-batch negatives that are the example's own positive.
        adversarial: `weight` and `epsilon` of training on perturbed modality vectors, or None for none of it.
    """

    dim: int = Field(default=64, ge=2)
    hidden: list[int] = Field(default_factory=lambda: [128])
    history_length: int = Field(default=30, ge=0)
    temperature: float = Field(default=0.07, gt=0.0)
    id_dropout: float = Field(default=0.3, ge=0.0, lt=1.0)
    user_dropout: float = Field(default=0.3, ge=0.0, lt=1.0)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    logq: bool = True
    remove_accidental_hits: bool = True
    adversarial: AdversarialConfig | None = None


class RankingConfig(StrictModel):
    """The DeepFM ranker.

    Args:
        enabled: bool. Train a ranker; without one, recommendations keep the retrieval order.
        target: `click` (log loss on positives and sampled negatives) or `rating` (squared error on the label).
        dim: int. Width of every field's embedding.
        hidden: list of int. Widths of the deep part.
        dropout: float. Dropout in the deep part.
        negatives: int. Random negatives for each positive.
        hard_negatives: int. Negatives for each positive that the retrieval stage ranks high.
    """

    enabled: bool = True
    target: Literal["click", "rating"] = "click"
    dim: int = Field(default=32, ge=1)
    hidden: list[int] = Field(default_factory=lambda: [128, 64])
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    negatives: int = Field(default=4, ge=0)
    hard_negatives: int = Field(default=2, ge=0)


class ModelsConfig(StrictModel):
    """The retrieval and the ranking model."""

    retrieval: RetrievalConfig = RetrievalConfig()
    ranking: RankingConfig = RankingConfig()


class RankingTrainConfig(StrictModel):
    """Training of the ranking model; same fields as `train`."""

    epochs: int = Field(default=8, ge=1)
    batch_size: int = Field(default=2048, ge=1)
    learning_rate: float = Field(default=0.005, gt=0.0)
    patience: int = Field(default=1, ge=0)


class TrainConfig(StrictModel):
    """Training of the retrieval model, and under `ranking` of the ranking model.

    Args:
        epochs: int. The most passes over the training interactions.
        batch_size: int. Examples a step; also the number of in-batch candidates.
        learning_rate: float. Peak rate of Adam.
        patience: int. Epochs without a better validation score before training stops.
        xla: bool. Compile the train step. Its random draws do not follow the seed, so that runs differ a little.
    """

    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=1024, ge=2)
    learning_rate: float = Field(default=0.002, gt=0.0)
    patience: int = Field(default=5, ge=0)
    xla: bool = False
    ranking: RankingTrainConfig = RankingTrainConfig()


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
            by gradient descent and `hybrid` take longer.
        batch_size: int. Users scored at a time.
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
    """

    candidates: int = Field(default=100, ge=1)
    k: int = Field(default=10, ge=1)
    modality_weights: bool = True
