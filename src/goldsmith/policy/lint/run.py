"""Lints a definition, or a text with one or several, and says where in the text each finding is."""

import json
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.aliases import AliasTable
from goldsmith.policy.catalog.text import read_json
from goldsmith.policy.lint.checks.compiling import INVALID_JSON, TOO_DEEP
from goldsmith.policy.lint.checks.limits import depth
from goldsmith.policy.lint.definition import Definition, member
from goldsmith.policy.lint.model import Finding, Found, LintRule, Path, Region, Severity, Suppression
from goldsmith.policy.lint.positions import Positions
from goldsmith.policy.lint.rules import BY_ID, ENVELOPE_IDS, RULES, rules_named

# Deeper documents are not looked into: what walks them by recursion would come to the interpreter's limit.
_DEPTH_MAX = 300
_AT_ANY_DEPTH = ("no-rule", "does-not-compile", "limit-nesting")
_IGNORED = "lintIgnore"
_SEVERITIES = (Severity.ERROR, Severity.WARNING, Severity.NOTE)


def lint_definition(
    document: JsonObject,
    *,
    aliases: AliasTable,
    source: str,
    text: str | None = None,
    ignore: Collection[str] = (),
    at: Path = (),
) -> tuple[Finding, ...]:
    """Every finding in one definition (a resource, its property bag or a bare rule), in document order.

    `source` names the document in findings, as a path or URI. With `text`, which `document` was read from and
    in which it stands at `at`, findings have a region. Rules named in `ignore`, or in the document's own
    `metadata.lintIgnore`, by their id or that of Azure's linter, give findings that are marked as suppressed.
    Raises nothing: what does not compile is a finding.
    """
    definition = Definition(document, aliases, at)
    if depth(document) > _DEPTH_MAX:
        found = Found(at, f"lists and objects nest deeper than {_DEPTH_MAX} levels")
        only = [_finding(BY_ID[TOO_DEEP], found, source)]
        only += [
            _finding(BY_ID[id_], one, source) for id_ in _AT_ANY_DEPTH for one in BY_ID[id_].check(definition)
        ]
        return tuple(_with_regions(_in_order(_without_echoes(only)), text))
    own = _own_ignores(definition)
    findings = []
    for rule in RULES:
        if definition.is_bare and rule.id in ENVELOPE_IDS:
            continue
        suppression = (
            Suppression.IN_SOURCE
            if any(rule.answers_to(name) for name in own)
            else Suppression.EXTERNAL
            if any(rule.answers_to(name) for name in ignore)
            else None
        )
        for found in rule.check(definition):
            findings.append(_finding(rule, found, source, suppression))
    return tuple(_with_regions(_in_order(_without_echoes(findings)), text))


def lint_text(
    data: bytes | str, *, aliases: AliasTable, source: str, ignore: Collection[str] = ()
) -> tuple[Finding, ...]:
    """Lints what stands in a file: one definition, a list, `{"value": [...]}`; comments are let pass.

    A text that is no JSON gives one finding of `invalid-json` at the place where reading ended.
    """
    try:
        text, value = read_json(data)
    except InvalidInputError as error:
        line, column = _place_of(error)
        region = Region(line=line, column=column, end_line=line, end_column=column + 1)
        found = Found((), error.message)
        return (replace(_finding(BY_ID[INVALID_JSON], found, source), region=region),)
    return tuple(
        finding
        for at, document in _documents(value)
        for finding in lint_definition(
            document, aliases=aliases, source=source, text=text, ignore=ignore, at=at
        )
    )


def unknown_ids(names: Collection[str]) -> tuple[str, ...]:
    """Those of `names` that mean no rule, for a caller to complain about."""
    return tuple(name for name in names if not rules_named(name))


def counted(findings: Collection[Finding]) -> dict[Severity, int]:
    """How many findings of each severity are not suppressed."""
    return {
        severity: sum(1 for one in findings if one.severity is severity and one.suppression is None)
        for severity in _SEVERITIES
    }


def _documents(value: Any) -> Iterator[tuple[Path, JsonObject]]:
    if isinstance(value, list):
        yield from (((number,), one) for number, one in enumerate(value) if isinstance(one, dict))
    elif isinstance(value, dict):
        listed = member(value, "value")
        if listed and isinstance(listed.value, list) and member(value, "properties") is None:
            for number, one in enumerate(listed.value):
                if isinstance(one, dict):
                    yield (listed.key, number), one
        else:
            yield (), value


def _own_ignores(definition: Definition) -> tuple[str, ...]:
    found = member(definition.metadata, _IGNORED)
    values = found.value if found and isinstance(found.value, list) else [found.value] if found else []
    return tuple(
        name.strip()
        for value in values
        if isinstance(value, str)
        for name in value.split(",")
        if name.strip()
    )


def _finding(rule: LintRule, found: Found, source: str, suppression: Suppression | None = None) -> Finding:
    return Finding(
        rule=rule.id,
        title=rule.title,
        severity=rule.severity,
        message=found.message,
        hint=rule.hint,
        source=source,
        path=found.path,
        fix=found.fix,
        suppression=suppression,
    )


def _without_echoes(findings: list[Finding]) -> list[Finding]:
    """Without "does not compile" where another error says at the same place what is wrong."""
    said = {one.path for one in findings if one.severity is Severity.ERROR and one.rule != "does-not-compile"}
    return [
        one
        for one in findings
        if one.rule != "does-not-compile"
        or not any(
            path[: len(one.path)] == one.path or one.path[: len(path)] == path for path in said if path
        )
    ]


def _in_order(findings: list[Finding]) -> list[Finding]:
    # Numbers of lists before names of members, so that paths of both can be compared.
    return sorted(
        findings,
        key=lambda one: (
            [(0, step, "") if isinstance(step, int) else (1, 0, step) for step in one.path],
            _SEVERITIES.index(one.severity),
            one.rule,
        ),
    )


def _with_regions(findings: list[Finding], text: str | None) -> list[Finding]:
    if text is None or not findings:
        return findings
    positions = Positions(text, [finding.path for finding in findings])
    placed = [replace(finding, region=positions.region(finding.path)) for finding in findings]
    return sorted(placed, key=lambda one: (one.region.line, one.region.column) if one.region else (0, 0))


def _place_of(error: InvalidInputError) -> tuple[int, int]:
    cause = error.__cause__
    return (cause.lineno, cause.colno) if isinstance(cause, json.JSONDecodeError) else (1, 1)
