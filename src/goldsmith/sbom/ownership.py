"""Which package has which file, and the digest it recorded for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from goldsmith.sbom import dpkg
from goldsmith.sbom.root import SealedRoot


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """Canonical path → owning package, and canonical path → MD5 (32 hex digits) where dpkg has one.

    `optional` are files that may rightly be absent: an administrator may delete configuration files.
    """

    owners: dict[str, str]
    digests: dict[str, str]
    optional: frozenset[str]


def read_ownership(root: SealedRoot, stanzas: Sequence[dpkg.Stanza]) -> Ownership:
    """Reads `info/*.list`, `info/*.md5sums`, Conffiles and diversions of the installed packages.

    Directories of the recorded paths are resolved in the root, so `bin/ls` is found as `usr/bin/ls`.
    """
    installed = {(stanza["Package"], stanza["Architecture"]) for stanza in stanzas}
    names = {name for name, _ in installed}
    diversions = _read_diversions(root)
    owners: dict[str, str] = {}
    digests: dict[str, str] = {}

    def record(package: str, path: str, digest: str | None) -> str:
        diverted = diversions.get(path)
        if diverted is not None and diverted[1] != package:
            path = diverted[0]
        # A file whose whole directory is absent is missing under the name its package gives it.
        canonical = root.locate(path) or path
        owners[canonical] = package
        if digest is not None:
            digests[canonical] = digest
        return canonical

    for file_name in root.names(dpkg.INFO):
        stem, _, kind = file_name.rpartition(".")
        package, _, architecture = stem.partition(":")
        if kind not in ("list", "md5sums") or package not in names:
            continue
        if architecture and (package, architecture) not in installed:
            continue
        for path, digest in _lines(root.read(f"{dpkg.INFO}/{file_name}"), kind):
            record(package, path, digest)
    for name in root.names(dpkg.STATUS_DIRECTORY):
        package = name.removesuffix(".md5sums")
        if name.endswith(".md5sums") and package in names:
            for path, digest in _lines(root.read(f"{dpkg.STATUS_DIRECTORY}/{name}"), "md5sums"):
                record(package, path, digest)
    optional = {
        record(stanza["Package"], path, digest)
        for stanza in stanzas
        for path, digest in dpkg.conffiles(stanza)
    }
    return Ownership(owners=owners, digests=digests, optional=frozenset(optional))


def _lines(data: bytes | None, kind: str) -> list[tuple[str, str | None]]:
    # File names are bytes; they are kept as the rest of Python keeps them.
    lines = (data or b"").decode(errors="surrogateescape").split("\n")
    if kind == "list":
        return [(line.lstrip("/"), None) for line in lines if len(line) > 2]
    pairs: list[tuple[str, str | None]] = []
    for line in lines:
        digest, _, path = line.partition("  ")
        if len(digest) == 32 and path:
            pairs.append((path.removeprefix("./").lstrip("/"), digest))
    return pairs


def _read_diversions(root: SealedRoot) -> dict[str, tuple[str, str]]:
    """Original path → (where it is now, the package whose own file stays there), dpkg-divert(1)."""
    lines = (root.read("var/lib/dpkg/diversions") or b"").decode(errors="surrogateescape").split("\n")
    triples = zip(lines[0::3], lines[1::3], lines[2::3], strict=False)
    return {before.lstrip("/"): (after.lstrip("/"), package) for before, after, package in triples}
