"""Names of galleries, definitions and versions, and of the files stored with a version."""

import re
from dataclasses import dataclass
from datetime import date

from goldsmith.gallery.model import (
    DEFINITION_TYPE,
    GALLERY_TYPE,
    VERSION_TYPE,
    ArtifactKind,
    VersionName,
    parse_version_name,
)
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.ids import ResourceId

# The pattern the Azure clients check with, for galleries and definitions alike; \w is ASCII here, as the
# name becomes part of file and object names.
_NAME = re.compile(r"[^_\W][\w.-]{0,79}(?<![-.])", re.ASCII)
_NAME_CHARACTERS_MAX = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactName:
    """The parts of an artefact's name."""

    gallery: str
    definition: str
    version: VersionName
    build_date: date
    kind: ArtifactKind

    def __str__(self) -> str:
        stem = f"{self.definition}-{self.version}-{self.build_date.isoformat()}"
        return f"images/{self.gallery}/{self.definition}/{self.version}/{stem}.{self.kind}"


def artifact_name(
    gallery: str, definition: str, version: VersionName, *, build_date: date, kind: ArtifactKind
) -> str:
    """`images/<gallery>/<definition>/<version>/<definition>-<version>-<YYYY-MM-DD>.<suffix>`

    Raises InvalidInputError for a name that is not one of a gallery or definition.
    """
    check_name("gallery", gallery)
    check_name("image definition", definition)
    return str(
        ArtifactName(
            gallery=gallery, definition=definition, version=version, build_date=build_date, kind=kind
        )
    )


def parse_artifact_name(path: str) -> ArtifactName:
    """The reverse of `artifact_name`; raises InvalidInputError when `path` is not such a name."""
    refused = InvalidInputError(
        f"'{path}' is not the name of an artefact of an image version",
        hint="expected images/<gallery>/<definition>/<version>/<definition>-<version>-<date>.<suffix>",
    )
    segments = path.split("/")
    if len(segments) != 5 or segments[0] != "images":
        raise refused
    _, gallery, definition, version_text, file_name = segments
    try:
        check_name("gallery", gallery)
        check_name("image definition", definition)
        version = parse_version_name(version_text)
        # The folders before it say how long the definition's name is, which may hold dashes and digits.
        dated, _, suffix = file_name.removeprefix(f"{definition}-{version}-").partition(".")
        name = ArtifactName(
            gallery=gallery,
            definition=definition,
            version=version,
            build_date=date.fromisoformat(dated),
            kind=ArtifactKind(suffix),
        )
    except (InvalidInputError, ValueError) as error:
        raise refused from error
    if str(name) != path:
        raise refused
    return name


def check_id(id_: ResourceId) -> None:
    """Raises InvalidInputError when a name in the id of a gallery, definition or version breaks its rule."""
    if id_.type.lower() not in (GALLERY_TYPE.lower(), DEFINITION_TYPE.lower(), VERSION_TYPE.lower()):
        raise InvalidInputError(f"{id_} is a {id_.type}, expected a gallery, image definition or version")
    for what, name in zip(("gallery", "image definition"), id_.names, strict=False):
        check_name(what, name)
    if len(id_.names) == 3:
        parse_version_name(id_.name)


def check_name(what: str, name: str) -> None:
    """Raises InvalidInputError unless `name` may name a gallery or an image definition."""
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"the {what} name '{name}' is invalid: expected at most {_NAME_CHARACTERS_MAX} letters, digits, "
            "'_', '.' and '-', the first a letter or digit, the last neither '-' nor '.'",
            code="InvalidParameter",
        )
