"""Laws of evaluation over generated rules and resources."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.aliases import from_rows
from goldsmith.policy.compile import compile_condition
from goldsmith.policy.document import Document
from goldsmith.policy.evaluate import evaluate_node
from goldsmith.policy.limits import FIELD_COUNTS_PER_ARRAY_MAX
from goldsmith.policy.operators import COMPLEMENTS, Test, holds, prepare, prepare_location
from goldsmith.policy.paths import WILDCARD, project
from goldsmith.policy.pool import Pool
from goldsmith.policy.predicate import predicate_of
from goldsmith.policy.reader import read_condition
from goldsmith.policy.rule import AllOf, AnyOf, Condition, Not, Operator
from goldsmith.policy.tree import Input, Narrowing, Source

THINGS = "Contoso.Test/things"
ALIASES = from_rows(
    (THINGS, f"{THINGS}/{name}", path)
    for name, path in [
        ("a", "properties.a"),
        ("b", "properties.b.a"),
        ("a[*]", "properties.a[*]"),
        ("a[*].b", "properties.a[*].properties.b"),
        ("a[*].b[*]", "properties.a[*].properties.b[*]"),
        ("a[*].b[*].a", "properties.a[*].properties.b[*].a"),
    ]
)

# Values that compare strangely, among ordinary ones.
words = st.sampled_from(
    [
        *(
            "",
            "a",
            "A",
            "b",
            "x1",
            "İstanbul",
            "ß",
            "SS",
            "nan",
            " 128",
            "128",
            "1_000",
            "١٢٨",
            "a\nb",
            "true",
        ),
        *(
            "2024-01-20T12:00:00Z",
            "2024-01-20T12:00:00.0000000Z",
            "5.0",
            "05",
            "\ud800",
            "*",
            "[x",
            "𝟙",
            "None",
        ),
    ]
) | st.text(max_size=4).filter(lambda text: not text.startswith("["))
scalars = st.none() | st.booleans() | st.integers(-2, 200) | st.floats() | words
keys = (
    st.sampled_from(["a", "A", "b", "name", "Name", "location", "tags", "type", "properties", "env"]) | words
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
members = st.fixed_dictionaries(
    {}, optional={"properties": st.fixed_dictionaries({}, optional={"b": values}), "a": values}
)
resources = values | st.fixed_dictionaries(
    {},
    optional={
        "type": st.just(THINGS) | values,
        "name": words | values,
        "location": st.sampled_from(["East US 2", "eastus2"]) | values,
        "tags": st.dictionaries(keys, scalars, max_size=3) | values,
        "properties": st.fixed_dictionaries(
            {}, optional={"a": st.lists(members | values, max_size=3), "b": values}
        ),
    },
)
fields = st.sampled_from(
    [
        *(
            "type",
            "name",
            "location",
            "fullName",
            "kind",
            "id",
            "tags",
            "tags.env",
            "tags['a']",
            "identity.type",
        ),
        *(f"{THINGS}/{name}" for name in ("a", "b", "a[*]", "a[*].b", "a[*].b[*]", "a[*].b[*].a", "other")),
        *(
            "properties.a[0].a",
            "[concat('tags[', field('name'), ']')]",
            f"[if(true(), '{THINGS}/a', 'name')]",
        ),
    ]
)
expressions = st.sampled_from(
    [
        "[field('name')]",
        "[field('tags')]",
        f"[field('{THINGS}/a')]",
        f"[field('{THINGS}/a[*].b')]",
        f"[length(field('{THINGS}/a[*]'))]",
        f"[first(field('{THINGS}/a[*]'))]",
        "[field('tags').env]",
        "[tryGet(field('tags'), 'env')]",
        "[toLower(field('name'))]",
        "[if(empty(field('tags')), 'a', field('location'))]",
        "[parameters('p')]",
        "[requestContext().apiVersion]",
        "[resourceGroup().tags['env']]",
        "[utcNow()]",
        "[int(field('name'))]",
    ]
)


def _targets(operator: Operator) -> st.SearchStrategy[Any]:
    positive = COMPLEMENTS.get(operator, operator)
    if positive is Operator.EXISTS:
        return st.sampled_from([True, False, "true", "FALSE"])
    if positive is Operator.IN:
        return st.lists(values, max_size=4) | expressions
    if positive in (Operator.EQUALS, Operator.CONTAINS):
        return values.filter(lambda value: not _opens(value)) | expressions
    return words.filter(lambda text: not _opens(text)) | st.integers(-2, 200) | expressions


def _opens(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("[")


@st.composite
def leaves(draw: st.DrawFn) -> Any:
    operator = draw(st.sampled_from(Operator))
    target = draw(_targets(operator))
    subject = draw(st.sampled_from(["field", "value", "count"]))
    if subject == "field":
        return {"field": draw(fields), operator.value: target}
    if subject == "value":
        return {"value": draw(expressions), operator.value: target}
    array, inner = draw(
        st.sampled_from(
            [("a[*]", "a[*].b"), ("a[*]", "a[*].b[*]"), ("a[*].b[*]", "a[*].b[*].a"), ("a[*]", "a")]
        )
    )
    where = {"field": f"{THINGS}/{inner}", operator.value: target}
    count: Any = {"field": f"{THINGS}/{array}"}
    if draw(st.booleans()):
        count["where"] = draw(
            st.sampled_from([where, {"not": where}, {"anyOf": [where, {"field": "name", "exists": 1 > 0}]}])
        )
    return {"count": count, draw(st.sampled_from(["equals", "greater", "less"])): draw(st.integers(0, 2))}


conditions = st.recursive(
    leaves(),
    lambda inner: (
        st.builds(lambda parts: {"allOf": parts}, st.lists(inner, max_size=3))
        | st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, max_size=3))
        | st.builds(lambda part: {"not": part}, inner)
    ),
    max_leaves=6,
).filter(lambda condition: repr(condition).count("'count'") <= FIELD_COUNTS_PER_ARRAY_MAX)


def document(resource: JsonValue) -> Document:
    return Document(
        resource,
        resource_group={"location": "westus", "tags": {"env": "a"}},
        subscription={"subscriptionId": "s"},
        request_context={"apiVersion": "2020-01-01", "identity": {}},
        now="2026-01-01T00:00:00.0000000Z",
    )


def compiled(condition: Condition, pool: Pool) -> Any:
    return compile_condition(
        condition, parameters={"p": "a"}, policy_context={}, aliases=ALIASES, resource_type=THINGS, pool=pool
    )


def answer(condition: Condition, resource: JsonValue) -> bool | str:
    """true, false or the failure; anything else that is raised is a failure of the test."""
    try:
        return bool(evaluate_node(compiled(condition, Pool()), document(resource)))
    except EvaluationError:
        return "error"


def _said(test: Test, value: JsonValue) -> bool | str:
    try:
        return test(value)
    except EvaluationError:
        return "error"


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(Operator), values, values)
def test_prepared_operator_is_the_operator(operator: Operator, value: JsonValue, target: JsonValue) -> None:
    plain = _said(lambda found: holds(operator, found, target), value)
    assert _said(prepare(operator, target), value) == plain
    # What depends on one value only may have been remembered: asked again, it must say the same.
    assert _said(prepare(operator, target), value) == plain
    _said(prepare_location(operator, target), value)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(COMPLEMENTS)), values, values)
def test_negative_operator_is_the_complement(operator: Operator, value: JsonValue, target: JsonValue) -> None:
    positive = _said(lambda found: holds(COMPLEMENTS[operator], found, target), value)
    expected = positive if positive == "error" else not positive
    assert _said(lambda found: holds(operator, found, target), value) == expected


@settings(max_examples=200, deadline=None)
@given(values)
def test_exists_true_and_false_are_complements(value: JsonValue) -> None:
    assert holds(Operator.EXISTS, value, True) is not holds(Operator.EXISTS, value, False)


@settings(max_examples=400, deadline=None)
@given(conditions, resources)
def test_evaluation_of_any_resource_is_true_false_or_an_evaluation_error(
    condition: Any, resource: JsonValue
) -> None:
    answer(read_condition(condition, at="if"), resource)


def _naive(condition: Condition, resource: JsonValue) -> bool | str:
    """The connectives as the language describes them, over conditions compiled one by one."""
    if isinstance(condition, Not):
        inner = _naive(condition.condition, resource)
        return inner if inner == "error" else not inner
    if isinstance(condition, AllOf | AnyOf):
        decisive = isinstance(condition, AnyOf)
        for part in condition.conditions:
            found = _naive(part, resource)
            if found == "error" or found is decisive:
                return found
        return not decisive
    return answer(condition, resource)


@settings(max_examples=400, deadline=None)
@given(conditions, resources)
def test_folding_and_sharing_do_not_change_the_answer(condition: Any, resource: JsonValue) -> None:
    read = read_condition(condition, at="if")
    assert answer(read, resource) == _naive(read, resource)


@settings(max_examples=300, deadline=None)
@given(conditions, conditions, resources)
def test_rules_in_one_pool_do_not_disturb_each_other(one: Any, other: Any, resource: JsonValue) -> None:
    pool = Pool()
    shared = document(resource)
    for written in (one, other, one):
        condition = read_condition(written, at="if")
        try:
            together: bool | str = evaluate_node(compiled(condition, pool), shared)
        except EvaluationError:
            together = "error"
        assert together == answer(condition, resource)


def _disturbed(value: Any, chance: random.Random, *, recase: bool) -> Any:
    """The same value with the keys of objects in another order, and in another case if `recase`."""
    if isinstance(value, list):
        return [_disturbed(member, chance, recase=recase) for member in value]
    if not isinstance(value, dict):
        return value
    pairs = list(value.items())
    chance.shuffle(pairs)
    # Keys that differ in case alone are different keys to the generator and one to the language.
    recase_here = recase and len({key.lower() for key in value}) == len(value)
    return {
        _recased(key, chance) if recase_here else key: _disturbed(member, chance, recase=recase)
        for key, member in pairs
    }


def _recased(key: str, chance: random.Random) -> str:
    other = "".join(chance.choice([letter, letter.upper(), letter.lower()]) for letter in key)
    return other if other.lower() == key.lower() else key


@settings(max_examples=400, deadline=None)
@given(conditions, resources, st.integers(0, 2**32))
def test_order_and_case_of_keys_do_not_matter(condition: Any, resource: JsonValue, seed: int) -> None:
    read = read_condition(condition, at="if")
    expected = answer(read, resource)
    assert answer(read, _disturbed(resource, random.Random(seed), recase=False)) == expected
    assert answer(read, _disturbed(resource, random.Random(seed), recase=True)) == expected


paths = st.lists(
    st.sampled_from(["a", "b", "name", "tags", "properties", "0", "1", WILDCARD, "env", "type"]), max_size=5
).map(tuple)


@settings(max_examples=400, deadline=None)
@given(resources, st.lists(st.tuples(paths, st.sampled_from(Narrowing)), min_size=1, max_size=4))
def test_document_selects_as_the_definition_of_paths_says(
    resource: JsonValue, wanted: list[tuple[tuple[str, ...], Narrowing]]
) -> None:
    looked_at = document(resource)
    for path, narrowing in wanted:
        found = looked_at.value(Input(Source.RESOURCE, path, narrowing))
        # As text, for a NaN does not equal itself.
        assert repr(found) == repr(project(resource, path, narrowing))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries({}, optional={"properties": st.fixed_dictionaries({}, optional={"b": words})})
    )
)
@pytest.mark.parametrize("wanted", ["a", "ß"])
def test_count_is_the_number_of_members_for_which_the_condition_holds(wanted: str, array: list[Any]) -> None:
    number = sum(holds(Operator.EQUALS, member.get("properties", {}).get("b"), wanted) for member in array)
    alias = f"{THINGS}/a[*]"
    condition: Any = {
        "count": {"field": alias, "where": {"field": f"{alias}.b", "equals": wanted}},
        "equals": number,
    }
    assert answer(read_condition(condition, at="if"), {"properties": {"a": array}}) is True


def _computed(value: Any, given: dict[str, Any]) -> Any:
    """The condition with what is written out on the right, and counted, read from the request instead."""
    if isinstance(value, list):
        return [_computed(part, given) for part in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for key, member in value.items():
        if key in ("allOf", "anyOf", "not", "where", "count"):
            made[key] = _computed(member, given)
        elif key in ("field", "name") or member is None or _has_expression(member):
            made[key] = member
        else:
            name = f"v{len(given)}"
            given[name] = member
            made[key] = f"[requestContext().{name}]"
    return made


def _has_expression(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_has_expression, value.values() if isinstance(value, dict) else value))
    return _opens(value)


value_counts = st.builds(
    lambda members, where, number: {
        "count": {"value": members, "name": "n", "where": where},
        "equals": number,
    },
    st.lists(scalars.filter(lambda value: not _opens(value)), max_size=4),
    st.builds(
        lambda operator, target: {"value": "[current('n')]", operator: target},
        st.sampled_from(["equals", "notEquals", "greater", "like", "in", "exists"]),
        st.sampled_from(["a", "5", "true"]),
    ).map(lambda where: {**where, "in": ["a", 1]} if "in" in where else where),
    st.integers(0, 2),
)


@settings(max_examples=400, deadline=None)
@given(conditions | value_counts, resources)
def test_what_is_known_early_and_what_is_computed_mean_the_same(condition: Any, resource: JsonValue) -> None:
    try:
        read = read_condition(condition, at="if")
    except InvalidInputError:
        # `exists` and the orderings do not take every text.
        return
    given: dict[str, Any] = {}
    computed = read_condition(_computed(condition, given), at="if")
    surroundings = Document(
        resource,
        resource_group={"location": "westus", "tags": {"env": "a"}},
        subscription={"subscriptionId": "s"},
        request_context={"apiVersion": "2020-01-01", "identity": {}, **given},
        now="2026-01-01T00:00:00.0000000Z",
    )
    try:
        late: bool | str = bool(evaluate_node(compiled(computed, Pool()), surroundings))
    except EvaluationError:
        late = "error"
    assert late == answer(read, resource)


@settings(max_examples=300, deadline=None)
@given(conditions, resources)
def test_a_predicate_says_what_evaluating_a_document_without_surroundings_says(
    condition: Any, resource: JsonValue
) -> None:
    node = compiled(read_condition(condition, at="if"), Pool())

    def said(test: Callable[[], bool]) -> bool | str:
        try:
            return test()
        except EvaluationError:
            return "error"

    moment = "2026-01-01T00:00:00.0000000Z"
    judge = predicate_of(node, now=moment)
    assert said(lambda: judge(resource)) == said(lambda: evaluate_node(node, Document(resource, now=moment)))
