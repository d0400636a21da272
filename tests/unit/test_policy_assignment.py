"""What an assignment puts in force: values, effects, versions, scopes and selectors."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.kernel.errors import InvalidInputError, NotFoundError
from goldsmith.policy.assignment import in_scope, message_for
from goldsmith.policy.library import AssignedPolicy, Library, assigned_policies
from goldsmith.policy.rule import Effect
from goldsmith.policy.scope import covers, place_of, scope_of
from goldsmith.policy.selectors import ResourceSelector, Selector, SelectorKind, Subject, matches, selected
from goldsmith.policy.versions import parse_version
from goldsmith.policy.wire.definition import parse_definition
from tests.policies import (
    AUTHORIZATION,
    GROUP,
    SUBSCRIPTION,
    assignment,
    definition,
    definition_body,
    initiative_of,
)

CASES = Path(__file__).parents[1] / "cases/policy"
SELECTORS = yaml.safe_load((CASES / "selectors.yaml").read_text())
EFFECT = {
    "effect": {"type": "String", "allowedValues": ["Audit", "Deny", "Disabled"], "defaultValue": "Audit"}
}
TAG = {"tag": {"type": "String"}}
TAGGED = {"field": "[concat('tags[', parameters('tag'), ']')]", "exists": False}
VM1 = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/vm1"


def _tag_policy(name: str = "d", version: str | None = None) -> Any:
    body = definition_body(TAGGED, "[parameters('effect')]", name=name, parameters={**TAG, **EFFECT})
    if version is not None:
        body["properties"]["version"] = version
    return parse_definition(body)


def _one(policies: tuple[AssignedPolicy, ...]) -> AssignedPolicy:
    (policy,) = policies
    return policy


def test_an_assigned_definition_runs_with_its_values_and_defaults() -> None:
    tag = _tag_policy()
    made = assignment(tag.id, parameters={"tag": {"value": "env"}})
    policy = _one(assigned_policies(made, Library([tag])))
    assert policy.parameters == {"tag": "env", "effect": "Audit"}
    assert policy.effect == Effect.AUDIT
    assert policy.context == {
        "assignmentId": made.id,
        "definitionId": tag.id,
        "setDefinitionId": "",
        "definitionReferenceId": "",
    }


def test_an_effect_is_spelled_as_the_language_does() -> None:
    policy = _one(
        assigned_policies(
            assignment(
                definition(
                    TAGGED,
                    "AuditIfNotExists",
                    details={"type": "T/x"},
                    parameters={"tag": {"type": "String", "defaultValue": "x"}},
                ).id
            ),
            Library(
                [
                    definition(
                        TAGGED,
                        "AUDITIFNOTEXISTS",
                        details={"type": "T/x"},
                        parameters={"tag": {"type": "String", "defaultValue": "x"}},
                    )
                ]
            ),
        )
    )
    assert policy.effect == Effect.AUDIT_IF_NOT_EXISTS


def test_ids_ignore_case() -> None:
    tag = _tag_policy()
    made = assignment(tag.id.upper(), parameters={"tag": {"value": "env"}})
    assert _one(assigned_policies(made, Library([tag]))).definition is tag


def test_what_the_library_lacks_is_not_found() -> None:
    with pytest.raises(NotFoundError) as caught:
        assigned_policies(assignment(f"{AUTHORIZATION}/policyDefinitions/none"), Library())
    assert caught.value.code == "PolicyDefinitionNotFound"
    with pytest.raises(NotFoundError) as caught:
        assigned_policies(assignment(f"{AUTHORIZATION}/policySetDefinitions/none"), Library())
    assert caught.value.code == "PolicySetDefinitionNotFound"


def test_a_value_that_is_not_allowed_is_refused_in_the_words_of_the_service() -> None:
    tag = _tag_policy()
    made = assignment(tag.id, parameters={"tag": {"value": "env"}, "effect": {"value": "audit"}})
    with pytest.raises(InvalidInputError) as caught:
        assigned_policies(made, Library([tag]))
    assert caught.value.code == "PolicyParameterValueNotAllowed"
    assert str(caught.value) == (
        "The value 'audit' is not allowed for policy parameter 'effect' in policy definition 'd'. "
        "The allowed values are 'Audit, Deny, Disabled'."
    )


def test_an_initiative_passes_its_parameters_on() -> None:
    one, two = _tag_policy("one"), _tag_policy("two")
    made = initiative_of(
        [one, two],
        parameters={"prefix": {"type": "String"}},
        policyDefinitions=[
            {
                "policyDefinitionId": one.id,
                "policyDefinitionReferenceId": "first",
                "parameters": {"tag": {"value": "[concat(parameters('prefix'), '-team')]"}},
                "groupNames": ["g"],
            },
            {
                "policyDefinitionId": two.id,
                "policyDefinitionReferenceId": "second",
                "parameters": {"tag": {"value": "[[literal]"}, "effect": {"value": "Deny"}},
            },
        ],
        policyDefinitionGroups=[{"name": "g"}],
    )
    given = assignment(made.id, parameters={"PREFIX": {"value": "my"}})
    first, second = assigned_policies(given, Library([one, two], [made]))
    assert first.parameters == {"tag": "my-team", "effect": "Audit"}
    assert first.group_names == ("g",)
    assert first.key == (given.id.lower(), "first")
    assert second.parameters == {"tag": "[literal]", "effect": "Deny"}
    assert second.effect == Effect.DENY
    assert second.context["setDefinitionId"] == made.id
    assert second.context["definitionReferenceId"] == "second"


def test_an_initiative_that_gives_what_a_definition_lacks_is_refused() -> None:
    tag = _tag_policy()
    made = initiative_of(
        [tag],
        policyDefinitions=[{"policyDefinitionId": tag.id, "parameters": {"nothing": {"value": 1}}}],
    )
    with pytest.raises(InvalidInputError) as caught:
        assigned_policies(assignment(made.id), Library([tag], [made]))
    assert caught.value.code == "UndefinedPolicyParameter"


def test_a_parameter_of_an_initiative_cannot_read_a_resource() -> None:
    tag = _tag_policy()
    made = initiative_of(
        [tag],
        policyDefinitions=[
            {"policyDefinitionId": tag.id, "parameters": {"tag": {"value": "[field('name')]"}}}
        ],
    )
    with pytest.raises(InvalidInputError, match="parameters only"):
        assigned_policies(assignment(made.id), Library([tag], [made]))


def test_an_override_changes_the_effect_of_the_references_it_selects() -> None:
    one, two = _tag_policy("one"), _tag_policy("two")
    values = {"tag": {"value": "x"}}
    made = initiative_of(
        [one, two],
        policyDefinitions=[
            {"policyDefinitionId": each.id, "policyDefinitionReferenceId": each.name, "parameters": values}
            for each in (one, two)
        ],
    )
    given = assignment(
        made.id,
        overrides=[
            {
                "kind": "policyEffect",
                "value": "Disabled",
                "selectors": [{"kind": "policyDefinitionReferenceId", "in": ["TWO"]}],
            }
        ],
    )
    first, second = assigned_policies(given, Library([one, two], [made]))
    assert first.effect == Effect.AUDIT
    assert second.effect == Effect.DISABLED


def test_the_last_override_that_matches_decides() -> None:
    tag = _tag_policy()
    given = assignment(
        tag.id,
        parameters={"tag": {"value": "x"}},
        overrides=[{"kind": "policyEffect", "value": "Disabled"}, {"kind": "policyEffect", "value": "deny"}],
    )
    assert _one(assigned_policies(given, Library([tag]))).effect == Effect.DENY


@pytest.mark.parametrize(
    ("effect", "override"),
    [
        ("[parameters('effect')]", "modify"),
        ("deny", "modify"),
        ("manual", "deny"),
        ("deny", "auditIfNotExists"),
    ],
)
def test_an_override_to_an_effect_the_definition_cannot_have_is_refused(effect: str, override: str) -> None:
    body = definition({"field": "name", "exists": True}, effect, parameters=EFFECT)
    given = assignment(body.id, overrides=[{"kind": "policyEffect", "value": override}])
    with pytest.raises(InvalidInputError, match=r"overrides\[0\].value") as caught:
        assigned_policies(given, Library([body]))
    assert caught.value.code == "InvalidPolicyOverride"


@pytest.mark.parametrize(
    ("effect", "override"), [("deny", "audit"), ("audit", "Deny"), ("manual", "disabled")]
)
def test_effects_that_need_no_other_details_can_be_exchanged(effect: str, override: str) -> None:
    body = definition({"field": "name", "exists": True}, effect)
    given = assignment(body.id, overrides=[{"kind": "policyEffect", "value": override}])
    assert _one(assigned_policies(given, Library([body]))).effect == override.lower()


def test_an_override_names_references_that_exist() -> None:
    tag = definition({"field": "name", "exists": True}, "audit")
    made = initiative_of([tag])
    given = assignment(
        made.id,
        overrides=[
            {
                "kind": "policyEffect",
                "value": "disabled",
                "selectors": [{"kind": "policyDefinitionReferenceId", "in": ["nobody"]}],
            }
        ],
    )
    with pytest.raises(InvalidInputError, match="'nobody'"):
        assigned_policies(given, Library([tag], [made]))


def test_an_override_by_location_holds_at_that_location_only() -> None:
    tag = _tag_policy()
    given = assignment(
        tag.id,
        parameters={"tag": {"value": "x"}},
        overrides=[
            {
                "kind": "policyEffect",
                "value": "Deny",
                "selectors": [{"kind": "resourceLocation", "in": ["East US"]}],
            }
        ],
    )
    policy = _one(assigned_policies(given, Library([tag])))
    assert policy.effect == Effect.AUDIT
    assert policy.at_location("eastus").effect == Effect.DENY
    assert policy.at_location("EAST US").effect == Effect.DENY
    assert policy.at_location("westus").effect == Effect.AUDIT
    assert policy.at_location(None).effect == Effect.AUDIT


def test_a_pin_chooses_the_version_and_an_override_another_one() -> None:
    old, new = _tag_policy(version="1.0.0"), _tag_policy(version="2.0.0")
    library = Library([old, new])
    values = {"tag": {"value": "x"}}
    pinned = assignment(old.id, parameters=values, definitionVersion="1.*.*")
    assert _one(assigned_policies(pinned, library)).definition is old
    assert _one(assigned_policies(assignment(old.id, parameters=values), library)).definition is new
    rolled = assignment(
        old.id,
        parameters=values,
        definitionVersion="1.*.*",
        overrides=[
            {
                "kind": "policyVersion",
                "value": "2.*.*",
                "selectors": [{"kind": "resourceLocation", "in": ["westus"]}],
            }
        ],
    )
    policy = _one(assigned_policies(rolled, library))
    assert policy.definition is old
    assert policy.at_location("westus").definition is new


def test_a_version_that_is_not_here_is_not_found_with_those_that_are() -> None:
    old = _tag_policy(version="1.0.0")
    with pytest.raises(NotFoundError) as caught:
        assigned_policies(assignment(old.id, definitionVersion="3.*.*"), Library([old]))
    assert "1.0.0" in (caught.value.hint or "")


def test_the_library_replaces_the_same_version() -> None:
    library = Library([_tag_policy(version="1.0.0")])
    again = _tag_policy(version="1.0.0")
    library.add_definition(again)
    assert library.definitions() == (again,)


def test_the_effect_of_a_resource_provider_mode_is_kept_as_written() -> None:
    body = parse_definition(
        definition_body(
            {"field": "x"},
            "[parameters('e')]",
            mode="Microsoft.Kubernetes.Data",
            parameters={"e": {"type": "String", "defaultValue": "enforceRegoPolicy"}},
        )
    )
    policy = _one(assigned_policies(assignment(body.id), Library([body])))
    assert policy.effect == "enforceRegoPolicy"


def test_the_message_of_a_reference_wins_over_the_general_one() -> None:
    made = assignment(
        f"{AUTHORIZATION}/policySetDefinitions/x",
        nonComplianceMessages=[
            {"message": "general"},
            {"message": "special", "policyDefinitionReferenceId": "R"},
        ],
    )
    assert message_for(made, "r") == "special"
    assert message_for(made, "other") == "general"
    assert message_for(made, None) == "general"


def test_scope_and_excluded_scopes() -> None:
    made = assignment(f"{AUTHORIZATION}/policyDefinitions/x", notScopes=[f"{SUBSCRIPTION}/resourceGroups/H"])
    assert in_scope(made, VM1)
    assert in_scope(made, SUBSCRIPTION)
    assert not in_scope(made, VM1.replace("/g/", "/h/"))
    assert in_scope(made, VM1.replace("/g/", "/hh/"))
    assert not in_scope(made, VM1.replace("s-1", "s-11"))


def test_a_management_group_covers_what_stands_below_it() -> None:
    group = "/providers/Microsoft.Management/managementGroups/corp"
    made = assignment(f"{AUTHORIZATION}/policyDefinitions/x", scope=group)
    assert made.scope == group
    assert in_scope(made, VM1, [group.upper()])
    assert not in_scope(made, VM1, ["/providers/Microsoft.Management/managementGroups/other"])
    excluded = replace(made, not_scopes=("/providers/Microsoft.Management/managementGroups/dev",))
    assert not in_scope(excluded, VM1, [group, "/providers/Microsoft.Management/managementGroups/dev"])


def test_the_tenant_covers_everything() -> None:
    assert scope_of(f"{AUTHORIZATION}/policyAssignments/x") == "/"
    assert covers("/", VM1)


@pytest.mark.parametrize(
    ("id_", "type_", "name", "full", "holder"),
    [
        (SUBSCRIPTION, "Microsoft.Resources/subscriptions", "s-1", "s-1", None),
        (GROUP, "Microsoft.Resources/subscriptions/resourceGroups", "g", "g", SUBSCRIPTION),
        (VM1, "Microsoft.Compute/virtualMachines", "vm1", "vm1", GROUP),
        (f"{VM1}/extensions/e", "Microsoft.Compute/virtualMachines/extensions", "e", "vm1/e", VM1),
        (f"{VM1}/providers/Microsoft.X/links/l", "Microsoft.X/links", "l", "l", VM1),
        (
            "/providers/Microsoft.Management/managementGroups/m",
            "Microsoft.Management/managementGroups",
            "m",
            "m",
            None,
        ),
    ],
)
def test_what_an_id_says(id_: str, type_: str, name: str, full: str, holder: str | None) -> None:
    place = place_of(id_)
    assert (place.type, place.name, place.full_name, place.holder) == (type_, name, full, holder)


@pytest.mark.parametrize("text", ["", "vm1", "/", "/subscriptions", "/subscriptions/s/providers/x"])
def test_what_is_no_id_has_no_type(text: str) -> None:
    assert place_of(text).type == ""


def _selector(body: dict[str, Any]) -> Selector:
    return Selector(
        kind=SelectorKind(body["kind"]),
        within=tuple(body["in"]) if "in" in body else None,
        outside=tuple(body["notIn"]) if "notIn" in body else None,
        progress=body.get("progress"),
    )


@pytest.mark.parametrize("case", SELECTORS, ids=lambda case: case["holds"])
def test_a_selector_selects(case: dict[str, Any]) -> None:
    about: dict[str, Any] = {"id": VM1, "type": "T/x", "location": "eastus", **case["subject"]}
    if "groups" in about:
        about["groups"] = tuple(about["groups"])
    assert matches(_selector(case["selector"]), Subject(**about)) is case["selected"]


def test_all_selectors_of_one_and_any_of_several_must_match() -> None:
    east = Selector(kind=SelectorKind.RESOURCE_LOCATION, within=("eastus",))
    disks = Selector(kind=SelectorKind.RESOURCE_TYPE, within=("T/disk",))
    vm = Subject(id=VM1, type="T/vm", location="eastus")
    both = ResourceSelector(name="both", selectors=(east, disks))
    assert not selected([both], vm)
    assert selected([both, ResourceSelector(name="one", selectors=(east,))], vm)
    assert selected([], vm)


def test_version_text_comes_back() -> None:
    assert str(parse_version("1.2.3-preview", "v")) == "1.2.3-preview"
