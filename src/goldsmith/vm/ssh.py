"""Reaching a machine the way its users do: OpenSSH on a forwarded port."""

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goldsmith.kernel import proc
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import ProgramTimeoutError, UnavailableError
from goldsmith.vm.channel import Tick, no_tick

_KEYGEN_SECONDS = 30.0
# Under emulation the first login takes up to ten seconds on an idle host.
_LOGIN_SECONDS = 60.0
_REFUSED = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class SshTarget:
    """Where and as whom; `known_hosts` remembers the machine's key from the first login on."""

    port: int
    user: str
    key: Path
    known_hosts: Path
    host: str = "127.0.0.1"


def make_key(path: Path) -> str:
    """Write a new Ed25519 key pair at `path` and `path`.pub; returns the public half as one line."""
    public = path.with_name(path.name + ".pub")
    path.unlink(missing_ok=True)
    public.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    proc.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "goldsmith", "-f", path],
        timeout_seconds=_KEYGEN_SECONDS,
    )
    return public.read_text().strip()


def ssh_argv(target: SshTarget, command: Sequence[str] = ()) -> list[str]:
    """The client's arguments; without a command they open a shell.

    The remote shell sees `command` joined by spaces: quote what it must not split.
    """
    options = {
        # The machine is new: its key is taken at the first login and must stay the same after that.
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": str(target.known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "PasswordAuthentication": "no",
        "BatchMode": "yes" if command else "no",
        "ConnectTimeout": "10",
        "LogLevel": "ERROR",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    destination = ["-i", str(target.key), "-p", str(target.port), f"{target.user}@{target.host}"]
    # No configuration of the person running this may change what is reached.
    return ["ssh", "-F", "none", *words, *destination, *(["--", *command] if command else [])]


def run_ssh(
    target: SshTarget,
    command: Sequence[str],
    *,
    timeout_seconds: float,
    input: bytes | None = None,  # named as in subprocess
    cancel: Cancel | None = None,
) -> proc.Result:
    """Run a command in the machine; its exit status is in the result (255: the login itself failed).

    Raises ProgramTimeoutError and UnsupportedError (no OpenSSH client installed).
    """
    argv = ssh_argv(target, command)
    return proc.run(argv, timeout_seconds=timeout_seconds, input=input, cancel=cancel, check=False)


def wait_for_ssh(
    target: SshTarget, *, timeout_seconds: float, cancel: Cancel | None = None, tick: Tick = no_tick
) -> float:
    """Afterwards a login works; returns the seconds that took.

    `tick` is called between tries and may end the wait by raising, as `RunningVm.watch` does.
    Raises UnavailableError with the client's last words when the limit passes.
    """
    started = time.monotonic()
    words = "no try was made"
    while (left := timeout_seconds - (time.monotonic() - started)) > 0:
        tick()
        limit = min(left, _LOGIN_SECONDS)
        try:
            result = run_ssh(target, ["true"], timeout_seconds=limit, cancel=cancel)
        except ProgramTimeoutError:
            words = f"a login took more than {limit:.0f} s"
            continue
        if result.returncode == 0:
            return time.monotonic() - started
        words = proc.last_lines(result.error_text, 2) or proc.describe_status(result.returncode)
        if result.returncode != _REFUSED:
            break
        time.sleep(0.5)
    raise UnavailableError(
        f"no SSH login as {target.user} on port {target.port} within {timeout_seconds:.0f} s: {words}",
        hint="check that the image starts an SSH server and that cloud-init read the seed",
    )


def attach(target: SshTarget) -> int:
    """Give the terminal to a shell in the machine; returns the client's exit status."""
    # Not through kernel.proc: the client must stay in our session to own the terminal.
    return subprocess.run(ssh_argv(target), check=False).returncode
