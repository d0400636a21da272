"""`Rule` + parameters + resource type -> a tree of interned nodes over leaves.

What parameters, policy() and the resource type decide is folded while compiling; leaves read the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.aliases import AliasTable
from goldsmith.policy.leaves import predicate
from goldsmith.policy.operands import Around, Computation, Operands, computation
from goldsmith.policy.operators import COMPLEMENTS, truth
from goldsmith.policy.paths import WILDCARD
from goldsmith.policy.pool import Pool
from goldsmith.policy.rule import (
    AllOf,
    AnyOf,
    Condition,
    Constant,
    CountCondition,
    FieldCondition,
    Not,
    Operand,
    Operator,
    Rule,
    ValueCondition,
)
from goldsmith.policy.setting import Setting, constant_of
from goldsmith.policy.tree import All, Always, Any, LeafNode, Negation, Node, Source

__all__ = [
    "CompiledRule",
    "Computation",
    "Pool",
    "Setting",
    "compile_condition",
    "compile_operand",
    "compile_rule",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledRule:
    """A rule for one resource type and one set of parameter values.

    `effect` is the resolved text as written ("Deny"). `existence` decides whether a related resource passes:
    its `field` conditions read RELATED, its field() functions RESOURCE. `lookup` holds `type`, `name`,
    `resourceGroupName` and `existenceScope` as far as the rule gives them. `unknown` names the aliases that
    no table has for any type, `derived` those whose path was guessed (and paths that are no aliases).
    """

    condition: Node
    effect: str
    existence: Node | None
    lookup: Mapping[str, Computation]
    unknown: frozenset[str]
    derived: frozenset[str]
    reads_request: bool
    reads_clock: bool


def compile_rule(
    rule: Rule,
    *,
    parameters: Mapping[str, JsonValue],
    policy_context: Mapping[str, JsonValue],
    aliases: AliasTable,
    resource_type: str,
    api_version: str | None = None,
    pool: Pool,
) -> CompiledRule:
    """`parameters` are the effective values (defaults filled in) by name.

    `policy_context` is what `policy()` gives: assignmentId, definitionId, setDefinitionId,
    definitionReferenceId. An empty `resource_type` leaves the type to be read from the resource. Raise
    InvalidInputError for a parameter without value, values of parameters that refer to each other in a
    circle, and an effect that is no constant text.
    """
    setting = Setting(
        parameters=parameters,
        policy_context=policy_context,
        aliases=aliases,
        resource_type=resource_type,
        api_version=api_version,
    )
    condition = compile_node(rule.condition, setting=setting, pool=pool)
    lookup = {name: compile_value(operand, setting=setting) for name, operand in rule.lookup.items()}
    existence = None
    if rule.existence is not None:
        setting.related_type = _related_type(rule, setting)
        existence = compile_node(rule.existence, setting=setting, pool=pool, subject=Source.RELATED)
    sources = _sources([condition] if existence is None else [condition, existence])
    for value in lookup.values():
        sources |= {read.source for read in value.inputs}
    return CompiledRule(
        condition=condition,
        effect=_effect(rule, setting),
        existence=existence,
        lookup=lookup,
        unknown=frozenset(setting.unknown),
        derived=frozenset(setting.derived),
        reads_request=Source.REQUEST in sources,
        reads_clock=Source.CLOCK in sources,
    )


def compile_condition(
    condition: Condition,
    *,
    parameters: Mapping[str, JsonValue],
    policy_context: Mapping[str, JsonValue],
    aliases: AliasTable,
    resource_type: str,
    api_version: str | None = None,
    pool: Pool,
) -> Node:
    """One condition by itself, over the resource; raises as `compile_rule`."""
    setting = Setting(
        parameters=parameters,
        policy_context=policy_context,
        aliases=aliases,
        resource_type=resource_type,
        api_version=api_version,
    )
    return compile_node(condition, setting=setting, pool=pool)


def compile_operand(
    operand: Operand,
    *,
    parameters: Mapping[str, JsonValue],
    policy_context: Mapping[str, JsonValue],
    aliases: AliasTable,
    resource_type: str,
    api_version: str | None = None,
) -> Computation:
    """An operand outside conditions (modify and append values, parameters of deployments)."""
    setting = Setting(
        parameters=parameters,
        policy_context=policy_context,
        aliases=aliases,
        resource_type=resource_type,
        api_version=api_version,
    )
    return compile_value(operand, setting=setting)


def compile_value(operand: Operand, *, setting: Setting) -> Computation:
    operands = Operands(setting=setting)
    return computation(operands, operands.value(operand, Around()).read)


def compile_node(
    condition: Condition, *, setting: Setting, pool: Pool, subject: Source = Source.RESOURCE
) -> Node:
    """The node of one condition; recursion takes one Python frame for each level of nesting."""
    match condition:
        case AllOf(conditions=children):
            nodes: list[Node] = []
            for child in children:
                nodes.append(compile_node(child, setting=setting, pool=pool, subject=subject))
            return pool.all(nodes)
        case AnyOf(conditions=children):
            nodes = []
            for child in children:
                nodes.append(compile_node(child, setting=setting, pool=pool, subject=subject))
            return pool.any(nodes)
        case Not(condition=child):
            return pool.negation(compile_node(child, setting=setting, pool=pool, subject=subject))
        case FieldCondition() | ValueCondition() | CountCondition():
            positive = _positive(condition)
            if positive is not None:
                return pool.negation(_leaf(positive, setting, pool, subject))
            return _leaf(condition, setting, pool, subject)
        case _:
            assert_never(condition)


def _positive(condition: FieldCondition | ValueCondition | CountCondition) -> Condition | None:
    """The condition this one is the exact opposite of, so that both share a leaf.

    Not so for a field with `[*]`, where `notEquals` asks something of every member.
    """
    if isinstance(condition, FieldCondition):
        name = condition.field.value if isinstance(condition.field, Constant) else None
        if not isinstance(name, str) or WILDCARD in name:
            return None
    if condition.operator in COMPLEMENTS:
        return replace(condition, operator=COMPLEMENTS[condition.operator])
    target = condition.target
    if (
        condition.operator is Operator.EXISTS
        and isinstance(target, Constant)
        and truth(target.value) is False
    ):
        return replace(condition, target=Constant(True))
    return None


def _leaf(condition: Condition, setting: Setting, pool: Pool, subject: Source) -> Node:
    operands = Operands(setting=setting, subject=subject)
    found = predicate(operands, condition, Around())
    reads = operands.reads
    if not reads.inputs:
        try:
            return pool.always(found.holds([None] * reads.slots))
        except EvaluationError:
            # It fails whenever it is reached; a leaf without inputs says so.
            pass
    test = found.holds
    if reads.slots:

        def with_slots(values: Sequence[JsonValue]) -> bool:
            return test(reads.frame(values))

    inputs = "".join(f" {read.source}{read.path!r}{read.narrowing}" for read in reads.inputs)
    return pool.leaf(
        found.key + inputs,
        reads.inputs,
        with_slots if reads.slots else test,  # type: ignore[arg-type]  # without slots the frame is only read
        may_fail=found.may_fail,
        condition=condition,
    )


def _related_type(rule: Rule, setting: Setting) -> str:
    operand = rule.lookup.get("type")
    if operand is None:
        return ""
    try:
        value = constant_of(setting.operand(operand, {}))
    except EvaluationError:
        return ""
    return value if isinstance(value, str) else ""


def _effect(rule: Rule, setting: Setting) -> str:
    try:
        effect = constant_of(setting.operand(rule.effect, {}))
    except EvaluationError as error:
        raise InvalidInputError(
            f"the effect is not constant: {error.message}", hint="only parameters decide the effect"
        ) from error
    if not isinstance(effect, str):
        raise InvalidInputError(
            f"the effect is {effect!r}, expected a text",
            hint="give the effect parameter the name of an effect",
        )
    return effect


def _sources(nodes: Sequence[Node]) -> set[Source]:
    """Every source that some leaf under the nodes reads."""
    found: set[Source] = set()
    seen: set[int] = set()
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if node.index in seen:
            continue
        seen.add(node.index)
        match node:
            case LeafNode(leaf=leaf):
                found |= {read.source for read in leaf.inputs}
            case All(children=children) | Any(children=children):
                pending += children
            case Negation(child=child):
                pending.append(child)
            case Always():
                pass
            case _:
                assert_never(node)
    return found
