"""Waiting for a lock between processes, for as long as the caller does not ask to stop."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import ConflictError
from goldsmith.kernel.files import FileLock

_POLL_SECONDS = 0.2
# Longer than the slowest capture may take (download and installation at their limits).
_WAIT_SECONDS_MAX = 3 * 3600.0


@contextlib.contextmanager
def held(path: Path, cancel: Cancel, *, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock inside the block; `on_wait` is called once when another has it.

    Raises what `cancel.check()` raises, and ConflictError after three hours.
    """
    lock = FileLock(path)
    end = time.monotonic() + _WAIT_SECONDS_MAX
    waited = False
    while not lock.try_acquire():
        if not waited:
            on_wait()
            waited = True
        if time.monotonic() > end:
            raise ConflictError(
                f"{path} is still held by process {lock.owner() or 'unknown'} after three hours",
                hint="end that process when it hangs, then run this again",
            )
        cancel.check()
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        lock.release()
