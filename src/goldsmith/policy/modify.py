"""What append and modify policies write into a request, and what happens when they cannot or disagree.

Specification: the append and modify effect pages, and "modifying arrays" of author policies for arrays.
"""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from goldsmith.expressions.errors import EvaluationError, kind_of
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.aliases import Modifiable
from goldsmith.policy.applicability import may_set_identity
from goldsmith.policy.details import ChangeDetails, ConflictEffect, Operation, OperationKind, read_changes
from goldsmith.policy.evaluate import evaluate_computation
from goldsmith.policy.operands import Computation
from goldsmith.policy.parameters import DEPTH_MOST, is_deep, same_value
from goldsmith.policy.paths import WILDCARD, FieldKind, parse_field
from goldsmith.policy.prepared import Compiler, PreparedPolicy
from goldsmith.policy.rule import Effect, Operand
from goldsmith.policy.target import Target

# The types of tokens that alias tables name; others (Any, NotSpecified) say nothing.
_TOKENS: dict[str, tuple[str, ...]] = {
    "string": ("string",),
    "array": ("array",),
    "object": ("object",),
    "boolean": ("boolean",),
    "integer": ("integer",),
    "number": ("integer", "float"),
}
_MAKES = "properties"


class Trouble(StrEnum):
    """Why a change is not made."""

    DIFFERENT_VALUE = "the request has another value"
    NOT_MODIFIABLE = "the field cannot be modified in this API version"
    WRONG_TYPE = "the value is not of the type that the field takes"
    OTHER_POLICY = "another policy changes the same field"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One operation with its value: `path` has the segments of the field as its table spells them."""

    kind: OperationKind
    field: str
    path: tuple[str, ...]
    value: JsonValue
    trouble: Trouble | None = None

    @property
    def place(self) -> tuple[str, ...]:
        return tuple(segment.lower() for segment in self.path)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlannedChanges:
    """What one policy would write; an operation whose condition is false is not among them."""

    prepared: PreparedPolicy
    details: ChangeDetails
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dispute:
    """A policy that could not make its changes. `fields` are in the way, for the reason given."""

    prepared: PreparedPolicy
    conflict_effect: ConflictEffect
    fields: tuple[str, ...]
    trouble: Trouble


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Modified:
    """`resource` is a changed copy; `made` says by whom. Disputes with `deny` forbid the request."""

    resource: JsonObject
    made: tuple[tuple[PreparedPolicy, Change], ...]
    disputes: tuple[Dispute, ...]


def plan(prepared: PreparedPolicy, target: Target, *, compiler: Compiler) -> PlannedChanges:
    """The changes of an append or modify policy whose `if` holds; raises EvaluationError.

    Raises InvalidInputError when the definition's details are not those of its effect.
    """
    details, operations = prepared.once("changes", lambda: _compiled(prepared, compiler))
    changes = [_change(each, prepared, target, compiler=compiler) for each in operations]
    return PlannedChanges(
        prepared=prepared, details=details, changes=tuple(each for each in changes if each is not None)
    )


def apply(plans: Iterable[PlannedChanges], resource: JsonObject) -> Modified:
    """The resource with all changes that nothing stands against; the order of `plans` means nothing.

    Of policies that change one field differently, that with conflictEffect deny wins; two such deny the
    request, and none of them with deny changes nothing. Raises EvaluationError for a resource nested deeper
    than the language allows.
    """
    ordered = sorted(plans, key=lambda each: each.prepared.assigned.key)
    if not ordered:
        return Modified(resource=resource, made=(), disputes=())
    if is_deep(resource):
        raise EvaluationError(f"the resource is nested more than {DEPTH_MOST} levels deep")
    disputes = [dispute for each in ordered for dispute in _own_disputes(each, resource)]
    troubled = {dispute.prepared for dispute in disputes}
    rivals = _rivals([each for each in ordered if each.prepared not in troubled])
    disputes += rivals
    beaten = {dispute.prepared for dispute in disputes}
    result = copy.deepcopy(resource)
    made = []
    for each in ordered:
        if each.prepared in beaten:
            continue
        for change in each.changes:
            if _write(result, change.path, change, makes_parents=each.details.makes_parents):
                made.append((each.prepared, change))
    return Modified(resource=result, made=tuple(made), disputes=tuple(disputes))


def conflicting(plans: Sequence[PlannedChanges]) -> frozenset[tuple[str, str]]:
    """Keys of the policies in conflict on an existing resource: two or more with deny on one field."""
    return frozenset(
        dispute.prepared.assigned.key
        for dispute in _rivals(sorted(plans, key=lambda each: each.prepared.assigned.key))
        if dispute.conflict_effect is ConflictEffect.DENY
    )


def written_path(path: str) -> tuple[str, ...]:
    """`properties.rules[*].name` -> ("properties", "rules", "[*]", "name"), spelled as written."""
    segments: list[str] = []
    rest = path
    while rest:
        if rest.startswith(WILDCARD):
            segments.append(WILDCARD)
            rest = rest[len(WILDCARD) :]
        elif rest.startswith("["):
            inside, _, rest = rest[1:].partition("]")
            quoted = len(inside) > 1 and inside[0] == inside[-1] and inside[0] in "'\""
            segments.append(inside[1:-1].replace("''", "'") if quoted else inside)
        elif rest.startswith("."):
            rest = rest[1:]
        else:
            end = min((at for at in (rest.find("."), rest.find("[")) if at >= 0), default=len(rest))
            segments.append(rest[:end])
            rest = rest[end:]
    return tuple(segments)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _CompiledOperation:
    operation: Operation
    field: Computation
    value: Computation | None
    condition: Computation | None


def _compiled(
    prepared: PreparedPolicy, compiler: Compiler
) -> tuple[ChangeDetails, tuple[_CompiledOperation, ...]]:
    rule = prepared.assigned.definition.rule
    assert rule is not None, "only definitions with a rule of ours are prepared"
    details = read_changes(
        rule.details, prepared.assigned.parameters, append=prepared.assigned.effect == Effect.APPEND
    )

    def compiled(operand: Operand | None) -> Computation | None:
        return None if operand is None else compiler.operand(operand, prepared)

    return details, tuple(
        _CompiledOperation(
            operation=each,
            field=compiler.operand(each.field, prepared),
            value=compiled(each.value),
            condition=compiled(each.condition),
        )
        for each in details.operations
    )


def _change(
    compiled: _CompiledOperation, prepared: PreparedPolicy, target: Target, *, compiler: Compiler
) -> Change | None:
    operation = compiled.operation
    if compiled.condition is not None:
        holds = evaluate_computation(compiled.condition, target.document)
        if not isinstance(holds, bool):
            raise EvaluationError(
                f"the condition at '{operation.at}' gives {kind_of(holds)}, expected true or false"
            )
        if not holds:
            return None
    field = evaluate_computation(compiled.field, target.document)
    if not isinstance(field, str):
        raise EvaluationError(f"the field at '{operation.at}' gives {kind_of(field)}, expected a field name")
    value = None if compiled.value is None else evaluate_computation(compiled.value, target.document)
    path, trouble = _resolved(field, value, operation, prepared, compiler=compiler)
    return Change(kind=operation.kind, field=field, path=path, value=value, trouble=trouble)


def _resolved(
    field: str, value: JsonValue, operation: Operation, prepared: PreparedPolicy, *, compiler: Compiler
) -> tuple[tuple[str, ...], Trouble | None]:
    """Where the field is, and what stands against writing this value there."""
    name = parse_field(field)
    lower = field.lower()
    if lower.startswith(("tags.", "tags[")):
        tag = ("tags", field[5:]) if lower[4] == "." else written_path(field)
        removes = operation.kind is OperationKind.REMOVE
        return tag, None if removes or isinstance(value, str) else Trouble.WRONG_TYPE
    if operation.kind is OperationKind.REMOVE:
        return written_path(field), Trouble.NOT_MODIFIABLE
    if lower == "tags":
        return ("tags",), None if isinstance(value, dict) else Trouble.WRONG_TYPE
    if lower.startswith("identity."):
        settable = may_set_identity(prepared.resource_type)
        return written_path(field), None if settable else Trouble.NOT_MODIFIABLE
    if name.kind is FieldKind.PATH:
        return written_path(field), None
    alias = compiler.aliases.resolve(prepared.resource_type, field)
    if alias is None:
        # `name`, `location` and their like, and aliases of other types.
        return written_path(field), Trouble.NOT_MODIFIABLE
    path = written_path(alias.path_in(prepared.api_version))
    appends = prepared.assigned.effect == Effect.APPEND
    if alias.modifiable is Modifiable.NO and not appends:
        return path, Trouble.NOT_MODIFIABLE
    expected = _TOKENS.get((alias.token_type or "").lower())
    # The token type of `a[*]` is that of the member.
    if expected is not None and kind_of(value) not in expected and not appends:
        return path, Trouble.WRONG_TYPE
    return path, None


def _own_disputes(planned: PlannedChanges, resource: JsonObject) -> list[Dispute]:
    """One dispute for each kind of trouble that the policy's own changes have with the request."""
    by_trouble: dict[Trouble, list[str]] = {}
    for change in planned.changes:
        trouble = change.trouble
        if (
            trouble is None
            and change.kind is OperationKind.ADD
            and _differs(resource, change.path, change.value)
        ):
            trouble = Trouble.DIFFERENT_VALUE
        if trouble is not None:
            by_trouble.setdefault(trouble, []).append(change.field)
    return [
        Dispute(
            prepared=planned.prepared,
            conflict_effect=planned.details.conflict_effect,
            fields=tuple(fields),
            trouble=trouble,
        )
        for trouble, fields in by_trouble.items()
    ]


def _rivals(plans: Sequence[PlannedChanges]) -> list[Dispute]:
    """The policies that lose because another one changes the same field differently."""
    fields: dict[PlannedChanges, list[str]] = {}
    opponents: dict[PlannedChanges, set[PlannedChanges]] = {}
    for index, one in enumerate(plans):
        for other in plans[index + 1 :]:
            for mine in one.changes:
                for theirs in other.changes:
                    if _contradict(mine, theirs):
                        fields.setdefault(one, []).append(mine.field)
                        fields.setdefault(other, []).append(theirs.field)
                        opponents.setdefault(one, set()).add(other)
                        opponents.setdefault(other, set()).add(one)
    disputes = []
    for each, names in fields.items():
        rivals = opponents[each]
        denies = each.details.conflict_effect is ConflictEffect.DENY
        rival_denies = any(rival.details.conflict_effect is ConflictEffect.DENY for rival in rivals)
        if denies and not rival_denies:
            continue
        disputes.append(
            Dispute(
                prepared=each.prepared,
                conflict_effect=each.details.conflict_effect,
                fields=tuple(dict.fromkeys(names)),
                trouble=Trouble.OTHER_POLICY,
            )
        )
    return disputes


def _contradict(one: Change, other: Change) -> bool:
    shorter, longer = sorted((one.place, other.place), key=len)
    if longer[: len(shorter)] != shorter:
        return False
    if one.place == other.place and one.kind is other.kind:
        # Two that append members both get their wish, and equal values are one.
        appended = one.kind is OperationKind.ADD and one.place[-1] == WILDCARD
        removed = one.kind is OperationKind.REMOVE
        return not (appended or removed or same_value(one.value, other.value))
    return True


def _differs(node: JsonValue, path: Sequence[str], value: JsonValue) -> bool:
    """Whether adding the value would override another one."""
    if not path:
        return node is not None and not same_value(node, value)
    if path[0] == WILDCARD:
        if len(path) == 1 or not isinstance(node, list):
            return False
        return any(_differs(member, path[1:], value) for member in node)
    if not isinstance(node, dict):
        return False
    key = _key(node, path[0])
    return key is not None and _differs(node[key], path[1:], value)


def _write(node: JsonValue, path: Sequence[str], change: Change, *, makes_parents: bool) -> bool:
    """Make the change in place; False when nothing is changed.

    A nested property whose parent the request leaves out is left out on purpose, and so is the change:
    only `properties` itself, tags and identity are made (for append, every parent).
    """
    head, rest = path[0], path[1:]
    if head == WILDCARD:
        return _write_members(node, rest, change, makes_parents=makes_parents)
    if not isinstance(node, dict):
        return False
    key = _key(node, head)
    if not rest:
        return _write_member(node, key, head, change)
    child = None if key is None else node[key]
    if child is None:
        if change.kind is OperationKind.REMOVE:
            return False
        appends_to_new_array = list(rest) == [WILDCARD]
        if not (makes_parents or appends_to_new_array or head.lower() in (_MAKES, "tags", "identity")):
            return False
        child = [] if rest[0] == WILDCARD else {}
        if not _write(child, rest, change, makes_parents=makes_parents):
            return False
        node[key or head] = child
        return True
    return _write(child, rest, change, makes_parents=makes_parents)


def _write_member(node: dict[str, JsonValue], key: str | None, head: str, change: Change) -> bool:
    # A body may have one name in two spellings; afterwards it has one at most.
    others = [each for each in node if each != key and each.lower() == head.lower()]
    for each in others:
        del node[each]
    if change.kind is OperationKind.REMOVE:
        if key is None:
            return False
        del node[key]
        return True
    if key is not None and same_value(node[key], change.value):
        return bool(others)
    node[key or head] = copy.deepcopy(change.value)
    return True


def _write_members(node: JsonValue, rest: Sequence[str], change: Change, *, makes_parents: bool) -> bool:
    if not isinstance(node, list):
        return False
    if rest:
        # Every member is to be changed, not only the first that can be.
        written = [_write(member, rest, change, makes_parents=makes_parents) for member in node]
        return True in written
    if change.kind is OperationKind.ADD_OR_REPLACE:
        if same_value(node, [change.value]):
            return False
        node[:] = [copy.deepcopy(change.value)]
        return True
    node.append(copy.deepcopy(change.value))
    return True


def _key(node: dict[str, JsonValue], name: str) -> str | None:
    lower = name.lower()
    if name in node:
        return name
    return next((key for key in node if key.lower() == lower), None)
