"""Reads policy files for the command line: case tables, definitions and vector files below a folder."""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml

from goldsmith.kernel.errors import InvalidInputError, NotFoundError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.content import packaged
from goldsmith.policy.testing.model import Table
from goldsmith.policy.testing.table import is_table, parse_table
from goldsmith.policy.testing.vectors import (
    FunctionTable,
    Quarantine,
    each_once,
    is_function_vectors,
    is_vectors,
    known_exclusions,
    parse_function_vectors,
    parse_quarantine,
    parse_vectors,
)

FILE_BYTES_MAX = 256 << 20
_YAML_VALUES_MAX = 1_000_000
_OPEN = -1
_QUARANTINE = "quarantine.json"
_SUFFIXES = (".json", ".yaml", ".yml")
_YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _JsonTypesLoader(_YAML_LOADER):  # type: ignore[misc]  # its base is chosen when the program starts
    """YAML with the types of JSON: a date stays text, `yes` and `on` are no booleans; each member once."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        body: dict[str, Any] = super().construct_mapping(node, deep=deep)
        merges = any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value)
        if len(body) != len(node.value) and not merges:
            mark = node.start_mark
            raise yaml.YAMLError(f"a member of the object at line {mark.line + 1} is there twice")
        if not all(isinstance(key, str) for key in body):
            raise yaml.YAMLError(f"a member of the object at line {node.start_mark.line + 1} is no text")
        return body


_JsonTypesLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":bool"))]
    for first, resolvers in _YAML_LOADER.yaml_implicit_resolvers.items()
}
_JsonTypesLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def load_tables(root: Path) -> Iterator[Table | FunctionTable]:
    """Every case table and vector file that `root` is or has below it, in the order of paths.

    A `quarantine.json` names, for the vector files below its folder, those that are not to be believed.
    Files that are neither are passed over. Raises NotFoundError when there is no table at all, and
    InvalidInputError for a file that cannot be read.
    """
    paths = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.suffix in _SUFFIXES)
    found = False
    for path in paths:
        if path.name == _QUARANTINE:
            continue
        table = load_table(path, root=root if root.is_dir() else root.parent)
        if table is not None:
            found = True
            yield table
    if not found:
        raise NotFoundError(
            f"there is no case table in {root}",
            hint="a table is a .yaml or .json file with 'definition' or 'rule' and 'cases'",
        )


def load_table(path: Path, *, root: Path) -> Table | FunctionTable | None:
    """The table in the file, named by its path below `root`; None when the file is something else."""
    body = read_file(path)
    name = path.relative_to(root).as_posix()
    if is_table(body):
        return parse_table(
            body,
            name=name,
            definition=lambda named: _definition(named, path.parent),
            aliases=lambda named: read_file(path.parent / named),
        )
    # Vectors are listed as `file/note` in a quarantine.
    if is_function_vectors(body):
        return parse_function_vectors(body, name=path.stem, quarantine=_quarantine(path))
    if is_vectors(body):
        return parse_vectors(
            body, name=path.stem, aliases=lambda named: _aliases(named, path), quarantine=_quarantine(path)
        )
    return None


def read_file(path: Path) -> JsonValue:
    """The JSON or YAML in a file, gzipped or not.

    Raises NotFoundError, and InvalidInputError with the path for what cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}", hint="check the path") from error
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from error
    plain = path
    if path.suffix == ".gz":
        data, plain = _unzipped(data, path), path.with_suffix("")
    if len(data) > FILE_BYTES_MAX:
        raise InvalidInputError(f"{path} has {len(data)} bytes, expected {FILE_BYTES_MAX} at most")
    return parse_text(data, where=str(path), is_yaml=plain.suffix in (".yaml", ".yml"))


def parse_text(data: bytes, *, where: str, is_yaml: bool) -> JsonValue:
    """Raises InvalidInputError naming `where` and the place in it."""
    try:
        text = data.decode("utf-8-sig")
        value: JsonValue = (
            yaml.load(text, _JsonTypesLoader) if is_yaml else json.loads(text, object_pairs_hook=each_once)
        )
        if is_yaml and _values(value, {}) > _YAML_VALUES_MAX:
            raise ValueError(f"its aliases stand for more than {_YAML_VALUES_MAX} values")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{where} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except yaml.YAMLError as error:
        raise InvalidInputError(f"{where} is not YAML: {' '.join(str(error).split())[:300]}") from error
    except json.JSONDecodeError as error:
        raise InvalidInputError(
            f"{where} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except ValueError as error:
        raise InvalidInputError(f"{where}: {error}") from error
    except RecursionError as error:
        raise InvalidInputError(f"{where} is nested too deep to be read") from error
    return value


def _values(value: JsonValue, known: dict[int, int]) -> int:
    """How many values it is with YAML aliases written out; raises ValueError for one that holds itself."""
    if not isinstance(value, (list, dict)):
        return 1
    count = known.get(id(value))
    if count == _OPEN:
        raise ValueError("an alias stands for something that holds it")
    if count is None:
        known[id(value)] = _OPEN
        members = value if isinstance(value, list) else value.values()
        count = known[id(value)] = 1 + sum(_values(member, known) for member in members)
    return count


def _unzipped(data: bytes, path: Path) -> bytes:
    try:
        with gzip.GzipFile(fileobj=BytesIO(data)) as file:
            return file.read(FILE_BYTES_MAX + 1)
    except (OSError, EOFError) as error:
        raise InvalidInputError(f"{path} is no whole gzip file: {error}") from error


def _definition(named: str, folder: Path) -> JsonValue:
    beside = folder / named
    if Path(named).suffix in (*_SUFFIXES, ".gz") or beside.is_file():
        return read_file(beside)
    return packaged.find(named)


def _aliases(named: str, path: Path) -> JsonValue:
    """The alias listing that a vector file names: beside it, or in the folder `aliases` next to its own."""
    for folder in (path.parent, path.parent.parent / "aliases"):
        if (folder / named).is_file():
            return read_file(folder / named)
    raise NotFoundError(f"{path} names the alias listing '{named}', which is not there")


def _quarantine(path: Path) -> Quarantine:
    reasons = dict(known_exclusions().reasons)
    for folder in path.parents:
        if (folder / _QUARANTINE).is_file():
            reasons |= _read_quarantine(folder / _QUARANTINE)
    return Quarantine(reasons=reasons)


@lru_cache(maxsize=64)
def _read_quarantine(path: Path) -> Mapping[str, str]:
    return parse_quarantine(read_file(path)).reasons
