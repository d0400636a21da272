"""The program that works inside a private namespace: mounts a root, runs a command on it, or handles a tree.

Run as `python -m goldsmith.disk.inside REQUEST` with a JSON request (see `sandbox`, which writes it).
Everything it mounts is in the namespace it was started in, which goes away with it however it ends.
"""

import contextlib
import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from goldsmith.disk import guest, mounts
from goldsmith.disk.merged import MergedTree, materialise, move_changes, snapshot
from goldsmith.kernel.errors import Error, NoSpaceError
from goldsmith.kernel.json import JsonObject

# Exit statuses that no command gives: the sandbox itself failed, or a tree operation raised an Error.
SANDBOX_FAILED = 125
ERROR_RAISED = 3
ROOT_PLACEHOLDER = "{root}"
# Set for a program that was given a merged root (see `sandbox`).
ROOT_VARIABLE = "GOLDSMITH_ROOT"


def main() -> int:
    request: JsonObject = json.loads(sys.argv[1])
    os.umask(0o022)
    try:
        match request["do"]:
            case "step":
                return _step(request)
            case "host":
                return _host(request)
            case "merged":
                with _merged(request, scaffold=None) as root:
                    arguments = {**request["arguments"], "root": str(root)}
                    return _operation({"do": request["operation"], "arguments": arguments})
            case "probe":
                return _probe(request)
            case _:
                return _operation(request)
    except OSError as error:
        where = f" on {error.filename}" if error.filename else ""
        sys.stderr.write(f"goldsmith: the sandbox could not be set up: {error.strerror}{where}\n")
        return SANDBOX_FAILED


def _operation(request: JsonObject) -> int:
    # Loaded only here: a step, of which a build has many, needs none of it.
    from goldsmith.disk import operations

    try:
        try:
            answer = operations.perform(request["do"], request["arguments"])
        except OSError as error:
            raise error_of(error) from error
    except Error as error:
        answer = {
            "error": type(error).__name__,
            "message": error.message,
            "hint": error.hint,
            "code": error.code,
        }
        sys.stdout.write(json.dumps(answer))
        return ERROR_RAISED
    sys.stdout.write(json.dumps(answer))
    return 0


def error_of(error: OSError) -> Error:
    where = f" on {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(f"no room left{where}", hint="free some room, then run it again")
    return Error(f"the work on a tree failed: {error.strerror}{where}")


def _host(request: JsonObject) -> int:
    with _merged(request, scaffold=None) as root:
        argv = [word.replace(ROOT_PLACEHOLDER, str(root)) for word in request["argv"]]
        return _run(argv, os.environ | {ROOT_VARIABLE: str(root)})


def _step(request: JsonObject) -> int:
    scratch = Path(request["scratch"])
    lowers = tuple(Path(name) for name in request["lowers"])
    upper = (Path(request["upper"]),) if request["upper"] else ()
    tree = MergedTree(layers=(*upper, *lowers))
    mounted = []
    for item in request["binds"]:
        target = tree.resolve(item["guest"])
        # What the builder shows of its own accord stays out where the guest has taken its place away.
        mounted.append(guest.Mounted(source=item["host"], target=target, read_only=item["read_only"]))
    scaffold = scratch / "scaffold"
    _make_mount_points(scaffold, mounted)
    with _merged(request, scaffold=scaffold) as root:
        before = snapshot(root) if request["copy"] else None
        made = _make_mount_points(root, mounted)
        try:
            if request["bubblewrap"]:
                argv = guest.bubblewrap_argv(
                    root,
                    mounted,
                    network_open=request["network_open"],
                    capabilities=tuple(mounts.CAPABILITIES),
                )
                return _run([*argv, *request["argv"]], request["environment"])
            return _run_in_chroot(root, mounted, request)
        finally:
            _end_all_others()
            for place in reversed(made):
                _remove_empty(place)
            if before is not None and request["upper"]:
                move_changes(root, before, Path(request["upper"]))


@contextlib.contextmanager
def _merged(request: JsonObject, *, scaffold: Path | None) -> Iterator[Path]:
    scratch = Path(request["scratch"])
    lowers = [Path(name) for name in request["lowers"]]
    upper = Path(request["upper"]) if request["upper"] else None
    for name in ("root", "names", "work", "empty"):
        if (scratch / name).exists():
            shutil.rmtree(scratch / name)
    root = scratch / "root"
    root.mkdir()
    if request["copy"]:
        materialise([*([upper] if upper else []), *lowers], root)
    else:
        # At the bottom, so that it shows through only where no layer has anything; overlayfs wants two
        # anyway.
        bottom = scaffold or scratch / "empty"
        bottom.mkdir(exist_ok=True)
        mounts.mount_overlay(
            root, [*lowers, bottom], upper=upper, scratch=scratch, trusted=not request["user"]
        )
    yield root


def _make_mount_points(root: Path, mounted: Sequence[guest.Mounted]) -> list[Path]:
    """Make what is missing below `root` to mount on; returns what was made."""
    made: list[Path] = []

    def folder(place: Path) -> None:
        if not place.is_dir():
            if place != root:
                folder(place.parent)
            with _same_time(place.parent):
                place.mkdir()
            made.append(place)

    for name in guest.PROVIDED:
        folder(root / name)
    for item in mounted:
        if item.target.split("/", 1)[0] in guest.PROVIDED:
            continue
        place = root / item.target
        if Path(item.source).is_dir():
            folder(place)
        elif not place.exists():
            folder(place.parent)
            with _same_time(place.parent):
                place.touch()
            made.append(place)
    return made


def _remove_empty(place: Path) -> None:
    """Remove a mount point that was made, unless something was put into it: then it is the step's own."""
    with _same_time(place.parent), contextlib.suppress(OSError):
        if place.is_dir():
            place.rmdir()
        elif place.stat().st_size == 0:
            place.unlink()


@contextlib.contextmanager
def _same_time(folder: Path) -> Iterator[None]:
    status = folder.stat()
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.utime(folder, ns=(status.st_atime_ns, status.st_mtime_ns))


def _run(argv: Sequence[str], environment: dict[str, str]) -> int:
    try:
        code = subprocess.Popen(argv, env=environment).wait()
    except FileNotFoundError:
        sys.stderr.write(f"goldsmith: {argv[0]} is not installed\n")
        return 127
    return code if code >= 0 else 128 - code


def _run_in_chroot(root: Path, mounted: Sequence[guest.Mounted], request: JsonObject) -> int:
    mounts.leave_host(network=request["network_open"])
    mounts.mount("proc", root / "proc", "proc", flags=mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC)
    mounts.bind(Path("/sys"), root / "sys", read_only=True)
    _make_devices(root / "dev")
    for name, mode in (("run", "0755"), ("tmp", "1777")):
        flags = mounts.MS_NOSUID | mounts.MS_NODEV
        mounts.mount("tmpfs", root / name, "tmpfs", flags=flags, options=f"mode={mode}")
    for item in mounted:
        place = root / item.target
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.mkdir() if Path(item.source).is_dir() else place.touch()
        mounts.bind(Path(item.source), place, read_only=item.read_only)
    child = os.fork()
    if child == 0:
        _become(root, request["argv"], request["environment"])
    while True:
        ended, status = os.wait()
        if ended == child:
            break
    _end_all_others()
    for name in ("sys", "run", "tmp", "dev/pts", "dev", "proc", *(item.target for item in mounted)):
        subprocess.run(["umount", "-l", str(root / name)], check=False, capture_output=True)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become(root: Path, argv: Sequence[str], environment: dict[str, str]) -> None:
    """In the child: become the command inside the root, or end."""
    try:
        os.chroot(root)
        os.chdir("/")
        mounts.drop_capabilities()
        os.execvpe(argv[0], list(argv), environment)
    except OSError as error:
        sys.stderr.write(f"goldsmith: {argv[0]}: {error.strerror}\n")
        sys.stderr.flush()
    finally:
        os._exit(127)


def _make_devices(place: Path) -> None:
    mounts.mount("tmpfs", place, "tmpfs", flags=mounts.MS_NOSUID, options="mode=0755")
    for name in guest.DEVICES:
        (place / name).touch()
        mounts.bind(Path("/dev") / name, place / name, read_only=False)
    for name in ("pts", "shm"):
        (place / name).mkdir()
    (place / "shm").chmod(stat.S_ISVTX | 0o777)
    mounts.mount("devpts", place / "pts", "devpts", options="newinstance,ptmxmode=0666,mode=620")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0"}
    links |= {"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
    for name, target in links.items():
        (place / name).symlink_to(target)


def _end_all_others() -> None:
    """Kill what the command left running: we are the first process of the namespace."""
    if os.getpid() != 1:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def _probe(request: JsonObject) -> int:
    """Try all that a step will need, on next to nothing."""
    scratch = Path(request["scratch"])
    if not request["copy"]:
        for name in ("lower", "upper", "target"):
            (scratch / name).mkdir()
        mounts.mount_overlay(
            scratch / "target",
            [scratch / "lower"],
            upper=scratch / "upper",
            scratch=scratch,
            trusted=not request["user"],
        )
        (scratch / "target" / "file").touch()
    if request["bubblewrap"]:
        words = ["bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-net"]
        return _run([*words, "--unshare-pid", "--cap-add", "CAP_CHOWN", "true"], dict(os.environ))
    return 0


if __name__ == "__main__":
    sys.exit(main())
