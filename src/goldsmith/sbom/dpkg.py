"""The dpkg database: which packages are installed, and what they need."""

import re
from collections.abc import Iterator, Mapping

from goldsmith.kernel.errors import CorruptError, UnsupportedError
from goldsmith.sbom.model import Package, SourceVersion
from goldsmith.sbom.root import SealedRoot

STATUS = "var/lib/dpkg/status"
STATUS_DIRECTORY = "var/lib/dpkg/status.d"
INFO = "var/lib/dpkg/info"

Stanza = Mapping[str, str]

# In the other states no file of the package is on disk, save perhaps its configuration (dpkg(1)).
_NOT_ON_DISK = frozenset({"not-installed", "config-files"})
_OTHER_DATABASES = {
    "var/lib/rpm/rpmdb.sqlite": "rpm",
    "usr/lib/sysimage/rpm/rpmdb.sqlite": "rpm",
    "var/lib/rpm/Packages": "rpm",
    "var/lib/rpm/Packages.db": "rpm",
    "lib/apk/db/installed": "apk",
    "usr/lib/apk/db/installed": "apk",
    "var/lib/pacman/local": "pacman",
}
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")
_RELATION = re.compile(
    r"\s*([A-Za-z0-9][A-Za-z0-9+._-]*)(?::[a-z0-9-]+)?\s*(?:\(\s*[<>=]*\s*([^)\s]*)\s*\))?"
)
# The path may hold spaces; `obsolete` and `remove-on-upgrade` may follow the digest.
_CONFFILE = re.compile(r" /(.+?) ([0-9a-f]{32})(?: obsolete| remove-on-upgrade)*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")


def read_stanzas(root: SealedRoot) -> tuple[Stanza, ...]:
    """The stanzas of every package that is on disk, from `status` and `status.d`.

    Raises UnsupportedError when the root has the database of another package manager only, and CorruptError
    when there is no database, when it is empty, or when it does not hold together.
    """
    status = root.read(STATUS)
    parts = [(name, root.read(f"{STATUS_DIRECTORY}/{name}")) for name in root.names(STATUS_DIRECTORY)]
    # Each package of a distroless root has `name` and `name.md5sums` there.
    scattered = [data for name, data in parts if data and not name.endswith((".md5sums", ".list"))]
    if status is None and not scattered:
        raise _no_database(root)
    stanzas = list(_parse(status or b""))
    _check_complete(root, stanzas)
    for data in scattered:
        stanzas += _parse(data)
    found: dict[tuple[str, str], Stanza] = {}
    for stanza in stanzas:
        if _on_disk(stanza):
            _add(found, stanza)
    if not found:
        raise CorruptError(
            f"the package database /{STATUS} of the root lists no installed package",
            hint="the database was emptied or deleted during the build; a bill of materials needs it",
        )
    return tuple(found[key] for key in sorted(found))


def to_package(stanza: Stanza) -> Package:
    """A stanza of `status` (deb-control(5)) as a package, its licence and hash still unknown."""
    name, version = stanza["Package"], stanza["Version"]
    source, source_version = _source(stanza.get("Source", ""), name, version)
    relations = ", ".join(filter(None, (stanza.get("Pre-Depends"), stanza.get("Depends"))))
    size = stanza.get("Installed-Size", "")
    return Package(
        name=name,
        version=version,
        architecture=stanza["Architecture"],
        source=source,
        source_version=source_version,
        maintainer=stanza.get("Maintainer", ""),
        section=stanza.get("Section", ""),
        summary=stanza.get("Description", "").partition("\n")[0],
        homepage=stanza.get("Homepage", ""),
        installed_size_kib=int(size) if size.isascii() and size.isdigit() else None,
        depends=tuple(
            tuple(name for name, _ in _relations(group.split("|"))) for group in relations.split(",") if group
        ),
        provides=tuple(name for name, _ in _relations(stanza.get("Provides", "").split(","))),
        built_using=tuple(
            sorted(
                SourceVersion(name=name, version=version)
                for name, version in _relations(stanza.get("Built-Using", "").split(","))
                if version
            )
        ),
    )


def conffiles(stanza: Stanza) -> Iterator[tuple[str, str]]:
    """(path, md5) of a stanza's configuration files; paths have no leading slash."""
    for line in stanza.get("Conffiles", "").splitlines():
        match = _CONFFILE.fullmatch(line)
        if match is not None:
            yield match[1], match[2]


def _parse(data: bytes) -> Iterator[dict[str, str]]:
    # deb822(5): fields at the start of a line, continued by lines that begin with a space or tab.
    for paragraph in _BLANK_LINES.split(data.decode(errors="replace")):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.split("\n"):
            if line[:1] in (" ", "\t"):
                if name:
                    fields[name] += "\n" + line
                continue
            name, colon, value = line.partition(":")
            if colon:
                fields[name] = value.strip()
            else:
                name = ""
        if fields:
            yield fields


def _on_disk(stanza: Stanza) -> bool:
    words = stanza.get("Status", "install ok installed").split()
    if len(words) != 3:
        raise CorruptError(
            f"the status of package '{stanza.get('Package', '')}' in the package database is "
            f"'{stanza.get('Status')}', expected three words"
        )
    return words[2] not in _NOT_ON_DISK


def _add(found: dict[tuple[str, str], Stanza], stanza: Stanza) -> None:
    for field in ("Package", "Version", "Architecture"):
        if not stanza.get(field):
            raise CorruptError(
                f"package '{stanza.get('Package', '')}' has no {field} in the package database of the root",
                hint="repair /var/lib/dpkg/status; dpkg keeps copies in /var/backups",
            )
    if not _NAME.fullmatch(stanza["Package"]):
        raise CorruptError(f"'{stanza['Package']}' in the package database is no package name")
    key = (stanza["Package"], stanza["Architecture"])
    other = found.setdefault(key, stanza)
    if other["Version"] != stanza["Version"]:
        raise CorruptError(
            f"package {key[0]}:{key[1]} is installed as {other['Version']} and as {stanza['Version']} "
            "in the package database, expected one version"
        )


def _check_complete(root: SealedRoot, stanzas: list[dict[str, str]]) -> None:
    """A file list without its stanza means that a package was cut out of `status`."""
    known = {stanza.get("Package", "") for stanza in stanzas}
    for name in root.names(INFO):
        package = name.removesuffix(".list").partition(":")[0]
        if name.endswith(".list") and package not in known:
            raise CorruptError(
                f"/{INFO}/{name} lists the files of package {package}, which /{STATUS} does not have",
                hint="restore the stanza in the status file, or remove the package with dpkg",
            )


def _no_database(root: SealedRoot) -> CorruptError | UnsupportedError:
    for path, manager in _OTHER_DATABASES.items():
        if root.resolve(path) is not None:
            return UnsupportedError(
                f"the root's packages are managed by {manager} (/{path}), expected dpkg",
                hint="a bill of materials can be made of Debian, Ubuntu and their derivatives",
            )
    return CorruptError(
        f"the root has no package database: neither /{STATUS} nor /{STATUS_DIRECTORY}",
        hint="check that this is the root file system, and that no step deletes the database",
    )


def _source(field: str, name: str, version: str) -> tuple[str, str]:
    # deb-control(5): `Source: name (version)`, each part left out when equal to the binary's.
    match = _RELATION.match(field)
    if match is None:
        return name, version
    return match[1], match[2] or version


def _relations(words: list[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        match = _RELATION.match(word)
        if match is not None:
            yield match[1], match[2] or ""
