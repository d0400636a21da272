"""Look at this host: what it has, and by trying it briefly, what really works. Nothing is left changed."""

import json
import os
import pwd
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from goldsmith.host import kvm_loop
from goldsmith.host.facts import Check, FirmwareFiles, HostFacts, Program
from goldsmith.host.needs import FIRMWARE, NEEDS, FirmwareCandidate, Need
from goldsmith.kernel import proc
from goldsmith.kernel.errors import ProgramError, ProgramTimeoutError, UnsupportedError

_TRY_SECONDS = 5.0
_KVM_SECONDS = 2.0
_VERSION = re.compile(r"\d+\.\d+[\w.+~-]*")
_TRY_OVERLAY = """
cd "$1"
mkdir lower upper work merged
echo below > lower/file
mount -t overlay overlay -o "lowerdir=lower,upperdir=upper,workdir=work$2" merged
echo above > merged/file
test "$(cat lower/file)" = below
"""


def probe_host(state_dir: Path) -> HostFacts:
    """Takes about a second. Never raises for something missing: that is a fact too.

    What needs trying is tried in child processes with mounts of their own; overlays are tried on the
    file system of `state_dir`, since not every file system can hold one.
    """
    user_id = os.getuid()
    system = os.uname()
    user_range = subordinate_ids(_read("/etc/subuid"), names=_own_names(user_id))
    with ThreadPoolExecutor(max_workers=4, thread_name_prefix="probe") as pool:
        kvm = pool.submit(probe_kvm)
        overlay = pool.submit(_try_overlay, state_dir, user=False, mapped=False)
        user_namespaces = pool.submit(_try_user_namespace)
        overlay_in_user = pool.submit(_try_overlay, state_dir, user=True, mapped=user_range > 0)
        programs = tuple(found for found in pool.map(_find_program, NEEDS) if found is not None)
    return HostFacts(
        architecture=system.machine,
        kernel=system.release,
        boot_id=_read("/proc/sys/kernel/random/boot_id").strip(),
        user_id=user_id,
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=_memory_bytes(),
        kvm=kvm.result(),
        file_systems=known_file_systems(_read("/proc/filesystems")),
        loop_devices=_loop_devices(),
        overlay=overlay.result(),
        user_namespaces=user_namespaces.result(),
        overlay_in_user_namespace=overlay_in_user.result(),
        subordinate_user_ids=user_range,
        subordinate_group_ids=subordinate_ids(_read("/etc/subgid"), names=_own_names(user_id)),
        programs=programs,
        firmware=find_firmware(FIRMWARE),
        state_dir=state_dir,
        free_bytes=free_bytes(state_dir),
        first_process=_first_process(),
    )


def probe_kvm() -> Check:
    """Whether KVM runs guest instructions, tried in a child process that a broken KVM may hang or crash."""
    argv = [sys.executable, "-I", "-S", kvm_loop.__file__]
    try:
        result = proc.run(argv, timeout_seconds=_KVM_SECONDS)
        answer = json.loads(result.text)
        return Check(works=bool(answer["usable"]), reason=str(answer["reason"]))
    except ProgramTimeoutError:
        return Check(works=False, reason=f"a guest did not come back within {_KVM_SECONDS:.0f} s")
    except (ProgramError, ValueError, KeyError) as error:
        return Check(works=False, reason=f"the try ended badly: {error}")


def find_firmware(candidates: Iterable[FirmwareCandidate]) -> tuple[FirmwareFiles, ...]:
    """Those of the candidates whose two files are there, in the same order."""
    return tuple(
        FirmwareFiles(
            code=Path(candidate.code),
            vars=Path(candidate.vars),
            secure_boot=candidate.secure_boot,
            format=candidate.format,
        )
        for candidate in candidates
        if Path(candidate.code).is_file() and Path(candidate.vars).is_file()
    )


def subordinate_ids(text: str, *, names: Sequence[str]) -> int:
    """How many ids subuid(5) text grants to a user, who is known by name or by number."""
    count = 0
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) == 3 and fields[0] in names and fields[2].strip().isdigit():
            count += int(fields[2])
    return count


def known_file_systems(text: str) -> tuple[str, ...]:
    """Names in /proc/filesystems; ones in modules not loaded yet are not among them."""
    return tuple(sorted(line.split()[-1] for line in text.splitlines() if line.split()))


def free_bytes(path: Path) -> int:
    """Room for us on the file system of `path`, which need not exist yet."""
    return shutil.disk_usage(_existing(path)).free


def _find_program(need: Need) -> Program | None:
    path = proc.which(need.program)
    if path is None:
        return None
    version = ""
    if need.version_arguments:
        try:
            result = proc.run([path, *need.version_arguments], timeout_seconds=_TRY_SECONDS, check=False)
            match = _VERSION.search(result.text + result.error_text)
            version = match[0] if match else ""
        except (ProgramTimeoutError, UnsupportedError):
            version = ""
    return Program(name=need.program, path=path, version=version)


def _try_overlay(state_dir: Path, *, user: bool, mapped: bool) -> Check:
    parent = _existing(state_dir)
    if not os.access(parent, os.W_OK):
        parent = Path(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix=".probe-", dir=parent, ignore_cleanup_errors=True) as directory:
        inner = ["sh", "-ec", _TRY_OVERLAY, "sh", directory, ",userxattr" if user else ""]
        if user and not mapped:
            argv = ["unshare", "--user", "--map-root-user", "--mount", "--", *inner]
        else:
            argv = proc.in_private_namespace(inner, user=user)
        return _try(argv, f"an overlay was mounted and written on the file system of {parent}")


def _try_user_namespace() -> Check:
    argv = ["unshare", "--user", "--map-root-user", "--", "true"]
    return _try(argv, "a process became root in a user namespace")


def _try(argv: Sequence[str], success: str) -> Check:
    try:
        result = proc.run(argv, timeout_seconds=_TRY_SECONDS, check=False)
    except (ProgramTimeoutError, UnsupportedError) as error:
        return Check(works=False, reason=str(error))
    if result.returncode == 0:
        return Check(works=True, reason=success)
    words = proc.last_lines(result.error_text, 1) or proc.describe_status(result.returncode)
    return Check(works=False, reason=words)


def _loop_devices() -> Check:
    control = Path("/dev/loop-control")
    if not control.exists():
        return Check(works=False, reason="the kernel offers no /dev/loop-control")
    if not os.access(control, os.R_OK | os.W_OK):
        return Check(works=False, reason="/dev/loop-control is not ours to use")
    return Check(works=True, reason="/dev/loop-control can be opened")


def _memory_bytes() -> int:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    texts = (_read(path).strip() for path in limits)
    return min([total, *(int(text) for text in texts if text.isdigit() and int(text) > 0)])


def _first_process() -> str:
    # systemd may run under the name of init; it is systemd that makes this directory (sd_booted(3)).
    return "systemd" if Path("/run/systemd/system").is_dir() else _read("/proc/1/comm").strip() or "unknown"


def _own_names(user_id: int) -> tuple[str, ...]:
    try:
        return (pwd.getpwuid(user_id).pw_name, str(user_id))
    except KeyError:
        return (str(user_id),)


def _existing(path: Path) -> Path:
    return next(candidate for candidate in (path.absolute(), *path.absolute().parents) if candidate.is_dir())


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
