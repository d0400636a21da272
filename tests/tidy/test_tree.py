"""What holds for every file: nothing of one machine in it, nothing mocked, all of it explained."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.markdown import REPOSITORY, name_of

_SKIPPED = {
    ".git",
    ".venv",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
    ".import_linter_cache",
}
_SIZE_BYTES_MAX = 4 << 20
# Put together from halves, so that this file is not found by them.
_FOREIGN = {
    "a package registry": "://[a-z0-9.-]*("
    + "|".join(("py" + "pi", "python" + "hosted", "npm" + "js"))
    + ")",
    "a distribution's mirror": r"\b(deb|ftp\d*|security|snapshot|archive|cdn-fastly|httpredir)\."
    r"([a-z]{2}\.)?(debian\.org|ubuntu\.com|debian\.net)",
    "a directory of one machine": r"(?<![\w.}$-])/(" + "wor" + r"k|tmp/v|tmp/mp" + r"state|var/tmp/gs)/",
    "a private network": r"://(10|192\.168|172\.(1[6-9]|2\d|3[01]))\.\d+\.\d+",
}


def files() -> Iterator[Path]:
    for path in sorted(REPOSITORY.rglob("*")):
        parts = path.relative_to(REPOSITORY).parts
        if not path.is_file() or _SKIPPED & set(parts) or any(part.endswith(".egg-info") for part in parts):
            continue
        yield path


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in sorted((REPOSITORY / folder).rglob("*.py")))


@pytest.mark.parametrize("what", _FOREIGN)
def test_no_file_mentions(what: str) -> None:
    pattern = re.compile(_FOREIGN[what].encode(), flags=re.IGNORECASE)
    found = []
    for path in files():
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{name_of(path)}:{number}: {line[:100]!r}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a package registry", "http" + "://files.python" + "hosted.org/x"),
        ("a distribution's mirror", "deb." + "debian.org"),
        ("a distribution's mirror", "archive." + "ubuntu.com"),
        ("a directory of one machine", "in /wor" + "k/main"),
        ("a private network", "http:/" + "/10.1.2.3:80/"),
    ],
)
def test_what_is_looked_for_would_be_found(what: str, text: str) -> None:
    assert re.search(_FOREIGN[what], text, flags=re.IGNORECASE)


def test_no_file_is_big() -> None:
    assert [name_of(path) for path in files() if path.stat().st_size > _SIZE_BYTES_MAX] == []


def test_nothing_is_mocked() -> None:
    found = []
    for path in modules("src", "tests", "bench", "scripts"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names=names):
                    imported = [alias.name for alias in names]
                case ast.ImportFrom(module=str() as module, names=names):
                    imported = [f"{module}.{alias.name}" for alias in names]
                case _:
                    continue
            found += [name_of(path) for name in imported if name.startswith(("unittest.mock", "mock."))]
    assert found == []


def test_every_module_opens_with_a_docstring_that_begins_with_one_line() -> None:
    bare = []
    for path in modules("src"):
        documentation = ast.get_docstring(ast.parse(path.read_text()))
        first, _, rest = (documentation or "").partition("\n")
        if not first.strip() or (rest and rest.splitlines()[0].strip()):
            bare.append(name_of(path))
    assert bare == []


def test_no_name_of_a_module_says_nothing() -> None:
    banned = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}
    assert [name_of(path) for path in modules("src") if path.stem in banned] == []
