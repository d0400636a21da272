"""A machine as its users get it: an address by DHCP, an identity from a seed disk, a login by key."""

from pathlib import Path

import pytest

from goldsmith.kernel import proc
from goldsmith.vm.health import collect_health
from goldsmith.vm.model import (
    Accelerator,
    DiskFormat,
    Firmware,
    Machine,
    Network,
    NetworkMode,
    PortForward,
)
from goldsmith.vm.qemu import start
from goldsmith.vm.seed import Seed, write_seed
from goldsmith.vm.ssh import SshTarget, make_key, run_ssh, wait_for_ssh

pytestmark = [pytest.mark.boot, pytest.mark.long]


def test_seeded_machine_lets_its_user_in(
    bootable_disk: Path, secure_firmware: Firmware, tmp_path: Path
) -> None:
    for program in ("ssh", "ssh-keygen", "mkfs.vfat", "mcopy"):
        if proc.which(program) is None:
            pytest.skip(f"{program} is not installed")
    public = make_key(tmp_path / "key")
    identity = Seed(instance_id="first", hostname="golden", user="ops", ssh_public_keys=(public,))
    write_seed(tmp_path / "seed.img", identity)
    machine = Machine(
        disk=bootable_disk,
        disk_format=DiskFormat.RAW,
        firmware=secure_firmware,
        accelerator=Accelerator.TCG,
        tpm=True,
        network=Network(mode=NetworkMode.USER, forwards=(PortForward(guest_port=22),)),
        seed=tmp_path / "seed.img",
    )
    with start(machine, tmp_path / "machine") as vm:
        target = SshTarget(
            port=vm.host_port(22), user="ops", key=tmp_path / "key", known_hosts=tmp_path / "known_hosts"
        )

        def tick() -> None:
            vm.watch()

        assert wait_for_ssh(target, timeout_seconds=900, tick=tick) > 0
        result = run_ssh(target, ["hostname; sudo id -u; exit 4"], timeout_seconds=300)
        assert result.text.split() == ["golden", "0"]
        assert result.returncode == 4
        vm.wait_for_agent()
        health = collect_health(vm)
        assert health.cloud_init == "done"
        assert health.problems == ()
