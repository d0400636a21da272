"""What a change reaches: one case for each way, each checked against evaluating every resource by itself."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from goldsmith.compliance.keeper import Keeper
from goldsmith.compliance.model import CauseKind
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.verdict import ComplianceState
from tests.compliance_world import (
    MANAGEMENT_GROUP,
    START,
    SUBSCRIPTION,
    Estate,
    all_definitions,
    assignment,
    assignment_id,
    definition,
    definition_id,
    exemption,
    extension,
    fresh_estate,
    group,
    group_id,
    judged_one_by_one,
    network,
    states_of,
    vm,
    vm_id,
)


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Estate]:
    opened = fresh_estate(tmp_path)
    for document in all_definitions():
        opened.put(document)
    yield opened
    opened.close()


def state(estate: Estate, name: str, *, of: str = "v0", scope: str = SUBSCRIPTION) -> ComplianceState | None:
    """After following everything; all states are checked on the way."""
    estate.keeper.catch_up()
    found = states_of(estate.keeper)
    assert found == judged_one_by_one(estate)
    return found.get((vm_id(of).lower(), (assignment_id(name, scope).lower(), "")))


def test_two_policies_conflict_as_long_as_both_are_there(estate: Estate) -> None:
    estate.put(vm(vm_id("v0"), tags={"owner": "c"}))
    estate.put(assignment("a", "ownerA"))
    assert state(estate, "a") is ComplianceState.NON_COMPLIANT
    estate.put(assignment("b", "ownerB"))
    assert state(estate, "a") is state(estate, "b") is ComplianceState.CONFLICT
    estate.delete(assignment_id("b"))
    assert state(estate, "a") is ComplianceState.NON_COMPLIANT
    estate.put(assignment("b", "ownerB"))
    assert state(estate, "a") is ComplianceState.CONFLICT
    estate.put(exemption("x", assignment_id("b"), scope=group_id("g0")))
    assert state(estate, "a") is ComplianceState.NON_COMPLIANT
    estate.delete(f"{group_id('g0')}/providers/Microsoft.Authorization/policyExemptions/x")
    assert state(estate, "a") is ComplianceState.CONFLICT
    estate.put(assignment("b", "large"))
    assert state(estate, "a") is ComplianceState.NON_COMPLIANT


def test_a_rule_on_time_turns_by_itself(estate: Estate) -> None:
    estate.put(assignment("a", "dated"))
    estate.put(vm(vm_id("v1"), extended="2026-01-05T00:00:00Z"))
    assert state(estate, "a", of="v1") is ComplianceState.COMPLIANT
    estate.clock.pass_seconds(600)
    # Between two looks at the clock a resource comes that turns before the next one.
    estate.put(vm(vm_id("v0"), extended="2026-01-01T00:20:00Z"))
    assert state(estate, "a") is ComplianceState.COMPLIANT
    due = estate.keeper.next_due()
    assert due == START + timedelta(minutes=20, seconds=1)
    estate.clock.pass_seconds(601)
    assert state(estate, "a") is ComplianceState.NON_COMPLIANT
    ((_, last),) = estate.store.transitions(resource=vm_id("v0"), after=first_of(estate))
    assert last.cause.kind is CauseKind.CLOCK
    estate.clock.pass_seconds(5 * 24 * 3600)
    assert state(estate, "a", of="v1") is ComplianceState.NON_COMPLIANT


def first_of(estate: Estate) -> int:
    return estate.store.transitions(resource=vm_id("v0"))[0][0]


def test_an_existence_condition_on_time_turns_by_itself(estate: Estate) -> None:
    estate.put(vm(vm_id("v0")))
    estate.put(extension(vm_id("v0"), "e", date="2026-01-01T00:30:00Z"))
    estate.put(assignment("a", "fresh"))
    assert state(estate, "a") is ComplianceState.COMPLIANT
    estate.clock.pass_seconds(2 * 24 * 3600 + 1799)
    assert state(estate, "a") is ComplianceState.COMPLIANT
    estate.clock.pass_seconds(1)
    assert state(estate, "a") is ComplianceState.NON_COMPLIANT


def test_an_exemption_ends_at_its_hour_also_when_nobody_was_looking(estate: Estate) -> None:
    estate.put(vm(vm_id("v0"), size="Large"))
    estate.put(assignment("a", "size"))
    estate.put(exemption("x", assignment_id("a"), scope=vm_id("v0"), expires=START + timedelta(hours=1)))
    assert state(estate, "a") is ComplianceState.EXEMPT
    assert estate.keeper.next_due() == START + timedelta(hours=1)
    estate.clock.pass_seconds(7200)
    estate.keeper = estate.another_keeper()
    assert state(estate, "a") is ComplianceState.NON_COMPLIANT


def test_children_and_neighbours_change_what_looks_for_them(estate: Estate) -> None:
    estate.put(vm(vm_id("v0")))
    for name in ("agent", "watched", "watchedAnywhere"):
        estate.put(assignment(name, name))
    assert state(estate, "agent") is ComplianceState.NON_COMPLIANT
    estate.put(extension(vm_id("v0"), "e"))
    assert state(estate, "agent") is ComplianceState.COMPLIANT
    estate.put(network("g1", "n"))
    assert state(estate, "watched") is ComplianceState.NON_COMPLIANT
    assert state(estate, "watchedAnywhere") is ComplianceState.COMPLIANT
    estate.put(network("g0", "n"))
    assert state(estate, "watched") is ComplianceState.COMPLIANT
    estate.put(network("g0", "n", good=False))
    assert state(estate, "watched") is ComplianceState.NON_COMPLIANT
    estate.delete(network("g0", "n")["id"])
    assert state(estate, "watched") is ComplianceState.NON_COMPLIANT
    estate.delete(network("g1", "n")["id"])
    assert state(estate, "watchedAnywhere") is ComplianceState.NON_COMPLIANT


def test_a_resource_group_changes_what_reads_it(estate: Estate) -> None:
    estate.put(vm(vm_id("v0")))
    estate.put(assignment("a", "production"))
    assert state(estate, "a") is ComplianceState.NON_COMPLIANT
    estate.put(group("g0", environment="prod"))
    assert state(estate, "a") is ComplianceState.COMPLIANT
    estate.delete(group_id("g0"))
    assert state(estate, "a") is ComplianceState.NON_COMPLIANT


def test_a_subscription_that_moves_comes_under_other_assignments(estate: Estate) -> None:
    estate.put(vm(vm_id("v0")))
    estate.put(assignment("a", "size", scope=MANAGEMENT_GROUP))
    assert state(estate, "a", scope=MANAGEMENT_GROUP) is None
    home = f"{MANAGEMENT_GROUP}{SUBSCRIPTION}"
    estate.put({"id": home, "type": "Microsoft.Management/managementGroups/subscriptions"})
    assert state(estate, "a", scope=MANAGEMENT_GROUP) is ComplianceState.COMPLIANT
    estate.delete(home)
    assert state(estate, "a", scope=MANAGEMENT_GROUP) is None


def test_a_definition_that_changes_changes_its_states_and_one_that_goes_takes_them(estate: Estate) -> None:
    estate.put(vm(vm_id("v0"), size="Large"))
    estate.put(assignment("a", "located"))
    assert state(estate, "a") is ComplianceState.COMPLIANT
    rule: JsonObject = {"if": {"field": "location", "equals": "westeurope"}, "then": {"effect": "deny"}}
    estate.put(definition("located", rule))
    assert state(estate, "a") is ComplianceState.NON_COMPLIANT
    estate.delete(definition_id("located"))
    assert state(estate, "a") is None
    assert list(estate.keeper.problems) == [assignment_id("a").lower()]
    estate.put(definition("located", rule))
    assert state(estate, "a") is ComplianceState.NON_COMPLIANT
    estate.put(definition("located", {"if": {}}))
    assert state(estate, "a") is None


def test_a_resource_put_as_another_type_leaves_nothing_behind(estate: Estate) -> None:
    estate.put(vm(vm_id("v0"), size="Large"))
    estate.put(assignment("a", "size"))
    assert state(estate, "a") is ComplianceState.NON_COMPLIANT
    estate.put({"id": vm_id("v0"), "type": "Microsoft.Compute/disks"})
    assert state(estate, "a") is None
    estate.delete(vm_id("v0"))
    assert state(estate, "a") is None


def test_what_was_deleted_while_nobody_followed_is_recorded_once(estate: Estate) -> None:
    estate.put(vm(vm_id("v0"), size="Large"))
    estate.put(assignment("a", "size"))
    assert state(estate, "a") is ComplianceState.NON_COMPLIANT
    estate.delete(vm_id("v0"))
    keeper: Keeper = estate.another_keeper()
    keeper.catch_up()
    estate.keeper = estate.another_keeper()
    assert state(estate, "a") is None
    found = [each for _, each in estate.store.transitions()]
    assert [(each.before, each.after) for each in found] == [(ComplianceState.NON_COMPLIANT, None)]


def test_policy_objects_are_judged_only_by_rules_that_name_their_type(estate: Estate) -> None:
    named: JsonObject = {
        "if": {
            "allOf": [
                {"field": "type", "equals": "Microsoft.Authorization/policyExemptions"},
                {"field": "Microsoft.Authorization/policyExemptions/expiresOn", "exists": False},
            ]
        },
        "then": {"effect": "audit"},
    }
    unnamed: JsonObject = {"if": {"field": "name", "exists": True}, "then": {"effect": "audit"}}
    for name, rule in (("named", named), ("unnamed", unnamed)):
        document = definition(name, rule)
        document["properties"]["mode"] = "All"
        estate.put(document)
        estate.put(assignment(name, name))
    given = exemption("x", assignment_id("a"), scope=group_id("g0"))
    estate.put(given)
    estate.put(vm(vm_id("v0")))
    assert state(estate, "unnamed") is ComplianceState.NON_COMPLIANT
    found = states_of(estate.keeper)
    keys = {key[0] for id_, key in found if id_ == given["id"].lower()}
    assert keys == {assignment_id("named").lower()}
