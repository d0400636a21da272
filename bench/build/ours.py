"""Our contender: the whole `goldsmith image build` command, timed by the lines it prints as they come."""

import compileall
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import goldsmith
from bench.build.base import Base
from bench.build.recipe import recipe
from goldsmith.disk.formats import raw_to_qcow2
from goldsmith.kernel import proc
from goldsmith.kernel.errors import ProgramError
from goldsmith.kernel.files import remove_tree
from goldsmith.kernel.json import JsonObject

_SECONDS_MAX = 3600.0
# What is left of an earlier build: databases with the gallery in them, what was found out about the host, and
# the template's package lists, which apt asks the mirror about anew.
_KEPT = ("goldsmith.db", "jobs.db", "host.json", "sandbox.json", "package-lists")
_DISK, _SEALED, _AFTER_DISK, _BOOTED = "assemble", "seal", "sbom", "validate"
_SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/goldsmith/providers"
_MARKS = re.compile(r"^bench step (?:begins|ends) (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One command: when each stage was seen to end, in seconds since the command was started.

    `ran` are the stages that were not reused, `logs` where each one's output is.
    """

    finished: Mapping[str, float]
    ran: tuple[str, ...]
    logs: Mapping[str, Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """`export_seconds` is what making a qcow2 of the raw disk took, after the command had ended."""

    watched: Watched
    export_seconds: float

    @property
    def disk_seconds(self) -> float:
        return self.watched.finished[_DISK]

    @property
    def sealed_seconds(self) -> float:
        return self.watched.finished[_SEALED]

    @property
    def qcow2_seconds(self) -> float:
        return self.disk_seconds + self.export_seconds

    @property
    def tested_seconds(self) -> float | None:
        return self.watched.finished.get(_BOOTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """`step_seconds` is the time between the first and last command of the step that was changed."""

    disk_seconds: float
    step_seconds: float

    @property
    def beyond_seconds(self) -> float:
        return self.disk_seconds - self.step_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """The command as installed: a compiled copy of the package, so that nothing changes it meanwhile."""

    base: Base
    work: Path

    @property
    def template(self) -> Path:
        return self.work / "template" / "template.json"

    @property
    def kept(self) -> Path:
        return self.work / "kept"


def install(base: Base, work: Path) -> Ours:
    """Copy and compile the package, and write the template with its copy of the recipe."""
    made = Ours(base=base, work=work)
    target = work / "installed" / "goldsmith"
    remove_tree(work / "installed")
    shutil.copytree(
        Path(goldsmith.__path__[0]), target, ignore=shutil.ignore_patterns("__pycache__", "*.partial")
    )
    compileall.compile_dir(target, quiet=2)
    remove_tree(made.template.parent)
    made.template.parent.mkdir(parents=True)
    for script in recipe():
        shutil.copy(script, made.template.parent)
    made.template.write_text(json.dumps(_template(base.capture.identity), indent=1))
    return made


def warm_up(ours: Ours) -> None:
    """One build as far as the disk, whose databases and facts about the host are kept for the rounds."""
    _watch(ours, stop_at=_AFTER_DISK)
    remove_tree(ours.kept)
    ours.kept.mkdir()
    for name in _KEPT:
        for path in ours.base.state.glob(f"{name}*"):
            if path.is_dir():
                shutil.copytree(path, ours.kept / path.name)
            else:
                shutil.copy2(path, ours.kept)


def forget(ours: Ours) -> None:
    """Back to after the warm-up, without its results: no layer, package, record or disk is there."""
    state = ours.base.state
    for path in state.iterdir():
        if path.name != "bases":
            remove_tree(path)
    shutil.copytree(ours.kept, state, dirs_exist_ok=True)
    for script in recipe():
        shutil.copy(script, ours.template.parent)


def build(ours: Ours, out: Path, *, boot: bool) -> Built:
    """Build from nothing but the base, and make the qcow2 `out`; without `boot` stopped before that."""
    watched = _watch(ours, stop_at=None if boot else _AFTER_DISK)
    disk = max((ours.base.state / "disks").glob("*.raw"), key=lambda path: path.stat().st_mtime_ns)
    started = time.monotonic()
    raw_to_qcow2(disk, out)
    return Built(watched=watched, export_seconds=time.monotonic() - started)


def repair(ours: Ours) -> Repaired:
    """Change the last step of what was just built, and build again as far as the disk."""
    last = ours.template.parent / recipe()[-1].name
    mark = 'echo "bench step {} $(date +%s%N)"\n'
    body = recipe()[-1].read_text()
    last.write_text(mark.format("begins") + body + "rm -f /var/log/faillog\n" + mark.format("ends"))
    watched = _watch(ours, stop_at=_AFTER_DISK)
    name = f"step-{len(recipe())}"
    marks = [int(found) for found in _MARKS.findall(watched.logs[name].read_text(errors="replace"))]
    assert watched.ran[0] == name, f"the repair ran {watched.ran[0]} again, expected to begin at {name}"
    assert len(marks) == 2, f"{watched.logs[name]} does not show when the step began and ended"
    return Repaired(disk_seconds=watched.finished[_DISK], step_seconds=(marks[1] - marks[0]) / 1e9)


def _watch(ours: Ours, *, stop_at: str | None) -> Watched:
    """Run the build; with `stop_at`, interrupt it (as Ctrl-C does) when that stage begins."""
    argv = [sys.executable, "-m", "goldsmith", "image", "build", str(ours.template)]
    argv += ["--create-definition", "--json"]
    errors = ours.work / "goldsmith.log"
    finished: dict[str, float] = {}
    ran: list[str] = []
    logs: dict[str, Path] = {}
    with errors.open("wb") as stderr:
        started = time.monotonic()
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, env=_environment(ours)
        )
        timer = threading.Timer(_SECONDS_MAX, process.kill)
        timer.start()
        assert process.stdout is not None
        try:
            for line in process.stdout:
                seen = time.monotonic() - started
                event = _event(line)
                stage = event.get("stage", "")
                if event.get("event") == "stage.started":
                    logs[stage] = Path(event["log"])
                    if stage == stop_at:
                        process.send_signal(signal.SIGINT)
                elif event.get("event") == "stage.finished":
                    finished[stage] = seen
                    ran += [] if event["reused"] else [stage]
            status = process.wait()
        finally:
            timer.cancel()
            process.kill()
            process.wait()
    if status != 0 and (stop_at is None or stop_at not in logs):
        tail = proc.last_lines(errors.read_text(errors="replace"))
        raise ProgramError(f"the build failed: {tail}", argv=argv, returncode=status, tail=tail)
    return Watched(finished=finished, ran=tuple(ran), logs=logs)


def _event(line: bytes) -> JsonObject:
    """The event a line is; the document that a build prints last is none."""
    if not line.startswith(b'{"seq"'):
        return {}
    event: JsonObject = json.loads(line)
    return event


def _environment(ours: Ours) -> dict[str, str]:
    dropped = ("PYTHONDONTWRITEBYTECODE", "SOURCE_DATE_EPOCH")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {
        **kept,
        "GOLDSMITH_STATE": str(ours.base.state),
        "PYTHONPATH": str(ours.work / "installed"),
    }


def _template(urn: str) -> JsonObject:
    publisher, offer, sku, version = urn.split(":")
    return {
        "apiVersion": "2025-10-01",
        "type": "Microsoft.VirtualMachineImages/imageTemplates",
        "name": "bench",
        "location": "local",
        "properties": {
            # The exact version: the mirror is not asked which one is the latest, as it is not for the peers.
            "source": {
                "type": "PlatformImage",
                "publisher": publisher,
                "offer": offer,
                "sku": sku,
                "version": version,
            },
            "vmProfile": {
                "vnetConfig": {
                    "subnetId": f"{_SUBSCRIPTION}/Microsoft.Network/virtualNetworks/build/subnets/packages"
                }
            },
            "customize": [
                {"type": "Shell", "name": script.stem, "scriptUri": script.name} for script in recipe()
            ],
            "distribute": [
                {
                    "type": "SharedImage",
                    "runOutputName": "gallery",
                    "galleryImageId": f"{_SUBSCRIPTION}/Microsoft.Compute/galleries/bench/images/bench",
                    "targetRegions": [{"name": "local"}],
                }
            ],
        },
    }
