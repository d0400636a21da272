"""`validationsProfile`: what was validated, and Goldsmith's own facts as platform attributes."""

from collections.abc import Iterator

from goldsmith.gallery.model import Artifact, ArtifactKind, Evidence, ExecutedValidation
from goldsmith.gallery.wire.reader import Reader, invalid, without_nulls
from goldsmith.kernel.clock import iso
from goldsmith.kernel.json import JsonObject

PREFIX = "goldsmith."


def validations_profile_json(
    evidence: Evidence | None, validations: tuple[ExecutedValidation, ...]
) -> JsonObject | None:
    if evidence is None and not validations:
        return None
    provenance = evidence.artifact(ArtifactKind.PROVENANCE) if evidence else None
    return without_nulls(
        {
            "validationEtag": provenance.digest if provenance else None,
            "executedValidations": [
                {
                    "type": validation.type,
                    "status": "Succeeded" if validation.succeeded else "Failed",
                    "version": validation.version,
                    "executionTime": iso(validation.executed),
                }
                for validation in validations
            ],
            "platformAttributes": [
                {"name": PREFIX + name, "value": value}
                for name, value in (_attributes(evidence) if evidence else ())
            ],
        }
    )


def parse_validations_profile(
    profile: Reader | None,
) -> tuple[Evidence | None, tuple[ExecutedValidation, ...]]:
    """The reverse of `validations_profile_json`; raises InvalidInputError for what it never wrote."""
    if profile is None:
        return None, ()
    validations = []
    for reader in profile.objects("executedValidations"):
        executed = reader.instant("executionTime")
        if executed is None:
            raise invalid(reader.at("executionTime"), "is missing")
        validations.append(
            ExecutedValidation(
                type=reader.needed_text("type"),
                succeeded=reader.needed_text("status") == "Succeeded",
                version=reader.text("version") or "",
                executed=executed,
            )
        )
    attributes = {
        reader.needed_text("name").removeprefix(PREFIX): reader.text("value") or ""
        for reader in profile.objects("platformAttributes")
    }
    return (_evidence(attributes) if attributes else None), tuple(validations)


def _attributes(evidence: Evidence) -> Iterator[tuple[str, str]]:
    yield "buildId", evidence.build_id
    if evidence.disk_digest is not None:
        yield "diskDigest", evidence.disk_digest
    if evidence.disk_size_bytes is not None:
        yield "diskSizeBytes", str(evidence.disk_size_bytes)
    for artifact in evidence.artifacts:
        yield f"artifact.{artifact.kind.name.lower()}.path", artifact.path
        yield f"artifact.{artifact.kind.name.lower()}.digest", artifact.digest
    for phase, seconds in evidence.boot_seconds.items():
        yield f"boot.{phase}", repr(seconds)
    for name, value in evidence.facts.items():
        yield f"fact.{name}", value


def _evidence(attributes: dict[str, str]) -> Evidence:
    artifacts = tuple(
        Artifact(
            kind=kind,
            path=attributes[f"artifact.{kind.name.lower()}.path"],
            digest=attributes[f"artifact.{kind.name.lower()}.digest"],
        )
        for kind in ArtifactKind
        if f"artifact.{kind.name.lower()}.path" in attributes
    )
    size = attributes.get("diskSizeBytes")
    return Evidence(
        build_id=attributes["buildId"],
        disk_digest=attributes.get("diskDigest"),
        disk_size_bytes=None if size is None else int(size),
        artifacts=artifacts,
        boot_seconds={phase: float(text) for phase, text in _below("boot.", attributes)},
        facts=dict(_below("fact.", attributes)),
    )


def _below(prefix: str, attributes: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in attributes.items():
        if name.startswith(prefix):
            yield name.removeprefix(prefix), value
