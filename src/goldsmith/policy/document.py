"""The values one evaluation reads: a resource and what surrounds it, each input looked up once."""

from collections.abc import Mapping

from goldsmith.kernel.json import JsonValue
from goldsmith.policy.paths import WILDCARD, member_of, narrow, select
from goldsmith.policy.tree import Input, Narrowing, Source


class Document:
    """One resource with its surroundings; values of inputs and results of nodes are remembered.

    The JSON values are not copied: they must not change while the document is in use. A document serves one
    pool, for results are remembered by the number of the node.
    """

    __slots__ = ("_objects", "_roots", "_values", "nodes")

    def __init__(
        self,
        resource: JsonValue,
        *,
        related: JsonValue = None,
        resource_group: Mapping[str, JsonValue] | None = None,
        subscription: Mapping[str, JsonValue] | None = None,
        request_context: Mapping[str, JsonValue] | None = None,
        now: str | None = None,
    ) -> None:
        """`now` is what utcNow() gives, as .NET round-trip text (`2026-01-01T00:00:00.0000000Z`)."""
        self._roots: dict[Source, JsonValue] = {
            Source.RESOURCE: resource,
            Source.RELATED: related,
            Source.RESOURCE_GROUP: None if resource_group is None else dict(resource_group),
            Source.SUBSCRIPTION: None if subscription is None else dict(subscription),
            Source.REQUEST: None if request_context is None else dict(request_context),
            Source.CLOCK: now,
        }
        self._values: dict[Input, JsonValue] = {}
        self._objects: dict[Source, dict[tuple[str, ...], JsonValue]] = {}
        self.nodes: dict[int, bool] = {}

    def value(self, wanted: Input) -> JsonValue:
        """The value of an input as `paths.project` defines it."""
        values = self._values
        if wanted in values:
            return values[wanted]
        path = wanted.path
        if WILDCARD in path:
            first = path.index(WILDCARD)
            found = select(self._plain(wanted.source, path[:first]), path[first:])
            found = narrow(found, wanted.narrowing, path.count(WILDCARD))
        else:
            found = self._plain(wanted.source, path)
            if wanted.narrowing is not Narrowing.VALUE:
                found = narrow(found, wanted.narrowing, 0)
        values[wanted] = found
        return found

    def with_related(self, related: JsonValue) -> "Document":
        """The same surroundings with another related resource."""
        other = Document(None)
        other._roots = {**self._roots, Source.RELATED: related}
        other._values = {
            known: value for known, value in self._values.items() if known.source is not Source.RELATED
        }
        return other

    def _plain(self, source: Source, path: tuple[str, ...]) -> JsonValue:
        if not path:
            return self._roots[source]
        owner = self._owner(source, path[:-1])
        if owner.__class__ is dict:
            return owner.get(path[-1])
        return member_of(owner, path[-1])

    def _owner(self, source: Source, path: tuple[str, ...]) -> JsonValue:
        """The value at `path`, an object with its keys in lower case."""
        objects = self._objects.get(source)
        if objects is None:
            objects = self._objects[source] = {(): with_lower_keys(self._roots[source])}
        if path in objects:
            return objects[path]
        found = objects[path] = with_lower_keys(member_of(self._owner(source, path[:-1]), path[-1]))
        return found


def with_lower_keys(value: JsonValue) -> JsonValue:
    """An object with its own keys (not those of its members) in lower case; any other value as it is.

    Of keys that differ only in case the lower-case spelling wins, then the first in code point order.
    """
    if not isinstance(value, dict):
        return value
    lowered = {key.lower(): member for key, member in value.items()}
    if len(lowered) != len(value):
        lowered = {key.lower(): value[key] for key in sorted(value, reverse=True)}
        lowered.update({key: member for key, member in value.items() if key == key.lower()})
    return lowered
