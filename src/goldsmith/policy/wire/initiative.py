"""`Microsoft.Authorization/policySetDefinitions`: ARM JSON to `PolicySetDefinition` and back."""

from typing import Any

from goldsmith.kernel.digest import hex_of, of_bytes
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.definition import PolicyType
from goldsmith.policy.initiative import DefinitionGroup, DefinitionReference, PolicySetDefinition
from goldsmith.policy.members import Members, refused, without_absent
from goldsmith.policy.versions import parse_pin
from goldsmith.policy.wire.definition import (
    DESCRIPTION_LONGEST,
    DISPLAY_NAME_LONGEST,
    envelope_json,
    identity_of,
    metadata_of,
    parameters_json,
    parse_parameters,
    version_of,
)

TYPE = "Microsoft.Authorization/policySetDefinitions"
REFERENCES_MOST = 1000
PARAMETERS_MOST = 400


def parse_initiative(body: Any, *, id_: str | None = None, limited: bool = True) -> PolicySetDefinition:
    """An initiative as a PUT body, `az policy set-definition show` or a policy repository has it.

    Raises InvalidInputError naming the JSON path.
    """
    envelope = Members(body, model="PolicySetDefinition")
    id_, name = identity_of(envelope, id_, TYPE)
    properties = envelope.object("properties", "PolicySetDefinitionProperties") or envelope
    groups = tuple(
        _parse_group(each) for each in properties.objects("policyDefinitionGroups", "PolicyDefinitionGroup")
    )
    references = tuple(
        _parse_reference(each)
        for each in properties.objects(
            "policyDefinitions", "PolicyDefinitionReference", most=REFERENCES_MOST if limited else None
        )
    )
    _check_references(references, groups, at=properties.at("policyDefinitions"))
    initiative = PolicySetDefinition(
        id=id_,
        name=name,
        policy_type=properties.choice("policyType", PolicyType) or PolicyType.CUSTOM,
        display_name=properties.text("displayName", longest=DISPLAY_NAME_LONGEST if limited else None),
        description=properties.text("description", longest=DESCRIPTION_LONGEST if limited else None),
        metadata=metadata_of(properties, limited=limited),
        version=version_of(properties),
        versions=properties.texts("versions"),
        parameters=parse_parameters(
            properties, owner=f"policy set definition '{name}'", most=PARAMETERS_MOST if limited else None
        ),
        references=references,
        groups=groups,
    )
    if properties is not envelope:
        properties.close()
    return initiative


def initiative_json(initiative: PolicySetDefinition) -> JsonObject:
    properties = {
        "displayName": initiative.display_name,
        "description": initiative.description,
        "policyType": str(initiative.policy_type),
        "metadata": initiative.metadata,
        "version": None if initiative.version is None else str(initiative.version),
        "versions": list(initiative.versions) or None,
        "parameters": parameters_json(initiative.parameters),
        "policyDefinitions": [_reference_json(each) for each in initiative.references],
        "policyDefinitionGroups": [_group_json(each) for each in initiative.groups] or None,
    }
    return envelope_json(initiative.id, initiative.name, TYPE, properties)


def parse_values(members: Members, name: str = "parameters") -> dict[str, JsonValue]:
    """`{"x": {"value": ...}}` as x to value; a value that is missing is null."""
    values: dict[str, JsonValue] = {}
    for key, each in members.named(name, "ParameterValuesValue"):
        values[key] = each.any("value")
        # Azure Resource Manager allows a secret in place of the value; policy values are never secret.
        each.ignore("metadata")
        each.close()
    return values


def values_json(values: "dict[str, JsonValue]") -> JsonObject:
    return {name: {"value": value} for name, value in values.items()}


def _parse_reference(members: Members) -> DefinitionReference:
    definition_id = members.needed_text("policyDefinitionId")
    pin = members.text("definitionVersion")
    reference_id = members.text("policyDefinitionReferenceId")
    members.ignore("latestDefinitionVersion", "effectiveDefinitionVersion")
    reference = DefinitionReference(
        # The service gives a number of its own; ours stays the same when the initiative is sent again.
        reference_id=reference_id or str(int(hex_of(of_bytes(members.path.encode()))[:15], 16)),
        definition_id=definition_id,
        version_pin=None if pin is None else parse_pin(pin, members.at("definitionVersion")),
        parameters=parse_values(members),
        group_names=members.texts("groupNames"),
    )
    members.close()
    return reference


def _parse_group(members: Members) -> DefinitionGroup:
    group = DefinitionGroup(
        name=members.needed_text("name"),
        display_name=members.text("displayName"),
        category=members.text("category"),
        description=members.text("description"),
        additional_metadata_id=members.text("additionalMetadataId"),
    )
    members.close()
    return group


def _check_references(
    references: tuple[DefinitionReference, ...], groups: tuple[DefinitionGroup, ...], *, at: str
) -> None:
    if not references:
        raise refused(
            at, "is empty, expected one definition at least", code="InvalidPolicySetDefinitionRequest"
        )
    known = {group.name.lower() for group in groups}
    seen: set[str] = set()
    for index, reference in enumerate(references):
        if reference.reference_id.lower() in seen:
            raise refused(
                f"{at}[{index}].policyDefinitionReferenceId",
                f"is '{reference.reference_id}', which another reference has",
                code="InvalidPolicySetDefinitionRequest",
            )
        seen.add(reference.reference_id.lower())
        unknown = [name for name in reference.group_names if name.lower() not in known]
        if unknown:
            raise refused(
                f"{at}[{index}].groupNames",
                f"names '{unknown[0]}', which is no group of the initiative",
                code="InvalidPolicySetDefinitionRequest",
                hint="add the group under policyDefinitionGroups",
            )


def _reference_json(reference: DefinitionReference) -> JsonObject:
    return without_absent(
        {
            "policyDefinitionReferenceId": reference.reference_id,
            "policyDefinitionId": reference.definition_id,
            "definitionVersion": None if reference.version_pin is None else str(reference.version_pin),
            "parameters": values_json(dict(reference.parameters)),
            "groupNames": list(reference.group_names) or None,
        }
    )


def _group_json(group: DefinitionGroup) -> JsonObject:
    return without_absent(
        {
            "name": group.name,
            "displayName": group.display_name,
            "category": group.category,
            "description": group.description,
            "additionalMetadataId": group.additional_metadata_id,
        }
    )
