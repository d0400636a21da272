"""The nouns of a build on disk: files to write, the command of a step, what a step may see."""

from dataclasses import dataclass, field
from pathlib import Path

STEP_SECONDS_MAX = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWrite:
    """A file to put into a tree at `path` (relative to its top); content None makes a directory."""

    path: str
    content: bytes | Path | None
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A file or directory of the host that a step sees at the path `guest`; never part of a layer."""

    host: Path
    guest: str
    read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCommand:
    """What a step runs: either `argv`, or a `script` run by its `#!` line or else by `/bin/sh -e`."""

    argv: tuple[str, ...] = ()
    script: bytes | None = None
    environment: dict[str, str] = field(default_factory=dict)
    network_open: bool = False
    binds: tuple[Bind, ...] = ()
    timeout_seconds: float = STEP_SECONDS_MAX

    def __post_init__(self) -> None:
        assert bool(self.argv) != (self.script is not None), "a step has an argv or a script"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A merged root: `lowers` from the top one down; what is changed goes to `upper` (None: read-only).

    `scratch` is an empty directory on the file system of `upper`, free for mount points and overlay's work.
    """

    lowers: tuple[Path, ...]
    upper: Path | None
    scratch: Path
