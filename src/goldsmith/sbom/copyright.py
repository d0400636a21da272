"""Debian's machine-readable copyright files (DEP-5, copyright-format 1.0)."""

import re
from dataclasses import dataclass, field

_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")
_FIELD = re.compile(r"^([A-Za-z][A-Za-z-]*):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)


@dataclass(slots=True)
class CopyrightFile:
    """`synopses`: the License lines of the header and Files paragraphs, in order, each once.
    `texts`: synopsis → licence text, where the file has one. `machine_readable` is false for free text.
    """

    machine_readable: bool = True
    synopses: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)


def parse_copyright(text: str) -> CopyrightFile:
    """Never raises: a file that does not keep to the format gives what can be read of it."""
    result = CopyrightFile()
    paragraphs = [dict(_fields(paragraph)) for paragraph in _BLANK_LINES.split(text)]
    if not paragraphs or not paragraphs[0].keys() & {"format", "format-specification"}:
        result.machine_readable = False
        return result
    seen: dict[str, None] = {}
    for position, fields in enumerate(paragraphs):
        if "license" not in fields:
            continue
        first, _, rest = fields["license"].partition("\n")
        synopsis, body = " ".join(first.split()), _unfold(rest)
        if not synopsis and body:
            # Some begin the text, or put the name, on the next line.
            first, _, rest = body.partition("\n")
            synopsis, body = first.strip(), rest.strip() or body
        if body:
            result.texts.setdefault(synopsis, body)
        if position == 0 or "files" in fields:
            seen[synopsis] = None
    result.synopses = [synopsis for synopsis in seen if synopsis]
    return result


def _fields(paragraph: str) -> list[tuple[str, str]]:
    return [(match[1].lower(), match[2]) for match in _FIELD.finditer(paragraph)]


def _unfold(text: str) -> str:
    lines = (line[1:].rstrip() for line in text.split("\n"))
    return "\n".join("" if line == "." else line for line in lines).strip()
