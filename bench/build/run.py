"""From one captured base to a bootable, and to a boot-tested, disk: ours, virt-customize and packer in turn.

python -m bench.build.run [--rounds 3] [--json]

Every contender starts from the same tree, runs the same scripts on all cores, and fetches packages from the
mirror anew. What a tool keeps between images is there before the first round: for ours databases and the
facts about the host, for libguestfs its appliance. Figures depend on the machine and what else it does.
"""

import argparse
import contextlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.build import base as bases
from bench.build import ours, peers
from bench.build.base import Base
from bench.build.booting import boot_test
from bench.build.figures import Contender, Figures, Repair, Run
from bench.build.ours import Ours
from bench.build.recipe import cores
from goldsmith.kernel.errors import Error

_POLL_SECONDS = 2.0
_PEERS = {Contender.VIRT_CUSTOMIZE: peers.virt_customize, Contender.PACKER: peers.packer}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """Before each run, wait for a one-minute load average below `load_max`, at most `wait_seconds`."""

    load_max: float
    wait_seconds: float


@dataclass(slots=True)
class Effort:
    """What went on between entering and leaving `effort`."""

    load: float
    cpu_seconds: float = 0.0
    others_cores: float = 0.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender runs (default: 3)")
    parser.add_argument("--no-boot", action="store_true", help="only as far as the bootable disk")
    parser.add_argument("--state", type=Path, help="state directory to take the base from (default: yours)")
    parser.add_argument("--work", type=Path, help="work, and leave the logs, here (default: thrown away)")
    parser.add_argument("--load-max", type=float, default=float("inf"), help="wait for a load below this")
    parser.add_argument("--wait", type=float, default=300.0, help="wait at most so many seconds")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    quiet = Quiet(load_max=options.load_max, wait_seconds=options.wait)
    try:
        with _work_directory(options.work) as work:
            figures = measure(
                work, rounds=options.rounds, source=options.state, boot=not options.no_boot, quiet=quiet
            )
    except Error as error:
        sys.stderr.write(f"{error.code}: {error}\n")
        return 1
    sys.stdout.write(json.dumps(figures.to_json(), indent=2) + "\n" if options.json else figures.table())
    return 0 if figures.reached else 1


def measure(work: Path, *, rounds: int, source: Path | None, boot: bool, quiet: Quiet) -> Figures:
    """The contenders one after the other, `rounds` times; what they start from is made first, untimed."""
    _say("preparing: the base as a tree and as a disk, and what each tool keeps between images")
    base = bases.prepare(work, source=source)
    mine = ours.install(base, work)
    ours.warm_up(mine)
    peers.warm_up(base, work)
    runs: list[Run] = []
    repairs: list[Repair] = []
    for number in range(1, rounds + 1):
        runs.append(_run_ours(mine, number, boot=boot, quiet=quiet))
        repairs.append(_repair(mine, number, quiet=quiet))
        for peer in _PEERS:
            runs.append(_run_peer(peer, base, work, number, boot=boot, quiet=quiet))
    return Figures(cores=cores(), base=base.capture.identity, runs=tuple(runs), repairs=tuple(repairs))


def _run_ours(mine: Ours, number: int, *, boot: bool, quiet: Quiet) -> Run:
    ours.forget(mine)
    with effort(quiet) as spent:
        built = ours.build(mine, mine.work / "goldsmith.qcow2", boot=boot)
    run = Run(
        round=number,
        contender=Contender.OURS,
        load=spent.load,
        others_cores=spent.others_cores,
        cpu_seconds=spent.cpu_seconds,
        disk_seconds=built.disk_seconds,
        sealed_seconds=built.sealed_seconds,
        tested_seconds=built.tested_seconds,
        qcow2_seconds=built.qcow2_seconds,
        stages=(*built.watched.finished.items(), ("export", built.export_seconds)),
    )
    _say_run(run)
    return run


def _repair(mine: Ours, number: int, *, quiet: Quiet) -> Repair:
    with effort(quiet) as spent:
        repaired = ours.repair(mine)
    made = Repair(
        round=number,
        load=spent.load,
        others_cores=spent.others_cores,
        disk_seconds=repaired.disk_seconds,
        step_seconds=repaired.step_seconds,
    )
    _say(f"round {number}  repair  {made.beyond_seconds:.1f} s beyond the step's {made.step_seconds:.2f} s")
    return made


def _run_peer(peer: Contender, base: Base, work: Path, number: int, *, boot: bool, quiet: Quiet) -> Run:
    out = work / f"{peer.value}.qcow2"
    out.unlink(missing_ok=True)
    with effort(quiet) as spent:
        started = time.monotonic()
        _PEERS[peer](base, out, work)
        disk_seconds = time.monotonic() - started
        tested = boot_test(out, base, work / "vm") if boot else None
    run = Run(
        round=number,
        contender=peer,
        load=spent.load,
        others_cores=spent.others_cores,
        cpu_seconds=spent.cpu_seconds,
        disk_seconds=disk_seconds,
        tested_seconds=disk_seconds + tested.seconds if tested else None,
        qcow2_seconds=disk_seconds,
        problems=tested.problems if tested else (),
    )
    _say_run(run)
    return run


@contextlib.contextmanager
def effort(quiet: Quiet) -> Iterator[Effort]:
    """Notes the load now, and at the end the CPU time of all programs started and ended within."""
    end = time.monotonic() + quiet.wait_seconds
    while os.getloadavg()[0] >= quiet.load_max and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
    spent = Effort(load=os.getloadavg()[0])
    started, mine, all_ = time.monotonic(), _own_cpu_seconds(), _all_cpu_seconds()
    yield spent
    spent.cpu_seconds = _own_cpu_seconds() - mine
    others = _all_cpu_seconds() - all_ - spent.cpu_seconds
    spent.others_cores = max(0.0, others / (time.monotonic() - started))


def _own_cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _all_cpu_seconds() -> float:
    # proc(5), /proc/stat: user, nice, system, idle, iowait, irq, softirq in ticks, over all processors.
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, interrupts, soft = (int(word) for word in words[:7])
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _work_directory(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        yield chosen.absolute()
        return
    # Not below /tmp, which may be memory: the disks of a round take some 4 GiB.
    with tempfile.TemporaryDirectory(prefix="bench-build-", dir="/var/tmp") as folder:
        yield Path(folder)


def _say_run(run: Run) -> None:
    tested = "" if run.tested_seconds is None else f", boot-tested after {run.tested_seconds:.1f} s"
    _say(f"round {run.round}  {run.contender.value}  disk after {run.disk_seconds:.1f} s{tested}")


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {text}\n")


if __name__ == "__main__":
    sys.exit(main())
