"""One store under several processes, some of which are killed."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from mmrec_tf.encoders.hashed_text import HashedTextEncoder
from mmrec_tf.features.feature_store import FeatureStore

pytestmark = pytest.mark.slow

ITEMS = 1500
_WRITER = textwrap.dedent(
    """
    import sys, time
    import mmrec_tf
    from mmrec_tf.encoders.hashed_text import HashedTextEncoder
    from mmrec_tf.features.feature_store import FeatureStore

    class Slow(HashedTextEncoder):
        def decode(self, source):
            time.sleep(0.001)
            return source

    Slow.__name__ = "HashedTextEncoder"
    first, last = int(sys.argv[2]), int(sys.argv[3])
    print("begins", flush=True)
    FeatureStore(sys.argv[1]).embed(
        Slow(dim=8, batch_size=8), [f"item {i}" for i in range(first, last)], chunk_rows=40
    )
    """
)


def writer(folder, first, last):
    command = [sys.executable, "-c", _WRITER, str(folder), str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def sources(first=0, last=ITEMS):
    return [f"item {i}" for i in range(first, last)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    store, encoder = FeatureStore(tmp_path_factory.mktemp("undisturbed")), HashedTextEncoder(dim=8)
    store.embed(encoder, sources())
    return store.read(encoder, sources())[0]


def check_whole(folder, undisturbed):
    store, encoder = FeatureStore(folder), HashedTextEncoder(dim=8)
    summary = store.embed(encoder, sources())
    vectors, mask = store.read(encoder, sources())
    assert mask.all()
    np.testing.assert_allclose(vectors, undisturbed, atol=1e-6)
    return summary


def test_two_processes_write_what_they_share(tmp_path, undisturbed):
    writers = [writer(tmp_path, 0, 1000), writer(tmp_path, 500, ITEMS)]
    for process in writers:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors[-2000:]
    assert check_whole(tmp_path, undisturbed).computed == 0


def test_processes_killed_at_any_moment_leave_a_store_that_goes_on(tmp_path, undisturbed):
    moments = random.Random(0)
    stored = 0
    for _ in range(4):
        process = writer(tmp_path, 0, ITEMS)
        assert process.stdout.readline() == "begins\n"
        time.sleep(moments.uniform(0.1, 1.2))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
        now = sum(entry["vectors"] for entry in FeatureStore(tmp_path).status()["encoders"])
        # What was stored stays, whatever happens to later processes.
        assert now >= stored
        stored = now
    summary = check_whole(tmp_path, undisturbed)
    assert summary.reused >= stored and summary.computed == ITEMS - summary.reused
    # Half-written files and marks of the killed are swept away by those that come later.
    assert [path for path in tmp_path.rglob(".*")] == []
