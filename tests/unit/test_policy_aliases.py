"""The alias table: by type, by API version, from each form it comes in."""

import pytest

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.aliases import (
    AliasPath,
    AliasTable,
    Modifiable,
    from_paths,
    from_providers,
    from_rows,
    from_shared,
    merged,
)

VM, SCALE_SET = "Microsoft.Compute/virtualMachines", "Microsoft.Compute/virtualMachineScaleSets"
LISTING: JsonValue = [
    {
        "namespace": "Microsoft.Compute",
        "resourceTypes": [
            {
                "resourceType": "virtualMachines",
                "aliases": [
                    {"name": "Microsoft.Compute/imageId", "defaultPath": "properties.image.id", "paths": []},
                    {
                        "name": f"{VM}/sku.name",
                        "defaultPath": "properties.hardwareProfile.vmSize",
                        "defaultMetadata": {"type": "String", "attributes": "Modifiable"},
                        "paths": [
                            {"path": "sku.name", "apiVersions": ["2030-01-01-Preview", "2030-02-01"]},
                            {"path": "properties.hardwareProfile.vmSize", "apiVersions": ["2020-01-01"]},
                        ],
                    },
                    {
                        "name": f"{VM}/vmId",
                        "defaultPath": "properties.vmId",
                        "defaultMetadata": {"attributes": "None"},
                    },
                    {
                        "name": f"{VM}/old",
                        "paths": [{"path": "properties.old", "apiVersions": ["2015-01-01"]}],
                    },
                    {
                        "name": f"{VM}/moved",
                        "paths": [
                            {"path": "properties.before", "apiVersions": ["2015-01-01"]},
                            {"path": "properties.after", "apiVersions": ["2020-01-01", "2019-01-01"]},
                        ],
                    },
                    {"name": f"{VM}/nowhere", "paths": []},
                ],
            },
            {
                "resourceType": "virtualMachineScaleSets",
                "aliases": [
                    {"name": "Microsoft.Compute/imageId", "defaultPath": "properties.profile.image.id"}
                ],
            },
            {"resourceType": "operations", "aliases": None},
        ],
    }
]


def path(table: AliasTable, resource_type: str, alias: str) -> str | None:
    found = table.resolve(resource_type, alias)
    return None if found is None else found.path


def test_same_alias_has_another_path_for_another_type() -> None:
    table = from_providers(LISTING)
    assert path(table, VM, "Microsoft.Compute/imageId") == "properties.image.id"
    assert path(table, SCALE_SET.upper(), "microsoft.compute/IMAGEID") == "properties.profile.image.id"
    assert path(table, "Microsoft.Compute/disks", "Microsoft.Compute/imageId") is None
    assert set(table.types_with("Microsoft.Compute/imageid")) == {SCALE_SET.lower(), VM.lower()}


def test_without_a_default_the_path_is_that_of_the_newest_api_version() -> None:
    assert path(from_providers(LISTING), VM, f"{VM}/moved") == "properties.after"


@pytest.mark.parametrize(
    ("api_version", "expected"),
    [
        (None, "properties.hardwareProfile.vmSize"),
        ("2020-01-01", "properties.hardwareProfile.vmSize"),
        ("2030-01-01-preview", "sku.name"),
        ("2030-02-01", "sku.name"),
        ("2099-01-01", "properties.hardwareProfile.vmSize"),
    ],
)
def test_path_depends_on_the_api_version(api_version: str | None, expected: str) -> None:
    found = from_providers(LISTING).resolve(VM, f"{VM}/sku.name")
    assert found is not None
    assert found.path_in(api_version) == expected
    assert (found.modifiable, found.token_type, found.derived) == (Modifiable.YES, "String", False)


def test_what_the_table_does_not_say_is_unknown() -> None:
    table = from_providers({"value": LISTING})
    found = [table.resolve(VM, f"{VM}/{name}") for name in ("vmId", "old")]
    assert [entry and entry.modifiable for entry in found] == [Modifiable.NO, Modifiable.UNKNOWN]
    assert path(table, VM, f"{VM}/old") == "properties.old"


def test_path_is_guessed_for_an_alias_that_no_table_has() -> None:
    table = from_providers(LISTING)
    guessed = table.resolve(VM, f"{VM}/osProfile.computerName")
    assert guessed == AliasPath(
        name=f"{VM}/osProfile.computerName", path="properties.osProfile.computerName", derived=True
    )
    assert not table.knows(f"{VM}/osProfile.computerName")
    assert table.resolve(VM, f"{SCALE_SET}/anything") is None
    assert table.resolve(VM, f"{VM}/extensions/publisher") is None, "that is of a child type"
    assert table.resolve("", "Microsoft.Compute/anything") is None


def test_alias_of_a_child_may_be_listed_with_its_parent() -> None:
    table = from_rows([("A.B/parents", "A.B/parents/children/access", "properties.access")])
    found = table.resolve("A.B/parents/children", "A.B/parents/children/access")
    assert found is not None
    assert (found.path, found.derived) == ("properties.access", False)


def test_compact_table_gives_unscoped_aliases_the_type_before_their_last_slash() -> None:
    table = from_shared(
        {
            "providers": {
                "A.B": {"Things": {"apiVersions": [], "aliases": {"A.B/things/x": "properties.x"}}}
            },
            "unscoped": {"A.C": {"A.C/others/rules[*].name": "properties.rules[*].name"}},
        }
    )
    assert path(table, "a.b/things", "A.B/Things/X") == "properties.x"
    assert path(table, "A.C/others", "A.C/others/rules[*].name") == "properties.rules[*].name"
    assert table.types() == {"a.b/things", "a.c/others"}


def test_earlier_table_wins_and_later_ones_add() -> None:
    first = from_paths({"A.B/c": [AliasPath(name="A.B/c/x", path="first", modifiable=Modifiable.YES)]})
    second = from_rows(
        [("A.B/c", "A.B/c/x", "second"), ("A.B/c", "A.B/c/y", "second.y"), ("A.B/d", "A.B/d/z", "z")]
    )
    table = merged(first, second)
    assert path(table, "A.B/c", "A.B/c/x") == "first"
    assert path(table, "A.B/c", "A.B/c/y") == "second.y"
    assert path(table, "A.B/d", "A.B/d/z") == "z"
    assert set(table.entries("A.B/C")) == {"a.b/c/x", "a.b/c/y"}


@pytest.mark.parametrize("listing", [None, 1, "x", {}, {"value": 1}])
def test_listing_of_another_shape_is_refused(listing: JsonValue) -> None:
    with pytest.raises(InvalidInputError, match="providers"):
        from_providers(listing)
    with pytest.raises(InvalidInputError, match="providers"):
        from_shared(listing)
