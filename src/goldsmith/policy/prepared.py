"""Assigned policies compiled for a resource type, each once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

from goldsmith.policy.aliases import AliasTable
from goldsmith.policy.applicability import applicability_condition, mentions_location, reads_identity
from goldsmith.policy.compile import (
    CompiledRule,
    Computation,
    Pool,
    compile_condition,
    compile_operand,
    compile_rule,
)
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.rule import AllOf, Condition, Operand
from goldsmith.policy.tree import All, Always, Any, Leaf, LeafNode, Negation, Node, Source

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedPolicy:
    """`applies` is what decides applicability beside scope and mode: a node, or a boolean when nothing does.

    `reads_identity`: the rule looks at who asks, and so says nothing of resources at rest.
    """

    assigned: AssignedPolicy
    resource_type: str
    api_version: str | None
    rule: CompiledRule
    applies: Node | bool
    reads_identity: bool
    reads_tags: bool
    mentions_location: bool
    memo: dict[str, object] = field(default_factory=dict)

    def once(self, name: str, make: Callable[[], _T]) -> _T:
        """What `make` gives, made once for this policy and type; the name stands for one type of value."""
        known = self.memo.get(name, self)
        if known is self:
            known = self.memo[name] = make()
        return cast(_T, known)


class Compiler:
    """Compiles against one alias table, and keeps what it compiled until it is told to forget the policy.

    Documents remember results by the nodes of the compiler's pool: use one compiler with a document.
    """

    def __init__(self, aliases: AliasTable) -> None:
        self.aliases = aliases
        self.pool = Pool()
        self._prepared: dict[AssignedPolicy, dict[tuple[str, str | None], PreparedPolicy]] = {}

    def prepare(
        self, assigned: AssignedPolicy, resource_type: str, api_version: str | None = None
    ) -> PreparedPolicy:
        """The policy for one resource type and API version (None: the newest one).

        Raises InvalidInputError when the definition is not ours to evaluate or a value does not fit.
        """
        known = self._prepared.get(assigned)
        if known is None:
            known = self._prepared[assigned] = {}
        # By the type as it is spelled: field('type') gives it so, and some functions mind the case.
        key = (resource_type, api_version)
        prepared = known.get(key)
        if prepared is None:
            prepared = known[key] = self._prepare(assigned, resource_type, api_version)
        return prepared

    def forget(self, assigned: AssignedPolicy) -> None:
        """Let go of a policy that is no longer in force; leaves that others share stay in the pool."""
        self._prepared.pop(assigned, None)

    def condition(self, condition: Condition, prepared: PreparedPolicy, pool: Pool) -> Node:
        """A condition of the policy's `if` by itself, in a pool of the caller's."""
        return compile_condition(
            condition,
            parameters=prepared.assigned.parameters,
            policy_context=prepared.assigned.context,
            aliases=self.aliases,
            resource_type=prepared.resource_type,
            api_version=prepared.api_version,
            pool=pool,
        )

    def existence(self, condition: Condition, prepared: PreparedPolicy, pool: Pool) -> Node:
        """A condition of the policy's existenceCondition by itself, over the related resource."""
        rule = prepared.assigned.definition.rule
        assert rule is not None, "only definitions with a rule of ours are prepared"
        node = compile_rule(
            replace(rule, condition=AllOf(conditions=(), at=rule.condition.at), existence=condition),
            parameters=prepared.assigned.parameters,
            policy_context=prepared.assigned.context,
            aliases=self.aliases,
            resource_type=prepared.resource_type,
            api_version=prepared.api_version,
            pool=pool,
        ).existence
        assert node is not None, "a rule with an existence condition compiles to one"
        return node

    def operand(self, operand: Operand, prepared: PreparedPolicy) -> Computation:
        """An operand of the policy's details."""
        return compile_operand(
            operand,
            parameters=prepared.assigned.parameters,
            policy_context=prepared.assigned.context,
            aliases=self.aliases,
            resource_type=prepared.resource_type,
            api_version=prepared.api_version,
        )

    def _prepare(
        self, assigned: AssignedPolicy, resource_type: str, api_version: str | None
    ) -> PreparedPolicy:
        rule = assigned.definition.rule
        assert rule is not None, "only definitions with a rule of ours are prepared"
        pool = self.pool
        compiled = compile_rule(
            rule,
            parameters=assigned.parameters,
            policy_context=assigned.context,
            aliases=self.aliases,
            resource_type=resource_type,
            api_version=api_version,
            pool=pool,
        )
        condition = applicability_condition(rule.condition, assigned.effect)
        applies: Node | bool
        if condition is rule.condition:
            applies = compiled.condition
        elif isinstance(condition, bool):
            applies = condition
        else:
            applies = compile_condition(
                condition,
                parameters=assigned.parameters,
                policy_context=assigned.context,
                aliases=self.aliases,
                resource_type=resource_type,
                api_version=api_version,
                pool=pool,
            )
        found = list(leaves_of(compiled.condition))
        if compiled.existence is not None:
            found += leaves_of(compiled.existence)
        return PreparedPolicy(
            assigned=assigned,
            resource_type=resource_type,
            api_version=api_version,
            rule=compiled,
            applies=applies,
            reads_identity=any(
                any(each.source is Source.REQUEST for each in leaf.inputs) and reads_identity(leaf.condition)
                for leaf in found
            ),
            reads_tags=any(
                each.source is Source.RESOURCE and each.path[:1] == ("tags",)
                for leaf in found
                for each in leaf.inputs
            ),
            mentions_location=mentions_location(assigned.definition.policy_rule),
        )


def leaves_of(node: Node) -> Iterator[Leaf]:
    """Every leaf that evaluating the node may come to."""
    pending = [node]
    seen: set[int] = set()
    while pending:
        each = pending.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        match each:
            case LeafNode(leaf=leaf):
                yield leaf
            case All(children=children) | Any(children=children):
                pending.extend(children)
            case Negation(child=child):
                pending.append(child)
            case Always():
                pass
