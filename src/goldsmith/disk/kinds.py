"""What a name in a tree or a layer of overlayfs is, and which of its attributes belong to it."""

import os
import stat
from enum import StrEnum

OPAQUE_ATTRIBUTES = ("trusted.overlay.opaque", "user.overlay.opaque")
# What belongs to a file's meaning; `trusted.` is visible to root only and `security.selinux` is the host's
# own.
_KEPT_ATTRIBUTES = ("security.capability", "system.posix_acl_access", "system.posix_acl_default")


class Kind(StrEnum):
    DIRECTORY = "dir"
    FILE = "file"
    LINK = "link"
    CHARACTER = "char"
    BLOCK = "block"
    FIFO = "fifo"
    SOCKET = "socket"
    WHITEOUT = "whiteout"


def kind_of(status: os.stat_result) -> Kind:
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        return Kind.DIRECTORY
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISLNK(mode):
        return Kind.LINK
    if stat.S_ISCHR(mode):
        return Kind.WHITEOUT if status.st_rdev == 0 else Kind.CHARACTER
    if stat.S_ISBLK(mode):
        return Kind.BLOCK
    return Kind.FIFO if stat.S_ISFIFO(mode) else Kind.SOCKET


def is_kept_attribute(name: str) -> bool:
    return name in _KEPT_ATTRIBUTES or (name.startswith("user.") and not name.startswith("user.overlay."))
