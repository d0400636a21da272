"""The tables of licences, suppliers, versions and boot files."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.kernel.proc import run, which
from goldsmith.sbom.boot import boot_role
from goldsmith.sbom.licence import LicenceReader
from goldsmith.sbom.supplier import supplier
from goldsmith.sbom.version import is_older, sort_key

CASES = Path(__file__).parents[1] / "cases" / "sbom"


def table(name: str) -> list[Any]:
    rows = yaml.safe_load((CASES / name).read_text())
    assert isinstance(rows, list)
    return rows


@pytest.mark.parametrize(("synopsis", "expression"), table("licences.yaml"))
def test_licence_synopsis_becomes_its_expression(synopsis: str, expression: str) -> None:
    copyright_file = f"Format: x\n\nFiles: *\nCopyright: someone\nLicense: {synopsis}\n"
    declared = LicenceReader().declared(copyright_file)
    assert declared is not None
    assert re.sub(r"(LicenseRef-[A-Za-z0-9.-]+)-[0-9a-f]{10}", r"\1", declared) == expression


@pytest.mark.parametrize(("maintainer", "expected"), table("suppliers.yaml"))
def test_maintainer_becomes_a_supplier(maintainer: str, expected: str) -> None:
    assert supplier(maintainer) == expected


@pytest.mark.parametrize("row", table("versions.yaml"))
def test_versions_sort_as_dpkg_has_them(row: list[str | list[str]]) -> None:
    groups = [[entry] if isinstance(entry, str) else entry for entry in row]
    for group in groups:
        assert len({sort_key(version) for version in group}) == 1
    for older, newer in itertools.combinations(groups, 2):
        assert is_older(older[0], newer[0]), (older, newer)
        assert not is_older(newer[0], older[0])


@pytest.mark.parametrize("row", table("versions.yaml"))
def test_dpkg_itself_has_the_versions_in_that_order(row: list[str | list[str]]) -> None:
    if which("dpkg") is None:
        pytest.skip("dpkg is not installed")
    groups = [[entry] if isinstance(entry, str) else entry for entry in row]
    for older, newer in itertools.pairwise(groups):
        dpkg_confirms(older[0], "lt", newer[0])
    for group in groups:
        for other in group[1:]:
            dpkg_confirms(group[0], "eq", other)


def dpkg_confirms(version: str, relation: str, other: str) -> None:
    """Raises ProgramError when dpkg does not hold that relation true."""
    run(["dpkg", "--compare-versions", version, relation, other], timeout_seconds=60)


@pytest.mark.parametrize("row", table("boot_files.yaml"))
def test_boot_files_are_told_by_their_path(row: list[str]) -> None:
    path, *expected = row
    found = boot_role(path)
    assert ([] if found is None else [found[0].value, found[1]]) == expected
