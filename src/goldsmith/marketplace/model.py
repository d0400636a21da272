"""The marketplace's nouns: URNs, versions, offers, releases and captures."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from goldsmith.kernel.errors import InvalidInputError

LATEST = "latest"
# Azure's word for an architecture → Debian's.
DEBIAN_ARCHITECTURES = {"x64": "amd64", "Arm64": "arm64"}

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_VERSION = re.compile(r"[0-9]{1,10}\.[0-9]{1,10}\.[0-9]{1,10}")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ImageNumber:
    """An exact version: three integers, ordered as numbers."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def parse_number(text: str) -> ImageNumber:
    """Raises InvalidInputError unless `text` is `<integer>.<integer>.<integer>`."""
    if not _VERSION.fullmatch(text):
        raise InvalidInputError(
            f"'{text}' is not an image version",
            hint="expected 'latest' or three integers, for instance 0.20261124.21215",
        )
    major, minor, patch = (int(part) for part in text.split("."))
    return ImageNumber(major=major, minor=minor, patch=patch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Urn:
    """`publisher:offer:sku:version`, compared case-insensitively through `key`; no `number` means latest."""

    publisher: str
    offer: str
    sku: str
    number: ImageNumber | None = None

    def __str__(self) -> str:
        return f"{self.publisher}:{self.offer}:{self.sku}:{self.version}"

    @property
    def version(self) -> str:
        return LATEST if self.number is None else str(self.number)

    @property
    def key(self) -> str:
        return str(self).lower()

    def at(self, number: ImageNumber | None) -> "Urn":
        return replace(self, number=number)


def parse_urn(text: str) -> Urn:
    """Raises InvalidInputError unless `text` is `publisher:offer:sku:version`."""
    parts = text.strip().split(":")
    if len(parts) != 4 or not all(_PART.fullmatch(part) for part in parts[:3]):
        raise InvalidInputError(
            f"'{text}' is not an image URN",
            hint="expected publisher:offer:sku:version, for instance Debian:debian-12:12-gen2:latest",
        )
    publisher, offer, sku, version = parts
    number = None if version.lower() == LATEST else parse_number(version)
    return Urn(publisher=publisher, offer=offer, sku=sku, number=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sku:
    """`aliases` are other names users give it; `packages` are installed on top of Debian's required ones."""

    name: str
    aliases: tuple[str, ...]
    description: str
    architecture: str
    hyper_v_generation: str
    packages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """`codename` is the Debian release behind the offer."""

    publisher: str
    name: str
    description: str
    codename: str
    skus: tuple[Sku, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFile:
    """One suite's InRelease file as it was when its signature was checked; `digest` is `sha256:…` of it."""

    suite: str
    uri: str
    date: datetime
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedVersion:
    """An exact version; `epoch` is its date in seconds since 1970, `releases` is empty once captured."""

    urn: Urn
    epoch: int
    captured: bool
    releases: tuple[ReleaseFile, ...] = ()


class SourceKind(StrEnum):
    """Azure VM Image Builder's kinds of source (imageTemplates, properties.source.type)."""

    PLATFORM_IMAGE = "PlatformImage"
    MANAGED_IMAGE = "ManagedImage"
    SHARED_IMAGE_VERSION = "SharedImageVersion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A base tree that never changes again.

    `identity` is the exact URN, the file's path or the image version's id; `digest` (`sha256:…`) that of the
    tree under `root`; `source_digest` pins what it was made from: the lock of packages, or the disk file.
    `epoch` is the time no file is newer than; `architecture` is Azure's word (x64, Arm64).
    """

    kind: SourceKind
    identity: str
    digest: str
    root: Path
    epoch: int
    os_version: str
    architecture: str
    captured_at: datetime
    package_count: int
    size_bytes: int
    source_digest: str
    lock: Path | None
    releases: tuple[ReleaseFile, ...]

    @property
    def urn(self) -> Urn | None:
        return parse_urn(self.identity) if self.kind is SourceKind.PLATFORM_IMAGE else None


def number_of(instant: datetime) -> ImageNumber:
    """`0.YYYYMMDD.HHMMSS` in UTC, each part an integer without leading zeros."""
    utc = instant.astimezone(UTC)
    return ImageNumber(major=0, minor=int(utc.strftime("%Y%m%d")), patch=int(utc.strftime("%H%M%S")))


def epoch_of(number: ImageNumber) -> int:
    """The instant a version made by `number_of` stands for, in seconds since 1970.

    Raises InvalidInputError when the version is not a date.
    """
    try:
        instant = datetime.strptime(f"{number.minor:08d}{number.patch:06d}", "%Y%m%d%H%M%S")
    except ValueError as error:
        raise InvalidInputError(
            f"the version {number} is not a date",
            hint="expected 0.YYYYMMDD.HHMMSS, for instance 0.20261124.21215",
        ) from error
    return int(instant.replace(tzinfo=UTC).timestamp())
