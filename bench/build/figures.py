"""What the runs measured, and what follows from it: medians, ratios of the same round, a table."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from goldsmith.kernel.json import JsonObject

TIMES_FASTER_MIN = 15.0
REPAIR_SECONDS_MAX = 3.0


class Contender(StrEnum):
    OURS = "goldsmith"
    VIRT_CUSTOMIZE = "virt-customize"
    PACKER = "packer"


PEERS = (Contender.VIRT_CUSTOMIZE, Contender.PACKER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One contender in one round: seconds until its bootable disk, and until that was boot-tested.

    Ours is raw, the peers' are qcow2; `qcow2_seconds` is until there is a qcow2.
    `sealed_seconds` is until the disk had its digest too, which only ours gets.
    `load` is the machine's one-minute load average just before, `others_cores` how many cores programs that
    are none of ours kept busy meanwhile; `cpu_seconds` are those of the contender, boot test included.
    """

    round: int
    contender: Contender
    load: float
    others_cores: float
    cpu_seconds: float
    disk_seconds: float
    qcow2_seconds: float
    sealed_seconds: float | None = None
    tested_seconds: float | None = None
    problems: tuple[str, ...] = ()
    stages: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """Ours only: the last step changed and built again, to the raw disk; `step_seconds` is the step's own."""

    round: int
    load: float
    others_cores: float
    disk_seconds: float
    step_seconds: float

    @property
    def beyond_seconds(self) -> float:
        return self.disk_seconds - self.step_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    cores: int
    base: str
    runs: tuple[Run, ...]
    repairs: tuple[Repair, ...]

    def disk_seconds(self, contender: Contender) -> float:
        """The median of its rounds."""
        return statistics.median(run.disk_seconds for run in self._of(contender))

    def tested_seconds(self, contender: Contender) -> float | None:
        return _median(run.tested_seconds for run in self._of(contender))

    def qcow2_seconds(self, contender: Contender) -> float:
        return statistics.median(run.qcow2_seconds for run in self._of(contender))

    def times_faster_to_qcow2(self, peer: Contender) -> float:
        pairs = zip(self._of(peer), self._of(Contender.OURS), strict=True)
        return statistics.median(theirs.qcow2_seconds / ours.qcow2_seconds for theirs, ours in pairs)

    def sealed_seconds(self, contender: Contender) -> float | None:
        return _median(run.sealed_seconds for run in self._of(contender))

    def times_faster(self, peer: Contender) -> float:
        """Ours to the bootable disk against a peer: the median of the ratios within each round."""
        pairs = zip(self._of(peer), self._of(Contender.OURS), strict=True)
        return statistics.median(theirs.disk_seconds / ours.disk_seconds for theirs, ours in pairs)

    def times_faster_tested(self, peer: Contender) -> float | None:
        pairs = zip(self._of(peer), self._of(Contender.OURS), strict=True)
        return _median(
            theirs.tested_seconds / ours.tested_seconds
            if theirs.tested_seconds and ours.tested_seconds
            else None
            for theirs, ours in pairs
        )

    @property
    def repair_seconds(self) -> float:
        """The median of what repairs took beyond the repaired step's own time."""
        return statistics.median(repair.beyond_seconds for repair in self.repairs)

    @property
    def reached(self) -> bool:
        """Whether every disk came up whole and both targets were met."""
        return (
            not any(run.problems for run in self.runs)
            and min(self.times_faster_to_qcow2(peer) for peer in PEERS) >= TIMES_FASTER_MIN
            and self.repair_seconds < REPAIR_SECONDS_MAX
        )

    def to_json(self) -> JsonObject:
        return {
            "timesFaster": {peer.value: self.times_faster(peer) for peer in PEERS},
            "timesFasterToQcow2": {peer.value: self.times_faster_to_qcow2(peer) for peer in PEERS},
            "timesFasterBootTested": {peer.value: self.times_faster_tested(peer) for peer in PEERS},
            "repairSecondsBeyondStep": self.repair_seconds,
            "reached": self.reached,
            "medianSeconds": {
                one.value: {
                    "disk": self.disk_seconds(one),
                    "qcow2": self.qcow2_seconds(one),
                    "sealed": self.sealed_seconds(one),
                    "bootTested": self.tested_seconds(one),
                }
                for one in Contender
            },
            "cores": self.cores,
            "base": self.base,
            "runs": [asdict(run) for run in self.runs],
            "repairs": [asdict(repair) for repair in self.repairs],
        }

    def table(self) -> str:
        """Ratios first: they carry over to other machines better than seconds do."""
        ratios = [
            ("goldsmith is faster than", *(peer.value for peer in PEERS)),
            ("to the bootable disk", *(f"{self.times_faster(peer):.1f}x" for peer in PEERS)),
            ("to a qcow2 of it", *(f"{self.times_faster_to_qcow2(peer):.1f}x" for peer in PEERS)),
            ("to the boot-tested disk", *(_cell(self.times_faster_tested(peer), "x") for peer in PEERS)),
        ]
        medians = [
            ("median seconds", *(one.value for one in Contender)),
            ("bootable disk", *(_cell(self.disk_seconds(one)) for one in Contender)),
            ("as a qcow2", *(_cell(self.qcow2_seconds(one)) for one in Contender)),
            ("with its digest", *(_cell(self.sealed_seconds(one)) for one in Contender)),
            ("boot-tested disk", *(_cell(self.tested_seconds(one)) for one in Contender)),
        ]
        own = statistics.median(repair.step_seconds for repair in self.repairs)
        rows = [("round", "contender", "load", "others", "CPU s", "disk s", "tested s", "problems")]
        rows += [
            (
                str(run.round),
                run.contender.value,
                f"{run.load:.1f}",
                f"{run.others_cores:.1f}",
                f"{run.cpu_seconds:.0f}",
                f"{run.disk_seconds:.1f}",
                _cell(run.tested_seconds),
                "; ".join(run.problems) or "-",
            )
            for run in self.runs
        ]
        repairs = [("round", "repair", "load", "others", "step s", "beyond s")]
        repairs += [
            (
                str(repair.round),
                "last step",
                f"{repair.load:.1f}",
                f"{repair.others_cores:.1f}",
                f"{repair.step_seconds:.2f}",
                f"{repair.beyond_seconds:.1f}",
            )
            for repair in self.repairs
        ]
        words = (
            f"repair of the last step: {self.repair_seconds:.1f} s beyond the step's own {own:.2f} s\n"
            f"targets: {TIMES_FASTER_MIN:.0f}x to a bootable qcow2 and a repair under "
            f"{REPAIR_SECONDS_MAX:.0f} s: {'reached' if self.reached else 'NOT reached'}\n"
            f"{self.cores} cores, base {self.base}\n"
            f"load: just before the run; others: cores that other work kept busy during it\n"
        )
        return "\n".join((_aligned(ratios), _aligned(medians), words, _aligned(rows), _aligned(repairs)))

    def _of(self, contender: Contender) -> list[Run]:
        return [run for run in self.runs if run.contender is contender]


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _cell(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:.1f}{unit}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(line.rstrip() + "\n" for line in lines)
