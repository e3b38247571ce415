"""Calls from an event loop: what is loaded, awaited and read, and that nobody is kept waiting for others."""

import asyncio
import threading
import time

import numpy as np
import pytest

from mmrec_tf.serving.async_calls import AsyncCalls, ClientGoneError
from mmrec_tf.serving.json_tensors import RequestError
from mmrec_tf.serving.model_store import ModelNotFoundError, ModelStore
from tests.served_models import save_shelf


@pytest.fixture(scope="module")
def export_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calls")
    save_shelf(folder / "shelf" / "1")
    save_shelf(folder / "shelf" / "2", scale=2.0)
    return folder


@pytest.fixture
def store(export_dir):
    store = ModelStore(export_dir)
    yield store
    store.close()


def calls_of(store, seconds=20.0, body=100, pending=150):
    return AsyncCalls(store, seconds, body, pending)


def test_coroutines_share_a_call_from_the_first(store):
    seen = []
    store.batches.observe = lambda *call: seen.append(call[2:4])
    calls, model = calls_of(store), store.find("shelf")

    async def ask():
        inputs = [{"index": np.array([number % 4], np.int32)} for number in range(10)]
        return await asyncio.gather(*(calls.call(model, "pick", given) for given in inputs))

    answers = asyncio.run(ask())
    assert [answer["score"].item() for answer in answers] == [4.0 - number % 4 for number in range(10)]
    assert seen == [(10, 10)]


def test_many_wait_for_a_version_that_one_thread_loads(store, monkeypatch):
    calls, threads = calls_of(store), []
    find = store.find

    def slow_find(*asked):
        threads.append(asked)
        time.sleep(0.2)
        return find(*asked)

    monkeypatch.setattr(store, "find", slow_find)

    async def ask():
        start = time.monotonic()
        waiting = [asyncio.ensure_future(calls.find("shelf", 1)) for _ in range(20)]
        # What is loaded is found without waiting.
        await asyncio.sleep(0)
        assert (await calls.find("shelf")).version == 2 and time.monotonic() - start < 0.15
        return await asyncio.gather(*waiting)

    assert {model.version for model in asyncio.run(ask())} == {1}
    assert threads == [("shelf", 1, None)]


def test_a_version_that_is_not_there(store):
    with pytest.raises(ModelNotFoundError):
        asyncio.run(calls_of(store).find("shelf", 9))


def test_a_load_that_takes_too_long_is_504(store, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(store, "find", lambda *asked: released.wait(10))

    async def ask():
        with pytest.raises(RequestError, match="shelf was still being loaded within 0.05 s") as caught:
            await calls_of(store, seconds=0.05).find("shelf", 1)
        released.set()
        return caught.value.status

    assert asyncio.run(ask()) == 504


def read(calls, *messages, headers=()):
    """The body that `read_body` passes on, of these messages."""
    waiting = list(messages)

    async def receive():
        return waiting.pop(0)

    async def use(body):
        return body

    return asyncio.run(calls.read_body({"headers": list(headers)}, receive, use))


def part(body, more=True):
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_in_parts(store):
    calls = calls_of(store)
    assert read(calls, part(b"ab"), part(b""), part(b"c", more=False)) == b"abc"


@pytest.mark.parametrize(
    ("messages", "headers", "status"),
    [
        ([], [(b"content-length", b"101")], 413),
        ([part(b"x" * 60), part(b"x" * 41)], [], 413),
        # A length that is none is left to the parts themselves.
        ([part(b"x" * 101)], [(b"content-length", b"9" * 5000)], 413),
    ],
)
def test_a_body_above_the_limit(store, messages, headers, status):
    calls = calls_of(store)
    with pytest.raises(RequestError, match="larger than 100 bytes") as caught:
        read(calls, *messages, headers=headers)
    assert caught.value.status == status
    # What was counted is given back.
    assert read(calls, part(b"x" * 100, more=False)) == b"x" * 100


def test_a_client_that_leaves(store):
    with pytest.raises(ClientGoneError):
        read(calls_of(store), part(b"x"), {"type": "http.disconnect"})


def test_bytes_of_all_requests_count_together(store):
    calls = calls_of(store)

    async def ask():
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def receive():
            return part(b"x" * 80, more=False)

        async def hold(body):
            arrived.set()
            await go_on.wait()
            return len(body)

        first = asyncio.ensure_future(calls.read_body({"headers": []}, receive, hold))
        await arrived.wait()
        with pytest.raises(RequestError, match="as many bytes of requests as it takes") as caught:
            await calls.read_body({"headers": []}, receive, hold)
        go_on.set()
        return await first, caught.value.status

    assert asyncio.run(ask()) == (80, 503)
