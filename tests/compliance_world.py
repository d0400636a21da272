"""A small estate for tests of compliance: policies of every kind, resources, a clock that tests own."""

import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import sqlalchemy as sa

from goldsmith.compliance import migrate as compliance_tables
from goldsmith.compliance.judge import kept
from goldsmith.compliance.keeper import Keeper
from goldsmith.compliance.model import PolicyKey
from goldsmith.compliance.scan.bitmaps import rows_of
from goldsmith.compliance.store import ComplianceStore
from goldsmith.kernel.ids import RandomIds
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.aliases import from_providers
from goldsmith.policy.content import packaged
from goldsmith.policy.prepared import Compiler
from goldsmith.policy.related import ResourceList
from goldsmith.policy.target import target_of
from goldsmith.policy.verdict import ComplianceState, Settings, evaluate_policies
from goldsmith.resources import migrate as resource_tables
from goldsmith.resources.engine import open_engine
from goldsmith.resources.store import ResourceStore

SUBSCRIPTION = "/subscriptions/S1"
OTHER = "/subscriptions/S2"
GROUP_TYPE = "Microsoft.Resources/subscriptions/resourceGroups"
VM_TYPE = "Microsoft.Compute/virtualMachines"
EXTENSION_TYPE = "Microsoft.Compute/virtualMachines/extensions"
GUEST_TYPE = "Microsoft.GuestConfiguration/guestConfigurationAssignments"
NETWORK_TYPE = "Microsoft.Network/networkWatchers"
MANAGEMENT_GROUP = "/providers/Microsoft.Management/managementGroups/Root"
START = datetime(2026, 1, 1, tzinfo=UTC)
ALIASES = from_providers(packaged.alias_listing())

# (Resource, policy key) to state; pairs without one are left out.
States = dict[tuple[str, PolicyKey], ComplianceState]


class OwnClock:
    def __init__(self) -> None:
        self.instant = START

    def now(self) -> datetime:
        return self.instant

    def monotonic_seconds(self) -> float:
        return (self.instant - START).total_seconds()

    def pass_seconds(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)


class Estate:
    """A resource store with compliance tables, and a keeper of it."""

    def __init__(self, url: str, clock: OwnClock | None = None) -> None:
        self.clock = clock or OwnClock()
        self.engine = open_engine(url)
        resource_tables.migrate(self.engine)
        compliance_tables.migrate(self.engine)
        self.resources = ResourceStore(self.engine, self.clock, RandomIds())
        self.store = ComplianceStore(self.engine)
        self.keeper = self.another_keeper()

    def another_keeper(self, columns: Path | None = None) -> Keeper:
        return Keeper(
            resources=self.resources, store=self.store, aliases=ALIASES, clock=self.clock, columns=columns
        )

    def put(self, document: JsonObject) -> None:
        from goldsmith.compliance.documents import draft_of

        self.resources.put(draft_of(document), actor="test")

    def delete(self, id_: str) -> None:
        if self.resources.find(id_) is not None:
            self.resources.delete(id_, actor="test")

    def close(self) -> None:
        self.engine.dispose()


@cache
def _template() -> Path:
    path = Path(mkdtemp(prefix="compliance-")) / "state.db"
    Estate(f"sqlite:///{path}").close()
    engine = open_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        connection.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))
    engine.dispose()
    return path


def fresh_estate(directory: Path) -> Estate:
    """One on SQLite, without running the migrations again."""
    path = directory / "state.db"
    shutil.copy(_template(), path)
    return Estate(f"sqlite:///{path}")


# --- what is asked of a keeper -----------------------------------------------------------------------------


def states_of(keeper: Keeper) -> States:
    found: States = {}
    for type_, units in keeper.board.units.items():
        ids = keeper.index.table(type_).ids
        for key, unit in units.items():
            for state, bits in unit.bits.items():
                for row in rows_of(bits).tolist():
                    id_ = ids[row]
                    assert id_ is not None
                    assert (id_, key) not in found
                    found[(id_, key)] = state
    return found


def judged_one_by_one(estate: Estate) -> States:
    """What evaluating each resource by itself says, with nothing remembered."""
    keeper = estate.another_keeper()
    keeper.load()
    documents = list(keeper.documents.every())
    around = keeper.judge.around
    scopes = {str(each["id"]).lower(): each for each in documents}
    settings = Settings(
        compiler=Compiler(ALIASES),
        related=ResourceList(sorted(documents, key=lambda each: str(each["id"]).lower())),
        exemptions=around.exemptions,
        attestations=around.attestations,
        with_reasons=False,
    )
    found: States = {}
    for document in documents:
        id_ = str(document["id"]).lower()
        policies = [
            each
            for each in keeper.in_force.policies.values()
            if keeper.judge.considers(each, str(document["type"]))
        ]
        group, subscription = "/".join(id_.split("/")[:5]), "/".join(id_.split("/")[:3])
        target = target_of(
            document,
            now=estate.clock.now(),
            resource_group=scopes.get(group, keeper.index.scopes.group(id_)),
            subscription=scopes.get(subscription, keeper.index.scopes.subscription(id_)),
            management_groups=around.hierarchy.above(id_),
        )
        for verdict in evaluate_policies(policies, target, settings):
            state = kept(verdict)
            if state is not None:
                found[(id_, verdict.assigned.key)] = state
    return found


# --- resources ---------------------------------------------------------------------------------------------


def group_id(group: str, subscription: str = SUBSCRIPTION) -> str:
    return f"{subscription}/resourceGroups/{group}"


def vm_id(name: str, group: str = "g0", subscription: str = SUBSCRIPTION) -> str:
    return f"{group_id(group, subscription)}/providers/{VM_TYPE}/{name}"


def vm(
    id_: str,
    *,
    size: JsonValue = "Small",
    location: str = "westeurope",
    tags: Mapping[str, str] | None = None,
    extended: JsonValue = None,
) -> JsonObject:
    properties: JsonObject = {"hardwareProfile": {"vmSize": size}}
    if extended is not None:
        properties["extendedAt"] = extended
    return {
        "id": id_,
        "type": VM_TYPE,
        "location": location,
        "tags": dict(tags or {}),
        "properties": properties,
    }


def extension(
    vm_: str, name: str, *, publisher: str = "Agent", date: str = "2026-01-01T00:00:00Z"
) -> JsonObject:
    return {
        "id": f"{vm_}/extensions/{name}",
        "type": EXTENSION_TYPE,
        "location": "westeurope",
        "properties": {"publisher": publisher, "extendedAt": date},
    }


def guest(vm_: str, name: str, *, status: str = "Compliant") -> JsonObject:
    return {
        "id": f"{vm_}/providers/{GUEST_TYPE}/{name}",
        "type": GUEST_TYPE,
        "properties": {"complianceStatus": status},
    }


def network(group: str, name: str, *, good: bool = True) -> JsonObject:
    return {
        "id": f"{group_id(group)}/providers/{NETWORK_TYPE}/{name}",
        "type": NETWORK_TYPE,
        "location": "westeurope",
        "properties": {"good": good},
    }


def group(name: str, *, environment: str | None = None) -> JsonObject:
    tags = {} if environment is None else {"env": environment}
    return {"id": group_id(name), "type": GROUP_TYPE, "location": "westeurope", "tags": tags}


# --- policies ----------------------------------------------------------------------------------------------

_VM: JsonObject = {"field": "type", "equals": VM_TYPE}
_DELETED: JsonObject = {"actionNames": ["delete"]}


def definition_id(name: str) -> str:
    return f"{SUBSCRIPTION}/providers/Microsoft.Authorization/policyDefinitions/{name}"


def _modify(value: str) -> JsonObject:
    return {
        "roleDefinitionIds": ["/providers/Microsoft.Authorization/roleDefinitions/r"],
        "operations": [{"operation": "addOrReplace", "field": "tags['owner']", "value": value}],
    }


def _wrong_owner(value: str) -> JsonObject:
    return {"allOf": [_VM, {"field": "tags['owner']", "notEquals": value}]}


RULES: dict[str, JsonObject] = {
    "size": {
        "if": {"allOf": [_VM, {"field": f"{VM_TYPE}/hardwareProfile.vmSize", "notIn": ["Small", "Medium"]}]},
        "then": {"effect": "audit"},
    },
    "large": {
        "if": {"allOf": [_VM, {"field": f"{VM_TYPE}/hardwareProfile.vmSize", "equals": "Large"}]},
        "then": {"effect": "audit"},
    },
    "order": {
        "if": {"allOf": [_VM, {"field": f"{VM_TYPE}/hardwareProfile.vmSize", "greater": 5}]},
        "then": {"effect": "audit"},
    },
    "protect": {
        "if": {"allOf": [_VM, {"field": "tags['keep']", "exists": True}]},
        "then": {"effect": "denyAction", "details": _DELETED},
    },
    "located": {
        "if": {"field": "location", "notIn": ["westeurope", "global"]},
        "then": {"effect": "deny"},
    },
    "agent": {
        "if": _VM,
        "then": {
            "effect": "auditIfNotExists",
            "details": {
                "type": EXTENSION_TYPE,
                "existenceCondition": {"field": f"{EXTENSION_TYPE}/publisher", "equals": "Agent"},
            },
        },
    },
    "fresh": {
        "if": {"allOf": [_VM, {"field": "tags['keep']", "exists": False}]},
        "then": {
            "effect": "auditIfNotExists",
            "details": {
                "type": EXTENSION_TYPE,
                "existenceCondition": {
                    "field": f"{EXTENSION_TYPE}/extendedAt",
                    "greater": "[addDays(utcNow(), -2)]",
                },
            },
        },
    },
    "guest": {
        "if": _VM,
        "then": {
            "effect": "auditIfNotExists",
            "details": {
                "type": GUEST_TYPE,
                "existenceCondition": {"field": f"{GUEST_TYPE}/complianceStatus", "equals": "Compliant"},
            },
        },
    },
    "watched": {
        "if": _VM,
        "then": {
            "effect": "auditIfNotExists",
            "details": {
                "type": NETWORK_TYPE,
                "existenceCondition": {"field": f"{NETWORK_TYPE}/good", "equals": True},
            },
        },
    },
    "watchedAnywhere": {
        "if": _VM,
        "then": {
            "effect": "auditIfNotExists",
            "details": {"type": NETWORK_TYPE, "existenceScope": "subscription"},
        },
    },
    "manual": {
        "if": {"allOf": [_VM, {"field": "location", "equals": "westeurope"}]},
        "then": {"effect": "manual", "details": {"defaultState": "Unknown"}},
    },
    "ownerA": {"if": _wrong_owner("a"), "then": {"effect": "modify", "details": _modify("a")}},
    "ownerB": {"if": _wrong_owner("b"), "then": {"effect": "modify", "details": _modify("b")}},
    "dated": {
        "if": {"allOf": [_VM, {"field": f"{VM_TYPE}/extendedAt", "less": "[utcNow()]"}]},
        "then": {"effect": "audit"},
    },
    "production": {
        "if": {"allOf": [_VM, {"value": "[resourceGroup().tags['env']]", "notEquals": "prod"}]},
        "then": {"effect": "audit"},
    },
    "groups": {
        "if": {"allOf": [{"field": "type", "equals": GROUP_TYPE}, {"field": "tags['env']", "exists": False}]},
        "then": {"effect": "audit"},
    },
}
# The mode Indexed looks at neither groups nor some extensions.
_ALL_MODE = frozenset({"groups", "guest"})


def definition(name: str, rule: JsonObject | None = None) -> JsonObject:
    return {
        "id": definition_id(name),
        "type": "Microsoft.Authorization/policyDefinitions",
        "properties": {
            "displayName": f"Policy {name}",
            "policyType": "Custom",
            "mode": "All" if name in _ALL_MODE else "Indexed",
            "metadata": {"category": "Tests"},
            "parameters": {},
            "policyRule": rule or RULES[name],
        },
    }


def initiative(name: str, members: list[str]) -> JsonObject:
    return {
        "id": f"{SUBSCRIPTION}/providers/Microsoft.Authorization/policySetDefinitions/{name}",
        "type": "Microsoft.Authorization/policySetDefinitions",
        "properties": {
            "displayName": f"Initiative {name}",
            "policyType": "Custom",
            "policyDefinitionGroups": [{"name": "odd"}, {"name": "even"}],
            "policyDefinitions": [
                {
                    "policyDefinitionId": definition_id(member),
                    "policyDefinitionReferenceId": member,
                    "groupNames": ["odd" if number % 2 else "even"],
                }
                for number, member in enumerate(members)
            ],
        },
    }


def assignment_id(name: str, scope: str = SUBSCRIPTION) -> str:
    return f"{scope}/providers/Microsoft.Authorization/policyAssignments/{name}"


def assignment(
    name: str, of: str, *, scope: str = SUBSCRIPTION, set_: bool = False, **members: JsonValue
) -> JsonObject:
    kind = "policySetDefinitions" if set_ else "policyDefinitions"
    return {
        "id": assignment_id(name, scope),
        "type": "Microsoft.Authorization/policyAssignments",
        "properties": {
            "displayName": f"Assignment {name}",
            "policyDefinitionId": f"{SUBSCRIPTION}/providers/Microsoft.Authorization/{kind}/{of}",
            **members,
        },
    }


def exemption(
    name: str, of: str, *, scope: str, expires: datetime | None = None, **members: JsonValue
) -> JsonObject:
    properties: JsonObject = {"policyAssignmentId": of, "exemptionCategory": "Waiver", **members}
    if expires is not None:
        properties["expiresOn"] = expires.isoformat()
    return {
        "id": f"{scope}/providers/Microsoft.Authorization/policyExemptions/{name}",
        "type": "Microsoft.Authorization/policyExemptions",
        "properties": properties,
    }


def attestation(
    name: str, of: str, *, scope: str, state: str = "Compliant", expires: datetime | None = None
) -> JsonObject:
    properties: JsonObject = {"policyAssignmentId": of, "complianceState": state, "owner": "somebody"}
    if expires is not None:
        properties["expiresOn"] = expires.isoformat()
    return {
        "id": f"{scope}/providers/Microsoft.PolicyInsights/attestations/{name}",
        "type": "Microsoft.PolicyInsights/attestations",
        "properties": properties,
    }


def all_definitions() -> Iterator[JsonObject]:
    return (definition(name) for name in RULES)
