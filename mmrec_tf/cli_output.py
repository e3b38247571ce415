"""What the command line shows: tables, progress bars and short messages for a person at a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

console = Console()
errors = Console(stderr=True)


@contextmanager
def progress_bars() -> Iterator:
    """A `progress(description, done, total)` function that shows one bar for each description.

    Bars go to the error stream, so that piped output stays clean.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors) as bars:
        tasks = {}

        def progress(description: str, done: int, total: int) -> None:
            if description not in tasks:
                tasks[description] = bars.add_task(description, total=total)
            bars.update(tasks[description], completed=done, total=total)

        yield progress


def show_rows(title: str, header, rows) -> None:
    """Prints a table; numbers to the right."""
    table = Table(title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    rows = [[_cell(value) for value in row] for row in rows]
    for number, name in enumerate(header):
        numeric = all(_is_number(row[number]) for row in rows) and bool(rows)
        table.add_column(str(name), justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def show_metrics(metrics: dict) -> None:
    """Prints the headline of a run's `metrics.json`: the models side by side, then the ranker's own figures.

    Four metrics at the first cut-off, which fit a terminal of 80 columns; the report has them all.
    """
    from mmrec_tf.evaluation.comparison import Comparison
    from mmrec_tf.evaluation.ranking_metrics import GROUPS

    comparison = Comparison(metrics["comparison"]["ks"], metrics["comparison"]["groups"])
    for group, title in GROUPS.items():
        users = next(iter(comparison.groups[group].values()))["users"]
        if users:
            columns = [f"{name}@{comparison.ks[0]}" for name in ("recall", "ndcg", "hit_rate", "coverage")]
            if group == "cold_items":
                columns[2:3] = [f"recall_over_chance@{comparison.ks[0]}"]
            show_rows(f"{title}: {users} users, whole catalogue ranked", *comparison.to_rows(group, columns))
    if "ranker" in metrics:
        show_rows("ranking model", ("metric", "value"), list(metrics["ranker"].items()))


def _cell(value) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else str(value)


def _is_number(text: str) -> bool:
    try:
        float(text.rstrip("%x"))
    except ValueError:
        return text in ("", "-")
    return True
