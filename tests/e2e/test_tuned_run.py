"""A run that tunes an encoder: from tables to vectors that the tuned encoder gives."""

import json

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.workflow import OpenRun, train_run
from tests import tale_world
from tests.tiny_encoders import make_text_network

pytestmark = pytest.mark.slow


def test_the_runs_vectors_are_the_tuned_encoders(tmp_path):
    data = tale_world.rec_data()
    data.interactions.to_csv(tmp_path / "interactions.csv", index=False)
    data.items.to_csv(tmp_path / "items.csv", index=False)
    tuning = {"mode": "full", "learning_rate": 0.003, "epochs": 4, "batch_size": 32}
    config = tale_world.config(make_text_network(tmp_path / "network"), tmp_path, tuning)
    files = {"interactions": tmp_path / "interactions.csv", "items": tmp_path / "items.csv"}
    config = config.model_copy(update={"data": config.data.model_copy(update=files)})
    steps = []
    run = train_run(config, tmp_path / "run", progress=lambda *step: steps.append(step))
    assert ("tuning the encoder of tale", 28, 28) in steps
    written = json.loads((run.folder / "history.json").read_text())
    summary = written["tuning"]["tale"]
    assert summary["steps"] == 28 and summary["share"] == 1.0
    assert summary["loss after"] < summary["loss before"] - 0.3
    assert len(written["history"]["tuning tale"]["loss"]) == 4 and written["seconds"]["tune encoders"] > 0
    assert "tuning tale" in (run.folder / "report.html").read_text(encoding="utf-8")

    encoder = run.load_encoder(run.load_config(), "tale")
    items = FeatureTable.load(run.folder / "features" / "items")
    texts = tf.constant(tale_world.tales())
    expected = (encoder(texts) - items.centres["tale"]) / items.scales["tale"]
    np.testing.assert_allclose(items.vectors["tale"][1:], expected, atol=1e-3)
    # Tuned anew from the same start, tables and models would be others; opened again, they are the run's.
    assert OpenRun(run.folder).evaluate() == json.loads((run.folder / "metrics.json").read_text())
