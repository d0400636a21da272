"""What is told about a host, from facts made up for it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from goldsmith.host.facts import (
    Accelerator,
    Check,
    FirmwareFiles,
    HostFacts,
    Program,
    choose_accelerator,
    from_json,
    to_json,
)
from goldsmith.host.needs import NEEDS
from goldsmith.host.probe import known_file_systems, subordinate_ids
from goldsmith.host.report import Capability, State, install_command, report

YES = Check(works=True, reason="tried")
NO = Check(works=False, reason="refused")

GOOD = HostFacts(
    architecture="x86_64",
    kernel="6.1.0",
    boot_id="b",
    user_id=0,
    cores=2,
    memory_bytes=8 << 30,
    kvm=YES,
    file_systems=("ext4", "overlay"),
    loop_devices=NO,
    overlay=YES,
    user_namespaces=YES,
    overlay_in_user_namespace=YES,
    subordinate_user_ids=65536,
    subordinate_group_ids=65536,
    programs=tuple(Program(name=need.program, path=Path("/usr/bin") / need.program) for need in NEEDS),
    firmware=(
        FirmwareFiles(code=Path("/f/s.fd"), vars=Path("/f/sv.fd"), secure_boot=True),
        FirmwareFiles(code=Path("/f/p.fd"), vars=Path("/f/pv.fd"), secure_boot=False),
    ),
    state_dir=Path("/state"),
    free_bytes=100 << 30,
    first_process="systemd",
)
ALL = frozenset(Capability)


def without(facts: HostFacts, *names: str) -> HostFacts:
    return replace(facts, programs=tuple(item for item in facts.programs if item.name not in names))


def working(facts: HostFacts) -> frozenset[Capability]:
    told = report(facts)
    return frozenset(capability for capability in Capability if told.works(capability))


def test_good_host_can_do_everything_and_needs_nothing() -> None:
    told = report(GOOD)
    assert working(GOOD) == ALL
    assert {finding.state for finding in told.findings} == {State.OK, State.NOT_NEEDED}
    assert install_command(told.findings) == ""


@pytest.mark.parametrize(
    ("facts", "lost"),
    [
        (without(GOOD, "qemu-system-x86_64"), {Capability.BOOT, Capability.TRUSTED_LAUNCH}),
        (without(GOOD, "swtpm"), {Capability.TRUSTED_LAUNCH}),
        (without(GOOD, "swtpm_setup"), {Capability.TRUSTED_LAUNCH}),
        (without(GOOD, "mmdebstrap"), {Capability.CAPTURE}),
        (without(GOOD, "bwrap"), {Capability.CUSTOMISE}),
        (without(GOOD, "mkfs.vfat"), {Capability.ASSEMBLE}),
        (without(GOOD, "newuidmap"), {Capability.ROOTLESS}),
        (without(GOOD, "ssh", "debugfs"), set()),
        (replace(GOOD, overlay=NO), {Capability.CUSTOMISE}),
        (replace(GOOD, user_namespaces=NO), {Capability.ROOTLESS}),
        (replace(GOOD, subordinate_group_ids=0), {Capability.ROOTLESS}),
        (replace(GOOD, firmware=GOOD.firmware[:1]), {Capability.BOOT}),
        (replace(GOOD, firmware=GOOD.firmware[1:]), {Capability.TRUSTED_LAUNCH}),
        (replace(GOOD, kvm=NO), set()),
        (replace(GOOD, free_bytes=1 << 30), ALL - {Capability.ROOTLESS}),
        (replace(GOOD, architecture="aarch64"), ALL - {Capability.ROOTLESS}),
        (replace(GOOD, user_id=1000), {Capability.CAPTURE}),
        (
            replace(GOOD, user_id=1000, subordinate_user_ids=0),
            {Capability.CAPTURE, Capability.CUSTOMISE, Capability.ROOTLESS},
        ),
        (
            replace(GOOD, user_id=1000, overlay_in_user_namespace=NO),
            {Capability.CAPTURE, Capability.CUSTOMISE, Capability.ROOTLESS},
        ),
        (replace(GOOD, user_id=1000, overlay=NO), {Capability.CAPTURE}),
    ],
)
def test_what_is_absent_costs_only_what_stands_on_it(facts: HostFacts, lost: set[Capability]) -> None:
    assert working(facts) == ALL - lost


def test_each_lost_capability_names_what_it_lacks() -> None:
    for verdict in report(without(replace(GOOD, user_id=1000), *(need.program for need in NEEDS))).verdicts:
        assert verdict.works is (not verdict.lacking)
        assert verdict.lacking


def test_one_command_installs_all_that_is_absent() -> None:
    told = report(replace(without(GOOD, "swtpm", "swtpm_setup", "mke2fs", "debugfs"), firmware=()))
    assert install_command(told.findings) == "apt-get install e2fsprogs ovmf swtpm swtpm-tools"


def test_every_finding_that_is_not_fine_says_what_to_do_and_what_still_works() -> None:
    bare = replace(
        without(GOOD, *(need.program for need in NEEDS)),
        user_id=1000,
        kvm=NO,
        user_namespaces=NO,
        overlay_in_user_namespace=NO,
        subordinate_user_ids=0,
        firmware=(),
        free_bytes=0,
    )
    for finding in report(bare).findings:
        if finding.state in (State.MISSING, State.DEGRADED):
            assert finding.install, finding.name
            assert finding.without, finding.name


def test_kernel_modules_and_systemd_are_never_required() -> None:
    poor = replace(GOOD, file_systems=("ext4",), loop_devices=NO, first_process="sh")
    assert working(poor) == ALL
    assert all(finding.state is not State.MISSING for finding in report(poor).findings)


def test_kvm_is_chosen_only_when_a_guest_ran() -> None:
    assert choose_accelerator(GOOD) is Accelerator.KVM
    assert choose_accelerator(replace(GOOD, kvm=NO)) is Accelerator.TCG


def test_facts_survive_json() -> None:
    assert from_json(json.loads(json.dumps(to_json(GOOD)))) == GOOD
    assert json.dumps(report(GOOD).to_json())


def test_subordinate_ids_are_counted_for_the_user_by_name_or_number() -> None:
    text = "# comment\nops:100000:65536\n1000:300000:10\nother:1:5\nops:bad\nops:1:x\n"
    assert subordinate_ids(text, names=("ops", "1000")) == 65546
    assert subordinate_ids("", names=("ops",)) == 0


def test_file_systems_are_read_with_and_without_a_device() -> None:
    assert known_file_systems("nodev\tsysfs\n\text4\n\n") == ("ext4", "sysfs")
