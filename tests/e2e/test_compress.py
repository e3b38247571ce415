"""`mmrec compress` and `mmrec export --table` on a finished run."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

from mmrec_tf.cli import app
from mmrec_tf.errors import RunError, ServingError
from mmrec_tf.serving.small_models import SmallModel
from mmrec_tf.workflow import OpenRun

pytestmark = pytest.mark.slow

VARIANTS = ["float32", "float16", "int8", "int8 full", "half the weights 0", "16 shared weights"]


def mmrec(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "150"})


@pytest.fixture(scope="module")
def run(plain_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compressed") / "run"
    shutil.copytree(plain_run.folder, folder)
    return folder


@pytest.fixture(scope="module")
def found(run):
    answer = mmrec("compress", run, "--calls", 5, "--json")
    assert answer.exit_code == 0, answer.exception
    return json.loads(answer.stdout)


def test_every_part_is_measured_on_the_test_users(run, found):
    assert json.loads((run / "compression.json").read_text(encoding="utf-8")) == found
    figures = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["comparison"]["groups"]["all"]
    wanted = {name: values["ndcg@10"] for name, values in figures.items() if name.startswith("two-tower")}
    assert list(found["trained"].values()) == pytest.approx([wanted.pop("two-tower"), *wanted.values()], abs=1e-6)
    assert found["metric"] == "ndcg@10" and found["users"] == found["test_users"] > 20
    rows = {(one["part"], one["variant"]): one for one in found["parts"]}
    expected = [("item embeddings", table) for table in VARIANTS[:3]]
    expected += [(part, variant) for part in ("query tower", "candidate tower", "ranker") for variant in VARIANTS]
    assert list(rows) == expected
    for (part, variant), one in rows.items():
        assert one["note"] == "" and one["milliseconds"] > 0.0, (part, variant, one["note"])
        trained = found["trained"]["chain" if part == "ranker" else "retrieval"]
        assert one["loss"] == pytest.approx(1.0 - one["ndcg"] / trained)
        if variant == "float32":
            # The same model in another program.
            assert one["ratio"] == 1.0 and one["ndcg"] == pytest.approx(trained, abs=2e-3)
        if variant == "float16":
            assert abs(one["loss"]) < 0.03
        if variant in ("half the weights 0", "16 shared weights"):
            assert one["ratio"] == pytest.approx(1.0, abs=0.01) and one["zipped_ratio"] < 0.995
    assert rows["item embeddings", "int8"]["ratio"] < 0.28 and abs(rows["item embeddings", "int8"]["loss"]) < 0.05
    for part in ("query tower", "candidate tower", "ranker"):
        assert rows[part, "int8"]["ratio"] < rows[part, "float16"]["ratio"] < 0.8


def test_the_files_answer_as_the_models_do_now(run, found):
    described = json.loads((run / "export_small" / "models.json").read_text(encoding="utf-8"))
    files = sorted(path.name for path in (run / "export_small").glob("*.tflite"))
    assert len(files) == 18 and files == sorted(name for name in described if name.endswith(".tflite"))
    opened = OpenRun(run)
    prepared = opened.prepared
    prepared.bring_up_to_date((opened.retrieval, opened.ranking), prepared.split.validation, prepared.split.test)
    name = "candidate_tower_float32.tflite"
    assert described[name]["inputs"] == {"item_index": {"dtype": "int32", "shape": [1]}}
    tower = SmallModel((run / "export_small" / name).read_bytes())
    answers = [tower({"item_index": np.array([item], np.int32)})[0] for item in (1, 40)]
    np.testing.assert_allclose(answers, opened.retrieval.candidate_embeddings()[[1, 40]], atol=1e-4)
    # Nobody can tell a period, and 0 would be the time before anything was popular.
    assert "item_index" in described["ranker_float32.tflite"]["inputs"]
    assert not [name for name, of in described.items() if "tflite" in name and "moment" in of["inputs"]]
    assert described["similarity_weight"] == float(opened.ranking.similarity_weight.numpy())


@pytest.mark.thorough
def test_the_table_says_so_and_a_sample_too(run):
    shown = mmrec("compress", run, "--calls", 5, "--users", 20)
    assert shown.exit_code == 0, shown.exception
    assert "20 of" in shown.stdout and "loss %" in shown.stdout and "NDCG@10" in shown.stdout
    table = json.loads((run / "compression.json").read_text(encoding="utf-8"))["parts"][2]
    assert table["variant"] == "int8" and f"{table['ratio']:.3f}" in shown.stdout


def test_export_with_another_table(run):
    exported = mmrec("export", run, "--table", "int8")
    assert exported.exit_code == 0, exported.exception
    variables = str(max((run / "export" / "retrieval").glob("[0-9]*")) / "variables" / "variables")
    types = tf.train.load_checkpoint(variables).get_variable_to_dtype_map()
    assert list(types.values()).count(tf.int8) == 1


def test_mistakes(run, tmp_path):
    assert isinstance(mmrec("compress", tmp_path).exception, RunError)
    mistake = mmrec("export", run, "--table", "int4").exception
    assert isinstance(mistake, ServingError)
    assert str(mistake) == "--table is 'int4'. Allowed: float32, float16, int8."
    assert mmrec("compress", run, "--users", 0).exit_code == 2
