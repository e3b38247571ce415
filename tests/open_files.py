"""A process that may open no more files, which is how a file cannot be read whoever asks for it."""

import os
from contextlib import contextmanager

import pytest


@contextmanager
def open_files_limited(spare: int):
    """No more than `spare` files can be opened beside those that are open."""
    resource = pytest.importorskip("resource")
    free = [os.open(os.devnull, os.O_RDONLY) for _ in range(spare + 1)]
    for descriptor in free:
        os.close(descriptor)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Descriptors are numbered from the lowest that is free, and the limit is on their numbers.
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(free), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
