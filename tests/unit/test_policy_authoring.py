"""What is refused when definitions, initiatives, assignments, exemptions and enrollments are written."""

from typing import Any

import pytest

from goldsmith.kernel.errors import InvalidInputError, NotFoundError
from goldsmith.policy.assignment import EnforcementMode
from goldsmith.policy.authoring import check_assignment, check_definition, check_exemption, check_initiative
from goldsmith.policy.library import Library
from goldsmith.policy.wire.exemption import parse_enrollment, parse_exemption
from tests.policies import (
    ALIASES,
    AUTHORIZATION,
    GROUP,
    ROLE,
    SUBSCRIPTION,
    VM_TYPE,
    assignment,
    definition,
    initiative_of,
)

IS_VM = {"field": "type", "equals": VM_TYPE}
STRING = {"type": "String"}


def _changes(field: str) -> Any:
    operation = {"operation": "addOrReplace", "field": field, "value": "x"}
    return {"roleDefinitionIds": [ROLE], "operations": [operation]}


@pytest.mark.parametrize(
    ("condition", "effect", "rest", "code"),
    [
        (IS_VM, "deny", {"parameters": {"p": STRING}}, "UnusedPolicyParameters"),
        ({"field": "name", "equals": "[parameters('p')]"}, "deny", {}, "InvalidPolicyParameters"),
        (IS_VM, "modify", {"details": {"operations": []}}, "InvalidPolicyRule"),
        (IS_VM, "denyAction", {"details": {"actionNames": ["write"]}}, "InvalidPolicyRule"),
        (
            IS_VM,
            "denyAction",
            {"details": {"actionNames": ["delete"], "cascadeBehaviors": {"resourceGroup": "deny"}}},
            "InvalidPolicyRule",
        ),
        (IS_VM, "deployIfNotExists", {"details": {"type": "T/x"}}, "InvalidPolicyRule"),
        (IS_VM, "manual", {"details": {"defaultState": "Fine"}}, "InvalidRequestContent"),
        (IS_VM, "modify", {"details": _changes(f"{VM_TYPE}/vmId")}, "InvalidPolicyRule"),
        (IS_VM, "append", {"details": {"field": "x"}}, "InvalidRequestContent"),
    ],
)
def test_a_definition_that_cannot_work_is_refused(condition: Any, effect: str, rest: Any, code: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_definition(definition(condition, effect, **rest), ALIASES)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("effect", "rest"),
    [
        ("deny", {}),
        ("modify", {"details": _changes(f"{VM_TYPE}/priority")}),
        ("modify", {"details": _changes("tags.a")}),
        ("denyAction", {"details": {"actionNames": ["delete"]}}),
        ("manual", {}),
    ],
)
def test_a_definition_that_can_work_is_taken(effect: str, rest: Any) -> None:
    check_definition(definition(IS_VM, effect, **rest), ALIASES)


def test_a_parameter_of_a_template_is_not_one_of_the_policy() -> None:
    details = {
        "type": "T/x",
        "roleDefinitionIds": [ROLE],
        "deployment": {"properties": {"mode": "incremental", "template": {"x": "[parameters('theirs')]"}}},
    }
    check_definition(definition(IS_VM, "deployIfNotExists", details=details))


def test_an_initiative_gives_what_its_definitions_need() -> None:
    body = definition({"field": "name", "equals": "[parameters('p')]"}, parameters={"p": STRING})
    missing = initiative_of([body])
    with pytest.raises(InvalidInputError) as caught:
        check_initiative(missing, Library([body]))
    assert caught.value.code == "MissingPolicyParameter"
    with pytest.raises(NotFoundError):
        check_initiative(missing, Library())
    too_many = initiative_of(
        [body],
        policyDefinitions=[
            {"policyDefinitionId": body.id, "parameters": {"P": {"value": 1}, "q": {"value": 1}}}
        ],
    )
    with pytest.raises(InvalidInputError) as caught:
        check_initiative(too_many, Library([body]))
    assert str(caught.value) == (
        "The policy set definition 'set' is attempting to assign the parameter(s) 'q' "
        "which are not defined in the policy definition 'd'."
    )


def test_an_assignment_that_acts_needs_an_identity_with_a_place() -> None:
    body = definition(IS_VM, "modify", details=_changes("tags.a"))
    library = Library([body])
    made = assignment(body.id)
    with pytest.raises(InvalidInputError) as caught:
        check_assignment(made, library)
    assert caught.value.code == "ResourceIdentityRequired"
    check_assignment(assignment(definition(IS_VM, name="e").id), Library([definition(IS_VM, name="e")]))


def _exemption(scope: str, **properties: Any) -> Any:
    body = {
        "properties": {
            "policyAssignmentId": f"{GROUP}{AUTHORIZATION}/policyAssignments/a",
            "exemptionCategory": "Waiver",
            **properties,
        }
    }
    return parse_exemption(body, id_=f"{scope}{AUTHORIZATION}/policyExemptions/e")


@pytest.mark.parametrize(
    ("scope", "properties", "fine"),
    [
        (GROUP, {}, True),
        (SUBSCRIPTION, {}, False),
        (SUBSCRIPTION, {"assignmentScopeValidation": "DoNotValidate"}, True),
        (GROUP, {"policyDefinitionReferenceIds": ["ONE"]}, True),
        (GROUP, {"policyDefinitionReferenceIds": ["two"]}, False),
    ],
)
def test_an_exemption_belongs_to_its_assignment(scope: str, properties: Any, fine: bool) -> None:
    made = assignment(f"{AUTHORIZATION}/policyDefinitions/d", scope=GROUP)
    if fine:
        check_exemption(_exemption(scope, **properties), made, reference_ids=["one"])
    else:
        with pytest.raises(InvalidInputError) as caught:
            check_exemption(_exemption(scope, **properties), made, reference_ids=["one"])
        assert caught.value.code == "InvalidPolicyExemption"


def test_an_enrollment_needs_an_assignment_in_that_mode() -> None:
    body = {"properties": {"policyAssignmentId": f"{GROUP}{AUTHORIZATION}/policyAssignments/a"}}
    enrollment = parse_enrollment(body, id_=f"{GROUP}{AUTHORIZATION}/policyEnrollments/n")
    plain = assignment(f"{AUTHORIZATION}/policyDefinitions/d")
    with pytest.raises(InvalidInputError) as caught:
        check_exemption(enrollment, plain, reference_ids=[])
    assert caught.value.code == "InvalidPolicyEnrollment"
    enrolling = assignment(f"{AUTHORIZATION}/policyDefinitions/d", enforcementMode=EnforcementMode.ENROLL)
    check_exemption(enrollment, enrolling, reference_ids=[])
