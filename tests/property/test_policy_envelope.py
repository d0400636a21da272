"""Laws of assignments, changes, decisions and explanations over generated policies and resources."""

import contextlib
import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.policy.door import AdmissionRequest, Decision, RequestKind, Rules, decide
from goldsmith.policy.evaluate import evaluate_node
from goldsmith.policy.explain import explain
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.modify import apply, plan
from goldsmith.policy.selectors import Selector, SelectorKind, Subject, matches
from goldsmith.policy.verdict import ComplianceState, Settings, evaluate_policy
from goldsmith.policy.wire.assignment import parse_assignment
from goldsmith.policy.wire.definition import parse_definition
from goldsmith.policy.wire.exemption import parse_attestation, parse_exemption
from goldsmith.policy.wire.initiative import parse_initiative
from tests.policies import VM_TYPE, assigned, compiler, definition, deny, modify, target, vm

# Of one array in one rule.
_COUNTS_MOST = 5
TAGS = st.sampled_from(["a", "A", "b", "c"])
VALUES = st.sampled_from(["1", "2"])
SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 30) | st.sampled_from(["", "x", "1", "vm1", "eastus", "a*"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "type", "name", "tags", "properties", "location", "a", "x", "dataDisks", "lun"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    [
        "type",
        "name",
        "location",
        "kind",
        "tags.a",
        "tags['x']",
        f"{VM_TYPE}/sku.name",
        f"{VM_TYPE}/storageProfile.dataDisks[*].lun",
        "Microsoft.Compute/imageId",
    ]
)
TARGETS = st.sampled_from(["", "x", "vm1", "eastus", VM_TYPE, "1", "v*"])
FAILING = st.just({"value": "[int(field('name'))]", "equals": 1})
LEAVES = st.one_of(
    st.builds(
        lambda field, operator, value: {"field": field, operator: value},
        FIELDS,
        st.sampled_from(
            ["equals", "notEquals", "like", "notLike", "contains", "notContains", "less", "greater"]
        ),
        TARGETS,
    ),
    st.builds(lambda field, value: {"field": field, "exists": value}, FIELDS, st.booleans()),
    st.builds(
        lambda field, values: {"field": field, "in": values},
        FIELDS,
        st.lists(TARGETS, min_size=1, max_size=3),
    ),
    st.builds(
        lambda operator, number: {
            "count": {
                "field": f"{VM_TYPE}/storageProfile.dataDisks[*]",
                "where": {"field": f"{VM_TYPE}/storageProfile.dataDisks[*].lun", "greater": 0},
            },
            operator: number,
        },
        st.sampled_from(["equals", "greater", "lessOrEquals"]),
        st.integers(0, 2),
    ),
    FAILING,
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda each: {"not": each}, inner),
        st.builds(lambda each: {"allOf": each}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda each: {"anyOf": each}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=8,
).filter(lambda condition: json.dumps(condition).count('"count"') <= _COUNTS_MOST)
RESOURCES = st.builds(
    lambda name, tags, sku, disks: vm(
        name,
        tags=tags,
        properties={"hardwareProfile": {"vmSize": sku}, "storageProfile": {"dataDisks": disks}},
    ),
    st.sampled_from(["vm1", "1", "x"]),
    st.dictionaries(TAGS, VALUES, max_size=2),
    st.sampled_from(["x", "eastus", None]),
    st.lists(st.builds(lambda lun: {"lun": lun}, st.integers(-1, 2)), max_size=3),
)


def _operation(kind: str, tag: str, value: str) -> dict[str, Any]:
    operation = {"operation": kind, "field": f"tags['{tag}']"}
    return operation if kind == "remove" else {**operation, "value": value}


OPERATIONS = st.builds(_operation, st.sampled_from(["add", "addOrReplace", "remove"]), TAGS, VALUES)
MODIFIES = st.lists(
    st.tuples(st.lists(OPERATIONS, min_size=1, max_size=2), st.sampled_from(["audit", "deny", "disabled"])),
    min_size=1,
    max_size=4,
).map(lambda rows: [modify(each, name=f"m{at}", conflict=how) for at, (each, how) in enumerate(rows)])


def _applied(policies: list[AssignedPolicy], resource: dict[str, Any]) -> tuple[Any, Any]:
    made, about = compiler(), target(resource)
    modified = apply([plan(made.prepare(each, VM_TYPE), about, compiler=made) for each in policies], resource)
    losers = sorted((each.prepared.assigned.key, str(each.trouble)) for each in modified.disputes)
    return modified.resource, losers


@settings(max_examples=60, deadline=None)
@given(MODIFIES, st.dictionaries(TAGS, VALUES, max_size=3), st.randoms())
def test_the_order_of_modify_policies_means_nothing(
    policies: Any, tags: dict[str, str], shuffle: Any
) -> None:
    resource = vm(tags=tags)
    other = list(policies)
    shuffle.shuffle(other)
    assert _applied(policies, resource) == _applied(other, resource)


@settings(max_examples=60, deadline=None)
@given(MODIFIES, st.dictionaries(TAGS, VALUES, max_size=3))
def test_changes_leave_the_request_as_it_was_and_are_made_once(policies: Any, tags: dict[str, str]) -> None:
    resource = vm(tags=tags)
    before = copy.deepcopy(resource)
    once, disputes = _applied(policies, resource)
    assert resource == before
    if not disputes:
        # What could be made can be made again, and then changes nothing; only an addition may now stand
        # against a replacement by the same policy.
        again, later = _applied(policies, once)
        assert later or again == once


def _outcome(decision: Decision) -> tuple[Any, ...]:
    return (
        decision.allowed,
        decision.resource,
        sorted(each.assigned.key for each in decision.denials),
        sorted(each.assigned.key for each in decision.audits),
    )


@settings(max_examples=40, deadline=None)
@given(
    MODIFIES,
    st.lists(st.tuples(CONDITIONS, st.sampled_from(["deny", "audit"])), max_size=4),
    RESOURCES,
    st.randoms(),
)
def test_the_order_of_assignments_means_nothing_at_the_door(
    changing: list[AssignedPolicy], others: list[tuple[Any, str]], resource: dict[str, Any], shuffle: Any
) -> None:
    policies = changing + [
        assigned(definition(condition, effect, name=f"p{at}"), name=f"p{at}")
        for at, (condition, effect) in enumerate(others)
    ]
    mixed = list(policies)
    shuffle.shuffle(mixed)

    def outcome(order: list[AssignedPolicy]) -> tuple[Any, ...]:
        request = AdmissionRequest(target=target(resource, request_context={"apiVersion": "2024-01-01"}))
        return _outcome(decide(request, order, Rules(compiler=compiler())))

    assert outcome(policies) == outcome(mixed)


@settings(max_examples=150, deadline=None)
@given(CONDITIONS, RESOURCES)
def test_the_explained_result_is_the_evaluated_one(condition: Any, resource: dict[str, Any]) -> None:
    made, about = compiler(), target(resource)
    prepared = made.prepare(deny(condition), VM_TYPE)
    evaluated: bool | None
    try:
        evaluated = evaluate_node(prepared.rule.condition, about.document)
    except EvaluationError:
        evaluated = None
    assert explain(prepared, about, compiler=made).condition.result is evaluated


@settings(max_examples=100, deadline=None)
@given(CONDITIONS, RESOURCES)
def test_a_request_is_denied_exactly_when_the_stored_resource_would_not_comply(
    condition: Any, resource: dict[str, Any]
) -> None:
    policy = deny(condition)
    decision = decide(AdmissionRequest(target=target(resource)), [policy], Rules(compiler=compiler()))
    verdict = evaluate_policy(policy, target(resource), Settings(compiler=compiler()))
    against = verdict.state in (ComplianceState.NON_COMPLIANT, ComplianceState.ERROR)
    assert decision.allowed is not against


@settings(max_examples=50, deadline=None)
@given(CONDITIONS, st.dictionaries(st.sampled_from(["id", "type", "name", "tags", "properties"]), JSON))
def test_no_json_resource_makes_a_verdict_or_decision_fail(condition: Any, resource: dict[str, Any]) -> None:
    made = compiler()
    policies = [deny(condition), modify([{"operation": "add", "field": "tags.z", "value": "1"}], name="m")]
    for policy in policies:
        evaluate_policy(policy, target(resource), Settings(compiler=made))
    for kind in RequestKind:
        request = AdmissionRequest(target=target(resource), kind=kind)
        assert decide(request, policies, Rules(compiler=made)) is not None


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["properties", "id", "name", "identity", "location"]),
        st.recursive(
            SCALARS,
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "policyDefinitionId",
                            "policyRule",
                            "if",
                            "then",
                            "effect",
                            "parameters",
                            "type",
                            "value",
                            "schema",
                            "mode",
                            "policyDefinitions",
                            "resourceSelectors",
                            "selectors",
                            "overrides",
                            "kind",
                            "in",
                            "exemptionCategory",
                            "policyAssignmentId",
                        ]
                    ),
                    inner,
                    max_size=5,
                )
            ),
            max_leaves=12,
        ),
    )
)
def test_any_json_body_is_read_or_refused(body: dict[str, Any]) -> None:
    for parse in (parse_definition, parse_initiative, parse_assignment, parse_exemption, parse_attestation):
        with contextlib.suppress(InvalidInputError):
            parse(body)


@given(st.text(min_size=1, max_size=30), st.integers(0, 100), st.integers(0, 100))
def test_a_growing_rollout_never_drops_a_resource(id_: str, one: int, other: int) -> None:
    low, high = sorted((one, other))
    subject = Subject(id=id_, type="T/x", location=None)

    def chosen(progress: int) -> bool:
        kind = SelectorKind.RESOURCE_ROLLOUT_PERCENTAGE
        return matches(Selector(kind=kind, progress=progress), subject)

    assert chosen(high) or not chosen(low)
