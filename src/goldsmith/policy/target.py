"""What is judged: a resource with its surroundings, at an instant, with or without a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.applicability import is_indexed
from goldsmith.policy.assignment import PolicyAssignment, in_scope
from goldsmith.policy.document import Document
from goldsmith.policy.scope import Place, place_of
from goldsmith.policy.selectors import Subject

NEWEST_API_VERSION = "9999-12-31"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """Make one with `target_of`. `caller` and `caller_groups` are object ids, if a request is decided.

    `indexed` says whether mode Indexed looks at it.
    """

    resource: JsonObject
    place: Place
    location: str | None
    management_groups: tuple[str, ...]
    resource_group: Mapping[str, JsonValue] | None
    subscription: Mapping[str, JsonValue] | None
    request_context: Mapping[str, JsonValue] | None
    caller: str | None
    caller_groups: tuple[str, ...]
    now: datetime
    document: Document
    indexed: bool
    memo: dict[str, bool]

    def is_in_scope(self, assignment: PolicyAssignment) -> bool:
        """Whether the assignment reaches the resource; asked once for each scope or assignment."""
        key = assignment.id if assignment.not_scopes else assignment.scope
        known = self.memo.get(key)
        if known is None:
            known = self.memo[key] = in_scope(assignment, self.place.id, self.management_groups)
        return known

    @property
    def type(self) -> str:
        return self.place.type

    def subject(self, reference_id: str | None) -> Subject:
        return Subject(
            id=self.place.id,
            type=self.place.type,
            location=self.location,
            reference_id=reference_id,
            user=self.caller,
            groups=self.caller_groups,
        )


def target_of(
    resource: JsonObject,
    *,
    now: datetime,
    resource_group: Mapping[str, JsonValue] | None = None,
    subscription: Mapping[str, JsonValue] | None = None,
    management_groups: tuple[str, ...] = (),
    request_context: Mapping[str, JsonValue] | None = None,
    caller: str | None = None,
    caller_groups: tuple[str, ...] = (),
) -> Target:
    """A target of an ARM resource as its provider shows it: id, type, name, location, tags, properties.

    Without a request the rule sees an API version newer than all (scans judge by the newest one) and nobody
    who asks.
    """
    if request_context is None:
        request_context = {"apiVersion": NEWEST_API_VERSION, "identity": None}
    members = {key.lower(): value for key, value in resource.items()}
    id_ = members.get("id")
    place = place_of(id_ if isinstance(id_, str) else "")
    type_, name = members.get("type"), members.get("name")
    location = members.get("location")
    if isinstance(type_, str) and type_.lower() != place.type.lower():
        place = _renamed(place, type_, str(name) if isinstance(name, str) else place.name)
    return Target(
        resource=resource,
        place=place,
        location=location if isinstance(location, str) else None,
        management_groups=management_groups,
        resource_group=resource_group,
        subscription=subscription,
        request_context=request_context,
        caller=caller,
        caller_groups=caller_groups,
        now=now,
        document=Document(
            resource,
            resource_group=resource_group,
            subscription=subscription,
            request_context=request_context,
            now=round_trip(now),
        ),
        indexed=is_indexed(place.type, resource),
        memo={},
    )


def retargeted(target: Target, resource: JsonObject) -> Target:
    """The same surroundings with another body of the resource."""
    return target_of(
        resource,
        now=target.now,
        resource_group=target.resource_group,
        subscription=target.subscription,
        management_groups=target.management_groups,
        request_context=target.request_context,
        caller=target.caller,
        caller_groups=target.caller_groups,
    )


def round_trip(instant: datetime) -> str:
    """The instant as .NET writes it with "o": `2026-01-01T00:00:00.0000000Z`."""
    utc = instant.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond * 10:07d}Z"


def _renamed(place: Place, type_: str, name: str) -> Place:
    """What the resource says of itself holds where its id says nothing or something else."""
    return Place(
        id=place.id,
        type=type_,
        name=name.rsplit("/", 1)[-1],
        full_name=name,
        subscription=place.subscription,
        group=place.group,
        holder=place.holder,
    )
