"""Folders that take their place whole, whenever the process is killed."""

import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from mmrec_tf import folders
from mmrec_tf.folders import replacing, settled, swap_in, unfinished_folder

# Ends itself, as `kill -9` does, before the numbered call of os.replace; 0 for right after the exchange.
KILLED = """
import os, signal, sys
from pathlib import Path
from mmrec_tf import folders

parent, call, can_exchange = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True"
calls = 0

def end():
    os.kill(os.getpid(), signal.SIGKILL)

def replace(*paths, whole=os.replace):
    global calls
    calls += 1
    if calls == call:
        end()
    whole(*paths)

def exchange(*paths, whole=folders._exchange):
    done = can_exchange and whole(*paths)
    if done and call == 0:
        end()
    return done

os.replace, folders._exchange = replace, exchange
with folders.unfinished_folder(parent, ".state.new-") as new:
    (new / "which").write_text("new")
    folders.swap_in(new, parent / "state")
"""


@pytest.fixture
def parent(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "which").write_text("old")
    return tmp_path


def test_two_that_write_a_file_at_once_do_not_take_each_others_away(tmp_path):
    target = tmp_path / "file.txt"
    with replacing(target) as first:
        first.write_text("first")
        with replacing(target) as second:
            second.write_text("second")
        assert target.read_text() == "second"
    assert target.read_text() == "first" and list(tmp_path.iterdir()) == [target]


def make(parent, content):
    with unfinished_folder(parent, ".state.new-") as new:
        (new / "which").write_text(content)
        swap_in(new, parent / "state")


def which(parent):
    return (settled(parent / "state") / "which").read_text()


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_takes_the_place_of_another_and_nothing_is_left(parent, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(folders, "_exchange", lambda *paths: False)
    make(parent, "new")
    assert which(parent) == "new" and os.listdir(parent) == ["state"]
    # And where there is none.
    (parent / "state" / "which").unlink(), (parent / "state").rmdir()
    make(parent, "first")
    assert which(parent) == "first" and os.listdir(parent) == ["state"]


def test_this_system_exchanges_in_one_step(parent):
    (parent / "other").mkdir()
    assert folders._exchange(parent / "other", parent / "state")
    assert (parent / "other" / "which").read_text() == "old" and os.listdir(parent / "state") == []
    assert not folders._exchange(parent / "none", parent / "state")


def test_what_fails_leaves_the_old_folder(parent):
    with pytest.raises(ZeroDivisionError), unfinished_folder(parent, ".state.new-") as new:
        (new / "which").write_text("half")
        raise ZeroDivisionError
    assert which(parent) == "old" and os.listdir(parent) == ["state"]


@pytest.mark.parametrize(
    ("call", "can_exchange", "expected"),
    [
        (0, True, "new"),
        # Neither moved, the old one moved away, both moved.
        (1, False, "old"),
        (2, False, "old"),
    ],
)
def test_a_kill_at_any_step_leaves_one_of_the_two_whole(parent, call, can_exchange, expected):
    command = [sys.executable, "-c", KILLED, str(parent), str(call), str(can_exchange)]
    assert subprocess.run(command, timeout=60).returncode == -signal.SIGKILL
    assert which(parent) == expected
    # What was left is in nobody's way, and goes when it has lain there for a while.
    left = [path for path in parent.iterdir() if path.name.startswith(".state.new-")]
    assert len(left) == 1
    os.utime(left[0], (time.time() - 3600,) * 2)
    make(parent, "again")
    assert which(parent) == "again" and os.listdir(parent) == ["state"]


def test_what_another_process_works_on_stays(tmp_path):
    working, left, young = (tmp_path / f".x-{name}" for name in ("working", "left", "young"))
    for path in (working, left, young):
        path.mkdir()
    for path in (working, left):
        os.utime(path, (time.time() - 3600,) * 2)
    lock = os.open(working, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with unfinished_folder(tmp_path, ".x-") as mine:
        assert {path.name for path in tmp_path.iterdir()} == {".x-working", ".x-young", mine.name}
        os.utime(mine, (time.time() - 3600,) * 2)
        with unfinished_folder(tmp_path, ".x-"):
            assert mine.exists()
    os.close(lock)
