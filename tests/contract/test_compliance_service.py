"""The use cases of compliance over a real store: import, scan, status, why, history and remediation."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from goldsmith.compliance import service
from goldsmith.compliance.model import CauseKind, Progress
from goldsmith.compliance.ports import NoDeployer
from goldsmith.compliance.remediation import (
    DeploymentStatus,
    DiscoveryMode,
    PlannedRemediation,
    ProvisioningState,
)
from goldsmith.compliance.remediations import Remediations
from goldsmith.compliance.summary import By, non_compliant_ids
from goldsmith.compliance.wire import deployment_json, parse_remediation
from goldsmith.kernel.cancel import CancelFlag
from goldsmith.kernel.errors import (
    CanceledError,
    ConflictError,
    Error,
    InvalidInputError,
    NotFoundError,
    UnsupportedError,
)
from goldsmith.kernel.ids import RandomIds
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.catalog.model import ImportReport
from goldsmith.policy.verdict import ComplianceState
from goldsmith.policy.wire.assignment import parse_assignment
from goldsmith.policy.wire.definition import parse_definition
from goldsmith.policy.wire.exemption import parse_exemption
from goldsmith.policy.wire.initiative import parse_initiative
from tests.compliance_world import (
    OTHER,
    RULES,
    START,
    SUBSCRIPTION,
    VM_TYPE,
    Estate,
    assignment,
    assignment_id,
    attestation,
    definition,
    exemption,
    extension,
    fresh_estate,
    group,
    group_id,
    initiative,
    states_of,
    vm,
    vm_id,
)

NON_COMPLIANT, COMPLIANT = ComplianceState.NON_COMPLIANT, ComplianceState.COMPLIANT
SIZE = assignment_id("size").lower()


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Estate]:
    opened = fresh_estate(tmp_path)
    report = ImportReport(
        definitions=tuple(parse_definition(definition(name)) for name in RULES),
        initiatives=(parse_initiative(initiative("some", ["size", "agent", "ownerA"])),),
        assignments=(
            parse_assignment(assignment("size", "size")),
            parse_assignment(assignment("some", "some", set_=True)),
        ),
        sources={},
        failures=(),
        duplicates=(),
        skipped=(),
    )
    put = service.put_policy_objects(opened.resources, report, actor="test")
    assert (put.created, put.refused) == (len(RULES) + 3, ())
    yield opened
    opened.close()


def fleet() -> list[JsonObject]:
    return [
        vm(vm_id("v0"), tags={"owner": "a", "Team": "x"}),
        vm(vm_id("v1"), size="Large", tags={"owner": "a", "team": "y"}),
        vm(vm_id("v2", "g1"), size="Large", tags={"owner": "b"}),
        vm(vm_id("v3", "g1"), tags={"owner": "a"}),
        vm(vm_id("v4", "g9", OTHER), size="Large"),
        extension(vm_id("v0"), "e"),
        group("g0"),
    ]


def import_fleet(estate: Estate) -> None:
    done = service.import_resources(estate.resources, fleet(), actor="test")
    assert (done.created, done.updated, done.unchanged) == (7, 0, 0)


def test_importing_twice_writes_once_and_tells_what_it_refused(estate: Estate) -> None:
    import_fleet(estate)
    documents: list[Any] = [*fleet(), {"name": "nobody"}, vm(vm_id("v0"), size="Large")]
    done = service.import_resources(estate.resources, documents, actor="test")
    assert (done.created, done.updated, done.unchanged) == (0, 1, 7)
    assert [each.number for each in done.refused] == [7]


def test_a_scan_tells_its_progress_and_its_result(estate: Estate) -> None:
    import_fleet(estate)
    events: list[Progress] = []
    result = service.scan(estate.keeper, on_progress=events.append)
    assert result.policies == 4
    assert result.overall.counts == {NON_COMPLIANT: 3, COMPLIANT: 1}
    assert result.overall.percentage == 25.0
    assert {each.phase for each in events} == {"reading", "evaluating", "done"}
    assert events[-1].policies_done == events[-1].policies_total > 0
    assert service.scan(estate.keeper).transitions == 0


def test_a_scan_that_is_canceled_changes_nothing(estate: Estate) -> None:
    import_fleet(estate)
    cancel = CancelFlag()
    cancel.set("enough")
    with pytest.raises(CanceledError):
        service.scan(estate.keeper, cancel=cancel)
    assert estate.store.followed().revision == 0
    assert service.scan(estate.keeper).overall.resources == 4


def counts(estate: Estate, by: By, **more: Any) -> dict[str, tuple[int, int]]:
    """Resources and non-compliant ones by label."""
    lines = service.summarise(estate.keeper, by, **more)
    return {line.label: (line.resources, line.non_compliant) for line in lines}


def test_summaries_count_distinct_resources_under_their_worst_state(estate: Estate) -> None:
    import_fleet(estate)
    estate.keeper.catch_up()
    assert counts(estate, By.ASSIGNMENT) == {"Assignment size": (4, 2), "Assignment some": (4, 3)}
    assert counts(estate, By.INITIATIVE) == {"Initiative some": (4, 3)}
    assert counts(estate, By.DEFINITION) == {
        "Policy agent": (4, 3),
        "Policy size": (4, 2),
        "Policy ownerA": (4, 1),
    }
    assert counts(estate, By.GROUP) == {"odd": (4, 3), "even": (4, 2)}
    assert counts(estate, By.RESOURCE_GROUP) == {"g0": (2, 1), "g1": (2, 2)}
    assert counts(estate, By.SUBSCRIPTION) == {"s1": (4, 3)}
    assert counts(estate, By.TYPE) == {VM_TYPE: (4, 3)}
    assert counts(estate, By.TAG, tag="TEAM") == {"x": (1, 0), "y": (1, 1), "": (2, 2)}
    assert counts(estate, By.ASSIGNMENT, scope=group_id("G1")) == {
        "Assignment size": (2, 1),
        "Assignment some": (2, 2),
    }
    (line,) = service.summarise(estate.keeper, By.SUBSCRIPTION)
    assert (line.policies, line.non_compliant_policies) == (4, 4)
    assert line.percentage == 25.0
    assert non_compliant_ids(estate.keeper, [(SIZE, "")]) == [
        vm_id("v1").lower(),
        vm_id("v2", "g1").lower(),
    ]


def test_status_follows_first_and_names_the_worst_reasons(estate: Estate) -> None:
    import_fleet(estate)
    estate.put(assignment("lost", "nowhere"))
    found = service.status(estate.keeper)
    assert found.overall.counts == {NON_COMPLIANT: 3, COMPLIANT: 1}
    assert found.followed_at == START
    assert list(found.problems) == [assignment_id("lost").lower()]
    assert found.reasons is not None
    assert found.reasons.looked_at == found.reasons.non_compliant == 2 + 2 + 3 + 1
    assert found.reasons.reasons[0].sentence == "Current value must be in the target value."
    assert found.reasons.reasons[0].pairs == 4


def test_why_says_all_that_is_known_of_a_resource(estate: Estate) -> None:
    import_fleet(estate)
    estate.keeper.catch_up()
    estate.clock.pass_seconds(3600)
    estate.put(vm(vm_id("v0"), size="Large", tags={"owner": "a"}))
    found = service.why(estate.keeper, vm_id("V0"))
    assert found.state is NON_COMPLIANT
    by_key = {each.assigned.key: each for each in found.policies}
    size = by_key[(SIZE, "")]
    assert (size.state, size.since) == (NON_COMPLIANT, START + timedelta(hours=1))
    # The condition on the type is true as well, and a rule can be left by either.
    assert size.verdict.reasons[-1] == "Current value must be in the target value."
    assert size.explanation is not None
    assert size.explanation.condition.result is True
    assert size.next_steps
    agent = by_key[(assignment_id("some").lower(), "agent")]
    assert (agent.state, agent.since) == (COMPLIANT, START)
    assert agent.explanation is not None
    assert agent.explanation.related is not None
    assert len(service.why(estate.keeper, vm_id("v0"), assignment="SIZE").policies) == 1
    outside = service.why(estate.keeper, vm_id("v4", "g9", OTHER))
    assert (outside.policies, outside.state) == ((), None)
    with pytest.raises(NotFoundError):
        service.why(estate.keeper, vm_id("v9"))
    with pytest.raises(NotFoundError):
        service.why(estate.keeper, vm_id("v0"), assignment="nobody")


def test_history_tells_what_changed_when_and_because_of_what(estate: Estate) -> None:
    import_fleet(estate)
    estate.keeper.catch_up()
    estate.clock.pass_seconds(24 * 3600)
    estate.put(vm(vm_id("v0"), size="Large", tags={"owner": "a"}))
    estate.keeper.catch_up()
    estate.delete(f"{vm_id('v0')}/extensions/e")
    estate.keeper.catch_up()
    found = service.history(estate.keeper, resource_id=vm_id("v0"))
    seen = [(each.policy[1], each.after, each.cause.kind) for each in found.transitions]
    assert sorted(seen, key=str) == [
        ("", NON_COMPLIANT, CauseKind.RESOURCE),
        ("agent", NON_COMPLIANT, CauseKind.RELATED),
        ("size", NON_COMPLIANT, CauseKind.RESOURCE),
    ]
    assert {each.code for each in found.transitions} == {"ConditionMet", "NoRelatedResources"}
    days = service.history(estate.keeper).days
    assert [(each.day, dict(each.counts)) for each in days] == [
        ("2026-01-01", {NON_COMPLIANT: 3, COMPLIANT: 1}),
        ("2026-01-02", {NON_COMPLIANT: 4}),
    ]
    days = service.history(estate.keeper, policy=(SIZE, "")).days
    assert [each.counts[NON_COMPLIANT] for each in days] == [2, 3]


def test_exemptions_and_attestations_are_policy_objects_too(estate: Estate) -> None:
    import_fleet(estate)
    estate.put(assignment("manual", "manual"))
    estate.put(attestation("t", assignment_id("manual"), scope=vm_id("v0")))
    given = exemption("x", assignment_id("size"), scope=group_id("g1"))
    report = ImportReport(
        definitions=(), initiatives=(), assignments=(), sources={}, failures=(), duplicates=(), skipped=()
    )
    service.put_policy_objects(estate.resources, report, actor="test", exemptions=[parse_exemption(given)])
    estate.keeper.catch_up()
    states = states_of(estate.keeper)
    assert states[(vm_id("v2", "g1").lower(), (SIZE, ""))] is ComplianceState.EXEMPT
    manual = (assignment_id("manual").lower(), "")
    assert states[(vm_id("v0").lower(), manual)] is COMPLIANT
    assert states[(vm_id("v1").lower(), manual)] is ComplianceState.UNKNOWN


# --- remediation -------------------------------------------------------------------------------------------

TASK = f"{SUBSCRIPTION}/providers/Microsoft.PolicyInsights/remediations/task"


def task(**members: Any) -> JsonObject:
    properties = {
        "policyAssignmentId": assignment_id("some"),
        "policyDefinitionReferenceId": "ownerA",
        **members,
    }
    return {"id": TASK, "name": "task", "properties": properties}


@pytest.fixture
def remediations(estate: Estate) -> Remediations:
    for number in range(5):
        estate.put(vm(vm_id(f"w{number}", "g1"), location="northeurope" if number else "westeurope"))
    estate.keeper.catch_up()
    return Remediations(estate.engine, estate.resources, estate.clock, RandomIds())


class Recorder:
    """Carries out everything but what it was told to fail."""

    def __init__(self, failing: tuple[str, ...] = ()) -> None:
        self.done: list[str] = []
        self._failing = failing

    def deploy(self, remediation_id: str, item: PlannedRemediation) -> str:
        name = item.resource_id.rpartition("/")[2]
        if name in self._failing:
            raise Error(f"{name} does not want to")
        self.done.append(name)
        return f"{remediation_id}/{name}"


def test_a_plan_shows_what_would_be_done_and_writes_nothing(
    estate: Estate, remediations: Remediations
) -> None:
    plan = service.remediation_plan(estate.keeper, task(resourceCount=3))
    assert (len(plan.items), plan.found) == (3, 5)
    assert plan.items[0].resource_id == vm_id("w0", "g1")
    assert plan.items[0].action["operations"] == [
        {"operation": "addOrReplace", "field": "tags['owner']", "value": "a"}
    ]
    assert plan.role_definition_ids == ("/providers/Microsoft.Authorization/roleDefinitions/r",)
    filtered = task(
        filters={"locations": ["North Europe"], "resourceIds": [vm_id("w1", "g1"), vm_id("w2", "g1")]}
    )
    assert len(service.remediation_plan(estate.keeper, filtered).items) == 2
    again = task(resourceDiscoveryMode="ReEvaluateCompliance")
    assert service.remediation_plan(estate.keeper, again).found == 5
    assert remediations.list() == []


def test_a_deployment_is_planned_with_its_parameters_computed(estate: Estate) -> None:
    rule = {
        "if": {"field": "type", "equals": VM_TYPE},
        "then": {
            "effect": "deployIfNotExists",
            "details": {
                "type": f"{VM_TYPE}/extensions",
                "roleDefinitionIds": ["/providers/Microsoft.Authorization/roleDefinitions/r"],
                "deployment": {
                    "properties": {
                        "mode": "incremental",
                        "template": {"resources": [{"name": "[parameters('vm')]"}]},
                        "parameters": {"vm": {"value": "[concat('x-', field('name'))]"}},
                    }
                },
            },
        },
    }
    estate.put(definition("deploy", rule))
    estate.put(assignment("deploy", "deploy"))
    estate.put(vm(vm_id("v0")))
    wanted = {"id": TASK, "properties": {"policyAssignmentId": assignment_id("deploy")}}
    (item,) = service.remediation_plan(estate.keeper, wanted).items
    assert item.problem is None
    assert item.action["parameters"] == {"vm": {"value": "x-v0"}}
    assert item.action["resourceGroup"] == "g0"
    assert item.action["template"]["resources"][0]["name"] == "[parameters('vm')]"


def test_a_task_runs_to_its_end(estate: Estate, remediations: Remediations) -> None:
    plan = service.remediation_plan(estate.keeper, task(parallelDeployments=2))
    created = service.create_remediation(remediations, plan, actor="test")
    assert created.state is ProvisioningState.ACCEPTED
    with pytest.raises(ConflictError):
        remediations.create(plan, actor="test")
    recorder = Recorder(failing=("w3",))
    ended = remediations.run(TASK, recorder, actor="test")
    assert recorder.done == ["w0", "w1", "w2", "w4"]
    assert ended.state is ProvisioningState.COMPLETE
    assert estate.resources.get(TASK).properties["deploymentStatus"] == {
        "totalDeployments": 5,
        "successfulDeployments": 4,
        "failedDeployments": 1,
    }
    shown = [deployment_json(each) for each in ended.deployments]
    assert shown[3]["status"] == "Failed"
    assert shown[3]["error"]["message"] == "w3 does not want to"
    assert shown[0]["deploymentId"] == f"{TASK}/w0"
    with pytest.raises(ConflictError):
        remediations.run(TASK, recorder, actor="test")
    assert remediations.create(plan, actor="test").state is ProvisioningState.ACCEPTED


def test_a_task_stops_when_too_much_fails(estate: Estate, remediations: Remediations) -> None:
    wanted = task(parallelDeployments=1, failureThreshold={"percentage": 0.2})
    remediations.create(service.remediation_plan(estate.keeper, wanted), actor="test")
    ended = remediations.run(TASK, Recorder(failing=("w0", "w1")), actor="test")
    assert ended.state is ProvisioningState.FAILED
    assert [each.status for each in ended.deployments] == [
        DeploymentStatus.FAILED,
        DeploymentStatus.FAILED,
        *[DeploymentStatus.CANCELED] * 3,
    ]


def test_until_something_deploys_a_task_waits_and_can_be_canceled(
    estate: Estate, remediations: Remediations
) -> None:
    remediations.create(service.remediation_plan(estate.keeper, task()), actor="test")
    with pytest.raises(UnsupportedError, match="nothing runs deployments"):
        remediations.run(TASK, NoDeployer(), actor="test")
    waiting = remediations.get(TASK)
    assert waiting.state is ProvisioningState.ACCEPTED
    assert waiting.status_message is not None
    assert {each.status for each in waiting.deployments} == {DeploymentStatus.WAITING}
    canceled = remediations.cancel(TASK, actor="test")
    assert canceled.state is ProvisioningState.CANCELED
    assert {each.status for each in canceled.deployments} == {DeploymentStatus.CANCELED}
    with pytest.raises(ConflictError):
        remediations.cancel(TASK, actor="test")


@pytest.mark.usefixtures("remediations")
def test_what_cannot_be_remediated_is_refused(estate: Estate) -> None:
    for members, error in (
        ({"policyDefinitionReferenceId": "size"}, InvalidInputError),
        ({"policyDefinitionReferenceId": "nothing"}, InvalidInputError),
        ({"policyAssignmentId": assignment_id("nobody")}, NotFoundError),
        ({"resourceCount": 50_001}, InvalidInputError),
        ({"parallelDeployments": 31}, InvalidInputError),
        ({"parallelDeployments": 0}, InvalidInputError),
        ({"failureThreshold": {"percentage": 101}}, InvalidInputError),
        ({"surprise": 1}, InvalidInputError),
    ):
        with pytest.raises(error):
            service.remediation_plan(estate.keeper, task(**members))


def test_the_shape_of_a_task_has_the_documented_defaults() -> None:
    request = parse_remediation(task(failureThreshold={"percentage": 20}))
    assert (request.resource_count, request.parallel_deployments) == (500, 10)
    assert request.discovery is DiscoveryMode.EXISTING_NON_COMPLIANT
    assert request.failure_share == 0.2
    assert request.scope == SUBSCRIPTION
