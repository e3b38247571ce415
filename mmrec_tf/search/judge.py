"""What a trial is worth: the chain trained with its settings, judged by the lists that validation users are shown."""

import gc
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mmrec_tf.config import Config
from mmrec_tf.data.target_labels import check_clicks_teach
from mmrec_tf.data.validation import load_data
from mmrec_tf.data.whole_files import workshop_beside
from mmrec_tf.errors import DataError
from mmrec_tf.evaluation.judged_users import judged_users
from mmrec_tf.evaluation.ranking_metrics import mean_ndcg
from mmrec_tf.evaluation.stage_lists import reordered
from mmrec_tf.features.item_vectors import build_encoders
from mmrec_tf.features.prepared import Prepared, prepare
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.pretraining.encoder_stages import ON_ENCODERS, pretrain_encoders
from mmrec_tf.pretraining.running import named_stages, stages_folder
from mmrec_tf.stages import features_to_tune, train_ranking, train_retrieval, tune_encoders
from mmrec_tf.training.fit import set_seed

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Judged:
    """What came of a training: the score, and the passes over the data that it took."""

    score: float
    epochs: int


class ChainJudge:
    """Trains by a configuration and scores what came of it.

    Data are validated, split and embedded once. What is embedded anew, for settings of encoders, is kept until other
    settings of encoders come. The test split is not looked at.

    Args:
        config: what the search began with, encoders resolved.
        folder: where the retrieval model of a search for the ranker's settings is kept.
        progress: called with (description, done, total).

    Raises:
        DataError: if nothing is held out for validation.
    """

    def __init__(self, config: Config, folder: Path, progress: Progress | None = None):
        self.config = config
        self.folder = folder
        self.progress = progress
        set_seed(config.seed)
        self.data, _ = load_data(config, progress)
        self._key, self._prepared = self._prepare(config)
        users, _ = judged_users(self._prepared, "validation")
        if not len(users.user_rows):
            raise DataError(
                "a search judges by the validation part, and there is nobody in it to judge by. Hold more out with "
                "split.validation, or take split.method leave_one_out."
            )
        self._fixed: TwoTower | None = None

    @property
    def interactions(self) -> str:
        """Hex digits that change with the data and their split."""
        return self._prepared.fingerprint()

    def begin(self) -> None:
        """Trains what all trials share: the retrieval model, where only the ranker's settings are searched."""
        if self.config.search.stage == "ranking":
            self._fixed = self._fixed_retrieval()

    def __call__(self, config: Config) -> Judged:
        """Trains by a configuration that differs from the first one in settings that may be searched.

        The seed draws weights and order, not the split, so that trainings with several can be compared.

        Raises:
            DataError: as `prepare`, for a ranker that the settings leave nothing to learn.
        """
        key = _what_vectors_depend_on(config)
        if key != self._key:
            self._key, self._prepared = self._prepare(config)
        # As `prepare` does, which was told of the settings of another trial.
        check_clicks_teach(self._prepared.data, self._prepared.split.train, config.models.ranking)
        if not self._prepared.data.tells_time:
            # As `prepare` does.
            config = config.without_trends()
        judged = self._train(replace(self._prepared, config=config))
        # Models are circles of references, which would pile up over trials until the collector happens to run.
        gc.collect()
        return judged

    def _train(self, prepared: Prepared) -> Judged:
        config, epochs = prepared.config, 0
        set_seed(config.seed)
        retrieval = self._fixed
        if retrieval is None:
            retrieval, history = train_retrieval(prepared, self.progress)
            epochs += len(history["loss"])
        ranking = None
        if config.search.stage != "retrieval" and config.models.ranking.enabled:
            ranking, history = train_ranking(prepared, retrieval, self.progress)
            epochs += len(history["loss"])
        return Judged(validation_ndcg(prepared, retrieval, ranking), epochs)

    def _prepare(self, config: Config) -> tuple[str, Prepared]:
        encoders = build_encoders(config)
        if any(named_stages(config.pretraining, ON_ENCODERS)):
            pretrain_encoders(encoders, self.data, config, stages_folder(config), self.progress)
        prepared = prepare(self.data, config, self.progress, encoders)
        if features_to_tune(config):
            prepared, _ = tune_encoders(prepared, encoders, self.progress)
        return _what_vectors_depend_on(config), prepared

    def _fixed_retrieval(self) -> TwoTower:
        """The retrieval model as configured, trained once and found again by a search that goes on."""
        path, prepared = self.folder / "retrieval.weights.h5", self._prepared
        if path.is_file():
            model = build_two_tower(prepared.config, prepared.users, prepared.items, context=prepared.context)
            model.load_weights(str(path))
            return model
        model, _ = train_retrieval(prepared, self.progress)
        with workshop_beside(path) as workshop:
            model.save_weights(str(workshop / path.name))
            (workshop / path.name).replace(path)
        return model


def validation_ndcg(prepared: Prepared, retrieval: TwoTower, ranking: Ranker | None) -> float:
    """NDCG at the first cut-off of the lists that validation users would be shown, knowing only what came before."""
    k = prepared.config.evaluation.k[0]
    users, lists = judged_users(prepared, "validation")
    shown = lists.retrieval(retrieval, k if ranking is None else max(k, prepared.config.export.candidates))
    if ranking is not None:
        shown = reordered(shown, lists.scores(ranking, shown, lists.similarities(retrieval, shown)))
    return float(mean_ndcg(shown, users.relevant, [k]).mean())


def _what_vectors_depend_on(config: Config) -> str:
    """What data have to be prepared again for, of the settings that may be searched.

    Encoders that are tuned learn with the settings that they were first tuned with, unless it is those that change.
    """
    stages = [stage.model_dump_json() for _, stage in named_stages(config.pretraining, ON_ENCODERS)]
    encoders = {name: encoder.model_dump_json() for name, encoder in config.encoders.items()}
    return repr((sorted(encoders.items()), stages, config.models.clock))
