"""The search itself: trials within a budget, each written down before the next, and the best of them as a file."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmrec_tf.config import Config
from mmrec_tf.config_file import dump_config
from mmrec_tf.data.whole_files import is_marked, marked, write_whole
from mmrec_tf.errors import ConfigError, MmrecError, RunError
from mmrec_tf.features.item_vectors import resolve_encoders
from mmrec_tf.models.build import check_parts
from mmrec_tf.search.edges import AtEdge, settings_at_edge
from mmrec_tf.search.judge import ChainJudge
from mmrec_tf.search.space import Space, merged, search_space, value_of
from mmrec_tf.search.trials import Trial, TrialLog

Progress = Callable[[str, int, int], None]
MOST_FAILURES = 5
"""Failed trainings in a row after which a search ends: then it is not the settings that are at fault."""
MOST_REFUSED = 100
"""Refused settings in a row after which a search ends: then next to nothing of the space is possible."""
_KILLED = 2
"""Times that a trial's process may end without a word before the trial is blamed for it."""


@dataclass
class SearchResult:
    """What a search has come to.

    Attributes:
        folder: where it is kept.
        metric: str. What scores are.
        space: what was tried.
        trials: all of them, in order; the first is the configuration as it was.
        best: the one with the highest score.
        config: the configuration with its settings, as `best.yaml` has it.
        at_edge: settings whose best value is at the end of its range.
    """

    folder: Path
    metric: str
    space: Space
    trials: list[Trial]
    best: Trial
    config: Config
    at_edge: list[AtEdge]

    @property
    def best_path(self) -> Path:
        return self.folder / "best.yaml"


def search_settings(
    config: Config,
    folder: str | Path,
    overwrite: bool = False,
    progress: Progress | None = None,
    make_judge: Callable[[Config, Path, Progress | None], ChainJudge] = ChainJudge,
) -> SearchResult:
    """Tries settings by training with them, within the budget of `search`, and keeps the best.

    The first trial is the configuration as it is, so that the best is never worse. A search that was interrupted or
    killed goes on where it was when it is called again with the same folder, and one whose budget was raised goes on
    too. A trial that fails is written down with the reason, and the search goes on.

    Args:
        config: what is trained, and under `search` what is tried.
        folder: where the search is kept: `trials.json`, `oracle.json` and, once there is a score, `best.yaml`.
        overwrite: bool. Forget an earlier search in the folder.
        progress: called with (description, done, total).
        make_judge: makes what scores a configuration, `ChainJudge` or what has its methods; it is called when there is
            something left to try.

    Raises:
        ConfigError: for a space that cannot be searched.
        DataError: if nothing is held out for validation.
        RunError: if the folder is none of this search, if another process is at work in it, or if trials fail one
            after the other.
    """
    check_parts(config)
    config = resolve_encoders(config)
    if config.search.stage != "retrieval" and not config.models.ranking.enabled:
        raise ConfigError(
            f"search.stage is {config.search.stage}, and models.ranking.enabled is false. "
            "Enable the ranker, or set search.stage to retrieval."
        )
    space = search_space(config)
    folder = Path(folder)
    if is_marked(folder):
        raise RunError(f"another process searches in {folder}. Wait for it, or name another folder with --out.")
    log = TrialLog(folder, config, overwrite)
    search = _Search(config, space, log, progress)
    if not search.is_over():
        folder.mkdir(parents=True, exist_ok=True)
        with marked(folder):
            search.run(lambda: make_judge(config, folder, progress))
    best = log.best
    if best is None:
        raise RunError(f"no trial has a score; the last one ended with: {log.trials[-1].message}")
    winner = merged(config, search.applied(best))
    return SearchResult(
        folder,
        f"validation NDCG@{config.evaluation.k[0]}",
        space,
        log.trials,
        best,
        winner,
        settings_at_edge(winner, space, best.settings),
    )


class _Search:
    """A search in its folder."""

    def __init__(self, config: Config, space: Space, log: TrialLog, progress: Progress | None):
        self.config = config
        self.space = space
        self.log = log
        self.progress = progress
        self.options = config.search
        self.start = {name: value_of(config, name) for name in space}
        self.longest = config.train.ranking.epochs if self.options.stage == "ranking" else config.train.epochs

    @property
    def spent(self) -> float:
        """Trials so far, those that were cut short as the share of the epochs that they were given."""
        tried = [trial for trial in self.log.trials if trial.status in ("done", "failed")]
        return sum(1.0 if trial.ration is None else trial.ration / self.longest for trial in tried)

    def is_over(self) -> bool:
        """Whether the budget is used up; the first trial is always run."""
        if not self.log.trials:
            return False
        minutes = sum(trial.seconds for trial in self.log.trials) / 60.0
        is_out_of_trials = self.options.trials is not None and self.spent >= self.options.trials - 1e-9
        return is_out_of_trials or (self.options.minutes is not None and minutes >= self.options.minutes)

    def run(self, make_judge: Callable[[], ChainJudge]) -> None:
        """Tries one after the other until the budget is used up or nothing is left."""
        judge = make_judge()
        self.log.begin()
        oracle = self._oracle()
        self.log.check_interactions(judge.interactions)
        judge.begin()
        while not self.is_over():
            trial = self._next(oracle)
            if trial is None:
                return
            if trial.status == "running":
                self._run(trial, judge)
            if trial.key is not None:
                # A failed trial counts as the worst there is, so that its neighbourhood is left alone.
                oracle.tell(trial.key, trial.score or 0.0)
            if self.log.best is trial:
                self._write_best()
            self._report()
            self._give_up_on_failures()

    def applied(self, trial: Trial) -> dict:
        """A trial's settings as changes to the configuration: none for the first, and the epochs it was given."""
        changes = {} if trial.number == 0 else dict(trial.settings)
        if trial.ration is not None:
            share = trial.ration / self.longest
            if self.options.stage != "ranking":
                changes["train.epochs"] = trial.ration
            if self.options.stage != "retrieval":
                changes["train.ranking.epochs"] = max(1, round(share * self.config.train.ranking.epochs))
        return changes

    def _oracle(self):
        # KerasTuner imports Keras 3 and a second's worth of other things.
        try:
            from mmrec_tf.search.oracles import Oracle
        except ImportError as error:
            raise RunError(
                f"KerasTuner cannot be imported ({error}). Install it: pip install 'keras-tuner[bayesian]'"
            ) from error
        is_inside = all(domain.holds(self.start[name]) for name, domain in self.space.items())
        # A third of the trials to look around, at most two for each setting; then the model has something to go by.
        initial = min(2 * len(self.space), max(3, (self.options.trials or 2**20) // 3))
        return Oracle(
            self.options.method,
            self.space,
            self.start if is_inside else None,
            self.log.folder / "oracle.json",
            seed=self.config.seed,
            epochs=self.longest,
            initial=initial,
        )

    def _next(self, oracle) -> Trial | None:
        """The trial that was cut off, or the next one; None where nothing is left to try."""
        trials = self.log.trials
        if trials and trials[-1].key is None and trials[-1].status == "running":
            return self._begun(trials[-1])
        if not trials and not oracle.proposes_start:
            return self._begun(self._added(Trial(0, self.start)))
        proposal = oracle.ask()
        if proposal is None:
            return None
        known = next((trial for trial in trials if trial.key == proposal.key), None)
        if known is None:
            number = len(trials)
            known = self._added(Trial(number, proposal.settings, ration=proposal.epochs, key=proposal.key))
        return self._begun(known) if known.status == "running" else known

    def _added(self, trial: Trial) -> Trial:
        self.log.trials.append(trial)
        return trial

    def _begun(self, trial: Trial) -> Trial:
        if trial.begun >= _KILLED:
            trial.status = "failed"
            trial.message = f"its process ended {_KILLED} times without a word: most likely memory ran out"
        trial.begun += 1
        self.log.write()
        return trial

    def _run(self, trial: Trial, judge: ChainJudge) -> None:
        started = time.perf_counter()
        try:
            changed = merged(self.config, self.applied(trial))
        except ConfigError as error:
            trial.status, trial.message = "refused", str(error)
            self.log.write()
            return
        found = []
        try:
            for repeat in range(self.options.repeats):
                seed = (changed.seed + repeat) % (2**31 - 1)
                found.append(judge(changed.model_copy(update={"seed": seed})))
        except KeyboardInterrupt:
            self._take_back(trial)
            raise
        except MmrecError as error:
            if trial.number == 0 and isinstance(error, ConfigError):
                # It is the configuration itself that cannot be built.
                self._take_back(trial)
                raise
            # Settings that fit the configuration and not each other are noticed when the model is built.
            trial.status = "refused" if isinstance(error, ConfigError) else "failed"
            trial.message = str(error)
        except Exception as error:  # a night's search does not end with one trial, whatever that one ran into
            trial.status, trial.message = "failed", f"{type(error).__name__}: {str(error)[:500]}"
        else:
            trial.status = "done"
            trial.scores = [judged.score for judged in found]
            trial.score = sum(trial.scores) / len(found)
            trial.epochs = round(sum(judged.epochs for judged in found) / len(found))
        trial.seconds = round(time.perf_counter() - started, 3)
        self.log.write()

    def _take_back(self, trial: Trial) -> None:
        trial.begun -= 1
        self.log.write()

    def _write_best(self) -> None:
        best, first = self.log.best, self.log.trials[0]
        k = self.config.evaluation.k[0]
        was = f"; as configured it was {first.score:.4f}" if first.status == "done" else ""
        head = f"# Trial {best.number} of mmrec tune: validation NDCG@{k} {best.score:.4f}{was}.\n"
        text = head + dump_config(merged(self.config, self.applied(best)))
        write_whole(self.log.folder / "best.yaml", lambda file: file.write(text.encode("utf-8")))

    def _report(self) -> None:
        if self.progress is not None:
            done = int(self.spent + 1e-9)
            self.progress("trials", done, max(done, self.options.trials or 0))

    def _give_up_on_failures(self) -> None:
        for status, most in (("failed", MOST_FAILURES), ("refused", MOST_REFUSED)):
            last = self.log.trials[-most:]
            if len(last) == most and all(trial.status == status for trial in last):
                raise RunError(
                    f"the last {most} trials were {status}, the latest with: {last[-1].message}\n"
                    f"See {self.log.folder / 'trials.json'}; mend the configuration or the space of the search."
                )
