"""Versions of definitions, and the pins by which assignments and initiatives choose one.

Specification: Azure Policy assignment structure, "policy definition ID and version".
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from goldsmith.kernel.errors import InvalidInputError

_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z.-]{1,64}))?")
_PIN = re.compile(r"(\d{1,9})\.(\d{1,9}|\*)\.(\*|\d{1,9})(?:-([0-9A-Za-z.-]{1,64}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """`{major}.{minor}.{patch}`, with what follows a `-` as suffix."""

    major: int
    minor: int
    patch: int
    suffix: str = ""

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        return f"{text}-{self.suffix}" if self.suffix else text

    @property
    def rank(self) -> tuple[int, int, int, bool, str]:
        """Sorts older before newer, a preview before its release."""
        return (self.major, self.minor, self.patch, not self.suffix, self.suffix.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPin:
    """`1.*.*` follows minor versions, `1.2.*` patches only; `-preview` allows previews."""

    major: int
    minor: int | None
    patch: int | None
    suffix: str = ""

    def __str__(self) -> str:
        minor, patch = ("*" if part is None else str(part) for part in (self.minor, self.patch))
        text = f"{self.major}.{minor}.{patch}"
        return f"{text}-{self.suffix}" if self.suffix else text

    def accepts(self, version: Version) -> bool:
        return (
            version.major == self.major
            and self.minor in (None, version.minor)
            and self.patch in (None, version.patch)
            and (not version.suffix or version.suffix.lower() == self.suffix.lower())
        )


def parse_version(text: str, at: str) -> Version:
    """Raises InvalidInputError for what is no `{major}.{minor}.{patch}`, naming `at`."""
    match = _VERSION.fullmatch(text)
    if match is None:
        raise InvalidInputError(
            f"the member '{at}' is '{text}', expected a version",
            code="InvalidPolicyDefinitionVersion",
            hint="write it as {major}.{minor}.{patch}, for example 1.0.0 or 1.0.0-preview",
        )
    major, minor, patch, suffix = match.groups()
    return Version(major=int(major), minor=int(minor), patch=int(patch), suffix=suffix or "")


def parse_pin(text: str, at: str) -> VersionPin:
    """Raises InvalidInputError for what is no pin, naming `at`.

    A whole version is taken as it stands: the service shows such pins in initiatives of its own.
    """
    match = _PIN.fullmatch(text)
    if match is None or (match[2] == "*" and match[3] != "*"):
        raise InvalidInputError(
            f"the member '{at}' is '{text}', expected a version pin",
            code="InvalidPolicyDefinitionVersion",
            hint="write 1.*.* to follow minor versions, or 1.2.* to follow patches only",
        )
    minor, patch = (None if part == "*" else int(part) for part in match.group(2, 3))
    return VersionPin(major=int(match[1]), minor=minor, patch=patch, suffix=match[4] or "")


def resolve(pin: VersionPin | None, versions: Iterable[Version]) -> Version | None:
    """The newest version the pin accepts; without a pin the newest of the latest major version.

    A preview is taken only where its pin names it or nothing else is there.
    """
    candidates = sorted(versions, key=lambda version: version.rank)
    if pin is not None:
        accepted = [version for version in candidates if pin.accepts(version)]
        return accepted[-1] if accepted else None
    released = [version for version in candidates if not version.suffix] or candidates
    return released[-1] if released else None
