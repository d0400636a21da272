"""Machines that must not come up, and machines whose owner dies."""

import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from goldsmith.kernel import proc
from goldsmith.kernel.cancel import CancelFlag
from goldsmith.kernel.errors import CanceledError
from goldsmith.vm.errors import BootFailedError, BootFailure
from goldsmith.vm.model import Accelerator, DiskFormat, Firmware, Machine
from goldsmith.vm.qemu import start

pytestmark = pytest.mark.boot

LIMIT_SECONDS = 600


def machine_of(disk: Path, firmware: Firmware) -> Machine:
    return Machine(
        disk=disk,
        disk_format=DiskFormat.RAW,
        firmware=firmware,
        accelerator=Accelerator.TCG,
        memory_mib=512,
        boot_timeout_seconds=LIMIT_SECONDS,
    )


@pytest.fixture
def empty_disk(tmp_path: Path) -> Path:
    disk = tmp_path / "empty.raw"
    with disk.open("wb") as file:
        file.truncate(16 << 20)
    return disk


def test_kernel_without_its_signature_is_refused(
    bootable_disk: Path, secure_firmware: Firmware, tmp_path: Path
) -> None:
    disk = disk_with_unsigned_kernel(bootable_disk, tmp_path)
    with (
        start(machine_of(disk, secure_firmware), tmp_path / "machine") as vm,
        pytest.raises(BootFailedError) as raised,
    ):
        vm.wait_for_agent()
    assert raised.value.reason is BootFailure.SECURE_BOOT_REFUSED
    assert "bad shim signature" in raised.value.evidence


def test_disk_with_nothing_on_it_is_told_from_a_slow_one(
    empty_disk: Path, secure_firmware: Firmware, tmp_path: Path
) -> None:
    with (
        start(machine_of(empty_disk, secure_firmware), tmp_path / "machine") as vm,
        pytest.raises(BootFailedError) as raised,
    ):
        vm.wait_for_agent()
    assert raised.value.reason is BootFailure.NO_BOOTABLE_DEVICE


def test_cancelled_wait_leaves_nothing_behind(
    empty_disk: Path, secure_firmware: Firmware, tmp_path: Path
) -> None:
    flag = CancelFlag()
    timer = threading.Timer(1.0, flag.set, args=["enough"])
    timer.start()
    with start(machine_of(empty_disk, secure_firmware), tmp_path / "machine", cancel=flag) as vm:
        with pytest.raises(CanceledError):
            vm.wait_for_agent()
        assert is_running(vm.process_id)
    timer.join()
    assert not is_running(vm.process_id)
    assert {path.name for path in (tmp_path / "machine").iterdir()} <= {"serial.log", "qemu.log", "tpm.log"}


def test_emulator_that_ends_at_once_says_why(
    empty_disk: Path, secure_firmware: Firmware, tmp_path: Path
) -> None:
    no_firmware = tmp_path / "code.fd"
    no_firmware.write_bytes(b"\0" * 1000)  # not a size a flash device can have
    broken = Firmware(code=no_firmware, vars=secure_firmware.vars, format=secure_firmware.format)
    with (
        pytest.raises(BootFailedError) as raised,
        start(machine_of(empty_disk, broken), tmp_path / "machine"),
    ):
        pytest.fail("a machine without firmware started")
    assert raised.value.reason is BootFailure.EMULATOR_ENDED
    assert "exit status 1" in raised.value.message


_DRIVER = """
import sys, time
from pathlib import Path
from goldsmith.vm.model import Accelerator, DiskFormat, Firmware, Machine
from goldsmith.vm.qemu import start

disk, code, vars, format, work = sys.argv[1:]
firmware = Firmware(code=Path(code), vars=Path(vars), format=DiskFormat(format), secure_boot=True)
machine = Machine(
    disk=Path(disk), disk_format=DiskFormat.RAW, firmware=firmware, accelerator=Accelerator.TCG, tpm=True,
    memory_mib=512,
)
with start(machine, Path(work)) as vm:
    print(vm.process_id, flush=True)
    time.sleep(600)
"""


def test_killed_driver_leaves_no_process(empty_disk: Path, secure_firmware: Firmware, tmp_path: Path) -> None:
    firmware = secure_firmware
    words = [empty_disk, firmware.code, firmware.vars, firmware.format.value, tmp_path / "machine"]
    with subprocess.Popen(
        [sys.executable, "-c", _DRIVER, *map(str, words)], stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        qemu = int(driver.stdout.readline())
        started = processes_about(tmp_path) - {driver.pid}
        assert qemu in started
        assert len(started) == 2  # QEMU and swtpm
        driver.send_signal(signal.SIGKILL)
        driver.wait(60)
    end = time.monotonic() + 60
    while processes_about(tmp_path) and time.monotonic() < end:
        time.sleep(0.1)
    assert processes_about(tmp_path) == set()


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def processes_about(path: Path) -> set[int]:
    """Running processes with `path` on their command line."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(path) in line:
                found.add(int(entry.name))
    return found


def disk_with_unsigned_kernel(disk: Path, directory: Path) -> Path:
    """A copy of `disk` whose newest kernel has lost its signature, edited without mounting it."""
    for program in ("debugfs", "sbattach"):
        if proc.which(program) is None:
            pytest.skip(f"{program} is not installed")
    copy = directory / "unsigned.raw"
    proc.run(["cp", "--sparse=always", "--reflink=auto", disk, copy], timeout_seconds=300)
    root = f"{copy}?offset={largest_partition_offset(copy)}"
    listing = proc.run(["debugfs", "-R", "ls -p /boot", root], timeout_seconds=60).text
    # debugfs ls -p: /inode/mode/uid/gid/name/size/
    names = [line.split("/")[5] for line in listing.splitlines() if line.count("/") >= 6]
    kernels = sorted(name for name in names if name.startswith("vmlinuz-"))
    assert kernels, listing
    kernel = directory / "kernel"
    for name in kernels:
        proc.run(["debugfs", "-R", f"dump /boot/{name} {kernel}", root], timeout_seconds=60)
        proc.run(["sbattach", "--remove", kernel], timeout_seconds=60)
        for request in (f"rm /boot/{name}", f"write {kernel} /boot/{name}"):
            proc.run(["debugfs", "-w", "-R", request, root], timeout_seconds=60)
    shutil.rmtree(directory / "kernel", ignore_errors=True)
    return copy


def largest_partition_offset(disk: Path) -> int:
    # UEFI specification, section 5.3: header in block 1; entries: type, id, first and last block.
    with disk.open("rb") as file:
        file.seek(512 + 72)
        entries_block, count, size = struct.unpack("<QII", file.read(16))
        file.seek(entries_block * 512)
        table = file.read(count * size)
    spans = [struct.unpack_from("<QQ", table, index * size + 32) for index in range(count)]
    first, _ = max(spans, key=lambda span: span[1] - span[0])
    return int(first) * 512
