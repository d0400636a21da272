"""Rules about field names and aliases, against the table of aliases."""

import difflib
import re
from collections.abc import Iterator

from goldsmith.expressions.model import Call, Literal
from goldsmith.policy.lint.definition import Definition, Node, calls, is_expression, member
from goldsmith.policy.lint.model import Fix, Found, LintRule, Path, Replace, Severity
from goldsmith.policy.rule import Operator

_FIELDS = (
    "name",
    "fullName",
    "kind",
    "type",
    "location",
    "id",
    "identity.type",
    "identity.userAssignedIdentities",
    "tags",
    "managedBy",
    "sku",
    "plan",
    "zones",
)
_TAG = re.compile(r"tags(\.\S.*|\[.+\])", re.IGNORECASE)
_TAG_PROPERTIES = re.compile(r"properties\.tags\b.*", re.IGNORECASE)
_BODIES_MAX = 2
_ORDERING = (Operator.LESS, Operator.LESS_OR_EQUALS, Operator.GREATER, Operator.GREATER_OR_EQUALS)


def unknown_field(definition: Definition) -> Iterator[Found]:
    lower = {name.lower(): name for name in _FIELDS}
    for path, name, _ in _names(definition):
        low = name.lower()
        if "/" in name or low in lower or _TAG.fullmatch(name) or low.startswith("identity."):
            continue
        near = difflib.get_close_matches(low, lower, n=1, cutoff=0.7)
        meant = f"; did you mean '{lower[near[0]]}'" if near else ""
        path_is_field = str(path[-1]).lower() == "field"
        fix = (
            Fix(f"Write {lower[near[0]]}.", (Replace(path, lower[near[0]]),))
            if near and path_is_field
            else None
        )
        yield Found(path, f"'{name}' is no field{meant}", fix)


def unknown_alias(definition: Definition) -> Iterator[Found]:
    for path, name, _ in _names(definition):
        if "/" in name and not definition.aliases.knows(name):
            yield Found(path, f"no resource type has the alias '{name}'")


def alias_of_other_type(definition: Definition) -> Iterator[Found]:
    types = {name.lower() for name in definition.types}
    if not types:
        return
    for path, name, section in _names(definition):
        if "/" not in name or section != "if" or not definition.aliases.knows(name):
            continue
        having = {one.lower() for one in definition.aliases.types_with(name)}
        if having and not having & types:
            yield Found(path, f"'{name}' is an alias of {min(having)}, not of {min(types)}")


def derived_alias(definition: Definition) -> Iterator[Found]:
    for path, name, _ in _names(definition):
        for kind in definition.types if "/" in name and not definition.aliases.knows(name) else ():
            entry = definition.aliases.resolve(kind, name)
            if entry is not None and entry.derived:
                yield Found(path, f"'{name}' is taken for {entry.path} because of its name only")
                break


def number_as_text(definition: Definition) -> Iterator[Found]:
    for node in definition.leaves:
        compared = node.operator in (Operator.EQUALS, Operator.NOT_EQUALS)
        if compared and _token_type(definition, node) in ("integer", "number"):
            yield Found(node.path, f"'{node.field_name}' is a number and is compared as text")


def no_order(definition: Definition) -> Iterator[Found]:
    for node in definition.leaves:
        kind = _token_type(definition, node) if node.operator in _ORDERING else ""
        if kind in ("boolean", "object", "array"):
            yield Found(
                node.path, f"'{node.field_name}' is of type {kind}, {node.operator_key} cannot order it"
            )


def _token_type(definition: Definition, node: Node) -> str:
    """The alias' type of value in lower case, where every type that has the alias agrees; else empty."""
    name = node.field_name
    kinds = set()
    for kind in definition.aliases.types_with(name) if name and "/" in name else ():
        assert name is not None
        entry = definition.aliases.resolve(kind, name)
        kinds.add((entry.token_type or "").lower() if entry else "")
    return kinds.pop() if len(kinds) == 1 else ""


def deep_alias(definition: Definition) -> Iterator[Found]:
    for path, name, _ in _names(definition):
        for kind in definition.aliases.types_with(name) if "/" in name else ():
            entry = definition.aliases.resolve(kind, name)
            if entry is not None and entry.path.lower().split(".").count("properties") > _BODIES_MAX:
                yield Found(path, f"'{name}' leads through several resources: {entry.path}")
                break


def _names(definition: Definition) -> Iterator[tuple[Path, str, str]]:
    """Every field that is named: by conditions, counts, field() and current(), modify and append."""
    seen: set[tuple[Path, str]] = set()
    for node in definition.nodes if definition.is_evaluated else ():
        section = (
            "existenceCondition"
            if definition.existence and _below(node.path, definition.existence.path)
            else "if"
        )
        if node.field_name is not None:
            found = member(node.body, "field", node.path)
            assert found is not None
            yield found.path, node.field_name, section
        elif node.kind == "count" and isinstance(node.subject, dict):
            count = member(node.body, "count", node.path)
            name = member(node.subject, "field", count.path) if count else None
            if name and isinstance(name.value, str) and not is_expression(name.value):
                yield name.path, name.value, section
    for one in definition.written if definition.is_evaluated else ():
        for call in calls(one.tree) if one.tree is not None else ():
            match call:
                case Call("field", (Literal(str() as text),)) if (one.path, text) not in seen:
                    seen.add((one.path, text))
                    yield one.path, text, "function"
                case _:
                    pass


def _below(path: Path, root: Path) -> bool:
    return path[: len(root)] == root


RULES = (
    LintRule(
        id="unknown-field",
        title="A field that does not exist",
        severity=Severity.ERROR,
        explanation="A field is name, fullName, kind, type, location, id, identity.type, tags, one tag, or "
        "an alias.",
        hint="correct its name, or use an alias with its namespace",
        check=unknown_field,
    ),
    LintRule(
        id="unknown-alias",
        title="An alias that no table has",
        severity=Severity.WARNING,
        explanation="A policy with an unknown alias applies to nothing. The alias may be misspelled, or "
        "newer than the "
        "tables of this machine.",
        hint="correct it, or load a newer table: az provider list --expand resourceTypes/aliases",
        check=unknown_alias,
        official=(
            "field-alias-unavailable-in-any-api-version",
            "field-alias-unavailable-in-every-api-version",
        ),
    ),
    LintRule(
        id="alias-of-another-type",
        title="An alias of another resource type",
        severity=Severity.WARNING,
        explanation="On the types that the rule names, the alias has no value.",
        hint="use the alias of the type, or the right type",
        check=alias_of_other_type,
    ),
    LintRule(
        id="derived-alias",
        title="An alias whose path is a guess",
        severity=Severity.NOTE,
        explanation="No table lists the alias; its path is derived from its name, which is right for fewer "
        "than half of "
        "the real ones.",
        hint="load a table that has it",
        check=derived_alias,
    ),
    LintRule(
        id="deep-alias",
        title="An alias through several resources",
        severity=Severity.WARNING,
        explanation="Such a path leads through references to other resources, whose properties are not "
        "within this one; "
        "conditions on it silently never match.",
        hint="test the type that the property belongs to",
        check=deep_alias,
        official=("deeply-nested-field-alias",),
    ),
    LintRule(
        id="number-as-text",
        title="A number is compared with equals",
        severity=Severity.NOTE,
        explanation="equals and notEquals compare both sides as text: 5.0 is not 5, and 05 is not either.",
        hint="use [equals(field('...'), 5)] as value with equals: true, where the form may vary",
        check=number_as_text,
        official=("equality-check-on-numeric-field",),
    ),
    LintRule(
        id="no-order-for-field",
        title="A field that has no order is compared by order",
        severity=Severity.ERROR,
        explanation="Booleans, lists and objects cannot be ordered: the evaluation fails, which denies the "
        "request.",
        hint="use equals, exists or a count",
        check=no_order,
        official=("ordering-operator-on-incompatible-field-type",),
    ),
)
