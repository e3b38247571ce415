"""Tables for a person at a terminal, wide or narrow."""

import pytest

from mmrec_tf import cli_output
from mmrec_tf.cli_output import progress_bars, show_rows
from mmrec_tf.data.problems import Problem, ValidationReport

REMEDY = "Add these items to the items table. Or set data.policies.unknown_item: keep or stop."
REPORT = ValidationReport(
    [
        Problem("unknown_item", "interactions", "item_id", 3, 12, "'x [/b]'", REMEDY, "dropped", 3),
        Problem("missing_column", "items", "photo", 0, None, "", "The table has: item_id, title.", "stops", 0),
    ]
)


@pytest.fixture
def shown(monkeypatch, capsys):
    """Lines of `show_rows` at a width."""

    def shown(width, *arguments):
        monkeypatch.setattr(cli_output.console, "_width", width)
        show_rows(*arguments)
        return [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]

    return shown


def test_words_that_do_not_fit_become_paragraphs(shown):
    assert shown(80, "found", REPORT.HEADER, REPORT.to_rows()) == [
        "found",
        "unknown_item",
        "  where    interactions.item_id",
        "  count    3",
        "  example  row 12: 'x [/b]'",
        "  done     dropped 3 rows",
        "  remedy   Add these items to the items table. Or set",
        "           data.policies.unknown_item: keep or stop.",
        "missing_column",
        "  where    items.photo",
        "  count    0",
        # No row, so no example.
        "  done     stops the run",
        "  remedy   The table has: item_id, title.",
    ]


def test_words_that_fit_are_a_table(shown):
    title, header, _, first, *_ = shown(200, "found", REPORT.HEADER, REPORT.to_rows())
    assert title == "found" and header.split() == list(REPORT.HEADER)
    assert first.split("  ")[0].strip() == "unknown_item" and first.endswith(REMEDY) and "'x [/b]'" in first


def test_one_column_of_words_is_folded_in_a_table_as_far_as_it_can_be_read(shown):
    header, rows = ("rank", "title", "score"), [(1, "a long title " * 8, 0.25), (2, "short", 0.125)]
    lines = shown(40, "items", header, rows)
    # Rank 4, title at least 24, score 6 and a space behind each are 37.
    assert lines[1].split() == ["rank", "title", "score"] and max(map(len, lines)) <= 40
    assert [line.split()[-1] for line in lines if line.split()[0] in ("1", "2")] == ["0.2500", "0.1250"]
    assert shown(36, "items", header, rows)[1:4] == [
        "1",
        # 36 less 9 are 27.
        "  title  a long title a long title a",
        "         long title a long title a",
    ]


def test_a_table_without_rows_has_a_header(shown):
    assert shown(80, "nothing", ("a", "b"), [])[:2] == ["nothing", " a  b"]


def test_progress_without_a_terminal_is_a_line_when_something_is_done_or_time_has_passed(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(cli_output.time, "monotonic", lambda: now[0])
    with progress_bars() as progress:
        # Seconds since the start, and what is said then.
        for at, said in (
            (1, ("training retrieval", 1, 30)),
            (12, ("training retrieval", 2, 30)),
            (15, ("training retrieval", 3, 30)),
            (15, ("reading [photo]", 7, 7)),
            (16, ("reading [photo]", 7, 7)),
            (24, ("training retrieval", 4, 30)),
            (75, ("training retrieval", 5, 30)),
        ):
            now[0] = 100.0 + at
            progress(*said)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "  0:12  training retrieval  2/30",
        "  0:15  reading [photo]  7/7",
        "  1:15  training retrieval  5/30",
    ]
