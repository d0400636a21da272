"""Findings as SARIF 2.1.0, the form that editors and code scanning read.

Specification: OASIS Static Analysis Results Interchange Format (SARIF) version 2.1.0.
"""

import hashlib
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from goldsmith.kernel.json import JsonObject
from goldsmith.policy.lint.fixes import changes
from goldsmith.policy.lint.model import Finding, LintRule, Region, Severity, path_text
from goldsmith.policy.lint.rules import RULES

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def to_sarif(
    findings: Iterable[Finding], *, version: str, texts: Mapping[str, str] | None = None
) -> JsonObject:
    """One run with every rule and every finding; `version` is that of this program.

    With `texts`, the text of a document by its source, findings that can be fixed carry their replacements.
    A suppressed finding says by what; viewers hide it.
    """
    numbers = {rule.id: number for number, rule in enumerate(RULES)}
    results = [_result(finding, numbers[finding.rule], texts or {}) for finding in findings]
    driver = {
        "name": "goldsmith policy lint",
        "semanticVersion": version,
        "rules": [_rule(rule) for rule in RULES],
    }
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _rule(rule: LintRule) -> JsonObject:
    described: JsonObject = {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.explanation},
        "help": {"text": f"{rule.hint[:1].upper()}{rule.hint[1:]}."},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
    }
    if rule.official:
        described["properties"] = {"azurePolicyLinter": list(rule.official)}
    return described


def _result(finding: Finding, number: int, texts: Mapping[str, str]) -> JsonObject:
    artifact = {"uri": uri_of(finding.source)}
    physical: JsonObject = {"artifactLocation": artifact}
    if finding.region is not None:
        physical["region"] = _region(finding.region)
    location: JsonObject = {"physicalLocation": physical}
    if finding.path:
        location["logicalLocations"] = [{"fullyQualifiedName": path_text(finding.path), "kind": "member"}]
    result: JsonObject = {
        "ruleId": finding.rule,
        "ruleIndex": number,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message[:1].upper()}{finding.message[1:]}; {finding.hint}."},
        "locations": [location],
        "partialFingerprints": {"rulePathMessage/v1": _fingerprint(finding)},
    }
    if finding.suppression is not None:
        result["suppressions"] = [{"kind": finding.suppression.value}]
    text = texts.get(finding.source)
    made = changes(text, finding.fix) if finding.fix is not None and text is not None else ()
    if finding.fix is not None and made:
        replacements = [
            {"deletedRegion": _region(change.region), "insertedContent": {"text": change.new}}
            for change in made
        ]
        result["fixes"] = [
            {
                "description": {"text": finding.fix.description},
                "artifactChanges": [{"artifactLocation": artifact, "replacements": replacements}],
            }
        ]
    return result


def uri_of(source: str) -> str:
    """A path as the relative or absolute reference that SARIF wants; a URI stays what it is."""
    return source if "://" in source else quote(source.replace("\\", "/"))


def _region(region: Region) -> JsonObject:
    return {
        "startLine": region.line,
        "startColumn": region.column,
        "endLine": region.end_line,
        "endColumn": region.end_column,
    }


def _fingerprint(finding: Finding) -> str:
    """The same for the same problem when lines move, so that viewers know it again."""
    said = "\n".join((finding.rule, path_text(finding.path), finding.message))
    return hashlib.sha256(said.encode()).hexdigest()[:32]
