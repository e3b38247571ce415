"""Facts about files that are kept while the files stay as they are."""

import errno
import os
import time
from pathlib import Path

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
    assert memory.forget_vanished(keep=[old_file]) == 0
    assert memory.forget_vanished() == 1
    assert memory.forget_vanished() == 0


def test_a_file_that_could_not_be_read_is_tried_again(old_file, tmp_path, monkeypatch):
    reasons = ["Stale file handle", None]
    monkeypatch.setattr(media, "reading_fault", lambda path: reasons.pop(0))
    first = check_media(np.array([old_file], object), "image", memory=FileMemory(tmp_path / "files.json"))
    assert first.unreadable == {0: f"{old_file} cannot be read (Stale file handle)"} and first.broken == {}
    second = check_media(np.array([old_file], object), "image", memory=FileMemory(tmp_path / "files.json"))
    assert list(second.broken) == [0] and second.unreadable == {}


def test_a_memory_that_cannot_be_read_is_not_damaged_and_stays(old_file, tmp_path, monkeypatch):
    path = tmp_path / "files.json"
    check_media(np.array([old_file], object), "image", memory=FileMemory(path))
    before = path.read_bytes()

    def fail(self):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch, pytest.warns(UserWarning) as caught:
        patch.setattr(Path, "read_bytes", fail)
        check_media(np.array([old_file], object), "image", memory=FileMemory(path))
    messages = [str(warning.message) for warning in caught]
    assert "cannot be read" in messages[0] and not any("damaged" in message for message in messages)
    assert path.read_bytes() == before
