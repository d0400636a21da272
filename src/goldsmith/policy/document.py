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

    __slots__ = ("_around", "_owners", "_resource", "_values", "nodes")

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
        self._resource = resource
        self._around = (related, resource_group, subscription, request_context, now)
        # By identity, which is quicker than the inputs' own hash; the entry keeps its input alive.
        self._values: dict[int, tuple[Input, JsonValue]] = {}
        self._owners: dict[tuple[str, ...], JsonValue] = {}
        self.nodes: dict[int, bool] = {}

    def value(self, wanted: Input) -> JsonValue:
        """The value of an input as `paths.project` defines it."""
        known = self._values.get(id(wanted))
        if known is not None:
            return known[1]
        path = wanted.path
        if WILDCARD in path:
            first = path.index(WILDCARD)
            found = select(self._plain(wanted.source, path[:first]), path[first:])
            found = narrow(found, wanted.narrowing, path.count(WILDCARD))
        else:
            found = self._plain(wanted.source, path)
            if wanted.narrowing is not Narrowing.VALUE:
                found = narrow(found, wanted.narrowing, 0)
        self._values[id(wanted)] = wanted, found
        return found

    def with_related(self, related: JsonValue) -> "Document":
        """The same surroundings with another related resource."""
        other = Document(self._resource)
        other._around = (related, *self._around[1:])
        other._owners = self._owners
        other._values = {
            key: known for key, known in self._values.items() if known[0].source is not Source.RELATED
        }
        return other

    def _plain(self, source: Source, path: tuple[str, ...]) -> JsonValue:
        if source is Source.RESOURCE:
            if not path:
                return self._resource
            above = path[:-1]
            owners = self._owners
            if above in owners:
                return member_of(owners[above], path[-1])
            # Inputs come in families: the siblings of this one are under the same object.
            owner = owners[above] = _walk(self._resource, above)
            return member_of(owner, path[-1])
        return _walk(self._surrounding(source), path)

    def _surrounding(self, source: Source) -> JsonValue:
        related, resource_group, subscription, request_context, now = self._around
        match source:
            case Source.RELATED:
                return related
            case Source.RESOURCE_GROUP:
                return _plain_object(resource_group)
            case Source.SUBSCRIPTION:
                return _plain_object(subscription)
            case Source.REQUEST:
                return _plain_object(request_context)
            case Source.CLOCK:
                return now
            case Source.RESOURCE:
                return self._resource


def _plain_object(value: Mapping[str, JsonValue] | None) -> JsonValue:
    return value if value is None or isinstance(value, dict) else dict(value)


def _walk(value: JsonValue, path: tuple[str, ...]) -> JsonValue:
    for segment in path:
        value = member_of(value, segment)
        if value is None:
            return None
    return value
