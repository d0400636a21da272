"""Findings as lines for people and as JSON for scripts."""

from collections.abc import Iterable

from goldsmith.kernel.json import JsonObject
from goldsmith.policy.lint.model import Finding, path_text


def to_text(findings: Iterable[Finding]) -> str:
    """`file:line:column: severity: message [rule]`, the form that editors jump to; suppressed ones left
    out."""
    lines = []
    for one in findings:
        if one.suppression is not None:
            continue
        place = f"{one.source}:{one.region.line}:{one.region.column}" if one.region else one.source
        where = f" at {path_text(one.path)}" if one.path and one.region is None else ""
        lines.append(f"{place}: {one.severity.value}: {one.message}{where} [{one.rule}]")
        lines.append(f"    {one.hint}" + ("; can be fixed" if one.fix else ""))
    return "\n".join(lines) + ("\n" if lines else "")


def to_json(findings: Iterable[Finding]) -> list[JsonObject]:
    """One object for each finding, suppressed ones too, with `suppressed` saying by what."""
    return [
        {
            "rule": one.rule,
            "title": one.title,
            "severity": one.severity.value,
            "message": one.message,
            "hint": one.hint,
            "file": one.source,
            "path": path_text(one.path),
            "line": one.region.line if one.region else None,
            "column": one.region.column if one.region else None,
            "fix": one.fix.description if one.fix else None,
            "suppressed": one.suppression.value if one.suppression else None,
        }
        for one in findings
    ]
