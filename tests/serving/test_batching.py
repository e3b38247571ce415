"""Requests that share calls: that they do, and that nobody can tell."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mmrec_tf.serving.batching import BatchScheduler
from mmrec_tf.serving.model_version import GraphError, ModelVersion
from tests.served_models import save_shelf


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf") / "1"
    save_shelf(folder)
    version = ModelVersion("shelf", 1, folder)
    assert version.load(), version.error_message
    return version


@pytest.fixture
def batches():
    scheduler = BatchScheduler(max_batch_size=8, threads=1)
    yield scheduler
    scheduler.close()


class Answers:
    """Collects what a scheduler answers, by the order of submission."""

    def __init__(self, batches, shelf):
        self.batches, self.shelf = batches, shelf
        self.jobs, self.outcomes = [], {}
        self._done = threading.Condition()

    def job(self, signature, **inputs):
        number = len(self.jobs)

        def done(outputs, error):
            with self._done:
                self.outcomes[number] = (outputs, error)
                self._done.notify()

        self.jobs.append(self.batches.job(self.shelf, signature, inputs, done))
        return self.jobs[-1]

    def wait(self, count=None):
        with self._done:
            assert self._done.wait_for(lambda: len(self.outcomes) >= (count or len(self.jobs)), 20)
        return [self.outcomes.get(number) for number in range(len(self.jobs))]


def recommend(user="ann", k=2, exclude=(), history=()):
    return {
        "user_id": np.array([user.encode()], object),
        "k": np.array([k], np.int32),
        "exclude_ids": np.array([[name.encode() for name in exclude]], object),
        "history_item_ids": np.array([[name.encode() for name in history]], object),
    }


def test_what_waits_is_answered_by_one_call(batches, shelf):
    seen = []
    batches.observe = lambda *call: seen.append(call[:4])
    answers = Answers(batches, shelf)
    batches.submit_all([answers.job("pick", index=np.array([number % 4], np.int32)) for number in range(6)])
    outcomes = answers.wait()
    assert [outputs["score"].tolist() for outputs, _ in outcomes] == [[4.0], [3.0], [2.0], [1.0], [4.0], [3.0]]
    assert seen == [("shelf", "pick", 6, 6)]
    assert [job.batch_rows for job in answers.jobs] == [6] * 6


def test_batches_have_at_most_so_many_rows(batches, shelf):
    seen = []
    batches.observe = lambda *call: seen.append(call[2:4])
    answers = Answers(batches, shelf)
    batches.submit_all([answers.job("pick", index=np.array([0, 1, 2], np.int32)) for _ in range(5)])
    answers.wait()
    # Eight rows take two requests of three; the fifth is left over.
    assert seen == [(6, 2), (6, 2), (3, 1)]


def test_a_request_larger_than_a_batch_runs_alone(batches, shelf):
    index = np.arange(20, dtype=np.int32) % 4
    np.testing.assert_array_equal(batches.run(shelf, "pick", {"index": index})["score"], 4.0 - index)


def test_nothing_is_joined_with_a_batch_size_of_one(shelf):
    seen = []
    alone = BatchScheduler(max_batch_size=1, threads=1, observe=lambda *call: seen.append(call[2:4]))
    answers = Answers(alone, shelf)
    alone.submit_all([answers.job("pick", index=np.array([1], np.int32)) for _ in range(3)])
    assert [outputs["score"].tolist() for outputs, _ in answers.wait()] == [[3.0]] * 3
    alone.close()
    assert seen == [(1, 1)] * 3


def test_who_asks_for_fewer_places_gets_fewer(batches, shelf):
    # A call's width is its largest k, so that two in one call would both get four places.
    answers = Answers(batches, shelf)
    batches.submit_all([answers.job("recommend", **recommend(k=k)) for k in (1, 4, 2, 4, 9)])
    lists = [outputs["item_id"].tolist() for outputs, _ in answers.wait()]
    assert lists == [[[b"p"]], [[b"p", b"q", b"r", b"s"]], [[b"p", b"q"]]] + [[[b"p", b"q", b"r", b"s"]]] * 2


def test_lists_of_other_lengths_are_not_joined(batches, shelf):
    answers = Answers(batches, shelf)
    batches.submit_all([answers.job("recommend", **recommend(exclude=["p"][:count])) for count in (0, 1, 0)])
    lists = [outputs["item_id"].tolist() for outputs, _ in answers.wait()]
    assert lists == [[[b"p", b"q"]], [[b"q", b"r"]], [[b"p", b"q"]]]


def test_a_signature_with_one_number_for_all_rows_is_never_joined(batches, shelf):
    answers = Answers(batches, shelf)
    batches.submit_all([answers.job("total", values=np.array([value, value], np.float32)) for value in (1, 2, 3)])
    assert [float(outputs["total"]) for outputs, _ in answers.wait()] == [2.0, 4.0, 6.0]


def test_a_bad_request_fails_alone(batches, shelf):
    answers = Answers(batches, shelf)
    batches.submit_all([answers.job("pick", index=np.array([index], np.int32)) for index in (0, 7, 2)])
    (first, none), (nothing, error), (last, no_error) = answers.wait()
    assert first["score"].tolist() == [4.0] and last["score"].tolist() == [2.0]
    assert none is None and nothing is None and no_error is None
    assert isinstance(error, GraphError) and str(error) == "indices[0] = 7 is not in [0, 4)"


def test_a_request_that_nobody_waits_for_is_left_out(batches, shelf):
    seen = []
    batches.observe = lambda *call: seen.append(call[2])
    answers = Answers(batches, shelf)
    jobs = [answers.job("pick", index=np.array([index], np.int32)) for index in (0, 1, 2)]
    jobs[1].is_cancelled = True
    batches.submit_all(jobs)
    answers.wait(2)
    assert seen == [2] and sorted(answers.outcomes) == [0, 2]


def test_run_raises_what_the_graph_refuses(batches, shelf):
    with pytest.raises(GraphError, match="indices"):
        batches.run(shelf, "pick", {"index": np.array([-1], np.int32)})


def test_an_unforeseen_failure_reaches_who_asked_and_no_one_else(batches, shelf, monkeypatch):
    call = shelf.call

    def fail_for_two(signature, inputs):
        if 2 in inputs["index"]:
            raise ZeroDivisionError("unforeseen")
        return call(signature, inputs)

    monkeypatch.setattr(shelf, "call", fail_for_two)
    answers = Answers(batches, shelf)
    batches.submit_all([answers.job("pick", index=np.array([index], np.int32)) for index in (1, 2, 3)])
    outcomes = answers.wait()
    assert isinstance(outcomes[1][1], ZeroDivisionError)
    assert [outcomes[place][0]["score"].tolist() for place in (0, 2)] == [[3.0], [1.0]]
    # The thread lives on.
    assert batches.run(shelf, "pick", {"index": np.array([0], np.int32)})["score"].tolist() == [4.0]


def test_many_threads_each_get_their_own(shelf):
    scheduler = BatchScheduler(max_batch_size=16)
    calls = []
    scheduler.observe = lambda *call: calls.append(call[3])

    def ask(number):
        k, excluded = 1 + number % 3, ["p", "q", "r"][: number % 2]
        answer = scheduler.run(shelf, "recommend", recommend(k=k, exclude=excluded))
        expected = ["q", "r", "s"] if excluded else ["p", "q", "r"]
        return [name.decode() for name in answer["item_id"][0]] == expected[:k]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(400)))
    scheduler.close()
    assert sum(calls) == 400 and len(calls) < 400


def test_a_scheduler_works_again_after_it_was_closed(batches, shelf):
    batches.close()
    assert batches.run(shelf, "pick", {"index": np.array([0], np.int32)})["score"].tolist() == [4.0]


def test_what_waits_behind_a_call_is_answered_when_a_scheduler_is_closed(shelf):
    scheduler = BatchScheduler(threads=2)
    begun, goes_on = threading.Event(), threading.Event()

    def observe(*call):
        begun.set()
        assert goes_on.wait(20)

    scheduler.observe = observe
    answers = Answers(scheduler, shelf)
    scheduler.submit_all([answers.job("pick", index=np.array([0], np.int32))])
    assert begun.wait(20)
    scheduler.submit_all([answers.job("pick", index=np.array([1], np.int32))])
    threads = list(scheduler._workers)
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    # One of the two has nothing to do and ends, and then the call does.
    while all(thread.is_alive() for thread in threads):
        threads[0].join(0.05)
    goes_on.set()
    assert [outputs["score"].tolist() for outputs, _ in answers.wait()] == [[4.0], [3.0]]
    closing.join(20)
    assert not any(thread.is_alive() for thread in threads)
