"""Vector files of the regorus project, read as they are, and the list of those that are not to be believed.

Evaluation and parser files hold cases with a `policy_rule` or `policy_definition` (JSON as text), function
files a `builtin` with arguments and the value wanted.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.testing.model import NO_EFFECT, Case, Expectation, Refusal, Table, Unstated
from goldsmith.policy.testing.table import bare_rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """Which vectors are not the behaviour of the service: patterns (`file/note`, `*` allowed) with why."""

    reasons: Mapping[str, str]

    def reason(self, file: str, note: str) -> str | None:
        return next(
            (why for pattern, why in self.reasons.items() if fnmatchcase(f"{file}/{note}", pattern)), None
        )


NO_QUARANTINE = Quarantine(reasons={})


@cache
def known_exclusions() -> Quarantine:
    """The published vectors that better sources contradict, beyond those that their own quarantine lists."""
    text = files(__package__).joinpath("exclusions.json").read_text("utf-8")
    return parse_quarantine(json.loads(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionCase:
    """A call of one function; `fails` says that it has no value."""

    name: str
    function: str
    arguments: tuple[JsonValue, ...]
    want: JsonValue
    fails: bool
    excluded: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionTable:
    name: str
    cases: tuple[FunctionCase, ...]


def is_vectors(body: Any) -> bool:
    """Whether parsed data is a file of evaluation or parser vectors."""
    cases = body.get("cases") if isinstance(body, dict) else None
    return isinstance(cases, list) and any(
        isinstance(case, dict)
        and ("policy_rule" in case or "policy_definition" in case or "policy_definition" in body)
        for case in cases
    )


def is_function_vectors(body: JsonValue) -> bool:
    return (
        isinstance(body, dict)
        and isinstance(body.get("builtin"), str)
        and isinstance(body.get("cases"), list)
    )


def parse_quarantine(body: Any) -> Quarantine:
    """`quarantine.json`: lists of patterns below what is wrong with them.

    Or `exclusions`: a list of `file`, `notes` (all of the file without them), `because` and `document`.
    """
    if not isinstance(body, dict):
        raise InvalidInputError("the quarantine is no object, expected lists of vectors by reason")
    listed = body.get("exclusions")
    if isinstance(listed, list):
        rows = [row for row in listed if isinstance(row, dict)]
        return Quarantine(
            reasons={
                f"{row['file']}/{note}": f"{row['because']} ({row['document']})"
                for row in rows
                for note in row.get("notes") or ["*"]
            }
        )
    return Quarantine(
        reasons={
            str(pattern): reason
            for reason, patterns in body.items()
            if isinstance(patterns, list)
            for pattern in patterns
        }
    )


def parse_vectors(
    body: Any,
    *,
    name: str,
    aliases: Callable[[str], JsonValue],
    quarantine: Quarantine = NO_QUARANTINE,
) -> Table:
    """A file of evaluation or parser vectors; `aliases` gives the alias listing that the file names."""
    listing = body.get("aliases")
    shared = body.get("policy_definition")
    cases = body["cases"]
    return Table(
        name=name,
        aliases=aliases(listing) if isinstance(listing, str) else listing,
        cases=tuple(
            _case(case, f"cases[{index}]", shared, quarantine, file=name)
            for index, case in enumerate(cases)
            if isinstance(case, dict)
        ),
    )


def parse_function_vectors(body: Any, *, name: str, quarantine: Quarantine = NO_QUARANTINE) -> FunctionTable:
    """A file of function vectors; the function's name is in the spelling of the language: `addDays`."""
    function = function_name(str(body["builtin"]))
    cases = body["cases"]
    return FunctionTable(
        name=name,
        cases=tuple(
            FunctionCase(
                name=str(case.get("note", f"cases[{index}]")),
                function=function,
                arguments=tuple(case.get("args") or ()),
                want=case.get("want"),
                fails=bool(case.get("want_undefined")) or "want_error" in case,
                excluded=quarantine.reason(name, str(case.get("note"))),
            )
            for index, case in enumerate(cases)
            if isinstance(case, dict)
        ),
    )


def function_name(builtin: str) -> str:
    """`azure.policy.fn.add_days` -> `addDays`; `int_div` and the like are the functions they stand for."""
    plain = builtin.rpartition(".")[2]
    first, *others = plain.split("_")
    return _FUNCTIONS.get(plain, first + "".join(word.capitalize() for word in others))


# Where a vector gives no context it is judged in this one.
_SURROUNDINGS = {
    "resourceGroup": {"name": "myResourceGroup", "location": "eastus"},
    "subscription": {"subscriptionId": "00000000-0000-0000-0000-000000000000"},
}
_FUNCTIONS = {"int_div": "div", "int_mod": "mod", "logic_all": "and", "logic_any": "or"}


def _case(case: JsonObject, at: str, shared: JsonValue, quarantine: Quarantine, *, file: str) -> Case:
    context = {**_SURROUNDINGS, **(case.get("context") or {})}
    definition, declared, broken = _definition(case, shared)
    request = case.get("request_context") or context.get("requestContext")
    # A vector's API version is that of its request.
    version = case.get("api_version")
    if version is not None:
        request = {"apiVersion": version, **(request or {})}
    answers = case.get("host_await") or ()
    return Case(
        name=str(case.get("note", at)),
        at=at,
        definition=definition,
        declared=declared,
        parameters=case.get("parameters") or {},
        resource=case.get("resource"),
        related=tuple(answer["response"] for answer in answers if answer.get("response") is not None),
        rule_only=True,
        request=request,
        resource_group=context.get("resourceGroup"),
        subscription=context.get("subscription"),
        policy=context.get("policy"),
        clock=context.get("utcNow"),
        api_version=version,
        expect=Expectation(refused=Refusal.READING) if broken else _expectation(case),
        excluded=quarantine.reason(file, str(case.get("note"))),
    )


def _definition(case: JsonObject, shared: JsonValue) -> tuple[JsonValue, bool, bool]:
    """The definition, whether it declares parameters, and whether it is text that is no JSON."""
    whole = case.get("policy_definition")
    rule = case.get("policy_rule")
    if rule is not None and case.get("parse_level") == "policy_definition":
        whole, rule = rule, None
    text = rule if rule is not None else whole if whole is not None else shared
    try:
        body = json.loads(text, object_pairs_hook=each_once) if isinstance(text, str) else text
    except ValueError:
        return text, False, bool(case.get("want_parse_error"))
    if rule is not None:
        return bare_rule(body), False, False
    return _named(body), True, False


def each_once(pairs: list[tuple[str, Any]]) -> JsonObject:
    """An object for `json.loads`; raises ValueError for a member that is there twice."""
    body = dict(pairs)
    if len(body) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(
            f"the member '{next(name for name in names if names.count(name) > 1)}' is there twice"
        )
    return body


def _named(definition: JsonValue) -> JsonValue:
    # A definition must be called something; the vectors leave that out.
    if isinstance(definition, dict) and not {"id", "name"} & {key.lower() for key in definition}:
        return {"name": "vector", **definition}
    return definition


def _expectation(case: JsonObject) -> Expectation:
    if case.get("want_parse_error"):
        return Expectation(refused=Refusal.READING)
    if case.get("want_compile_error"):
        return Expectation(refused=Refusal.COMPILING)
    effect = case.get("want_effect")
    if effect is None and case.get("want_undefined"):
        effect = NO_EFFECT
    return Expectation(effect=effect, details=case.get("want_details", Unstated.UNSTATED))
