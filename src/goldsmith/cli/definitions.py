"""Making the gallery and image definition a template distributes to, when they are not there."""

import click

from goldsmith.app import App
from goldsmith.gallery import service
from goldsmith.gallery.model import Feature, Gallery, Identifier, ImageDefinition, OsState, OsType
from goldsmith.imagetemplate.model import ImageTemplate
from goldsmith.publishing import planning


def ensure_definition(app: App, template: ImageTemplate, *, quiet: bool) -> None:
    """Afterwards both exist; a definition made here is Linux, generation 2, with Trusted Launch."""
    planning.refuse(template)
    target = planning.definition_id(planning.shared_image(template))
    parent = target.parent
    assert parent is not None
    if app.gallery.gallery(parent) is None:
        service.create_gallery(
            app.gallery, Gallery(id=parent, location=template.location), actor=app.settings.actor
        )
        _say(f"created gallery {parent.name}", quiet=quiet)
    if app.gallery.definition(target) is None:
        definition = ImageDefinition(
            id=target,
            location=template.location,
            os_type=OsType.LINUX,
            os_state=OsState.GENERALIZED,
            identifier=Identifier(publisher=parent.name, offer=parent.name, sku=target.name),
            features=(Feature(name="SecurityType", value="TrustedLaunch"),),
        )
        service.create_definition(app.gallery, definition, actor=app.settings.actor)
        _say(f"created image definition {parent.name}/{target.name} with Trusted Launch", quiet=quiet)


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        click.echo(text)
