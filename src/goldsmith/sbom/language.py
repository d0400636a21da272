"""Packages of language package managers that no distribution package owns."""

import json
import re
from collections.abc import Iterable

from goldsmith.sbom.expression import render
from goldsmith.sbom.licence import spdx_term
from goldsmith.sbom.model import Ecosystem, LanguagePackage
from goldsmith.sbom.root import SealedRoot

_PYTHON = re.compile(r".*\.(?:dist-info/METADATA|egg-info/PKG-INFO|egg-info)")
_NPM = re.compile(r"(?:.*/)?node_modules/(?:@[^/]+/)?[^/]+/package\.json")


def read_language_packages(root: SealedRoot, unowned: Iterable[str]) -> tuple[LanguagePackage, ...]:
    """Of the paths no distribution package owns, those that describe a Python or npm package."""
    found = []
    for path in unowned:
        if _PYTHON.fullmatch(path):
            package = _python(path, root.read(path) or b"")
        elif _NPM.fullmatch(path):
            package = _npm(path, root.read(path) or b"")
        else:
            continue
        if package is not None:
            found.append(package)
    return tuple(sorted(found, key=lambda package: (package.ecosystem, package.name, package.path)))


def _python(path: str, data: bytes) -> LanguagePackage | None:
    fields = _headers(data.decode(errors="replace"))
    name, version = fields.get("name", ""), fields.get("version", "")
    if not name or not version:
        return None
    return LanguagePackage(
        ecosystem=Ecosystem.PYPI,
        name=name,
        version=version,
        path=path,
        supplier=fields.get("author") or fields.get("maintainer") or fields.get("author-email", ""),
        licence=_known(fields.get("license-expression") or fields.get("license", "")),
    )


def _headers(text: str) -> dict[str, str]:
    """Core metadata: headers up to the first empty line; of those that come twice the first counts."""
    fields: dict[str, str] = {}
    for line in text.partition("\n\n")[0].splitlines():
        name, colon, value = line.partition(":")
        if colon and not line[0].isspace():
            fields.setdefault(name.lower(), value.strip())
    return fields


def _npm(path: str, data: bytes) -> LanguagePackage | None:
    try:
        fields = json.loads(data)
    except ValueError:
        return None
    if not isinstance(fields, dict):
        return None
    name, version, author = fields.get("name"), fields.get("version"), fields.get("author")
    # Folders of a package hold package.json files too, which only set how to load them.
    if not isinstance(name, str) or not isinstance(version, str) or not name or not version:
        return None
    if isinstance(author, dict):
        author = author.get("name")
    licence = fields.get("license")
    return LanguagePackage(
        ecosystem=Ecosystem.NPM,
        name=name,
        version=version,
        path=path,
        supplier=author if isinstance(author, str) else "",
        licence=_known(licence if isinstance(licence, str) else ""),
    )


def _known(text: str) -> str | None:
    term = spdx_term(text.strip()) if len(text) < 100 else None
    return None if term is None else render(term)
