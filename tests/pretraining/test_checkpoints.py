"""What a stage's fingerprint covers, and which stages are kept."""

import os

import numpy as np
import pytest

from mmrec_tf.data.whole_files import marked
from mmrec_tf.pretraining.checkpoints import StageCheckpoint, fingerprint, tidy
from tests.pretraining.worlds import Line

ONES = np.ones([2, 3], np.float32)


@pytest.mark.parametrize(
    ("settings", "arrays"),
    [
        ({"a": 2}, [ONES]),
        ({"a": 1, "b": None}, [ONES]),
        ({"a": 1}, [ONES.reshape(3, 2)]),
        ({"a": 1}, [ONES.astype(np.int32)]),
        ({"a": 1}, [ONES + np.eye(2, 3, dtype=np.float32) * 1e-6]),
        ({"a": 1}, [ONES, ONES]),
        ({"a": 1}, []),
    ],
)
def test_every_change_gives_another_fingerprint(settings, arrays):
    assert fingerprint(settings, arrays) != fingerprint({"a": 1}, [ONES])


def test_the_same_content_gives_the_same_fingerprint():
    one = fingerprint({"a": 1, "b": 2}, [ONES.T])
    # Neither the order of settings nor how an array lies in memory is content.
    assert one == fingerprint({"b": 2, "a": 1}, [np.ascontiguousarray(ONES.T)])
    assert len(one) == 64


def saved(folder, *names):
    """Stages, each used a second later than the one before it."""
    for second, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for file in ("state.json", "epoch-1.index"):
            (folder / name / file).write_text("12345")
        os.utime(folder / name / "state.json", (second, second))


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_tidy_keeps_those_that_were_used_last(tmp_path):
    saved(tmp_path, "denoising-c", "denoising-b", "denoising-a", "cross_modal-a", "masked_item-a")
    assert tidy(tmp_path, {"denoising": 2, "cross_modal": 1, "distillation": 0}) == 10
    # Nobody has asked about masked_item.
    assert left(tmp_path) == ["cross_modal-a", "denoising-a", "denoising-b", "masked_item-a"]
    tidy(tmp_path, {"denoising": 0, "cross_modal": 0})
    assert left(tmp_path) == ["masked_item-a"]


def test_tidy_takes_a_stage_that_was_killed_in_its_first_epoch(tmp_path):
    saved(tmp_path, "denoising-a", "denoising-b")
    (tmp_path / "denoising-a" / "state.json").unlink()
    os.utime(tmp_path / "denoising-a", (0, 0))
    tidy(tmp_path, {"denoising": 1})
    assert left(tmp_path) == ["denoising-b"]


def test_tidy_leaves_what_another_process_is_at_work_on(tmp_path):
    saved(tmp_path, "denoising-a", "denoising-b")
    with marked(tmp_path / "denoising-a"):
        assert tidy(tmp_path, {"denoising": 0}) == 5 + 5
        assert left(tmp_path) == ["denoising-a"]
    tidy(tmp_path, {"denoising": 0})
    assert left(tmp_path) == []


def test_tidy_of_no_folder_frees_nothing(tmp_path):
    assert tidy(tmp_path / "none", {"denoising": 0}) == 0


def test_reading_a_stage_counts_as_using_it(tmp_path):
    model = Line()
    model.line.build((None, 3))
    for name in "abc":
        checkpoint = StageCheckpoint(tmp_path, "denoising", name * 64)
        checkpoint.write(model, 1, {"loss": [0.5]}, finished=True)
        os.utime(checkpoint.folder / "state.json", (ord(name), ord(name)))
    state = StageCheckpoint(tmp_path, "denoising", "a" * 64).read()
    assert state == {"epochs_done": 1, "finished": True, "history": {"loss": [0.5]}}
    tidy(tmp_path, {"denoising": 2})
    assert left(tmp_path) == ["denoising-" + name * 12 for name in "ac"]


def test_a_folder_of_another_fingerprint_with_the_same_beginning_is_not_taken(tmp_path):
    model = Line()
    model.line.build((None, 3))
    StageCheckpoint(tmp_path, "denoising", "a" * 64).write(model, 1, {}, finished=True)
    assert not StageCheckpoint(tmp_path, "denoising", "a" * 12 + "b" * 52).read()["finished"]


def test_what_a_process_killed_while_saving_has_left_is_no_hindrance(tmp_path):
    checkpoint, model = StageCheckpoint(tmp_path, "line", "a" * 64), Line()
    checkpoint.write(model, 1, {"loss": [0.5]}, finished=True)
    for name in ("epoch-1_temp", "epoch-2_temp"):
        (checkpoint.folder / name).mkdir()
        (checkpoint.folder / name / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"half")
    checkpoint.write(model, 2, {"loss": [0.5, 0.4]}, finished=True)
    assert {path.name.partition(".")[0] for path in checkpoint.folder.iterdir()} == {"state", "epoch-2-finished"}
    assert checkpoint.read()["epochs_done"] == 2
