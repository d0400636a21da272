"""Rules about array aliases and counts."""

import re
from collections.abc import Iterator

from goldsmith.expressions.model import Call, Literal
from goldsmith.policy.lint.definition import Definition, Node, calls, member
from goldsmith.policy.lint.model import Fix, Found, LintRule, Replace, Severity
from goldsmith.policy.rule import Operator

_NEGATIVE = (
    Operator.NOT_EQUALS,
    Operator.NOT_IN,
    Operator.NOT_LIKE,
    Operator.NOT_MATCH,
    Operator.NOT_MATCH_INSENSITIVELY,
    Operator.NOT_CONTAINS,
    Operator.NOT_CONTAINS_KEY,
)
_ONE_VALUE = (
    Operator.EQUALS,
    Operator.NOT_EQUALS,
    Operator.LIKE,
    Operator.NOT_LIKE,
    Operator.MATCH,
    Operator.NOT_MATCH,
    Operator.MATCH_INSENSITIVELY,
    Operator.NOT_MATCH_INSENSITIVELY,
    Operator.IN,
    Operator.NOT_IN,
)


def every_member(definition: Definition) -> Iterator[Found]:
    for node, name in _open_arrays(definition):
        if node.operator not in _NEGATIVE and node.operator is not Operator.EXISTS:
            yield Found(node.path, f"'{name}' means every member, and is true of an empty array")


def no_member(definition: Definition) -> Iterator[Found]:
    for node, name in _open_arrays(definition):
        if node.operator in _NEGATIVE:
            yield Found(node.path, f"{node.operator_key} on '{name}' holds only when no member is equal")


def field_in_count(definition: Definition) -> Iterator[Found]:
    counting = [node for node in definition.nodes if node.counted and not node.is_quantifier]
    for node in counting:
        for one in definition.written_in(node.body, node.path):
            names = _called_with(one.tree, "field") if one.tree is not None else []
            wrong = [name for name in names if _is_of(name, node.counted)]
            if wrong and not _within_a_child(one.path, node):
                text = one.text
                for name in wrong:
                    text = re.sub(rf"(?i)\bfield(\(\s*'{re.escape(name)}')", r"current\1", text)
                fix = Fix("Use current().", (Replace(one.path, text),))
                yield Found(one.path, f"field('{wrong[0]}') is a list of one member inside its count", fix)


def count_without_members(definition: Definition) -> Iterator[Found]:
    for node in definition.nodes:
        if node.kind == "count" and isinstance(node.subject, dict):
            found = member(node.subject, "field", node.subject_path)
            if found and isinstance(found.value, str) and "[*]" not in found.value:
                fix = Fix("Count the members.", (Replace(found.path, f"{found.value}[*]"),))
                yield Found(found.path, f"'{found.value}' is counted, which selects no members", fix)


def where_ignores_members(definition: Definition) -> Iterator[Found]:
    for node in definition.nodes:
        if node.kind != "count" or not isinstance(node.subject, dict) or not node.children:
            continue
        name = member(node.subject, "field")
        counted = name.value if name and isinstance(name.value, str) else None
        if not any(_looks_at_member(definition, inner, counted) for inner in node.children[0].below()):
            yield Found(node.children[0].path, "where is the same for every member: it does not look at any")


def array_as_one_value(definition: Definition) -> Iterator[Found]:
    for node in definition.leaves:
        name = node.field_name
        if name is None or node.operator not in _ONE_VALUE or "[*]" in name or "/" not in name:
            continue
        if definition.aliases.knows(f"{name}[*]"):
            yield Found(node.path, f"'{name}' is an array, {node.operator_key} compares it as one value")


def current_outside_count(definition: Definition) -> Iterator[Found]:
    for node in definition.leaves:
        for one in definition.written_in(node.body, node.path):
            if one.tree is None or _within_a_child(one.path, node):
                continue
            if (
                not node.counted
                and node.section != "where"
                and "current" in {call.name for call in calls(one.tree)}
            ) and node.kind != "count":
                yield Found(one.path, "current() stands outside a count")


def _open_arrays(definition: Definition) -> Iterator[tuple[Node, str]]:
    """Field conditions on `[*]` that no count around them binds."""
    for node in definition.leaves:
        name = node.field_name
        if name is not None and "[*]" in name and not _is_of(name, node.counted):
            yield node, name


def _is_of(name: str, counted: tuple[str, ...]) -> bool:
    low = name.lower()
    return any(low == one.lower() or low.startswith(one.lower() + ".") for one in counted)


def _within_a_child(path: tuple[str | int, ...], node: Node) -> bool:
    return any(path[: len(child.path)] == child.path for child in node.children)


def _called_with(tree: object, function: str) -> list[str]:
    found = []
    for call in calls(tree):  # type: ignore[arg-type]  # narrowed by the callers
        match call:
            case Call(name, (Literal(str() as argument), *_)) if name == function:
                found.append(argument)
            case _:
                pass
    return found


def _looks_at_member(definition: Definition, node: Node, counted: str | None) -> bool:
    if counted is not None and node.field_name is not None and _is_of(node.field_name, (counted,)):
        return True
    if counted is not None and node.kind == "count" and isinstance(node.subject, dict):
        inner = member(node.subject, "field")
        if inner and isinstance(inner.value, str) and inner.value.lower().startswith(counted.lower()):
            return True
    for one in definition.written_in(node.body, node.path):
        # What cannot be read may look at the member; that it does not parse is another rule's finding.
        if one.tree is None or any(call.name in ("current", "field") for call in calls(one.tree)):
            return True
    return False


RULES = (
    LintRule(
        id="every-array-member",
        title="An array alias outside a count means every member",
        severity=Severity.NOTE,
        explanation="A condition on an alias with [*] holds when it holds for each member: an allOf nobody "
        "wrote. An "
        "empty or missing array has no member that breaks it, so the condition is true there.",
        hint="say how many members must match with a count",
        check=every_member,
        official=("implicit-array-enumeration",),
    ),
    LintRule(
        id="no-array-member",
        title="A negative operator on an array alias",
        severity=Severity.WARNING,
        explanation="notEquals on an alias with [*] is true when no member is equal, not when some member "
        "differs, "
        "and it is true of an empty or missing array. Authors mostly mean 'some member differs'.",
        hint="count the members that differ with where, and compare with greater: 0",
        check=no_member,
        official=("implicit-array-enumeration",),
    ),
    LintRule(
        id="field-in-count",
        title="field() of the counted array inside its count",
        severity=Severity.WARNING,
        explanation="Inside where, field() of the counted alias gives a list with the one member in it, "
        "not the "
        "member. A list is never equal to a text.",
        hint="use current() with the same alias",
        check=field_in_count,
        official=("field-function-on-counted-array-alias",),
    ),
    LintRule(
        id="count-without-members",
        title="A field count without [*]",
        severity=Severity.ERROR,
        explanation="A count counts the members that its field selects; without [*] the field selects the "
        "array "
        "itself, which the service refuses.",
        hint="end the field with [*]",
        check=count_without_members,
    ),
    LintRule(
        id="where-ignores-members",
        title="where does not look at the counted members",
        severity=Severity.WARNING,
        explanation="A where that reads nothing of the member is true for all of them or for none.",
        hint="use the counted alias or current() in where, or move the condition out of the count",
        check=where_ignores_members,
    ),
    LintRule(
        id="array-as-one-value",
        title="A whole array is compared with one value",
        severity=Severity.WARNING,
        explanation="Without [*] the alias gives the array itself, which equals no single value.",
        hint="count the members with [*]",
        check=array_as_one_value,
        official=("bare-array-field-compared-as-scalar",),
    ),
    LintRule(
        id="current-outside-count",
        title="current() outside a count",
        severity=Severity.ERROR,
        explanation="current() is the member that a count looks at; elsewhere there is none and evaluation "
        "fails.",
        hint="use field(), or put the condition into the where of a count",
        check=current_outside_count,
    ),
)
