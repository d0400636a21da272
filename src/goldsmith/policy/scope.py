"""Scopes: what an ARM id names, where it stands, and what lies under it."""

from collections.abc import Iterable
from dataclasses import dataclass

SUBSCRIPTION_TYPE = "Microsoft.Resources/subscriptions"
GROUP_TYPE = "Microsoft.Resources/subscriptions/resourceGroups"
MANAGEMENT_GROUP_TYPE = "Microsoft.Management/managementGroups"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What an ARM id says of the thing it names.

    `full_name` joins the names of parent and child with `/`; `holder` is the id of the resource that an
    extension resource stands on or of the parent of a child, else of the group, subscription or nothing.
    """

    id: str
    type: str
    name: str
    full_name: str
    subscription: str | None
    group: str | None
    holder: str | None


def place_of(id_: str) -> Place:
    """Reads any id; what is no ARM id gives a place with empty type and its text as name."""
    parts = [part for part in id_.split("/") if part]
    lower = [part.lower() for part in parts]
    subscription = parts[1] if len(parts) > 1 and lower[0] == "subscriptions" else None
    group = parts[3] if subscription and len(parts) > 3 and lower[2] == "resourcegroups" else None
    last = max((index for index, part in enumerate(lower[::2]) if part == "providers"), default=-1) * 2
    if last < 0 or len(parts) < last + 4:
        return _container(id_, parts, subscription, group)
    types, names = parts[last + 2 :: 2], parts[last + 3 :: 2]
    holder = parts[:last] if len(names) < 2 else parts[:-2]
    return Place(
        id=id_,
        type="/".join((parts[last + 1], *types)),
        name=names[-1],
        full_name="/".join(names),
        subscription=subscription,
        group=group,
        holder="/" + "/".join(holder) if holder else None,
    )


def covers(scope: str, id_: str, management_groups: Iterable[str] = ()) -> bool:
    """Whether `id_` is `scope` or lies under it; case is ignored.

    `management_groups` are the ids of those above `id_`, nearest first or in any order.
    """
    above = scope.rstrip("/").lower()
    below = id_.rstrip("/").lower()
    if above == "" or below == above or below.startswith(above + "/"):
        return True
    return any(group.rstrip("/").lower() == above for group in management_groups)


def scope_of(id_: str) -> str:
    """The scope on which a policy object (assignment, exemption, ...) stands; `/` for the tenant."""
    return "/" + "/".join(_before_last_provider([part for part in id_.split("/") if part]))


def normal_location(location: str) -> str:
    """`East US 2` and `eastus2` are one location."""
    return location.replace(" ", "").lower()


def _before_last_provider(parts: list[str]) -> list[str]:
    for index in range(len(parts) - 1, -1, -1):
        if parts[index].lower() == "providers":
            return parts[:index]
    return parts


def _container(id_: str, parts: list[str], subscription: str | None, group: str | None) -> Place:
    if group is not None and len(parts) == 4:
        type_, name, holder = GROUP_TYPE, group, f"/subscriptions/{subscription}"
    elif subscription is not None and len(parts) == 2:
        type_, name, holder = SUBSCRIPTION_TYPE, subscription, None
    else:
        type_, name, holder = "", id_, None
    return Place(
        id=id_, type=type_, name=name, full_name=name, subscription=subscription, group=group, holder=holder
    )
