"""Selectors: which resources, references and callers an assignment, override, exemption or enrollment means.

Specification: Azure Policy assignment structure, "resource selectors" and "overrides".
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from goldsmith.policy.scope import normal_location

SUBSCRIPTION_LEVEL_RESOURCES = "subscriptionLevelResources"


class SelectorKind(StrEnum):
    RESOURCE_LOCATION = "resourceLocation"
    RESOURCE_TYPE = "resourceType"
    RESOURCE_WITHOUT_LOCATION = "resourceWithoutLocation"
    POLICY_DEFINITION_REFERENCE_ID = "policyDefinitionReferenceId"
    RESOURCE_ROLLOUT_PERCENTAGE = "resourceRolloutPercentage"
    USER_PRINCIPAL_ID = "userPrincipalId"
    GROUP_PRINCIPAL_ID = "groupPrincipalId"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Either `within` or `outside` is given; `progress` (0-100) only for the rollout percentage."""

    kind: SelectorKind
    within: tuple[str, ...] | None = None
    outside: tuple[str, ...] | None = None
    progress: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSelector:
    """All selectors must match."""

    name: str | None
    selectors: tuple[Selector, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What selectors look at. `user` and `groups` are object ids of the caller, if a request is decided."""

    id: str
    type: str
    location: str | None
    reference_id: str | None = None
    user: str | None = None
    groups: tuple[str, ...] = ()


def selected(selectors: Sequence[ResourceSelector], subject: Subject) -> bool:
    """Whether any resource selector matches; none at all selects everything."""
    return not selectors or any(all_match(each.selectors, subject) for each in selectors)


def all_match(selectors: Sequence[Selector], subject: Subject) -> bool:
    return all(matches(selector, subject) for selector in selectors)


def matches(selector: Selector, subject: Subject) -> bool:
    """A caller who is not known (a compliance scan) is in no list, and so outside of each."""
    match selector.kind:
        case SelectorKind.RESOURCE_LOCATION:
            location = None if subject.location is None else normal_location(subject.location)
            # Without a location there is nothing to select by: `notIn` does not select it either.
            return location is not None and _listed(selector, (location,), location=True)
        case SelectorKind.RESOURCE_TYPE:
            return _listed(selector, (subject.type,))
        case SelectorKind.RESOURCE_WITHOUT_LOCATION:
            values = () if subject.location else (SUBSCRIPTION_LEVEL_RESOURCES,)
            return _listed(selector, values)
        case SelectorKind.POLICY_DEFINITION_REFERENCE_ID:
            return _listed(selector, () if subject.reference_id is None else (subject.reference_id,))
        case SelectorKind.RESOURCE_ROLLOUT_PERCENTAGE:
            return rollout_percentile(subject.id) < (selector.progress or 0)
        case SelectorKind.USER_PRINCIPAL_ID:
            return _listed(selector, () if subject.user is None else (subject.user,))
        case SelectorKind.GROUP_PRINCIPAL_ID:
            return _listed(selector, subject.groups)


def rollout_percentile(resource_id: str) -> float:
    """Where in 0 <= x < 100 a resource stands, by its id alone: a growing rollout never drops one."""
    digest = hashlib.sha256(resource_id.rstrip("/").lower().encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 * 100


def _listed(selector: Selector, values: Sequence[str], *, location: bool = False) -> bool:
    listed = selector.within if selector.within is not None else selector.outside or ()
    known = {normal_location(each) if location else each.lower() for each in listed}
    found = any(value.lower() in known for value in values)
    return found if selector.within is not None else not found
