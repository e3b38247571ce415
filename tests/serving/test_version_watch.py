"""The thread that looks for versions: it goes on whatever happens, and ends when it is told."""

import threading
import time

from mmrec_tf.serving.version_watch import VersionWatch


class Store:
    folder = "somewhere"

    def __init__(self, fail=False):
        self.looks, self.fail = 0, fail
        self.third = threading.Event()

    def refresh(self):
        self.looks += 1
        if self.looks == 3:
            self.third.set()
        if self.fail:
            raise OSError("the disk is away")


def test_it_looks_again_and_again_until_it_is_stopped():
    store = Store()
    watch = VersionWatch(store, 0.01)
    watch.start()
    assert store.third.wait(10)
    watch.stop()
    looks = store.looks
    time.sleep(0.1)
    assert store.looks == looks


def test_a_failure_is_logged_and_does_not_end_it(caplog):
    store = Store(fail=True)
    watch = VersionWatch(store, 0.01)
    watch.start()
    assert store.third.wait(10)
    watch.stop()
    assert "looking for versions in somewhere failed" in caplog.text and "the disk is away" in caplog.text


def test_stopping_does_not_wait_for_the_next_look():
    watch = VersionWatch(Store(), 60)
    watch.start()
    start = time.monotonic()
    watch.stop()
    assert time.monotonic() - start < 5
