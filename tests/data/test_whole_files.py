"""Files and folders that are complete or not there, and what is left of processes that are gone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmrec_tf.data.whole_files import hidden_name, is_marked, marked, sweep, workshop_beside, write_whole


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole_and_its_folder_made(tmp_path):
    path = tmp_path / "deep" / "er" / "report.html"
    write_whole(path, lambda file: file.write(b"first"))
    write_whole(path, lambda file: file.write(b"second"))
    assert path.read_bytes() == b"second" and names(path.parent) == ["report.html"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "report.html"
    path.write_bytes(b"whole")

    def half(file):
        file.write(b"ha")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, half)
    assert path.read_bytes() == b"whole" and names(tmp_path) == ["report.html"]


def test_a_workshop_goes_and_what_was_renamed_stays(tmp_path):
    with workshop_beside(tmp_path / "new" / "shop") as workshop:
        assert workshop.parent == tmp_path / "new" and workshop.name.startswith(".shop.")
        (workshop / "built").mkdir()
        (workshop / "scraps").write_text("x")
        os.replace(workshop / "built", tmp_path / "new" / "shop")
    assert names(tmp_path / "new") == ["shop"]
    with pytest.raises(RuntimeError), workshop_beside(tmp_path / "new" / "shop") as workshop:
        (workshop / "half").write_text("x")
        raise RuntimeError
    assert names(tmp_path / "new") == ["shop"]


def test_a_workshop_beside_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with workshop_beside(Path(".")) as workshop:
        assert workshop.parent == tmp_path and workshop.name.startswith(".here.")


def test_only_what_the_dead_have_left_is_swept_away(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    mine = hidden_name(tmp_path / "chunk")
    stem, time = mine.name.removesuffix(mine.suffix), mine.suffix
    theirs = tmp_path / (stem.removesuffix(str(os.getpid())) + str(process.pid) + time)
    theirs.mkdir()
    (theirs / "half").write_bytes(b"12345")
    mine.write_bytes(b"x")
    (tmp_path / ".hidden.by.somebody").write_bytes(b"x")
    assert sweep(tmp_path) == 5
    assert names(tmp_path) == sorted([mine.name, ".hidden.by.somebody"])


def test_a_folder_is_marked_while_it_is_used(tmp_path):
    with marked(tmp_path / "store"):
        assert is_marked(tmp_path / "store")
    assert not is_marked(tmp_path / "store") and names(tmp_path / "store") == []
