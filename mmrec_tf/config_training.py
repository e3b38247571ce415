"""The configuration's section about training."""

from typing import Literal

from pydantic import Field, field_validator

from mmrec_tf.schema import StrictModel

USUAL_BATCH, LEAST_BATCH, LEAST_STEPS = 1024, 64, 32
"""Examples a step of the retrieval model where the configuration does not say, and the fewest of a small data set; and
the steps that an epoch has then. In fewer, an epoch teaches so little that training stops by the noise of validation
before it has begun."""


class RankingTrainConfig(StrictModel):
    """Training of the ranking model; see `train`, whose fields these are too."""

    epochs: int = Field(default=8, ge=1)
    batch_size: int = Field(default=2048, ge=1)
    learning_rate: float = Field(default=0.005, gt=0.0)
    patience: int = Field(default=1, ge=0)
    average: float = Field(default=0.0, ge=0.0, lt=1.0)
    steps_per_call: int = Field(default=8, ge=1)


class ItemWeightsConfig(StrictModel):
    """What an example of the retrieval model counts, by its item; `item_weights: NAME` for short.

    Args:
        method: `inverse_popularity`: by how many training examples the item has, to the power of -exponent, so that
            the long tail is learned at the expense of what everybody takes; None for equal weights.
        exponent: float. 1 lets all items count the same in sum.
    """

    method: Literal["inverse_popularity"] | None = None
    exponent: float = Field(default=0.5, gt=0.0, le=2.0)


class TrainConfig(StrictModel):
    """Training of the retrieval model, and under `ranking` of the ranking model.

    Args:
        epochs: int. The most passes over the training interactions.
        batch_size: int. Examples a step; also the number of in-batch candidates. By default 1024, or as many fewer as
            give an epoch 32 steps; 64 at the least.
        learning_rate: float. Peak rate of Adam.
        patience: int. Epochs without a better validation score before training stops.
        half_life: float. Days before the end of training at which an interaction counts half in the retrieval loss,
            where tastes drift; None, the default, for equal weights.
        item_weights: what examples count by their item, beside that.
        average: float. Momentum of the exponential moving average of the weights that is validated and kept; 0 for the
            weights themselves.
        optimizer: `adam`, or `lazy_adam`, whose steps touch only the embeddings that they look up: for catalogues of
            hundreds of thousands of items and more, of both models. `average` is then to be 0, as a moving average
            passes over all weights at each step.
        steps_per_call: int. Steps that TensorFlow runs before it comes back to Python.
        xla: bool. Compile the train step. Its random draws do not follow the seed, so that runs differ a little.
        precision: `float32`, or `mixed_bfloat16` or `mixed_float16` for half the precision, and on hardware made for it
            a multiple of the speed, in the layers of both models while they are fitted. Weights, scores and losses are
            float32 in any case, and so is all of the model that is kept.
    """

    epochs: int = Field(default=30, ge=1)
    batch_size: int | None = Field(default=None, ge=2)
    learning_rate: float = Field(default=0.002, gt=0.0)
    patience: int = Field(default=5, ge=0)
    half_life: float | None = Field(default=None, gt=0.0)
    item_weights: ItemWeightsConfig = ItemWeightsConfig()
    average: float = Field(default=0.99, ge=0.0, lt=1.0)
    optimizer: Literal["adam", "lazy_adam"] = "adam"
    steps_per_call: int = Field(default=1, ge=1)
    xla: bool = False
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    ranking: RankingTrainConfig = RankingTrainConfig()

    @field_validator("item_weights", mode="before")
    @classmethod
    def _accept_method(cls, item_weights):
        named = item_weights is None or isinstance(item_weights, str)
        return {"method": item_weights} if named else item_weights

    def examples_a_step(self, examples: int) -> int:
        """The batch size as given, or what suits so many training examples."""
        if self.batch_size is not None:
            return self.batch_size
        size = USUAL_BATCH
        while size > LEAST_BATCH and examples < size * LEAST_STEPS:
            size //= 2
        return size
