"""Lines of JSON over a Unix socket: what the QEMU monitor and the guest agent both speak."""

import contextlib
import json
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

from goldsmith.kernel.errors import UnavailableError
from goldsmith.kernel.json import JsonObject

# One poll: how long a wait may go without looking at the reasons to stop.
POLL_SECONDS = 0.1
# The guest agent sends at most 16 MiB of captured output, in base64 in one line.
LINE_BYTES_MAX = 64 << 20

Tick = Callable[[], None]


def no_tick() -> None:
    """For waits that nobody can cut short."""


class Channel:
    """A connected stream; every wait calls `tick` at least every 0.1 s, and `tick` ends it by raising."""

    def __init__(self, path: Path, *, name: str, timeout_seconds: float = 30.0, tick: Tick = no_tick) -> None:
        """Connects, waiting for the socket to appear. Raises UnavailableError when it never does."""
        self._name = name
        self._buffer = bytearray()
        self._socket = _connect(path, name=name, timeout_seconds=timeout_seconds, tick=tick)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()

    def send(
        self, message: JsonObject, *, prefix: bytes = b"", timeout_seconds: float = 60.0, tick: Tick = no_tick
    ) -> None:
        """Raises UnavailableError when the other side is gone or takes nothing for `timeout_seconds`."""
        remaining = memoryview(prefix + json.dumps(message).encode() + b"\n")
        end = time.monotonic() + timeout_seconds
        while remaining:
            tick()
            if time.monotonic() > end:
                raise UnavailableError(f"{self._name} took no more input for {timeout_seconds:.0f} s")
            if not select.select([], [self._socket], [], POLL_SECONDS)[1]:
                continue
            try:
                remaining = remaining[self._socket.send(remaining) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise UnavailableError(f"{self._name} closed its connection") from error

    def receive(self, *, timeout_seconds: float, tick: Tick = no_tick) -> bytes | None:
        """The next line without its end, or None when none came within `timeout_seconds`.

        Raises UnavailableError when the other side is gone.
        """
        end = time.monotonic() + timeout_seconds
        while True:
            if (cut := self._buffer.find(b"\n")) >= 0:
                line = bytes(self._buffer[:cut])
                del self._buffer[: cut + 1]
                return line
            tick()
            left = end - time.monotonic()
            if left <= 0:
                return None
            self._fill(min(left, POLL_SECONDS))

    def drain(self) -> None:
        """Throw away what has come so far."""
        while self._fill(0):
            self._buffer.clear()
        self._buffer.clear()

    def _fill(self, wait_seconds: float) -> bool:
        if not select.select([self._socket], [], [], wait_seconds)[0]:
            return False
        try:
            chunk = self._socket.recv(1 << 18)
        except BlockingIOError:
            return False
        except OSError as error:
            raise UnavailableError(f"{self._name} closed its connection") from error
        if not chunk:
            raise UnavailableError(f"{self._name} closed its connection")
        if len(self._buffer) + len(chunk) > LINE_BYTES_MAX:
            raise UnavailableError(f"{self._name} sent a line of more than {LINE_BYTES_MAX} bytes")
        self._buffer += chunk
        return True


def _connect(path: Path, *, name: str, timeout_seconds: float, tick: Tick) -> socket.socket:
    end = time.monotonic() + timeout_seconds
    while True:
        tick()
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            stream.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            stream.close()
            if time.monotonic() > end:
                raise UnavailableError(
                    f"{name} did not open {path} within {timeout_seconds:.0f} s"
                ) from error
            time.sleep(0.02)
            continue
        except BaseException:
            stream.close()
            raise
        stream.setblocking(False)
        return stream
