"""The tattoo as text: `/etc/goldsmith/tattoo`, login environments and a Windows registry file.

`/etc/goldsmith/tattoo` has one `KEY=value` a line, in a form that systemd's EnvironmentFile= and every POSIX
shell read alike: a value of letters, digits and `._:/@%+,-` stands bare; any other stands in double quotes
with a backslash before each of `\\`, `"`, `$` and the backtick. Control characters never occur.
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import date

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.tattoo.model import Tattoo

PATH = "/etc/goldsmith/tattoo"
PROFILE_PATH = "/etc/profile.d/goldsmith-tattoo.sh"
ENVIRONMENT_PATH = "/etc/environment.d/60-goldsmith-tattoo.conf"
REGISTRY_KEY = r"HKEY_LOCAL_MACHINE\SOFTWARE\Goldsmith\Tattoo"
PREFIX = "GOLDSMITH_"

_BARE = re.compile(r"[A-Za-z0-9._:/@%+,-]+")
_QUOTED = re.compile(r'"((?:[^"\\$`]|\\["\\$`])*)"')
_NEEDS_ESCAPE = re.compile(r'["\\$`]')
_KEY = re.compile(r"[A-Z][A-Z0-9_]*")


def facts(tattoo: Tattoo) -> dict[str, str]:
    """Every fact by its key, in a fixed order; what a scheduled release lacks is ""."""
    return {key(name): _fact(getattr(tattoo, name)) for name in _names()}


def key(name: str) -> str:
    """`source_publisher` → `GOLDSMITH_SOURCE_PUBLISHER`"""
    return PREFIX + name.upper()


def from_facts(given: Mapping[str, str]) -> Tattoo:
    """The tattoo whose facts these are; keys it does not know (a newer writer's) are passed over.

    Raises InvalidInputError (code `InvalidTattoo`) for a missing or malformed fact.
    """
    missing = [key(name) for name in _names() if key(name) not in given]
    if missing:
        raise _bad(f"lacks {', '.join(missing)}")
    out_of_band = given[key("out_of_band")]
    if out_of_band not in ("true", "false"):
        raise _bad(f"has {key('out_of_band')} {out_of_band!r}, expected true or false")
    cves, patch_date = given[key("cves")], given[key("patch_date")]
    return Tattoo(
        **{name: given[key(name)] for name in _TEXTS},
        publish_date=_date("publish_date", given[key("publish_date")]),
        out_of_band=out_of_band == "true",
        cves=tuple(cves.split(" ")) if cves else (),
        patch_date=_date("patch_date", patch_date) if patch_date else None,
    )


def to_text(tattoo: Tattoo) -> str:
    """The content of `/etc/goldsmith/tattoo`."""
    return "".join(f"{name}={quote(value)}\n" for name, value in facts(tattoo).items())


def parse_text(text: str) -> dict[str, str]:
    """The keys and values of `to_text`'s form; empty lines and lines that begin with `#` are passed over.

    Raises InvalidInputError (code `InvalidTattoo`) with the line that is not of that form.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not _KEY.fullmatch(name):
            raise _bad(f"has on line {number} {line[:80]!r}, expected KEY=value")
        if name in found:
            raise _bad(f"has {name} again on line {number}, expected each key once")
        found[name] = _unquote(value, number)
    return found


def files(tattoo: Tattoo) -> Mapping[str, str]:
    """What is written into a Linux image, content by absolute path.

    `/etc/goldsmith/tattoo` is the tattoo; login shells read that very file, systemd's user sessions a copy
    of the facts that are not empty.
    `/etc/environment` belongs to other software and is left alone.
    """
    names = " ".join(facts(tattoo))
    profile = f"""\
# Exports the facts of {PATH} to login shells.
if [ -r {PATH} ]; then
    . {PATH}
    export {names}
fi
"""
    # systemd would call an empty value there a fault and pass over it.
    environment = "".join(
        f"{name}={quote(_keep_dollars(value))}\n" for name, value in facts(tattoo).items() if value
    )
    return {
        PATH: to_text(tattoo),
        PROFILE_PATH: profile,
        ENVIRONMENT_PATH: f"# A copy of {PATH} for systemd's user sessions.\n{environment}",
    }


def to_registry(tattoo: Tattoo) -> str:
    """A registration file for `HKLM\\SOFTWARE\\Goldsmith\\Tattoo`, one REG_SZ value a fact.

    Values are named `SourcePublisher` and so on. Lines end in CR LF; Windows wants the file in UTF-16 with
    a byte order mark.
    """
    lines = ["Windows Registry Editor Version 5.00", "", f"[{REGISTRY_KEY}]"]
    for name in _names():
        value = _fact(getattr(tattoo, name)).replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'"{"".join(word.capitalize() for word in name.split("_"))}"="{value}"')
    return "".join(line + "\r\n" for line in (*lines, ""))


def quote(value: str) -> str:
    """`value` as it stands behind `KEY=`; it must be printable."""
    if not value.isprintable():
        raise _bad(f"has the value {value!r}, expected printable characters on one line")
    if _BARE.fullmatch(value):
        return value
    return '"' + _NEEDS_ESCAPE.sub(r"\\\g<0>", value) + '"'


def _unquote(written: str, number: int) -> str:
    if _BARE.fullmatch(written):
        return written
    match = _QUOTED.fullmatch(written)
    value = re.sub(r"\\(.)", r"\1", match[1]) if match else ""
    if match is None or not value.isprintable():
        raise _bad(f"has on line {number} the value {written[:80]!r}, expected it bare or in double quotes")
    return value


def _keep_dollars(value: str) -> str:
    # environment.d(5) expands variables in what it has unquoted, and takes `$$` for one dollar sign.
    return value.replace("$", "$$")


def _names() -> tuple[str, ...]:
    return tuple(member.name for member in fields(Tattoo))


_TEXTS = tuple(name for name in _names() if name not in ("publish_date", "out_of_band", "cves", "patch_date"))


def _fact(value: str | bool | date | tuple[str, ...] | None) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case date():
            return value.isoformat()
        case tuple():
            return " ".join(value)
        case str():
            return value


def _date(name: str, text: str) -> date:
    # Python also reads 20261126 and 2026-W48-4; one form is enough to compare by.
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise _bad(f"has {key(name)} {text!r}, expected a date such as 2026-11-26")


def _bad(what: str) -> InvalidInputError:
    return InvalidInputError(
        f"the tattoo {what}",
        code="InvalidTattoo",
        hint=f"{PATH} is written by the image build and is not to be edited",
    )
