"""Related resources of auditIfNotExists and deployIfNotExists: what is looked for, and where.

Specification: the effect pages, "properties" `type`, `name`, `resourceGroupName` and `existenceScope`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.compile import CompiledRule
from goldsmith.policy.evaluate import evaluate_computation
from goldsmith.policy.scope import (
    GROUP_TYPE,
    MANAGEMENT_GROUP_TYPE,
    SUBSCRIPTION_TYPE,
    Place,
    covers,
    place_of,
)
from goldsmith.policy.target import Target

_CONTAINERS = frozenset(each.lower() for each in (SUBSCRIPTION_TYPE, GROUP_TYPE, MANAGEMENT_GROUP_TYPE))
WILDCARD = "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelatedQuery:
    """Resources of `type` under the scope `within` (an id; lower case).

    `name` is exact, or ends in `/?` for all children of that parent; None takes any. `of` is the id of the
    resource that is judged. `elsewhere` also takes extensions and children that stand on other resources.
    """

    type: str
    name: str | None
    within: str
    of: str
    elsewhere: bool


class RelatedResources(Protocol):
    """Where related resources are found."""

    def find(self, query: RelatedQuery) -> Sequence[JsonObject]:
        """Every resource for which `is_related` holds, in an order that does not change by itself."""
        ...


class ResourceList:
    """Related resources among a list of ARM resources."""

    def __init__(self, resources: Iterable[JsonObject] = ()) -> None:
        self._by_type: dict[str, list[tuple[Place, JsonObject]]] = {}
        for resource in resources:
            place = place_of(str(resource.get("id", "")))
            type_ = str(resource.get("type") or place.type)
            for name in {type_.lower(), place.type.lower()}:
                self._by_type.setdefault(name, []).append((place, resource))

    def find(self, query: RelatedQuery) -> Sequence[JsonObject]:
        candidates = self._by_type.get(plain_type(query.type).lower(), [])
        return [resource for place, resource in candidates if is_related(place, query)]


def related_query(rule: CompiledRule, target: Target) -> RelatedQuery:
    """What the policy looks for; raises EvaluationError when a look-up value cannot be computed."""
    values = {
        name.lower(): evaluate_computation(computation, target.document)
        for name, computation in rule.lookup.items()
    }
    type_ = str(values.get("type") or "")
    name = values.get("name")
    scope = values.get("existencescope")
    return RelatedQuery(
        type=type_,
        name=None if name in (None, "") else str(name),
        within=_within(target.place, plain_type(type_), values.get("resourcegroupname"), scope),
        of=target.place.id.rstrip("/").lower(),
        elsewhere=scope is not None,
    )


def find_related(rule: CompiledRule, target: Target, resources: RelatedResources) -> list[JsonObject]:
    """The related resources; the judged one itself when it is what is looked for and the source lacks it."""
    query = related_query(rule, target)
    found = list(resources.find(query))
    own = target.place.id.rstrip("/").lower()
    if (
        plain_type(query.type).lower() == target.type.lower()
        and is_related(target.place, query)
        and all(str(each.get("id", "")).rstrip("/").lower() != own for each in found)
    ):
        found.append(target.resource)
    return found


def is_related(place: Place, query: RelatedQuery) -> bool:
    """Whether a resource of the right type at `place` is one of those the query means."""
    if not covers(query.within, place.id):
        return False
    if query.name is not None and not _named(place, query.name):
        return False
    if query.elsewhere or query.within == query.of or place.id.rstrip("/").lower() == query.of:
        return True
    return place.holder is None or not _stands_on_another(place, query.of)


def plain_type(type_: str) -> str:
    """`Microsoft.Compute/virtualMachines/providers/guestConfigurationAssignments` as templates nest types.

    What follows `providers` is the type of the extension; its namespace is not in the text there.
    """
    head, separator, tail = type_.partition("/providers/")
    if not separator:
        return type_
    if tail.lower() == "guestconfigurationassignments":
        return "Microsoft.GuestConfiguration/guestConfigurationAssignments"
    return tail if "/" in tail else f"{head}/{tail}"


def _within(place: Place, type_: str, group: object, scope: object) -> str:
    own = place.id.rstrip("/").lower()
    if type_.lower().startswith(place.type.lower() + "/"):
        return own
    subscription = f"/subscriptions/{place.subscription}".lower()
    if isinstance(scope, str) and scope.lower() == "subscription":
        return subscription
    if scope is not None and str(scope).lower() != "resourcegroup":
        raise InvalidInputError(
            f"the member 'policyRule.then.details.existenceScope' is '{scope}', "
            "expected ResourceGroup or Subscription",
            code="InvalidPolicyRule",
        )
    if isinstance(group, str) and group:
        return f"{subscription}/resourcegroups/{group.lower()}"
    if place.group is not None:
        return f"{subscription}/resourcegroups/{place.group.lower()}"
    # Of a subscription, and of what stands directly on it, the subscription is the nearest scope.
    return subscription if place.subscription is not None else own


def _named(place: Place, name: str) -> bool:
    wanted = name.lower()
    full = place.full_name.lower()
    holder = place_of(place.holder) if place.holder else None
    nested = full
    if holder is not None and holder.type.lower() not in ("", *_CONTAINERS) and "/" not in place.full_name:
        # An extension as templates name it: `vm/Microsoft.GuestConfiguration/name`.
        nested = f"{holder.full_name}/{place.type.split('/')[0]}/{place.name}".lower()
    if wanted.endswith("/" + WILDCARD):
        parent = wanted[: -len(WILDCARD) - 1]
        return parent in (full.rpartition("/")[0], nested.rpartition("/")[0])
    return wanted in (full, nested, place.name.lower())


def _stands_on_another(place: Place, of: str) -> bool:
    """An extension of a resource other than the judged one; children are found in their scope as any."""
    if "/" in place.full_name or place.holder is None:
        return False
    holder = place.holder.rstrip("/").lower()
    return holder != of and place_of(holder).type.lower() not in ("", *_CONTAINERS)
