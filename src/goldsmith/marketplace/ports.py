"""What the marketplace needs from outside: a mirror, a builder of root trees, a reader of disk images."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeAlias

from goldsmith.disk.debs import LockedDeb
from goldsmith.kernel.cancel import Cancel
from goldsmith.marketplace.lock import Lock
from goldsmith.marketplace.model import Offer, ReleaseFile, Sku
from goldsmith.marketplace.sources import SuiteSource


class Stage(StrEnum):
    """The stages of a capture, in order."""

    WAIT = "wait"
    INDEX = "index"
    DOWNLOAD = "download"
    INSTALL = "install"
    EXTRACT = "extract"
    DIGEST = "digest"
    STORE = "store"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`done` of `total` steps of the stage; a total of 0 means it is not known."""

    stage: Stage
    done: int = 0
    total: int = 0


OnProgress: TypeAlias = Callable[[Progress], None]

RootExtractor: TypeAlias = Callable[[Path, Path], None]
"""Writes the root tree of the disk image (first) into a new directory (second).

Raises UnsupportedError when the disk holds no root file system it can read, CorruptError when it is broken.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Packages that are now in the package store, and the state of the mirror they came from."""

    releases: tuple[ReleaseFile, ...]
    sources: tuple[SuiteSource, ...]
    debs: tuple[LockedDeb, ...]


class Mirror(Protocol):
    def releases(self, offer: Offer, *, cancel: Cancel) -> tuple[ReleaseFile, ...]:
        """The verified release files of the offer's suites as they are now.

        Raises UnavailableError when the mirror does not answer, CorruptError when a signature does not hold,
        UnsupportedError when no mirror is known.
        """
        ...

    def fetch(
        self,
        offer: Offer,
        sku: Sku,
        *,
        wanted: Callable[[tuple[ReleaseFile, ...]], None],
        cancel: Cancel,
        on_progress: OnProgress,
    ) -> Fetched:
        """Download what the SKU needs and is not there yet; `wanted` may refuse the state by raising.

        Raises what `releases` raises, and NotFoundError when the mirror has no such package.
        """
        ...


class Builder(Protocol):
    @property
    def recipe_digest(self) -> str:
        """Of all in a tree that comes from neither the packages nor the lock."""
        ...

    def build(
        self, lock: Lock, target: Path, *, scratch: Path, cancel: Cancel, on_progress: OnProgress
    ) -> None:
        """Make the lock's tree as the new directory `target`, without a mirror; equal locks give equal trees.

        Raises NotFoundError or CorruptError for a package that is not in the store as locked, ProgramError,
        NoSpaceError, UnsupportedError.
        """
        ...
