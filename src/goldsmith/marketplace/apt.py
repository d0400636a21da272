"""A Debian mirror as apt sees it, with the machine's own sources, proxies and keys."""

import contextlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldsmith.disk.bootstrap import Variant
from goldsmith.disk.debs import DebStore, LockedDeb, locked, parse_control, read_control
from goldsmith.kernel import proc
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.digest import of_file
from goldsmith.kernel.errors import (
    CorruptError,
    Error,
    InvalidInputError,
    NoSpaceError,
    NotFoundError,
    ProgramError,
    UnavailableError,
)
from goldsmith.kernel.files import remove_tree, write_atomic
from goldsmith.marketplace.logic import parse_release
from goldsmith.marketplace.model import DEBIAN_ARCHITECTURES, Offer, ReleaseFile, Sku
from goldsmith.marketplace.ports import Fetched, OnProgress, Progress, Stage
from goldsmith.marketplace.sources import (
    Mirrors,
    SourceEntry,
    SuiteSource,
    choose_mirrors,
    parse_deb822,
    parse_one_line,
    public,
    suite_sources,
    write_deb822,
)
from goldsmith.marketplace.waiting import held

_INDEX_SECONDS_MAX = 300.0
_DOWNLOAD_SECONDS_MAX = 3600.0
_CONFIG_SECONDS_MAX = 30.0
_URI_LINE = re.compile(r"'[^']+' (\S+) (\d+) SHA256:([0-9a-f]{64})")
_FETCHED = re.compile(rb"^Get:\d+ ", re.MULTILINE)
_VARIANT_PATTERNS = {
    Variant.ESSENTIAL: ("?essential",),
    Variant.REQUIRED: ("?essential", "?priority(required)"),
}
_UNSIGNED = (
    "NO_PUBKEY",
    "BADSIG",
    "EXPKEYSIG",
    "is not signed",
    "couldn't be verified",
    "Unable to find expected",
)
_NO_PACKAGE = ("Unable to locate package", "has no installation candidate", "unmet dependencies")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    filename: str
    size_bytes: int
    digest: str


class AptMirror:
    """Implements ports.Mirror in private directories under `work`; the host's package state is never touched.

    `mirror` and `security_mirror` replace what the machine's apt sources say. Packages go to `debs`.
    """

    def __init__(
        self,
        work: Path,
        debs: DebStore,
        *,
        mirror: str | None = None,
        security_mirror: str | None = None,
        variant: Variant = Variant.REQUIRED,
        apt_directory: Path = Path("/etc/apt"),
    ) -> None:
        self._work = work
        self._debs = debs
        self._mirror = mirror
        self._security_mirror = security_mirror
        self._variant = variant
        self._apt_directory = apt_directory

    def releases(self, offer: Offer, *, cancel: Cancel) -> tuple[ReleaseFile, ...]:
        mirrors = self._mirrors()
        sources = suite_sources(mirrors, offer.codename)
        folder = self._work / f"{offer.codename}-release"
        with held(folder.with_suffix(".lock"), cancel):
            environment = _configure(folder, sources, mirrors.signed_by, architecture="amd64")
            # Without index targets apt fetches and verifies the release files alone.
            # One retry: whoever waits for an answer to "which version" would rather have none soon.
            only_releases = (
                *("-o", "Acquire::IndexTargets::deb::Packages::DefaultEnabled=false"),
                *("-o", "Acquire::Retries=1"),
            )
            _update(environment, sources, only_releases, cancel)
            return _read_releases(folder / "lists", sources)

    def fetch(
        self,
        offer: Offer,
        sku: Sku,
        *,
        wanted: Callable[[tuple[ReleaseFile, ...]], None],
        cancel: Cancel,
        on_progress: OnProgress,
    ) -> Fetched:
        mirrors = self._mirrors()
        sources = suite_sources(mirrors, offer.codename)
        architecture = DEBIAN_ARCHITECTURES[sku.architecture]
        folder = self._work / f"{offer.codename}-{architecture}"
        with held(folder.with_suffix(".lock"), cancel):
            on_progress(Progress(stage=Stage.INDEX))
            environment = _configure(folder, sources, mirrors.signed_by, architecture=architecture)
            _update(environment, sources, (), cancel)
            releases = _read_releases(folder / "lists", sources)
            wanted(releases)
            names = (*_VARIANT_PATTERNS[self._variant], *sku.packages)
            self._adopt(folder / "archives")
            chosen = _choose(environment, sources, names, cancel)
            missing = [item for item in chosen if not self._debs.has(item.digest)]
            if missing:
                self._link_known(chosen, folder / "archives")
                _download(environment, sources, names, len(missing), cancel, on_progress)
            debs = tuple(self._stored(item, folder / "archives") for item in chosen)
            self._debs.sync()
            remove_tree(folder / "archives")
        return Fetched(
            releases=releases,
            sources=tuple(SuiteSource(suite=one.suite, uri=self._for_image(one.uri)) for one in sources),
            debs=tuple(sorted(debs, key=lambda deb: (deb.name, deb.version))),
        )

    def _adopt(self, archives: Path) -> None:
        """Take over what an interrupted download left; apt leaves out of --print-uris what it finds there."""
        for leftover in archives.glob("*.deb"):
            with contextlib.suppress(InvalidInputError):
                self._debs.add(leftover)
            leftover.unlink()

    def _link_known(self, chosen: Sequence[_Wanted], archives: Path) -> None:
        """Show apt what is in the store, so that it fetches the rest only."""
        for item in chosen:
            target = archives / item.filename
            if self._debs.has(item.digest) and not target.exists():
                self._debs.place(item.digest, target)

    def _stored(self, item: _Wanted, archives: Path) -> LockedDeb:
        if self._debs.has(item.digest):
            path = self._debs.path(item.digest)
            fields = parse_control(read_control(path))
            return locked(fields, deb_digest=item.digest, size_bytes=item.size_bytes)
        found = of_file(archives / item.filename)
        if found != item.digest:
            raise CorruptError(
                f"the downloaded package {item.filename} has digest {found}, expected {item.digest}",
                hint="run it again; when it stays so, the mirror is broken",
            )
        return self._debs.add(archives / item.filename)

    def _mirrors(self) -> Mirrors:
        return choose_mirrors(
            read_sources(self._apt_directory), mirror=self._mirror, security_mirror=self._security_mirror
        )

    def _for_image(self, uri: str) -> str:
        """What an image may be told of a mirror: no credentials, no list of mirrors that is on this host."""
        if uri.startswith("mirror+file:"):
            listed = Path(uri.removeprefix("mirror+file:").replace("//", "", 1)).read_text()
            uri = next((line.split()[0] for line in listed.splitlines() if line[:1] not in ("", "#")), uri)
        return public(uri).rstrip("/")


def read_sources(apt_directory: Path) -> tuple[SourceEntry, ...]:
    """All entries of the machine's source lists, in the order apt reads them (sources.list(5))."""
    entries: list[SourceEntry] = []
    main = apt_directory / "sources.list"
    if main.is_file():
        entries += parse_one_line(main.read_text(errors="replace"))
    for path in sorted((apt_directory / "sources.list.d").glob("*")):
        if path.suffix == ".sources":
            entries += parse_deb822(path.read_text(errors="replace"))
        elif path.suffix == ".list":
            entries += parse_one_line(path.read_text(errors="replace"))
    return tuple(entries)


def host_acquire_options() -> str:
    """The machine's `Acquire::` settings (proxies, certificates, time-outs) as lines of apt.conf(5)."""
    dump = proc.run(["apt-config", "dump"], timeout_seconds=_CONFIG_SECONDS_MAX).text
    # Which indexes are fetched, and in what form, is ours to say.
    ours = ("Acquire::IndexTargets", "Acquire::Changelogs", "Acquire::Languages", "Acquire::GzipIndexes")
    lines = [line for line in dump.splitlines() if line.startswith("Acquire::") and not line.startswith(ours)]
    return "\n".join(lines)


def _configure(
    folder: Path, sources: Sequence[SuiteSource], signed_by: str, *, architecture: str
) -> dict[str, str]:
    """Write a private apt configuration; returns the environment that makes apt use it and no other."""
    for name in ("lists/partial", "archives/partial", "none"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "debian.sources", write_deb822(sources, signed_by).encode())
    write_atomic(folder / "status", b"")
    settings = {
        "Dir::Etc::main": "/dev/null",
        "Dir::Etc::parts": "/dev/null",
        "Dir::Etc::sourcelist": folder / "debian.sources",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": folder / "none",
        "Dir::Etc::netrc": "/etc/apt/auth.conf",
        "Dir::Etc::netrcparts": "/etc/apt/auth.conf.d",
        "Dir::State": folder,
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder,
        "Dir::Cache::archives": folder / "archives",
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Install-Recommends": "false",
        # apt thinks of itself as essential; a base has it because its SKU names it.
        "pkgCacheGen::ForceEssential": ",",
        "APT::Update::Error-Mode": "any",
        # The state directory is closed to other users, also to apt's own.
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::ForceHash": "SHA256",
    }
    lines = [f'{name} "{value}";' for name, value in settings.items()]
    write_atomic(
        folder / "apt.conf", ("\n".join([host_acquire_options(), *lines]) + "\n").encode(), mode=0o600
    )
    inherited = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    path = os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    return {**inherited, "PATH": path, "LC_ALL": "C", "APT_CONFIG": str(folder / "apt.conf")}


def _update(
    environment: dict[str, str], sources: Sequence[SuiteSource], options: Sequence[str], cancel: Cancel
) -> None:
    try:
        proc.run(
            ["apt-get", *options, "update"],
            timeout_seconds=_INDEX_SECONDS_MAX,
            env=environment,
            cancel=cancel,
        )
    except ProgramError as error:
        raise _explained(error, sources) from error


def _choose(
    environment: dict[str, str], sources: Sequence[SuiteSource], names: Sequence[str], cancel: Cancel
) -> tuple[_Wanted, ...]:
    """The packages apt would install into an empty system."""
    argv = ["apt-get", "--yes", "--print-uris", "install", *names]
    try:
        result = proc.run(argv, timeout_seconds=_INDEX_SECONDS_MAX, env=environment, cancel=cancel)
    except ProgramError as error:
        raise _explained(error, sources) from error
    found = _URI_LINE.findall(result.text)
    return tuple(
        _Wanted(filename=name, size_bytes=int(size), digest=f"sha256:{value}") for name, size, value in found
    )


def _download(
    environment: dict[str, str],
    sources: Sequence[SuiteSource],
    names: Sequence[str],
    total: int,
    cancel: Cancel,
    on_progress: OnProgress,
) -> None:
    done = 0
    on_progress(Progress(stage=Stage.DOWNLOAD, total=total))

    def count(chunk: bytes) -> None:
        nonlocal done
        done += len(_FETCHED.findall(chunk))
        on_progress(Progress(stage=Stage.DOWNLOAD, done=min(done, total), total=total))

    argv = ["apt-get", "--yes", "--download-only", "install", *names]
    try:
        proc.run(argv, timeout_seconds=_DOWNLOAD_SECONDS_MAX, env=environment, cancel=cancel, on_output=count)
    except ProgramError as error:
        raise _explained(error, sources) from error


def _read_releases(lists: Path, sources: Sequence[SuiteSource]) -> tuple[ReleaseFile, ...]:
    uris = {source.suite: public(source.uri) for source in sources}
    found: dict[str, ReleaseFile] = {}
    for path in sorted(lists.glob("*Release")):
        release = parse_release(path.read_text(errors="replace"), uri=path.name, digest=of_file(path))
        if release.suite in uris:
            found[release.suite] = ReleaseFile(
                suite=release.suite, uri=uris[release.suite], date=release.date, digest=release.digest
            )
    if absent := [suite for suite in uris if suite not in found]:
        raise UnavailableError(
            f"the mirror gave no release file of {', '.join(absent)}",
            hint="it may be incomplete; use another one",
        )
    return tuple(found[suite] for suite in uris)


def _explained(error: ProgramError, sources: Sequence[SuiteSource]) -> Error:
    tail = _CREDENTIALS.sub("", error.tail)
    hosts = ", ".join(sorted({public(source.uri) for source in sources}))
    if "No space left on device" in tail or "don't have enough free space" in tail:
        return NoSpaceError(
            "no room left for package indexes and downloads",
            hint="free some room or point GOLDSMITH_STATE at another disk, then run it again",
        )
    if any(word in tail for word in _NO_PACKAGE):
        return NotFoundError(
            f"{hosts} has not all packages of the base: {tail}", hint="use a complete mirror"
        )
    if any(word in tail for word in _UNSIGNED):
        return CorruptError(
            f"the release files of {hosts} are not signed by a key this machine trusts: {tail}",
            hint="update the package debian-archive-keyring, or correct Signed-By in apt's sources",
        )
    return UnavailableError(
        f"the package mirror {hosts} did not answer as expected: {tail}",
        hint="check the network and apt's sources, then run it again",
    )
