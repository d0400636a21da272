"""What is checked when a policy object is written, beyond the shape of its JSON.

Specification: the definition, initiative, assignment, exemption and enrollment structures of Azure Policy.
"""

import re
from collections.abc import Iterable, Iterator

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.aliases import AliasTable, Modifiable
from goldsmith.policy.assignment import EnforcementMode, PolicyAssignment
from goldsmith.policy.definition import Absent, PolicyDefinition
from goldsmith.policy.details import read_actions, read_changes, read_default_state, read_existence
from goldsmith.policy.effects import effects_of, known_effect
from goldsmith.policy.enrollment import PolicyEnrollment
from goldsmith.policy.exemption import AssignmentScopeValidation, PolicyExemption
from goldsmith.policy.initiative import PolicySetDefinition
from goldsmith.policy.library import AssignedPolicy, Library, assigned_policies
from goldsmith.policy.paths import FieldKind, parse_field
from goldsmith.policy.resolving import resolve_operand
from goldsmith.policy.rule import Computed, Constant, Effect
from goldsmith.policy.scope import covers

_PARAMETER = re.compile(r"parameters\(\s*'([^']+)'\s*\)", re.IGNORECASE)
_NEEDS_IDENTITY = (Effect.MODIFY, Effect.DEPLOY_IF_NOT_EXISTS)


def check_definition(definition: PolicyDefinition, aliases: AliasTable | None = None) -> None:
    """Raises InvalidInputError for what the service refuses when a definition is created.

    Parameters that are used and not declared (InvalidPolicyParameters) or declared and not used
    (UnusedPolicyParameters), details that do not suffice for an effect that the definition can have
    (InvalidPolicyRule), and with `aliases` modify operations on aliases that no type lets be modified.
    """
    rule = definition.rule
    if rule is None:
        return
    _check_parameters(definition)
    values = {
        name: each.default
        for name, each in definition.parameters.items()
        if not isinstance(each.default, Absent)
    }
    if isinstance(rule.effect, Computed) and not _constrained(definition):
        # An effect that may be any says nothing about what the details must have.
        effects: Iterable[str] = ()
    else:
        effects = (rule_effect(definition),) if isinstance(rule.effect, Constant) else effects_of(definition)
    complete = values.keys() >= definition.parameters.keys()
    for effect in {known_effect(each) for each in effects}:
        if complete or isinstance(rule.effect, Constant):
            _check_details(definition, effect, values)
    if aliases is not None and Effect.MODIFY in {known_effect(each) for each in effects}:
        _check_modifiable(definition, aliases, values)


def rule_effect(definition: PolicyDefinition) -> str:
    """The effect of a definition whose effect is fixed, as the language spells it; else an empty text."""
    rule = definition.rule
    if rule is None or not isinstance(rule.effect, Constant):
        return ""
    return known_effect(str(rule.effect.value))


def check_initiative(initiative: PolicySetDefinition, library: Library) -> None:
    """Raises NotFoundError for definitions that are not here, and InvalidInputError for their parameters.

    Values are checked when the initiative is assigned: until then they may be expressions.
    """
    for reference in initiative.references:
        definition = library.definition(reference.definition_id, reference.version_pin)
        given = {name.lower() for name in reference.parameters}
        declared = {name.lower(): name for name in definition.parameters}
        undefined = [name for name in reference.parameters if name.lower() not in declared]
        if undefined:
            raise InvalidInputError(
                f"The policy set definition '{initiative.name}' is attempting to assign the parameter(s) "
                f"'{', '.join(undefined)}' which are not defined in the policy definition "
                f"'{definition.name}'.",
                code="UndefinedPolicyParameter",
                hint=f"the definition has: {', '.join(declared.values()) or 'no parameters'}",
            )
        missing = [
            name
            for name, each in definition.parameters.items()
            if each.default is Absent.ABSENT and name.lower() not in given
        ]
        if missing:
            raise InvalidInputError(
                f"The policy set definition '{initiative.name}' is missing the parameter(s) "
                f"'{', '.join(missing)}' as defined in the policy definition '{definition.name}'.",
                code="MissingPolicyParameter",
                hint=f"give them under the reference '{reference.reference_id}'",
            )


def check_assignment(assignment: PolicyAssignment, library: Library) -> tuple[AssignedPolicy, ...]:
    """The policies it puts in force, checked; raises as `assigned_policies`.

    Also when a policy could change resources and the assignment has no identity, or no place for it.
    """
    policies = assigned_policies(assignment, library)
    identity = str((assignment.identity or {}).get("type", "None")).lower()
    acting = next((each for each in policies if each.effect in _NEEDS_IDENTITY), None)
    if acting is not None and identity == "none":
        raise InvalidInputError(
            f"the policy definition '{acting.definition.name}' in assignment '{assignment.name}' has the "
            f"effect {acting.effect}, which needs a managed identity",
            code="ResourceIdentityRequired",
            hint="give the assignment an identity and a location",
        )
    if identity != "none" and not assignment.location:
        raise InvalidInputError(
            f"the assignment '{assignment.name}' has an identity and no location, expected both",
            code="LocationRequired",
            hint="give the assignment a location; it is where the identity lives",
        )
    return policies


def check_exemption(
    each: PolicyExemption | PolicyEnrollment,
    assignment: PolicyAssignment,
    *,
    reference_ids: Iterable[str],
    management_groups: Iterable[str] = (),
) -> None:
    """Raises InvalidInputError for an exemption or enrollment that its assignment has no use for.

    `reference_ids` are those of the assigned initiative, `management_groups` the ids above the exempt scope.
    """
    kind = "enrollment" if isinstance(each, PolicyEnrollment) else "exemption"
    if isinstance(each, PolicyEnrollment) and assignment.enforcement_mode is not EnforcementMode.ENROLL:
        raise InvalidInputError(
            f"the assignment '{assignment.name}' has enforcement mode {assignment.enforcement_mode}, "
            "expected Enroll",
            code="InvalidPolicyEnrollment",
            hint="set enforcementMode of the assignment to Enroll",
        )
    validates = each.scope_validation is AssignmentScopeValidation.DEFAULT
    if validates and not covers(assignment.scope, each.scope, management_groups):
        raise InvalidInputError(
            f"the {kind} '{each.name}' stands on '{each.scope}', which is not under the scope "
            f"'{assignment.scope}' of its assignment",
            code=f"InvalidPolicy{kind.capitalize()}",
            hint="put it under the scope, or set assignmentScopeValidation to DoNotValidate",
        )
    known = {reference.lower() for reference in reference_ids}
    unknown = [reference for reference in each.reference_ids if reference.lower() not in known]
    if unknown:
        raise InvalidInputError(
            f"the {kind} '{each.name}' names the reference '{unknown[0]}', which its assignment lacks",
            code=f"InvalidPolicy{kind.capitalize()}",
            hint="use a policyDefinitionReferenceId of the assigned initiative",
        )


def _check_parameters(definition: PolicyDefinition) -> None:
    used = {name.lower(): name for name in _parameters_in(definition.policy_rule, ())}
    declared = {name.lower(): name for name in definition.parameters}
    undefined = [name for lower, name in used.items() if lower not in declared]
    if undefined:
        raise InvalidInputError(
            f"The policy '{definition.name}' has undefined parameter '{undefined[0]}' which is used in the "
            "policy rule. Please either define it in policy definition or remove the reference in policy "
            "rule.",
            code="InvalidPolicyParameters",
        )
    unused = [name for lower, name in declared.items() if lower not in used]
    if unused:
        raise InvalidInputError(
            f"The policy '{definition.name}' has defined parameters '{', '.join(unused)}' which are not used "
            "in the policy rule. Please either remove these parameters from the definition or ensure that "
            "they are used in the policy rule.",
            code="UnusedPolicyParameters",
        )


def _parameters_in(value: JsonValue, path: tuple[str, ...]) -> Iterator[str]:
    """Names given to parameters(); what is inside a deployment's template means the template's own."""
    if path[-1:] == ("template",) and "deployment" in path:
        return
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _parameters_in(member, (*path, key.lower()))
    elif isinstance(value, list):
        for member in value:
            yield from _parameters_in(member, path)
    elif isinstance(value, str) and value.startswith("[") and not value.startswith("[["):
        yield from _PARAMETER.findall(value)


def _constrained(definition: PolicyDefinition) -> bool:
    return set(effects_of(definition)) != {str(each) for each in Effect}


def _check_details(definition: PolicyDefinition, effect: str, values: dict[str, JsonValue]) -> None:
    rule = definition.rule
    assert rule is not None, "only definitions with a rule of ours are checked"
    match effect:
        case Effect.MODIFY | Effect.APPEND:
            read_changes(rule.details, values, append=effect == Effect.APPEND)
        case Effect.AUDIT_IF_NOT_EXISTS | Effect.DEPLOY_IF_NOT_EXISTS:
            read_existence(rule.details, values, deploys=effect == Effect.DEPLOY_IF_NOT_EXISTS)
        case Effect.DENY_ACTION | Effect.AUDIT_ACTION:
            read_actions(rule.details, values)
            cascades = isinstance(rule.details, dict) and any(
                key.lower() == "cascadebehaviors" for key in rule.details
            )
            if cascades and not definition.indexed:
                raise InvalidInputError(
                    f"the member 'policyRule.then.details.cascadeBehaviors' is given in mode "
                    f"'{definition.mode}', expected mode 'Indexed'",
                    code="InvalidPolicyRule",
                )
        case Effect.MANUAL:
            read_default_state(rule.details, values)
        case _:
            pass


def _check_modifiable(
    definition: PolicyDefinition, aliases: AliasTable, values: dict[str, JsonValue]
) -> None:
    rule = definition.rule
    assert rule is not None, "only definitions with a rule of ours are checked"
    for operation in read_changes(rule.details, values, append=False).operations:
        if isinstance(operation.field, Constant):
            name = str(operation.field.value)
        else:
            try:
                name = str(resolve_operand(operation.field, values, at=f"{operation.at}.field"))
            except InvalidInputError:
                # Which field it is depends on values that only an assignment gives.
                continue
        if parse_field(name).kind is not FieldKind.ALIAS:
            continue
        known = [aliases.resolve(type_, name) for type_ in aliases.types_with(name)]
        if known and all(each is not None and each.modifiable is Modifiable.NO for each in known):
            raise InvalidInputError(
                f"the member '{operation.at}.field' is the alias '{name}', which cannot be modified",
                code="InvalidPolicyRule",
                hint="use the effect audit or deny, or an alias that is modifiable",
            )
