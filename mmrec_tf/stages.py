"""The two stages trained and judged on prepared data: what a run does between embedding and export."""

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import tf_keras

from mmrec_tf.config import Config
from mmrec_tf.data.target_labels import target_levels
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.evaluation.comparison import baseline_scorers, brought_up_to_date, compare, fit_baselines
from mmrec_tf.evaluation.judged_users import MOST_VALIDATION_USERS, judged_users
from mmrec_tf.evaluation.pair_metrics import pair_metrics, reliability_curves
from mmrec_tf.evaluation.pairs import evaluation_pairs
from mmrec_tf.evaluation.ranking_metrics import mean_ndcg
from mmrec_tf.evaluation.retrieval_calibration import calibrate, choose
from mmrec_tf.evaluation.stage_lists import StageLists, reordered, score_pairs, score_targets
from mmrec_tf.evaluation.target_metrics import fit_calibrators, target_metrics
from mmrec_tf.evaluation.training_data import asking_times, known_interactions, training_data
from mmrec_tf.features.item_vectors import encoder_config
from mmrec_tf.features.prepared import Prepared, prepare
from mmrec_tf.models.build import build_ranker, build_two_tower
from mmrec_tf.models.graded_ranker import GradedRanker
from mmrec_tf.models.multi_task import build_multi_task
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.remembered_pairs import remembered_pairs
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.pretraining.running import stages_folder
from mmrec_tf.pretraining.stages import pretrained_two_tower, refine
from mmrec_tf.schema import Feature
from mmrec_tf.training.fit import fit
from mmrec_tf.training.fit_ranker import fit_ranker
from mmrec_tf.training.precision import layers_in, twin_in
from mmrec_tf.training.tune_encoder import Tuned, tune_encoder

Progress = Callable[[str, int, int], None]

SIMILARITY_WEIGHTS = (0.0, *(float(2**power) for power in range(11)))
"""Weights that are tried for the retrieval score, a cosine and a little more, beside the ranker's score."""

USUAL_WEIGHT = 32.0
"""The weight where validation does not tell: twice what retrieval's own softmax gives its scores."""

WARM_UP_EPOCHS = 5
"""Epochs of the two-tower model that an encoder is tuned with: enough to know what the frozen vectors tell."""


def tune_encoders(
    prepared: Prepared, encoders: dict[str, Encoder], progress: Progress | None = None
) -> tuple[Prepared, dict[str, Tuned]]:
    """Lets those encoders learn that the configuration wants tuned, one after the other.

    Args:
        prepared: the data, embedded by the encoders as they come.
        encoders: by item feature; a tuned one takes the place of the one that was there.
        progress: called with (description, done, total).

    Returns:
        The data, embedded by the tuned encoders, and what tuning did, by item feature.
    """
    tuned = {}
    for feature in features_to_tune(prepared.config):
        asked = encoder_config(prepared.config, feature)
        retrieval, _ = train_retrieval(prepared, progress, most_epochs=WARM_UP_EPOCHS, with_stages=False)
        tuned[feature.name] = tune_encoder(
            prepared,
            retrieval,
            encoders[feature.name],
            feature.name,
            asked.tuning,
            augment=asked.augment,
            xla=prepared.config.train.xla,
            progress=progress,
        )
        encoders[feature.name] = tuned[feature.name].plan.encoder
        prepared = prepare(prepared.data, prepared.config, progress, encoders)
    return prepared, tuned


def features_to_tune(config: Config) -> list[Feature]:
    """The item features whose encoder is to learn."""
    encoded = [feature for feature in config.features.modalities if feature.kind != "vector"]
    return [feature for feature in encoded if encoder_config(config, feature).tuning.mode != "frozen"]


def train_retrieval(
    prepared: Prepared,
    progress: Progress | None = None,
    most_epochs: int | None = None,
    with_stages: bool = True,
) -> tuple[TwoTower, dict[str, list[float]]]:
    """Trains the two-tower model; stops early by NDCG on the validation split, ranked over the whole catalogue.

    That is the mean over all cut-offs of `evaluation.k`; see `mean_ndcg`.

    The stages of `pretraining` run before and after it, and are kept in the feature store's folder; the heads of
    `tasks` learn beside it.

    Args:
        prepared: the data as numbers.
        progress: called with (description, done, total).
        most_epochs: int. Train no longer than this, whatever `train.epochs` says.
        with_stages: bool. Run the stages of `pretraining`.

    Returns:
        The model and its history, one value per epoch; that of each pretraining stage under `<stage>: <name>`.
    """
    if not with_stages:
        prepared = replace(prepared, config=prepared.config.model_copy(update={"pretraining": []}))
    config, folder = prepared.config, stages_folder(prepared.config)
    model, warmed = pretrained_two_tower(prepared, folder, progress)
    cutoffs = config.evaluation.k
    validation, lists = judged_users(prepared, "validation", MOST_VALIDATION_USERS)

    def score(learner=model):
        learner.settle()
        if learner.hard_negatives:
            learner.set_hard_items(hard_negatives(prepared, learner))
        return mean_ndcg(lists.retrieval(learner, max(cutoffs)), validation.relevant, cutoffs).mean()

    options = config.train
    has_heads = bool(config.tasks.heads)
    learner = twin_in(options.precision, model, lambda: _untrained_two_tower(prepared))
    with layers_in(options.precision):
        fitted = build_multi_task(config, prepared, learner) if has_heads else learner
    history = fit(
        fitted,
        prepared.multi_task_dataset() if has_heads else prepared.retrieval_dataset(),
        epochs=min(options.epochs, most_epochs or options.epochs),
        learning_rate=options.learning_rate,
        patience=options.patience,
        score=(lambda: score(learner)) if len(validation.user_rows) else None,
        score_name=f"validation NDCG@{','.join(map(str, cutoffs))}",
        xla=options.xla,
        average=options.average,
        optimizer=options.optimizer,
        steps_per_call=options.steps_per_call,
        advice="Lower train.learning_rate, for example to a third, or raise models.retrieval.temperature.",
        progress=progress,
        description="training retrieval",
    )
    if learner is not model:
        model.set_weights(learner.get_weights())
    warmed |= refine(model, prepared, config, folder, progress, score if len(validation.user_rows) else None)
    model.settle()
    if len(validation.user_rows):
        calibrate(model, validation, lists, cutoffs, config.seed, remembered_pairs(prepared, model))
    stages = {f"{stage}: {name}": values for stage, done in warmed.items() for name, values in done.history.items()}
    return model, {**history, **stages}


def _untrained_two_tower(prepared: Prepared) -> TwoTower:
    model = build_two_tower(prepared.config, prepared.users, prepared.items, context=prepared.context)
    if model.propagation is not None:
        model.propagation.set_edges(prepared.sequences().profiles(len(prepared.data.items)))
    return model


def train_ranking(
    prepared: Prepared,
    retrieval: TwoTower,
    progress: Progress | None = None,
    wrap: Callable[[Ranker], tf_keras.Model] | None = None,
    examples: Prepared | None = None,
) -> tuple[Ranker, dict[str, list[float]]]:
    """Trains the ranker, each of its members, with negatives from the catalogue and from what retrieval ranks high.

    `wrap` gives the model that is fitted in the ranker's place and shares its weights, as `DistilledRanker` does; by
    default `GradedRanker`, where the labels are graded.
    `examples` is the data whose training rows are taken, where the teacher is told more of them than the ranker.
    """
    config = prepared.config
    model = build_ranker(config, prepared.users, prepared.items, prepared.context)
    prepared.inform(model)
    if config.models.ranking.targets:
        model.start_from(target_levels(prepared.data, prepared.split.train, config.models.ranking))
    pairs = evaluation_pairs(prepared, prepared.split.validation, prepared.sequences(), seed=config.seed)
    is_rating = model.target == "rating"

    def score(learner):
        metrics = pair_metrics(prepared, learner, pairs, score_pairs(learner, pairs))
        return -metrics["rmse"] if is_rating else metrics["auc"]

    judge = score if len(pairs["label"]) and (is_rating or np.ptp(pairs["label"]) > 0) else None
    wrap = taught_grades(examples or prepared) if wrap is None else wrap
    draws_hard = model.target == "click" and config.models.ranking.hard_negatives > 0
    negatives, history = hard_negatives(prepared, retrieval) if draws_hard else None, {}
    for place, member in enumerate(model.members):
        dataset = (examples or prepared).ranking_dataset(hard_negatives=negatives, member=place)
        of_all = f" {place + 1} of {len(model.members)}" if len(model.members) > 1 else ""
        fitted = fit_ranker(prepared, member, dataset, judge, wrap, progress, f"training ranking{of_all}")
        history |= {f"{name}, member {place + 1}" if place else name: values for name, values in fitted.items()}
    fit_calibrators(config.models.ranking, model, pairs, score_targets(model, pairs))
    model.similarity_weight.assign(best_similarity_weight(prepared, retrieval, model))
    return model, history


def taught_grades(prepared: Prepared) -> Callable[[Ranker], GradedRanker] | None:
    """What `train_ranking` wraps rankers in by default; None where the labels have no grades to teach."""
    return None if prepared.grades is None else functools.partial(GradedRanker, grades=prepared.grades)


def best_similarity_weight(prepared: Prepared, retrieval: TwoTower, ranking: Ranker) -> float:
    """How much retrieval's similarity counts beside the ranker's score, by the chain's NDCG on the validation split.

    The usual weight is kept where no other gains more than half a standard error over it. Those that leave the order to
    retrieval need a gain too, although a ranker that is no help may then do some harm: retrieval was stopped where it
    was best for these very users, which flatters it.
    """
    validation, lists = judged_users(prepared, "validation", MOST_VALIDATION_USERS)
    if not len(validation.user_rows):
        return USUAL_WEIGHT
    k = prepared.config.evaluation.k[0]
    candidates = lists.retrieval(retrieval, prepared.config.export.candidates)
    similarities, scores = lists.similarities(retrieval, candidates), lists.scores(ranking, candidates)

    def ndcg(weight):
        ranked = reordered(candidates, scores + weight * similarities)
        return mean_ndcg(ranked, validation.relevant, [k])

    weight, _ = choose(ndcg(USUAL_WEIGHT), [tried for tried in SIMILARITY_WEIGHTS if tried != USUAL_WEIGHT], ndcg)
    return USUAL_WEIGHT if weight is None else weight


def hard_negatives(prepared: Prepared, retrieval: TwoTower) -> np.ndarray:
    """`[users + 1, candidates]` item indices that retrieval ranks high and that the user has not met in training.

    Users without training interactions have none: 0 throughout.
    """
    train = prepared.sequences()
    users = np.flatnonzero(np.diff(train.starts))
    lists = StageLists(train, users, train.profiles(len(prepared.data.items))[users])
    found = (lists.retrieval(retrieval, prepared.config.export.candidates) + 1).astype(np.int32)
    # An item that training has not seen is no evidence against itself.
    found[prepared.items.id_index[found] == 0] = 0
    of_all = np.zeros((len(prepared.data.users) + 1, found.shape[1]), np.int32)
    of_all[users + 1] = found
    return of_all


def evaluate_models(
    prepared: Prepared, retrieval: TwoTower, ranking: Ranker | None, progress: Progress | None = None
) -> dict:
    """The test split's figures: both stages beside the baselines, and the ranker's own.

    Returns:
        dict for `metrics.json`: `comparison` (see `Comparison.to_dict`), `data`; of a ranker `ranker` (see
        `pair_metrics`), `reliability` (see `reliability_curves`) and `targets` (see `target_metrics`).
    """
    config = prepared.config
    users, lists = judged_users(prepared, "test")
    prepared.bring_up_to_date((retrieval, ranking), prepared.split.validation)
    depth = max(max(config.evaluation.k), config.export.candidates)
    baselines = fit_baselines(config.evaluation.baselines, training_data(prepared), config.seed, progress)
    # As the models are: each knows what was popular when it is asked.
    known = known_interactions(prepared, prepared.split.train, prepared.split.validation)
    baselines = brought_up_to_date(baselines, known)
    models = baseline_scorers(baselines, users, asking_times(prepared, users, prepared.split.test))
    models["two-tower"] = retrieved = lists.retrieval(retrieval, depth)
    if ranking is not None:
        # What the ranker never sees keeps its place behind what it does.
        shown = retrieved[:, : config.export.candidates]
        ranked = reordered(shown, lists.scores(ranking, shown, lists.similarities(retrieval, shown)))
        behind = retrieved[:, config.export.candidates :]
        models[f"two-tower + {ranking.title}"] = np.concatenate([ranked, behind], axis=1)
    options = {"batch_size": config.evaluation.batch_size, "progress": progress}
    comparison = compare(models, users, config.evaluation.k, optional=baselines, **options)
    metrics = {"comparison": comparison.to_dict(), "data": facts(prepared)}
    if ranking is not None:
        known = prepared.sequences(prepared.split.train, prepared.split.validation)
        pairs = evaluation_pairs(prepared, prepared.split.test, known, seed=config.seed)
        scores = score_targets(ranking, pairs)
        metrics["ranker"] = pair_metrics(prepared, ranking, pairs, scores[ranking.target])
        metrics["reliability"] = reliability_curves(ranking, pairs, scores[ranking.target])
        metrics["targets"] = target_metrics(config.models.ranking, ranking, pairs, scores)
    return metrics


def facts(prepared: Prepared) -> dict:
    """What the data and the split are, in numbers."""
    split, items = prepared.split, prepared.items
    return {
        "users": len(prepared.data.users),
        "items": len(prepared.data.items),
        "interactions": len(prepared.data.interactions),
        "train": len(split.train),
        "validation": len(split.validation),
        "test": len(split.test),
        "split": prepared.config.split.method,
        "seed": prepared.config.seed,
        "new items": int((items.met_index[1:] == 0).sum()),
        "modalities": {name: f"{mask[1:].mean():.1%} present" for name, mask in items.masks.items()},
    }
