"""Mounts and capabilities of the calling process, straight through the C library.

mount(8) would do, but it differs between versions in how it treats relative names in the options of an
overlay. Only ever called inside a private mount namespace (see `inside`).
"""

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Sequence
from pathlib import Path

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
_CLONE_NEWUTS = 0x04000000
_CLONE_NEWIPC = 0x08000000
_CLONE_NEWNET = 0x40000000
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_CAPABILITY_COUNT = 41
_LIBC = ctypes.CDLL(None, use_errno=True)

# What package scripts need (as in capabilities(7)): no mounting, no modules, no devices of the host.
CAPABILITIES = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_SYS_CHROOT": 18,
    "CAP_MKNOD": 27,
    "CAP_AUDIT_WRITE": 29,
    "CAP_SETFCAP": 31,
}


def mount(source: str, target: Path, kind: str = "", *, flags: int = 0, options: str = "") -> None:
    """mount(2); raises OSError with the target in it."""
    code = _LIBC.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        os.fsencode(options) or None,
    )
    if code:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def bind(source: Path, target: Path, *, read_only: bool) -> None:
    mount(str(source), target, flags=MS_BIND | MS_REC)
    if read_only:
        # A mount that a user namespace inherits keeps its restrictions, so they are asked for again.
        kept = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)
        mount("none", target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY | kept)


def mount_overlay(
    target: Path,
    lowers: Sequence[Path],
    *,
    upper: Path | None,
    scratch: Path,
    trusted: bool,
) -> None:
    """Mount `lowers` (top first) and `upper` at `target`; `scratch` gets names and overlay's work directory.

    The options of a mount are at most 4096 bytes and separate names by colons; so layers are called by short
    names in the current directory, which is changed for the time of the call. `trusted`: the caller is really
    root.
    """
    names = scratch / "names"
    names.mkdir()
    for number, lower in enumerate(lowers):
        (names / str(number)).symlink_to(lower.absolute())
    options = ["lowerdir=" + ":".join(str(number) for number in range(len(lowers)))]
    if upper is not None:
        (scratch / "work").mkdir()
        (names / "u").symlink_to(upper.absolute())
        (names / "w").symlink_to((scratch / "work").absolute())
        options += ["upperdir=u", "workdir=w"]
    options += ["index=off", "xino=off"]
    options += ["metacopy=off", "redirect_dir=off"] if trusted else ["userxattr"]
    flags = MS_NODEV | MS_NOSUID | (MS_RDONLY if upper is None else 0)
    before = Path.cwd()
    os.chdir(names)
    try:
        if upper is not None and _mounted_volatile(target, flags, options):
            return
        mount("overlay", target.absolute(), "overlay", flags=flags, options=",".join(options))
    finally:
        os.chdir(before)


def _mounted_volatile(target: Path, flags: int, options: Sequence[str]) -> bool:
    """Whether the overlay could be mounted so that programs in it sync nothing (kernels from 5.10 on).

    A layer counts only once it is whole and has its manifest; one that a crash left is made again.
    """
    try:
        mount("overlay", target.absolute(), "overlay", flags=flags, options=",".join([*options, "volatile"]))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


def leave_host(*, network: bool) -> None:
    """Give the process a host name and IPC of its own, and unless `network` one with loopback only."""
    flags = _CLONE_NEWUTS | _CLONE_NEWIPC | (0 if network else _CLONE_NEWNET)
    if _LIBC.unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "unshare")
    from socket import sethostname

    sethostname("build")
    if not network:
        _loopback_up()


def drop_capabilities() -> None:
    """Keep only CAPABILITIES for what is executed from here on."""
    for number in range(_CAPABILITY_COUNT):
        if number not in CAPABILITIES.values():
            _LIBC.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def is_real_root() -> bool:
    """Root outside of any user namespace, which alone may mount a disk."""
    return os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]


def _loopback_up() -> None:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(handle, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(handle, _SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags | _IFF_UP, b""))
