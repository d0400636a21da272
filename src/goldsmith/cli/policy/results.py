"""Verdicts on many resources, written as a table, CSV or JSON while they come."""

import csv
import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import click

from goldsmith.cli.output import is_terminal, print_table
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.effects import wire_effect
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.target import Target
from goldsmith.policy.verdict import ComplianceState, Verdict

# What a resource may be and still pass.
FOUND = frozenset({ComplianceState.NON_COMPLIANT, ComplianceState.ERROR, ComplianceState.CONFLICT})
_COLUMNS = (
    *("resourceId", "resourceType", "complianceState", "policyDefinitionName", "policyDefinitionId"),
    *("policyAssignmentId", "policyDefinitionReferenceId", "effect", "reasonCode", "reasons"),
)
_COLOURS = {
    ComplianceState.COMPLIANT: "green",
    ComplianceState.NON_COMPLIANT: "red",
    ComplianceState.ERROR: "magenta",
    ComplianceState.CONFLICT: "magenta",
}
_NARROW = 28
_POLICY_WIDTH = 52


Why = Callable[[], str]


class Writer(Protocol):
    """Takes verdicts one by one; `wants_reasons` when it shows the service's own sentences.

    `why` gives a sentence about this very resource, which takes longer than the verdict.
    """

    @property
    def wants_reasons(self) -> bool: ...

    def add(self, target: Target, verdict: Verdict, why: Why) -> None: ...

    def end(self, summary: "Summary") -> None: ...


@dataclass(slots=True)
class Summary:
    """How many resources are in which state, under each policy and all in all."""

    by_policy: dict[tuple[str, str], tuple[AssignedPolicy, Counter[ComplianceState]]] = field(
        default_factory=dict
    )
    resources: int = 0
    found: int = 0
    judged: int = 0
    seconds: float = 0.0

    def add(self, verdicts: Sequence[Verdict]) -> None:
        self.resources += 1
        states = set()
        for verdict in verdicts:
            if verdict.state is not ComplianceState.NOT_APPLICABLE:
                key = verdict.assigned.key
                known = self.by_policy.get(key)
                if known is None:
                    known = self.by_policy[key] = (verdict.assigned, Counter())
                known[1][verdict.state] += 1
                states.add(verdict.state)
        self.judged += bool(states - {ComplianceState.NOT_EVALUATED})
        self.found += bool(states & FOUND)

    def to_json(self) -> JsonObject:
        return {
            "resources": self.resources,
            "judged": self.judged,
            "nonCompliantResources": self.found,
            "seconds": round(self.seconds, 3),
            "policies": [
                {
                    "policyDefinitionName": assigned.definition.label,
                    "policyDefinitionId": assigned.definition.id,
                    "policyAssignmentId": assigned.assignment.id,
                    "policyDefinitionReferenceId": assigned.reference_id,
                    "effect": wire_effect(assigned.effect),
                    "states": {state.value: count for state, count in sorted(counts.items())},
                }
                for assigned, counts in self.by_policy.values()
            ],
        }


def row_of(target: Target, verdict: Verdict) -> JsonObject:
    """A verdict in the words of Azure's policy states."""
    assigned = verdict.assigned
    return {
        "resourceId": target.place.id,
        "resourceType": target.type,
        "complianceState": verdict.state.value,
        "policyDefinitionName": assigned.definition.label,
        "policyDefinitionId": assigned.definition.id,
        "policyAssignmentId": assigned.assignment.id,
        "policyDefinitionReferenceId": assigned.reference_id,
        "effect": wire_effect(assigned.effect),
        "reasonCode": verdict.code.value,
        "reasons": list(verdict.reasons),
    }


class CsvWriter:
    def __init__(self) -> None:
        self._rows = csv.writer(sys.stdout, lineterminator="\n")
        self._rows.writerow(_COLUMNS)

    wants_reasons = True

    def add(self, target: Target, verdict: Verdict, why: Why) -> None:
        row = row_of(target, verdict) | {"reasons": verdict.reason}
        self._rows.writerow(["" if row[name] is None else row[name] for name in _COLUMNS])

    def end(self, summary: Summary) -> None:
        return None


class JsonWriter:
    """One document: `results` and then `summary`."""

    def __init__(self) -> None:
        self._some = False
        click.echo('{\n  "results": [', nl=False)

    wants_reasons = True

    def add(self, target: Target, verdict: Verdict, why: Why) -> None:
        separator = ",\n    " if self._some else "\n    "
        self._some = True
        click.echo(separator + json.dumps(row_of(target, verdict), ensure_ascii=False), nl=False)

    def end(self, summary: Summary) -> None:
        body = json.dumps(summary.to_json(), indent=2, ensure_ascii=False).replace("\n", "\n  ")
        click.echo(("\n  " if self._some else "") + f'],\n  "summary": {body}\n}}')


class TableWriter:
    """The first `limit` verdicts, those first that found something; then a line for each policy."""

    def __init__(self, *, limit: int, only: Sequence[str] = ()) -> None:
        self._limit = limit or sys.maxsize
        self._unjudged_too = ComplianceState.NOT_EVALUATED.value.lower() in only
        self._found: list[tuple[str, ...]] = []
        self._others: list[tuple[str, ...]] = []
        self._left_out = 0

    wants_reasons = False

    def add(self, target: Target, verdict: Verdict, why: Why) -> None:
        if verdict.state is ComplianceState.NOT_EVALUATED and not self._unjudged_too:
            return
        rows = self._found if verdict.state in FOUND else self._others
        if len(rows) >= self._limit:
            self._left_out += 1
            return
        name = "/".join(part for part in (target.place.group, target.place.full_name) if part)
        reason = why() if verdict.state in FOUND else (verdict.reason or "")
        rows.append((name or target.place.id, verdict.assigned.definition.label, verdict.state.value, reason))

    def end(self, summary: Summary) -> None:
        shown = (self._found + self._others)[: self._limit]
        left_out = self._left_out + len(self._found) + len(self._others) - len(shown)
        if shown:
            print_table(
                ("resource", "policy", "state", "reason"), fitted(shown, narrow=(0, 1)), empty="no verdicts"
            )
            if left_out:
                click.echo(click.style(f"... and {left_out:,} more: --limit, --csv or --json", dim=True))
            click.echo()
        print_summary(summary)


def print_summary(summary: Summary) -> None:
    """A line for each policy that is about one of the resources, those that found most first."""
    rows = []
    unjudged = 0
    for assigned, counts in sorted(
        summary.by_policy.values(), key=lambda one: -sum(one[1][state] for state in FOUND)
    ):
        if set(counts) == {ComplianceState.NOT_EVALUATED}:
            unjudged += 1
            continue
        usual = (ComplianceState.COMPLIANT, ComplianceState.NON_COMPLIANT)
        others = ", ".join(
            f"{n:,} {state.value}" for state, n in sorted(counts.items()) if state not in usual
        )
        rows.append(
            (
                assigned.definition.label,
                wire_effect(assigned.effect),
                f"{counts[ComplianceState.COMPLIANT]:,}",
                f"{counts[ComplianceState.NON_COMPLIANT]:,}",
                others or "-",
            )
        )
    print_table(
        ("policy", "effect", "compliant", "non-compliant", "other"),
        fitted(rows, narrow=(0,)),
        empty="no policy is about any of these resources",
    )
    if unjudged:
        text = f"{unjudged} more are not evaluated: disabled, of another mode, or about actions and callers"
        click.echo(click.style(text, dim=True))
    click.echo()
    share = f"{summary.found:,} of {summary.judged:,} judged resources are not compliant"
    rest = summary.resources - summary.judged
    about = f"; {rest:,} that no policy is about" if rest else ""
    rate = f" ({summary.seconds:.1f} s)"
    colour = "red" if summary.found else "green" if summary.judged else "yellow"
    click.echo(click.style(f"{share}{about}{rate}", fg=colour, bold=True))


def fitted(rows: Sequence[Sequence[str]], *, narrow: Sequence[int]) -> list[list[str]]:
    """Rows that fit the terminal: cells of `narrow` columns and the last one are cut; nothing in a pipe."""
    if not is_terminal() or not rows:
        return [list(row) for row in rows]
    room = shutil.get_terminal_size().columns
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for index in narrow:
        widths[index] = min(widths[index], max(_NARROW, min(_POLICY_WIDTH, room // 3)))
    widths[-1] = max(_NARROW, room - sum(widths[:-1]) - 2 * (len(widths) - 1))
    return [[cut(cell, width) for cell, width in zip(row, widths, strict=True)] for row in rows]


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def styled_state(state: str) -> str:
    colours: Mapping[str, Any] = {each.value: colour for each, colour in _COLOURS.items()}
    return click.style(state, fg=colours.get(state, "yellow"), bold=True)
