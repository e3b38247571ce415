"""When to ask again, and how long to wait before."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from mmrec_tf.serving.client_errors import ClientError, DeadlineExceeded

_FIRST_WAIT = 0.05
_LONGEST_WAIT = 2.0

Answer = TypeVar("Answer")


class Deadline:
    """A point in time that a call and all its attempts have to keep.

    Args:
        seconds: float. From now.
    """

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then, negative when it is past."""
        return self._end - time.monotonic()

    def require(self, where: str) -> float:
        """As `left`.

        Raises:
            DeadlineExceeded: if it is past.
        """
        left = self.left()
        if left <= 0:
            raise self.exceeded(where)
        return left

    def exceeded(self, where: str) -> DeadlineExceeded:
        """The error for a call to `where` that took too long."""
        return DeadlineExceeded(f"{where} did not answer in {self.seconds:g} s. Give it a longer timeout.")


class Retryable(Exception):
    """An attempt failed in a way that the next may not.

    Args:
        error: what the caller is told when no attempt is left.
        wait: float. Least seconds to wait before the next, as the server asked for. Defaults to 0.
    """

    def __init__(self, error: ClientError, wait: float = 0.0):
        super().__init__(str(error))
        self.error = error
        self.wait = wait


@dataclass(frozen=True)
class Retries:
    """Asks again, each time after a longer wait, until an answer comes or the time is up.

    The n-th wait is drawn from `[w / 2, w]` with `w = min(2, 0.05 * 2^n)` seconds: drawn, because clients that failed
    together would otherwise come back together.

    Args:
        count: int. How often a call is repeated; 0 for never.
    """

    count: int

    def run(self, attempt: Callable[[Deadline], Answer], deadline: Deadline) -> Answer:
        """What the first attempt that succeeds returns.

        Args:
            attempt: function of the deadline; raises `Retryable` for what may pass.
            deadline: no attempt begins after it, nor a wait that would end after it.

        Raises:
            ClientError: the last attempt's error.
        """
        for number in range(self.count + 1):
            try:
                return attempt(deadline)
            except Retryable as failure:
                longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2**number)
                wait = max(failure.wait, random.uniform(longest / 2, longest))
                if number == self.count or wait >= deadline.left():
                    raise failure.error from failure.__cause__
            time.sleep(wait)
        raise AssertionError("unreachable: the last attempt returns or raises")
