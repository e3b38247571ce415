"""tools/peers/environments.py: what is installed when. Nothing is installed here: pip and venv are stood in for."""

import argparse
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools"
sys.path[:0] = [str(TOOLS), str(TOOLS / "peers")]

import benchmark_peers  # noqa: E402
import environments  # noqa: E402


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Pins of two libraries, every command that is run, and the libraries that cannot be installed."""
    (tmp_path / "requirements-some.txt").write_text("# two\nsound==1\nbroken==2\n")
    commands, broken = [], {"broken==2"}

    def run(command, log):
        command = [str(part) for part in command]
        commands.append(command)
        if command[1:3] == ["-m", "venv"]:
            (Path(command[-1]) / "bin").mkdir(parents=True, exist_ok=True)
            (Path(command[-1]) / "bin" / "python").touch()
            return 0
        return int(bool(broken) if "-r" in command else command[-1] in broken)

    monkeypatch.setattr(environments, "_run", run)
    return tmp_path, commands, broken


def _made(folder, commands):
    commands.clear()
    environments.environment(folder / "there", "some", folder)
    return [command[-1] for command in commands]


def test_what_could_not_be_installed_is_tried_again_and_nothing_else(world):
    folder, commands, broken = world
    place, pins = str(folder / "there" / "some-env"), str(folder / "requirements-some.txt")
    assert _made(folder, commands) == [place, pins, "sound==1", "broken==2"]
    assert _made(folder, commands) == ["broken==2"]
    broken.clear()
    assert _made(folder, commands) == ["broken==2"]
    assert _made(folder, commands) == []
    # Other pins make the environment anew.
    (folder / "requirements-some.txt").write_text("sound==3\n")
    assert _made(folder, commands) == [place, pins]


def test_a_stamp_of_the_digest_alone_is_a_finished_environment(world):
    folder, commands, broken = world
    broken.clear()
    _made(folder, commands)
    stamp = folder / "there" / "some-env" / "pins.sha256"
    assert len(stamp.read_text()) == 64
    assert _made(folder, commands) == []


def test_an_interpreter_that_is_not_there_is_the_reason_of_the_row(tmp_path):
    arguments = argparse.Namespace(env=tmp_path / "env", python="/no/such", minutes=1.0, threads=1, seeds=1)
    (tmp_path / "lists").mkdir()
    reason = benchmark_peers.Benchmark(arguments, tmp_path).run_peer("implicit_als")
    assert "--python /no/such" in reason
    assert "No such file" in reason


def test_an_interpreter_that_makes_no_environment_is_said(tmp_path):
    (tmp_path / "requirements-some.txt").write_text("")
    # It ends with a failure whatever it is told.
    with pytest.raises(OSError, match="has made no environment; see .*some-install.log"):
        environments.environment(tmp_path / "there", "some", tmp_path, "/bin/false")
