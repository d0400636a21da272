"""Finding and reading policy files for the command line, and the published vectors as they are."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

from goldsmith.cli.policy.files import load_table, load_tables, parse_text, read_file
from goldsmith.kernel.errors import InvalidInputError, NotFoundError
from goldsmith.policy.aliases import from_providers
from goldsmith.policy.content import packaged
from goldsmith.policy.testing.engine import Engine
from goldsmith.policy.testing.functions import run_functions
from goldsmith.policy.testing.model import SuiteResult, Table, Verdict
from goldsmith.policy.testing.run import run_table
from goldsmith.policy.testing.vectors import FunctionTable, known_exclusions

_REPOSITORY = Path(__file__).resolve().parents[2]
_VECTORS = _REPOSITORY.parent / "shared" / "azure-policy" / "vectors"
_RULE = {"if": {"field": "type", "equals": "a/b"}, "then": {"effect": "audit"}}


def run(table: Table | FunctionTable, engine: Engine) -> SuiteResult:
    return run_functions(table) if isinstance(table, FunctionTable) else run_table(table, engine)


def test_tables_below_a_folder_are_found_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "definition.json").write_text(json.dumps({"name": "d", "properties": {"policyRule": _RULE}}))
    (tmp_path / "b" / "two.cases.yaml").write_text(
        "definition: ../definition.json\nresource: {type: a/b}\nclock: 2026-01-01T00:00:00Z\n"
        "cases:\n  - name: hit\n    expect: audit\n"
    )
    (tmp_path / "a.cases.json").write_text(
        json.dumps(
            {"rule": _RULE, "cases": [{"name": "miss", "resource": {"type": "x/y"}, "expect": "none"}]}
        )
    )
    (tmp_path / "notes.txt").write_text("definition: no")
    tables = list(load_tables(tmp_path))
    assert [table.name for table in tables] == ["a.cases.json", "b/two.cases.yaml"]
    engine = Engine(aliases=from_providers([]))
    assert all(run(table, engine).passed for table in tables)
    (single,) = load_tables(tmp_path / "a.cases.json")
    assert single.name == "a.cases.json"


def test_folder_without_tables_is_refused(tmp_path: Path) -> None:
    (tmp_path / "definition.json").write_text("{}")
    with pytest.raises(NotFoundError, match="no case table"):
        list(load_tables(tmp_path))


def test_definition_is_a_file_or_a_packaged_key(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("definition: image-age\ncases: [{name: one, expect: none}]\n")
    table = load_table(path, root=tmp_path)
    assert isinstance(table, Table)
    assert table.cases[0].definition is packaged.find("image-age")
    path.write_text("definition: image-agee\ncases: [{name: one, expect: none}]\n")
    with pytest.raises(NotFoundError, match="image-agee"):
        load_table(path, root=tmp_path)
    path.write_text("definition: gone.json\ncases: [{name: one, expect: none}]\n")
    with pytest.raises(NotFoundError, match=r"gone\.json"):
        load_table(path, root=tmp_path)


def test_aliases_come_from_a_file_beside_the_table(tmp_path: Path) -> None:
    (tmp_path / "aliases.json.gz").write_bytes(gzip.compress(b"[]"))
    path = tmp_path / "t.json"
    path.write_text(
        json.dumps({"rule": _RULE, "aliases": "aliases.json.gz", "cases": [{"name": "n", "expect": "none"}]})
    )
    table = load_table(path, root=tmp_path)
    assert isinstance(table, Table)
    assert table.aliases == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2026-01-01", {"a": "2026-01-01"}),
        ("a: yes\nb: off", {"a": "yes", "b": "off"}),
        ("a: true\nb: ~\nc: 1.5\nd: 7", {"a": True, "b": None, "c": 1.5, "d": 7}),
        ("x: &x {b: 1}\nc: {<<: *x, d: 2}", {"x": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)
def test_yaml_has_the_types_of_json(text: str, value: object) -> None:
    assert parse_text(text.encode(), where="t.yaml", is_yaml=True) == value


@pytest.mark.parametrize(
    ("data", "is_yaml", "message"),
    [
        (b"a: 1\na: 2\n", True, "twice"),
        (b"1: 2\n", True, "no text"),
        (b"a: [", True, "not YAML"),
        (b"&a [*a]", True, "holds it"),
        (b"[" * 100_000, True, "not YAML"),
        (b'{"a": 1, "a": 2}', False, "'a' is there twice"),
        (b'{"a": }', False, "line 1, column 7"),
        (b"[" * 100_000, False, "too deep"),
        (b"\xff\xfe", False, "not UTF-8"),
        (b"!!python/object/apply:os.system [id]", True, "not YAML"),
    ],
)
def test_broken_file_is_refused_with_its_name(data: bytes, is_yaml: bool, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        parse_text(data, where="t.file", is_yaml=is_yaml)
    assert "t.file" in caught.value.message


def test_yaml_that_multiplies_by_aliases_is_refused() -> None:
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(InvalidInputError, match="stand for more than"):
        parse_text("\n".join(lines).encode(), where="t.yaml", is_yaml=True)


def test_broken_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b"[1, 2, 3]")[:-6])
    with pytest.raises(InvalidInputError, match="gzip"):
        read_file(path)


@pytest.mark.skipif(not _VECTORS.exists(), reason="../shared/azure-policy/vectors is not here")
def test_published_vectors_hold() -> None:
    engine = Engine(aliases=from_providers([]))
    counts: Counter[str] = Counter()
    failed = []
    for table in load_tables(_VECTORS):
        suite = run(table, engine)
        counts.update(result.verdict.value for result in suite.results)
        failed += [(suite.name, result.name, result.problems) for result in suite.failed]
    assert failed == []
    assert counts[Verdict.PASSED] > 1_150
    assert counts[Verdict.EXCLUDED] < 70


@pytest.mark.skipif(not _VECTORS.exists(), reason="../shared/azure-policy/vectors is not here")
def test_every_known_exclusion_names_a_vector_and_a_document() -> None:
    for pattern, reason in known_exclusions().reasons.items():
        file, _, note = pattern.partition("/")
        notes = {
            case["note"]
            for path in _VECTORS.glob(f"*/{file}.json")
            for case in json.loads(path.read_text())["cases"]
        }
        assert note == "*" or note in notes, pattern
        assert "linter: " in reason or "docs: " in reason


def test_functions_are_excluded_as_their_own_tests_do() -> None:
    path = _REPOSITORY / "tests" / "cases" / "policy" / "exclusions.yaml"
    rows = yaml.safe_load(path.read_text())["functions"]
    wanted = {f"{row['file']}/{note}" for row in rows for note in row.get("notes", ["*"])}
    assert wanted <= set(known_exclusions().reasons)
