"""A policy definition: mode, parameters, versions and the rule.

Specification: Azure Policy definition structure, "basics" and "parameters".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.rule import Rule
from goldsmith.policy.versions import Version


class PolicyType(StrEnum):
    NOT_SPECIFIED = "NotSpecified"
    BUILT_IN = "BuiltIn"
    CUSTOM = "Custom"
    STATIC = "Static"


class ParameterType(StrEnum):
    STRING = "String"
    ARRAY = "Array"
    OBJECT = "Object"
    BOOLEAN = "Boolean"
    INTEGER = "Integer"
    FLOAT = "Float"
    DATE_TIME = "DateTime"


class Absent(StrEnum):
    """Stands where JSON could hold null but nothing was written."""

    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """`default` is ABSENT when a value must be given; `allowed` is None when any value of the type is."""

    name: str
    type: ParameterType
    default: "JsonValue | Absent" = Absent.ABSENT
    allowed: tuple[JsonValue, ...] | None = None
    schema: JsonObject | None = None
    metadata: JsonObject | None = None

    @property
    def strong_type(self) -> str | None:
        """What a portal offers to choose from; means nothing to the evaluation."""
        value = (self.metadata or {}).get("strongType")
        return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDefinition:
    """`policy_rule` is the rule as written; `rule` the same parsed, None where it is not ours to evaluate.

    That is so for resource-provider modes and for Static definitions.
    """

    id: str
    name: str
    policy_type: PolicyType
    mode: str
    display_name: str | None = None
    description: str | None = None
    metadata: JsonObject | None = None
    version: Version | None = None
    versions: tuple[str, ...] = ()
    parameters: Mapping[str, Parameter]
    policy_rule: JsonObject
    rule: Rule | None
    external_evaluation: JsonObject | None = None

    @property
    def evaluated(self) -> bool:
        """False for what is stored and reported as not evaluated, never as compliant."""
        return self.rule is not None

    @property
    def indexed(self) -> bool:
        """Mode Indexed looks only at resource types with tags and location."""
        return self.mode.lower() == "indexed"

    @property
    def category(self) -> str | None:
        value = (self.metadata or {}).get("category")
        return value if isinstance(value, str) else None

    @property
    def label(self) -> str:
        return self.display_name or self.name


def is_resource_manager_mode(mode: str) -> bool:
    return mode.lower() in ("all", "indexed")
