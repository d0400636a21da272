"""Where steps run and trees are handled: one Protocol, and the ways that a Linux host offers for it.

Whatever is mounted is mounted in a private namespace of a child process, so that a kill at any instant leaves
no mount, loop device or process behind; at most a directory that `LayerStore.sweep` removes.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Protocol

from goldsmith.disk import guest, inside, operations
from goldsmith.disk.model import StepCommand, View
from goldsmith.disk.tools import SYSTEM_PATH, TOOL_SECONDS_MAX, raise_if_full
from goldsmith.kernel import errors, proc
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import Error, ProgramError, UnsupportedError
from goldsmith.kernel.files import write_atomic
from goldsmith.kernel.json import JsonObject

_PROBE_SECONDS_MAX = 60.0
_APT_SECONDS_MAX = 60.0


class Sandbox(Protocol):
    @property
    def name(self) -> str: ...

    def run_step(
        self,
        view: View,
        command: StepCommand,
        *,
        epoch: int,
        log: IO[bytes] | None = None,
        on_output: Callable[[bytes], None] | None = None,
        cancel: Cancel | None = None,
    ) -> proc.Result:
        """Run a command on the merged root; what it changes is in `view.upper` afterwards.

        The result's `returncode` is the command's. Raises ProgramTimeoutError, UnsupportedError when the
        sandbox itself fails, and what `cancel` raises.
        """
        ...

    def run_host(
        self,
        view: View,
        argv: Sequence[str],
        *,
        cancel: Cancel | None = None,
        timeout_seconds: float = TOOL_SECONDS_MAX,
    ) -> proc.Result:
        """Run a program of the host with the merged root mounted: `{root}` in `argv`, and $GOLDSMITH_ROOT."""
        ...

    def call_merged(
        self, view: View, operation: str, arguments: JsonObject, *, cancel: Cancel | None = None
    ) -> JsonObject:
        """Do one of `operations` with the merged root mounted, which becomes its `root`."""
        ...

    def shell_argv(self, view: View, *, epoch: int, command: Sequence[str] = ()) -> list[str]:
        """What to execute on a terminal to look around (and change `view.upper`), or to run `command`."""
        ...

    def call(self, operation: str, arguments: JsonObject, *, cancel: Cancel | None = None) -> JsonObject:
        """Do one of `operations` as the owner of the trees; raises what it raises."""
        ...

    def problem(self, folder: Path) -> str | None:
        """Why this host cannot do it below `folder`, or None when a trial of everything went well."""
        ...


class LinuxSandbox:
    """Namespaces; as told: a user namespace, overlayfs (else copies of the tree), bubblewrap (else
    chroot).
    """

    def __init__(self, *, user: bool, overlay: bool, bubblewrap: bool) -> None:
        self._user = user
        self._overlay = overlay
        self._bubblewrap = bubblewrap

    @property
    def name(self) -> str:
        return "-".join(
            (
                "user" if self._user else "root",
                "overlay" if self._overlay else "copy",
                "bubblewrap" if self._bubblewrap else "chroot",
            )
        )

    def run_step(
        self,
        view: View,
        command: StepCommand,
        *,
        epoch: int,
        log: IO[bytes] | None = None,
        on_output: Callable[[bytes], None] | None = None,
        cancel: Cancel | None = None,
    ) -> proc.Result:
        result = self._run(
            self._step_request(view, command, epoch),
            timeout_seconds=command.timeout_seconds,
            log=log,
            on_output=on_output,
            cancel=cancel,
        )
        if result.returncode == inside.SANDBOX_FAILED and "goldsmith: the sandbox" in result.error_text:
            raise_if_full(result.error_text, view.scratch)
            raise UnsupportedError(
                f"a step could not be started by {self.name}: {proc.last_lines(result.error_text, 3)}",
                hint="run 'goldsmith doctor' to see what this host can do",
            )
        return result

    def run_host(
        self,
        view: View,
        argv: Sequence[str],
        *,
        cancel: Cancel | None = None,
        timeout_seconds: float = TOOL_SECONDS_MAX,
    ) -> proc.Result:
        request = {**self._view_request(view), "do": "host", "argv": [str(word) for word in argv]}
        return self._run(request, timeout_seconds=timeout_seconds, cancel=cancel)

    def call_merged(
        self, view: View, operation: str, arguments: JsonObject, *, cancel: Cancel | None = None
    ) -> JsonObject:
        request = {**self._view_request(view), "do": "merged", "operation": operation, "arguments": arguments}
        return answer_of(self._run(request, cancel=cancel))

    def shell_argv(self, view: View, *, epoch: int, command: Sequence[str] = ()) -> list[str]:
        interactive = (
            "/bin/sh",
            "-c",
            "if [ -x /bin/bash ]; then exec /bin/bash -i; else exec /bin/sh -i; fi",
        )
        step = StepCommand(
            argv=tuple(command) or interactive, environment={"TERM": os.environ.get("TERM", "dumb")}
        )
        return self._argv(self._step_request(view, step, epoch))

    def call(self, operation: str, arguments: JsonObject, *, cancel: Cancel | None = None) -> JsonObject:
        if not self._user:
            return operations.perform(operation, arguments)
        result = self._run({"do": operation, "arguments": arguments}, cancel=cancel)
        return answer_of(result)

    def problem(self, folder: Path) -> str | None:
        if self._user == (os.geteuid() == 0):
            return "needs root" if not self._user else "is for users without root"
        missing = [
            name
            for name in ("unshare", "setpriv", *(["newuidmap"] if self._user else []))
            + (("bwrap",) if self._bubblewrap else ())
            if proc.which(name) is None
        ]
        if missing:
            return f"{' and '.join(missing)} not installed"
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".probe-", dir=folder) as scratch:
            result = self._run(
                {**self._flags(), "do": "probe", "scratch": scratch}, timeout_seconds=_PROBE_SECONDS_MAX
            )
            if self._user:
                self._run({"do": "remove", "arguments": {"path": f"{scratch}/work"}})
        return None if result.returncode == 0 else proc.last_lines(result.error_text, 2) or "the trial failed"

    def _run(
        self,
        request: JsonObject,
        *,
        timeout_seconds: float = TOOL_SECONDS_MAX,
        log: IO[bytes] | None = None,
        on_output: Callable[[bytes], None] | None = None,
        cancel: Cancel | None = None,
    ) -> proc.Result:
        return proc.run(
            self._argv(request),
            timeout_seconds=timeout_seconds,
            env=_own_environment(),
            log=log,
            on_output=on_output,
            cancel=cancel,
            check=False,
        )

    def _argv(self, request: JsonObject) -> list[str]:
        return proc.in_private_namespace(inside_argv(request), user=self._user)

    def _flags(self) -> JsonObject:
        return {"user": self._user, "copy": not self._overlay, "bubblewrap": self._bubblewrap}

    def _view_request(self, view: View) -> JsonObject:
        return {
            **self._flags(),
            "lowers": [str(path.absolute()) for path in view.lowers],
            "upper": str(view.upper.absolute()) if view.upper else None,
            "scratch": str(view.scratch.absolute()),
        }

    def _step_request(self, view: View, command: StepCommand, epoch: int) -> JsonObject:
        view.scratch.mkdir(parents=True, exist_ok=True)
        return {
            **self._view_request(view),
            "do": "step",
            "argv": guest.shell_line(command.script, command.argv),
            "environment": guest.step_environment(
                command.environment, epoch=epoch, network_open=command.network_open, host=os.environ
            ),
            "network_open": command.network_open,
            "binds": list(_binds(view.scratch, command)),
        }


def candidates() -> list[LinuxSandbox]:
    """All adapters, the best first."""
    return [
        LinuxSandbox(user=False, overlay=True, bubblewrap=True),
        LinuxSandbox(user=False, overlay=True, bubblewrap=False),
        LinuxSandbox(user=True, overlay=True, bubblewrap=True),
        LinuxSandbox(user=True, overlay=True, bubblewrap=False),
        LinuxSandbox(user=False, overlay=False, bubblewrap=True),
        LinuxSandbox(user=False, overlay=False, bubblewrap=False),
        LinuxSandbox(user=True, overlay=False, bubblewrap=True),
        LinuxSandbox(user=True, overlay=False, bubblewrap=False),
    ]


def choose_sandbox(folder: Path, *, name: str | None = None) -> Sandbox:
    """The best adapter that works for trees below `folder`; with `name`, that one.

    Raises UnsupportedError with the reason of each when none does.
    """
    reasons = []
    for sandbox in candidates():
        if name is not None and sandbox.name != name:
            continue
        problem = sandbox.problem(folder)
        if problem is None:
            return sandbox
        reasons.append(f"{sandbox.name}: {problem}")
    raise UnsupportedError(
        f"this host cannot run build steps ({'; '.join(reasons) or f'there is no sandbox {name}'})",
        hint="run as root, or give the user a range in /etc/subuid and /etc/subgid; install bubblewrap",
    )


def remembered_sandbox(folder: Path, *, host: Sequence[str]) -> Sandbox:
    """`choose_sandbox`, which takes a third of a second, once for a host that is as `host` says.

    Raises UnsupportedError as it does; a file that cannot be read or written only costs a trial.
    """
    path = folder / "sandbox.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads(path.read_text())
        if stored["host"] == list(host):
            return next(found for found in candidates() if found.name == stored["name"])
    chosen = choose_sandbox(folder)
    with contextlib.suppress(OSError):
        write_atomic(path, json.dumps({"host": list(host), "name": chosen.name}).encode(), mode=0o600)
    return chosen


def inside_argv(request: JsonObject) -> list[str]:
    """The program that does `request`, to be run in a private namespace."""
    return [sys.executable, "-m", "goldsmith.disk.inside", json.dumps(request)]


def answer_of(result: proc.Result) -> JsonObject:
    """What an operation in another process answered; raises the error that it raised."""
    try:
        answer: JsonObject = json.loads(result.stdout)
    except ValueError:
        detail = proc.last_lines(result.error_text, 5)
        raise ProgramError(
            f"work inside a namespace ended with {proc.describe_status(result.returncode)}: {detail}",
            argv=result.argv,
            returncode=result.returncode,
            tail=detail,
        ) from None
    if result.returncode == inside.ERROR_RAISED:
        kind = getattr(errors, answer["error"], Error)
        if not issubclass(kind, Error) or issubclass(kind, ProgramError):
            kind = Error
        raise kind(answer["message"], hint=answer["hint"], code=answer["code"])
    return answer


def owner_call(operation: str, arguments: JsonObject, *, cancel: Cancel | None = None) -> JsonObject:
    """One of `operations` in a private namespace, as whoever owns the trees of the calling user."""
    argv = inside_argv({"do": operation, "arguments": arguments})
    words = proc.in_private_namespace(argv, user=os.geteuid() != 0)
    result = proc.run(
        words, timeout_seconds=TOOL_SECONDS_MAX, env=_own_environment(), cancel=cancel, check=False
    )
    return answer_of(result)


def _binds(scratch: Path, command: StepCommand) -> Iterator[JsonObject]:
    """What is shown in the guest besides its root; files made for it are written into `scratch`."""
    folder = scratch / "guest"
    folder.mkdir(exist_ok=True)

    def made(name: str, data: bytes, target: str) -> JsonObject:
        place = folder / name
        place.write_bytes(data)
        place.chmod(0o755)
        return {"host": str(place.absolute()), "guest": target, "read_only": True}

    ca_bundle = command.network_open and guest.HOST_CA_BUNDLE.is_file()
    settings = guest.apt_configuration(
        _host_apt() if command.network_open else "", network_open=command.network_open, ca_bundle=ca_bundle
    )
    yield made("apt.conf", settings.encode(), f"{guest.GUEST_DIRECTORY}/apt.conf")
    yield made("policy-rc.d", guest.POLICY_SCRIPT, "usr/sbin/policy-rc.d")
    if command.script is not None:
        yield made("step", command.script, f"{guest.GUEST_DIRECTORY}/step")
    if command.network_open:
        if ca_bundle:
            source = str(guest.HOST_CA_BUNDLE.resolve())
            target = f"{guest.GUEST_DIRECTORY}/ca-certificates.crt"
            yield {"host": source, "guest": target, "read_only": True}
        resolver, hosts = Path("/etc/resolv.conf"), Path("/etc/hosts")
        if resolver.is_file():
            yield made("resolv.conf", resolver.read_bytes(), "etc/resolv.conf")
        if hosts.is_file() and guest.hosts_matter(hosts.read_text(errors="replace")):
            yield made("hosts", hosts.read_bytes(), "etc/hosts")
    for item in command.binds:
        yield {
            "host": str(item.host.absolute()),
            "guest": item.guest.strip("/"),
            "read_only": item.read_only,
        }


def _own_environment() -> dict[str, str]:
    names = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "HOME", "TMPDIR")
    passed = {name: os.environ[name] for name in names if name in os.environ}
    return {"PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8", **passed}


@cache
def _host_apt() -> str:
    if proc.which("apt-config") is None:
        return ""
    return proc.run(["apt-config", "dump"], timeout_seconds=_APT_SECONDS_MAX, check=False).text
