"""Related resources out of an export, found by type, scope and name without looking at all of them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from goldsmith.kernel.json import JsonObject
from goldsmith.policy.related import WILDCARD, RelatedQuery, is_related, plain_type
from goldsmith.policy.scope import Place, place_of

_Found = list[tuple[Place, JsonObject]]


class RelatedIndex:
    """Finds what `ResourceList` finds, in the same order, however many resources there are."""

    def __init__(self, resources: Iterable[JsonObject] = ()) -> None:
        self._within: defaultdict[tuple[str, str], _Found] = defaultdict(list)
        self._named: defaultdict[tuple[str, str, str], _Found] = defaultdict(list)
        for resource in resources:
            self._add(resource)

    def find(self, query: RelatedQuery) -> Sequence[JsonObject]:
        type_, within = plain_type(query.type).lower(), query.within.rstrip("/").lower()
        candidates = self._within.get((type_, within), [])
        if query.name is not None:
            last = query.name.lower().rsplit("/", 1)[-1]
            if last != WILDCARD:
                candidates = self._named.get((type_, within, last), [])
        return [resource for place, resource in candidates if is_related(place, query)]

    def _add(self, resource: JsonObject) -> None:
        place = place_of(str(resource.get("id") or ""))
        entry = (place, resource)
        last = place.name.lower()
        for type_ in {str(resource.get("type") or place.type).lower(), place.type.lower()}:
            for scope in _scopes(place.id.rstrip("/").lower()):
                self._within[type_, scope].append(entry)
                self._named[type_, scope, last].append(entry)


def _scopes(id_: str) -> Iterator[str]:
    """The id itself and every id that it lies below."""
    steps = id_.split("/")
    yield from ("/".join(steps[:end]) for end in range(3, len(steps) + 1, 2))
