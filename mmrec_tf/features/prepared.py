"""Everything a model is trained on, worked out once: split, feature tables, histories, datasets."""

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import tensorflow as tf

from mmrec_tf.config import Config
from mmrec_tf.data.click_log import PositionBuckets, trained_rows
from mmrec_tf.data.item_weights import inverse_popularity_weights
from mmrec_tf.data.pipelines import multi_task_dataset, ranking_dataset, retrieval_dataset
from mmrec_tf.data.rec_data import RecData
from mmrec_tf.data.sequences import Sequences, first_of_pairs, pair_keys
from mmrec_tf.data.splits import Split, split_interactions
from mmrec_tf.data.target_labels import check_clicks_teach, check_targets_teach, main_labels, target_labels
from mmrec_tf.data.trends import DAY
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.errors import DataError
from mmrec_tf.features.context_features import Context, ContextFeatures
from mmrec_tf.features.feature_store import EmbedSummary
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.features.item_vectors import embed_items
from mmrec_tf.features.tallies import Tallies

Progress = Callable[[str, int, int], None]


@dataclass
class Prepared(Tallies):
    """Validated data, divided and turned into numbers.

    Attributes:
        data: the validated frames.
        config: what was asked for, and what follows from the number of interactions.
        split: train, validation and test interactions.
        users, items: the `FeatureTable`s, fitted on the training interactions.
        summaries: what the feature store did, by item feature.
        context: what is known of a request besides who asks, as numbers; None where the schema names nothing.
    """

    data: RecData
    config: Config
    split: Split
    users: FeatureTable
    items: FeatureTable
    summaries: dict[str, EmbedSummary]
    context: ContextFeatures | None = None

    def sequences(self, *frames: pd.DataFrame) -> Sequences:
        """The positives of the given interactions in order; of the training interactions without an argument."""
        return self.touched(*(self.data.positives(frame) for frame in frames or [self.split.train]))

    def touched(self, *frames: pd.DataFrame) -> Sequences:
        """All of the given interactions in order, whether liked or not: what a user has seen."""
        frame = pd.concat(frames)
        users, items = self.rows(frame)
        return Sequences(
            users, items, self.times(frame), len(self.data.users), self.config.models.retrieval.history_length
        )

    def rows(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """User rows and item rows of interactions."""
        schema = self.data.schema
        return self.data.user_rows(frame[schema.user_id]), self.data.item_rows(frame[schema.item_id])

    def times(self, frame: pd.DataFrame) -> np.ndarray:
        """Moments of interactions in seconds; their place in the table where the data do not tell them."""
        told = frame[self.data.schema.timestamp] if self.data.tells_time else frame.index
        return told.to_numpy(float)

    def labels(self, frame: pd.DataFrame) -> np.ndarray:
        """`[rows]` float32: what the ranker learns, 1 or 0 for clicks, the label itself for ratings."""
        return main_labels(self.data, frame, self.config.models.ranking)

    def repeats(self, frame: pd.DataFrame, known: Sequences | None = None) -> np.ndarray:
        """`[rows]` bool: positives of an item that their user took up before, in the frame or in what is known.

        Where negatives are drawn from what a user has not touched, an item that stands in the history would be known
        for a positive by that alone; and it is not recommended again.
        """
        users, items = self.rows(frame)
        positives = np.flatnonzero(self.labels(frame) > 0)
        positives = positives[np.argsort(self.times(frame)[positives], kind="stable")]
        is_repeat = np.zeros(len(frame), bool)
        is_repeat[positives] = ~first_of_pairs(users[positives], items[positives])
        if known is not None:
            before = pair_keys(known.user_rows, known.item_index - 1)
            is_repeat[positives] |= np.isin(pair_keys(users[positives], items[positives]), before)
        return is_repeat

    def ranking_examples(self, frame: pd.DataFrame, history: Sequences) -> dict[str, np.ndarray]:
        """Interactions as the ranker takes them, each with what its user did strictly before."""
        users, items = self.rows(frame)
        examples = {
            "user_index": (users + 1).astype(np.int32),
            "item_index": (items + 1).astype(np.int32),
            "history": history.before_moment(users, self.times(frame)),
            "label": self.labels(frame),
        }
        trends = self.trends()
        if trends is not None:
            examples["moment"] = trends.periods(self.times(frame))
        if self.config.models.ranking.targets:
            examples["targets"] = target_labels(self.data, frame, self.config.models.ranking)
        if self.grades is not None:
            examples["grade"] = self.grades.of(frame[self.data.label].to_numpy(np.float32))
        position = self.config.models.ranking.position
        if position is not None:
            examples["position"] = self._position_buckets.apply(frame[position].to_numpy(float))
        return examples if self.context is None else {**examples, "context": self.context.encode(frame)}

    def fingerprint(self) -> str:
        """Hex digits that change with any interaction, its label, or the part of the split that it is in."""
        digest = hashlib.sha256()
        for part in (self.split.train, self.split.validation, self.split.test):
            digest.update(pd.util.hash_pandas_object(part.astype(str), index=False).to_numpy().tobytes())
            digest.update(b"next part")
        return digest.hexdigest()

    @property
    def batch_size(self) -> int:
        """Examples that a step of the retrieval model takes."""
        return self.config.train.examples_a_step(len(self.data.positives(self.split.train)))

    def retrieval_dataset(self, batch_size: int | None = None) -> tf.data.Dataset:
        """Training batches for a `TwoTower`; see `mmrec_tf.data.pipelines.retrieval_dataset`."""
        sequences = self.sequences()
        train, weights = self.config.train, []
        if train.half_life is not None and self.data.tells_time:
            weights.append(0.5 ** ((sequences.times.max() - sequences.times) / (train.half_life * DAY)))
        if train.item_weights.method is not None:
            weights.append(inverse_popularity_weights(sequences.item_index, train.item_weights.exponent))
        if self.config.models.retrieval.loss.rewards == "label":
            weights.append(self.data.positives(self.split.train)[self.data.label].to_numpy()[sequences.order])
        return retrieval_dataset(
            sequences,
            batch_size or self.batch_size,
            self.config.seed,
            moments=self.moments(sequences),
            weights=np.prod(weights, axis=0) if weights else None,
            all_positions=self.config.models.retrieval.history.all_positions,
            context=self._training_context(sequences),
            # Left out one by one, what is asked about may share its moment with what is known.
            before_moment=self.data.tells_time and self.config.split.method != "leave_one_out",
        )

    def moments(self, sequences: Sequences) -> np.ndarray | None:
        """`[n]` int32: the period of each interaction; None without trends. See `Trends.periods`."""
        trends = self.trends()
        return None if trends is None else trends.periods(sequences.times)

    def _training_context(self, sequences: Sequences) -> Context | None:
        if self.context is None:
            return None
        frame = self.data.positives(self.split.train)
        return self.context.encode(frame.iloc[sequences.order])

    @cached_property
    def _position_buckets(self) -> PositionBuckets:
        name = self.config.models.ranking.position
        return PositionBuckets.fit(self.split.train[name].to_numpy(float), name)

    def rated_examples(self) -> dict[str, np.ndarray]:
        """All labelled training interactions, low labels too, each with what its user liked strictly before.

        Returns:
            dict with `rated_user_index`, `rated_item_index` `[n]` and `rated_history` `[n, length]`, int32, and `label`
            `[n]` float32.
        """
        train = self.split.train
        labelled = train[np.isfinite(train[self.data.label].to_numpy(np.float32))]
        users, items = self.rows(labelled)
        return {
            "rated_user_index": (users + 1).astype(np.int32),
            "rated_history": self.sequences().before_moment(users, self.times(labelled)),
            "rated_item_index": (items + 1).astype(np.int32),
            "label": labelled[self.data.label].to_numpy(np.float32),
        }

    def multi_task_dataset(self, batch_size: int | None = None) -> tf.data.Dataset:
        """Training batches for a `MultiTask`; see `mmrec_tf.data.pipelines.multi_task_dataset`."""
        batch_size = batch_size or self.batch_size
        return multi_task_dataset(
            self.retrieval_dataset(batch_size),
            self.rated_examples() if self.config.tasks.needs_labels else None,
            batch_size,
            self.config.seed,
        )

    def ranking_dataset(
        self, batch_size: int | None = None, hard_negatives: np.ndarray | None = None, member: int = 0
    ) -> tf.data.Dataset:
        """Training batches for a member of the ranker; see `mmrec_tf.data.pipelines.ranking_dataset`."""
        options, train = self.config.models.ranking, self.split.train
        rows = trained_rows(self.labels(train), options.negatives_kept, options.position, self.config.seed)
        if options.draws_negatives:
            rows &= ~self.repeats(train)
        examples = self.ranking_examples(train[rows], self.sequences())
        # A negative of the main target stands for all that were left out, also to targets that do not wait for it.
        stands_for = np.where(examples["label"] > 0, 1.0, 1.0 / options.negatives_kept).astype(np.float32)
        for name in set(options.targets) - set(options.targets_after_main):
            examples["targets"][name]["weight"] *= stands_for
        if options.encodes_targets:
            examples["statistics"] = {name: told[rows] for name, told in self.training_statistics.items()}
        return ranking_dataset(
            examples,
            catalogue=np.flatnonzero(self.items.id_index),
            batch_size=batch_size or self.config.train.ranking.batch_size,
            negatives=0 if options.target == "rating" else options.negatives,
            hard_negatives=None if options.target == "rating" else hard_negatives,
            hard_per_example=options.hard_negatives,
            seed=self.config.seed + member,
            after_click=options.targets_after_main,
        )


def prepare(
    data: RecData,
    config: Config,
    progress: Progress | None = None,
    encoders: dict[str, Encoder] | None = None,
) -> Prepared:
    """Splits the interactions, embeds the items' modalities through the feature store, and builds the tables.

    Args:
        data: validated data.
        config: the configuration.
        progress: called with (description, done, total) while items are embedded.
        encoders: by item feature; as the configuration asks for them by default.

    Raises:
        DataError: when the split leaves nothing to train on, or nothing for the ranker or a target of it to learn.
        EncoderError: when an encoder cannot be built.
    """
    split = split_interactions(data, config.split, config.seed)
    check_clicks_teach(data, split.train, config.models.ranking)
    check_targets_teach(data, split.train, config.models.ranking)
    modalities, summaries = embed_items(data, config, progress, encoders)
    schema = data.schema
    positives = data.positives(split.train)
    if positives.empty:
        wanted = "above 0" if data.positive_from is None else f"{data.positive_from} or more"
        raise DataError(
            f"none of the {len(split.train)} training interactions is a positive: no {data.label} among them is "
            f"{wanted}. Lower data.positive_from."
        )
    config = config.with_ranking(config.models.ranking.with_members(len(split.train), len(positives)))
    if schema.timestamp is not None and not data.tells_time:
        warnings.warn(
            f"all {len(data.interactions)} interactions have one and the same {schema.timestamp}: their order in the "
            "table is taken for that in which they happened, and popularity has no trend.",
            stacklevel=2,
        )
        config = config.without_trends()
    return Prepared(
        context=ContextFeatures.fit(split.train, schema, config.models.clock, without=config.models.ranking.position),
        data=data,
        config=config,
        split=split,
        users=FeatureTable.build(
            data.users,
            schema.user,
            np.unique(data.user_rows(positives[schema.user_id])),
            met_rows=np.unique(data.user_rows(split.train[schema.user_id])),
        ),
        items=FeatureTable.build(
            data.items,
            schema.item,
            np.unique(data.item_rows(positives[schema.item_id])),
            modalities,
            np.unique(data.item_rows(split.train[schema.item_id])),
        ),
        summaries=summaries,
    )
