"""When the clock alone changes a state: expiries, and the next moment at which a rule on time turns."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import TypeAlias, TypeVar

from goldsmith.compliance.model import PolicyKey
from goldsmith.policy.attestation import Attestation
from goldsmith.policy.exemption import PolicyExemption

# Rules on time are looked at again after this at the latest. Their next turn is found exactly, to a second,
# unless a condition turns there and back in between.
HORIZON = timedelta(hours=1)
_SECOND = timedelta(seconds=1)

T = TypeVar("T")
Expiring: TypeAlias = PolicyExemption | Attestation


class Schedule:
    """The next due instant of each (policy, resource type) that depends on the clock."""

    def __init__(self) -> None:
        self._due: dict[tuple[PolicyKey, str], datetime] = {}

    def set(self, key: PolicyKey, type_: str, due: datetime) -> None:
        self._due[(key, type_)] = due

    def at(self, key: PolicyKey, type_: str) -> datetime | None:
        return self._due.get((key, type_))

    def keep(self, units: Iterable[tuple[PolicyKey, str]], *, now: datetime) -> None:
        """These depend on the clock, no others do; new ones are due at once."""
        self._due = {unit: self._due.get(unit, now) for unit in units}

    def due(self, now: datetime) -> list[tuple[PolicyKey, str]]:
        return sorted(unit for unit, due in self._due.items() if due <= now)

    def next(self) -> datetime | None:
        return min(self._due.values(), default=None)


def expired(objects: Iterable[Expiring], *, after: datetime | None, now: datetime) -> Iterator[Expiring]:
    """Those that ceased to hold between the two instants."""
    for each in objects:
        if (
            each.expires_on is not None
            and each.expires_on <= now
            and (after is None or each.expires_on > after)
        ):
            yield each


def next_expiry(objects: Iterable[PolicyExemption | Attestation], *, now: datetime) -> datetime | None:
    coming = (each.expires_on for each in objects)
    return min((each for each in coming if each is not None and each > now), default=None)


def turn(value_at: Callable[[datetime], T], *, low: datetime, high: datetime) -> datetime | None:
    """The first instant, in seconds from `low`, at which the value is another one than at `low`.

    None when it is the same at `high`.
    """
    before = value_at(low)
    if value_at(high) == before:
        return None
    while high - low > _SECOND:
        middle = low + timedelta(seconds=int((high - low).total_seconds() / 2) or 1)
        if value_at(middle) == before:
            low = middle
        else:
            high = middle
    return high
