"""A fleet in parts: which resource is in which, what scanning one part gives, and who runs the scans."""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from goldsmith.compliance.scan.bitmaps import Bits
from goldsmith.compliance.scan.index import FleetIndex
from goldsmith.compliance.scan.scan import Counts, FleetScan
from goldsmith.policy.compile import CompiledRule

A = TypeVar("A")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

# A rule's name and the resource type that it was compiled for.
RuleKey = tuple[str, str]


class Pending(Protocol[R_co]):
    """Work that somebody else does."""

    def result(self) -> R_co:
        """Waits for it; raises what it raised."""
        ...


class Executor(Protocol):
    """Runs scans of partitions: in process, on a pool, on the workers of a durable queue."""

    def submit(self, work: Callable[[A], R], argument: A) -> Pending[R]:
        """`work` is a function at the top of a module and `argument` plain data, so that both can travel."""
        ...


class InProcess:
    """Does the work at once, where it is submitted."""

    def submit(self, work: Callable[[A], R], argument: A) -> Pending[R]:
        return _Done(work(argument))


class _Done(Pending[R]):
    def __init__(self, value: R) -> None:
        self._value = value

    def result(self) -> R:
        return self._value


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """What a scan says of each rule: the rows of the partition on which it is true, and on which it fails."""

    position: int
    true: Mapping[RuleKey, Bits]
    error: Mapping[RuleKey, Bits]
    counts: Mapping[RuleKey, Counts]


def partition_of(id_: str, count: int) -> int:
    """The partition, of `count`, of a resource; the same for its extensions, children and resource group.

    So what an existence condition looks for in the resource's own group is in its partition.
    """
    parts = id_.lower().split("/", 5)[:5]
    return zlib.crc32("/".join(parts).encode(errors="surrogatepass")) % count


def scan(index: FleetIndex, rules: Mapping[RuleKey, CompiledRule], *, now: str) -> Scanned:
    """All rules over one partition: a function of its columns and nothing else."""
    fleet = FleetScan(index, now=now)
    for (name, resource_type), rule in rules.items():
        fleet.add(name, resource_type, rule)
    fleet.settle()
    verdicts = {key: fleet.verdict(*key) for key in rules}
    return Scanned(
        position=index.position,
        true={key: verdict.true for key, verdict in verdicts.items()},
        error={key: verdict.error for key, verdict in verdicts.items() if verdict.error is not None},
        counts={key: fleet.counts(*key) for key in rules},
    )


def scan_all(
    work: Callable[[A], Mapping[RuleKey, Counts]], partitions: Sequence[A], executor: Executor
) -> dict[RuleKey, Counts]:
    """Submit `work` for each partition, then add up what they count."""
    pending = [executor.submit(work, partition) for partition in partitions]
    return added(one.result() for one in pending)


def added(results: Iterable[Mapping[RuleKey, Counts]]) -> dict[RuleKey, Counts]:
    """The counts of several partitions as those of the whole."""
    total: dict[RuleKey, Counts] = {}
    for counts in results:
        for key, one in counts.items():
            before = total.get(key, Counts(true=0, error=0))
            total[key] = Counts(true=before.true + one.true, error=before.error + one.error)
    return total
