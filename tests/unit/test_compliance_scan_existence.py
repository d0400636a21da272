"""Rules that look for related resources: each way of being related, and what follows from each change."""

from collections.abc import Iterator
from typing import Any

import pytest

from goldsmith.compliance.scan.index import FleetIndex
from goldsmith.compliance.scan.partition import InProcess, RuleKey, added, partition_of, scan, scan_all
from goldsmith.compliance.scan.scan import Counts, FleetScan
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.aliases import from_rows
from goldsmith.policy.compile import CompiledRule, Pool, compile_rule
from goldsmith.policy.reader import read_rule

VM = "Microsoft.Compute/virtualMachines"
EXTENSION = f"{VM}/extensions"
GUEST = "Microsoft.GuestConfiguration/guestConfigurationAssignments"
VAULT = "Microsoft.KeyVault/vaults"
HERE, THERE = "/subscriptions/s/resourceGroups/here", "/subscriptions/s/resourceGroups/there"
V0, V1 = f"{HERE}/providers/{VM}/v0", f"{THERE}/providers/{VM}/v1"
NOW, LATER = "2026-03-01T00:00:00.0000000Z", "2026-09-01T00:00:00.0000000Z"
ALIASES = from_rows(
    (type_, f"{type_}/{name}", f"properties.{name}")
    for type_ in (VM, EXTENSION, GUEST, VAULT)
    for name in ("state", "size")
)


def compiled(rule: JsonObject) -> CompiledRule:
    return compile_rule(
        read_rule(rule),
        parameters={},
        policy_context={},
        aliases=ALIASES,
        resource_type=VM,
        pool=Pool(),
    )


def looks_for(type_: str, existence: JsonObject | None = None, **details: str) -> CompiledRule:
    then: JsonObject = {"type": type_, **details}
    if existence is not None:
        then["existenceCondition"] = existence
    rule = {"if": {"field": "name", "exists": True}, "then": {"effect": "auditIfNotExists", "details": then}}
    return compiled(rule)


def ok(type_: str) -> JsonObject:
    return {"field": f"{type_}/state", "equals": "ok"}


class Fleet:
    """Two machines in two resource groups, one rule, and whatever a test puts beside them."""

    def __init__(self, rule: CompiledRule, *resources: tuple[str, str, Any]) -> None:
        self.documents: dict[str, JsonObject] = {}
        self.index = FleetIndex(self)
        self.scan = FleetScan(self.index, now=NOW)
        for one in ((V0, VM, "ok"), (V1, VM, "ok"), *resources):
            self.put(*one)
        self.scan.add("p", VM, rule)

    def of_type(self, resource_type: str) -> Iterator[JsonObject]:
        return (one for one in self.documents.values() if one["type"].lower() == resource_type.lower())

    def put(self, id_: str, type_: str, state: Any) -> None:
        name = id_.rsplit("/", 1)[1]
        document = {"id": id_, "type": type_, "name": name, "properties": {"state": state}}
        self.documents[id_.lower()] = document
        self.index.put(document)

    @property
    def lacking(self) -> set[str]:
        """The names of machines that do not comply."""
        ids = self.scan.ids(self.scan.verdict("p", VM).true, VM)
        return {id_.rsplit("/", 1)[1] for id_ in ids}

    @property
    def failing(self) -> set[str]:
        error = self.scan.verdict("p", VM).error
        ids = [] if error is None else self.scan.ids(error, VM)
        return {id_.rsplit("/", 1)[1] for id_ in ids}


@pytest.mark.parametrize(
    ("type_", "of_v0", "details"),
    [
        (EXTENSION, f"{V0}/extensions/r", {}),
        (EXTENSION, f"{V0}/extensions/r", {"name": "r"}),
        (EXTENSION, f"{V0}/extensions/r", {"name": "[concat(field('name'), '/r')]"}),
        (EXTENSION, f"{V0}/extensions/r", {"name": "v0/?"}),
        (GUEST, f"{V0}/providers/{GUEST}/r", {}),
        (GUEST, f"{V0}/providers/{GUEST}/r", {"name": "r"}),
        (GUEST, f"{HERE}/providers/{GUEST}/r", {}),
        (VAULT, f"{HERE}/providers/{VAULT}/r", {}),
        (VAULT, f"{HERE}/providers/{VAULT}/r", {"existenceScope": "ResourceGroup"}),
    ],
)
def test_a_related_resource_that_comes_changes_and_goes_is_followed(
    type_: str, of_v0: str, details: dict[str, str]
) -> None:
    # Another one is there from the start, so that it is known where resources of the type stand.
    elsewhere = of_v0.replace("/here/", "/third/").replace("/v0/", "/v9/")
    fleet = Fleet(looks_for(type_, ok(type_), **details), (elsewhere, type_, "ok"))
    assert fleet.lacking == {"v0", "v1"}
    fleet.put(of_v0, type_, "bad")
    assert fleet.lacking == {"v0", "v1"}
    fleet.put(of_v0, type_, "ok")
    assert fleet.lacking == {"v1"}
    fleet.put(of_v0.upper(), type_, "bad")
    assert fleet.lacking == {"v0", "v1"}
    fleet.put(of_v0, type_, "OK")
    assert fleet.lacking == {"v1"}
    fleet.index.delete(of_v0, type_)
    assert fleet.lacking == {"v0", "v1"}


def test_in_a_subscription_all_machines_are_served_by_one_resource() -> None:
    vault = f"{THERE}/providers/{VAULT}/r"
    fleet = Fleet(looks_for(VAULT, ok(VAULT), existenceScope="Subscription"), (vault, VAULT, "bad"))
    assert fleet.lacking == {"v0", "v1"}
    fleet.put(vault, VAULT, "ok")
    assert fleet.lacking == set()
    fleet.put(vault.replace("/s/", "/other/"), VAULT, "ok")
    fleet.index.delete(vault, VAULT)
    assert fleet.lacking == {"v0", "v1"}


def test_a_resource_group_can_be_named_by_the_machine() -> None:
    vault = f"{THERE}/providers/{VAULT}/r"
    fleet = Fleet(looks_for(VAULT, resourceGroupName=f"[field('{VM}/state')]"), (vault, VAULT, "ok"))
    assert fleet.lacking == {"v0", "v1"}
    fleet.put(V0, VM, "there")
    assert fleet.lacking == {"v1"}
    fleet.index.delete(vault, VAULT)
    assert fleet.lacking == {"v0", "v1"}


def test_an_existence_condition_may_compare_with_the_machine() -> None:
    extension = f"{V0}/extensions/r"
    same = {"field": f"{EXTENSION}/state", "equals": f"[field('{VM}/state')]"}
    fleet = Fleet(looks_for(EXTENSION, same), (extension, EXTENSION, "other"))
    assert fleet.lacking == {"v0", "v1"}
    fleet.put(V0, VM, "other")
    assert fleet.lacking == {"v1"}
    fleet.put(extension, EXTENSION, "ok")
    assert fleet.lacking == {"v0", "v1"}


def test_the_first_related_resource_that_passes_or_fails_decides() -> None:
    one, two = f"{V0}/extensions/a", f"{V0}/extensions/b"
    more = {"field": f"{EXTENSION}/state", "greater": 1}
    fleet = Fleet(looks_for(EXTENSION, more), (one, EXTENSION, "text"), (two, EXTENSION, "text"))
    assert (fleet.failing, fleet.lacking) == ({"v0"}, {"v1"})
    fleet.put(two, EXTENSION, 2)
    assert (fleet.failing, fleet.lacking) == ({"v0"}, {"v1"})
    fleet.put(one, EXTENSION, 2)
    fleet.put(two, EXTENSION, "text")
    assert (fleet.failing, fleet.lacking) == (set(), {"v1"})


def test_extensions_and_resources_of_the_group_are_tried_in_the_order_of_their_ids() -> None:
    more = {"field": f"{GUEST}/state", "greater": 1}
    # `.../microsoft.compute/...` comes before `.../microsoft.guestconfiguration/...`.
    on_machine, in_group = f"{V0}/providers/{GUEST}/z", f"{HERE}/providers/{GUEST}/a"
    fleet = Fleet(looks_for(GUEST, more), (on_machine, GUEST, 2), (in_group, GUEST, "text"))
    assert (fleet.failing, fleet.lacking) == (set(), {"v1"})
    fleet.put(on_machine, GUEST, "text")
    fleet.put(in_group, GUEST, 2)
    assert (fleet.failing, fleet.lacking) == ({"v0"}, {"v1"})


def test_the_clock_and_the_resource_group_are_followed() -> None:
    extension = f"{V0}/extensions/r"
    late = {"value": "[utcNow()]", "greater": "2026-06-01T00:00:00Z"}
    tagged = {"value": "[resourceGroup().tags.a]", "equals": "x"}
    fleet = Fleet(looks_for(EXTENSION, {"anyOf": [late, tagged]}), (extension, EXTENSION, "ok"))
    group = {"id": HERE, "type": "Microsoft.Resources/subscriptions/resourceGroups", "tags": {"a": "y"}}
    fleet.index.put(group)
    assert "v0" in fleet.lacking
    fleet.index.put({**group, "tags": {"a": "x"}})
    assert "v0" not in fleet.lacking | fleet.failing
    fleet.index.put(group)
    fleet.scan.set_clock(LATER)
    assert "v0" not in fleet.lacking | fleet.failing


def test_a_look_up_that_has_no_value_is_an_error_of_the_machine() -> None:
    name = f"[concat(field('{VM}/state'), '/', string(add(field('{VM}/size'), 1)))]"
    fleet = Fleet(looks_for(EXTENSION, name=name), (f"{V0}/extensions/r", EXTENSION, "ok"))
    assert (fleet.failing, fleet.lacking) == ({"v0", "v1"}, set())


def test_a_rule_that_looks_for_no_type_in_particular_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"details\.type"):
        Fleet(looks_for(f"[field('{VM}/state')]"))


def test_a_removed_rule_no_longer_listens() -> None:
    fleet = Fleet(looks_for(EXTENSION, ok(EXTENSION)))
    fleet.scan.remove("p", VM)
    fleet.put(f"{V0}/extensions/r", EXTENSION, "ok")
    with pytest.raises(KeyError):
        fleet.scan.verdict("p", VM)
    with pytest.raises(KeyError):
        fleet.scan.remove("p", VM)
    fleet.scan.add("p", VM, looks_for(EXTENSION, ok(EXTENSION)))
    assert fleet.lacking == {"v1"}


# --- partitions --------------------------------------------------------------------------------------------

RULES: dict[RuleKey, CompiledRule] = {
    ("audit", VM): compiled({"if": ok(VM), "then": {"effect": "audit"}}),
    ("vault", VM): looks_for(VAULT, ok(VAULT)),
}


class Part:
    """Some resources of a fleet."""

    def __init__(self, documents: list[JsonObject]) -> None:
        self.documents = documents

    def of_type(self, resource_type: str) -> Iterator[JsonObject]:
        return (one for one in self.documents if one["type"].lower() == resource_type.lower())


def counted(part: Part) -> dict[RuleKey, Counts]:
    index = FleetIndex(part)
    index.put_many(part.documents)
    return dict(scan(index, RULES, now=NOW).counts)


def test_partitions_add_up_to_the_whole() -> None:
    documents: list[JsonObject] = []
    for number in range(60):
        group = f"/subscriptions/s/resourceGroups/g{number % 7}"
        type_ = VAULT if number % 10 == 0 else VM
        state = "ok" if number % 3 else "bad"
        documents.append(
            {"id": f"{group}/providers/{type_}/n{number}", "type": type_, "name": "n"}
            | {"properties": {"state": state}}
        )
    parts = [Part([one for one in documents if partition_of(one["id"], 4) == number]) for number in range(4)]
    assert sum(bool(part.documents) for part in parts) > 1
    whole = counted(Part(documents))
    assert scan_all(counted, parts, InProcess()) == whole
    assert whole["vault", VM].true > 0
    assert added([]) == {}


def test_what_is_related_within_a_group_is_in_one_partition() -> None:
    ids = [V0, f"{V0}/extensions/r", f"{V0}/providers/{GUEST}/r", f"{HERE}/providers/{VAULT}/r".upper(), HERE]
    assert len({partition_of(id_, 1000) for id_ in ids}) == 1
