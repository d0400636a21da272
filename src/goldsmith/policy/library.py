"""Definitions and initiatives by id and version, and the policies that an assignment puts in force."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from goldsmith.kernel.errors import InvalidInputError, NotFoundError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.assignment import Override, OverrideKind, PolicyAssignment
from goldsmith.policy.definition import PolicyDefinition
from goldsmith.policy.effects import check_effect, known_effect
from goldsmith.policy.initiative import DefinitionReference, PolicySetDefinition
from goldsmith.policy.parameters import effective_values
from goldsmith.policy.resolving import resolve_operand, resolve_value
from goldsmith.policy.rule import Effect
from goldsmith.policy.scope import normal_location
from goldsmith.policy.selectors import Selector, SelectorKind, Subject, all_match
from goldsmith.policy.versions import VersionPin, parse_pin, resolve

_Versioned = TypeVar("_Versioned", PolicyDefinition, PolicySetDefinition)

# Selectors compare with this place when a resource is in none of the locations that overrides name.
_ELSEWHERE = "elsewhere\0"
_NO_LOCATION = ""


class Library:
    """What assignments refer to. Ids ignore case; a further version of an id stands beside the others."""

    def __init__(
        self,
        definitions: Iterable[PolicyDefinition] = (),
        initiatives: Iterable[PolicySetDefinition] = (),
    ) -> None:
        self._definitions: dict[str, dict[str, PolicyDefinition]] = {}
        self._initiatives: dict[str, dict[str, PolicySetDefinition]] = {}
        for definition in definitions:
            self.add_definition(definition)
        for initiative in initiatives:
            self.add_initiative(initiative)

    def add_definition(self, definition: PolicyDefinition) -> None:
        """The same id and version again replaces what was there."""
        self._definitions.setdefault(_key(definition.id), {})[str(definition.version)] = definition

    def add_initiative(self, initiative: PolicySetDefinition) -> None:
        self._initiatives.setdefault(_key(initiative.id), {})[str(initiative.version)] = initiative

    def definition(self, id_: str, pin: VersionPin | None = None) -> PolicyDefinition:
        """The newest version that the pin accepts; raises NotFoundError (PolicyDefinitionNotFound)."""
        return _chosen(self._definitions.get(_key(id_), {}), id_, pin, what="policy definition")

    def initiative(self, id_: str, pin: VersionPin | None = None) -> PolicySetDefinition:
        """The newest version that the pin accepts; raises NotFoundError (PolicySetDefinitionNotFound)."""
        return _chosen(self._initiatives.get(_key(id_), {}), id_, pin, what="policy set definition")

    def definitions(self) -> tuple[PolicyDefinition, ...]:
        return tuple(each for versions in self._definitions.values() for each in versions.values())

    def initiatives(self) -> tuple[PolicySetDefinition, ...]:
        return tuple(each for versions in self._initiatives.values() for each in versions.values())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AssignedPolicy:
    """One definition in force through one assignment, with the values it runs with.

    `effect` is the effect as its own language writes it ("deny"; that of a resource-provider mode as
    written), after the overrides that hold everywhere. `elsewhere` has what differs at some locations.
    """

    assignment: PolicyAssignment
    definition: PolicyDefinition
    initiative: PolicySetDefinition | None = None
    reference_id: str | None = None
    group_names: tuple[str, ...] = ()
    parameters: Mapping[str, JsonValue]
    effect: str
    elsewhere: Mapping[str, "AssignedPolicy"] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Assignment id and reference id in lower case: one row of compliance."""
        return (_key(self.assignment.id), (self.reference_id or "").lower())

    @property
    def context(self) -> dict[str, JsonValue]:
        """What `policy()` gives in the rule."""
        return {
            "assignmentId": self.assignment.id,
            "definitionId": self.definition.id,
            "setDefinitionId": self.initiative.id if self.initiative else "",
            "definitionReferenceId": self.reference_id or "",
        }

    def at_location(self, location: str | None) -> "AssignedPolicy":
        """The policy as it is for resources there: overrides can differ by location."""
        if not self.elsewhere:
            return self
        return self.elsewhere.get(_NO_LOCATION if not location else normal_location(location), self)


def assigned_policies(assignment: PolicyAssignment, library: Library) -> tuple[AssignedPolicy, ...]:
    """One for each definition reference (one alone for an assigned definition), disabled ones included.

    Raises NotFoundError for what the library does not have, and InvalidInputError with the service's codes
    (PolicyParameterValueNotAllowed, UndefinedPolicyParameter, MissingPolicyParameter, ...) for values that
    do not fit and for overrides to an effect that the definition does not allow.
    """
    found = _at(assignment, library, _ELSEWHERE)
    locations = _override_locations(assignment.overrides)
    if not locations:
        return tuple(found.values())
    by_location = {location: _at(assignment, library, location) for location in locations}
    for policies in by_location.values():
        for key, policy in policies.items():
            # Another version of the initiative may have references that this one lacks.
            found.setdefault(key, replace(policy, effect=Effect.DISABLED))
    return tuple(
        replace(
            policy,
            elsewhere={
                location: policies.get(key) or replace(policy, effect=Effect.DISABLED)
                for location, policies in by_location.items()
            },
        )
        for key, policy in found.items()
    )


def _at(assignment: PolicyAssignment, library: Library, location: str) -> dict[str, AssignedPolicy]:
    if not assignment.assigns_initiative:
        policy = _assigned_definition(assignment, library, location)
        return {"": policy}
    overrides = [each for each in assignment.overrides if not _names_references(each.selectors)]
    pin = _version_pin(overrides, location, None) or assignment.version_pin
    initiative = library.initiative(assignment.definition_id, pin)
    values = effective_values(
        initiative.parameters,
        assignment.parameters,
        user=f"policy assignment '{assignment.name}'",
        owner=f"policy set definition '{initiative.name}'",
        at="properties.parameters",
    )
    _check_references(assignment, initiative)
    return {
        reference.reference_id.lower(): _assigned_reference(
            assignment, library, initiative, reference, values=values, location=location
        )
        for reference in initiative.references
    }


def _assigned_definition(assignment: PolicyAssignment, library: Library, location: str) -> AssignedPolicy:
    pin = _version_pin(assignment.overrides, location, None) or assignment.version_pin
    definition = library.definition(assignment.definition_id, pin)
    values = effective_values(
        definition.parameters,
        assignment.parameters,
        user=f"policy assignment '{assignment.name}'",
        owner=f"policy definition '{definition.name}'",
        at="properties.parameters",
    )
    return AssignedPolicy(
        assignment=assignment,
        definition=definition,
        parameters=values,
        effect=_effect(assignment, definition, values, location=location, reference_id=None),
    )


def _assigned_reference(
    assignment: PolicyAssignment,
    library: Library,
    initiative: PolicySetDefinition,
    reference: DefinitionReference,
    *,
    values: Mapping[str, JsonValue],
    location: str,
) -> AssignedPolicy:
    own = [each for each in assignment.overrides if _names_references(each.selectors)]
    pin = _version_pin(own, location, reference.reference_id) or reference.version_pin
    definition = library.definition(reference.definition_id, pin)
    at = f"properties.policyDefinitions['{reference.reference_id}'].parameters"
    given = {
        name: resolve_value(value, values, at=f"{at}.{name}.value")
        for name, value in reference.parameters.items()
    }
    parameters = effective_values(
        definition.parameters,
        given,
        user=f"policy set definition '{initiative.name}'",
        owner=f"policy definition '{definition.name}'",
        at=at,
    )
    return AssignedPolicy(
        assignment=assignment,
        definition=definition,
        initiative=initiative,
        reference_id=reference.reference_id,
        group_names=reference.group_names,
        parameters=parameters,
        effect=_effect(
            assignment, definition, parameters, location=location, reference_id=reference.reference_id
        ),
    )


def _effect(
    assignment: PolicyAssignment,
    definition: PolicyDefinition,
    parameters: Mapping[str, JsonValue],
    *,
    location: str,
    reference_id: str | None,
) -> str:
    effect: str | None = None
    for index, override in enumerate(assignment.overrides):
        # Applied in the order they stand in: of several that match, the last decides.
        if override.kind is OverrideKind.POLICY_EFFECT and _matches(override, location, reference_id):
            check_effect(definition, override.value, at=f"properties.overrides[{index}].value")
            effect = override.value
    return known_effect(effect if effect is not None else _written_effect(definition, parameters))


def _written_effect(definition: PolicyDefinition, parameters: Mapping[str, JsonValue]) -> str:
    at = "policyRule.then.effect"
    if definition.rule is not None:
        effect = resolve_operand(definition.rule.effect, parameters, at=at)
    else:
        then = definition.policy_rule.get("then")
        written = then.get("effect") if isinstance(then, dict) else None
        effect = resolve_value(written, parameters, at=at)
    if not isinstance(effect, str):
        # Static definitions have no rule at all.
        return "" if not definition.evaluated else str(effect)
    return effect


def _version_pin(overrides: Iterable[Override], location: str, reference_id: str | None) -> VersionPin | None:
    pin = None
    for override in overrides:
        if override.kind is OverrideKind.DEFINITION_VERSION and _matches(override, location, reference_id):
            pin = parse_pin(override.value, "properties.overrides.value")
    return pin


def _matches(override: Override, location: str, reference_id: str | None) -> bool:
    subject = Subject(
        id="", type="", location=None if location == _NO_LOCATION else location, reference_id=reference_id
    )
    return all_match(override.selectors, subject)


def _names_references(selectors: Iterable[Selector]) -> bool:
    return any(each.kind is SelectorKind.POLICY_DEFINITION_REFERENCE_ID for each in selectors)


def _override_locations(overrides: Iterable[Override]) -> set[str]:
    locations: set[str] = set()
    for override in overrides:
        for selector in override.selectors:
            if selector.kind is SelectorKind.RESOURCE_LOCATION:
                named = (*(selector.within or ()), *(selector.outside or ()))
                locations.update(normal_location(each) for each in named)
                locations.add(_NO_LOCATION)
            elif selector.kind is SelectorKind.RESOURCE_WITHOUT_LOCATION:
                locations.add(_NO_LOCATION)
    return locations


def _check_references(assignment: PolicyAssignment, initiative: PolicySetDefinition) -> None:
    known = {reference.reference_id.lower() for reference in initiative.references}
    for index, override in enumerate(assignment.overrides):
        for selector in override.selectors:
            if selector.kind is not SelectorKind.POLICY_DEFINITION_REFERENCE_ID:
                continue
            for reference_id in (*(selector.within or ()), *(selector.outside or ())):
                if reference_id.lower() not in known:
                    raise InvalidInputError(
                        f"the member 'properties.overrides[{index}].selectors' names '{reference_id}', "
                        f"which is no reference of the policy set definition '{initiative.name}'",
                        code="InvalidPolicyOverride",
                        hint="use a policyDefinitionReferenceId of the initiative",
                    )


def _chosen(versions: Mapping[str, _Versioned], id_: str, pin: VersionPin | None, *, what: str) -> _Versioned:
    code = "".join(word.capitalize() for word in what.split()) + "NotFound"
    if not versions:
        raise NotFoundError(f"the {what} '{id_}' could not be found", code=code)
    numbered = [each.version for each in versions.values() if each.version is not None]
    if not numbered:
        # A definition that nobody gave a version is the one there is.
        return next(iter(versions.values()))
    version = resolve(pin, numbered)
    if version is None:
        raise NotFoundError(
            f"the {what} '{id_}' has no version '{pin}'",
            code=code,
            hint=f"it is here in version {', '.join(str(each) for each in numbered)}",
        )
    return versions[str(version)]


def _key(id_: str) -> str:
    return id_.rstrip("/").lower()
