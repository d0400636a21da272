"""What append and modify write, and how they get on with the request and with one another."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.policy.details import After, ConflictEffect, parse_delay, read_changes
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.modify import Modified, Trouble, apply, conflicting, plan, written_path
from tests.policies import ROLE, assigned, compiler, definition, modify, storage, target, vm

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases/policy/modify.yaml").read_text())
ALWAYS = {"field": "type", "exists": True}
VM = "Microsoft.Compute/virtualMachines"


def _apply(policies: list[AssignedPolicy], resource: dict[str, Any]) -> Modified:
    made, about = compiler(), target(resource, request_context={"apiVersion": "2024-01-01"})
    plans = [plan(made.prepare(each, about.type), about, compiler=made) for each in policies]
    return apply(plans, resource)


def _set(tag: str, value: str, *, name: str, conflict: str | None = None, kind: str = "addOrReplace") -> Any:
    return modify(
        [{"operation": kind, "field": f"tags['{tag}']", "value": value}], name=name, conflict=conflict
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["holds"])
def test_what_one_policy_writes(case: dict[str, Any]) -> None:
    if "append" in case:
        policy = assigned(definition(ALWAYS, "append", details=case["append"]))
    else:
        policy = modify(case["operations"], name="m")
    resource = storage(**case.get("properties", {}))
    if "tags" in case:
        resource["tags"] = case["tags"]
    before = copy.deepcopy(resource)
    modified = _apply([policy], resource)
    assert resource == before
    if "trouble" in case:
        assert [str(each.trouble) for each in modified.disputes] == [case["trouble"]]
        assert modified.resource == before
    else:
        assert modified.disputes == ()
        assert modified.resource == {**before, **case["expect"]}


def test_the_type_of_a_machines_identity_is_written() -> None:
    policy = modify(
        [
            {
                "operation": "addOrReplace",
                "field": "identity.type",
                "value": "[if(contains(field('identity.type'), 'UserAssigned'), "
                "concat(field('identity.type'), ',SystemAssigned'), 'SystemAssigned')]",
            }
        ],
        name="m",
    )
    assert _apply([policy], vm()).resource["identity"] == {"type": "SystemAssigned"}
    other = vm(identity={"type": "UserAssigned", "userAssignedIdentities": {"x": {}}})
    assert _apply([policy], other).resource["identity"] == {
        "type": "UserAssigned,SystemAssigned",
        "userAssignedIdentities": {"x": {}},
    }


def test_an_alias_that_is_not_modifiable_falls_to_the_conflict_effect() -> None:
    operations = [{"operation": "addOrReplace", "field": f"{VM}/vmId", "value": "x"}]
    modified = _apply([modify(operations, name="m", conflict="audit")], vm())
    (dispute,) = modified.disputes
    assert dispute.trouble is Trouble.NOT_MODIFIABLE
    assert dispute.conflict_effect is ConflictEffect.AUDIT
    assert dispute.fields == (f"{VM}/vmId",)


def test_a_policy_in_trouble_changes_nothing_at_all() -> None:
    operations = [
        {"operation": "addOrReplace", "field": "tags.fine", "value": "x"},
        {"operation": "addOrReplace", "field": f"{VM}/vmId", "value": "x"},
    ]
    assert _apply([modify(operations, name="m")], vm()).resource == vm()


def test_two_policies_on_different_fields_both_write() -> None:
    modified = _apply([_set("a", "1", name="one"), _set("b", "2", name="two")], vm())
    assert modified.resource["tags"] == {"a": "1", "b": "2"}
    assert modified.disputes == ()


def test_two_policies_that_write_the_same_value_do_not_conflict() -> None:
    modified = _apply([_set("a", "1", name="one"), _set("A", "1", name="two")], vm())
    assert modified.resource["tags"] == {"a": "1"}
    assert modified.disputes == ()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("conflicts", "tags", "losers"),
    [
        (("deny", "audit"), {"a": "1"}, [ConflictEffect.AUDIT]),
        (("audit", "deny"), {"A": "2"}, [ConflictEffect.AUDIT]),
        (("audit", "audit"), None, [ConflictEffect.AUDIT, ConflictEffect.AUDIT]),
        (("deny", "deny"), None, [ConflictEffect.DENY, ConflictEffect.DENY]),
        (("disabled", "deny"), {"A": "2"}, [ConflictEffect.DISABLED]),
    ],
)
def test_of_two_policies_on_one_field_the_one_with_deny_wins(
    conflicts: tuple[str, str], tags: Any, losers: list[ConflictEffect], reverse: bool
) -> None:
    policies = [
        _set("a", "1", name="one", conflict=conflicts[0]),
        _set("A", "2", name="two", conflict=conflicts[1]),
    ]
    modified = _apply(policies[::-1] if reverse else policies, vm())
    assert modified.resource.get("tags") == tags
    assert [each.conflict_effect for each in modified.disputes] == losers
    assert all(each.trouble is Trouble.OTHER_POLICY for each in modified.disputes)


def test_the_loser_keeps_nothing_of_its_other_operations() -> None:
    loser = modify(
        [
            {"operation": "addOrReplace", "field": "tags.a", "value": "1"},
            {"operation": "addOrReplace", "field": "tags.b", "value": "1"},
        ],
        name="loser",
        conflict="audit",
    )
    modified = _apply([loser, _set("a", "2", name="winner")], vm())
    assert modified.resource["tags"] == {"a": "2"}


def test_a_field_inside_another_one_is_the_same_field() -> None:
    rules = "Microsoft.Storage/storageAccounts/networkAcls.ipRules"
    whole = modify([{"operation": "addOrReplace", "field": rules, "value": []}], name="whole")
    part = modify([{"operation": "add", "field": f"{rules}[*]", "value": {"v": 1}}], name="part")
    modified = _apply([whole, part], storage(networkAcls={"ipRules": [{"v": 0}]}))
    assert [each.conflict_effect for each in modified.disputes] == [ConflictEffect.DENY] * 2


def test_two_policies_may_append_to_one_array() -> None:
    rules = "Microsoft.Storage/storageAccounts/networkAcls.ipRules[*]"
    policies = [
        modify([{"operation": "add", "field": rules, "value": {"v": number}}], name=f"m{number}")
        for number in (1, 2)
    ]
    modified = _apply(policies, storage(networkAcls={}))
    assert modified.resource["properties"]["networkAcls"]["ipRules"] == [{"v": 1}, {"v": 2}]


def test_removing_and_setting_one_tag_is_a_conflict() -> None:
    remove = modify([{"operation": "remove", "field": "tags.a"}], name="remove")
    modified = _apply([remove, _set("a", "1", name="set")], vm(tags={"a": "0"}))
    assert len(modified.disputes) == 2
    assert modified.resource["tags"] == {"a": "0"}


def test_conflicts_at_rest_are_those_of_two_with_deny() -> None:
    made, about = compiler(), target(vm())

    def keys(first: str, second: str) -> int:
        policies = [
            _set("a", "1", name="one", conflict=first),
            _set("a", "2", name="two", conflict=second),
        ]
        return len(conflicting([plan(made.prepare(each, VM), about, compiler=made) for each in policies]))

    assert keys("deny", "deny") == 2
    assert keys("deny", "audit") == 0


@pytest.mark.parametrize(
    ("details", "says"),
    [
        ({"roleDefinitionIds": [ROLE]}, "details.operations"),
        (
            {"operations": [{"operation": "add", "field": "tags.a", "value": "x"}]},
            "details.roleDefinitionIds",
        ),
        (
            {"roleDefinitionIds": [ROLE], "operations": [{"field": "tags.a", "value": "x"}]},
            "operations[0].operation",
        ),
        ({"roleDefinitionIds": [ROLE], "operations": [{"operation": "add", "field": "tags.a"}]}, "[0].value"),
        (
            {"roleDefinitionIds": [ROLE], "operations": [{"operation": "remove", "field": "location"}]},
            "nothing else can be removed",
        ),
    ],
)
def test_details_that_are_none_are_refused_with_their_path(details: Any, says: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_changes(details, {}, append=False)
    assert caught.value.code == "InvalidPolicyRule"
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "minutes"), [(None, 10), ("PT30M", 30), ("PT6H", 360), ("PT0S", 0), ("PT1H30M", 90), ("P0D", 0)]
)
def test_a_delay_is_a_duration(text: str | None, minutes: int) -> None:
    assert parse_delay(text, at="x").duration.total_seconds() == minutes * 60


def test_a_delay_may_wait_for_an_outcome() -> None:
    assert parse_delay("afterprovisioningsuccess", at="x").after is After.PROVISIONING_SUCCESS


@pytest.mark.parametrize("text", ["PT", "P", "10M", "PT361M", "P1D", "soon", "PT1H "])
def test_what_is_no_delay_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"details\.evaluationDelay"):
        parse_delay(text, at="details.evaluationDelay")


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("properties.a[*].b", ("properties", "a", "[*]", "b")),
        ("tags['a.b']", ("tags", "a.b")),
        ("tags[x]", ("tags", "x")),
        ("tags['''o''clock''']", ("tags", "'o'clock'")),
        ("a[*][*]", ("a", "[*]", "[*]")),
        ("identity.type", ("identity", "type")),
    ],
)
def test_a_written_path_keeps_its_spelling(path: str, segments: tuple[str, ...]) -> None:
    assert written_path(path) == segments
