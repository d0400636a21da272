"""Our own case tables: JSON or YAML as parsed data -> `Table`.

A table names one definition and what its cases have in common; each case says what is different. Objects
are merged as JSON merge patches (RFC 7396): a member of a case replaces that of the table, null removes it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.testing.model import Case, Expectation, Table, Unstated

_SHARED = ("parameters", "resource", "related", "request", "resourceGroup", "subscription", "policy")
_GIVEN = (*_SHARED, "clock", "apiVersion")
_TABLE = ("definition", "rule", "about", "aliases", "coverage", "cases", *_GIVEN)
_CASE = ("name", "expect", "excluded", *_GIVEN)
_EXPECT = (
    *("effect", "state", "error", "reasons", "evaluated"),
    *("resource", "rewritten", "details", "deployment"),
)


@dataclass(frozen=True, slots=True)
class _Given:
    """What a table or a case says of its resource and surroundings, as written."""

    members: JsonObject

    def merged(self, over: "_Given") -> "_Given":
        members = dict(self.members)
        for name, value in over.members.items():
            members[name] = merge(members.get(name), value) if name in _SHARED else value
        return _Given(members)


def parse_table(
    body: JsonValue,
    *,
    name: str,
    definition: Callable[[str], JsonValue],
    aliases: Callable[[str], JsonValue] | None = None,
) -> Table:
    """`definition` gives the definition that a table names: a packaged key or id, or a file beside the table.

    `aliases` gives the alias listing of that name. Raises InvalidInputError with the JSON path.
    """
    table = _object(body, "table", known=_TABLE)
    subject, declared = _subject(table, definition)
    listing = table.get("aliases")
    if isinstance(listing, str):
        if aliases is None:
            raise _bad("aliases", f"names the listing '{listing}'", "none, or the listing itself")
        listing = aliases(listing)
    coverage = table.get("coverage")
    if coverage is not None and not (
        isinstance(coverage, int | float) and not isinstance(coverage, bool) and 0 <= coverage <= 1
    ):
        raise _bad("coverage", f"is {coverage!r}", "a share from 0 to 1")
    common = _Given({key: value for key, value in table.items() if key in _GIVEN})
    cases = table.get("cases")
    if not isinstance(cases, list) or not cases:
        raise _bad("cases", "is missing or empty", "an array of cases")
    return Table(
        name=name,
        about=str(table.get("about") or ""),
        aliases=listing,
        coverage_min=coverage,
        cases=tuple(
            _case(each, f"cases[{index}]", common, subject, declared=declared)
            for index, each in enumerate(cases)
        ),
    )


def is_table(body: JsonValue) -> bool:
    """Whether parsed data is meant as a table of ours."""
    return (
        isinstance(body, dict)
        and isinstance(body.get("cases"), list)
        and bool({"definition", "rule"} & set(body))
    )


def merge(value: Any, patch: Any) -> Any:
    """`value` with the JSON merge patch applied; neither is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(value) if isinstance(value, dict) else {}
    for key, member in patch.items():
        if member is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), member)
    return merged


def _subject(table: JsonObject, definition: Callable[[str], JsonValue]) -> tuple[JsonValue, bool]:
    named, rule = table.get("definition"), table.get("rule")
    if (named is None) == (rule is None):
        raise _bad("definition", "and rule are both there or both missing", "exactly one of them")
    if rule is not None:
        return bare_rule(rule), False
    return (definition(named), True) if isinstance(named, str) else (named, True)


def bare_rule(rule: JsonValue) -> JsonValue:
    """A definition that holds just this rule; it declares no parameters."""
    return {"name": "case", "properties": {"mode": "All", "policyRule": rule}}


def _case(body: JsonValue, at: str, common: _Given, subject: JsonValue, *, declared: bool) -> Case:
    case = _object(body, at, known=_CASE)
    name = case.get("name")
    if not isinstance(name, str) or not name:
        raise _bad(f"{at}.name", "is missing", "what holds in this case")
    given = common.merged(_Given({key: value for key, value in case.items() if key in _GIVEN})).members
    return Case(
        name=name,
        at=at,
        definition=subject,
        declared=declared,
        parameters=_mapping(given, "parameters", at) or {},
        resource=given.get("resource"),
        related=_related(given.get("related"), at),
        request=_mapping(given, "request", at),
        resource_group=_mapping(given, "resourceGroup", at),
        subscription=_mapping(given, "subscription", at),
        policy=_mapping(given, "policy", at),
        clock=_text(given, "clock", at),
        api_version=_text(given, "apiVersion", at),
        expect=_expectation(case.get("expect"), f"{at}.expect"),
        excluded=_text(case, "excluded", at),
    )


def _related(value: JsonValue, at: str) -> tuple[JsonValue, ...]:
    match value:
        case None:
            return ()
        case list():
            return tuple(value)
        case dict():
            return tuple(value.values())
    raise _bad(f"{at}.related", "is neither", "an object of resources by name or an array of them")


def _expectation(body: JsonValue, at: str) -> Expectation:
    if isinstance(body, str):
        return Expectation(effect=body)
    expect = _object(body, at, known=_EXPECT)
    if not expect:
        raise _bad(at, "is empty", "an effect, a state or an error")
    reasons, evaluated = expect.get("reasons") or [], expect.get("evaluated") or []
    if not isinstance(reasons, list) or not isinstance(evaluated, list):
        raise _bad(at, "has reasons or evaluated that are no array", "arrays")
    return Expectation(
        effect=_text(expect, "effect", at),
        state=_text(expect, "state", at),
        error=_text(expect, "error", at),
        reasons=tuple(str(reason) for reason in reasons),
        evaluated=tuple(_object(each, f"{at}.evaluated[{index}]") for index, each in enumerate(evaluated)),
        resource=expect.get("resource", Unstated.UNSTATED),
        rewritten=expect.get("rewritten", Unstated.UNSTATED),
        details=expect.get("details", Unstated.UNSTATED),
        deployment=_mapping(expect, "deployment", at),
    )


def _object(value: JsonValue, at: str, *, known: tuple[str, ...] = ()) -> JsonObject:
    if not isinstance(value, dict):
        raise _bad(at, "is missing or no object", "an object")
    unknown = [key for key in value if known and key not in known]
    if unknown:
        raise _bad(f"{at}.{unknown[0]}", "is not a member of a case table", f"one of {', '.join(known)}")
    return value


def _mapping(members: Mapping[str, Any], name: str, at: str) -> JsonObject | None:
    value = members.get(name)
    return None if value is None else _object(value, f"{at}.{name}")


def _text(members: Mapping[str, Any], name: str, at: str) -> str | None:
    value = members.get(name)
    if value is not None and not isinstance(value, str):
        raise _bad(f"{at}.{name}", f"is {value!r}", "text in quotes")
    return value


def _bad(at: str, problem: str, expected: str) -> InvalidInputError:
    return InvalidInputError(
        f"the case table's '{at}' {problem}, expected {expected}", code="InvalidCaseTable"
    )
