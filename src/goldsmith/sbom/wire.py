"""The JSON files the maker of an SBOM is handed: subject, steps and hashes of packages."""

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

from goldsmith.kernel.clock import iso, parse_iso
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.sbom.model import PackageChange, PackageVersion, Step, Subject

_Parsed = TypeVar("_Parsed")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

DebHashes = dict[tuple[str, str, str], str]


def subject_to_json(subject: Subject) -> JsonObject:
    return {
        "gallery": subject.gallery,
        "definition": subject.definition,
        "version": subject.version,
        "publisher": subject.publisher,
        "diskDigest": subject.disk_digest,
        "base": {"urn": subject.base_urn, "digest": subject.base_digest},
        "buildId": subject.build_id,
        "created": iso(subject.created),
        "facts": dict(subject.facts),
    }


def subject_from_json(text: str | bytes) -> Subject:
    """Raises InvalidInputError naming what is missing or of the wrong kind."""
    return _parse("subject", text, _subject)


def steps_to_json(steps: tuple[Step, ...]) -> list[JsonObject]:
    return [
        {
            "index": step.index,
            "name": step.name,
            "digest": step.digest,
            "packagesAdded": [_version_to_json(package) for package in step.packages_added],
            "packagesChanged": [
                {
                    "name": change.name,
                    "architecture": change.architecture,
                    "before": change.before,
                    "after": change.after,
                }
                for change in step.packages_changed
            ],
            "packagesRemoved": [_version_to_json(package) for package in step.packages_removed],
            "filesAdded": step.files_added,
        }
        for step in steps
    ]


def steps_from_json(text: str | bytes) -> tuple[Step, ...]:
    """Raises InvalidInputError naming what is missing or of the wrong kind."""
    return _parse("steps", text, lambda value: tuple(_step(entry) for entry in _list(value)))


def deb_hashes_to_json(hashes: DebHashes) -> list[JsonObject]:
    return [
        {"name": name, "version": version, "architecture": architecture, "sha256": hashes[key]}
        for key in sorted(hashes)
        for name, version, architecture in (key,)
    ]


def deb_hashes_from_json(text: str | bytes) -> DebHashes:
    """Raises InvalidInputError naming what is missing or of the wrong kind."""
    return _parse("hashes", text, lambda value: dict(_deb_hash(entry) for entry in _list(value)))


def _parse(what: str, text: str | bytes, parse: Callable[[Any], _Parsed]) -> _Parsed:
    try:
        return parse(json.loads(text))
    except KeyError as error:
        raise InvalidInputError(f"the {what} file of the SBOM has no {error}") from error
    except (ValueError, TypeError) as error:
        raise InvalidInputError(f"the {what} file of the SBOM is not as expected: {error}") from error


def _subject(value: Any) -> Subject:
    return Subject(
        gallery=_word(value, "gallery"),
        definition=_word(value, "definition"),
        version=_word(value, "version"),
        publisher=_word(value, "publisher"),
        disk_digest=_digest(value["diskDigest"]),
        base_urn=_word(value["base"], "urn"),
        base_digest=_digest(value["base"]["digest"]),
        build_id=_word(value, "buildId"),
        created=parse_iso(_word(value, "created")),
        facts={str(name): str(fact) for name, fact in dict(value.get("facts", {})).items()},
    )


def _step(value: Any) -> Step:
    return Step(
        index=int(value["index"]),
        name=_word(value, "name"),
        digest=_digest(value["digest"]),
        packages_added=_versions(value, "packagesAdded"),
        packages_removed=_versions(value, "packagesRemoved"),
        packages_changed=tuple(
            PackageChange(
                name=_word(change, "name"),
                architecture=_word(change, "architecture"),
                before=_word(change, "before"),
                after=_word(change, "after"),
            )
            for change in _list(value.get("packagesChanged", []))
        ),
        files_added=int(value.get("filesAdded", 0)),
    )


def _versions(value: Any, name: str) -> tuple[PackageVersion, ...]:
    return tuple(
        PackageVersion(
            name=_word(entry, "name"),
            version=_word(entry, "version"),
            architecture=_word(entry, "architecture"),
        )
        for entry in _list(value.get(name, []))
    )


def _version_to_json(package: PackageVersion) -> JsonObject:
    return {"name": package.name, "version": package.version, "architecture": package.architecture}


def _deb_hash(value: Any) -> tuple[tuple[str, str, str], str]:
    sha256 = _word(value, "sha256")
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"'{sha256}' is no SHA-256 in hex digits")
    return (_word(value, "name"), _word(value, "version"), _word(value, "architecture")), sha256


def _word(value: Any, name: str) -> str:
    word = value[name]
    if not isinstance(word, str) or not word:
        raise ValueError(f"{name} is {word!r}, expected a text")
    return word


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError(f"{value!r} is no digest, expected sha256: and 64 hex digits")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{type(value).__name__} found, expected a list")
    return value
