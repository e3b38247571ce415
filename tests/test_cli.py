"""The command line's promises: quick help, short messages, exit codes."""

import subprocess
import sys

import pytest


def mmrec(*arguments, cwd=None):
    code = "import sys; from mmrec_tf.cli import main; sys.argv[0] = 'mmrec'; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, timeout=300
    )


def test_help_does_not_import_tensorflow():
    code = (
        "import sys\nfrom mmrec_tf.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'tensorflow', 'pandas', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, finished.stderr
    commands = "init validate embed train tune evaluate recommend export serve report demo"
    for command in commands.split():
        assert f" {command} " in finished.stdout


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["train", "absent.yaml"], "absent.yaml does not exist"),
        (["validate", "absent.yaml"], "mmrec init"),
        (["tune", "absent.yaml"], "absent.yaml does not exist"),
        (["init", "absent"], "absent"),
        (["recommend", "absent", "--user", "u"], "is no finished run"),
        (["recommend", "absent"], "--user"),
        (["recommend", "absent", "--user", "u", "--k", "0"], "at least 1"),
        (["recommend", "absent", "--all-users"], "--out"),
        (["recommend", "absent", "--user", "u", "--out", "lists.csv"], "--out goes with --all-users"),
        (["recommend", "absent", "--all-users", "--out", "lists.csv", "--json"], "--json prints one user's list"),
        (["train", "."], "is a folder, not a configuration file"),
        (["evaluate", "absent"], "is no finished run"),
        (["export", "absent"], "is no finished run"),
        (["serve", "absent"], "is no finished run"),
        (["index", "absent", "--add", "items.csv"], "is no finished run"),
        (["check-export", "absent"], "is no folder"),
        (["report", "absent"], "is no finished run"),
        (["train"], "Missing argument"),
        (["nonsense"], "No such command"),
    ],
)
def test_a_users_mistake_gives_a_message_and_exit_code_2(arguments, expected, tmp_path):
    finished = mmrec(*arguments, cwd=tmp_path)
    assert finished.returncode == 2
    assert expected in finished.stderr
    assert "Traceback" not in finished.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("setting", ["fusion.method=gatd", "alignment=ccca", "encoders.text=hashd_text"])
def test_names_that_only_the_models_parts_know_are_checked_before_the_data_are_read(setting, tmp_path):
    (tmp_path / "c.yaml").write_text(
        "data: {interactions: a.csv, items: b.csv}\nschema: {user: {u: id}, item: {i: id, words: text}}\n"
        "split: {method: random}\n"
    )
    finished = mmrec("validate", "c.yaml", "--set", setting, cwd=tmp_path)
    assert finished.returncode == 2 and "Traceback" not in finished.stderr
    assert "is unknown. Did you mean" in finished.stderr


def test_misspelt_setting_names_the_nearest(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "data: {interactions: a.csv, items: b.csv}\nschema: {user: {u: id}, item: {i: id}}\n"
    )
    finished = mmrec("train", "c.yaml", "--set", "train.epoch=3", "--set", "split.method=random", cwd=tmp_path)
    assert finished.returncode == 2
    assert "train.epoch: unknown key. Did you mean 'epochs'?" in finished.stderr
