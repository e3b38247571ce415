"""What `mmrec compress` shows of what could not be made."""

from dataclasses import asdict
from types import SimpleNamespace

from typer.testing import CliRunner

from mmrec_tf.cli import app
from mmrec_tf.compression_trial import QUERY, TABLE, Compressed, with_ratios


def test_ratios_are_of_the_first_where_it_could_be_made():
    rows = [Compressed(QUERY, "float32", 400, 200), Compressed(QUERY, "int8", 100, 150), Compressed(QUERY, "int8 full")]
    assert [(one.ratio, one.zipped_ratio) for one in with_ratios(rows)] == [(1.0, 1.0), (0.25, 0.75), (None, None)]
    assert [one.ratio for one in with_ratios(rows[::-1])] == [None, None, None]


def test_what_could_not_be_made_is_named_with_the_reason(tmp_path, monkeypatch):
    (tmp_path / "config.yaml").touch()
    (tmp_path / "checkpoints").mkdir()
    parts = [
        Compressed(TABLE, "float32", 2_000_000, 1_500_000, 1.0, 1.0, 0.5, 0.125, 0.0),
        Compressed(QUERY, "float32", note="TFLite cannot hold this in float32: tf.Odd"),
        Compressed(QUERY, "int8", 250_000, 200_000, None, None, 0.25, 0.0, None),
    ]
    found = {"metric": "ndcg@10", "users": 20, "test_users": 30, "trained": {"retrieval": 0.125}}
    opened = SimpleNamespace(
        check_same_interactions=lambda: None, run=None, prepared=None, retrieval=None, ranking=None
    )
    monkeypatch.setattr("mmrec_tf.workflow.OpenRun", lambda *_: opened)
    monkeypatch.setattr(
        "mmrec_tf.run_compress.compress_run", lambda *_: {**found, "parts": [asdict(part) for part in parts]}
    )
    monkeypatch.setattr("mmrec_tf.cli_compress.console.width", 150)
    shown = CliRunner().invoke(app, ["compress", str(tmp_path)])
    assert shown.exit_code == 0, shown.exception
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["item", "embeddings", "float32", "2.000", "1.000", "1.500", "0.500", "0.1250", "0.00"] in lines
    assert ["query", "tower", "float32", *["-"] * 6] in lines
    assert ["query", "tower", "int8", "0.250", "-", "0.200", "0.250", "0.0000", "-"] in lines
    assert "query tower, float32: TFLite cannot hold this in float32: tf.Odd" in shown.stdout
    assert "20 of 30 test users" in shown.stdout
