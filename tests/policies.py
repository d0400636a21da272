"""Definitions, assignments and resources for tests of the policy room, with little to write."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from goldsmith.policy.aliases import AliasPath, AliasTable, Modifiable
from goldsmith.policy.assignment import PolicyAssignment
from goldsmith.policy.definition import PolicyDefinition
from goldsmith.policy.library import AssignedPolicy, Library, assigned_policies
from goldsmith.policy.prepared import Compiler
from goldsmith.policy.target import Target, target_of
from goldsmith.policy.wire.assignment import parse_assignment
from goldsmith.policy.wire.definition import parse_definition
from goldsmith.policy.wire.initiative import parse_initiative

SUBSCRIPTION = "/subscriptions/s-1"
GROUP = f"{SUBSCRIPTION}/resourceGroups/g"
AUTHORIZATION = "/providers/Microsoft.Authorization"
VM_TYPE = "Microsoft.Compute/virtualMachines"
STORAGE_TYPE = "Microsoft.Storage/storageAccounts"
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
ROLE = f"{AUTHORIZATION}/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c"


def alias(
    name: str, path: str, *, modifiable: Modifiable = Modifiable.YES, token_type: str | None = None
) -> AliasPath:
    return AliasPath(name=name, path=path, modifiable=modifiable, token_type=token_type)


_VM_ALIASES = [
    alias("Microsoft.Compute/imagePublisher", "properties.storageProfile.imageReference.publisher"),
    alias("Microsoft.Compute/imageId", "properties.storageProfile.imageReference.id"),
    alias(f"{VM_TYPE}/sku.name", "properties.hardwareProfile.vmSize"),
    alias(f"{VM_TYPE}/priority", "properties.priority", token_type="String"),
    alias(
        f"{VM_TYPE}/vmId",
        "properties.vmId",
        modifiable=Modifiable.NO,
    ),
    alias(
        f"{VM_TYPE}/osProfile.linuxConfiguration.patchSettings.assessmentMode",
        "properties.osProfile.linuxConfiguration.patchSettings.assessmentMode",
    ),
    alias(f"{VM_TYPE}/storageProfile.dataDisks[*]", "properties.storageProfile.dataDisks[*]"),
    alias(f"{VM_TYPE}/storageProfile.dataDisks[*].lun", "properties.storageProfile.dataDisks[*].lun"),
]
_STORAGE_ALIASES = [
    alias(f"{STORAGE_TYPE}/networkAcls.ipRules", "properties.networkAcls.ipRules", token_type="Array"),
    alias(f"{STORAGE_TYPE}/networkAcls.ipRules[*]", "properties.networkAcls.ipRules[*]"),
    alias(f"{STORAGE_TYPE}/networkAcls.ipRules[*].action", "properties.networkAcls.ipRules[*].action"),
    alias(f"{STORAGE_TYPE}/networkAcls.defaultAction", "properties.networkAcls.defaultAction"),
    alias(f"{STORAGE_TYPE}/allowBlobPublicAccess", "properties.allowBlobPublicAccess", token_type="Boolean"),
]
_EXTENSION_ALIASES = [
    alias(f"{VM_TYPE}/extensions/publisher", "properties.publisher"),
    alias(f"{VM_TYPE}/extensions/type", "properties.type"),
]
_GUEST_ALIASES = [
    alias(
        "Microsoft.GuestConfiguration/guestConfigurationAssignments/complianceStatus",
        "properties.complianceStatus",
    )
]


def table(types: Mapping[str, Sequence[AliasPath]]) -> AliasTable:
    built = {
        name.lower(): {entry.name.lower(): entry for entry in entries} for name, entries in types.items()
    }
    return AliasTable({name: lambda entries=entries: entries for name, entries in built.items()})  # type: ignore[misc]


ALIASES = table(
    {
        VM_TYPE: _VM_ALIASES,
        f"{VM_TYPE}/extensions": _EXTENSION_ALIASES,
        STORAGE_TYPE: _STORAGE_ALIASES,
        "Microsoft.GuestConfiguration/guestConfigurationAssignments": _GUEST_ALIASES,
    }
)


def compiler() -> Compiler:
    return Compiler(ALIASES)


def definition_body(
    condition: Any,
    effect: str = "deny",
    *,
    details: Any = None,
    name: str = "d",
    mode: str = "All",
    parameters: Any = None,
    **properties: Any,
) -> dict[str, Any]:
    then = {"effect": effect} if details is None else {"effect": effect, "details": details}
    return {
        "id": f"{SUBSCRIPTION}{AUTHORIZATION}/policyDefinitions/{name}",
        "name": name,
        "properties": {
            "mode": mode,
            "parameters": parameters or {},
            "policyRule": {"if": condition, "then": then},
            **properties,
        },
    }


def definition(condition: Any, effect: str = "deny", **rest: Any) -> PolicyDefinition:
    return parse_definition(definition_body(condition, effect, **rest))


def assignment(
    definition_id: str, *, name: str = "a", scope: str = SUBSCRIPTION, **properties: Any
) -> PolicyAssignment:
    body = {"properties": {"policyDefinitionId": definition_id, **properties}}
    return parse_assignment(body, id_=f"{scope}{AUTHORIZATION}/policyAssignments/{name}")


def assigned(body: PolicyDefinition, *, values: Any = None, **rest: Any) -> AssignedPolicy:
    """One definition assigned by itself; `values` are plain parameter values."""
    parameters = {name: {"value": value} for name, value in (values or {}).items()}
    made = assignment(body.id, parameters=parameters, **rest)
    (policy,) = assigned_policies(made, Library([body]))
    return policy


def deny(condition: Any, *, name: str = "d", **rest: Any) -> AssignedPolicy:
    return assigned(definition(condition, "deny", name=name), name=rest.pop("assignment", name), **rest)


def modify(
    operations: Any, *, name: str, conflict: str | None = None, condition: Any = None
) -> AssignedPolicy:
    details: dict[str, Any] = {"roleDefinitionIds": [ROLE], "operations": operations}
    if conflict is not None:
        details["conflictEffect"] = conflict
    return assigned(
        definition(condition or {"field": "type", "exists": True}, "modify", details=details, name=name),
        name=name,
    )


def initiative_of(definitions: Sequence[PolicyDefinition], **properties: Any) -> Any:
    body = {
        "name": "set",
        "id": f"{SUBSCRIPTION}{AUTHORIZATION}/policySetDefinitions/set",
        "properties": {
            "policyDefinitions": [
                {"policyDefinitionId": each.id, "policyDefinitionReferenceId": f"ref-{each.name}"}
                for each in definitions
            ],
            **properties,
        },
    }
    return parse_initiative(body)


def vm(name: str = "vm1", **members: Any) -> dict[str, Any]:
    return {
        "id": f"{GROUP}/providers/{VM_TYPE}/{name}",
        "name": name,
        "type": VM_TYPE,
        "location": "eastus",
        "properties": {},
        **members,
    }


def storage(**properties: Any) -> dict[str, Any]:
    return {
        "id": f"{GROUP}/providers/{STORAGE_TYPE}/st1",
        "name": "st1",
        "type": STORAGE_TYPE,
        "location": "eastus",
        "properties": properties,
    }


def target(resource: dict[str, Any], **rest: Any) -> Target:
    return target_of(resource, **{"now": NOW, **rest})
