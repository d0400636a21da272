"""What the project depends on is pinned, and each dependency is accounted for."""

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.tidy.markdown import REPOSITORY

_PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
_NEEDED = [Requirement(text) for text in _PROJECT["dependencies"]]
_OPTIONAL = [Requirement(text) for group in _PROJECT["optional-dependencies"].values() for text in group]


def _pins() -> dict[str, Version]:
    lines = (REPOSITORY / "requirements.txt").read_text().splitlines()
    found = (re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;]+).*", line) for line in lines)
    return {canonicalize_name(match[1]): Version(match[2]) for match in found if match}


@pytest.mark.parametrize("needed", [pytest.param(one, id=one.name) for one in (*_NEEDED, *_OPTIONAL)])
def test_dependency_is_pinned_to_a_version_that_fits(needed: Requirement) -> None:
    pins = _pins()
    assert canonicalize_name(needed.name) in pins
    assert pins[canonicalize_name(needed.name)] in needed.specifier


def test_every_line_of_requirements_is_a_pin() -> None:
    lines = (REPOSITORY / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#") and "==" not in line] == []


def test_page_of_dependencies_names_exactly_those_of_the_project() -> None:
    page = (REPOSITORY / "docs" / "reference" / "dependencies.md").read_text()
    first_table = page.partition("\n## ")[0]
    table = re.findall(r"^\| ([a-z0-9_.-]+) \|", first_table, flags=re.MULTILINE)[1:]
    assert table == sorted(table)
    assert set(table) == {canonicalize_name(one.name) for one in _NEEDED}


def test_page_of_dependencies_names_what_only_tests_and_benchmarks_need() -> None:
    page = (REPOSITORY / "docs" / "reference" / "dependencies.md").read_text()
    types_for_mypy = {one.name for one in _OPTIONAL if one.name.startswith("types-")}
    assert [one.name for one in _OPTIONAL if one.name not in page and one.name not in types_for_mypy] == []


def test_setup_installs_every_program_the_host_probe_asks_for() -> None:
    from goldsmith.host.needs import NEEDS

    setup = (REPOSITORY / "scripts" / "setup.sh").read_text()
    everywhere = {"apt", "util-linux"}
    assert {need.package for need in NEEDS} - everywhere - set(re.findall(r"[a-z0-9.+-]+", setup)) == set()
