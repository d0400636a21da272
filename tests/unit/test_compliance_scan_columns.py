"""Columns, pairs of columns and packed bitmaps: codes, widths and bits."""

from collections.abc import Iterator

import numpy as np
import pytest

from goldsmith.compliance.scan import bitmaps
from goldsmith.compliance.scan.batch import verdicts
from goldsmith.compliance.scan.bitmaps import Conjunction, Disjunction, Verdict, gathered, packed, rows_of
from goldsmith.compliance.scan.columns import Codes, Column, Pair
from goldsmith.compliance.scan.index import FleetIndex
from goldsmith.compliance.scan.scan import Counts, FleetScan
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.rule import Constant, FieldCondition, Operator
from goldsmith.policy.tree import All, Input, Leaf, LeafNode, Negation, Node, Source


def column(values: list[JsonValue]) -> Column:
    made = Column(None, rows=len(values))
    made.write(np.arange(len(values)), values)
    return made


def test_a_column_widens_as_it_meets_more_values() -> None:
    made = Column(None, rows=70_000)
    assert made.codes.dtype == np.uint8
    made.write(np.arange(256), list(range(256)))
    assert made.codes.dtype == np.uint16
    made.write(np.arange(70_000), [str(number) for number in range(70_000)])
    assert made.codes.dtype == np.uint32
    assert [made.values(made.codes.item(row)) for row in (0, 255, 69_999)] == [("0",), ("255",), ("69999",)]


def test_a_row_that_brings_the_256th_value_alone_widens_the_column() -> None:
    made = Column(None, rows=300)
    for number in range(300):
        assert made.write_one(number, f"v{number}")
    assert [made.values(made.codes.item(row))[0] for row in range(300)] == [
        f"v{number}" for number in range(300)
    ]
    assert not made.write_one(7, "v7")


def test_rows_that_were_never_written_hold_what_is_missing() -> None:
    made = Column([], rows=2)
    made.reserve(5)
    assert [made.values(code) for code in made.codes.tolist()] == [([],)] * 5


@pytest.mark.parametrize("distinct", [3, 5_000])
def test_a_pair_has_one_code_for_each_combination_that_occurs(distinct: int) -> None:
    rows = 6_000
    first: list[JsonValue] = [f"a{number % distinct}" for number in range(rows)]
    second: list[JsonValue] = [f"b{number % 7 % distinct}" for number in range(rows)]
    pair = Pair(column(first), column(second))
    assert len(pair) == len(set(zip(first, second, strict=True)))
    assert [pair.values(code) for code in pair.codes.tolist()] == list(zip(first, second, strict=True))


def test_a_pair_follows_single_rows_and_keeps_the_meaning_of_its_codes() -> None:
    first, second = column(["a", "b", "c"]), column([1, 2, 3])
    pair = Pair(first, second)
    before = {code: pair.values(code) for code in range(len(pair))}
    first.write_one(0, "new")
    assert pair.refresh_one(0)
    assert not pair.refresh_one(1)
    second.write_one(1, 1)
    pair.refresh()
    assert [pair.values(code) for code in pair.codes.tolist()] == [("new", 1), ("b", 1), ("c", 3)]
    assert {code: pair.values(code) for code in before} == before


def test_a_pair_of_pairs_gives_all_values_in_order() -> None:
    pair = Pair(Pair(column(["a", "b"]), column([1, 2])), column([True, None]))
    assert [pair.values(code) for code in pair.codes.tolist()] == [("a", 1, True), ("b", 2, None)]


@pytest.mark.parametrize("width", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize("hits", [0, 1, 4, 5, 100, 246, 250, 251])
def test_gathered_is_the_table_looked_up_for_each_row(width: type, hits: int) -> None:
    generator = np.random.default_rng(hits)
    table = np.zeros(251, np.bool_)
    table[generator.choice(251, hits, replace=False)] = True
    codes: Codes = generator.integers(0, 251, 1_003).astype(width)
    assert rows_of(gathered(table, codes)).tolist() == np.flatnonzero(table[codes]).tolist()


def test_bits_are_counted_read_and_written() -> None:
    bits = packed(np.array([True, False, True] + [False] * 61))
    assert bitmaps.count(bits) == 2
    assert bitmaps.count(None) == 0
    assert bitmaps.assign(bits, 63, True)
    assert not bitmaps.assign(bits, 63, True)
    assert bitmaps.assign(bits, 0, False)
    assert rows_of(bits).tolist() == [2, 63]
    assert bitmaps.is_set(bits, 2)
    assert not bitmaps.is_set(bits, 3)


def byte(text: str) -> bitmaps.Bits:
    """`1001` as rows 0 to 3."""
    return packed(np.array([letter == "1" for letter in text.ljust(8, "0")]))


def test_an_error_counts_where_it_is_reached_and_only_there() -> None:
    among = byte("1111")
    every = Conjunction(among)
    every.add(Verdict(byte("0111"), None))
    every.add(Verdict(byte("0001"), byte("1010")))
    every.add(Verdict(byte("1111"), None))
    found = every.verdict()
    assert found.error is not None
    assert (rows_of(found.true).tolist(), rows_of(found.error).tolist()) == ([3], [2])
    one = Disjunction(among)
    one.add(Verdict(byte("1000"), None))
    one.add(Verdict(byte("0100"), byte("1010")))
    one.add(Verdict(byte("1111"), None))
    found = one.verdict()
    assert found.error is not None
    assert (rows_of(found.true).tolist(), rows_of(found.error).tolist()) == ([0, 1, 3], [2])
    opposite = bitmaps.negated(found, among)
    assert opposite.error is not None
    assert (rows_of(opposite.true).tolist(), rows_of(opposite.error).tolist()) == ([], [2])


def test_what_is_decided_needs_no_further_condition() -> None:
    every = Conjunction(byte("11"))
    every.add(Verdict(byte("10"), None))
    assert not every.decided
    every.add(Verdict(byte("01"), None))
    assert every.decided
    one = Disjunction(byte("11"))
    one.add(Verdict(byte("10"), byte("01")))
    assert one.decided


def test_a_rule_nested_as_deep_as_allowed_is_walked() -> None:
    leaf = Leaf(
        index=0,
        key="name",
        inputs=(Input(Source.RESOURCE, ("name",)),),
        test=lambda values: values[0] == "a",
        may_fail=False,
        condition=FieldCondition(
            field=Constant("name"), operator=Operator.EQUALS, target=Constant("a"), at="if"
        ),
    )
    node: Node = LeafNode(index=0, leaf=leaf)
    for depth in range(512):
        node = Negation(index=0, child=node) if depth % 2 else All(index=0, children=(node, node))
    (found,) = verdicts([node], [{"name": "a"}, {"name": "b"}], around={})
    assert rows_of(found.true).tolist() == [0]
    index = FleetIndex(NoResources())
    scan = FleetScan(index)
    scan.add_condition("deep", "t", node)
    index.put({"id": "/a", "type": "t", "name": "b"})
    scan.settle()
    index.put({"id": "/a", "type": "t", "name": "a"})
    assert scan.counts("deep", "t") == Counts(true=1, error=0)


class NoResources:
    def of_type(self, resource_type: str) -> Iterator[JsonObject]:
        return iter(())
