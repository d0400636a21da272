"""Rules about `then.details`: what each effect needs to be told."""

import re
from collections.abc import Iterator
from typing import Any

from goldsmith.policy.aliases import Modifiable
from goldsmith.policy.lint.definition import Definition, Member, calls, is_expression, member, parse, walk
from goldsmith.policy.lint.model import Fix, Found, LintRule, Replace, Severity
from goldsmith.policy.rule import Effect

_IF_NOT_EXISTS = frozenset({Effect.AUDIT_IF_NOT_EXISTS, Effect.DEPLOY_IF_NOT_EXISTS})
_DELAY = re.compile(r"PT(?=\d)(?:(\d+)H)?(?:(\d+)M)?", re.IGNORECASE)
_DELAY_WORDS = ("afterprovisioning", "afterprovisioningsuccess", "afterprovisioningfailure")
_DELAY_MINUTES_MAX = 360
_GUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ROLE = re.compile(
    rf"(/subscriptions/[^/]+)?/providers/Microsoft\.Authorization/roleDefinitions/{_GUID}", re.IGNORECASE
)
_PRIVILEGED = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": "User Access Administrator",
    "f58310d9-a9f6-439a-9e8d-f62e7b41a168": "Role Based Access Control Administrator",
}
_OPERATIONS = ("addorreplace", "add", "remove")
_NOT_IN_MODIFY = ("field", "resourcegroup", "subscription")
_PLAIN_MODIFIABLE = ("tags", "identity.type", "location")


def details_without_type(definition: Definition) -> Iterator[Found]:
    if _concerns(definition, _IF_NOT_EXISTS) and definition.detail("type") is None:
        assert definition.details is not None
        yield Found(definition.details.path, "details does not say of which type the related resource is")


def without_existence(definition: Definition) -> Iterator[Found]:
    if _concerns(definition, _IF_NOT_EXISTS) and definition.detail("existenceCondition") is None:
        assert definition.details is not None
        kind = definition.detail("type")
        wanted = f"any {kind.value}" if kind else "any related resource"
        yield Found(definition.details.path, f"{wanted} satisfies the policy, whatever its settings")


def without_roles(definition: Definition) -> Iterator[Found]:
    needing = {Effect.MODIFY, Effect.DEPLOY_IF_NOT_EXISTS} & definition.effects
    if needing and _concerns(definition, needing):
        found = definition.detail("roleDefinitionIds")
        if found is None or found.value == []:
            assert definition.details is not None
            place = found.path if found else definition.details.path
            yield Found(place, f"{min(needing).value} has no role to act with")


def malformed_role(definition: Definition) -> Iterator[Found]:
    for path, value in _roles(definition):
        if not is_expression(value) and not (isinstance(value, str) and _ROLE.fullmatch(value)):
            yield Found(path, f"'{value}' is no id of a role definition")


def privileged_role(definition: Definition) -> Iterator[Found]:
    for path, value in _roles(definition):
        name = _PRIVILEGED.get(value.rpartition("/")[2].lower()) if isinstance(value, str) else None
        if name is not None:
            yield Found(path, f"the assignment's identity becomes {name}")


def without_deployment(definition: Definition) -> Iterator[Found]:
    if _concerns(definition, {Effect.DEPLOY_IF_NOT_EXISTS}):
        deployment = definition.detail("deployment")
        properties = member(deployment.value, "properties") if _is_object(deployment) and deployment else None
        template = member(properties.value, "template") if _is_object(properties) and properties else None
        if template is None and definition.details is not None:
            yield Found(definition.details.path, "deployIfNotExists has no deployment.properties.template")


def undelivered_parameter(definition: Definition) -> Iterator[Found]:
    """A parameter of the deployment's template without a default that the policy does not pass."""
    deployment = definition.detail("deployment")
    properties = (
        member(deployment.value, "properties", deployment.path)
        if deployment and _is_object(deployment)
        else None
    )
    if properties is None or not isinstance(properties.value, dict):
        return
    template = member(properties.value, "template", properties.path)
    declared = (
        member(template.value, "parameters", template.path) if template and _is_object(template) else None
    )
    given = member(properties.value, "parameters", properties.path)
    passed = {key.lower() for key in given.value} if given and isinstance(given.value, dict) else set()
    for name, body in declared.value.items() if declared and isinstance(declared.value, dict) else ():
        assert declared is not None
        if name.lower() not in passed and isinstance(body, dict) and member(body, "defaultValue") is None:
            yield Found((*declared.path, name), f"the template's parameter '{name}' gets no value")
    known = (
        {key.lower() for key in declared.value} if declared and isinstance(declared.value, dict) else set()
    )
    for name in given.value if given and isinstance(given.value, dict) and template else ():
        assert given is not None
        if name.lower() not in known:
            yield Found((*given.path, name), f"the template has no parameter '{name}'")


def evaluation_delay(definition: Definition) -> Iterator[Found]:
    found = definition.detail("evaluationDelay")
    if found is None or is_expression(found.value):
        return
    text = found.value if isinstance(found.value, str) else ""
    duration = _DELAY.fullmatch(text)
    if text.lower() in _DELAY_WORDS:
        return
    if duration is None:
        yield Found(found.path, f"'{found.value}' is neither AfterProvisioning nor a duration such as PT30M")
    elif int(duration[1] or 0) * 60 + int(duration[2] or 0) > _DELAY_MINUTES_MAX:
        yield Found(found.path, f"'{text}' is longer than {_DELAY_MINUTES_MAX} minutes")


def scopes(definition: Definition) -> Iterator[Found]:
    for name in ("existenceScope", "deploymentScope"):
        found = definition.detail(name)
        known = found is None or str(found.value).lower() in ("resourcegroup", "subscription")
        if found and not known and not is_expression(found.value):
            yield Found(found.path, f"{name} is ResourceGroup or Subscription, got '{found.value}'")


def group_and_scope(definition: Definition) -> Iterator[Found]:
    group, scope = definition.detail("resourceGroupName"), definition.detail("existenceScope")
    if group and scope and str(scope.value).lower() == "subscription":
        yield Found(
            group.path, "existenceScope Subscription looks everywhere, not only in this resource group"
        )


def action_names(definition: Definition) -> Iterator[Found]:
    if not _concerns(definition, {Effect.DENY_ACTION, Effect.AUDIT_ACTION}):
        return
    found = definition.detail("actionNames")
    if found is None or found.value == []:
        assert definition.details is not None
        yield Found(definition.details.path, "no action is named that would be denied")
    elif isinstance(found.value, list):
        for number, value in enumerate(found.value):
            if (
                Effect.DENY_ACTION in definition.effects
                and not is_expression(value)
                and str(value).lower() != "delete"
            ):
                yield Found((*found.path, number), f"denyAction knows the action delete only, got '{value}'")


def cascade(definition: Definition) -> Iterator[Found]:
    found = definition.detail("cascadeBehaviors")
    group = member(found.value, "resourceGroup", found.path) if found and _is_object(found) else None
    if found and definition.mode != "indexed":
        yield Found(found.path, "cascadeBehaviors is read in mode Indexed only")
    elif group and not is_expression(group.value) and str(group.value).lower() not in ("allow", "deny"):
        yield Found(group.path, f"cascadeBehaviors.resourceGroup is allow or deny, got '{group.value}'")


def append_details(definition: Definition) -> Iterator[Found]:
    if definition.effects & {Effect.APPEND} and definition.details is not None:
        if not isinstance(definition.details.value, list):
            fix = Fix("Put it in a list.", (Replace(definition.details.path, [definition.details.value]),))
            yield Found(definition.details.path, "details of append is a list of field and value", fix)
        else:
            for number, one in enumerate(definition.details.value):
                if not isinstance(one, dict) or member(one, "field") is None or member(one, "value") is None:
                    yield Found((*definition.details.path, number), "expected an object with field and value")


def append_replaceable(definition: Definition) -> Iterator[Found]:
    if Effect.APPEND not in definition.effects or definition.details is None:
        return
    listed = definition.details.value if isinstance(definition.details.value, list) else []
    for number, one in enumerate(listed):
        name = member(one, "field") if isinstance(one, dict) else None
        if name and str(name.value).lower().startswith("tags"):
            place = (*definition.details.path, number)
            yield Found(place, "append fails a request that has another value")


def operations(definition: Definition) -> Iterator[Found]:
    if not _concerns(definition, {Effect.MODIFY}):
        return
    found = definition.detail("operations")
    if found is None or not isinstance(found.value, list) or not found.value:
        assert definition.details is not None
        yield Found(definition.details.path, "modify has no operations")
        return
    for path, operation in _operations(definition):
        name = member(operation, "operation", path)
        low = str(name.value).lower() if name else ""
        value = member(operation, "value", path)
        if low not in _OPERATIONS:
            yield Found(
                name.path if name else path, f"an operation is addOrReplace, add or remove, got '{low}'"
            )
        elif member(operation, "field") is None:
            yield Found(path, f"{low} does not say on which field")
        elif low == "remove" and value is not None:
            yield Found(value.path, "remove takes no value")
        elif low != "remove" and value is None:
            yield Found(path, f"{low} has no value")


def not_modifiable(definition: Definition) -> Iterator[Found]:
    for path, operation in _operations(definition):
        found = member(operation, "field", path)
        name = found.value if found and isinstance(found.value, str) else ""
        if not found or is_expression(name) or not name:
            continue
        low = name.lower()
        if "/" not in low:
            if not low.startswith(("tags.", "tags[")) and low not in _PLAIN_MODIFIABLE:
                yield Found(
                    found.path, f"'{name}' cannot be modified, only tags, identity.type and aliases can"
                )
            continue
        entries = [definition.aliases.resolve(kind, name) for kind in definition.aliases.types_with(name)]
        known = [entry for entry in entries if entry is not None]
        if known and all(entry.modifiable is Modifiable.NO for entry in known):
            yield Found(found.path, f"'{name}' is not modifiable in the newest API version")


def modify_condition(definition: Definition) -> Iterator[Found]:
    for path, operation in _operations(definition):
        found = member(operation, "condition", path)
        tree = parse(found.value) if found else None
        for call in calls(tree) if tree is not None else ():
            if call.name in _NOT_IN_MODIFY:
                assert found is not None
                yield Found(found.path, f"{call.name}() cannot be used in the condition of an operation")


def conflict_effect(definition: Definition) -> Iterator[Found]:
    found = definition.detail("conflictEffect")
    if (
        found
        and not is_expression(found.value)
        and str(found.value).lower() not in ("audit", "deny", "disabled")
    ):
        yield Found(found.path, f"conflictEffect is audit, deny or disabled, got '{found.value}'")


def default_state(definition: Definition) -> Iterator[Found]:
    found = definition.detail("defaultState")
    states = ("compliant", "noncompliant", "unknown")
    if found and not is_expression(found.value) and str(found.value).lower() not in states:
        yield Found(found.path, f"defaultState is Compliant, NonCompliant or Unknown, got '{found.value}'")


def field_in_deployment(definition: Definition) -> Iterator[Found]:
    """`field()` in a template that is handed on is evaluated before the template, everywhere in it."""
    deployment = definition.detail("deployment")
    for path, value in walk(deployment.value, deployment.path) if deployment else ():
        below = (
            [str(step).lower() for step in path[len(definition.details.path) :]] if definition.details else []
        )
        if below[:3] == ["deployment", "properties", "template"] and is_expression(value):
            tree = parse(value)
            if tree is not None and any(call.name == "field" for call in calls(tree)):
                yield Found(path, "field() in the template; pass the value as a parameter of the deployment")
                return


def _concerns(definition: Definition, effects: Any) -> bool:
    """Whether one of the effects may be the definition's, which has details that are an object."""
    return bool(definition.effects & effects) and _is_object(definition.details)


def _is_object(found: Member | None) -> bool:
    return found is not None and isinstance(found.value, dict)


def _roles(definition: Definition) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    found = definition.detail("roleDefinitionIds")
    for number, value in enumerate(found.value if found and isinstance(found.value, list) else ()):
        assert found is not None
        yield (*found.path, number), value


def _operations(definition: Definition) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    found = definition.detail("operations")
    for number, value in enumerate(found.value if found and isinstance(found.value, list) else ()):
        assert found is not None
        if isinstance(value, dict):
            yield (*found.path, number), value


RULES = (
    LintRule(
        id="details-without-type",
        title="No type for the related resource",
        severity=Severity.ERROR,
        explanation="auditIfNotExists and deployIfNotExists look for a resource of details.type.",
        hint="add details.type",
        check=details_without_type,
    ),
    LintRule(
        id="without-existence-condition",
        title="No existence condition",
        severity=Severity.NOTE,
        explanation="Without existenceCondition any related resource of the type satisfies the policy.",
        hint="add details.existenceCondition, unless being there is enough",
        check=without_existence,
    ),
    LintRule(
        id="without-role",
        title="No role to act with",
        severity=Severity.ERROR,
        explanation="modify and deployIfNotExists act with the identity of the assignment, which is given "
        "the roles in "
        "details.roleDefinitionIds. Without one nothing can be remediated.",
        hint="add the id of the smallest role that can do it to details.roleDefinitionIds",
        check=without_roles,
        official=("role-definition-ids-expected-roles",),
    ),
    LintRule(
        id="malformed-role",
        title="A role that is no id",
        severity=Severity.ERROR,
        explanation="A role is given as /providers/Microsoft.Authorization/roleDefinitions/ and a GUID.",
        hint="write the whole id of the role definition",
        check=malformed_role,
    ),
    LintRule(
        id="privileged-role",
        title="A role that can give roles",
        severity=Severity.WARNING,
        explanation="The identity of every assignment of this policy could then give itself, or anyone, "
        "any right.",
        hint="name the smallest role that can do what the policy does",
        check=privileged_role,
        official=("role-definition-ids-no-privileged-roles",),
    ),
    LintRule(
        id="without-deployment",
        title="Nothing to deploy",
        severity=Severity.ERROR,
        explanation="deployIfNotExists deploys details.deployment.properties.template.",
        hint="add the deployment, or use auditIfNotExists",
        check=without_deployment,
    ),
    LintRule(
        id="deployment-parameters",
        title="Parameters of the deployment that do not fit its template",
        severity=Severity.ERROR,
        explanation="The deployment fails at run time when a parameter without a default gets no value, or "
        "a value is "
        "given to one that is not declared.",
        hint="make deployment.properties.parameters fit the template's parameters",
        check=undelivered_parameter,
    ),
    LintRule(
        id="evaluation-delay",
        title="An evaluation delay that is none",
        severity=Severity.ERROR,
        explanation="evaluationDelay is AfterProvisioning, AfterProvisioningSuccess, "
        "AfterProvisioningFailure, or a "
        f"duration of at most {_DELAY_MINUTES_MAX} minutes.",
        hint="write AfterProvisioning, or a duration such as PT30M",
        check=evaluation_delay,
    ),
    LintRule(
        id="details-scope",
        title="A scope that does not exist",
        severity=Severity.ERROR,
        explanation="existenceScope and deploymentScope are ResourceGroup or Subscription.",
        hint="write ResourceGroup or Subscription",
        check=scopes,
    ),
    LintRule(
        id="group-and-subscription",
        title="A resource group together with scope Subscription",
        severity=Severity.WARNING,
        explanation="resourceGroupName narrows the search to one group, existenceScope Subscription widens "
        "it.",
        hint="leave one of them out",
        check=group_and_scope,
    ),
    LintRule(
        id="action-names",
        title="denyAction without its actions",
        severity=Severity.ERROR,
        explanation="details.actionNames lists what is denied; the one action there is is delete.",
        hint="write actionNames: [delete]",
        check=action_names,
    ),
    LintRule(
        id="cascade-behaviors",
        title="cascadeBehaviors that nobody reads",
        severity=Severity.WARNING,
        explanation="What happens when the resource group is deleted can be chosen in mode Indexed, as "
        "allow or deny.",
        hint="use mode Indexed with allow or deny, or leave it out",
        check=cascade,
    ),
    LintRule(
        id="append-details",
        title="Details that append cannot use",
        severity=Severity.ERROR,
        explanation="append takes a list of objects with field and value.",
        hint="write details as a list",
        check=append_details,
    ),
    LintRule(
        id="append-to-tags",
        title="append on tags",
        severity=Severity.NOTE,
        explanation="append denies a request whose tag has another value, and cannot remediate what exists.",
        hint="use modify",
        check=append_replaceable,
    ),
    LintRule(
        id="modify-operations",
        title="Operations that modify cannot carry out",
        severity=Severity.ERROR,
        explanation="An operation is addOrReplace or add with field and value, or remove with field.",
        hint="complete the operation",
        check=operations,
    ),
    LintRule(
        id="not-modifiable",
        title="A field that modify cannot write",
        severity=Severity.ERROR,
        explanation="modify writes tags, identity.type and aliases that the provider has marked as "
        "modifiable; on "
        "others the request falls to conflictEffect.",
        hint="choose a modifiable alias, or use deployIfNotExists",
        check=not_modifiable,
        official=("read-only-field-alias",),
    ),
    LintRule(
        id="modify-condition",
        title="A function that the condition of an operation cannot use",
        severity=Severity.ERROR,
        explanation="The condition of an operation may not use field(), resourceGroup() or subscription().",
        hint="use requestContext() or parameters(), or put the test into if",
        check=modify_condition,
    ),
    LintRule(
        id="conflict-effect",
        title="A conflict effect that does not exist",
        severity=Severity.ERROR,
        explanation="conflictEffect is audit, deny or disabled.",
        hint="write audit, deny or disabled",
        check=conflict_effect,
    ),
    LintRule(
        id="default-state",
        title="A default state that does not exist",
        severity=Severity.ERROR,
        explanation="defaultState of manual is Compliant, NonCompliant or Unknown.",
        hint="write one of the three",
        check=default_state,
    ),
    LintRule(
        id="field-in-template",
        title="field() in the template of a deployment",
        severity=Severity.NOTE,
        explanation="field() is evaluated by the policy before the template is deployed. That works, but "
        "the template "
        "can then not be tested by itself.",
        hint="pass the value with deployment.properties.parameters",
        check=field_in_deployment,
    ),
)
