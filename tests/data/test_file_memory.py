"""Facts about files that are kept while the files stay as they are."""

import os
import time

import numpy as np
import pytest

from mmrec_tf.data import media
from mmrec_tf.data.file_memory import FileMemory
from mmrec_tf.data.media import check_media


@pytest.fixture
def old_file(tmp_path):
    """A file that was written some time ago, as far as its own clock says; its status change is waited for."""
    path = tmp_path / "photo.bin"
    path.write_bytes(b"no picture")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    time.sleep(2.1)
    return path


def test_verdicts_spare_opening_an_unchanged_file(old_file, tmp_path, monkeypatch):
    sources = np.array([old_file], object)
    memory = FileMemory(tmp_path / "files.json")
    first = check_media(sources, "image", memory=memory)
    assert list(first.broken) == [0]

    opened = []
    monkeypatch.setattr(media, "media_fault", lambda *arguments: opened.append(arguments))
    again = check_media(sources, "image", memory=FileMemory(tmp_path / "files.json"))
    assert again == first and opened == []
    # Another kind is another question.
    check_media(sources, "audio", memory=FileMemory(tmp_path / "files.json"))
    assert len(opened) == 1


def test_a_changed_file_is_opened_again(old_file, tmp_path, monkeypatch):
    sources = np.array([old_file], object)
    check_media(sources, "image", memory=FileMemory(tmp_path / "files.json"))
    old_file.write_bytes(b"another thing")
    opened = []
    monkeypatch.setattr(media, "media_fault", lambda *arguments: opened.append(arguments))
    assert check_media(sources, "image", memory=FileMemory(tmp_path / "files.json")).broken == {}
    assert len(opened) == 1


def test_a_file_that_has_just_changed_is_not_trusted_later(tmp_path):
    path = tmp_path / "photo.bin"
    path.write_bytes(b"no picture")
    check_media(np.array([path], object), "image", memory=FileMemory(tmp_path / "files.json"))
    later = FileMemory(tmp_path / "files.json")
    assert not later.has_verdict(path, later.state_of(path), "image")


def test_a_damaged_memory_is_written_anew(old_file, tmp_path):
    (tmp_path / "files.json").write_text("{")
    with pytest.warns(UserWarning, match="damaged"):
        check_media(np.array([old_file], object), "image", memory=FileMemory(tmp_path / "files.json"))
    later = FileMemory(tmp_path / "files.json")
    assert later.has_verdict(old_file, later.state_of(old_file), "image")


def test_vanished_files_are_forgotten(old_file, tmp_path):
    memory = FileMemory(tmp_path / "files.json")
    check_media(np.array([old_file], object), "image", memory=memory)
    old_file.unlink()
    assert memory.forget_vanished() == 1
    assert memory.forget_vanished() == 0
