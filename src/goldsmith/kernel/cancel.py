"""A request to stop, looked at by everything that waits."""

import threading
from typing import Protocol

from goldsmith.kernel.clock import Clock
from goldsmith.kernel.errors import CanceledError, DeadlineExceededError


class Cancel(Protocol):
    def check(self) -> None:
        """Raises CanceledError or DeadlineExceededError once work should stop; else returns."""
        ...


class NeverCancel:
    def check(self) -> None:
        return None


class CancelFlag:
    """Set from a signal handler or another thread."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reason = ""

    def set(self, reason: str) -> None:
        self._reason = reason
        self._event.set()

    def check(self) -> None:
        if self._event.is_set():
            raise CanceledError(self._reason)


class Deadline:
    """`inner` plus a time limit in seconds from now."""

    def __init__(self, inner: Cancel, clock: Clock, *, seconds: float, what: str) -> None:
        self._inner = inner
        self._clock = clock
        self._end = clock.monotonic_seconds() + seconds
        self._what = what

    def check(self) -> None:
        self._inner.check()
        if self._clock.monotonic_seconds() > self._end:
            raise DeadlineExceededError(self._what)
