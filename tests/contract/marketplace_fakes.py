"""A mirror and a builder in memory, held to the same contract as the real ones."""

import json
import os
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from goldsmith.disk.debs import LockedDeb
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.digest import of_bytes
from goldsmith.kernel.errors import CorruptError, UnavailableError
from goldsmith.marketplace.lock import Lock
from goldsmith.marketplace.model import Offer, ReleaseFile, Sku
from goldsmith.marketplace.ports import Fetched, OnProgress, Progress, Stage
from goldsmith.marketplace.sources import SuiteSource


@dataclass
class FakeMirror:
    """Implements ports.Mirror; `debs` are what every SKU consists of."""

    debs: tuple[LockedDeb, ...] = ()
    date: datetime = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
    reachable: bool = True
    signed: bool = True
    fetches: int = 0
    # Called when a fetch has looked at the releases, before it ends.
    meanwhile: Callable[[], None] = field(default=lambda: None)

    def releases(self, offer: Offer, *, cancel: Cancel) -> tuple[ReleaseFile, ...]:
        cancel.check()
        if not self.reachable:
            raise UnavailableError("the package mirror http://deb.example.org did not answer as expected")
        if not self.signed:
            raise CorruptError("the release files are not signed by a key this machine trusts")
        return tuple(
            ReleaseFile(
                suite=f"{offer.codename}{tail}",
                uri="http://deb.example.org/debian",
                date=self.date + timedelta(days=days),
                digest=of_bytes(f"{offer.codename}{tail}{self.date}".encode()),
            )
            for tail, days in (("", 0), ("-updates", 2), ("-security", 1))
        )

    def fetch(
        self,
        offer: Offer,
        sku: Sku,
        *,
        wanted: Callable[[tuple[ReleaseFile, ...]], None],
        cancel: Cancel,
        on_progress: OnProgress,
    ) -> Fetched:
        on_progress(Progress(stage=Stage.INDEX))
        releases = self.releases(offer, cancel=cancel)
        wanted(releases)
        self.fetches += 1
        self.meanwhile()
        sources = tuple(SuiteSource(suite=one.suite, uri=one.uri) for one in releases)
        return Fetched(releases=releases, sources=sources, debs=self.debs)


@dataclass
class FakeBuilder:
    """Implements ports.Builder: a tree of three files that depends on the lock alone."""

    recipe: str = "sha256:" + "a" * 64
    failure: Exception | None = None
    builds: int = 0
    concurrent: int = 0
    concurrent_max: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)
    pause: Callable[[], None] = field(default=lambda: None)

    @property
    def recipe_digest(self) -> str:
        return self.recipe

    def build(
        self, lock: Lock, target: Path, *, scratch: Path, cancel: Cancel, on_progress: OnProgress
    ) -> None:
        with self.guard:
            self.builds += 1
            self.concurrent += 1
            self.concurrent_max = max(self.concurrent, self.concurrent_max)
        try:
            scratch.mkdir(parents=True, exist_ok=True)
            on_progress(Progress(stage=Stage.INSTALL, total=1))
            write_system(target, json.dumps(lock.digest))
            self.pause()
            cancel.check()
            if self.failure is not None:
                raise self.failure
        finally:
            with self.guard:
                self.concurrent -= 1


def write_system(root: Path, content: str) -> None:
    """The smallest tree that says it is Debian 12.15 for x64 with one package."""
    for name in ("etc", "usr/bin", "var/lib/dpkg"):
        (root / name).mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    (root / "etc/debian_version").write_text("12.15\n")
    (root / "usr/bin/dash").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, 62))
    (root / "usr/bin/sh").symlink_to("/bin/dash")
    (root / "var/lib/dpkg/status").write_text("Package: one\nStatus: install ok installed\n\n")
    (root / "etc/content").write_text(content)
    settle(root)


def settle(root: Path, when: int = 1_700_000_000) -> None:
    """Give the whole tree one time, so that equal content is an equal tree."""
    for path in (root, *root.rglob("*")):
        os.utime(path, (when, when), follow_symlinks=False)
