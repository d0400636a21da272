"""Management groups above subscriptions, and documents out of exports."""

import pytest

from goldsmith.compliance.documents import document_of, draft_of
from goldsmith.compliance.hierarchy import hierarchy_of
from goldsmith.compliance.related import ancestors_of
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject

_GROUPS = "/providers/Microsoft.Management/managementGroups"
_VM = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v"


def group(name: str, parent: str | None = None) -> JsonObject:
    details = {} if parent is None else {"parent": {"id": f"{_GROUPS}/{parent}"}}
    return {
        "id": f"{_GROUPS}/{name}",
        "type": "Microsoft.Management/managementGroups",
        "properties": {"details": details},
    }


def test_groups_above_a_subscription_are_nearest_first() -> None:
    home = {
        "id": f"{_GROUPS}/Team/subscriptions/S",
        "type": "Microsoft.Management/managementGroups/subscriptions",
    }
    found = hierarchy_of([home, group("Root"), group("Team", "Root")])
    wanted = tuple(f"{_GROUPS}/{name}".lower() for name in ("Team", "Root"))
    assert found.above(_VM) == wanted
    assert found.above(f"{_GROUPS}/team/providers/x.y/z/n") == wanted[1:]
    assert found.above("/subscriptions/other") == ()


def test_the_ancestors_that_an_export_brings_with_a_subscription_count() -> None:
    chain = [{"name": "Team"}, {"name": "Root"}]
    found = hierarchy_of(
        [
            {
                "id": "/subscriptions/S",
                "type": "microsoft.resources/subscriptions",
                "properties": {"managementGroupAncestorsChain": chain},
            }
        ]
    )
    assert found.above(_VM) == (f"{_GROUPS}/team".lower(), f"{_GROUPS}/root".lower())


def test_groups_in_a_circle_end() -> None:
    found = hierarchy_of([group("a", "b"), group("b", "a")])
    assert len(found.above(f"{_GROUPS}/a")) == 2


def test_a_row_of_a_resource_graph_export_becomes_the_resource() -> None:
    draft = draft_of(
        {
            "id": _VM,
            "type": "microsoft.compute/virtualmachines",
            "name": "v",
            "location": "westeurope",
            "tenantId": "t",
            "resourceGroup": "g",
            "subscriptionId": "s",
            "kind": "",
            "plan": None,
            "zones": ["1"],
            "tags": None,
            "properties": {"a": 1},
        }
    )
    assert draft.extra == {"kind": "", "zones": ["1"]}
    assert document_of(draft) == {
        "id": _VM,
        "type": "microsoft.compute/virtualmachines",
        "name": "v",
        "location": "westeurope",
        "kind": "",
        "zones": ["1"],
        "properties": {"a": 1},
    }


def test_a_resource_group_has_its_own_type_however_it_was_listed() -> None:
    draft = draft_of(
        {"id": "/subscriptions/s/resourceGroups/g", "type": "Microsoft.Resources/resourceGroups"}
    )
    assert draft.type == "Microsoft.Resources/subscriptions/resourceGroups"
    assert draft.name == "g"


@pytest.mark.parametrize(
    "document", [[], {}, {"id": 7}, {"id": "x"}, {"id": _VM, "tags": []}, {"id": _VM, "properties": "x"}]
)
def test_what_is_no_resource_is_refused(document: object) -> None:
    with pytest.raises(InvalidInputError):
        draft_of(document)


def test_ancestors_are_the_resources_that_an_id_is_below() -> None:
    id_ = f"{_VM}/extensions/e/providers/Microsoft.Authorization/locks/l"
    assert list(ancestors_of(id_)) == [each.lower() for each in (id_, f"{_VM}/extensions/e", _VM)]
    assert list(ancestors_of("/subscriptions/s/resourceGroups/g")) == []
    assert list(ancestors_of(f"{_GROUPS}/a/providers/Microsoft.Authorization/locks/l")) == [
        f"{_GROUPS}/a/providers/Microsoft.Authorization/locks/l".lower()
    ]
