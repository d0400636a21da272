"""From build facts to an in-toto Statement v1 with a SLSA provenance v1 predicate, and back to its claims."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from goldsmith.kernel.clock import iso, parse_iso
from goldsmith.kernel.digest import hex_of
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject, canonical
from goldsmith.provenance.model import (
    BUILD_TYPE,
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    BuildFacts,
    BuildStep,
    Byproduct,
    Claims,
    Emergency,
    is_digest,
)

_MEDIA_TYPES = {
    Byproduct.SBOM: "application/spdx+json",
    Byproduct.TEST_REPORT: "application/json",
    Byproduct.MEASUREMENTS: "application/json",
}


def statement(facts: BuildFacts) -> JsonObject:
    """The in-toto Statement v1 (its subject the disk) whose predicate is SLSA provenance v1.

    https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, https://slsa.dev/spec/v1.0/provenance
    """
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": facts.version_id, "digest": _digest_set(facts.disk_digest)}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _external_parameters(facts),
                "internalParameters": {"steps": [_step(step) for step in facts.steps]},
                "resolvedDependencies": list(_dependencies(facts)),
            },
            "runDetails": {
                "builder": {"id": facts.builder_id, "version": {"goldsmith": facts.builder_version}},
                "metadata": {
                    "invocationId": facts.build_id,
                    "startedOn": iso(facts.started),
                    "finishedOn": iso(facts.finished),
                },
                "byproducts": list(_byproducts(facts)),
            },
        },
    }


def statement_bytes(facts: BuildFacts) -> bytes:
    """The payload that is signed: the same facts give the same bytes."""
    return canonical(statement(facts))


def read_claims(payload: bytes) -> Claims:
    """What the payload of an envelope claims; fields it does not know are passed over, as in-toto asks.

    Raises InvalidInputError when it is not a statement of ours: wrong types, not one subject, no sha256.
    """
    value = parse_json(payload, what="the provenance payload")
    _expect(value, "_type", STATEMENT_TYPE)
    _expect(value, "predicateType", PREDICATE_TYPE)
    subjects = _member(value, "subject", list)
    if len(subjects) != 1:
        raise InvalidInputError(f"the provenance names {len(subjects)} subjects, expected the one disk")
    predicate = _member(value, "predicate", dict)
    definition = _member(predicate, "buildDefinition", dict)
    _expect(definition, "buildType", BUILD_TYPE)
    details = _member(predicate, "runDetails", dict)
    metadata = _member(details, "metadata", dict)
    byproducts: dict[Byproduct, str] = {}
    for descriptor in _member(details, "byproducts", list):
        name = _member(descriptor, "name", str)
        if name in set(Byproduct):
            if name in byproducts:
                raise InvalidInputError(f"the provenance names the byproduct {name} twice")
            byproducts[Byproduct(name)] = _descriptor_digest(descriptor)
    return Claims(
        version_id=_member(subjects[0], "name", str),
        disk_digest=_descriptor_digest(subjects[0]),
        builder_id=_member(_member(details, "builder", dict), "id", str),
        build_id=_member(metadata, "invocationId", str),
        started=_instant(metadata, "startedOn"),
        finished=_instant(metadata, "finishedOn"),
        byproducts=byproducts,
    )


def parse_json(data: bytes, *, what: str) -> Any:
    """JSON with each member named once, so that no two readers can see two values.

    Raises InvalidInputError.
    """
    try:
        return json.loads(data.decode(), object_pairs_hook=_members_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{what} is not JSON: {error}") from error


def _external_parameters(facts: BuildFacts) -> JsonObject:
    # Fixed members beside the caller's: a parameter named "template" must not replace the template.
    external: JsonObject = {
        "template": {"name": facts.template_name, "digest": _digest_set(facts.template_digest)},
        "source": {"urn": facts.base_urn},
        "parameters": dict(facts.parameters),
    }
    if facts.emergency is not None:
        external["emergency"] = _emergency(facts.emergency)
    return external


def _emergency(emergency: Emergency) -> JsonObject:
    facts: JsonObject = {"cves": list(emergency.cves), "patchDate": emergency.patch_date.isoformat()}
    if emergency.advisory is not None:
        facts["advisory"] = emergency.advisory
    if emergency.requested_by is not None:
        facts["requestedBy"] = emergency.requested_by
    return facts


def _step(step: BuildStep) -> JsonObject:
    return {"index": step.index, "name": step.name, "layerKey": step.layer_key}


def _dependencies(facts: BuildFacts) -> Iterator[JsonObject]:
    yield {"name": "base", "uri": facts.base_urn, "digest": _digest_set(facts.base_digest)}
    yield {"name": "template", "uri": facts.template_name, "digest": _digest_set(facts.template_digest)}
    for step in facts.steps:
        for given in step.inputs:
            yield {
                "name": f"step/{step.index}/{given.name}",
                "digest": _digest_set(given.digest),
                "annotations": {"step": step.name},
            }


def _byproducts(facts: BuildFacts) -> Iterator[JsonObject]:
    yield _byproduct(Byproduct.SBOM, facts.sbom_digest)
    yield _byproduct(Byproduct.TEST_REPORT, facts.test_report_digest)
    if facts.measurements is not None:
        values = {"annotations": {"values": dict(facts.measurements.values)}}
        yield _byproduct(Byproduct.MEASUREMENTS, facts.measurements.digest) | values
    for step in facts.steps:
        yield {
            "name": f"layer/{step.index}",
            "digest": _digest_set(step.layer_digest),
            "annotations": {"step": step.name, "layerKey": step.layer_key},
        }


def _byproduct(kind: Byproduct, digest: str) -> JsonObject:
    return {"name": kind.value, "digest": _digest_set(digest), "mediaType": _MEDIA_TYPES[kind]}


def _digest_set(digest: str) -> JsonObject:
    return {"sha256": hex_of(digest)}


def _descriptor_digest(descriptor: Any) -> str:
    digest: str = "sha256:" + _member(_member(descriptor, "digest", dict), "sha256", str)
    if not is_digest(digest):
        raise InvalidInputError(f"the provenance holds the digest '{digest}', expected 64 hex digits")
    return digest


def _instant(value: Mapping[str, Any], key: str) -> datetime:
    text = _member(value, key, str)
    try:
        return parse_iso(text)
    except ValueError as error:
        raise InvalidInputError(f"the provenance's {key} is '{text}', expected an instant") from error


def _member(value: Any, key: str, kind: type) -> Any:
    got = value.get(key) if isinstance(value, dict) else None
    if not isinstance(got, kind):
        raise InvalidInputError(f"the provenance's {key} is missing or no {kind.__name__}")
    return got


def _expect(value: Any, key: str, expected: str) -> None:
    got = _member(value, key, str)
    if got != expected:
        raise InvalidInputError(f"the provenance's {key} is '{got}', expected '{expected}'")


def _members_once(pairs: list[tuple[str, Any]]) -> JsonObject:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a member is named twice")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
