"""From tables and media to a run: what the artifact holds, and that it says the truth."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from mmrec_tf.config_file import load_config
from mmrec_tf.errors import DataError, RunError
from mmrec_tf.recommend.recommender import Recommender
from mmrec_tf.workflow import OpenRun, train_run

pytestmark = pytest.mark.slow


def test_run_holds_every_part(small_run):
    present = {path.name for path in small_run.folder.iterdir()}
    assert {
        "config.yaml", "schema.yaml", "validation.json", "metrics.json", "history.json", "report.html",
        "features", "checkpoints", "items.parquet", "users.parquet", "export",
    } <= present  # fmt: skip
    assert sorted(path.name for path in (small_run.folder / "export").iterdir()) == [
        "alerts.yml",
        "batching_parameters.txt",
        "docker-compose.yml",
        "grafana_dashboard.json",
        "grafana_dashboards.yml",
        "grafana_datasource.yml",
        "item_encoder",
        "models.config",
        "monitoring.config",
        "prometheus.yml",
        "ranking",
        "recommend",
        "retrieval",
    ]


def test_nothing_unfinished_is_left_beside_the_run(small_run):
    assert [path.name for path in small_run.folder.parent.iterdir()] == [small_run.folder.name]


def test_report_is_self_contained_and_shows_every_model(small_run):
    page = (small_run.folder / "report.html").read_text(encoding="utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "") and "<script src" not in page
    for name in ("popularity", "item", "matrix", "two-tower", "DeepFM"):
        assert name in page
    assert page.count("data:image/") >= 4


def test_reopened_run_measures_the_same(small_run):
    # The models are rebuilt from weights and tables, the data is read again: any difference is a loss in saving.
    before = json.loads((small_run.folder / "metrics.json").read_text())
    after = OpenRun(small_run.folder).evaluate()
    assert json.loads(json.dumps(after)) == before


def test_recommendations_leave_out_what_was_seen(small_run, small_shop):
    interactions = pd.read_csv(small_shop.parent / "interactions.csv", dtype=str)
    recommender = Recommender.load(small_run.folder)
    users = interactions["user_id"].unique()[:20]
    table = recommender.recommend_all(users, k=15)
    seen = set(zip(interactions["user_id"], interactions["item_id"]))
    assert not seen & set(zip(table["user_id"], table["item_id"]))
    assert table.groupby("user_id")["item_id"].nunique().eq(15).all()
    assert (table.groupby("user_id")["score"].diff().dropna() <= 0).all()


def test_same_seed_same_run(plain_run, plain_config, tmp_path):
    again = train_run(plain_config, tmp_path / "again")
    for name in ("metrics.json", "examples.json"):
        assert (again.folder / name).read_text() == (plain_run.folder / name).read_text()


@pytest.mark.thorough
def test_same_seed_same_run_of_texts_and_media(small_run, small_config, tmp_path):
    again = train_run(small_config, tmp_path / "again")
    for name in ("metrics.json", "examples.json"):
        assert (again.folder / name).read_text() == (small_run.folder / name).read_text()


def test_interrupted_training_leaves_the_earlier_run_whole(small_shop, tmp_path):
    target = tmp_path / "run"
    (target / "checkpoints").mkdir(parents=True)
    (target / "config.yaml").write_text("earlier")

    def interrupt(description, done, total):
        if description.startswith("training"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(load_config(small_shop), target, overwrite=True, progress=interrupt)
    assert (target / "config.yaml").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("name", ["explicit_als", "hybrid"])
def test_a_baseline_that_the_data_cannot_feed_is_refused_before_training(small_shop, tmp_path, name):
    # Purchases have no label, and this split no validation part.
    settings = ["split.method=temporal", "split.validation=0.0", f"evaluation.baselines=[popularity, {name}]"]
    steps = []
    with pytest.raises(DataError, match=f"leave {name} out of evaluation.baselines"):
        train_run(load_config(small_shop, settings), tmp_path / "run", progress=lambda *step: steps.append(step[0]))
    assert steps and not [step for step in steps if step.startswith("training")]
    assert list(tmp_path.iterdir()) == []


def test_changed_tables_are_refused(small_run, small_shop, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(small_run.folder, run)
    items = pd.read_csv(small_shop.parent / "items.csv", dtype=str, keep_default_na=False)
    items.iloc[::-1].to_csv(tmp_path / "items.csv", index=False)
    content = yaml.safe_load((run / "config.yaml").read_text())
    content["data"]["items"] = str(tmp_path / "items.csv")
    (run / "config.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(RunError, match="items table has changed"):
        OpenRun(run)


def test_changed_interactions_are_not_evaluated(small_run, small_shop, tmp_path):
    # A row less, and a random split would shuffle what was trained on into the test.
    run = tmp_path / "run"
    shutil.copytree(small_run.folder, run)
    lines = (small_shop.parent / "interactions.csv").read_text().splitlines(keepends=True)
    (tmp_path / "interactions.csv").write_text("".join(lines[:3] + lines[4:]))
    content = yaml.safe_load((run / "config.yaml").read_text())
    content["data"]["interactions"] = str(tmp_path / "interactions.csv")
    (run / "config.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(RunError, match="interactions have changed"):
        OpenRun(run).evaluate()
    assert (run / "metrics.json").read_text() == (small_run.folder / "metrics.json").read_text()


def test_ratings_train_a_ranker_of_ratings(tmp_path):
    # Ratings that depend on the item alone: the ranker must do better than the mean rating.
    random = np.random.default_rng(0)
    users, items = random.integers(0, 40, 1500), random.integers(0, 30, 1500)
    frame = pd.DataFrame({"user": users, "item": items, "stars": 1 + items % 5, "time": np.arange(1500)})
    frame.drop_duplicates(["user", "item"]).to_csv(tmp_path / "interactions.csv", index=False)
    pd.DataFrame({"item": range(30), "kind": [f"k{i % 5}" for i in range(30)]}).to_csv(
        tmp_path / "items.csv", index=False
    )
    (tmp_path / "config.yaml").write_text(
        """
data: {interactions: interactions.csv, items: items.csv, label: stars, label_range: [1, 5], positive_from: 4}
schema: {user: {user: id}, item: {item: id, kind: categorical}, context: {time: timestamp}}
split: {method: temporal}
models: {ranking: {target: rating, members: 1}}
train: {epochs: 1, batch_size: 64, ranking: {epochs: 40, batch_size: 64, learning_rate: 0.01, patience: 40}}
"""
    )
    run = train_run(load_config(tmp_path / "config.yaml"), tmp_path / "run")
    metrics = run.read_json("metrics.json")["ranker"]
    # Stars are uniform over 1..5 by kind: predicting the mean has an RMSE of sqrt(2) = 1.41.
    assert metrics["rmse"] < 0.7
    assert metrics["auc"] > 0.9
