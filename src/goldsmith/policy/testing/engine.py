"""Asks the engine what a case asks: what happens to this resource under this definition.

Nothing here has a meaning of its own: the rule is compiled, evaluated and explained by the modules that the
door and the fleet scan use.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from goldsmith.kernel.clock import parse_iso
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject, JsonValue, canonical
from goldsmith.policy.aliases import AliasTable
from goldsmith.policy.assignment import PolicyAssignment
from goldsmith.policy.definition import Absent, PolicyDefinition
from goldsmith.policy.effects import known_effect
from goldsmith.policy.library import AssignedPolicy, Library, assigned_policies
from goldsmith.policy.prepared import Compiler, PreparedPolicy
from goldsmith.policy.related import RelatedResources, ResourceList
from goldsmith.policy.resolving import resolve_operand
from goldsmith.policy.scope import place_of
from goldsmith.policy.target import Target, target_of
from goldsmith.policy.testing.model import Case
from goldsmith.policy.wire.definition import parse_definition

# A case that does not say when it is judged is judged at the same moment for ever.
_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
# A compliance evaluation is always made with the newest API version; no version is newer than this one.
_NEWEST = "9999-12-31"
_ASSIGNMENT = "/providers/Microsoft.Authorization/policyAssignments/case"


@dataclass(frozen=True, slots=True, kw_only=True)
class Posed:
    """A case made ready: its policy compiled for the type of its resource, and that resource as the target.

    `given` are the related resources of the table, `related` the same for look-ups.
    """

    prepared: PreparedPolicy
    target: Target
    compiler: Compiler
    related: RelatedResources
    given: Sequence[JsonObject]
    rule_only: bool


@dataclass(slots=True)
class Engine:
    """Compiles against one alias table; what it compiled is kept for the cases that follow."""

    aliases: AliasTable
    _compiler: Compiler = field(init=False)
    _assigned: dict[tuple[int, bytes], AssignedPolicy] = field(default_factory=dict)
    # Keeps the definitions alive whose identity is a key above.
    _definitions: dict[int, tuple[JsonValue, PolicyDefinition]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._compiler = Compiler(self.aliases)

    def read(self, case: Case) -> PolicyDefinition:
        """The case's definition; raises InvalidInputError when it is none."""
        known = self._definitions.get(id(case.definition))
        if known is None:
            body = case.definition
            if isinstance(body, dict) and not {"id", "name"} & {key.lower() for key in body}:
                body = {"name": "case", **body}
            known = (case.definition, parse_definition(body, limited=False))
            self._definitions[id(case.definition)] = known
        return known[1]

    def pose(self, case: Case) -> Posed | None:
        """The case made ready; None for a definition that is not ours to evaluate.

        Raises InvalidInputError for a definition that cannot be read or compiled, and for parameter values
        that do not fit.
        """
        if self.read(case).rule is None:
            return None
        resource: JsonObject = case.resource if isinstance(case.resource, dict) else {}
        target = target_of(
            resource,
            now=_MOMENT if case.clock is None else _instant(case),
            resource_group=_resource_group(case, resource),
            subscription=_subscription(case, resource),
            request_context={"apiVersion": case.api_version or _NEWEST, **(case.request or {})},
        )
        # A rule by itself reads the type that the resource states, not the one that its id implies.
        type_ = str(resource.get("type") or "") if case.rule_only else target.type
        prepared = self._compiler.prepare(self._assign(case), type_, case.api_version)
        found = [each for each in case.related if isinstance(each, dict)]
        return Posed(
            prepared=prepared,
            target=target,
            compiler=self._compiler,
            related=ResourceList(found),
            given=found,
            rule_only=case.rule_only,
        )

    def _assign(self, case: Case) -> AssignedPolicy:
        definition = self.read(case)
        key = (id(case.definition), canonical([case.parameters, case.policy]))
        assigned = self._assigned.get(key)
        if assigned is None:
            assigned = self._assigned[key] = _assigned(case, definition)
        return assigned


def _assigned(case: Case, definition: PolicyDefinition) -> AssignedPolicy:
    policy = case.policy or {}
    definition = replace(definition, id=str(policy.get("definitionId") or definition.id))
    assignment = PolicyAssignment(
        id=str(policy.get("assignmentId") or _ASSIGNMENT),
        name="case",
        scope="/",
        definition_id=definition.id,
        parameters=case.parameters,
    )
    if case.declared and not case.rule_only:
        (assigned,) = assigned_policies(assignment, Library([definition]))
        return assigned
    rule = definition.rule
    assert rule is not None, "only definitions with a rule are assigned"
    parameters = {
        name: None if parameter.default is Absent.ABSENT else parameter.default
        for name, parameter in definition.parameters.items()
    } | dict(case.parameters)
    effect = resolve_operand(rule.effect, parameters, at="policyRule.then.effect")
    return AssignedPolicy(
        assignment=assignment,
        definition=definition,
        parameters=parameters,
        effect=known_effect(str(effect)),
    )


def _instant(case: Case) -> datetime:
    try:
        return parse_iso(case.clock or "")
    except ValueError as error:
        raise InvalidInputError(
            f"the case table's '{case.at}.clock' is '{case.clock}', expected an ISO 8601 instant",
            code="InvalidCaseTable",
        ) from error


def _resource_group(case: Case, resource: JsonObject) -> JsonObject | None:
    place = place_of(str(resource.get("id", "")))
    if case.resource_group is not None or place.group is None:
        return case.resource_group
    id_ = f"/subscriptions/{place.subscription}/resourceGroups/{place.group}"
    return {"id": id_, "name": place.group, "type": "Microsoft.Resources/resourceGroups"}


def _subscription(case: Case, resource: JsonObject) -> JsonObject | None:
    place = place_of(str(resource.get("id", "")))
    if case.subscription is not None or place.subscription is None:
        return case.subscription
    return {"id": f"/subscriptions/{place.subscription}", "subscriptionId": place.subscription}
