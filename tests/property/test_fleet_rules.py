"""Whole Azure Policy rules over a fleet: what one evaluation of each resource says, after any changes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.compliance.scan.batch import verdicts
from goldsmith.compliance.scan.bitmaps import is_set
from goldsmith.compliance.scan.index import FleetIndex
from goldsmith.compliance.scan.scan import FleetScan
from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.aliases import AliasTable, from_rows
from goldsmith.policy.compile import CompiledRule, Pool, compile_rule
from goldsmith.policy.evaluate import evaluate_node
from goldsmith.policy.reader import read_rule
from goldsmith.policy.related import ResourceList, find_related
from goldsmith.policy.target import NEWEST_API_VERSION, Target, round_trip, target_of
from goldsmith.policy.tree import Source

VM = "Microsoft.Compute/virtualMachines"
EXTENSION = f"{VM}/extensions"
GUEST = "Microsoft.GuestConfiguration/guestConfigurationAssignments"
VAULT = "Microsoft.KeyVault/vaults"
TYPES = (VM, EXTENSION, GUEST, VAULT)
GROUP = "Microsoft.Resources/subscriptions/resourceGroups"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = datetime(2026, 9, 1, tzinfo=UTC)

ALIASES: AliasTable = from_rows(
    (type_, f"{type_}/{name}", path)
    for type_ in TYPES
    for name, path in (
        ("size", "properties.size"),
        ("state", "properties.state"),
        ("disks", "properties.disks"),
        ("disks[*]", "properties.disks[*]"),
        ("disks[*].size", "properties.disks[*].size"),
        ("disks[*].kind", "properties.disks[*].kind"),
        ("disks[*].parts", "properties.disks[*].parts"),
        ("disks[*].parts[*]", "properties.disks[*].parts[*]"),
        ("disks[*].parts[*].size", "properties.disks[*].parts[*].size"),
    )
)

SCALARS = st.sampled_from(
    [None, True, False, 0, 1, 2, 5.0, "", "a", "A", "b", "1", "true", "ok", "2026-06-01T00:00:00Z"]
)
PART = st.fixed_dictionaries({}, optional={"size": SCALARS, "Size": SCALARS})
DISK = st.fixed_dictionaries(
    {}, optional={"size": SCALARS, "kind": SCALARS, "parts": st.one_of(SCALARS, st.lists(PART, max_size=2))}
)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "size": SCALARS,
        "state": SCALARS,
        "State": SCALARS,
        "disks": st.one_of(SCALARS, st.lists(st.one_of(DISK, SCALARS), max_size=3)),
    },
)


@st.composite
def conditions(draw: st.DrawFn, type_: str, depth: int = 2) -> JsonObject:
    """A condition on resources of the type; some of them fail on some resources."""
    kind = draw(st.integers(0, 9 if depth else 6))
    target = draw(st.sampled_from(["a", "1", "ok", "true", 1, 2]))
    operator = draw(st.sampled_from(["equals", "notEquals", "like", "contains", "greater", "less"]))
    if kind <= 1:
        alias = draw(st.sampled_from(["size", "state", "disks[*].size", "disks[*].parts[*].size"]))
        return {"field": f"{type_}/{alias}", operator: target}
    if kind == 2:
        alias = draw(st.sampled_from(["size", "disks", "disks[*].kind"]))
        return {"field": f"{type_}/{alias}", "exists": draw(st.booleans())}
    if kind == 3:
        name = draw(st.sampled_from(["name", "tags['a']", "location", "id", "fullName"]))
        return {"field": name, operator: target}
    if kind == 4:
        value = draw(
            st.sampled_from(
                [
                    f"[field('{type_}/size')]",
                    f"[length(field('{type_}/disks'))]",
                    f"[add(field('{type_}/size'), 1)]",
                    "[resourceGroup().location]",
                    "[resourceGroup().tags.a]",
                    "[subscription().subscriptionId]",
                    "[utcNow()]",
                    "[requestContext().apiVersion]",
                    f"[concat(field('name'), field('{type_}/state'))]",
                ]
            )
        )
        return {"value": value, operator: target}
    if kind in (5, 6):
        where: JsonObject | None = None
        if draw(st.booleans()):
            where = {"field": f"{type_}/disks[*].size", operator: target}
            if draw(st.booleans()):
                where = {"allOf": [where, {"field": f"{type_}/disks[*].kind", "exists": draw(st.booleans())}]}
            if draw(st.booleans()):
                inner = {"count": {"field": f"{type_}/disks[*].parts[*]"}, "greater": 0}
                where = {"anyOf": [where, inner]}
        count: JsonObject = {"field": f"{type_}/disks[*]"}
        if where is not None:
            count["where"] = where
        return {"count": count, draw(st.sampled_from(["equals", "greater", "less"])): draw(st.integers(0, 2))}
    if kind == 7:
        return {"not": draw(conditions(type_, depth - 1))}
    children = draw(st.lists(conditions(type_, depth - 1), min_size=1, max_size=3))
    return {("allOf" if kind == 8 else "anyOf"): children}


@st.composite
def rules(draw: st.DrawFn) -> JsonObject:
    rule: JsonObject = {"if": draw(conditions(VM)), "then": {"effect": "audit"}}
    if draw(st.booleans()):
        type_ = draw(st.sampled_from([EXTENSION, GUEST, VAULT, VM]))
        details: JsonObject = {"type": type_}
        name = draw(
            st.sampled_from(
                [None, "r0", "v0/r0", "[concat(field('name'), '/r0')]", "v0/?", f"[field('{VM}/state')]"]
            )
        )
        if name is not None:
            details["name"] = name
        scope = draw(st.sampled_from([None, None, "ResourceGroup", "Subscription"]))
        if scope is not None:
            details["existenceScope"] = scope
        group = draw(st.sampled_from([None, None, "g0", f"[field('{VM}/state')]"]))
        if group is not None:
            details["resourceGroupName"] = group
        if draw(st.booleans()):
            existence = draw(conditions(type_))
            if draw(st.booleans()):
                of_both = {"field": f"{type_}/size", "equals": f"[field('{VM}/size')]"}
                existence = {"anyOf": [existence, of_both]}
            details["existenceCondition"] = existence
        rule["then"] = {"effect": "auditIfNotExists", "details": details}
    return rule


def compiled(rule: JsonObject) -> CompiledRule:
    return compile_rule(
        read_rule(rule),
        parameters={},
        policy_context={},
        aliases=ALIASES,
        resource_type=VM,
        pool=Pool(),
    )


@dataclass(frozen=True)
class Put:
    id: str
    type: str
    properties: JsonObject
    tag: JsonValue


@dataclass(frozen=True)
class Many:
    puts: list[Put]


@dataclass(frozen=True)
class Delete:
    id: str
    type: str


@dataclass(frozen=True)
class Add:
    name: str
    rule: JsonObject


@dataclass(frozen=True)
class Remove:
    name: str


@dataclass(frozen=True)
class Clock:
    now: datetime


@dataclass(frozen=True)
class Look:
    """Somebody asks for all verdicts."""


Step = Put | Many | Delete | Add | Remove | Clock | Look


@st.composite
def identities(draw: st.DrawFn, *, near: bool = False) -> tuple[str, str]:
    """(id, type); `near` ones are related to one another more often than not."""
    subscription = draw(st.sampled_from(["S0", "s0"] if near else ["S0", "s0", "s1"]))
    name_of_group = draw(st.sampled_from(["g0", "g0", "g0", "g1"] if near else ["g0", "G0", "g1"]))
    group = f"/subscriptions/{subscription}/resourceGroups/{name_of_group}"
    kind = draw(st.sampled_from([VM, VM, VM, EXTENSION, EXTENSION, GUEST, GUEST, VAULT, VAULT, GROUP]))
    vm = f"{group}/providers/{VM}/{draw(st.sampled_from(['v0', 'v1']))}"
    name = draw(st.sampled_from(["r0", "R0", "r1"]))
    match kind:
        case _ if kind == VM:
            return vm, kind
        case _ if kind == EXTENSION:
            return f"{vm}/extensions/{name}", kind
        case _ if kind == GUEST:
            holder = draw(st.sampled_from([vm, vm, group]))
            return f"{holder}/providers/{GUEST}/{name}", kind
        case _ if kind == VAULT:
            return f"{group}/providers/{VAULT}/{name}", kind
        case _:
            return group, kind


PUTS = st.builds(
    lambda identity, properties, tag: Put(identity[0], identity[1], properties, tag),
    identities(),
    PROPERTIES,
    SCALARS,
)
NAMES = st.sampled_from(["p0", "p1", "p2"])
STEPS: st.SearchStrategy[Step] = st.one_of(
    PUTS,
    PUTS,
    PUTS,
    st.builds(Many, st.lists(PUTS, max_size=8)),
    st.builds(Many, st.lists(PUTS, max_size=8)),
    st.builds(lambda identity: Delete(*identity), identities()),
    st.builds(Add, NAMES, rules()),
    st.builds(Add, NAMES, rules()),
    st.builds(Remove, NAMES),
    st.builds(Clock, st.sampled_from([NOW, LATER])),
    st.just(Look()),
    st.just(Look()),
)


@dataclass
class World:
    """A fleet twice: as plain documents and as an index that is told of every change."""

    documents: dict[str, JsonObject] = field(default_factory=dict)
    rules: dict[str, CompiledRule] = field(default_factory=dict)
    now: datetime = NOW

    def __post_init__(self) -> None:
        self.index = FleetIndex(self)
        self.scan = FleetScan(self.index, now=round_trip(self.now))

    def of_type(self, resource_type: str) -> Iterator[JsonObject]:
        return (one for one in list(self.documents.values()) if one["type"].lower() == resource_type.lower())

    def take(self, step: Step) -> None:
        match step:
            case Put():
                self.index.put(self._stored(step))
            case Many():
                self.index.put_many([self._stored(put) for put in step.puts])
            case Delete():
                self.documents.pop(step.id.lower(), None)
                self.index.delete(step.id, step.type)
            case Add():
                rule = compiled(step.rule)
                self.rules[step.name] = rule
                self.scan.add(step.name, VM, rule)
            case Remove():
                if self.rules.pop(step.name, None) is not None:
                    self.scan.remove(step.name, VM)
            case Clock():
                self.now = step.now
                self.scan.set_clock(round_trip(step.now))
            case Look():
                self.scan.settle()

    def check(self) -> None:
        related = ResourceList(self.documents[key] for key in sorted(self.documents))
        for name, rule in self.rules.items():
            verdict = self.scan.verdict(name, VM)
            true: set[str] = set()
            error: set[str] = set()
            for document in self.of_type(VM):
                try:
                    if self._is_true(rule, document, related):
                        true.add(document["id"].lower())
                except (EvaluationError, InvalidInputError):
                    error.add(document["id"].lower())
            failed = [] if verdict.error is None else self.scan.ids(verdict.error, VM)
            assert set(failed) == error
            assert set(self.scan.ids(verdict.true, VM)) == true

    def _is_true(self, rule: CompiledRule, document: JsonObject, related: ResourceList) -> bool:
        target = self._target(document)
        if not evaluate_node(rule.condition, target.document):
            return False
        if rule.effect == "audit":
            return True
        found = sorted(find_related(rule, target, related), key=lambda one: str(one["id"]).lower())
        if rule.existence is None:
            return not found
        return not any(evaluate_node(rule.existence, target.document.with_related(one)) for one in found)

    def _target(self, document: JsonObject) -> Target:
        id_ = document["id"]
        return target_of(
            document,
            now=self.now,
            resource_group=self.index.scopes.group(id_),
            subscription=self.index.scopes.subscription(id_),
        )

    def _stored(self, put: Put) -> JsonObject:
        document: JsonObject = {
            "id": put.id,
            "name": put.id.rsplit("/", 1)[1],
            "type": put.type,
            "location": "here",
            "tags": {"a": put.tag},
            "properties": put.properties,
        }
        self.documents[put.id.lower()] = document
        return document


@st.composite
def looking(draw: st.DrawFn) -> JsonObject:
    """A rule about every machine that looks for something related in each of the documented ways."""
    type_ = draw(st.sampled_from([EXTENSION, GUEST, VAULT, VM]))
    details: JsonObject = {"type": type_}
    for key, values in (
        (
            "name",
            [
                None,
                None,
                None,
                None,
                "r0",
                "v0/r0",
                "v0/?",
                "[concat(field('name'), '/r0')]",
                f"[field('{VM}/state')]",
            ],
        ),
        ("existenceScope", [None, None, "ResourceGroup", "Subscription"]),
        ("resourceGroupName", [None, None, "g0", f"[field('{VM}/size')]"]),
    ):
        if (value := draw(st.sampled_from(values))) is not None:
            details[key] = value
    passes = [
        None,
        {"field": f"{type_}/state", "equals": "ok"},
        {"field": f"{type_}/size", "greater": 1},
        {"field": f"{type_}/size", "equals": f"[field('{VM}/size')]"},
        {"value": "[resourceGroup().tags.a]", "equals": "a"},
        {"value": "[utcNow()]", "greater": "2026-06-01T00:00:00Z"},
    ]
    if (condition := draw(st.sampled_from(passes))) is not None:
        details["existenceCondition"] = condition
    condition = draw(st.sampled_from([{"field": "name", "exists": True}, {"field": f"{VM}/size", "less": 2}]))
    return {"if": condition, "then": {"effect": "deployIfNotExists", "details": details}}


SMALL = st.fixed_dictionaries(
    {}, optional={"size": st.sampled_from([0, 1, 5, "a"]), "state": st.sampled_from(["ok", "a", "g0"])}
)
NEAR = st.builds(
    lambda identity, properties, tag: Put(identity[0], identity[1], properties, tag),
    identities(near=True),
    SMALL,
    st.sampled_from(["a", "b"]),
)
CHANGES: st.SearchStrategy[Step] = st.one_of(
    NEAR,
    NEAR,
    NEAR,
    st.builds(lambda put: Delete(put.id, put.type), NEAR),
    st.builds(Clock, st.sampled_from([NOW, LATER])),
)


@given(st.lists(NEAR, max_size=12), looking(), st.lists(CHANGES, min_size=1, max_size=8))
@settings(max_examples=800, deadline=None)
def test_what_related_resources_do_is_followed(
    fleet: list[Put], rule: JsonObject, changes: list[Step]
) -> None:
    world = World()
    world.take(Many(fleet))
    world.take(Add("p0", rule))
    world.check()
    for change in changes:
        world.take(change)
        world.check()


@given(st.lists(STEPS, max_size=14))
@settings(max_examples=500, deadline=None)
def test_a_scan_is_one_evaluation_of_each_resource(steps: list[Step]) -> None:
    world = World()
    for step in steps:
        world.take(step)
        if isinstance(step, Look):
            world.check()
    world.check()


@given(
    st.lists(PUTS, min_size=5, max_size=30),
    st.lists(rules(), min_size=1, max_size=3),
    st.lists(PUTS, max_size=5),
)
@settings(max_examples=300, deadline=None)
def test_a_settled_scan_follows_single_changes(
    fleet: list[Put], policies: list[JsonObject], changes: list[Put]
) -> None:
    world = World()
    world.take(Many(fleet))
    for number, rule in enumerate(policies):
        world.take(Add(f"p{number}", rule))
    world.check()
    for change in changes:
        world.take(change)
        world.check()
    for change in changes:
        world.take(Delete(change.id, change.type))
        world.check()


@given(st.lists(PUTS, max_size=20), st.lists(rules(), min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_a_list_judged_at_once_is_each_of_it_judged(puts: list[Put], policies: list[JsonObject]) -> None:
    world = World()
    world.take(Many([put for put in puts if put.type == VM]))
    documents = list(world.of_type(VM))
    nodes = [compiled(rule).condition for rule in policies]
    around: dict[Source, JsonValue] = {
        Source.CLOCK: round_trip(NOW),
        Source.REQUEST: {"apiVersion": NEWEST_API_VERSION},
        Source.RESOURCE_GROUP: {"name": "g", "tags": {"a": "a"}},
        Source.SUBSCRIPTION: None,
    }
    for node, verdict in zip(nodes, verdicts(nodes, documents, around=around), strict=True):
        for number, document in enumerate(documents):
            target = target_of(document, now=NOW, resource_group={"name": "g", "tags": {"a": "a"}})
            try:
                expected = evaluate_node(node, target.document)
            except EvaluationError:
                assert verdict.error is not None
                assert is_set(verdict.error, number)
                continue
            assert is_set(verdict.true, number) == expected
            assert verdict.error is None or not is_set(verdict.error, number)
