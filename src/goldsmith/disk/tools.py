"""Running the programs that make and read disks: fixed environment, and a full disk said plainly."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from goldsmith.kernel import proc
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import NoSpaceError, ProgramError

TOOL_SECONDS_MAX = 1800.0
_NO_SPACE_WORDS = ("No space left on device", "Disk quota exceeded", "Disk full")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run_tool(
    argv: Sequence[str | Path],
    *,
    writes: Path,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: bytes | None = None,  # named as in subprocess
    check: bool = True,
    cancel: Cancel | None = None,
    timeout_seconds: float = TOOL_SECONDS_MAX,
) -> proc.Result:
    """`proc.run` with a fixed environment; raises NoSpaceError when the disk of `writes` is full."""
    try:
        return proc.run(
            argv,
            timeout_seconds=timeout_seconds,
            env={"PATH": SYSTEM_PATH, "LC_ALL": "C", "TZ": "UTC", **(environment or {})},
            cwd=cwd,
            input=input,
            check=check,
            cancel=cancel,
        )
    except ProgramError as error:
        raise_if_full(error.tail, writes)
        raise


def raise_if_full(output: str, path: Path) -> None:
    """Raises NoSpaceError when a program's output says that the disk is full."""
    if any(words in output for words in _NO_SPACE_WORDS):
        raise NoSpaceError(
            f"no room left on the file system of {path}",
            hint="free some room or point GOLDSMITH_STATE at another disk, then run it again",
        )
