"""The saved index: whole or not believed, whatever happens while it is written and while it lies there."""

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith.compliance.scan.index import FleetIndex
from goldsmith.compliance.scan.projection import Field
from goldsmith.compliance.scan.segments import load, save
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.tree import Narrowing

VM = "Microsoft.Compute/virtualMachines"
DISK = "Microsoft.Compute/disks"
GROUP = "/subscriptions/s/resourceGroups/g"
SIZE: Field = (("properties", "size"), Narrowing.VALUE)
DISKS: Field = (("properties", "disks", "[*]", "size"), Narrowing.VALUE)
TAG: Field = (("tags", "a"), Narrowing.EXISTS)


def resource(type_: str, name: str, size: JsonValue) -> JsonObject:
    disks: list[JsonValue] = [{"size": size}, {}, {"size": True}]
    return {
        "id": f"{GROUP}/providers/{type_}/{name}",
        "type": type_,
        "properties": {"size": size, "disks": disks},
        "tags": {"A": "x"} if name < "n5" else {},
    }


SIZES: list[JsonValue] = [
    None,
    True,
    1,
    1.0,
    "1",
    "\ud800",
    10**30,
    [10**30],
    ["\ud800"],
    {"b": 1, "a": [None]},
]
VMS = [resource(VM, f"n{number}", size) for number, size in enumerate(SIZES)]
ALL = [*VMS, *(resource(DISK, f"d{number}", number) for number in range(300))]


class Stored:
    """The resources themselves; counts how often they are read."""

    def __init__(self, resources: list[JsonObject]) -> None:
        self.resources = resources
        self.read: list[str] = []

    def of_type(self, resource_type: str) -> Iterator[JsonObject]:
        self.read.append(resource_type.lower())
        return (one for one in self.resources if one["type"].lower() == resource_type.lower())


def filled(position: int = 41) -> FleetIndex:
    index = FleetIndex(Stored(ALL))
    for type_ in (VM, DISK):
        index.require(type_, [SIZE, DISKS, TAG])
    index.put_many(ALL, position=position)
    index.put(
        {
            "id": GROUP,
            "type": "Microsoft.Resources/subscriptions/resourceGroups",
            "tags": {"big": 10**30, "odd": "\ud800"},
        }
    )
    index.delete(ALL[3]["id"], VM)
    return index


def content(index: FleetIndex) -> dict[str, dict[str, list[str]]]:
    """By type and id what every column holds, told apart by type."""
    found: dict[str, dict[str, list[str]]] = {}
    for type_, table in index.tables.items():
        rows = {id_: table.row_of(id_) for id_ in table.ids if id_ is not None}
        found[type_] = {
            id_: [
                *(repr(column.values(int(column.codes[row]))) for column in table.columns.values()),
                repr(table.containers.values(int(table.containers.codes[row]))),
            ]
            for id_, row in rows.items()
            if row is not None
        }
    return found


def test_what_is_loaded_is_what_was_saved_without_reading_a_resource(tmp_path: Path) -> None:
    index = filled()
    save(index, tmp_path)
    documents = Stored([])
    again = load(tmp_path, documents)
    assert again is not None
    assert content(again) == content(index)
    assert again.position == 41
    assert documents.read == []
    assert again.scopes.group(ALL[0]["id"])["tags"] == {"big": 10**30, "odd": "\ud800"}


def test_a_loaded_index_goes_on_with_the_changes_that_follow(tmp_path: Path) -> None:
    index = filled()
    save(index, tmp_path)
    again = load(tmp_path, Stored(ALL))
    assert again is not None
    for one in (index, again):
        one.put(resource(VM, "n1", "other"))
        one.put_many([resource(VM, f"m{number}", f"v{number}") for number in range(300)], position=42)
        one.delete(ALL[5]["id"], VM)
    assert content(again) == content(index)
    save(again, tmp_path)
    third = load(tmp_path, Stored([]))
    assert third is not None
    assert (content(third), third.position) == (content(index), 42)


def test_there_is_nothing_to_load_at_first(tmp_path: Path) -> None:
    assert load(tmp_path / "absent", Stored([])) is None


def test_saving_again_leaves_no_files_of_before(tmp_path: Path) -> None:
    index = filled()
    save(index, tmp_path)
    first = {path.name for path in tmp_path.iterdir()}
    save(index, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == first
    (tmp_path / ".999.tmp").write_bytes(b"left behind by a crash")
    index.put(resource(VM, "n1", "other"))
    save(index, tmp_path)
    assert len(list(tmp_path.iterdir())) == len(first)


def test_a_crash_at_any_point_of_a_save_leaves_the_old_index_or_the_new_one(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    index = filled()
    save(index, old)
    before = content(index)
    shutil.copytree(old, new)
    index.put_many([resource(VM, "n1", "other")], position=50)
    save(index, new)
    # Everything but the manifest is written first, in any order and to any extent.
    fresh = sorted({path.name for path in new.iterdir()} - {path.name for path in old.iterdir()})
    assert fresh
    for name in fresh:
        data = (new / name).read_bytes()
        for length in (0, 7, len(data) // 2, len(data)):
            crashed = tmp_path / f"{name}.{length}"
            shutil.copytree(old, crashed)
            (crashed / name).write_bytes(data[:length])
            again = load(crashed, Stored([]))
            assert again is not None
            assert (content(again), again.position) == (before, 41)
    again = load(new, Stored([]))
    assert again is not None
    assert (content(again), again.position) == (content(index), 50)


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "longer"])
def test_a_damaged_table_is_made_anew_and_the_others_are_believed(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    index = filled()
    save(index, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (name,) = (entry["file"] for entry in manifest["body"]["tables"] if entry["type"] == VM.lower())
    path = tmp_path / name
    data = bytearray(path.read_bytes())
    match damage:
        case "flipped":
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
        case "cut":
            path.write_bytes(data[:-1])
        case "longer":
            path.write_bytes(data + b"\0")
        case _:
            path.unlink()
    documents = Stored([one for one in ALL if one is not ALL[3]])
    with caplog.at_level(logging.WARNING):
        again = load(tmp_path, documents)
    assert again is not None
    assert content(again) == content(index)
    assert set(documents.read) == {VM.lower()}
    assert VM.lower() in caplog.text


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"body": {}}', '{"body": {"format": 1}, "digest": "sha256:00"}']
)
def test_a_manifest_that_cannot_be_trusted_is_no_index(tmp_path: Path, text: str) -> None:
    save(filled(), tmp_path)
    (tmp_path / "manifest.json").write_text(text)
    assert load(tmp_path, Stored(ALL)) is None


def test_a_manifest_with_another_position_is_not_believed(tmp_path: Path) -> None:
    save(filled(), tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(path.read_text().replace('"position":41', '"position":99'))
    assert load(tmp_path, Stored(ALL)) is None


def test_damaged_documents_of_scopes_make_the_whole_unusable(tmp_path: Path) -> None:
    save(filled(), tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / manifest["body"]["scopes"]).write_bytes(b"x")
    assert load(tmp_path, Stored(ALL)) is None


@pytest.mark.parametrize(
    "document", [{}, {"id": "/a/b"}, {"id": 1, "type": VM}, {"id": "/a/b", "type": None}]
)
def test_a_resource_without_id_or_type_is_refused(document: JsonObject) -> None:
    index = FleetIndex(Stored([]))
    with pytest.raises(InvalidInputError):
        index.put(document)


def test_a_bad_resource_among_many_leaves_an_index_of_those_before_it() -> None:
    index = FleetIndex(Stored([]))
    index.require(VM, [SIZE])
    with pytest.raises(InvalidInputError):
        index.put_many([*VMS, {"id": "/a/b"}])
    table = index.table(VM)
    assert all(id_ is None or table.row_of(id_) is not None for id_ in table.ids)


def test_a_narrow_column_is_made_from_the_whole_one_without_reading() -> None:
    documents = Stored(VMS)
    index = FleetIndex(documents)
    index.require(VM, [SIZE])
    index.put_many(VMS)
    documents.read.clear()
    narrow: Field = (SIZE[0], Narrowing.EXISTS)
    index.require(VM, [narrow])
    column = index.table(VM).columns[narrow]
    held = [column.values(int(column.codes[index.table(VM).row_of(one["id"]) or 0]))[0] for one in VMS]
    assert held == [one["properties"]["size"] is not None for one in VMS]
    index.put(resource(VM, "n0", 5))
    assert column.values(int(column.codes[index.table(VM).row_of(VMS[0]["id"]) or 0])) == (True,)
