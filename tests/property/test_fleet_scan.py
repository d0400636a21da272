"""The fleet scan says of every resource what evaluating that resource alone says, after any changes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.compliance.scan.bitmaps import is_set
from goldsmith.compliance.scan.dictionary import Dictionary, key_of, value_of
from goldsmith.compliance.scan.index import FleetIndex
from goldsmith.compliance.scan.projection import Field, Projector
from goldsmith.compliance.scan.scan import Counts, FleetScan
from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.paths import project
from goldsmith.policy.rule import Constant, FieldCondition, Operator
from goldsmith.policy.target import NEWEST_API_VERSION
from goldsmith.policy.tree import (
    All,
    Always,
    Any,
    Input,
    Leaf,
    LeafNode,
    Narrowing,
    Negation,
    Node,
    Source,
)

TYPE = "Microsoft.Compute/virtualMachines"
NOW = "2026-01-01T00:00:00.0000000Z"
LATER = "2026-06-01T00:00:00.0000000Z"

# Keys that differ in case only, numbers in text, and everything that Python takes for equal.
KEYS = st.sampled_from(["a", "A", "b", "B", "c", "0", "1", "É", "é"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 1.0, 0.0, -0.0, 2.5, 10**30, 2**63, 2**64]),
    st.sampled_from(["", "a", "A", "1", "true", "null", "\ud800", "é", "[*]"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
PATHS = st.lists(st.sampled_from(["a", "b", "c", "0", "1", "é", "[*]"]), min_size=1, max_size=4).map(tuple)
FIELDS = st.tuples(PATHS, st.sampled_from(Narrowing))


def same(left: JsonValue, right: JsonValue) -> bool:
    """Equal, and of the same types throughout."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return repr(left) == repr(right)


@given(st.lists(JSON, max_size=6), st.lists(FIELDS, max_size=6))
@settings(max_examples=400)
def test_a_projection_of_many_documents_is_the_projection_of_each(
    documents: list[JsonValue], fields: list[Field]
) -> None:
    projector = Projector(fields)
    for _ in range(2):  # the second time spellings are known
        columns = projector.columns(documents)
        for (path, narrowing), column in zip(fields, columns, strict=True):
            wanted = [project(document, path, narrowing) for document in documents]
            assert same(column, wanted), (path, narrowing)


@given(st.lists(JSON, max_size=12))
@settings(max_examples=300)
def test_a_dictionary_tells_values_apart_by_type_and_gives_them_back(values: list[JsonValue]) -> None:
    one_by_one, at_once = Dictionary(), Dictionary()
    codes = [one_by_one.code(value) for value in values]
    assert at_once.encode(values) == codes == [one_by_one.code(value) for value in values]
    for value, code in zip(values, codes, strict=True):
        assert same(one_by_one.value(code), value)
        assert same(value_of(key_of(value)), value)
    for left, left_code in zip(values, codes, strict=True):
        for right, right_code in zip(values, codes, strict=True):
            assert (left_code == right_code) == same(left, right)


def test_values_that_python_takes_for_equal_have_codes_of_their_own() -> None:
    values: list[JsonValue] = [
        True,
        1,
        1.0,
        "1",
        [True],
        [1],
        [1.0],
        ["1"],
        0,
        False,
        0.0,
        -0.0,
        None,
        "",
        [],
    ]
    for order in (values, list(reversed(values))):
        assert Dictionary().encode(order) == list(range(len(order)))


# --- trees -------------------------------------------------------------------------------------------------


def _holds_text(values: Sequence[JsonValue]) -> bool:
    return any("a" in str(value) for value in values)


def _fails_on_numbers(values: Sequence[JsonValue]) -> bool:
    if any(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise EvaluationError("a number cannot be compared")
    return values[0] is None


def _all_same(values: Sequence[JsonValue]) -> bool:
    return all(same(values[0], value) for value in values)


def _more_than_one_member(values: Sequence[JsonValue]) -> bool:
    return any(isinstance(value, list) and len(value) > 1 for value in values)


TESTS: list[Callable[[Sequence[JsonValue]], bool]] = [
    _holds_text,
    _fails_on_numbers,
    _all_same,
    _more_than_one_member,
]
PROPERTY_PATHS = st.sampled_from(
    [("properties", *path) for path in (("a",), ("b",), ("a", "[*]"), ("a", "[*]", "b"), ("c", "a"))]
    + [("name",), ("tags",), ("location",)]
)
INPUTS = st.one_of(
    st.builds(Input, st.just(Source.RESOURCE), PROPERTY_PATHS, st.sampled_from(Narrowing)),
    st.builds(Input, st.just(Source.RESOURCE_GROUP), st.sampled_from([("name",), ("tags", "a")])),
    st.builds(Input, st.just(Source.SUBSCRIPTION), st.sampled_from([("subscriptionid",), ("tags", "a")])),
    st.just(Input(Source.CLOCK, ())),
    st.just(Input(Source.REQUEST, ("apiversion",))),
)
CONDITION = FieldCondition(field=Constant("name"), operator=Operator.EXISTS, target=Constant(True), at="if")


def _leaf(inputs: list[Input], number: int) -> Node:
    key = f"{number}:{inputs}"
    leaf = Leaf(
        index=0, key=key, inputs=tuple(inputs), test=TESTS[number], may_fail=True, condition=CONDITION
    )
    return LeafNode(index=0, leaf=leaf)


LEAVES = st.builds(
    _leaf, st.lists(INPUTS, min_size=1, max_size=3, unique=True), st.integers(0, len(TESTS) - 1)
)
NODES: st.SearchStrategy[Node] = st.recursive(
    st.one_of(LEAVES, LEAVES, st.builds(lambda value: Always(index=0, value=value), st.booleans())),
    lambda inner: st.one_of(
        st.builds(lambda children: All(index=0, children=tuple(children)), st.lists(inner, max_size=3)),
        st.builds(lambda children: Any(index=0, children=tuple(children)), st.lists(inner, max_size=3)),
        st.builds(lambda child: Negation(index=0, child=child), inner),
    ),
    max_leaves=6,
)


def evaluated(node: Node, value_of_input: Callable[[Input], JsonValue]) -> bool:
    """What the tree means, written down once more in the plainest way."""
    match node:
        case LeafNode():
            return node.leaf.test([value_of_input(input_) for input_ in node.leaf.inputs])
        case All():
            return all(evaluated(child, value_of_input) for child in node.children)
        case Any():
            return any(evaluated(child, value_of_input) for child in node.children)
        case Negation():
            return not evaluated(node.child, value_of_input)
        case Always():
            return node.value


# --- fleets ------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["v0", "V0", "v1", "v2", "v3"])
GROUPS = st.sampled_from(["g0", "G0", "g1"])


@dataclass(frozen=True)
class Put:
    name: str
    group: str
    body: JsonObject


@dataclass(frozen=True)
class PutMany:
    puts: list[Put]


@dataclass(frozen=True)
class Delete:
    name: str
    group: str


@dataclass(frozen=True)
class PutGroup:
    group: str
    tag: JsonValue


@dataclass(frozen=True)
class AddRule:
    name: str
    node: Node


@dataclass(frozen=True)
class RemoveRule:
    name: str


@dataclass(frozen=True)
class SetClock:
    now: str


@dataclass(frozen=True)
class Look:
    """Somebody asks for the verdicts, so that from here on they are kept up."""


Step = Put | PutMany | Delete | PutGroup | AddRule | RemoveRule | SetClock | Look
BODIES = st.fixed_dictionaries(
    {}, optional={"properties": JSON, "Properties": JSON, "tags": JSON, "location": SCALARS}
)
PUTS = st.builds(Put, NAMES, GROUPS, BODIES)
RULES = st.sampled_from(["r0", "r1", "r2"])
STEPS: st.SearchStrategy[Step] = st.one_of(
    PUTS,
    PUTS,
    st.builds(PutMany, st.lists(PUTS, max_size=6)),
    st.builds(Delete, NAMES, GROUPS),
    st.builds(PutGroup, GROUPS, SCALARS),
    st.builds(AddRule, RULES, NODES),
    st.builds(AddRule, RULES, NODES),
    st.builds(RemoveRule, RULES),
    st.builds(SetClock, st.sampled_from([NOW, LATER])),
    st.just(Look()),
    st.just(Look()),
)


def group_id(group: str) -> str:
    return f"/subscriptions/S/resourceGroups/{group}"


def vm_id(name: str, group: str) -> str:
    return f"{group_id(group)}/providers/{TYPE}/{name}"


@dataclass
class World:
    """A fleet twice: as plain documents and as an index that is told of every change."""

    documents: dict[str, JsonObject] = field(default_factory=dict)
    groups: dict[str, JsonObject] = field(default_factory=dict)
    rules: dict[str, Node] = field(default_factory=dict)
    now: str = NOW

    def __post_init__(self) -> None:
        self.index = FleetIndex(self)
        self.scan = FleetScan(self.index, now=self.now)

    def of_type(self, resource_type: str) -> Iterator[JsonObject]:
        assert resource_type.lower() == TYPE.lower()
        return iter(list(self.documents.values()))

    def take(self, step: Step) -> None:
        match step:
            case Put():
                self.index.put(self._stored(step))
            case PutMany():
                self.index.put_many([self._stored(put) for put in step.puts])
            case Delete():
                id_ = vm_id(step.name, step.group)
                self.documents.pop(id_.lower(), None)
                self.index.delete(id_, TYPE)
            case PutGroup():
                id_ = group_id(step.group)
                group: JsonObject = {
                    "id": id_,
                    "name": step.group,
                    "type": "Microsoft.Resources/subscriptions/resourceGroups",
                    "tags": {"a": step.tag},
                }
                self.groups[id_.lower()] = group
                self.index.put(group)
            case AddRule():
                self.rules[step.name] = step.node
                self.scan.add_condition(step.name, TYPE, step.node)
            case RemoveRule():
                if self.rules.pop(step.name, None) is not None:
                    self.scan.remove(step.name, TYPE)
            case SetClock():
                self.now = step.now
                self.scan.set_clock(step.now)
            case Look():
                self.scan.settle()

    def _stored(self, put: Put) -> JsonObject:
        document = {"id": vm_id(put.name, put.group), "name": put.name, "type": TYPE, **put.body}
        self.documents[document["id"].lower()] = document
        return document

    def check(self) -> None:
        for name, node in self.rules.items():
            verdict = self.scan.verdict(name, TYPE)
            true: set[str] = set()
            error: set[str] = set()
            for key, document in self.documents.items():
                try:
                    if evaluated(node, partial(self._value, key, document)):
                        true.add(key)
                except EvaluationError:
                    error.add(key)
            assert set(self.scan.ids(verdict.true, TYPE)) == true
            failed = [] if verdict.error is None else self.scan.ids(verdict.error, TYPE)
            assert set(failed) == error
            assert self.scan.counts(name, TYPE) == Counts(true=len(true), error=len(error))
            for key in self.documents:
                row = self.scan.row_of(key, TYPE)
                assert row is not None
                assert is_set(verdict.true, row) == (key in true)

    def _value(self, key: str, document: JsonObject, input_: Input) -> JsonValue:
        source: JsonValue
        match input_.source:
            case Source.RESOURCE:
                source = document
            case Source.RESOURCE_GROUP:
                id_ = key.split("/providers/")[0]
                source = self.groups.get(id_, {"id": id_, "name": id_.split("/")[-1]})
            case Source.SUBSCRIPTION:
                source = {"subscriptionId": "s"}
            case Source.CLOCK:
                return self.now
            case _:
                source = {"apiVersion": NEWEST_API_VERSION}
        return project(source, input_.path, input_.narrowing)


@given(st.lists(STEPS, max_size=14))
@settings(max_examples=600, deadline=None)
def test_a_scan_is_the_evaluation_of_every_resource_whatever_happened_before(steps: list[Step]) -> None:
    world = World()
    for step in steps:
        world.take(step)
        if isinstance(step, Look):
            world.check()
    world.check()


@given(st.lists(PUTS, max_size=80), st.lists(NODES, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_a_fleet_put_at_once_is_a_fleet_put_one_by_one(puts: list[Put], nodes: list[Node]) -> None:
    at_once, one_by_one = World(), World()
    for number, node in enumerate(nodes):
        at_once.take(AddRule(f"r{number}", node))
        one_by_one.take(AddRule(f"r{number}", node))
    one_by_one.take(Look())
    at_once.take(PutMany(puts))
    for put in puts:
        one_by_one.take(put)
    at_once.check()
    one_by_one.check()
