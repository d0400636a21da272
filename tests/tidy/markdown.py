"""Reading the pages of this repository: their headings, links and the commands in their code blocks."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^\s*```(\w*)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_SEPARATORS = {"|", "||", "&&", ";", ";;", "&", ">", ">>", "<"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A code block: its first line's number, its language ('' when indented or not said), its lines."""

    line: int
    language: str
    lines: tuple[str, ...]


def pages() -> list[Path]:
    """Every page a person reads, those made by a program too."""
    top = [
        path
        for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")
        if (path := REPOSITORY / name).exists()
    ]
    return [*top, *sorted((REPOSITORY / "docs").rglob("*.md"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def blocks(text: str) -> Iterator[Block]:
    """Fenced blocks, and blocks indented by four columns after an empty line."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        if fence := _FENCE.match(lines[number]):
            end = number + 1
            while end < len(lines) and not _FENCE.match(lines[end]):
                end += 1
            yield Block(line=number + 1, language=fence[1], lines=tuple(lines[number + 1 : end]))
            number = end + 1
        elif lines[number].startswith("    ") and (number == 0 or not lines[number - 1].strip()):
            end = number
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            yield Block(line=number + 1, language="", lines=tuple(line[4:] for line in lines[number:end]))
            number = end
        else:
            number += 1


def commands(block: Block, program: str) -> Iterator[tuple[str, ...]]:
    """The words after `program` wherever it is run; in a block with `$ ` prompts only those lines count."""
    prompted = any(line.startswith("$ ") for line in block.lines)
    text = "\n".join(block.lines).replace("\\\n", " ").replace("\n> ", " ")
    for line in text.splitlines():
        if prompted:
            if not line.startswith("$ "):
                continue
            line = line[2:]
        if program in line:
            yield from _runs(line, program, is_command=prompted)


def _runs(line: str, program: str, *, is_command: bool) -> Iterator[tuple[str, ...]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        if is_command:
            raise
        return  # output that happens to hold a quote
    run: list[str] = []
    for word in [*words, ";"]:
        if word not in _SEPARATORS:
            run.append(word)
            continue
        while run and (re.fullmatch(r"[A-Z_]+=.*", run[0]) or run[0] in ("sudo", "env", "exec")):
            run.pop(0)
        if run and Path(run[0]).name == program:
            yield tuple(run[1:])
        run = []


def links(text: str) -> Iterator[str]:
    """Targets of links outside of code."""
    code = {
        number for block in blocks(text) for number in range(block.line, block.line + len(block.lines) + 1)
    }
    for number, line in enumerate(text.splitlines(), start=1):
        if number not in code:
            yield from _LINK.findall(re.sub(r"`[^`]*`", "", line))


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    headings = [line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
