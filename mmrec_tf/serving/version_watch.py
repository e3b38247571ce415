"""A thread that looks at the export folder now and then, so that a server takes in what is exported while it runs."""

import logging
import threading

from mmrec_tf.serving.model_store import ModelStore

logger = logging.getLogger(__name__)


class VersionWatch:
    """Calls `ModelStore.refresh` at once and then at intervals, in the background.

    Args:
        store: whose folder is looked at.
        seconds: float. From the end of one look to the next.
    """

    def __init__(self, store: ModelStore, seconds: float):
        self._store = store
        self._seconds = seconds
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="mmrec-version-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; a version that is being loaded is not waited for longer than a few seconds."""
        self._is_over.set()
        self._thread.join(5)

    def _watch(self) -> None:
        while not self._is_over.is_set():
            try:
                self._store.refresh()
            # Whatever happens in the folder, what is loaded goes on answering, and the next look may find it mended.
            except Exception:
                logger.exception("looking for versions in %s failed", self._store.folder)
            self._is_over.wait(self._seconds)
