"""Versions that come and go while requests are answered: nobody is failed, and everybody gets the newest."""

import http.client
import json
import shutil
import threading
import time

import pytest
import tensorflow as tf

from mmrec_tf.serving.server import running_server
from mmrec_tf.serving.server_files import write_server_files
from mmrec_tf.serving.server_options import ServerOptions
from mmrec_tf.serving.warmup import WARMUP_FILE, write_warmup
from tests.served_models import save_shelf

ROW = {"user_id": "ann", "k": 1, "exclude_ids": [], "history_item_ids": []}
BODY = json.dumps({"signature_name": "recommend", "instances": [ROW]})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Scale -> a saved shelf, whose best score is four times the scale."""
    folder = tmp_path_factory.mktemp("saved")
    for scale in (1, 2):
        save_shelf(folder / str(scale), float(scale))
        write_warmup(folder / str(scale), "shelf", {"user_id": ["ann"], "k": [2], "index": [1]})
    return folder


def publish(saved, export_dir, scale, version):
    # As an export does: the version in one rename, then the files beside it.
    hidden = export_dir / "shelf" / f".{version}"
    shutil.copytree(saved / str(scale), hidden)
    hidden.rename(export_dir / "shelf" / str(version))
    write_server_files(export_dir, items=4)


class Load:
    """Threads that ask without a pause, and keep what they got."""

    def __init__(self, url, path="/v1/models/shelf:predict", threads=4):
        self._address, self._path = url.removeprefix("http://"), path
        self.scores, self.failures = set(), []
        self.answered = 0
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    def _ask(self):
        connection = http.client.HTTPConnection(self._address, timeout=30)
        while not self._is_over.is_set():
            try:
                connection.request("POST", self._path, BODY)
                response = connection.getresponse()
                content = response.read()
                if response.status != 200:
                    self.failures.append((response.status, content))
                else:
                    self.scores.add(json.loads(content)["predictions"][0]["score"][0])
                    self.answered += 1
            except OSError as error:
                self.failures.append(error)
                return
        connection.close()

    def wait_for_score(self, score):
        wait_until(lambda: (self.scores, self.failures), lambda found: score in found[0])

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._is_over.set()
        for thread in self._threads:
            thread.join(30)


def get(url, path):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.request("GET", path)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, json.loads(content)


def wait_until(look, is_wanted):
    deadline = time.monotonic() + 30
    while not is_wanted(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def wait_for_states(url, expected):
    def look():
        return {s["version"]: s["state"] for s in get(url, "/v1/models/shelf")[1]["model_version_status"]}

    wait_until(look, lambda found: found == expected)


def test_no_request_fails_while_versions_come_and_go(saved, tmp_path):
    publish(saved, tmp_path, 1, version=1)
    with running_server(tmp_path, options=ServerOptions(poll_seconds=0.05)) as url:
        with Load(url) as load:
            with Load(url, "/v1/models/shelf/labels/latest:predict", 1) as by_label:
                publish(saved, tmp_path, 2, version=2)
                wait_for_states(url, {"2": "AVAILABLE", "1": "AVAILABLE"})
                # On a busy machine the one thread may not have asked before the next version comes.
                by_label.wait_for_score(8.0)
                publish(saved, tmp_path, 1, version=3)
                wait_for_states(url, {"3": "AVAILABLE", "2": "AVAILABLE", "1": "END"})
            # Half of a version, as a copy over a network leaves it for a while.
            half = tmp_path / "shelf" / "4"
            shutil.copytree(saved / "2", half)
            content = (half / "saved_model.pb").read_bytes()
            (half / "saved_model.pb").write_bytes(content[: len(content) // 2])
            wait_for_states(url, {"4": "END", "3": "AVAILABLE", "2": "AVAILABLE", "1": "END"})
            (failed, *_) = get(url, "/v1/models/shelf/versions/4")[1]["model_version_status"]
            assert failed["status"]["error_code"] == "DATA_LOSS" and failed["status"]["error_message"]
            (half / "saved_model.pb").write_bytes(content)
            wait_for_states(url, {"4": "AVAILABLE", "3": "AVAILABLE", "2": "END", "1": "END"})
            shutil.rmtree(tmp_path / "shelf" / "1")
            shutil.rmtree(tmp_path / "shelf" / "2")
            wait_for_states(url, {"4": "AVAILABLE", "3": "AVAILABLE"})
            # The last that is there is served whatever becomes of its folder.
            shutil.rmtree(tmp_path / "shelf" / "3")
            shutil.rmtree(tmp_path / "shelf" / "4")
            time.sleep(0.3)
            assert get(url, "/readyz")[0] == 200
        assert load.failures == [] and load.scores == {4.0, 8.0} and load.answered > 50
        assert by_label.failures == [] and by_label.scores == {4.0, 8.0}


def test_a_version_that_refuses_its_warm_up_does_not_take_over(saved, tmp_path):
    publish(saved, tmp_path, 1, version=1)
    shutil.copytree(saved / "2", tmp_path / "shelf" / "2")
    # The records of another model: TensorFlow Serving keeps such a version from loading, too.
    with tf.io.TFRecordWriter(str(tmp_path / "shelf" / "2" / WARMUP_FILE)) as writer:
        writer.write(b"\x32\x02\x0a\x00")
    with running_server(tmp_path, options=ServerOptions(poll_seconds=0.05)) as url:
        wait_for_states(url, {"2": "END", "1": "AVAILABLE"})
        (failed,) = get(url, "/v1/models/shelf/versions/2")[1]["model_version_status"]
        message = failed["status"]["error_message"]
        # No name is that of the default, and nothing is given to it.
        assert "gives the signature 'serving_default' the inputs []; it takes ['index']" in message


def test_warm_up_records_are_replayed_before_a_version_answers(saved, tmp_path, monkeypatch):
    from mmrec_tf.serving import model_version

    replayed = []
    monkeypatch.setattr(model_version, "replay", lambda model, record: replayed.append(record))
    version = model_version.ModelVersion("shelf", 1, saved / "1")
    assert version.load()
    # Two sizes of batch for each of five signatures.
    assert len(replayed) == 10
