"""`Microsoft.Authorization/policyDefinitions`: ARM JSON to `PolicyDefinition` and back."""

from collections.abc import Mapping
from typing import Any

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.definition import (
    Absent,
    Parameter,
    ParameterType,
    PolicyDefinition,
    PolicyType,
    is_resource_manager_mode,
)
from goldsmith.policy.members import Members, refused, without_absent
from goldsmith.policy.parameters import check_schema_itself, check_value
from goldsmith.policy.reader import read_rule
from goldsmith.policy.versions import parse_version

DISPLAY_NAME_LONGEST = 128
DESCRIPTION_LONGEST = 512
METADATA_LONGEST = 1024
PARAMETERS_MOST = 20
TYPE = "Microsoft.Authorization/policyDefinitions"
_MEANT_ONCE = (
    "policyRule",
    "parameters",
    "mode",
    "policyType",
    "displayName",
    "description",
    "metadata",
    "version",
)


def parse_definition(body: Any, *, id_: str | None = None, limited: bool = True) -> PolicyDefinition:
    """A definition as `az policy definition show`, a PUT body or a policy repository has it.

    `id_` is the id of the PUT; else the body's own `id`, else its `name`. `limited=False` leaves out the
    limits on lengths and numbers, which the service's own definitions exceed.
    Raises InvalidInputError naming the JSON path.
    """
    envelope = Members(body, model="PolicyDefinition")
    id_, name = identity_of(envelope, id_, TYPE)
    # `az policy definition list` prints the properties at the top.
    properties = envelope.object("properties", "PolicyDefinitionProperties") or envelope
    _check_said_once(envelope, properties)
    policy_type = properties.choice("policyType", PolicyType) or PolicyType.CUSTOM
    mode = properties.text("mode") or "Indexed"
    owner = f"policy definition '{name}'"
    policy_rule = properties.mapping("policyRule")
    rule = None
    if is_resource_manager_mode(mode) and policy_type is not PolicyType.STATIC:
        if not policy_rule:
            raise refused(properties.at("policyRule"), "is missing, expected a policy rule")
        rule = read_rule(policy_rule, at=properties.at("policyRule"))
    definition = PolicyDefinition(
        id=id_,
        name=name,
        policy_type=policy_type,
        mode=mode,
        display_name=properties.text("displayName", longest=DISPLAY_NAME_LONGEST if limited else None),
        description=properties.text("description", longest=DESCRIPTION_LONGEST if limited else None),
        metadata=metadata_of(properties, limited=limited),
        version=version_of(properties),
        versions=properties.texts("versions"),
        parameters=parse_parameters(properties, owner=owner, most=PARAMETERS_MOST if limited else None),
        policy_rule=policy_rule,
        rule=rule,
        external_evaluation=properties.any("externalEvaluationEnforcementSettings"),
    )
    if properties is not envelope:
        properties.close()
    return definition


def _check_said_once(envelope: Members, properties: Members) -> None:
    """Raises InvalidInputError for a member that stands beside `properties` and in it: which one is meant?"""
    if properties is envelope:
        return
    for name in _MEANT_ONCE:
        if envelope.has(name) and properties.has(name):
            raise refused(
                envelope.at(name),
                "stands beside 'properties' and in it, expected it once",
                hint="keep the one in 'properties'",
            )


def definition_json(definition: PolicyDefinition) -> JsonObject:
    properties = {
        "displayName": definition.display_name,
        "description": definition.description,
        "policyType": str(definition.policy_type),
        "mode": definition.mode,
        "metadata": definition.metadata,
        "version": None if definition.version is None else str(definition.version),
        "versions": list(definition.versions) or None,
        "parameters": parameters_json(definition.parameters),
        "policyRule": definition.policy_rule,
        "externalEvaluationEnforcementSettings": definition.external_evaluation,
    }
    return envelope_json(definition.id, definition.name, TYPE, properties)


def parse_parameters(properties: Members, *, owner: str, most: int | None) -> dict[str, Parameter]:
    """The declarations under `parameters`; a default must have the type and be allowed."""
    found: dict[str, Parameter] = {}
    seen: set[str] = set()
    for name, members in properties.named("parameters", "ParameterDefinitionsValue"):
        type_ = members.choice("type", ParameterType)
        if type_ is None:
            raise refused(
                members.at("type"), "is missing, expected a parameter type", code="InvalidPolicyParameters"
            )
        if name.lower() in seen:
            raise refused(members.path, "is there twice: names ignore case", code="InvalidPolicyParameters")
        seen.add(name.lower())
        allowed = members.array("allowedValues")
        schema = members.object("schema", "schema")
        parameter = Parameter(
            name=name,
            type=type_,
            default=members.any("defaultValue") if members.has("defaultValue") else Absent.ABSENT,
            # The service has definitions with an empty list, and takes it as none.
            allowed=tuple(allowed) if allowed else None,
            schema=None if schema is None else members.mapping("schema"),
            metadata=members.any("metadata"),
        )
        members.close()
        _check_declaration(parameter, members, owner=owner)
        found[name] = parameter
    if most is not None and len(found) > most:
        raise refused(
            properties.at("parameters"),
            f"has {len(found)} entries, expected {most} at most",
            code="PolicyLimitExceeded",
        )
    return found


def parameters_json(parameters: Mapping[str, Parameter]) -> JsonObject:
    return {
        name: without_absent(
            {
                "type": str(parameter.type),
                "metadata": parameter.metadata,
                "allowedValues": None if parameter.allowed is None else list(parameter.allowed),
                "schema": parameter.schema,
            }
        )
        | ({} if parameter.default is Absent.ABSENT else {"defaultValue": parameter.default})
        for name, parameter in parameters.items()
    }


def identity_of(envelope: Members, id_: str | None, type_: str) -> tuple[str, str]:
    """The id and name of the object in the body; `id_` given from outside wins."""
    own = envelope.text("id")
    name = envelope.text("name")
    envelope.ignore("type", "systemData")
    id_ = id_ or own or (f"/providers/{type_}/{name}" if name else None)
    if id_ is None:
        raise refused("name", "is missing, expected an id or a name")
    return id_, id_.rstrip("/").rsplit("/", 1)[-1]


def metadata_of(properties: Members, *, limited: bool = True) -> JsonObject | None:
    if properties.any("metadata") is None:
        return None
    metadata = properties.mapping("metadata")
    for name, value in metadata.items() if limited else ():
        if isinstance(value, str) and len(value) > METADATA_LONGEST:
            raise refused(
                f"{properties.at('metadata')}.{name}",
                f"has {len(value)} characters, expected {METADATA_LONGEST} at most",
                code="InvalidPolicyText",
            )
    return metadata


def version_of(properties: Members) -> Any:
    """The `version`; without one, that which older definitions write in their metadata, if it is one."""
    text = properties.text("version")
    if text is not None:
        return parse_version(text, properties.at("version"))
    metadata = properties.any("metadata")
    noted = metadata.get("version") if isinstance(metadata, dict) else None
    if not isinstance(noted, str):
        return None
    try:
        return parse_version(noted, properties.at("metadata.version"))
    except InvalidInputError:
        return None


def envelope_json(id_: str, name: str, type_: str, properties: JsonObject, **around: Any) -> JsonObject:
    return without_absent(
        {"id": id_, "name": name, "type": type_, **around, "properties": without_absent(properties)}
    )


def _check_declaration(parameter: Parameter, members: Members, *, owner: str) -> None:
    if parameter.schema is not None:
        if parameter.type is not ParameterType.OBJECT:
            raise refused(
                members.at("schema"),
                f"is given for type '{parameter.type}', expected type 'Object'",
                code="InvalidPolicyParameters",
            )
        check_schema_itself(parameter.schema, at=members.at("schema"))
    if parameter.default is not Absent.ABSENT and parameter.default is not None:
        check_value(parameter, parameter.default, owner=owner, at=members.at("defaultValue"))
