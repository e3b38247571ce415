"""`kill -9` while a version is written, moved in place, loaded or warmed up: nothing is lost, and none is half served.

The moments are hit by what the processes do, not by waiting: the server blocks on a file that is a named pipe, or on a
warm-up that lasts until a file is there, and the exporter kills itself at a given rename.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.serving.warmup import WARMUP_FILE, prediction_log

pytestmark = pytest.mark.slow

EXPORTER = """
import os, signal, sys
from pathlib import Path
import tensorflow as tf
from mmrec_tf.serving import export
from mmrec_tf.serving.server_files import write_server_files

folder, moment, scale = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])

def kill_at(name, count, whole):
    calls = []
    def step(*given, **named):
        calls.append(given)
        if len(calls) == count and name == moment.rpartition("-")[0] and moment.endswith("before"):
            os.kill(os.getpid(), signal.SIGKILL)
        done = whole(*given, **named)
        if len(calls) == count and name == moment.rpartition("-")[0] and moment.endswith("after"):
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    return step

tf.saved_model.save = kill_at("save", 1, tf.saved_model.save)
export.write_warmup = kill_at("warm-up", 1, export.write_warmup)
Path.rename = kill_at("rename", 1, Path.rename)
os.replace = kill_at("replace", 1, os.replace)

class Owner(tf.Module):
    def __init__(self):
        self.scale = tf.Variable(scale)

owner = Owner()
score = tf.function(
    lambda x: {"score": x * owner.scale}, input_signature=[tf.TensorSpec([None], tf.float32, name="x")]
)
with export.new_version(owner, [], {"serving_default": score}, folder / "shop", {"x": [1.0]}, None) as version:
    export.put_in_place(version, folder / "shop")
write_server_files(folder, 4)
"""


class Waiting(tf.Module):
    """Answers `scale` times x; the signature `wait` says that it runs in one file, and ends when there is another."""

    def __init__(self, scale, folder):
        super().__init__()
        self.scale = tf.Variable(scale)
        self.runs, self.goes_on = str(folder / "runs"), str(folder / "goes-on")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def score(self, x):
        return {"score": x * self.scale}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def wait(self, x):
        with tf.control_dependencies([tf.io.write_file(self.runs, "")]):
            tries = tf.constant(0)
        while tf.size(tf.io.matching_files(self.goes_on)) == 0:
            tries += 1
        return {"score": x * self.scale + tf.cast(tf.minimum(tries, 0), tf.float32)}


def environment():
    # A warm-up that does not end keeps one of TensorFlow's threads.
    return {**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTEROP_THREADS": "4"}


@contextmanager
def served(folder, log):
    """Process and URL of `mmrec serve`, on a port of its own; killed at the end if it still runs."""
    command = [sys.executable, "-c", "from mmrec_tf.cli import main; main()", "serve", str(folder)]
    command += ["--port", "0", "--poll-seconds", "0.05"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stderr=output, stdout=output, env=environment())
    try:
        yield process, until(lambda: answering_at(process, log))
    finally:
        process.kill()
        process.wait(30)


def answering_at(process, log):
    assert process.poll() is None, log.read_text()
    found = re.search(r"answering at (http://\S+)", log.read_text())
    return found and is_ready(found[1]) and found[1]


def is_ready(url):
    try:
        return urllib.request.urlopen(f"{url}/healthz", timeout=5).status == 200
    except OSError:
        return False


def until(what, seconds=90):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
    return found


def ask(url, version=None):
    place = "" if version is None else f"/versions/{version}"
    request = json.dumps({"instances": [1.0]}).encode()
    answer = urllib.request.urlopen(f"{url}/v1/models/shop{place}:predict", request, timeout=60)
    return json.load(answer)["predictions"][0]


def states(url):
    found = json.load(urllib.request.urlopen(f"{url}/v1/models/shop", timeout=30))["model_version_status"]
    return {status["version"]: status["state"] for status in found}


def save(folder, scale, control):
    model = Waiting(scale, control)
    signatures = {"serving_default": model.score, "wait": model.wait}
    tf.saved_model.save(model, str(folder), signatures=signatures)


def put(folder, target):
    """As an export does: whole, in one rename."""
    hidden = target.with_name(f".{target.name}")
    shutil.copytree(folder, hidden)
    hidden.rename(target)


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Scale -> a saved version; and the folder by which a warm-up is held."""
    control = tmp_path_factory.mktemp("control")
    for scale in (1, 2):
        save(control / str(scale), float(scale), control)
    return control


def kill(process):
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL


def test_a_server_that_is_killed_while_it_reads_a_version(versions, tmp_path):
    (tmp_path / "shop").mkdir()
    put(versions / "1", tmp_path / "shop" / "1")
    # The new version's graph is a pipe: whoever reads it waits until somebody writes, and is known to wait.
    half = tmp_path / "shop" / "2"
    with served(tmp_path, tmp_path / "log") as (process, url):
        (tmp_path / "shop" / ".2").mkdir()
        os.mkfifo(tmp_path / "shop" / ".2" / "saved_model.pb")
        (tmp_path / "shop" / ".2").rename(half)
        # Opening it ends when the server has opened it too.
        opened = threading.Thread(target=lambda: writers.append(os.open(half / "saved_model.pb", os.O_WRONLY)))
        writers = []
        opened.start()
        opened.join(60)
        assert writers, "the server did not come to read it"
        assert states(url) == {"2": "LOADING", "1": "AVAILABLE"} and ask(url) == 1.0
        kill(process)
        os.close(writers[0])
    (half / "saved_model.pb").unlink()
    # What was half there is still half there: it is not served, and the version before is.
    (half / "saved_model.pb").write_bytes((versions / "2" / "saved_model.pb").read_bytes()[:500])
    with served(tmp_path, tmp_path / "log2") as (process, url):
        assert ask(url) == 1.0 and states(url) == {"2": "END", "1": "AVAILABLE"}
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(url, 2)
        assert refused.value.code == 404
        # And when it is whole, it is.
        shutil.rmtree(half)
        put(versions / "2", half)
        until(lambda: ask(url) == 2.0)
        assert ask(url, 1) == 1.0


def test_a_server_that_is_killed_while_it_warms_a_version_up(versions, tmp_path):
    (tmp_path / "shop").mkdir()
    put(versions / "1", tmp_path / "shop" / "1")
    runs, goes_on = versions / "runs", versions / "goes-on"
    slow = tmp_path / "new"
    shutil.copytree(versions / "2", slow)
    (slow / WARMUP_FILE).parent.mkdir()
    with tf.io.TFRecordWriter(str(slow / WARMUP_FILE)) as writer:
        writer.write(prediction_log("shop", "wait", {"x": np.array([1.0], np.float32)}))
    with served(tmp_path, tmp_path / "log") as (process, url):
        put(slow, tmp_path / "shop" / "2")
        until(runs.exists)
        assert states(url) == {"2": "LOADING", "1": "AVAILABLE"} and ask(url) == 1.0
        kill(process)
    goes_on.touch()
    with served(tmp_path, tmp_path / "log2") as (process, url):
        assert ask(url) == 2.0 and ask(url, 1) == 1.0 and states(url) == {"2": "AVAILABLE", "1": "AVAILABLE"}
    assert sorted(path.name for path in (tmp_path / "shop").iterdir()) == ["1", "2"]


def export(folder, moment, scale):
    command = [sys.executable, "-c", EXPORTER, str(folder), moment, str(scale)]
    return subprocess.run(command, env=environment(), timeout=120).returncode


def test_an_exporter_that_is_killed_at_any_step(tmp_path):
    assert export(tmp_path, "never", 1.0) == 0
    said = (tmp_path / "models.config").read_text()
    with served(tmp_path, tmp_path / "log") as (process, url):
        assert ask(url) == 1.0
        for moment in ("save-after", "warm-up-before", "warm-up-after", "rename-before"):
            assert export(tmp_path, moment, 2.0) == -signal.SIGKILL, moment
            # The unfinished version is hidden, and so no server takes it for one.
            names = [path.name for path in (tmp_path / "shop").iterdir() if not path.name.startswith(".unfinished-")]
            assert names == ["1"] and (tmp_path / "models.config").read_text() == said
            time.sleep(0.2)
            assert states(url) == {"1": "AVAILABLE"} and ask(url) == 1.0
        # In place, with nothing beside it changed yet: the version is whole, and served.
        assert export(tmp_path, "rename-after", 3.0) == -signal.SIGKILL
        until(lambda: ask(url) == 3.0)
        assert (tmp_path / "models.config").read_text() == said
        kill(process)
    for moment, version in (("replace-before", "3"), ("replace-after", "4")):
        assert export(tmp_path, moment, 4.0) == -signal.SIGKILL
        assert (tmp_path / "shop" / version / "saved_model.pb").is_file()
    # An hour later, what the killed ones left is cleared away by the next.
    left = [path for path in (tmp_path / "shop").iterdir() if path.name.startswith(".unfinished-")]
    assert len(left) >= 4
    for path in left:
        os.utime(path, (time.time() - 3600,) * 2)
    assert export(tmp_path, "never", 5.0) == 0
    assert sorted(path.name for path in (tmp_path / "shop").iterdir()) == ["1", "2", "3", "4", "5"]
    with served(tmp_path, tmp_path / "log2") as (process, url):
        assert ask(url) == 5.0
        until(lambda: states(url) == {"5": "AVAILABLE", "4": "AVAILABLE"})
        assert ask(url, 4) == 4.0
