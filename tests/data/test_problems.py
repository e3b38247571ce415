from mmrec_tf.data.problems import Problem, ValidationReport


def _problem(kind="empty_text", count=2, action="kept", affected=2, row=5) -> Problem:
    return Problem(kind, "items", "title", count, row, "''", "Write one.", action, affected)


def test_notes_are_not_wrong():
    assert ValidationReport([_problem("no_media")]).ok
    assert not ValidationReport([_problem("no_media"), _problem("empty_text")]).ok


def test_sentences_count_in_singular_and_plural():
    assert _problem().describe() == "items.title: empty_text, 2 rows, first in row 5: ''. Write one."
    assert _problem(count=1, row=None).describe() == "items.title: empty_text, 1 row. Write one."
    assert _problem(affected=1).done == "kept 1 row"
    assert _problem(action="dropped", affected=1234).done == "dropped 1,234 rows"
    assert _problem(action="stops", affected=0).done == "stops the run"


def test_summary_says_what_was_added():
    report = ValidationReport([_problem()], {"users": (2, 5), "items": (4, 3)})
    assert report.summary().splitlines() == [
        "users: 2 rows read, 5 kept, 3 added from the interactions",
        "items: 4 rows read, 3 kept",
        "- items.title: empty_text, 2 rows, first in row 5: ''. Write one. [kept 2 rows]",
    ]


def test_of_kind_selects():
    report = ValidationReport([_problem("no_media"), _problem("empty_text", count=7)])
    assert [problem.count for problem in report.of_kind("empty_text")] == [7]
