"""Fixes as changes of a text: what a finding's edits do to the characters of the document."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from goldsmith.kernel.json import JsonValue
from goldsmith.policy.lint.model import Edit, Finding, Fix, Path, Region, Remove, Rename, Reorder, Replace
from goldsmith.policy.lint.positions import Positions


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Put `new` where the characters from `start` up to `end` are."""

    start: int
    end: int
    new: str
    region: Region


def changes(text: str, fix: Fix) -> tuple[Change, ...]:
    """The changes of a fix in the order of the text; none when the text is not what the finding was made
    from."""
    positions = Positions(text, _paths(fix))
    found: list[Change] = []
    for edit in fix.edits:
        made = _changes(text, positions, edit)
        if made is None:
            return ()
        found += made
    found.sort(key=lambda change: change.start)
    apart = all(one.end <= other.start for one, other in pairwise(found))
    return tuple(found) if apart else ()


def apply_fixes(text: str, findings: Iterable[Finding]) -> tuple[str, int]:
    """The text with the fixes of findings that are not suppressed, and how many of them were made.

    A fix that touches what an earlier one has changed is left out: lint again and apply again.
    """
    chosen: list[Change] = []
    made = 0
    for finding in findings:
        if finding.fix is None or finding.suppression is not None:
            continue
        wanted = changes(text, finding.fix)
        clash = any(_overlap(change, other) for change in wanted for other in chosen)
        if wanted and not clash:
            chosen += wanted
            made += 1
    for change in sorted(chosen, key=lambda one: one.start, reverse=True):
        text = text[: change.start] + change.new + text[change.end :]
    return text, made


def _overlap(one: Change, other: Change) -> bool:
    return one.start < other.end and other.start < one.end


def _paths(fix: Fix) -> list[Path]:
    paths = [edit.path for edit in fix.edits]
    return paths + [(*edit.path, 0) for edit in fix.edits if isinstance(edit, Reorder)]


def _changes(text: str, positions: Positions, edit: Edit) -> list[Change] | None:
    span = positions.span(edit.path)
    if span is None:
        return None
    match edit:
        case Replace(value=value):
            new = _written(text, value, span.value_start)
            return [_change(positions, span.value_start, span.end, new)]
        case Rename(key=key) if span.has_key:
            old_key = json.JSONDecoder().raw_decode(text, span.start)[1]
            return [_change(positions, span.start, old_key, json.dumps(key, ensure_ascii=False))]
        case Remove():
            before, after = positions.neighbours(edit.path)
            if before is not None:
                return [_change(positions, before.end, span.end, "")]
            return [_change(positions, span.start, after.start if after else span.end, "")]
        case Reorder(path=path, order=order):
            members = positions.members(path)
            if sorted(order) != list(range(len(members))):
                return None
            return [
                _change(positions, old.start, old.end, text[members[number].start : members[number].end])
                for old, number in zip(members, order, strict=True)
                if members[number] is not old
            ]
        case _:
            return None


def _change(positions: Positions, start: int, end: int, new: str) -> Change:
    return Change(start=start, end=end, new=new, region=positions.region_of(start, end))


def _written(text: str, value: JsonValue, start: int) -> str:
    """The value as JSON, indented like the line it begins on; on one line where the text is."""
    if not isinstance(value, list | dict) or "\n" not in text:
        return json.dumps(value, ensure_ascii=False)
    line_start = text.rfind("\n", 0, start) + 1
    line = text[line_start:start]
    indent = line[: len(line) - len(line.lstrip())]
    if isinstance(value, list) and all(not isinstance(one, list | dict) for one in value):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n" + indent)
