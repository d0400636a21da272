"""Reading apt's source lists, and finding Debian's own mirror among them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from goldsmith.kernel.errors import InvalidInputError, UnsupportedError

DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

_CODENAMES = "bullseye|bookworm|trixie|forky|duke|sid|oldoldstable|oldstable|stable|testing|unstable"
_MAIN_SUITE = re.compile(rf"(?:{_CODENAMES})(?:-updates|-backports|-proposed-updates)?")
_SECURITY_SUITE = re.compile(rf"(?:{_CODENAMES})(?:-security|/updates)")
_HINT = (
    "name one in the configuration: mirror = 'http://deb.example.org/debian' and "
    "security_mirror = 'http://deb.example.org/debian-security'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEntry:
    """One entry of sources.list(5), either style; `signed_by` is the option's raw value, also a whole key."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrors:
    """Where Debian's archive and its security archive are fetched from; `signed_by` as apt takes it."""

    main: str
    security: str
    signed_by: str = DEBIAN_KEYRING


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSource:
    suite: str
    uri: str


def suite_sources(mirrors: Mirrors, codename: str) -> tuple[SuiteSource, ...]:
    """The three suites a stable Debian system is made of."""
    return (
        SuiteSource(suite=codename, uri=mirrors.main),
        SuiteSource(suite=f"{codename}-updates", uri=mirrors.main),
        SuiteSource(suite=f"{codename}-security", uri=mirrors.security),
    )


def parse_deb822(text: str) -> tuple[SourceEntry, ...]:
    """The enabled binary entries of a `.sources` file; apt itself reports the stanzas it cannot read."""
    entries = []
    for stanza in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        fields = _fields(stanza)
        enabled = fields.get("enabled", "yes").lower() not in {"no", "false", "off", "0"}
        if (
            enabled
            and "deb" in fields.get("types", "").split()
            and fields.get("uris")
            and fields.get("suites")
        ):
            entries.append(
                SourceEntry(
                    uris=tuple(fields["uris"].split()),
                    suites=tuple(fields["suites"].split()),
                    components=tuple(fields.get("components", "").split()),
                    signed_by=fields.get("signed-by", ""),
                )
            )
    return tuple(entries)


def parse_one_line(text: str) -> tuple[SourceEntry, ...]:
    """The binary entries of a `.list` file: `deb [ options ] uri suite component…`."""
    entries = []
    for line in text.splitlines():
        found = re.fullmatch(r"\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)((?:\s+[^\s#]+)*)\s*(?:#.*)?", line)
        if found is None:
            continue
        options = dict(word.partition("=")[::2] for word in (found[1] or "").split())
        entries.append(
            SourceEntry(
                uris=(found[2],),
                suites=(found[3],),
                components=tuple(found[4].split()),
                signed_by=options.get("signed-by", ""),
            )
        )
    return tuple(entries)


def choose_mirrors(
    entries: Sequence[SourceEntry], *, mirror: str | None = None, security_mirror: str | None = None
) -> Mirrors:
    """The mirrors given, else those of the entries that look most like Debian's own.

    A third party may also name its suite after a Debian release, so the key, the path and the presence of a
    `-updates` suite are looked at; the signature decides in the end. Raises UnsupportedError when there is no
    Debian mirror among the entries, InvalidInputError when a given one is no URI.
    """
    for given in (mirror, security_mirror):
        if given is not None and ":/" not in given:
            raise InvalidInputError(f"'{given}' is not the URI of a mirror", hint=_HINT)
    main = _best(entries, _MAIN_SUITE, tail="debian")
    security = _best(entries, _SECURITY_SUITE, tail="debian-security")
    main_uri = mirror or (main.uris[0] if main else None)
    if main_uri is None:
        raise UnsupportedError("apt's sources on this machine name no Debian mirror", hint=_HINT)
    security_uri = security_mirror or (security.uris[0] if security and mirror is None else None)
    if security_uri is None and main_uri.rstrip("/").endswith("/debian"):
        security_uri = main_uri.rstrip("/") + "-security"
    if security_uri is None:
        raise UnsupportedError(f"no Debian security mirror is known beside {public(main_uri)}", hint=_HINT)
    signed_by = main.signed_by if main and mirror is None else ""
    return Mirrors(
        main=main_uri.rstrip("/"), security=security_uri.rstrip("/"), signed_by=signed_by or DEBIAN_KEYRING
    )


def public(uri: str) -> str:
    """The URI without user name and password."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def write_deb822(sources: Iterable[SuiteSource], signed_by: str) -> str:
    """A `.sources` file of these suites, component main."""
    return "\n".join(
        f"Types: deb\nURIs: {source.uri}\nSuites: {source.suite}\nComponents: main\nSigned-By: {signed_by}\n"
        for source in sources
    )


def _best(entries: Sequence[SourceEntry], suite: re.Pattern[str], *, tail: str) -> SourceEntry | None:
    def likeness(entry: SourceEntry) -> tuple[bool, bool, bool]:
        return (
            "debian-archive-" in entry.signed_by,
            any(urlsplit(uri).path.rstrip("/").endswith(f"/{tail}") for uri in entry.uris),
            any(name.endswith("-updates") for name in entry.suites),
        )

    fitting = [
        entry
        for entry in entries
        if "main" in entry.components and any(suite.fullmatch(name) for name in entry.suites)
    ]
    return max(fitting, key=likeness, default=None)


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    last = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in {" ", "\t"} and last:
            fields[last] += "\n" + line
        elif ":" in line:
            name, _, value = line.partition(":")
            last = name.strip().lower()
            fields[last] = value.strip()
    return fields
