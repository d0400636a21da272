"""Disks and firmware for tests that boot; they are skipped where there is nothing to boot or boot with."""

import os
from pathlib import Path

import pytest

from goldsmith.host.needs import FIRMWARE
from goldsmith.host.probe import find_firmware
from goldsmith.kernel import proc
from goldsmith.vm.model import DiskFormat, Firmware


@pytest.fixture(scope="session")
def bootable_disk() -> Path:
    """A raw disk that boots under Secure Boot and starts a guest agent."""
    disk = os.environ.get("GOLDSMITH_TEST_DISK")
    if not disk:
        pytest.skip("GOLDSMITH_TEST_DISK names no disk to boot")
    return Path(disk)


@pytest.fixture(scope="session")
def secure_firmware() -> Firmware:
    """Firmware with Secure Boot keys enrolled; also skips when QEMU or swtpm is absent."""
    for program in ("qemu-system-x86_64", "qemu-img", "swtpm", "swtpm_setup"):
        if proc.which(program) is None:
            pytest.skip(f"{program} is not installed")
    found = [files for files in find_firmware(FIRMWARE) if files.secure_boot]
    if not found:
        pytest.skip("no Secure Boot firmware is installed")
    return Firmware(
        code=found[0].code, vars=found[0].vars, format=DiskFormat(found[0].format), secure_boot=True
    )
