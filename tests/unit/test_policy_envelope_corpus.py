"""The service's own definitions and initiatives: read, written back, assigned, judged, decided, explained."""

import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.aliases import from_shared
from goldsmith.policy.authoring import check_definition
from goldsmith.policy.definition import Absent, Parameter, ParameterType, PolicyDefinition
from goldsmith.policy.door import AdmissionRequest, DenialKind, Rules, decide
from goldsmith.policy.evaluate import evaluate_node
from goldsmith.policy.explain import explain
from goldsmith.policy.initiative import PolicySetDefinition
from goldsmith.policy.library import AssignedPolicy, Library, assigned_policies
from goldsmith.policy.prepared import Compiler
from goldsmith.policy.verdict import ComplianceState, Settings, evaluate_policies
from goldsmith.policy.wire.definition import definition_json, parse_definition
from goldsmith.policy.wire.initiative import initiative_json, parse_initiative
from tests.policies import VM_TYPE, assignment, target, vm

SHARED = Path(__file__).parents[3] / "shared/azure-policy"
pytestmark = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the service's definitions are not in ../shared/azure-policy"
)
# Six of the parameters have a schema or form that a made-up value cannot meet.
_UNMET_MOST = 6
MACHINE = vm(
    tags={"env": "dev"},
    properties={
        "hardwareProfile": {"vmSize": "Standard_D2s_v3"},
        "storageProfile": {
            "imageReference": {"publisher": "Canonical", "offer": "UbuntuServer", "sku": "18.04-LTS"},
            "osDisk": {"osType": "Linux"},
            "dataDisks": [{"lun": 0}],
        },
        "osProfile": {"linuxConfiguration": {"patchSettings": {}}},
    },
)
SURROUNDINGS: dict[str, Any] = {
    "resource_group": {"name": "g", "location": "eastus", "tags": {}},
    "subscription": {"subscriptionId": "s-1", "id": "/subscriptions/s-1", "tags": {}},
}


def _bodies(name: str) -> Iterator[Any]:
    with gzip.open(SHARED / name) as lines:
        for line in lines:
            yield json.loads(line)


@cache
def _library() -> Library:
    return Library(
        (parse_definition(body, limited=False) for body in _bodies("policyDefinitions.evaluable.jsonl.gz")),
        (parse_initiative(body, limited=False) for body in _bodies("policySetDefinitions.vm.jsonl.gz")),
    )


@cache
def _compiler() -> Compiler:
    with gzip.open(SHARED / "aliases/aliases.full.json.gz") as file:
        return Compiler(from_shared(json.load(file)))


def _some_value(parameter: Parameter) -> JsonValue:
    if parameter.allowed:
        first = parameter.allowed[0]
        return [first] if parameter.type is ParameterType.ARRAY else first
    match parameter.type:
        case ParameterType.STRING:
            return "x"
        case ParameterType.ARRAY:
            return ["x"]
        case ParameterType.OBJECT:
            return {}
        case ParameterType.BOOLEAN:
            return True
        case ParameterType.INTEGER | ParameterType.FLOAT:
            return 1
        case ParameterType.DATE_TIME:
            return "2026-01-01T00:00:00.0000000Z"


@cache
def _assigned() -> tuple[tuple[AssignedPolicy, ...], int]:
    policies: list[AssignedPolicy] = []
    unmet = 0
    library = _library()
    bodies: list[PolicyDefinition | PolicySetDefinition] = [*library.definitions(), *library.initiatives()]
    for number, each in enumerate(bodies):
        values = {
            name: {"value": _some_value(parameter)}
            for name, parameter in each.parameters.items()
            if parameter.default is Absent.ABSENT
        }
        try:
            policies += assigned_policies(assignment(each.id, name=f"a{number}", parameters=values), library)
        except InvalidInputError:
            unmet += 1
    return tuple(policies), unmet


def test_every_definition_and_initiative_is_read_and_written_back() -> None:
    library = _library()
    assert len(library.definitions()) == 2769
    assert len(library.initiatives()) == 60
    for definition in library.definitions():
        body = definition_json(definition)
        assert definition_json(parse_definition(body, limited=False)) == body
    for initiative in library.initiatives():
        body = initiative_json(initiative)
        assert initiative_json(parse_initiative(body, limited=False)) == body


def test_the_services_own_definitions_could_be_created_but_for_unused_parameters() -> None:
    for definition in _library().definitions():
        code = None
        try:
            check_definition(definition, _compiler().aliases)
        except InvalidInputError as error:
            code = error.code
        assert code in (None, "UnusedPolicyParameters"), definition.id


def test_nearly_everything_can_be_assigned_with_made_up_values() -> None:
    policies, unmet = _assigned()
    assert len(policies) > 3000
    assert unmet <= _UNMET_MOST


def test_every_policy_has_a_verdict_on_a_machine_and_none_is_an_error() -> None:
    policies, _ = _assigned()
    verdicts = evaluate_policies(policies, target(MACHINE, **SURROUNDINGS), Settings(compiler=_compiler()))
    assert len(verdicts) == len(policies)
    assert [each for each in verdicts if each.state is ComplianceState.ERROR] == []
    for verdict in verdicts:
        if not verdict.assigned.definition.evaluated:
            assert verdict.state is ComplianceState.NOT_EVALUATED


def test_a_request_for_a_machine_is_decided_by_all_policies_without_failures() -> None:
    policies, _ = _assigned()
    identity = {"idtyp": "user", "acrs": "p1"}
    about = target(
        MACHINE, **SURROUNDINGS, request_context={"apiVersion": "2024-03-01", "identity": identity}
    )
    request = AdmissionRequest(target=about, api_version="2024-03-01")
    decision = decide(request, policies, Rules(compiler=_compiler()))
    assert not decision.allowed
    assert [each for each in decision.denials if each.kind is DenialKind.ERROR] == []


def test_explained_and_evaluated_results_agree_on_every_policy() -> None:
    policies, _ = _assigned()
    compiler, about = _compiler(), target(MACHINE, **SURROUNDINGS)
    for policy in policies:
        if not policy.definition.evaluated:
            continue
        prepared = compiler.prepare(policy, VM_TYPE)
        evaluated: bool | None
        try:
            evaluated = evaluate_node(prepared.rule.condition, about.document)
        except EvaluationError:
            evaluated = None
        explained = explain(prepared, about, compiler=compiler).condition
        assert explained.result is evaluated, policy.definition.id
