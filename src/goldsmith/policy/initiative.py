"""An initiative (policy set definition): references to definitions, with groups and parameters of its own.

Specification: Azure Policy initiative definition structure.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.definition import Parameter, PolicyType
from goldsmith.policy.versions import Version, VersionPin


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionGroup:
    """`additional_metadata_id` names a policyMetadata resource, such as a control of a standard."""

    name: str
    display_name: str | None = None
    category: str | None = None
    description: str | None = None
    additional_metadata_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionReference:
    """`parameters` are values as written: `[parameters('x')]` refers to the initiative's parameters."""

    reference_id: str
    definition_id: str
    version_pin: VersionPin | None = None
    parameters: Mapping[str, JsonValue]
    group_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySetDefinition:
    id: str
    name: str
    policy_type: PolicyType
    display_name: str | None = None
    description: str | None = None
    metadata: JsonObject | None = None
    version: Version | None = None
    versions: tuple[str, ...] = ()
    parameters: Mapping[str, Parameter]
    references: tuple[DefinitionReference, ...]
    groups: tuple[DefinitionGroup, ...] = ()

    @property
    def category(self) -> str | None:
        value = (self.metadata or {}).get("category")
        return value if isinstance(value, str) else None

    @property
    def label(self) -> str:
        return self.display_name or self.name
