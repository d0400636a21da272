"""Making a Debian root tree from a directory of packages, the same bytes each time."""

import os
import re
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from goldsmith.kernel import proc
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import Error, NoSpaceError, ProgramError, UnsupportedError

# 20 times what a cloud base takes on an idle machine with two processors.
_BOOTSTRAP_SECONDS_MAX = 1200.0
_STEP = re.compile(rb"^(?:Unpacking|Setting up|Processing triggers for) ", re.MULTILINE)
# Counts the changes to this module that give other trees from the same packages.
RECIPE = 1
# What a system mounts over at boot; anything in there is the build host's.
_MOUNT_POINTS = ("dev", "proc", "sys", "run", "tmp")


class Variant(StrEnum):
    """mmdebstrap(1), variants: which packages are there before the asked ones."""

    ESSENTIAL = "essential"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapSpec:
    """What to make: `include` are package names on top of the variant, `epoch` seconds since 1970, UTC.

    `dpkg_options` are dpkg.cfg(5) lines that hold while packages are unpacked; `hooks` are shell scripts run
    on the host with the root directory as only argument after the last package is configured; `files` are
    (path below the root, content) written last.
    """

    architecture: str
    variant: Variant
    include: tuple[str, ...]
    epoch: int
    dpkg_options: tuple[str, ...] = ()
    hooks: tuple[Path, ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()


def bootstrap(
    repository: Path,
    target: Path,
    spec: BootstrapSpec,
    *,
    scratch: Path,
    cancel: Cancel,
    on_step: Callable[[int], None],
) -> None:
    """Install `spec` from the flat repository into the new directory `target`; nothing else is fetched.

    `on_step` gets the number of package steps done so far (unpack, configure, triggers). Mounts and processes
    are in a namespace of their own, so that a killed build leaves neither. No file in the tree is newer than
    `spec.epoch`. Raises UnsupportedError (not root, mmdebstrap missing), ProgramError, NoSpaceError and what
    `cancel.check()` raises; a half-made `target` is the caller's to remove.
    """
    if os.geteuid() != 0:
        raise UnsupportedError(
            "installing a base's packages was asked for by a user who is not root",
            hint="run this as root: maintainer scripts set owners and make device nodes",
        )
    started = time.time()
    scratch.mkdir(parents=True, exist_ok=True)
    steps = 0
    rest = b""

    def count(chunk: bytes) -> None:
        nonlocal steps, rest
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        if found := len(_STEP.findall(whole + newline)):
            steps += found
            on_step(steps)

    try:
        proc.run(
            proc.in_private_namespace(_argv(repository, target, spec)),
            timeout_seconds=_BOOTSTRAP_SECONDS_MAX,
            env=_environment(spec.epoch, scratch),
            cancel=cancel,
            on_output=count,
        )
    except ProgramError as error:
        raise _explained(error, target) from error
    for name, content in spec.files:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        path.chmod(0o644)
    _settle(target, spec.epoch, started)


def _argv(repository: Path, target: Path, spec: BootstrapSpec) -> list[str]:
    mmdebstrap = proc.which("mmdebstrap")
    if mmdebstrap is None:
        raise UnsupportedError(
            "mmdebstrap is not installed",
            hint="install the package mmdebstrap (1.3 or newer), then run it again",
        )
    words = [
        *(str(mmdebstrap), "--mode=root", "--format=directory", "--verbose"),
        *(f"--variant={spec.variant}", f"--architectures={spec.architecture}"),
        *("--aptopt=APT::Install-Recommends false", "--dpkgopt=force-unsafe-io"),
        *(f"--dpkgopt={option}" for option in spec.dpkg_options),
        *(f'--customize-hook=sh -eu {shlex.quote(str(hook))} "$1"' for hook in spec.hooks),
        *((f"--include={','.join(spec.include)}",) if spec.include else ()),
        # An empty suite: the flat repository has no Release file to match one against.
        *("", str(target), f"deb [trusted=yes] copy://{quote(str(repository))} ./"),
    ]
    # The umask of the caller must not show in the tree.
    return ["sh", "-c", 'umask 022; exec "$@"', "sh", *words]


def _environment(epoch: int, scratch: Path) -> dict[str, str]:
    """Nothing of the caller's environment reaches maintainer scripts."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "DEBIAN_FRONTEND": "noninteractive",
        # Byte-compiled Python holds sets in the order of their hashes.
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": str(epoch),
        "TMPDIR": str(scratch),
    }


def _settle(root: Path, epoch: int, started: float) -> None:
    """Empty the mount points and give whatever this run wrote the epoch as its time.

    Also what seems older than the epoch but was written now (a host clock that is behind) gets it.
    """
    for name in _MOUNT_POINTS:
        for entry in os.scandir(root / name) if (root / name).is_dir() else ():
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                Path(entry.path).unlink()
    newest = min(float(epoch), started)
    paths = [str(root)]
    for directory, names, files in os.walk(root):
        paths += [f"{directory}/{name}" for name in (*names, *files)]
    for path in paths:
        if os.lstat(path).st_mtime > newest:
            os.utime(path, (epoch, epoch), follow_symlinks=False)


def _explained(error: ProgramError, target: Path) -> Error:
    if "No space left on device" in error.tail:
        return NoSpaceError(
            f"no room left on the file system of {target} while installing packages",
            hint="free some room or point GOLDSMITH_STATE at another disk, then run it again",
        )
    return ProgramError(
        f"could not install the base's packages into {target}: {error.message}",
        argv=error.argv,
        returncode=error.returncode,
        tail=error.tail,
        hint="the last lines name the package that failed; capture again, with another version if it stays",
    )
