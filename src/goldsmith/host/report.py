"""What the facts mean: what works on this host, what does not, and exactly how to get it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from goldsmith.host.facts import Check, HostFacts, choose_accelerator
from goldsmith.host.needs import FIRMWARE_PACKAGE, NEEDS
from goldsmith.kernel.json import JsonObject

_GIB = 1 << 30
_FREE_BYTES_COMFORTABLE = 10 * _GIB
_FREE_BYTES_MIN = 3 * _GIB
_MEMORY_BYTES_MIN = 2 * _GIB
_SUBORDINATE_IDS_MIN = 65536


class State(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    MISSING = "missing"
    NOT_NEEDED = "not needed"


class Capability(StrEnum):
    CAPTURE = "capture"
    CUSTOMISE = "customise"
    ASSEMBLE = "assemble"
    BOOT = "boot"
    TRUSTED_LAUNCH = "trusted launch"
    ROOTLESS = "rootless"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`without` says what still works when it is missing; `install` is a command, or what to do."""

    name: str
    state: State
    found: str
    needed_for: str
    without: str = ""
    install: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a capability works here; `lacking` names the findings that stand in its way."""

    capability: Capability
    works: bool
    detail: str
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    findings: tuple[Finding, ...]
    verdicts: tuple[Verdict, ...]

    def works(self, capability: Capability) -> bool:
        return any(verdict.works for verdict in self.verdicts if verdict.capability is capability)

    def to_json(self) -> JsonObject:
        return {
            "findings": [
                {
                    "name": finding.name,
                    "state": finding.state.value,
                    "found": finding.found,
                    "neededFor": finding.needed_for,
                    "without": finding.without,
                    "install": finding.install,
                }
                for finding in self.findings
            ],
            "verdicts": [
                {
                    "capability": verdict.capability.value,
                    "works": verdict.works,
                    "detail": verdict.detail,
                    "lacking": list(verdict.lacking),
                }
                for verdict in self.verdicts
            ],
        }


def report(facts: HostFacts) -> Report:
    findings = (
        *_machine(facts),
        *_isolation(facts),
        *_programs(facts),
        *_firmware(facts),
        *_not_needed(facts),
    )
    return Report(findings=findings, verdicts=_verdicts(facts, findings))


def install_command(findings: Sequence[Finding]) -> str:
    """One apt command for all that is missing; empty when nothing is."""
    prefix = "apt-get install "
    packages = {
        finding.install.removeprefix(prefix)
        for finding in findings
        if finding.state is State.MISSING and finding.install.startswith(prefix)
    }
    return prefix + " ".join(sorted(packages)) if packages else ""


def _machine(facts: HostFacts) -> list[Finding]:
    x86 = facts.architecture == "x86_64"
    room = facts.free_bytes / _GIB
    if facts.free_bytes < _FREE_BYTES_MIN:
        room_state = State.MISSING
    else:
        room_state = State.OK if facts.free_bytes >= _FREE_BYTES_COMFORTABLE else State.DEGRADED
    return [
        Finding(
            name="architecture",
            state=State.OK if x86 else State.MISSING,
            found=f"{facts.architecture}, kernel {facts.kernel}, {facts.cores} processors",
            needed_for="images are built for x86_64 on x86_64",
            without="reading galleries, policies and compliance",
            install="" if x86 else "use an x86_64 host",
        ),
        Finding(
            name="memory",
            state=State.OK if facts.memory_bytes >= _MEMORY_BYTES_MIN else State.DEGRADED,
            found=f"{facts.memory_bytes / _GIB:.1f} GiB",
            needed_for="each booted image takes 1 GiB, and the emulator a quarter more",
            without="building without booting",
        ),
        Finding(
            name="disk room",
            state=room_state,
            found=f"{room:.1f} GiB free at {facts.state_dir}",
            needed_for="a base takes 0.5 GiB, an image at work 2 GiB or more",
            without="nothing is built" if room_state is State.MISSING else "a few images at a time",
            install="" if room_state is State.OK else "free some room or set GOLDSMITH_STATE to another disk",
        ),
        Finding(
            name="kvm",
            state=State.OK if facts.kvm.works else State.DEGRADED,
            found=facts.kvm.reason,
            needed_for="boots images at the processor's own speed",
            without="images boot under emulation (TCG): all works, a boot takes about half a minute",
            install="" if facts.kvm.works else _kvm_advice(facts.kvm),
        ),
    ]


def _kvm_advice(kvm: Check) -> str:
    if "EACCES" in kvm.reason:
        return "adduser $USER kvm, then log in again"
    if "ENOENT" in kvm.reason:
        return "turn on virtualisation in the firmware, or nested virtualisation for this virtual machine"
    return "nothing to install: use a host whose KVM runs on hardware"


def _isolation(facts: HostFacts) -> list[Finding]:
    root = facts.user_id == 0
    ranges = min(facts.subordinate_user_ids, facts.subordinate_group_ids)
    needed = State.DEGRADED if root else State.MISSING
    return [
        Finding(
            name="overlay",
            state=State.OK if facts.overlay.works else (State.MISSING if root else State.NOT_NEEDED),
            found=facts.overlay.reason,
            needed_for="keeps each customizer's changes as a layer of its own, as root",
            without="customising without root, where that works",
            install="" if facts.overlay.works or not root else "set GOLDSMITH_STATE to an ext4 or xfs disk",
        ),
        Finding(
            name="user namespaces",
            state=State.OK if facts.user_namespaces.works else needed,
            found=facts.user_namespaces.reason,
            needed_for="building without root",
            without="building as root",
            install=""
            if facts.user_namespaces.works
            else "sysctl -w user.max_user_namespaces=15000; "
            "on Ubuntu also kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        Finding(
            name="overlay in a user namespace",
            state=State.OK if facts.overlay_in_user_namespace.works else needed,
            found=facts.overlay_in_user_namespace.reason,
            needed_for="keeps each customizer's changes as a layer of its own, without root",
            without="building as root",
            install="" if facts.overlay_in_user_namespace.works else "use Linux 5.11 or later",
        ),
        Finding(
            name="subordinate ids",
            state=State.OK if ranges >= _SUBORDINATE_IDS_MIN else needed,
            found=f"{facts.subordinate_user_ids} user ids, {facts.subordinate_group_ids} group ids",
            needed_for="gives the files of an image their owners when building without root",
            without="building as root",
            install=""
            if ranges >= _SUBORDINATE_IDS_MIN
            else "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER",
        ),
    ]


def _programs(facts: HostFacts) -> list[Finding]:
    findings: list[Finding] = []
    for need in NEEDS:
        program = facts.program(need.program)
        findings.append(
            Finding(
                name=need.program,
                state=State.OK if program else State.MISSING,
                found=" ".join(filter(None, (str(program.path), program.version))) if program else "absent",
                needed_for=need.purpose,
                without=need.without,
                install="" if program else f"apt-get install {need.package}",
            )
        )
    return findings


def _firmware(facts: HostFacts) -> list[Finding]:
    findings: list[Finding] = []
    for name, secure, without in (
        ("UEFI firmware", False, "images are built but never booted"),
        ("Secure Boot firmware", True, "images boot without Secure Boot"),
    ):
        files = facts.firmware_for(secure_boot=secure)
        findings.append(
            Finding(
                name=name,
                state=State.OK if files else State.MISSING,
                found=str(files.code) if files else "absent",
                needed_for="Trusted Launch: starts signed boot loaders only" if secure else "boots images",
                without=without,
                install="" if files else f"apt-get install {FIRMWARE_PACKAGE}",
            )
        )
    return findings


def _not_needed(facts: HostFacts) -> list[Finding]:
    """What other image tools ask for; listed so that nobody goes looking for it."""
    known = {name: name in facts.file_systems for name in ("vfat", "nbd")}
    return [
        Finding(
            name="vfat in the kernel",
            state=State.NOT_NEEDED,
            found="known" if known["vfat"] else "not known",
            needed_for="nothing: EFI system partitions are written with mtools",
        ),
        Finding(
            name="loop devices",
            state=State.NOT_NEEDED,
            found=facts.loop_devices.reason,
            needed_for="nothing: disk images are written without mounting them",
        ),
        Finding(
            name="device-mapper and nbd",
            state=State.NOT_NEEDED,
            found="not looked for",
            needed_for="nothing: partitions are read and written by offset",
        ),
        Finding(
            name="systemd as first process",
            state=State.NOT_NEEDED,
            found=facts.first_process,
            needed_for="nothing: builds run in namespaces of their own",
        ),
    ]


def _verdicts(facts: HostFacts, findings: Sequence[Finding]) -> tuple[Verdict, ...]:
    absent = {finding.name for finding in findings if finding.state is State.MISSING}
    root = facts.user_id == 0
    base = ("architecture", "disk room", "unshare")
    rootless = ("user namespaces", "overlay in a user namespace", "subordinate ids", "newuidmap", "newgidmap")
    layers = ("overlay",) if root else rootless
    boot = (*base, "qemu-system-x86_64", "qemu-img", "UEFI firmware")
    accelerator = choose_accelerator(facts).value
    who = "as root" if root else "without root"
    trusted = (*base, *boot[len(base) :][:2], "Secure Boot firmware", "swtpm", "swtpm_setup")

    def verdict(capability: Capability, detail: str, needs: Sequence[str]) -> Verdict:
        lacking = tuple(dict.fromkeys(name for name in needs if name in absent))
        return Verdict(capability=capability, works=not lacking, detail=detail, lacking=lacking)

    unready = {finding.name for finding in findings if finding.state in (State.MISSING, State.DEGRADED)}
    rootless_lacking = tuple(name for name in rootless if name in unready)
    capture = (*base, *(() if root else rootless), "mmdebstrap", "apt-get")
    return (
        verdict(Capability.CAPTURE, who, capture)
        if root
        else Verdict(
            capability=Capability.CAPTURE,
            works=False,
            detail="needs root: run it as root or with sudo",
            lacking=("root",),
        ),
        verdict(Capability.CUSTOMISE, who, (*base, *layers, "bwrap")),
        verdict(Capability.ASSEMBLE, who, (*base, "mke2fs", "mkfs.vfat", "mcopy", "qemu-img")),
        verdict(Capability.BOOT, f"under {accelerator}", boot),
        verdict(Capability.TRUSTED_LAUNCH, f"under {accelerator}", trusted),
        Verdict(
            capability=Capability.ROOTLESS,
            works=not rootless_lacking,
            detail="building without root",
            lacking=rootless_lacking,
        ),
    )
