"""What the command line shows: tables, progress bars and short messages for a person at a terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

console = Console()
errors = Console(stderr=True)

SECONDS_BETWEEN_LINES = 10.0
"""Where progress goes to a file, a line is written this often at the most, and one when something is done."""

_FOLDED = 24
"""Characters of a line that words are folded into without becoming hard to read."""


@contextmanager
def progress_bars() -> Iterator:
    """A `progress(description, done, total)` function that shows one bar for each description.

    Bars go to the error stream, so that piped output stays clean. Where that stream is no terminal (a log file, a job's
    output) there is nothing to draw over, and what is done is written line by line.
    """
    if not errors.is_terminal:
        yield _progress_lines(SECONDS_BETWEEN_LINES)
        return
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


def _progress_lines(seconds_between: float) -> Callable[[str, int, int], None]:
    begun = time.monotonic()
    written, last = begun, None

    def progress(description: str, done: int, total: int) -> None:
        nonlocal written, last
        now, told = time.monotonic(), (description, done, total)
        if told != last and (done >= total or now - written >= seconds_between):
            written, last = now, told
            minutes, seconds = divmod(int(now - begun), 60)
            errors.print(f"{minutes:3d}:{seconds:02d}  {description}  {done}/{total}", highlight=False, markup=False)

    return progress


def show_rows(title: str, header, rows) -> None:
    """Prints a table, numbers to the right; a paragraph for each row where the terminal is too narrow for its words."""
    rows = [[_cell(value) for value in row] for row in rows]
    header = [str(name) for name in header]
    numeric = [bool(rows) and all(map(_is_number, column)) for column in zip(*rows)] or [False] * len(header)
    if _needed_width(header, rows, numeric) > console.width:
        _show_paragraphs(title, header, rows)
        return
    # As text, like the cells: brackets in an id or in an item's title are no markup.
    shown = Text(title, style="table.title")
    table = Table(title=shown, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name, is_numeric in zip(header, numeric):
        table.add_column(name, justify="right" if is_numeric else "left", overflow="fold", no_wrap=is_numeric)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _needed_width(header: list[str], rows: list[list[str]], numeric: list[bool]) -> int:
    """Columns of the terminal below which the table cannot be read; words fold, numbers do not."""
    needed = 0
    for name, cells, is_numeric in zip(header, zip(*rows), numeric):
        longest = max(map(len, (name, *cells)))
        needed += 1 + (longest if is_numeric else min(longest, _FOLDED))
    return needed


def _show_paragraphs(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Each row as its first cell and, indented below it, the others with their names; empty ones are left out."""
    console.print(title, style="italic", highlight=False, markup=False)
    for first, *others in rows:
        console.print(Text(f"\n{first}", style="bold"))
        lines = Table.grid(padding=(0, 2, 0, 0))
        lines.add_column(no_wrap=True, min_width=2 + max(map(len, header[1:]), default=0))
        lines.add_column(overflow="fold")
        for name, cell in zip(header[1:], others):
            if cell:
                lines.add_row(f"  {name}", Text(cell))
        console.print(lines)
    console.print()


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
    for target, figures in metrics.get("targets", {}).items():
        show_rows(f"ranking model: {target}", ("metric", "value"), list(figures.items()))


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


def quiet_tensorflow() -> None:
    """TensorFlow's Python side logs retracing and saving chatter as warnings; errors still show."""
    import logging

    import absl.logging

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    absl.logging.set_verbosity(absl.logging.ERROR)
