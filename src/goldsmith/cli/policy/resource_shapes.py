"""Resources as exports flatten them, brought back into the shape that policies look at.

`az vm list` and the like print what ARM has below `properties` without it, also in the middle of a resource
(`networkInterfaces[].properties.primary`). Where that was is known from the paths of the type's aliases.
"""

from functools import lru_cache
from typing import Any

from goldsmith.kernel.json import JsonObject
from goldsmith.policy.aliases import AliasTable

_ENVELOPE = frozenset(
    {
        *("id", "name", "type", "location", "tags", "kind", "sku", "plan", "identity", "zones", "managedby"),
        *("managedbyextended", "extendedlocation", "systemdata", "etag", "apiversion", "scale", "resources"),
        *("resourcegroup", "subscriptionid", "tenantid", "placement"),
    }
)
_INNER = frozenset({"id", "name", "type", "location", "tags", "zones", "sku", "etag"})
_PROPERTIES = "properties"


def arm_shape(resource: JsonObject, aliases: AliasTable) -> JsonObject:
    """The resource with `properties`; one that has that member, be it null, is handed back as it is."""
    lowered = {key.lower() for key in resource}
    if _PROPERTIES in lowered or not lowered - _ENVELOPE:
        return resource
    envelope = {key: value for key, value in resource.items() if key.lower() in _ENVELOPE}
    properties = {key: value for key, value in resource.items() if key.lower() not in _ENVELOPE}
    for path in _nested(aliases, str(resource.get("type", "")).lower()):
        _wrap(properties, path)
    return {**envelope, _PROPERTIES: properties}


def lacks_properties(resource: JsonObject) -> bool:
    """Whether an export left the properties out, as `az resource list` does."""
    return not next((value for key, value in resource.items() if key.lower() == _PROPERTIES), None)


@lru_cache(maxsize=256)
def _nested(aliases: AliasTable, type_: str) -> tuple[tuple[str, ...], ...]:
    """Paths below `properties` of the objects that have `properties` of their own, outermost first."""
    found: set[tuple[str, ...]] = set()
    for alias in aliases.entries(type_).values():
        steps = alias.path.replace("[*]", ".[*]").split(".")
        if steps[0] == _PROPERTIES:
            found.update(
                tuple(steps[1:at]) for at in range(2, len(steps)) if steps[at].lower() == _PROPERTIES
            )
    return tuple(sorted(found, key=len))


def _wrap(value: Any, path: tuple[str, ...]) -> None:
    """Put what the object at `path` has into its `properties`, unless it has them."""
    if not path:
        if isinstance(value, dict) and _PROPERTIES not in value:
            inner = {key: value.pop(key) for key in list(value) if key.lower() not in _INNER}
            if inner:
                value[_PROPERTIES] = inner
        return
    if path[0] == "[*]":
        for member in value if isinstance(value, list) else ():
            _wrap(member, path[1:])
    elif isinstance(value, dict):
        key = next((key for key in value if key.lower() == path[0].lower()), None)
        if key is not None:
            _wrap(value[key], path[1:])
