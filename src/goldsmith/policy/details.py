"""The details of each effect, read from `then.details` with parameters put in.

Specification: the Azure Policy effect pages: append, modify, denyAction, manual, the two -IfNotExists.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.members import Members
from goldsmith.policy.reader import read_operand
from goldsmith.policy.resolving import resolve_value
from goldsmith.policy.rule import Computed, Constant, Operand

_DELAY_DEFAULT = timedelta(minutes=10)
_DELAY_LONGEST = timedelta(minutes=360)
_DURATION = re.compile(
    r"P(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6}(?:\.\d{1,9})?)S)?)?", re.I
)
_AT = "policyRule.then.details"
_CODE = "InvalidPolicyRule"


class After(StrEnum):
    """Delays that wait for the outcome of the request's provisioning."""

    PROVISIONING = "AfterProvisioning"
    PROVISIONING_SUCCESS = "AfterProvisioningSuccess"
    PROVISIONING_FAILURE = "AfterProvisioningFailure"


class ConflictEffect(StrEnum):
    AUDIT = "audit"
    DENY = "deny"
    DISABLED = "disabled"


class OperationKind(StrEnum):
    ADD = "add"
    ADD_OR_REPLACE = "addOrReplace"
    REMOVE = "remove"


class CascadeBehavior(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


class DefaultState(StrEnum):
    COMPLIANT = "Compliant"
    NON_COMPLIANT = "NonCompliant"
    UNKNOWN = "Unknown"


class DeploymentScope(StrEnum):
    RESOURCE_GROUP = "ResourceGroup"
    SUBSCRIPTION = "Subscription"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationDelay:
    """When existence is looked at after a request: `after` an outcome, else that long after its success."""

    after: After | None = None
    duration: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One change of a modify policy, or one pair of an append policy (as ADD that makes missing parents)."""

    kind: OperationKind
    field: Constant | Computed
    value: Operand | None
    condition: Operand | None
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeDetails:
    """Of modify and append; append denies where it conflicts."""

    operations: tuple[Operation, ...]
    conflict_effect: ConflictEffect
    makes_parents: bool
    role_definition_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentDetails:
    """The template as written (its functions are the template's own); only `parameters` are the policy's."""

    role_definition_ids: tuple[str, ...]
    scope: DeploymentScope
    location: str | None
    mode: str
    template: JsonObject
    parameters: Mapping[str, Operand]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistenceDetails:
    """`deployment` only of deployIfNotExists."""

    evaluation_delay: EvaluationDelay
    deployment: DeploymentDetails | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionDetails:
    action_names: tuple[str, ...]
    on_group_deletion: CascadeBehavior


def read_changes(
    details: JsonValue, parameters: Mapping[str, JsonValue], *, append: bool, at: str = _AT
) -> ChangeDetails:
    """The details of modify, or with `append` of append; raises InvalidInputError naming the JSON path."""
    if append:
        pairs = Members({"details": details}, model="append").objects("details", "append")
        if not pairs:
            raise _bad(at, "is missing, expected a list of field and value")
        return ChangeDetails(
            operations=tuple(
                _operation(each, kind=OperationKind.ADD, at=f"{at}[{index}]")
                for index, each in enumerate(pairs)
            ),
            conflict_effect=ConflictEffect.DENY,
            makes_parents=True,
        )
    members = _members(details, parameters, at)
    operations = members.objects("operations", "operation")
    if not operations:
        raise _bad(f"{at}.operations", "is missing, expected one operation at least")
    return ChangeDetails(
        operations=tuple(
            _operation(each, kind=None, at=f"{at}.operations[{index}]")
            for index, each in enumerate(operations)
        ),
        conflict_effect=members.choice("conflictEffect", ConflictEffect) or ConflictEffect.DENY,
        makes_parents=False,
        role_definition_ids=_roles(members, at),
    )


def read_existence(
    details: JsonValue, parameters: Mapping[str, JsonValue], *, deploys: bool, at: str = _AT
) -> ExistenceDetails:
    """The details of auditIfNotExists, or with `deploys` of deployIfNotExists; raises InvalidInputError."""
    members = _members(details, parameters, at)
    if not members.text("type"):
        raise _bad(f"{at}.type", "is missing, expected the type of the related resource")
    return ExistenceDetails(
        evaluation_delay=parse_delay(members.text("evaluationDelay"), at=f"{at}.evaluationDelay"),
        deployment=_deployment(members, at) if deploys else None,
    )


def read_actions(details: JsonValue, parameters: Mapping[str, JsonValue], *, at: str = _AT) -> ActionDetails:
    """The details of denyAction and auditAction; raises InvalidInputError."""
    members = _members(details, parameters, at)
    names = members.texts("actionNames")
    if not names:
        raise _bad(f"{at}.actionNames", "is missing, expected ['delete']")
    for index, name in enumerate(names):
        if name.lower() != "delete":
            raise _bad(
                f"{at}.actionNames[{index}]", f"is '{name}', expected 'delete', the one action there is"
            )
    cascade = members.object("cascadeBehaviors", "cascadeBehaviors")
    chosen = None if cascade is None else cascade.choice("resourceGroup", CascadeBehavior)
    return ActionDetails(
        action_names=tuple(name.lower() for name in names), on_group_deletion=chosen or CascadeBehavior.DENY
    )


def read_default_state(
    details: JsonValue, parameters: Mapping[str, JsonValue], *, at: str = _AT
) -> DefaultState:
    """The default state of a manual policy: Unknown unless it says otherwise."""
    members = _members(details if details is not None else {}, parameters, at)
    text = members.text("defaultState")
    if text is not None and text.lower() == "non-compliant":
        return DefaultState.NON_COMPLIANT
    return members.choice("defaultState", DefaultState) or DefaultState.UNKNOWN


def parse_delay(text: str | None, *, at: str) -> EvaluationDelay:
    """`AfterProvisioning...` or an ISO 8601 duration of 0 to 360 minutes; absent means PT10M."""
    if text is None:
        return EvaluationDelay(duration=_DELAY_DEFAULT)
    for after in After:
        if text.lower() == after.lower():
            return EvaluationDelay(after=after)
    match = _DURATION.fullmatch(text)
    if match is None or text.upper() in ("P", "PT") or text.upper().endswith("T"):
        raise _bad(at, f"is '{text}', expected {', '.join(After)} or a duration such as PT10M")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if duration > _DELAY_LONGEST:
        raise _bad(at, f"is '{text}', expected 360 minutes at most")
    return EvaluationDelay(duration=duration)


def _members(details: JsonValue, parameters: Mapping[str, JsonValue], at: str) -> Members:
    """The details with parameters put in where they are plain texts; a template is left as it is."""
    if not isinstance(details, dict):
        raise _bad(at, "is missing, expected an object")
    resolved = {
        name: resolve_value(value, parameters, at=f"{at}.{name}")
        if isinstance(value, str) and name.lower() in _RESOLVED
        else value
        for name, value in details.items()
    }
    return Members(resolved, at, model="details")


_RESOLVED = frozenset({"evaluationdelay", "conflicteffect", "deploymentscope", "defaultstate", "actionnames"})


def _operation(members: Members, *, kind: OperationKind | None, at: str) -> Operation:
    kind = kind or members.choice("operation", OperationKind)
    if kind is None:
        raise _bad(f"{at}.operation", f"is missing, expected one of {', '.join(OperationKind)}")
    field = read_operand(members.needed_text("field"), at=f"{at}.field")
    if not isinstance(field, Constant | Computed):
        raise _bad(f"{at}.field", "is no field name")
    if kind is OperationKind.REMOVE:
        if isinstance(field, Constant) and not str(field.value).lower().startswith("tags"):
            raise _bad(f"{at}.field", f"is '{field.value}', expected a tag: nothing else can be removed")
    elif not members.has("value"):
        raise _bad(f"{at}.value", f"is missing, expected the value to {kind}")
    condition = members.any("condition")
    return Operation(
        kind=kind,
        field=field,
        value=read_operand(members.any("value"), at=f"{at}.value") if members.has("value") else None,
        condition=None if condition is None else read_operand(condition, at=f"{at}.condition"),
        at=at,
    )


def _deployment(members: Members, at: str) -> DeploymentDetails:
    deployment = members.object("deployment", "deployment")
    properties = None if deployment is None else deployment.object("properties", "deployment properties")
    if deployment is None or properties is None:
        raise _bad(f"{at}.deployment", "is missing, expected the deployment to run")
    scope = members.choice("deploymentScope", DeploymentScope) or DeploymentScope.RESOURCE_GROUP
    location = deployment.text("location")
    if scope is DeploymentScope.SUBSCRIPTION and location is None:
        raise _bad(f"{at}.deployment.location", "is missing, expected one for a deployment to a subscription")
    parameters = {}
    for name, each in properties.named("parameters", "parameter"):
        if each.has("value"):
            parameters[name] = read_operand(
                each.any("value"), at=f"{at}.deployment.properties.parameters.{name}.value"
            )
    return DeploymentDetails(
        role_definition_ids=_roles(members, at),
        scope=scope,
        location=location,
        mode=properties.text("mode") or "Incremental",
        template=properties.mapping("template"),
        parameters=parameters,
    )


def _roles(members: Members, at: str) -> tuple[str, ...]:
    roles = members.texts("roleDefinitionIds")
    if not roles:
        raise _bad(f"{at}.roleDefinitionIds", "is missing, expected the roles that remediation needs")
    return roles


def _bad(at: str, problem: str) -> InvalidInputError:
    return InvalidInputError(f"the member '{at}' {problem}", code=_CODE)
