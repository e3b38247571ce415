"""What TensorFlow Serving is started with."""

import os
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from mmrec_tf.serving.server_files import batching_parameters, models_config, write_server_files


@pytest.fixture
def export(tmp_path):
    for version in (
        "retrieval/9",
        "retrieval/10",
        "retrieval/2",
        "recommend/1",
        "recommend/.unfinished-x",
        ".hidden/1",
    ):
        (tmp_path / version).mkdir(parents=True)
    (tmp_path / "recommend" / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_models_versions_and_labels(export):
    config = text_format.Parse(models_config(export), model_server_config_pb2.ModelServerConfig())
    models = {model.name: model for model in config.model_config_list.config}
    assert sorted(models) == ["recommend", "retrieval"]
    assert {model.base_path for model in models.values()} == {"/models/recommend", "/models/retrieval"}
    assert {model.model_version_policy.latest.num_versions for model in models.values()} == {2}
    assert {model.model_platform for model in models.values()} == {"tensorflow"}


def test_labels_by_hand(export):
    lines = [line.strip() for line in models_config(export).splitlines() if not line.startswith("#")]
    assert lines[:3] == ["model_config_list {", "config {", 'name: "recommend"']
    labels = [line for line in lines if line.startswith(("key:", "value:"))]
    assert labels == [
        'key: "latest"', "value: 1",
        'key: "latest"', "value: 10", 'key: "previous"', "value: 9",
    ]  # fmt: skip
    assert "\n".join(lines).count("{") == "\n".join(lines).count("}")


def test_batches_fit_the_catalogue():
    def largest(items):
        return next(line for line in batching_parameters(items).splitlines() if line.startswith("max_batch_size"))

    # 64 MB are 16 rows of a million scores.
    assert largest(1_000_000) == "max_batch_size { value: 16 }"
    assert largest(1_000) == "max_batch_size { value: 64 }" and largest(10**9) == "max_batch_size { value: 1 }"
    assert "batch_timeout_micros { value: 0 }" in batching_parameters(1)


def test_the_files_fit_together(export):
    written = write_server_files(export, items=1000)
    assert sorted(path.name for path in written) == sorted(path.name for path in export.iterdir() if path.is_file())
    compose = yaml.safe_load((export / "docker-compose.yml").read_text())
    serving, prometheus = compose["services"]["serving"], compose["services"]["prometheus"]
    assert serving["volumes"] == [".:/models:ro"] and serving["ports"] == ["8500:8500", "8501:8501"]
    flags = dict(flag.removeprefix("--").split("=") for flag in serving["command"])
    for flag in ("model_config_file", "batching_parameters_file", "monitoring_config_file"):
        assert (export / flags[flag].removeprefix("/models/")).is_file(), flag
    assert flags["allow_version_labels_for_unavailable_models"] == flags["enable_batching"] == "true"
    mounted, place, _ = prometheus["volumes"][0].split(":")
    assert (export / mounted).is_file() and place == "/etc/prometheus/prometheus.yml"
    # Every file that a service is given is written here, and lies where the service's own files look for it.
    mounts = [
        volume.split(":")[:2] for name in ("prometheus", "grafana") for volume in compose["services"][name]["volumes"]
    ]
    assert all((export / source).is_file() for source, _ in mounts)
    places = {source.removeprefix("./"): Path(place) for source, place in mounts}
    (rules,) = yaml.safe_load((export / "prometheus.yml").read_text())["rule_files"]
    assert places["alerts.yml"] == places["prometheus.yml"].parent / rules
    (provider,) = yaml.safe_load((export / "grafana_dashboards.yml").read_text())["providers"]
    assert places["grafana_dashboard.json"].parent == Path(provider["options"]["path"])
    assert places["grafana_datasource.yml"].parent == Path("/etc/grafana/provisioning/datasources")
    assert places["grafana_dashboards.yml"].parent == Path("/etc/grafana/provisioning/dashboards")
    (source,) = yaml.safe_load((export / "grafana_datasource.yml").read_text())["datasources"]
    assert source["url"].removeprefix("http://").split(":")[0] in compose["services"]
    (job,) = yaml.safe_load((export / "prometheus.yml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["serving:8501"]}]
    assert f'path: "{job["metrics_path"]}"' in (export / "monitoring.config").read_text()


def test_two_exports_at_once_write_whole_files_of_the_newest_version(export, monkeypatch):
    replace = os.replace

    def overtaken(source, target):
        # Another export adds a version and writes all its files just before this one puts its own in place.
        if target.name == "models.config" and not (export / "retrieval" / "11").exists():
            (export / "retrieval" / "11").mkdir()
            write_server_files(export, items=1000)
        replace(source, target)

    monkeypatch.setattr(os, "replace", overtaken)
    written = write_server_files(export, items=1000)
    assert (export / "models.config").read_text() == models_config(export) and "value: 11" in models_config(export)
    assert sorted(path.name for path in written) == sorted(path.name for path in export.iterdir() if path.is_file())


def test_files_take_their_place_in_one_rename(export, monkeypatch):
    write_server_files(export, items=1000)
    before = {path.name: path.read_text() for path in export.iterdir() if path.is_file()}
    (export / "recommend" / "2").mkdir()
    replace = os.replace

    def stopped(source, target):
        if target.name == "models.config":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_server_files(export, items=1000)
    assert {path.name: path.read_text() for path in export.iterdir() if path.is_file()} == before
