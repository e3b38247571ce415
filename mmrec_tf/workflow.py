"""The steps from tables to a served recommender, each a function over a run's directory.

The command line calls these; someone who writes Keras scripts calls what they call.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmrec_tf.config import Config
from mmrec_tf.config_pretraining import STAGES
from mmrec_tf.data.splits import split_interactions
from mmrec_tf.data.validation import load_data
from mmrec_tf.errors import ConfigError, RunError
from mmrec_tf.evaluation.comparison import check_baselines
from mmrec_tf.evaluation.judged_users import judged_users
from mmrec_tf.evaluation.report import write_report
from mmrec_tf.evaluation.training_data import training_data
from mmrec_tf.exploration import fit_explorer, save_explorer
from mmrec_tf.features.item_vectors import build_encoders, resolve_encoders
from mmrec_tf.features.prepared import Prepared, prepare
from mmrec_tf.models.build import check_parts
from mmrec_tf.pretraining.encoder_stages import ON_ENCODERS, pretrain_encoders, pretrained_features
from mmrec_tf.pretraining.fitting import StageResult
from mmrec_tf.pretraining.running import named_stages, stages_folder
from mmrec_tf.pretraining.stages import AFTER, BEFORE, LINEAR, pretrained_two_tower
from mmrec_tf.recommend.engine import RecommendationEngine
from mmrec_tf.recommend.recommender import Recommender
from mmrec_tf.recommend.scann_library import scann_ops
from mmrec_tf.run import Run, check_same_ids, new_run
from mmrec_tf.run_export import (
    change_catalogue,
    export_run,
    grown_engine,
    removed_items,
    served_encoders,
    serving_engine,
)
from mmrec_tf.stages import evaluate_models, features_to_tune, train_ranking, train_retrieval, tune_encoders
from mmrec_tf.training.fit import set_seed

Progress = Callable[[str, int, int], None]

_EXAMPLE_USERS = 4
_EXAMPLE_ITEMS = 8


def train_run(config: Config, folder: str | Path, overwrite: bool = False, progress: Progress | None = None) -> Run:
    """Validates, embeds, trains both stages, evaluates, exports and reports, into a new run directory.

    Args:
        config: what to do.
        folder: the run's directory. It appears when everything is done.
        overwrite: bool. Replace a run that is already there.
        progress: called with (description, done, total).

    Returns:
        The finished run.
    """
    with new_run(folder, overwrite) as run:
        seconds: dict[str, float] = {}
        # Before hours of embedding, not after them.
        check_parts(config)
        config = resolve_encoders(config)
        if config.export.index == "scann":
            # Before hours of training, not after them.
            scann_ops()
        set_seed(config.seed)
        with _timed(seconds, "validate"):
            data, report = load_data(config, progress)
        with _timed(seconds, "load encoders"):
            encoders = build_encoders(config)
        language = {}
        if any(named_stages(config.pretraining, ON_ENCODERS)):
            with _timed(seconds, "pretrain encoders"):
                language = pretrain_encoders(encoders, data, config, stages_folder(config), progress)
            run.save_pretrained({feature: encoders[feature] for feature in pretrained_features(config)})
        with _timed(seconds, "embed"):
            prepared = prepare(data, config, progress, encoders)
        # Before hours of training, not after them.
        judged_users(prepared, "test")[0].check_anybody()
        check_baselines(config.evaluation.baselines, training_data(prepared), config.seed)
        tuned = {}
        if features_to_tune(config):
            with _timed(seconds, "tune encoders"):
                prepared, tuned = tune_encoders(prepared, encoders, progress)
        run.save_config(prepared.config)
        run.save_tables(prepared)
        run.save_fingerprints(config, encoders)
        run.write_json("validation.json", report.to_dict())
        run.write_json("split.json", {"interactions": prepared.fingerprint()})
        history = {f"pretraining {stage}": done.history for stage, done in language.items()}
        history |= {f"tuning {feature}": result.history for feature, result in tuned.items()}
        run.save_tuned(config, tuned)
        with _timed(seconds, "train retrieval"):
            retrieval, history["retrieval"] = train_retrieval(prepared, progress)
        ranking = None
        if config.models.ranking.enabled:
            with _timed(seconds, "train ranking"):
                ranking, history["ranking"] = train_ranking(prepared, retrieval, progress)
        run.save_models(retrieval, ranking)
        if ranking is not None and config.models.ranking.exploration is not None:
            save_explorer(run, fit_explorer(prepared, retrieval, ranking))
        with _timed(seconds, "evaluate"):
            run.write_json("metrics.json", evaluate_models(prepared, retrieval, ranking, progress))
        engine = serving_engine(prepared, retrieval, ranking)
        with _timed(seconds, "export"):
            export_run(run, prepared, engine, encoders, progress)
        summaries = {feature: result.summary for feature, result in tuned.items()}
        run.write_json("history.json", {"history": history, "seconds": seconds, "tuning": summaries})
        report_on(run, prepared, engine)
    return Run(folder)


def pretrain_stages(config: Config, progress: Progress | None = None) -> tuple[dict[str, StageResult], dict[str, str]]:
    """Runs the stages of pretraining ahead of `train_run`, which then finds them in the feature store's folder.

    Args:
        config: what `train_run` will be given.
        progress: called with (description, done, total).

    Returns:
        The results by stage; and the stages that are left to `train_run`, each with the reason.

    Raises:
        ConfigError: if the configuration has no stage.
    """
    if not config.pretraining:
        raise ConfigError(
            f"the configuration asks for no pretraining. List stages under `pretraining`: {', '.join(sorted(STAGES))}."
        )
    config = resolve_encoders(config)
    set_seed(config.seed)
    on_encoders, before, after = (
        [name for name, _ in named_stages(config.pretraining, kinds)] for kinds in (ON_ENCODERS, BEFORE, AFTER)
    )
    left = dict.fromkeys(after, "it learns from the fitted model")
    if features_to_tune(config):
        left |= dict.fromkeys(before, "it learns from the vectors of tuned encoders")
        before = []
    if not on_encoders and not before:
        return {}, left
    data, _ = load_data(config, progress)
    encoders = build_encoders(config)
    results = pretrain_encoders(encoders, data, config, stages_folder(config), progress)
    if before:
        prepared = prepare(data, config, progress, encoders)
        results |= pretrained_two_tower(prepared, stages_folder(config), progress)[1]
    return results, left


class OpenRun:
    """A finished run with its data and models loaded again.

    Args:
        folder: the run's directory.
        progress: called with (description, done, total).

    Raises:
        RunError: if the folder is no run, or the tables have changed since it was trained.
    """

    def __init__(self, folder: str | Path, progress: Progress | None = None):
        self.run = Run.open(folder)
        config = self.run.load_config()
        set_seed(config.seed)
        data, _ = load_data(config, progress)
        users, items = self.run.load_tables()
        check_same_ids(users.ids, data.users[data.schema.user_id].tolist(), "users")
        check_same_ids(items.ids, data.items[data.schema.item_id].tolist(), "items")
        split = split_interactions(data, config.split, config.seed)
        self.prepared = Prepared(data, config, split, users, items, {}, self.run.load_context())
        self.retrieval, self.ranking = self.run.load_models(config, users, items)

    def check_same_interactions(self) -> None:
        """Refuses to test on interactions that are not those of the training: what was trained on might be among them.

        Raises:
            RunError: if they have changed.
        """
        if self.run.read_json("split.json")["interactions"] != self.prepared.fingerprint():
            raise RunError(
                "the interactions have changed since this run was trained, so its test split is no longer what the "
                "models have not seen. Train again with: mmrec train"
            )

    def evaluate(self, progress: Progress | None = None) -> dict:
        """Measures the run again and rewrites `metrics.json`.

        Raises:
            RunError: as `check_same_interactions`.
        """
        self.check_same_interactions()
        metrics = evaluate_models(self.prepared, self.retrieval, self.ranking, progress)
        self.run.write_json("metrics.json", metrics)
        return metrics

    def export(self, progress: Progress | None = None, table: str | None = None) -> dict[str, Path]:
        """Writes the next version of every SavedModel.

        Args:
            progress: called with (description, done, total).
            table: in place of `export.table`; None, the default, for what that says.
        """
        prepared = self.prepared
        if table is not None:
            options = prepared.config.export.model_copy(update={"table": table})
            prepared = replace(prepared, config=prepared.config.model_copy(update={"export": options}))
        encoders = served_encoders(self.run, prepared.config)
        engine = grown_engine(self.run, prepared, self.retrieval, self.ranking)
        return export_run(self.run, prepared, engine, encoders, progress)

    def index(
        self, add: Path | None = None, remove: Sequence[str] = (), progress: Progress | None = None
    ) -> dict[str, Path]:
        """Adds items that were born after training, or removes some, and writes the next version of every SavedModel.

        See `mmrec_tf.run_export.change_catalogue`. What `mmrec evaluate` measures stays what was trained.
        """
        change_catalogue(self.run, self.prepared, add, remove, progress)
        return self.export(progress)

    def report(self) -> Path:
        """Rewrites `report.html` from what the run has measured."""
        engine = serving_engine(self.prepared, self.retrieval, self.ranking, removed_items(self.run))
        report_on(self.run, self.prepared, engine)
        return self.run.folder / "report.html"


def report_on(run: Run, prepared: Prepared, engine: RecommendationEngine) -> None:
    """Writes `report.html`: what validation found, what was measured, and example recommendations with pictures."""
    logged, metrics = run.read_json("history.json"), run.read_json("metrics.json")
    examples = example_recommendations(run, prepared, engine)
    # Curves are drawn by epoch, of which a stage that is solved in one go has none.
    history = {
        model: {name: values for name, values in lines.items() if not name.startswith(LINEAR)}
        for model, lines in logged["history"].items()
    }
    run.write_json("examples.json", examples)
    write_report(
        run.folder / "report.html",
        title=prepared.config.name,
        facts={**metrics["data"], "seconds": logged["seconds"]},
        metrics=metrics,
        validation=run.read_json("validation.json"),
        history=history,
        examples=examples,
    )


def example_recommendations(run: Run, prepared: Prepared, engine: RecommendationEngine) -> list[dict]:
    """A few users, their latest items and what they are recommended.

    Returns:
        list of dict with `user`, `history` and `recommendations`; the latter two list dicts with `item_id`, `title`,
        `category`, `picture` (a path or "") and, for recommendations, `score`.
    """
    sequences = prepared.sequences(prepared.data.interactions)
    counts = np.diff(sequences.starts)
    # Users in the middle of the range: a history long enough to show a taste, not so long that nothing is left.
    middle = np.argsort(np.abs(counts - np.median(counts[counts > 0])), kind="stable")[:_EXAMPLE_USERS]
    shown = run.load_catalogue().set_index("item_id")
    recommender = Recommender.from_engine(engine)

    def describe(item_id):
        return {"item_id": item_id, **shown.loc[item_id].to_dict()}

    examples = []
    for row in middle:
        user = prepared.users.ids[row]
        latest = [index for index in sequences.latest(np.array([row]))[0][::-1] if index][:_EXAMPLE_ITEMS]
        examples.append(
            {
                "user": user,
                "history": [describe(prepared.items.ids[index - 1]) for index in latest],
                "recommendations": [
                    {**describe(place.item_id), "score": place.score}
                    for place in recommender.recommend(user, _EXAMPLE_ITEMS)
                ],
            }
        )
    return examples


class _timed:
    """Adds the seconds that a block took to a dict."""

    def __init__(self, seconds: dict[str, float], name: str):
        self.seconds, self.name = seconds, name

    def __enter__(self):
        self.start = time.perf_counter()

    def __exit__(self, *_):
        self.seconds[self.name] = round(time.perf_counter() - self.start, 1)
