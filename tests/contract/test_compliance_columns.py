"""Columns that a process saved are what the next one starts with, and never make a state other than it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith.compliance.documents import StoredDocuments
from goldsmith.compliance.keeper import Keeper
from goldsmith.compliance.saved import SavedColumns
from tests.compliance_world import (
    Estate,
    all_definitions,
    assignment,
    fresh_estate,
    judged_one_by_one,
    states_of,
    vm,
    vm_id,
)


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Estate]:
    opened = fresh_estate(tmp_path)
    for document in all_definitions():
        opened.put(document)
    opened.put(assignment("a", "ownerA"))
    for name in ("v0", "v1", "v2"):
        opened.put(vm(vm_id(name), tags={"owner": "c"}))
    yield opened
    opened.close()


def keeper(estate: Estate, columns: Path) -> Keeper:
    """Another process: nothing is known but what is stored."""
    return estate.another_keeper(columns)


def opened(estate: Estate, columns: Path) -> bool:
    return SavedColumns(columns, estate.resources, StoredDocuments(estate.resources)).open() is not None


def test_the_next_process_starts_with_the_columns_and_follows_what_has_changed(
    estate: Estate, tmp_path: Path
) -> None:
    columns = tmp_path / "columns"
    keeper(estate, columns).scan()
    assert opened(estate, columns)
    estate.put(vm(vm_id("v0"), tags={"owner": "a"}))
    estate.delete(vm_id("v1"))
    estate.put(vm(vm_id("v3"), tags={"owner": "c"}))
    estate.put(assignment("b", "large"))
    after = keeper(estate, columns)
    after.catch_up()
    assert states_of(after) == judged_one_by_one(estate)
    assert len(states_of(after)) > 3


@pytest.mark.parametrize("harm", ["manifest.json", "feed.json", "*.segment"])
def test_damaged_columns_are_made_anew(estate: Estate, tmp_path: Path, harm: str) -> None:
    columns = tmp_path / "columns"
    keeper(estate, columns).scan()
    for path in columns.glob(harm):
        path.write_bytes(path.read_bytes()[:-7] + b"damaged")
    estate.put(vm(vm_id("v1"), tags={"owner": "a"}))
    after = keeper(estate, columns)
    after.catch_up()
    assert states_of(after) == judged_one_by_one(estate)


def test_columns_of_another_store_are_not_taken_for_ones_of_this(estate: Estate, tmp_path: Path) -> None:
    columns = tmp_path / "columns"
    keeper(estate, columns).scan()
    (tmp_path / "other").mkdir()
    other = fresh_estate(tmp_path / "other")
    try:
        for document in all_definitions():
            other.put(document)
        other.put(assignment("a", "ownerA"))
        # As many changes, so that the position is one of this store's too.
        for name in ("v7", "v8", "v9"):
            other.put(vm(vm_id(name), tags={"owner": "a"}))
        assert not opened(other, columns)
        after = keeper(other, columns)
        after.catch_up()
        assert states_of(after) == judged_one_by_one(other)
    finally:
        other.close()
