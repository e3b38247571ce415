"""When the client asks again, with a clock that does not run by itself."""

import pytest

from mmrec_tf.serving import client_retry
from mmrec_tf.serving.client_errors import DeadlineExceeded, Unavailable
from mmrec_tf.serving.client_retry import Deadline, Retries, Retryable


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now, waits = 100.0, []

        def monotonic(self):
            return self.now

        def sleep(self, seconds):
            self.waits.append(seconds)
            self.now += seconds

    clock = Clock()
    clock.waits = []
    monkeypatch.setattr(client_retry, "time", clock)
    return clock


def failing(times, wait=0.0):
    failures = iter(range(times))

    def attempt(deadline):
        if next(failures, None) is not None:
            raise Retryable(Unavailable("down"), wait)
        return "up"

    return attempt


def test_waits_double_up_to_two_seconds_and_are_drawn(clock):
    assert Retries(9).run(failing(9), Deadline(100)) == "up"
    longest = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2, 2, 2]
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(clock.waits, longest, strict=True))
    assert len(set(clock.waits)) == 9


def test_the_server_may_ask_for_more(clock):
    assert Retries(3).run(failing(2, wait=7.0), Deadline(100)) == "up"
    assert clock.waits == [7.0, 7.0]


def test_no_wait_ends_after_the_deadline(clock):
    with pytest.raises(Unavailable, match="down"):
        Retries(99).run(failing(99), Deadline(3))
    assert clock.now < 103 and len(clock.waits) >= 5


def test_count(clock):
    with pytest.raises(Unavailable):
        Retries(2).run(failing(3), Deadline(100))
    assert len(clock.waits) == 2
    with pytest.raises(Unavailable):
        Retries(0).run(failing(1), Deadline(100))


def test_other_errors_pass_at_once(clock):
    def attempt(deadline):
        raise KeyError("x")

    with pytest.raises(KeyError):
        Retries(5).run(attempt, Deadline(100))
    assert clock.waits == []


def test_deadline(clock):
    deadline = Deadline(2.5)
    assert deadline.left() == 2.5 and deadline.require("there") == 2.5
    clock.now += 2.5
    with pytest.raises(DeadlineExceeded, match="^there did not answer in 2.5 s"):
        deadline.require("there")
