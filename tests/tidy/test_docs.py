"""The pages say what is so: commands exist, links lead somewhere, generated pages are up to date."""

import re
import sys
from pathlib import Path

import click
import pytest

from goldsmith.cli.main import cli
from goldsmith.imagetemplate import wire
from goldsmith.imagetemplate.text import load_template_text
from goldsmith.kernel.proc import run
from tests.tidy.markdown import REPOSITORY, Block, anchors, blocks, commands, links, name_of, pages

_CHECK_SECONDS = 300
_PAGES = [pytest.param(path, id=name_of(path)) for path in pages()]
_ADRS = sorted((REPOSITORY / "docs" / "adr").glob("*.md"))


def test_generated_pages_are_up_to_date() -> None:
    checked = run(
        [sys.executable, REPOSITORY / "scripts" / "reference.py", "--check"],
        timeout_seconds=_CHECK_SECONDS,
        check=False,
    )
    assert checked.returncode == 0, checked.error_text


@pytest.mark.parametrize("page", _PAGES)
def test_commands_in_code_blocks_parse(page: Path) -> None:
    wrong = []
    for block in blocks(page.read_text()):
        if _is_synopsis(block):
            continue
        for words in commands(block, "goldsmith"):
            if problem := _problem(words):
                wrong.append(f"line {block.line}: goldsmith {' '.join(words)}: {problem}")
    assert not wrong, "\n".join(wrong)


def test_a_wrong_command_is_noticed() -> None:
    assert _problem(("image", "bild", "x.yaml"))
    assert _problem(("image", "build", "--no-such-option", "x.yaml"))
    assert _problem(("image", "build"))
    assert _problem(("gallery", "export", "g/d", "x", "--format", "iso"))
    assert _problem(("--state", "/x", "image", "build", "--help")) is None
    assert list(
        commands(
            Block(line=1, language="", lines=("$ X=1 a/goldsmith job list | cat", "goldsmith no")),
            "goldsmith",
        )
    ) == [("job", "list")]


def _is_synopsis(block: Block) -> bool:
    return any("[OPTIONS]" in line for line in block.lines)


def _problem(words: tuple[str, ...]) -> str | None:
    """Why click would refuse these words; nothing is run."""
    command: click.Command = cli
    context: click.Context | None = None
    name, rest = "goldsmith", list(words)
    try:
        while isinstance(command, click.Group):
            context = click.Context(command, info_name=name, parent=context)
            _, rest, _ = command.make_parser(context).parse_args(rest)
            if not rest:
                return None
            found, inner, rest = command.resolve_command(context, rest)
            assert inner is not None
            name, command = found or "", inner
        command.make_context(name, rest, parent=context)
    except click.exceptions.Exit:
        return None
    except click.ClickException as error:
        return error.format_message()
    return None


@pytest.mark.parametrize("page", _PAGES)
def test_make_targets_in_code_blocks_exist(page: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    named = {
        word
        for block in blocks(page.read_text())
        for words in commands(block, "make")
        for word in words[:1]
        if "=" not in word
    }
    assert named <= targets


@pytest.mark.parametrize("page", _PAGES)
def test_relative_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        found = target.exists()
        if found and anchor and target.suffix == ".md":
            found = anchor in anchors(target.read_text())
        if not found:
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", [pytest.param(path, id=path.name) for path in _ADRS])
def test_decision_record_has_its_parts(page: Path) -> None:
    text = page.read_text()
    number = int(page.name[:4])
    assert text.startswith(f"# {number}. ")
    assert {"context", "decision", "consequences"} <= anchors(text)


def test_decision_records_are_numbered_without_gaps() -> None:
    assert [int(path.name[:4]) for path in _ADRS] == list(range(1, len(_ADRS) + 1))


@pytest.mark.parametrize("page", _PAGES)
def test_templates_in_the_docs_are_valid(page: Path) -> None:
    for block in blocks(page.read_text()):
        text = "\n".join(block.lines)
        if block.language == "yaml" and re.search(r"^properties:", text, flags=re.MULTILINE):
            document = load_template_text(text, format="yaml", source_name=f"{page.name}:{block.line}")
            assert not wire.parse_template(document, source_name=page.name).warnings


def test_every_page_is_one_sentence_a_line() -> None:
    long = []
    for page in pages():
        inside = {
            number
            for block in blocks(page.read_text())
            for number in range(block.line, block.line + len(block.lines) + 2)
        }
        for number, line in enumerate(page.read_text().splitlines(), start=1):
            prose = number not in inside and not line.startswith(("|", "-"))
            if prose and re.search(r"[a-z`)]\. [A-Z]\w+ ", line):
                long.append(f"{name_of(page)}:{number}: {line}")
    assert not long, "\n".join(long)
