"""Following every change gives the states of a full scan, which are those of evaluating each resource."""

import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.kernel.json import JsonObject
from tests.compliance_world import (
    MANAGEMENT_GROUP,
    OTHER,
    RULES,
    START,
    SUBSCRIPTION,
    VM_TYPE,
    Estate,
    all_definitions,
    assignment,
    assignment_id,
    attestation,
    definition,
    definition_id,
    exemption,
    extension,
    fresh_estate,
    group,
    group_id,
    guest,
    initiative,
    judged_one_by_one,
    network,
    states_of,
    vm,
    vm_id,
)

# A step changes the estate; its repr is what hypothesis shows of a failure.
Step: TypeAlias = tuple[str, tuple[object, ...]]

VMS = st.sampled_from(
    [vm_id("v0"), vm_id("V1"), vm_id("v2", "G1"), vm_id("v3", "g1"), vm_id("v4", "g0", OTHER)]
)
NAMES = st.sampled_from(["a0", "a0", "a0", "a1", "a2"])
SCOPES = st.sampled_from(
    [SUBSCRIPTION, SUBSCRIPTION, group_id("g0"), group_id("G1"), OTHER, MANAGEMENT_GROUP, vm_id("v0")]
)
LATER = START + timedelta(days=1)
MOMENTS = st.integers(-3, 5).map(lambda days: START + timedelta(days=days, hours=3))
SELECTORS: st.SearchStrategy[JsonObject] = st.sampled_from(
    [
        {},
        {},
        {"notScopes": [group_id("g0")]},
        {
            "resourceSelectors": [
                {"name": "s", "selectors": [{"kind": "resourceLocation", "in": ["West Europe"]}]}
            ]
        },
        {"resourceSelectors": [{"name": "s", "selectors": [{"kind": "resourceType", "notIn": [VM_TYPE]}]}]},
        {
            "overrides": [
                {
                    "kind": "policyEffect",
                    "value": "disabled",
                    "selectors": [{"kind": "resourceLocation", "in": ["northeurope"]}],
                }
            ]
        },
    ]
)
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.tuples(
        st.just("vm"),
        st.tuples(
            VMS,
            st.sampled_from(["Small", "Large", 7]),
            st.sampled_from(["westeurope", "West Europe", "northeurope"]),
            st.sampled_from([{}, {"owner": "a"}, {"owner": "c", "keep": "1"}]),
            MOMENTS,
        ),
    ),
    st.tuples(st.just("vm gone"), st.tuples(VMS)),
    st.tuples(
        st.just("extension"),
        st.tuples(VMS, st.sampled_from(["e0", "e1"]), st.sampled_from(["Agent", "Other"]), MOMENTS),
    ),
    st.tuples(st.just("extension gone"), st.tuples(VMS, st.sampled_from(["e0", "e1"]))),
    st.tuples(st.just("guest"), st.tuples(VMS, st.sampled_from(["Compliant", "Pending"]))),
    st.tuples(st.just("network"), st.tuples(st.sampled_from(["g0", "g1"]), st.booleans(), st.booleans())),
    st.tuples(st.just("group"), st.tuples(st.sampled_from(["g0", "G1"]), st.sampled_from(["prod", None]))),
    st.tuples(st.just("group gone"), st.tuples(st.sampled_from(["g0", "g1"]))),
    st.tuples(st.just("assign"), st.tuples(NAMES, st.sampled_from(sorted(RULES)), SCOPES, SELECTORS)),
    st.tuples(st.just("assign"), st.tuples(NAMES, st.sampled_from(sorted(RULES)), SCOPES, SELECTORS)),
    st.tuples(st.just("assign all"), st.tuples(SCOPES, SELECTORS)),
    st.tuples(st.just("assignment gone"), st.tuples(NAMES, SCOPES)),
    st.tuples(st.just("define"), st.tuples(st.sampled_from(sorted(RULES)), st.sampled_from(sorted(RULES)))),
    st.tuples(st.just("undefine"), st.tuples(st.sampled_from(sorted(RULES)))),
    st.tuples(
        st.just("exempt"),
        st.tuples(
            NAMES,
            SCOPES,
            st.one_of(st.none(), MOMENTS),
            st.sampled_from([{}, {"policyDefinitionReferenceIds": ["size", "ownerA"]}]),
        ),
    ),
    st.tuples(st.just("exemption gone"), st.tuples(SCOPES)),
    st.tuples(
        st.just("attest"),
        st.tuples(NAMES, VMS, st.sampled_from(["Compliant", "NonCompliant"]), st.one_of(st.none(), MOMENTS)),
    ),
    st.tuples(st.just("home"), st.tuples(st.sampled_from([SUBSCRIPTION, OTHER]), st.booleans())),
    st.tuples(st.just("retype"), st.tuples(VMS)),
    st.tuples(st.just("wait"), st.tuples(st.sampled_from([1, 3599, 3600, 40_000, 90_000, 200_000, 200_000]))),
    st.tuples(st.just("follow"), st.tuples(st.sampled_from([1, 2, 500]))),
    st.tuples(st.just("restart"), st.tuples()),
)


def take(estate: Estate, step: Step) -> None:
    kind, arguments = step
    _ACTIONS[kind](estate, *arguments)


def _vm(estate: Estate, id_, size, location, tags, moment) -> None:  # type: ignore[no-untyped-def]  # a step
    estate.put(vm(id_, size=size, location=location, tags=tags, extended=moment.isoformat()))


def _network(estate: Estate, where, good, gone) -> None:  # type: ignore[no-untyped-def]  # a step
    document = network(where, "n", good=good)
    if gone:
        estate.delete(document["id"])
    else:
        estate.put(document)


def _assign_all(estate: Estate, scope, members) -> None:  # type: ignore[no-untyped-def]  # a step
    estate.put(assignment("a0", "all", scope=scope, set_=True, **_legal(scope, members)))


def _assign(estate: Estate, name, rule, scope, members) -> None:  # type: ignore[no-untyped-def]  # a step
    estate.put(assignment(name, rule, scope=scope, **_legal(scope, members)))


def _legal(scope: str, members: JsonObject) -> JsonObject:
    outside = any(not each.lower().startswith(scope.lower()) for each in members.get("notScopes", ()))
    return {} if outside and scope.startswith("/subscriptions") else members


def _exempt(estate: Estate, name, scope, expires, members) -> None:  # type: ignore[no-untyped-def]  # a step
    for where in (SUBSCRIPTION, group_id("g0")):
        estate.put(
            exemption(
                f"x{where == SUBSCRIPTION}",
                assignment_id(name, where),
                scope=scope,
                expires=expires,
                **members,
            )
        )


def _attest(estate: Estate, name, where, state, expires) -> None:  # type: ignore[no-untyped-def]  # a step
    estate.put(attestation("t", assignment_id(name), scope=where, state=state, expires=expires))


def _home(estate: Estate, subscription, gone) -> None:  # type: ignore[no-untyped-def]  # a step
    id_ = f"{MANAGEMENT_GROUP}{subscription}"
    if gone:
        estate.delete(id_)
    else:
        estate.put({"id": id_, "type": "Microsoft.Management/managementGroups/subscriptions"})


def _gone_exemptions(estate: Estate, scope) -> None:  # type: ignore[no-untyped-def]  # a step
    for name in ("xTrue", "xFalse"):
        estate.delete(f"{scope}/providers/Microsoft.Authorization/policyExemptions/{name}")


def _follow(estate: Estate, limit) -> None:  # type: ignore[no-untyped-def]  # a step
    estate.keeper.advance(limit=limit)


def _restart(estate: Estate) -> None:
    estate.keeper = estate.another_keeper()


_ACTIONS: dict[str, Callable[..., None]] = {
    "vm": _vm,
    "vm gone": lambda estate, id_: estate.delete(id_),
    "extension": lambda estate, id_, name, publisher, moment: estate.put(
        extension(id_, name, publisher=publisher, date=moment.isoformat())
    ),
    "extension gone": lambda estate, id_, name: estate.delete(f"{id_}/extensions/{name}"),
    "guest": lambda estate, id_, status: estate.put(guest(id_, "c", status=status)),
    "network": _network,
    "group": lambda estate, name, environment: estate.put(group(name, environment=environment)),
    "group gone": lambda estate, name: estate.delete(group_id(name)),
    "assign": _assign,
    "assign all": _assign_all,
    "assignment gone": lambda estate, name, scope: estate.delete(assignment_id(name, scope)),
    "define": lambda estate, name, rule: estate.put(definition(name, RULES[rule])),
    "undefine": lambda estate, name: estate.delete(definition_id(name)),
    "exempt": _exempt,
    "exemption gone": _gone_exemptions,
    "attest": _attest,
    "home": _home,
    "retype": lambda estate, id_: estate.put({"id": id_, "type": "Microsoft.Compute/disks"}),
    "wait": lambda estate, seconds: estate.clock.pass_seconds(seconds),
    "follow": _follow,
    "restart": _restart,
}


@given(steps=st.lists(STEPS, min_size=6, max_size=24), eager=st.sampled_from([True, True, False]))
@settings(max_examples=150, deadline=None)
def test_following_changes_gives_the_states_of_a_full_scan(steps: list[Step], eager: bool) -> None:
    """An eager follower is up to date before each step, the other has several changes to take at once."""
    with tempfile.TemporaryDirectory() as directory:
        estate = fresh_estate(Path(directory))
        try:
            for document in (*all_definitions(), initiative("all", sorted(RULES))):
                estate.put(document)
            estate.put(assignment("a0", "all", set_=True))
            for name in ("v0", "V1"):
                estate.put(vm(vm_id(name), size="Large", extended=LATER.isoformat()))
            estate.put(vm(vm_id("v2", "G1"), tags={"owner": "b"}))
            estate.put(extension(vm_id("v0"), "e0", date=LATER.isoformat()))
            estate.put(exemption("xTrue", assignment_id("a0"), scope=group_id("G1"), expires=LATER))
            estate.keeper.catch_up()
            for step in steps:
                take(estate, step)
                if eager:
                    estate.keeper.catch_up()
            _check(estate)
        finally:
            estate.close()


def _check(estate: Estate) -> None:
    estate.keeper.catch_up()
    followed = states_of(estate.keeper)
    assert followed == judged_one_by_one(estate)
    stored = estate.another_keeper()
    stored.load()
    assert states_of(stored) == followed
    assert stored.scan() == 0
    assert states_of(stored) == followed
    _check_transitions(estate)


def _check_transitions(estate: Estate) -> None:
    """Every change of a pair starts where the one before ended."""
    last: dict[tuple[str, str, int], str | None] = {}
    with estate.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT resource_key, type_key, policy_id, before, after FROM compliance_transition ORDER BY seq"
        )
        for resource, type_, policy, before, after in rows:
            pair = (resource, type_, policy)
            assert before != after
            if pair in last:
                assert last[pair] == before
            last[pair] = after
