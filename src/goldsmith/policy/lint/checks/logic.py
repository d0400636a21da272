"""Rules about how conditions are put together: what is always true, never true, doubled or too deep."""

from collections.abc import Iterator
from dataclasses import dataclass

from goldsmith.kernel.json import JsonValue, canonical
from goldsmith.policy.lint.definition import Definition, Node, is_expression, member
from goldsmith.policy.lint.model import Edit, Fix, Found, LintRule, Remove, Rename, Replace, Severity
from goldsmith.policy.rule import Operator

_OPPOSITE = {
    Operator.EQUALS: Operator.NOT_EQUALS,
    Operator.LIKE: Operator.NOT_LIKE,
    Operator.MATCH: Operator.NOT_MATCH,
    Operator.MATCH_INSENSITIVELY: Operator.NOT_MATCH_INSENSITIVELY,
    Operator.CONTAINS: Operator.NOT_CONTAINS,
    Operator.IN: Operator.NOT_IN,
    Operator.CONTAINS_KEY: Operator.NOT_CONTAINS_KEY,
}
_POSITIVE = {negative: positive for positive, negative in _OPPOSITE.items()}
# A set that is small enough to say which values a field may have.
_VALUES_MAX = 200


def single_child(definition: Definition) -> Iterator[Found]:
    for node in definition.nodes:
        found = member(node.body, node.kind, node.path) if node.kind in ("allOf", "anyOf") else None
        if found and isinstance(found.value, list) and len(found.value) == 1 and len(node.body) == 1:
            fix = Fix(f"Drop the {node.kind}.", (Replace(node.path, found.value[0]),))
            yield Found(node.path, f"{node.kind} has one condition", fix)


def same_nested(definition: Definition) -> Iterator[Found]:
    for node in definition.nodes:
        parent = node.parent
        if node.kind in ("allOf", "anyOf") and parent and parent.kind == node.kind and len(node.children) > 1:
            yield Found(node.path, f"{node.kind} stands directly in {node.kind}")


def double_negation(definition: Definition) -> Iterator[Found]:
    for node in definition.nodes:
        if node.kind == "not" and node.children and node.children[0].kind == "not":
            inner = member(node.children[0].body, "not")
            assert inner is not None
            fix = Fix("Drop both.", (Replace(node.path, inner.value),))
            yield Found(node.path, "not not is nothing", fix)


def negated_negative(definition: Definition) -> Iterator[Found]:
    for node in definition.nodes:
        child = node.children[0] if node.kind == "not" and node.children else None
        if child is None or child.operator not in _POSITIVE or child.is_quantifier:
            continue
        positive = _POSITIVE[child.operator]
        body = {
            (positive.value if key == child.operator_key else key): value for key, value in child.body.items()
        }
        whole = child.kind != "field" or "[*]" not in str(child.subject)
        fix = Fix(f"Use {positive.value}.", (Replace(node.path, body),)) if whole else None
        yield Found(node.path, f"not {child.operator_key} is {positive.value}", fix)


def negated_exists(definition: Definition) -> Iterator[Found]:
    for node in definition.nodes:
        child = node.children[0] if node.kind == "not" and node.children else None
        if child is None or child.operator is not Operator.EXISTS or "[*]" in str(child.subject):
            continue
        if str(child.target).lower() in ("true", "false"):
            body = {**child.body, child.operator_key: str(child.target).lower() == "false"}
            yield Found(
                node.path, "not exists is exists: false", Fix("Turn it round.", (Replace(node.path, body),))
            )


def duplicate(definition: Definition) -> Iterator[Found]:
    kinds = _kinds(definition)
    for node in definition.nodes:
        if node.kind not in ("allOf", "anyOf"):
            continue
        seen: dict[int, int] = {}
        for number, child in enumerate(node.children):
            kind = kinds[id(child)]
            if kind in seen:
                fix = Fix("Take it out.", (Remove(child.path),))
                yield Found(
                    child.path, f"the same condition is number {seen[kind] + 1} of this {node.kind}", fix
                )
            seen.setdefault(kind, number)


def _kinds(definition: Definition) -> dict[int, int]:
    """A number for each node by its identity: equal numbers mean the same condition, keys in any case.

    Each node is looked at once, its children before it, so that deep rules cost no more than wide ones.
    """
    numbers: dict[object, int] = {}
    found: dict[int, int] = {}
    for node in reversed(definition.nodes):
        key: object
        if node.is_quantifier:
            key = (node.kind, tuple(found[id(child)] for child in node.children))
        else:
            key = canonical(_folded(node.body))
        found[id(node)] = numbers.setdefault(key, len(numbers))
    return found


def empty_quantifier(definition: Definition) -> Iterator[Found]:
    for node in definition.nodes:
        found = member(node.body, node.kind, node.path) if node.kind in ("allOf", "anyOf") else None
        if found and found.value == []:
            always = "true" if node.kind == "allOf" else "false"
            yield Found(node.path, f"{node.kind} has no condition, it is always {always}")


def constant_value(definition: Definition) -> Iterator[Found]:
    for node in definition.leaves:
        if node.kind == "value" and not any(True for _ in definition.written_in(node.body, node.path)):
            yield Found(node.path, "both sides of the condition are constants")


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a leaf says about a field: its value is one of `values`, or (`but`) none of them; folded texts."""

    field: str
    values: frozenset[str]
    but: bool


def never_true(definition: Definition) -> Iterator[Found]:
    for node in _in_order(definition):
        if node.kind != "allOf" or (node.parent is not None and node.parent.kind == "allOf"):
            continue
        known: dict[str, _Claim] = {}
        for leaf in _all_leaves(node):
            claim = _claim(leaf)
            if claim is None:
                continue
            before = known.get(claim.field)
            both = claim if before is None else _both(before, claim)
            if not both.but and not both.values:
                yield Found(
                    leaf.path, f"'{leaf.subject}' cannot have this value and the one asked for before"
                )
                break
            known[claim.field] = both


def unreachable(definition: Definition) -> Iterator[Found]:
    """A branch of an anyOf that contradicts what the allOf around it demands."""
    for node in _in_order(definition):
        if node.kind != "anyOf":
            continue
        known = _demanded_around(node)
        for child in node.children:
            for leaf in _all_leaves(child) if child.kind == "allOf" else [child]:
                claim = _claim(leaf)
                if claim is None or claim.field not in known:
                    continue
                both = _both(known[claim.field], claim)
                if not both.but and not both.values:
                    yield Found(child.path, f"'{leaf.subject}' cannot have this value here")
                    break


def always_true(definition: Definition) -> Iterator[Found]:
    for node in _in_order(definition):
        if node.kind != "anyOf":
            continue
        excluded: dict[str, frozenset[str]] = {}
        included: dict[str, frozenset[str]] = {}
        asked: set[tuple[str, str]] = set()
        for child in node.children:
            if child.operator is Operator.EXISTS and child.field_name and "[*]" not in child.field_name:
                answer = str(child.target).lower()
                asked.add((child.field_name.lower(), answer))
                if {(child.field_name.lower(), one) for one in ("true", "false")} <= asked:
                    yield Found(node.path, f"'{child.subject}' either exists or it does not")
                    break
            claim = _claim(child)
            if claim is None:
                continue
            if claim.but:
                left = excluded.get(claim.field, claim.values) & claim.values
                excluded[claim.field] = left
            else:
                included[claim.field] = included.get(claim.field, frozenset()) | claim.values
            if claim.field in excluded and excluded[claim.field] <= included.get(claim.field, frozenset()):
                yield Found(node.path, f"for every value of '{child.subject}' one of the conditions is true")
                break


def many_equals(definition: Definition) -> Iterator[Found]:
    yield from _joined(definition, "anyOf", Operator.EQUALS, Operator.IN)


def many_not_equals(definition: Definition) -> Iterator[Found]:
    yield from _joined(definition, "allOf", Operator.NOT_EQUALS, Operator.NOT_IN)


def _joined(definition: Definition, kind: str, one: Operator, many: Operator) -> Iterator[Found]:
    for node in definition.nodes:
        if node.kind != kind:
            continue
        groups: dict[str, list[Node]] = {}
        for child in node.children:
            plain = isinstance(child.target, str) and not is_expression(child.target)
            if child.operator is one and child.field_name is not None and plain and len(child.body) == 2:
                groups.setdefault(child.field_name.lower(), []).append(child)
        for found in groups.values():
            if len(found) > 1:
                first = found[0]
                edits: tuple[Edit, ...] = (
                    Replace(first.target_path, [child.target for child in found]),
                    Rename(first.target_path, many.value),
                    *(Remove(child.path) for child in found[1:]),
                )
                fix = Fix(f"Join them with {many.value}.", edits)
                message = f"{len(found)} conditions {one.value} on '{first.field_name}' are one {many.value}"
                yield Found(first.path, message, fix)


def _in_order(definition: Definition) -> Iterator[Node]:
    return (node for node in definition.nodes if node.kind in ("allOf", "anyOf"))


def _all_leaves(node: Node) -> Iterator[Node]:
    """The leaves that must all be true for `node` to be: those of nested allOf are, too."""
    stack = [node]
    while stack:
        one = stack.pop()
        if one.kind == "allOf":
            stack.extend(reversed(one.children))
        elif not one.is_quantifier:
            yield one


def _demanded_around(node: Node) -> dict[str, _Claim]:
    """What holds wherever `node` is reached with a chance to be true, as far as allOf around it say so."""
    known: dict[str, _Claim] = {}
    child, parent = node, node.parent
    while parent is not None and parent.kind in ("allOf", "anyOf"):
        if parent.kind == "allOf":
            for sibling in parent.children:
                for leaf in _all_leaves(sibling) if sibling is not child else ():
                    claim = _claim(leaf)
                    if claim is not None:
                        before = known.get(claim.field)
                        known[claim.field] = claim if before is None else _both(before, claim)
        child, parent = parent, parent.parent
    return known


def _claim(node: Node) -> _Claim | None:
    name = node.field_name
    if name is None or not _has_one_value(name, node.counted):
        return None
    if node.operator is Operator.EXISTS and str(node.target).lower() == "false":
        return _Claim(name.lower(), frozenset({""}), but=False)  # a missing value counts as an empty text
    values = _values(node.target)
    if not values or len(values) > _VALUES_MAX:
        return None
    match node.operator:
        case Operator.EQUALS | Operator.IN:
            return _Claim(name.lower(), values, but=False)
        case Operator.NOT_EQUALS | Operator.NOT_IN:
            return _Claim(name.lower(), values, but=True)
        case _:
            return None


def _has_one_value(name: str, counted: tuple[str, ...]) -> bool:
    """Whether the field is no array, or a count binds the member of each of its arrays."""
    arrays = name.count("[*]")
    return not arrays or any(
        name.lower().startswith(one.lower()) and one.count("[*]") == arrays for one in counted
    )


def _values(target: object) -> frozenset[str] | None:
    """Folded constant texts; None when one of them is computed or is no plain value."""
    members = target if isinstance(target, list) else [target]
    found = set()
    for one in members:
        if is_expression(one) or one is None or isinstance(one, list | dict):
            return None
        found.add(str(one).casefold())
    return frozenset(found)


def _both(first: _Claim, second: _Claim) -> _Claim:
    if first.but and second.but:
        return _Claim(first.field, first.values | second.values, but=True)
    if first.but:
        return _Claim(first.field, second.values - first.values, but=False)
    if second.but:
        return _Claim(first.field, first.values - second.values, but=False)
    return _Claim(first.field, first.values & second.values, but=False)


def _folded(value: JsonValue) -> JsonValue:
    """The value with its keys in lower case."""
    if isinstance(value, dict):
        return {key.lower(): _folded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_folded(inner) for inner in value]
    return value


RULES = (
    LintRule(
        id="single-condition",
        title="allOf or anyOf around one condition",
        severity=Severity.NOTE,
        explanation="A quantifier over one condition is that condition.",
        hint="use the condition itself",
        check=single_child,
        official=("unnecessary-quantifier-wrapper",),
    ),
    LintRule(
        id="nested-quantifier",
        title="allOf in allOf, or anyOf in anyOf",
        severity=Severity.NOTE,
        explanation="The inner conditions may stand in the outer list: the meaning is the same.",
        hint="move the inner conditions into the outer list",
        check=same_nested,
        official=("nested-same-type-quantifiers-should-be-flattened",),
    ),
    LintRule(
        id="double-negation",
        title="not directly in not",
        severity=Severity.WARNING,
        explanation="Two negations cancel out.",
        hint="take both away",
        check=double_negation,
        official=("directly-nested-not-condition", "nested-not-condition"),
    ),
    LintRule(
        id="negated-negative",
        title="not around a negative operator",
        severity=Severity.NOTE,
        explanation="not with notEquals is equals, said so that it must be read twice. On an alias with "
        "[*] it is "
        "something else: some member is equal.",
        hint="use the positive operator",
        check=negated_negative,
        official=("prefer-explicit-not-equals-checks",),
    ),
    LintRule(
        id="negated-exists",
        title="not around exists",
        severity=Severity.NOTE,
        explanation="exists carries its own answer, true or false.",
        hint="turn the value of exists round",
        check=negated_exists,
    ),
    LintRule(
        id="duplicate-condition",
        title="A condition stands twice in one list",
        severity=Severity.WARNING,
        explanation="The second one changes nothing. Often another field or value was meant.",
        hint="take it out, or correct it",
        check=duplicate,
    ),
    LintRule(
        id="empty-quantifier",
        title="allOf or anyOf without conditions",
        severity=Severity.WARNING,
        explanation="An empty allOf is always true and an empty anyOf never.",
        hint="put conditions in, or take it out",
        check=empty_quantifier,
    ),
    LintRule(
        id="constant-condition",
        title="A condition compares constants",
        severity=Severity.WARNING,
        explanation="A value condition without an expression has the same outcome for every resource.",
        hint="write the value as an expression in brackets, or use field",
        check=constant_value,
    ),
    LintRule(
        id="never-true",
        title="The conditions contradict each other",
        severity=Severity.ERROR,
        explanation="One field cannot have two values at once: the allOf is never true and the policy hits "
        "nothing. "
        "Usually anyOf or in was meant.",
        hint="use anyOf, or in with a list of values",
        check=never_true,
    ),
    LintRule(
        id="unreachable-branch",
        title="A branch that can never be true",
        severity=Severity.WARNING,
        explanation="An allOf around the branch asks for another value of the same field.",
        hint="take the branch out, or widen the condition around it",
        check=unreachable,
    ),
    LintRule(
        id="always-true",
        title="One of the conditions is always true",
        severity=Severity.ERROR,
        explanation="Of 'not A' and 'not B' in an anyOf at least one holds whatever the value is. The "
        "policy then "
        "hits everything. Usually allOf or notIn was meant.",
        hint="use allOf, or notIn with a list of values",
        check=always_true,
    ),
    LintRule(
        id="equals-instead-of-in",
        title="Several equals on one field",
        severity=Severity.NOTE,
        explanation="An anyOf of equals on one field is one in: shorter, and one condition for the limits.",
        hint="use in with a list",
        check=many_equals,
        official=("simplify-multiple-equals-to-in",),
    ),
    LintRule(
        id="not-equals-instead-of-not-in",
        title="Several notEquals on one field",
        severity=Severity.NOTE,
        explanation="An allOf of notEquals on one field is one notIn: shorter, and one condition for the "
        "limits.",
        hint="use notIn with a list",
        check=many_not_equals,
        official=("simplify-multiple-notequals-to-notin",),
    ),
)
