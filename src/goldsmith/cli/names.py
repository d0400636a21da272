"""Short names of galleries, definitions and versions, as people type them, to resource ids."""

from goldsmith.app import App
from goldsmith.gallery import service
from goldsmith.gallery.model import DEFINITION_TYPE, GALLERY_TYPE, VERSION_TYPE, ImageVersion
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.ids import ResourceId, parse_resource_id

_TYPES = (GALLERY_TYPE, DEFINITION_TYPE, VERSION_TYPE)
_FORMS = ("GALLERY", "GALLERY/DEFINITION", "GALLERY/DEFINITION/VERSION")


def gallery_id(app: App, text: str) -> ResourceId:
    return _id(app, text, depth=1)


def definition_id(app: App, text: str) -> ResourceId:
    return _id(app, text, depth=2)


def version_id(app: App, text: str) -> ResourceId:
    return _id(app, text, depth=3)


def image_version(app: App, text: str, *, region: str) -> ImageVersion:
    """The version that GALLERY/DEFINITION, .../latest, .../1.2.3 or a resource id means in a region.

    Raises InvalidInputError for what is no such name, NotFoundError.
    """
    depth = 3 if text.strip("/").count("/") == 2 or "/versions/" in text.lower() else 2
    return service.resolve_image(app.gallery, _id(app, text, depth=depth), region=region, clock=app.clock)


def short(id_: ResourceId) -> str:
    return "/".join(id_.names)


def _id(app: App, text: str, *, depth: int) -> ResourceId:
    if text.startswith("/"):
        parsed = parse_resource_id(text)
        if parsed.type.lower() != _TYPES[depth - 1].lower():
            raise InvalidInputError(f"{text} is a {parsed.type}, expected a {_TYPES[depth - 1]}")
        return parsed
    names = [name for name in text.split("/") if name]
    if len(names) != depth:
        raise InvalidInputError(f"'{text}' is not {_FORMS[depth - 1]}", hint=f"expected {_FORMS[depth - 1]}")
    return app.resource_id(_TYPES[depth - 1], *names)
