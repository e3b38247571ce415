"""The test users of a run, and what keeping a part of the chain in fewer bits does to their lists."""

import copy
import time
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import tensorflow as tf

from mmrec_tf.errors import ServingError
from mmrec_tf.evaluation.judged_users import judged_users
from mmrec_tf.evaluation.ranking_metrics import mean_ndcg
from mmrec_tf.evaluation.stage_lists import StageLists, reordered
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.recommend.exact_search import ExactSearch, Wishes
from mmrec_tf.recommend.item_rows import TABLES, item_rows
from mmrec_tf.serving.small_models import PRECISIONS, SmallModel, named_inputs, small_model
from mmrec_tf.serving.thin_kernels import pruned, shared, thinned

TABLE, QUERY, CANDIDATE, RANKER = "item embeddings", "query tower", "candidate tower", "ranker"

THINNINGS = {"half the weights 0": pruned, "16 shared weights": shared}

CALIBRATION_EXAMPLES = 200
"""Training examples that the scales of `int8 full` come from."""


@dataclass(frozen=True)
class Compressed:
    """One part of the chain, kept in one way.

    Attributes:
        part: `TABLE`, `QUERY`, `CANDIDATE` or `RANKER`.
        variant: how it is kept: one of `TABLES`, `PRECISIONS` or `THINNINGS`.
        bytes, zipped_bytes: its size, and that of its zip file; None where it could not be made.
        ratio, zipped_ratio: the same, divided by those in float32.
        milliseconds: median time of one request.
        ndcg: of the test users' lists: what retrieval finds, for the ranker what the chain shows.
        loss: the share of the NDCG of the models as trained that is lost; negative where it rose.
        note: why it could not be made.
    """

    part: str
    variant: str
    bytes: int | None = None
    zipped_bytes: int | None = None
    ratio: float | None = None
    zipped_ratio: float | None = None
    milliseconds: float | None = None
    ndcg: float | None = None
    loss: float | None = None
    note: str = ""


class CompressionTrial:
    """The test users as they ask, knowing what came before the test, and what a part of the chain answers them.

    Args:
        prepared: a run's data; its models are brought up to date to the end of the validation split.
        retrieval, ranking: its models.
        most_users: int. Test users that are asked; a sample where there are more.
        calls: int. Requests whose times a median is of.

    Attributes:
        k: int. Cut-off of the NDCG, the first of `evaluation.k`.
        users, test_users: int. How many are asked, and how many there are.
        trained: the NDCG of the models as trained, by stage: `retrieval` and, with a ranker, `chain`.
        variants: how a tower or the ranker can be kept.

    Raises:
        MmrecError: if nobody is in the test split.
    """

    variants = (*PRECISIONS, *THINNINGS)

    def __init__(
        self, prepared: Prepared, retrieval: TwoTower, ranking: Ranker | None, most_users: int = 1000, calls: int = 300
    ):
        users, lists = judged_users(prepared, "test")
        users.check_anybody()
        prepared.bring_up_to_date((retrieval, ranking), prepared.split.validation)
        random = np.random.default_rng(prepared.config.seed)
        rows = np.sort(random.choice(len(users), min(len(users), most_users), replace=False))
        self.users, self.test_users = len(rows), len(users)
        self.relevant, self.lists = users.relevant[rows], _of_users(lists, rows)
        self.prepared, self.retrieval, self.ranking, self.calls = prepared, retrieval, ranking, calls
        self.k = prepared.config.evaluation.k[0]
        self.candidates = min(prepared.config.export.candidates, len(prepared.items.ids))
        self.trained = {"retrieval": self._ndcg(self.lists.retrieval(retrieval, self.k))}
        if ranking is not None:
            self.shown = self.lists.retrieval(retrieval, self.candidates)
            self.similarities = self.lists.similarities(retrieval, self.shown)
            scores = self.lists.scores(ranking, self.shown, self.similarities)
            self.trained["chain"] = self._ndcg(reordered(self.shown, scores))

    @property
    def parts(self) -> tuple[str, ...]:
        """What can be a TFLite file."""
        return (QUERY, CANDIDATE) if self.ranking is None else (QUERY, CANDIDATE, RANKER)

    def tables(self) -> list[Compressed]:
        """The item embeddings in each of `TABLES`, searched as the server does."""
        queries, candidates = self.lists.embeddings(self.retrieval)
        served = self.retrieval.candidate_embeddings()
        requests = self.retrieval.query_embeddings(**self.lists.asked)
        nothing = Wishes(tf.zeros([0], tf.int32), tf.zeros([0], tf.int32))
        offered = tf.Variable(np.arange(len(candidates)) > 0, trainable=False)
        found = []
        for table in TABLES:
            rows = item_rows(served, table)
            # Where users ask at different moments, each moment's trend is a column behind the place.
            judged = item_rows(candidates, table, candidates.shape[1] - self.retrieval.dim)
            ndcg = self._ndcg(self._found(ExactSearch(judged, offered), queries))
            search = ExactSearch(rows, offered)
            once = tf.function(lambda query, search=search: search(query, tf.constant(self.candidates), nothing))
            milliseconds = self._median(lambda row, once=once: once(tf.constant(requests[row : row + 1])))
            found.append(self._row(TABLE, table, rows.content, milliseconds, ndcg))
        return with_ratios(found)

    def small(self, part: str, progress: Callable[[], None] = lambda: None) -> list[Compressed]:
        """A tower or the ranker as TFLite files, each run for every user, or for every item.

        Args:
            part: one of `parts`.
            progress: called after each of `variants`.
        """
        found = []
        for variant in self.variants:
            found.append(self._small(part, variant))
            progress()
        return with_ratios(found)

    def converted(self, part: str, variant: str) -> bytes:
        """The TFLite file of a part as its model stands: as what is served, it takes no moment and holds no past.

        Raises:
            ServingError: as `small_model`.
        """
        requests, calibration = (_at_present(asked[part]) for asked in (self._requests, self._calibration))
        return self._converted(part, variant, requests[0], calibration)

    def _converted(self, part, variant, example, calibration):
        model = self.ranking if part == RANKER else self.retrieval
        changed = thinned(model, THINNINGS[variant]) if variant in THINNINGS else nullcontext()
        precision = "float32" if variant in THINNINGS else variant
        with changed:
            return small_model(self._calls[part], example, precision, calibration)

    def _small(self, part, variant):
        try:
            content = judged = self.converted(part, variant)
            if "moment" in self._requests[part][0]:
                # Test users asked at moments of their own, of which the file that is kept knows nothing.
                judged = self._converted(part, variant, self._requests[part][0], self._calibration[part])
        except ServingError as error:
            return Compressed(part, variant, note=str(error))
        model, requests = SmallModel(content), [named_inputs(request) for request in self._requests[part]]
        milliseconds = self._median(lambda row: model(requests[row]))
        model = model if judged is content else SmallModel(judged)
        answers = np.concatenate([model(request) for request in requests])
        if part == RANKER:
            scores = answers + self.ranking.similarity_weight.numpy() * self.similarities
            lists = reordered(self.shown, scores)
        else:
            answered = _Answered(self.retrieval, **{"queries" if part == QUERY else "candidates": answers})
            lists = self.lists.retrieval(answered, self.k)
        return self._row(part, variant, content, milliseconds, self._ndcg(lists))

    def _row(self, part, variant, content, milliseconds, ndcg):
        trained = self.trained["chain" if part == RANKER else "retrieval"]
        loss = 1.0 - ndcg / trained if trained else None
        return Compressed(
            part, variant, len(content), len(zlib.compress(content)), None, None, milliseconds, ndcg, loss
        )

    def _ndcg(self, lists):
        return float(mean_ndcg(lists, self.relevant, [self.k]).mean())

    def _median(self, call):
        """Milliseconds of one call, which is given the row of a user; or of an item, where there are fewer of these."""
        seconds = []
        for number in range(self.calls + 1):
            row = number % min(self.users, len(self.prepared.items.ids))
            start = time.perf_counter()
            call(row)
            seconds.append(time.perf_counter() - start)
        # The first call traces a function, or warms a cache.
        return 1000.0 * float(np.median(seconds[1:]))

    def _found(self, search, queries):
        """`[users, k]` item rows, -1 for none, with what users have seen hidden and what is remembered added."""
        find = tf.function(lambda *sought: search(sought[0], tf.constant(self.k), Wishes(*sought[1:]))[0])
        size, parts = self.lists.batch_size, []
        for start in range(0, self.users, size):
            seen = self.lists.profiles[start : start + size].tocoo()
            wishes = [tf.constant(seen.row, tf.int32), tf.constant(seen.col + 1, tf.int32)]
            if self.retrieval.remembers:
                history = tf.constant(self.lists.asked["history"][start : start + size])
                pairs = [memory.pairs(history) for memory in self.retrieval.memories.values()]
                wishes += [tf.concat(kind, axis=1) for kind in zip(*pairs)]
            parts.append(find(tf.constant(queries[start : start + size]), *wishes).numpy())
        return np.concatenate(parts) - 1

    @property
    def _calls(self):
        return {
            QUERY: self.retrieval,
            CANDIDATE: lambda inputs: self.retrieval.embed_candidate(inputs["item_index"]),
            RANKER: self.ranking,
        }

    @cached_property
    def _requests(self):
        """By part, what it is asked: one by one the test users, or all items."""
        asked, ranked = self.lists.asked, None
        if self.ranking is not None:
            ranked = _ranked(asked, self.shown + 1, self.lists.moments)
        items = {"item_index": np.arange(len(self.prepared.items.ids) + 1)}
        return {QUERY: _one_by_one(asked), CANDIDATE: _one_by_one(items), RANKER: ranked and _one_by_one(ranked)}

    @cached_property
    def _calibration(self):
        """By part, examples of the training: what was known, and the item that was chosen among some at random."""
        prepared, random = self.prepared, np.random.default_rng(self.prepared.config.seed)
        train, trends = prepared.sequences(), prepared.trends()
        rows = random.choice(len(train), min(len(train), CALIBRATION_EXAMPLES), replace=False)
        asked, items = train.asked_at(rows), train.item_index[rows]
        if prepared.context is not None:
            positives = prepared.data.positives(prepared.split.train)
            asked["context"] = prepared.context.encode(positives.iloc[train.order[rows]])
        shown = random.choice(train.item_index, [len(rows), self.candidates])
        shown[:, 0] = items
        moments = None if self.lists.moments is None else trends.periods(train.times[rows])
        ranked = _ranked(asked, shown, moments)
        return {QUERY: _one_by_one(asked), CANDIDATE: _one_by_one({"item_index": items}), RANKER: _one_by_one(ranked)}


class _Answered:
    """A retrieval model whose embeddings are given, for `StageLists`."""

    def __init__(self, model, queries=None, candidates=None):
        self.queries, self.candidates = queries, candidates
        self.model, self.remembers, self.remembered = model, model.remembers, model.remembered
        self.trend_scores, self.items = model.trend_scores, model.items

    def query_embeddings(self, **asked):
        return self.model.query_embeddings(**asked) if self.queries is None else self.queries

    def candidate_embeddings(self):
        return self.model.candidate_embeddings() if self.candidates is None else self.candidates


def with_ratios(rows: list[Compressed]) -> list[Compressed]:
    """The same with their sizes divided by those of the first, which is in float32; without, if that has none."""
    whole = rows[0]
    if whole.bytes is None:
        return rows
    return [
        row
        if row.bytes is None
        else replace(row, ratio=row.bytes / whole.bytes, zipped_ratio=row.zipped_bytes / whole.zipped_bytes)
        for row in rows
    ]


def _of_users(lists: StageLists, rows: np.ndarray) -> StageLists:
    chosen = copy.copy(lists)
    chosen.asked = tf.nest.map_structure(lambda array: array[rows], lists.asked)
    chosen.profiles = lists.profiles[rows]
    chosen.moments = None if lists.moments is None else lists.moments[rows]
    return chosen


def _ranked(asked, item_index, moments):
    inputs = {name: asked[name] for name in ("user_index", "history", "context") if name in asked}
    return {**inputs, "item_index": item_index, **({} if moments is None else {"moment": moments})}


def _at_present(requests):
    """The same without the moments at which they came."""
    return [{name: value for name, value in request.items() if name != "moment"} for request in requests]


def _one_by_one(inputs):
    """A request for each row, of what models take: int32 and float32."""
    inputs = tf.nest.map_structure(_as_numbers, inputs)
    rows = len(tf.nest.flatten(inputs)[0])
    return [tf.nest.map_structure(lambda array: array[row : row + 1], inputs) for row in range(rows)]


def _as_numbers(array):
    array = np.asarray(array)
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int32)
