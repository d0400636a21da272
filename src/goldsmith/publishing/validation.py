"""Validation: the sealed bytes booted, looked at from inside, and put through the template's validators."""

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from goldsmith.imagetemplate.model import File, Shell
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import Error, ProgramTimeoutError
from goldsmith.kernel.files import write_atomic
from goldsmith.kernel.json import JsonObject
from goldsmith.kernel.proc import last_lines
from goldsmith.publishing.sealing import TATTOO_PATH
from goldsmith.vm import qemu
from goldsmith.vm.boottime import collect_boot_times
from goldsmith.vm.errors import BootFailedError, GuestAgentError
from goldsmith.vm.health import Health, collect_health
from goldsmith.vm.measurements import Measurements, collect_measurements
from goldsmith.vm.model import Accelerator, DiskFormat, Firmware, Machine, Milestone
from goldsmith.vm.running import RunningVm

logger = logging.getLogger(__name__)

_SUITE_TIMEOUT_SECONDS = 600.0
_SNAPSHOT = "validated"
_OUTPUT_CHARACTERS_MAX = 4000
# Paths that a failure's words may name; what a layer can have brought in.
_PATH = re.compile(r"/(?:etc|usr|opt|var|lib|bin|sbin|srv|root|home|boot)/[\w./@+:-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One validator with the files it needs: put in place, then run from the state just after boot."""

    name: str
    script: bytes
    label: str
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationSpec:
    """What to boot and what must hold; `expected_tattoo` is the text that the tattoo file must be."""

    disk: Path
    disk_digest: str
    firmware: Firmware
    accelerator: Accelerator
    trusted_launch: bool
    expected_tattoo: str | None
    suites: tuple[Suite, ...]
    memory_mib: int = 1024
    cpus: int = 2
    boot_timeout_seconds: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at; `brought_by` names the layer a failure came in with, if known."""

    name: str
    ok: bool
    seconds: float
    message: str = ""
    output: str = ""
    brought_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationResult:
    """`report` and `measurements` are the documents kept with the image version."""

    findings: tuple[Finding, ...]
    report: JsonObject
    measurements: JsonObject | None
    boot_seconds: Mapping[str, float]

    @property
    def ok(self) -> bool:
        return all(finding.ok for finding in self.findings)

    @property
    def failures(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if not finding.ok)


# Names the layer that has a path last, such as "step 8 (agent)"; empty when no layer has it.
WhoBrought = Callable[[str], str]
OnNote = Callable[[str], None]


def suites_of(
    steps: Sequence[tuple[str, Shell | File, Path | None]],
) -> tuple[Suite, ...]:
    """Validators in order: (name, validator, its fetched file). A File goes to every Shell after it."""
    files: dict[str, Path] = {}
    suites: list[Suite] = []
    for name, validator, content in steps:
        match validator:
            case File(destination=destination):
                assert content is not None
                files[destination] = content
            case Shell(inline=lines, script_uri=None):
                body = "\n".join(lines)
                suites.append(Suite(name=name, script=inline_script(lines), label=body, files=dict(files)))
            case Shell(script_uri=uri):
                assert content is not None
                assert uri is not None
                suites.append(Suite(name=name, script=content.read_bytes(), label=uri, files=dict(files)))
    return tuple(suites)


def inline_script(lines: Sequence[str]) -> bytes:
    """The script that inline lines are: it stops at the first failure and shows each command it runs."""
    return ("#!/bin/sh\nset -ex\n" + "\n".join(lines) + "\n").encode()


def validate(
    spec: ValidationSpec,
    *,
    work: Path,
    evidence: Path,
    cancel: Cancel,
    who_brought: WhoBrought,
    on_note: OnNote,
) -> ValidationResult:
    """Boot the disk once, look, then run each suite from a snapshot; nothing is written to the disk.

    A failure is in the result, with serial log, journal and screenshot in `evidence`.
    Raises what `cancel.check()` raises, and UnsupportedError when the host cannot start machines.
    """
    machine = Machine(
        disk=spec.disk,
        disk_format=DiskFormat.RAW,
        firmware=spec.firmware,
        accelerator=spec.accelerator,
        memory_mib=spec.memory_mib,
        cpus=spec.cpus,
        tpm=spec.trusted_launch,
        boot_timeout_seconds=spec.boot_timeout_seconds,
    )
    look = _Look(spec=spec, who_brought=who_brought, on_note=on_note)
    evidence.mkdir(parents=True, exist_ok=True)
    with qemu.start(machine, work, cancel=cancel) as vm:
        try:
            look.boot(vm)
            look.inside(vm)
            look.suites(vm)
        except (BootFailedError, GuestAgentError, ProgramTimeoutError) as error:
            look.findings.append(_machine_failure(error, vm.seconds_since_power_on()))
        if any(not finding.ok for finding in look.findings):
            _keep_evidence(vm, evidence)
    return look.result()


class _Look:
    """What has been seen so far of one machine."""

    def __init__(self, *, spec: ValidationSpec, who_brought: WhoBrought, on_note: OnNote) -> None:
        self._spec = spec
        self._who_brought = who_brought
        self._note = on_note
        self.findings: list[Finding] = []
        self._milestones: list[Milestone] = []
        self._boot: JsonObject = {}
        self._boot_seconds: dict[str, float] = {}
        self._health: Health | None = None
        self._measurements: Measurements | None = None

    def boot(self, vm: RunningVm) -> None:
        def milestone(reached: Milestone) -> None:
            self._milestones.append(reached)
            self._note(f"{reached.stage.value} after {reached.seconds:.0f} s")

        seconds = vm.wait_for_agent(on_milestone=milestone)
        self.findings.append(Finding(name="boot", ok=True, seconds=seconds))

    def inside(self, vm: RunningVm) -> None:
        self._note("system state")
        started = time.monotonic()
        self._health = collect_health(vm)
        times = collect_boot_times(vm)
        self._boot = times.to_json()
        phases = {
            "firmware": times.firmware_seconds,
            "loader": times.loader_seconds,
            "kernel": times.kernel_seconds,
            "initrd": times.initrd_seconds,
            "userspace": times.userspace_seconds,
            "total": times.total_seconds,
        }
        self._boot_seconds = {name: round(s, 3) for name, s in phases.items() if s is not None}
        took = time.monotonic() - started
        self.findings.append(self._of_health(self._health, took))
        self.findings.append(self._of_tattoo(vm))
        if self._spec.trusted_launch:
            self._note("measurements")
            self.findings += self._of_trusted_launch(vm)

    def suites(self, vm: RunningVm) -> None:
        if not self._spec.suites:
            return
        vm.save_snapshot(_SNAPSHOT)
        for number, suite in enumerate(self._spec.suites, start=1):
            self._note(f"suite {number} of {len(self._spec.suites)}: {suite.name}")
            started = time.monotonic()
            if number > 1:
                vm.load_snapshot(_SNAPSHOT)
            self.findings.append(self._of_suite(vm, suite, number, started))

    def result(self) -> ValidationResult:
        spec = self._spec
        report: JsonObject = {
            "version": 1,
            "disk": spec.disk_digest,
            "passed": all(finding.ok for finding in self.findings),
            "machine": {
                "accelerator": spec.accelerator.value,
                "memoryMiB": spec.memory_mib,
                "cpus": spec.cpus,
                "secureBoot": spec.firmware.secure_boot,
                "vTpm": spec.trusted_launch,
            },
            "milestones": {item.stage.value: round(item.seconds, 1) for item in self._milestones},
            "boot": self._boot,
            "health": self._health.to_json() if self._health else None,
            "tests": [
                {
                    "name": finding.name,
                    "ok": finding.ok,
                    "seconds": round(finding.seconds, 2),
                    "message": finding.message,
                    "output": finding.output,
                    "broughtBy": finding.brought_by,
                }
                for finding in self.findings
            ],
        }
        measured = self._measurements.to_json() if self._measurements else None
        return ValidationResult(
            findings=tuple(self.findings),
            report=report,
            measurements=measured,
            boot_seconds=self._boot_seconds,
        )

    def _of_health(self, health: Health, seconds: float) -> Finding:
        brought = [self._who_brought(unit.fragment) for unit in health.failed_units if unit.fragment]
        log = "\n".join(unit.log for unit in health.failed_units)
        return Finding(
            name="health",
            ok=health.ok,
            seconds=seconds,
            message="; ".join(health.problems),
            output=log[-_OUTPUT_CHARACTERS_MAX:],
            brought_by=", ".join(dict.fromkeys(name for name in brought if name)),
        )

    def _of_tattoo(self, vm: RunningVm) -> Finding:
        started = time.monotonic()
        expected = self._spec.expected_tattoo
        if expected is None:
            return Finding(name="tattoo", ok=True, seconds=0.0, message="the source alone is validated")
        found = vm.run(["cat", TATTOO_PATH])
        same = found.status == 0 and found.text == expected
        message = "" if same else f"{TATTOO_PATH} is not the build's: {found.text or found.error_text}"
        return Finding(
            name="tattoo",
            ok=same,
            seconds=time.monotonic() - started,
            message=message,
            brought_by="" if same else self._who_brought(TATTOO_PATH),
        )

    def _of_trusted_launch(self, vm: RunningVm) -> list[Finding]:
        started = time.monotonic()
        measured = collect_measurements(vm)
        self._measurements = measured
        took = time.monotonic() - started
        secure = measured.secure_boot is True
        replay = measured.replay_matches
        return [
            Finding(
                name="secure-boot",
                ok=secure,
                seconds=took,
                message="" if secure else "the guest says that Secure Boot is off",
            ),
            Finding(
                name="boot-integrity",
                ok=replay,
                seconds=0.0,
                message=""
                if replay
                else f"the event log does not explain PCR {', '.join(map(str, measured.mismatched))}",
            ),
        ]

    def _of_suite(self, vm: RunningVm, suite: Suite, number: int, started: float) -> Finding:
        for path, content in suite.files.items():
            vm.write_file(path, content.read_bytes())
        # Not below /run, which systemd mounts without permission to execute.
        script = f"/var/tmp/goldsmith-validator-{number}"
        vm.write_file(script, suite.script, mode=0o755)
        try:
            done = vm.run(
                [script] if suite.script.startswith(b"#!") else ["/bin/sh", "-e", script],
                timeout_seconds=_SUITE_TIMEOUT_SECONDS,
            )
        except ProgramTimeoutError as error:
            return Finding(
                name=suite.name,
                ok=False,
                seconds=time.monotonic() - started,
                message=f"it was still running after {_SUITE_TIMEOUT_SECONDS:.0f} s",
                output=error.tail,
            )
        output = (done.text + done.error_text)[-_OUTPUT_CHARACTERS_MAX:]
        if done.status == 0:
            return Finding(name=suite.name, ok=True, seconds=time.monotonic() - started, output=output)
        command = failed_command(done.error_text) or suite.label.splitlines()[0]
        words = "\n".join(line for line in done.error_text.splitlines() if not line.startswith("+"))
        said = last_lines(words or done.text, 3)
        return Finding(
            name=suite.name,
            ok=False,
            seconds=time.monotonic() - started,
            message=f"'{command}' ended with exit status {done.status}" + (f": {said}" if said else ""),
            output=output,
            brought_by=self._blame(f"{command}\n{output}\n{suite.label}"),
        )

    def _blame(self, text: str) -> str:
        for path in dict.fromkeys(_PATH.findall(text)):
            if name := self._who_brought(path.rstrip(".:,")):
                return name
        return ""


def failed_command(trace: str) -> str:
    """The last command that `sh -x` showed before it ended, without the marks in front."""
    shown = [line.lstrip("+").strip() for line in trace.splitlines() if re.match(r"\++ ", line)]
    return shown[-1] if shown else ""


def _machine_failure(error: Error, seconds: float) -> Finding:
    evidence = "\n".join(text for _, text in error.details)
    return Finding(
        name="boot",
        ok=False,
        seconds=seconds,
        message=error.message,
        output=evidence[-_OUTPUT_CHARACTERS_MAX:],
    )


def _keep_evidence(vm: RunningVm, evidence: Path) -> None:
    """Serial log, screenshot and journal, each as far as the machine still gives it."""

    def serial() -> None:
        write_atomic(evidence / "serial.log", vm.serial_text().encode())

    def screen() -> None:
        vm.screenshot(evidence / "screen.png")

    def journal() -> None:
        write_atomic(evidence / "journal.log", vm.journal().encode())

    for keep in (serial, screen, journal):
        try:
            keep()
        except Error as error:
            logger.info("the %s was not kept: %s", keep.__name__, error.message)
