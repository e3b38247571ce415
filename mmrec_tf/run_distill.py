"""A run with a smaller ranker in place of its own: students and pruned copies tried, measured, and the best written."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmrec_tf.errors import ConfigError, MmrecError, RunError
from mmrec_tf.exploration import fit_explorer, save_explorer
from mmrec_tf.models.smaller_ranker import dense_kernels
from mmrec_tf.ranker_cost import best_within, ranker_cost
from mmrec_tf.run import Run, new_run
from mmrec_tf.run_export import export_run, grown_engine, removed_items, served_encoders, serving_engine
from mmrec_tf.small_rankers import SmallRanker, default_students, distil_ranker, prune_ranker, student_config
from mmrec_tf.stages import evaluate_models
from mmrec_tf.training.fit import set_seed
from mmrec_tf.workflow import OpenRun, report_on

Progress = Callable[[str, int, int], None]

AS_TRAINED = "as trained"
"""What the run's own ranker is called in the table."""

_KEPT = ("features", "checkpoints", "index", "items.parquet", "users.parquet", "validation.json", "split.json")


@dataclass(frozen=True)
class DistillOptions:
    """What is tried, and what is wanted.

    Attributes:
        milliseconds: the most that the median request may take. Defaults to 5.
        candidates: items that are scored in a request. Defaults to 500.
        students: settings in which each differs from the run's ranker; none, the default, for `default_students`.
        sparsity: share of the dense weights that a pruned copy of each ranker, the run's own too, has at 0; 0, the
            default, for no copies.
        temperature, weight: see `DistilledRanker`.
        alone: whether each student is also trained on the labels alone. Defaults to False.
        calls: requests that are timed. Defaults to 300.
    """

    milliseconds: float = 5.0
    candidates: int = 500
    students: list[dict[str, Any]] = field(default_factory=list)
    sparsity: float = 0.0
    temperature: float = 2.0
    weight: float = 0.5
    alone: bool = False
    calls: int = 300


class BudgetError(MmrecError):
    """No ranker that was tried answers within the budget.

    Attributes:
        content: what `distill_run` would have returned, but for what was chosen.
    """

    def __init__(self, message: str, content: dict):
        super().__init__(message)
        self.content = content


def check_distill(run: Run, options: DistillOptions, out: Path) -> None:
    """Refuses, before anything is loaded, what cannot be done.

    Raises:
        RunError: if the run has no ranker, or the new run is to take its place.
        ConfigError: for a student that cannot be.
    """
    config = run.load_config()
    if not config.models.ranking.enabled:
        raise RunError(
            f"{run.folder} has no ranker to learn from. Set models.ranking.enabled to true and train again with: "
            "mmrec train"
        )
    if out.resolve() == run.folder.resolve():
        raise RunError(f"--out is {out}, the run itself, which stays as it is. Name another folder.")
    for place, student in enumerate(options.students):
        student_config(config, student)
        if student in options.students[:place]:
            raise ConfigError(f"the student {student_name(student)} is named twice. Leave one out.")


def distill_run(
    opened: OpenRun, options: DistillOptions, out: Path, overwrite: bool = False, progress: Progress | None = None
) -> dict:
    """Tries smaller rankers in place of a run's own, and writes the best that answers in time as a run of its own.

    What is chosen is chosen on the validation split; the test split is measured beside it. The new run is one like any
    other, exported and reported on, with `distillation.json` beside what runs have; the old one stays as it is.

    Args:
        opened: the run.
        options: what is tried, and what is wanted.
        out: the new run's directory. It appears when everything is done.
        overwrite: bool. Replace a run that is already there.
        progress: called with (description, done, total).

    Returns:
        dict as in `distillation.json`: `teacher`, the run's directory; `milliseconds`, `candidates`, `calls` and
        `sparsity` as asked for; `rankers`, dicts of `RankerCost` with `settings`, the run's own first; and `chosen`, a
        name among them.

    Raises:
        BudgetError: if none answers in time, with what was measured.
        RunError, ConfigError: as `check_distill`; and if the folder holds what is not to be replaced.
    """
    check_distill(opened.run, options, out)
    with new_run(out, overwrite) as new:
        tried, costs, settings = {}, [], {}
        started = time.perf_counter()
        for name, student, ranker in _rankers(opened, options, progress):
            costs.append(
                ranker_cost(name, ranker.prepared, opened.retrieval, ranker.model, options.candidates, options.calls)
            )
            tried[name], settings[name] = ranker, student
        content = {
            "teacher": str(opened.run.folder),
            **{name: getattr(options, name) for name in ("milliseconds", "candidates", "calls", "sparsity")},
            "rankers": [{**asdict(cost), "settings": settings[cost.name]} for cost in costs],
        }
        try:
            chosen = best_within([cost for cost in costs if cost.name != AS_TRAINED], options.milliseconds)
        except MmrecError as error:
            raise BudgetError(str(error), content) from error
        content["chosen"] = chosen.name
        new.write_json("distillation.json", content)
        seconds = {"distill": round(time.perf_counter() - started, 1)}
        _write(opened, new, tried[chosen.name], seconds, progress)
    return content


def student_name(student: dict[str, Any]) -> str:
    """A student as `--student` takes it: `dim=8,hidden=[32,16]`."""
    return ",".join(f"{name}={_told(value)}" for name, value in student.items())


def _rankers(opened, options, progress) -> Iterator[tuple[str, dict, SmallRanker]]:
    """Name, settings and ranker, one after the other: the run's own, the students, and pruned copies behind each."""
    prepared, retrieval, teacher = opened.prepared, opened.retrieval, opened.ranking
    history = opened.run.read_json("history.json")["history"]["ranking"]
    students = options.students or default_students(prepared.config)
    weights = {"": options.weight, **({" alone": 0.0} if options.alone else {})}
    planned = [(student_name(student) + suffix, student, weights[suffix]) for student in students for suffix in weights]
    for done, (name, student, weight) in enumerate([(AS_TRAINED, {}, 0.0), *planned]):
        if progress is not None:
            progress("trying rankers", done, 1 + len(planned))
        # Each learns as it would without the others before it.
        set_seed(prepared.config.seed)
        if name == AS_TRAINED:
            ranker = SmallRanker(teacher, prepared, history)
        else:
            ranker = distil_ranker(prepared, retrieval, teacher, student, options.temperature, weight, progress)
        yield name, student, ranker
        if options.sparsity and dense_kernels(ranker.model):
            pruned = prune_ranker(ranker.prepared, retrieval, ranker.model, options.sparsity, progress=progress)
            yield f"{name} {options.sparsity:g} pruned", student, pruned
    if progress is not None:
        progress("trying rankers", 1 + len(planned), 1 + len(planned))


def _write(opened: OpenRun, new: Run, ranker: SmallRanker, seconds: dict[str, float], progress) -> None:
    """A run with this ranker, and all else as in the opened one."""
    old, prepared, retrieval = opened.run, ranker.prepared, opened.retrieval
    for name in _KEPT:
        source = old.folder / name
        if source.is_dir():
            shutil.copytree(source, new.folder / name)
        elif source.is_file():
            shutil.copy2(source, new.folder / name)
    new.save_config(prepared.config)
    # Retrieval stays as it was copied.
    new.save_models(None, ranker.model)
    if prepared.config.models.ranking.exploration is not None:
        save_explorer(new, fit_explorer(prepared, retrieval, ranker.model))
    logged = old.read_json("history.json")
    logged["history"]["ranking"] = ranker.history
    logged["seconds"] |= seconds
    new.write_json("history.json", logged)
    new.write_json("metrics.json", evaluate_models(prepared, retrieval, ranker.model, progress))
    export_run(
        new,
        prepared,
        grown_engine(new, prepared, retrieval, ranker.model),
        served_encoders(old, prepared.config),
        progress,
    )
    report_on(new, prepared, serving_engine(prepared, retrieval, ranker.model, removed_items(new)))


def _told(value):
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
