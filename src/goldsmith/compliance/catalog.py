"""The policy objects of the store: what is defined, assigned, exempted and attested.

An object that cannot be read is a problem with its reason, and the others stay in force.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.assignment import PolicyAssignment
from goldsmith.policy.attestation import Attestation
from goldsmith.policy.content import packaged
from goldsmith.policy.definition import PolicyDefinition
from goldsmith.policy.exemption import PolicyExemption
from goldsmith.policy.initiative import PolicySetDefinition
from goldsmith.policy.library import Library
from goldsmith.policy.wire import assignment as assignment_wire
from goldsmith.policy.wire import definition as definition_wire
from goldsmith.policy.wire import exemption as exemption_wire
from goldsmith.policy.wire import initiative as initiative_wire

DEFINITION = definition_wire.TYPE.lower()
INITIATIVE = initiative_wire.TYPE.lower()
ASSIGNMENT = assignment_wire.TYPE.lower()
EXEMPTION = exemption_wire.EXEMPTION_TYPE.lower()
ENROLLMENT = exemption_wire.ENROLLMENT_TYPE.lower()
ATTESTATION = exemption_wire.ATTESTATION_TYPE.lower()
REMEDIATION_TYPE = "Microsoft.PolicyInsights/remediations"
_VERSIONED = {f"{DEFINITION}/versions": DEFINITION, f"{INITIATIVE}/versions": INITIATIVE}

# Kept in the store by this room, and judged only by rules that name their type.
TYPES = frozenset(
    {
        DEFINITION,
        INITIATIVE,
        *_VERSIONED,
        ASSIGNMENT,
        EXEMPTION,
        ENROLLMENT,
        ATTESTATION,
        REMEDIATION_TYPE.lower(),
    }
)
# Those that decide states; an enrollment decides only what happens at the door.
READ = (DEFINITION, INITIATIVE, *_VERSIONED, ASSIGNMENT, EXEMPTION, ATTESTATION)


class PolicyObjects:
    """Objects by id in lower case; `put` and `delete` follow the store."""

    def __init__(self, documents: Iterable[JsonObject] = (), *, with_packaged: bool = True) -> None:
        self.definitions: dict[str, PolicyDefinition] = {}
        self.initiatives: dict[str, PolicySetDefinition] = {}
        self.assignments: dict[str, PolicyAssignment] = {}
        self.exemptions: dict[str, PolicyExemption] = {}
        self.attestations: dict[str, Attestation] = {}
        self._problems: dict[str, str] = {}
        self._with_packaged = with_packaged
        self._library: Library | None = None
        for document in documents:
            self.put(document)

    @property
    def problems(self) -> Mapping[str, str]:
        """Id to what is wrong with the object."""
        return MappingProxyType(self._problems)

    @property
    def library(self) -> Library:
        """Definitions and initiatives of the store and those that the product ships."""
        if self._library is None:
            shipped = _packaged() if self._with_packaged else ((), ())
            self._library = Library(
                (*shipped[0], *self.definitions.values()), (*shipped[1], *self.initiatives.values())
            )
        return self._library

    def put(self, document: JsonObject) -> None:
        """Read a policy object that is new or has changed; other resources are passed over."""
        id_ = str(document["id"])
        key = id_.rstrip("/").lower()
        self._drop(key)
        try:
            self._read(key, id_, str(document.get("type", "")).lower(), document)
        except InvalidInputError as error:
            self._problems[key] = error.message

    def delete(self, id_: str) -> None:
        self._drop(id_.rstrip("/").lower())

    def _read(self, key: str, id_: str, type_: str, document: JsonObject) -> None:
        owner = id_
        if type_ in _VERSIONED:
            # The version of a definition is a child of it and speaks for it.
            type_, owner = _VERSIONED[type_], id_.rstrip("/").rsplit("/", 2)[0]
        match type_:
            case "microsoft.authorization/policydefinitions":
                self.definitions[key] = definition_wire.parse_definition(document, id_=owner, limited=False)
                self._library = None
            case "microsoft.authorization/policysetdefinitions":
                self.initiatives[key] = initiative_wire.parse_initiative(document, id_=owner, limited=False)
                self._library = None
            case "microsoft.authorization/policyassignments":
                self.assignments[key] = assignment_wire.parse_assignment(document, id_=id_)
            case "microsoft.authorization/policyexemptions":
                self.exemptions[key] = exemption_wire.parse_exemption(document, id_=id_)
            case "microsoft.policyinsights/attestations":
                self.attestations[key] = exemption_wire.parse_attestation(document, id_=id_)
            case _:
                pass

    def _drop(self, key: str) -> None:
        self._problems.pop(key, None)
        kinds: tuple[dict[str, Any], ...] = (self.assignments, self.exemptions, self.attestations)
        for kind in kinds:
            kind.pop(key, None)
        if self.definitions.pop(key, None) is not None or self.initiatives.pop(key, None) is not None:
            self._library = None


@cache
def _packaged() -> tuple[tuple[PolicyDefinition, ...], tuple[PolicySetDefinition, ...]]:
    return (
        tuple(definition_wire.parse_definition(each) for each in packaged.definitions().values()),
        tuple(initiative_wire.parse_initiative(each) for each in packaged.initiatives().values()),
    )
