"""One machine under Secure Boot with a vTPM, looked at from every side."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith.kernel import digest
from goldsmith.kernel.errors import ProgramTimeoutError
from goldsmith.vm.boottime import collect_boot_times
from goldsmith.vm.errors import GuestAgentError
from goldsmith.vm.health import collect_health
from goldsmith.vm.measurements import collect_measurements
from goldsmith.vm.model import Accelerator, BootStage, DiskFormat, Firmware, Machine
from goldsmith.vm.qemu import start
from goldsmith.vm.qmp import QmpError
from goldsmith.vm.running import RunningVm

pytestmark = pytest.mark.boot


@pytest.fixture(scope="module")
def disk_digest(bootable_disk: Path) -> str:
    return digest.of_file(bootable_disk)


@pytest.fixture(scope="module")
def vm(
    bootable_disk: Path, disk_digest: str, secure_firmware: Firmware, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningVm]:
    """Booted once for the module, with a snapshot `ready` taken when its agent answered."""
    assert disk_digest
    machine = Machine(
        disk=bootable_disk,
        disk_format=DiskFormat.RAW,
        firmware=secure_firmware,
        accelerator=Accelerator.TCG,
        tpm=True,
        memory_mib=768,
        boot_timeout_seconds=600,
    )
    with start(machine, tmp_path_factory.mktemp("machine")) as running:
        running.wait_for_agent()
        running.save_snapshot("ready")
        yield running


def test_milestones_come_in_the_order_of_a_boot(vm: RunningVm) -> None:
    stages = [milestone.stage for milestone in vm.milestones]
    assert stages[0] is BootStage.FIRMWARE
    assert {BootStage.KERNEL, BootStage.AGENT} <= set(stages)
    # The login prompt and the agent come up side by side.
    in_order = [stage for stage in BootStage if stage in stages and stage is not BootStage.LOGIN]
    assert [stage for stage in stages if stage is not BootStage.LOGIN] == in_order


def test_system_inside_is_healthy(vm: RunningVm) -> None:
    health = collect_health(vm)
    assert health.problems == ()
    assert health.ok


def test_every_phase_of_the_boot_took_time(vm: RunningVm) -> None:
    times = collect_boot_times(vm)
    assert times.kernel_seconds > 0
    assert times.userspace_seconds > 0
    assert times.firmware_seconds is not None
    assert times.firmware_seconds > 0
    assert times.total_seconds > times.kernel_seconds + times.userspace_seconds
    assert times.slowest_units
    assert times.slowest_units[0].seconds >= times.slowest_units[-1].seconds


def test_event_log_replays_to_the_pcr_values(vm: RunningVm) -> None:
    measured = collect_measurements(vm)
    assert measured.secure_boot is True
    assert measured.lockdown == "integrity"
    assert measured.mismatched == ()
    assert measured.replay_matches
    assert set(measured.golden) == {*range(10), 14}
    described = [event.description for event in measured.events if event.pcr == 7]
    assert "variable SecureBoot = on" in described
    assert any("vmlinuz" in event.description for event in measured.events if event.pcr == 9)


def test_commands_give_their_status_and_both_streams(vm: RunningVm) -> None:
    result = vm.run("cat; echo wrong >&2; exit 3", input=b"right")
    assert (result.status, result.stdout, result.stderr) == (3, b"right", b"wrong\n")
    assert vm.run(["/usr/bin/printf", "%s", "a b'c"]).text == "a b'c"


def test_command_over_its_limit_is_killed_with_its_children(vm: RunningVm) -> None:
    with pytest.raises(ProgramTimeoutError):
        vm.run("sleep 4321 & sleep 4321", timeout_seconds=1)
    # The end of the family is asked for, not waited for.
    alive = vm.run(
        "for i in 1 2 3 4 5 6 7 8 9 10; do"
        " grep -lsa '^sleep.4321' /proc/[0-9]*/cmdline >/dev/null || exit 0; sleep 1; done; exit 1",
        timeout_seconds=120,
    )
    assert alive.status == 0


def test_files_go_in_and_out_whole(vm: RunningVm) -> None:
    data = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(256)) * 80  # 640 KiB
    vm.write_file("/root/deep/secret file", data, mode=0o600)
    assert vm.read_file("/root/deep/secret file") == data
    assert vm.run(["stat", "-c", "%a", "/root/deep/secret file"]).text.strip() == "600"
    with pytest.raises(GuestAgentError, match="more than 10 bytes"):
        vm.read_file("/root/deep/secret file", bytes_max=10)
    with pytest.raises(GuestAgentError, match="No such file"):
        vm.read_file("/root/absent")


def test_restored_snapshot_is_the_same_state_each_time(vm: RunningVm) -> None:
    seen = set()
    for _ in range(3):
        vm.run("touch /root/after")
        vm.load_snapshot("ready")
        result = vm.run(
            "ls /root/after; cat /proc/sys/kernel/random/boot_id /sys/class/tpm/tpm0/pcr-sha256/7"
        )
        assert "No such file" in result.error_text
        seen.add(result.text)
    assert len(seen) == 1


def test_machine_goes_on_after_a_snapshot_that_does_not_exist(vm: RunningVm) -> None:
    with pytest.raises(QmpError, match="nowhere"):
        vm.load_snapshot("nowhere")
    assert vm.run("echo here").text == "here\n"


def test_screen_and_journal_can_be_kept(vm: RunningVm, tmp_path: Path) -> None:
    vm.screenshot(tmp_path / "screen.png")
    assert (tmp_path / "screen.png").read_bytes().startswith(b"\x89PNG")
    assert "Linux version" in vm.journal(lines_max=5000)
    assert "\x1b" not in vm.serial_text()


def test_given_disk_is_unchanged(vm: RunningVm, bootable_disk: Path, disk_digest: str) -> None:
    vm.run("echo written > /root/written; sync")
    assert digest.of_file(bootable_disk) == disk_digest


def test_guest_that_powers_off_leaves_only_logs(vm: RunningVm) -> None:
    # The last test of the module: the machine is down after it.
    assert vm.shutdown(timeout_seconds=300)
    assert not vm.alive
