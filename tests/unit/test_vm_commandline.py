"""The QEMU command line says what the machine says, and nothing else."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from goldsmith.kernel.errors import CorruptError, InvalidInputError
from goldsmith.vm.commandline import MachineFiles, qemu_argv
from goldsmith.vm.model import (
    Accelerator,
    DiskFormat,
    Firmware,
    Machine,
    Network,
    NetworkMode,
    PortForward,
)
from goldsmith.vm.screen import png_from_ppm
from goldsmith.vm.seed import Seed, meta_data, user_data
from goldsmith.vm.ssh import SshTarget, ssh_argv

WORK = Path("/w")
FILES = MachineFiles(
    overlay=WORK / "overlay.qcow2",
    vars=WORK / "vars.qcow2",
    serial_log=WORK / "serial.log",
    qemu_log=WORK / "qemu.log",
    tpm_log=WORK / "tpm.log",
    tpm_state=WORK / "tpm",
    qmp_socket=WORK / "qmp.sock",
    agent_socket=WORK / "a,b.sock",
    tpm_socket=WORK / "tpm.sock",
)
PLAIN = Machine(
    disk=Path("/given/disk.raw"),
    disk_format=DiskFormat.RAW,
    firmware=Firmware(code=Path("/f/code.fd"), vars=Path("/f/vars.fd")),
    accelerator=Accelerator.TCG,
)


def block_devices(argv: list[str]) -> dict[str, dict[str, Any]]:
    values = [argv[index + 1] for index, word in enumerate(argv) if word == "-blockdev"]
    return {device["node-name"]: device for device in map(json.loads, values)}


def test_given_disk_is_not_on_the_command_line_only_the_layer_over_it() -> None:
    argv = qemu_argv(PLAIN, FILES)
    assert "/given/disk.raw" not in " ".join(argv)
    devices = block_devices(argv)
    assert devices["disk"]["file"]["filename"] == "/w/overlay.qcow2"
    assert devices["disk"]["driver"] == devices["vars"]["driver"] == "qcow2"
    assert devices["code"]["read-only"] is True


def test_secure_boot_guards_the_variable_store() -> None:
    secure = replace(PLAIN, firmware=replace(PLAIN.firmware, secure_boot=True))
    guarded = "driver=cfi.pflash01,property=secure,value=on"
    assert guarded in qemu_argv(secure, FILES)
    assert any("smm=on" in word for word in qemu_argv(secure, FILES))
    assert guarded not in qemu_argv(PLAIN, FILES)


def test_accelerator_is_the_one_asked_for_and_has_no_fallback() -> None:
    for accelerator, cpu in ((Accelerator.KVM, "host"), (Accelerator.TCG, "max")):
        argv = qemu_argv(replace(PLAIN, accelerator=accelerator), FILES)
        assert argv[argv.index("-accel") + 1].split(",")[0] == accelerator.value
        assert argv.count("-accel") == 1
        assert argv[argv.index("-cpu") + 1] == cpu


def test_network_is_absent_unless_asked_for_and_closed_unless_opened() -> None:
    assert "-netdev" not in qemu_argv(PLAIN, FILES)
    network = Network(mode=NetworkMode.USER, forwards=(PortForward(guest_port=22),))
    argv = qemu_argv(replace(PLAIN, network=network), FILES)
    assert argv[argv.index("-netdev") + 1] == "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"
    argv = qemu_argv(replace(PLAIN, network=replace(network, reach_outside=True)), FILES)
    assert "restrict=off" in argv[argv.index("-netdev") + 1]


def test_optional_devices_are_there_only_when_asked_for() -> None:
    bare = qemu_argv(replace(PLAIN, display=False), FILES)
    assert "VGA" not in bare
    assert not any("tpm" in word for word in bare)
    full = qemu_argv(replace(PLAIN, tpm=True, seed=Path("/s/seed.img")), FILES)
    assert "VGA" in full
    assert "tpm-crb,tpmdev=tpm" in full
    seed = block_devices(full)["seed"]
    assert (seed["read-only"], seed["file"]["filename"]) == (True, "/s/seed.img")


def test_comma_in_a_path_does_not_end_the_path() -> None:
    assert any("path=/w/a,,b.sock,server=on" in word for word in qemu_argv(PLAIN, FILES))


@pytest.mark.parametrize("change", [{"memory_mib": 100}, {"cpus": 0}, {"boot_timeout_seconds": 0}])
def test_machine_that_cannot_run_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        replace(PLAIN, **change)


def test_forward_without_a_network_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        Network(forwards=(PortForward(guest_port=22),))


def test_seed_is_a_cloud_config_that_names_the_user_and_key() -> None:
    seed = Seed(
        instance_id="i-1",
        hostname="golden",
        user="ops",
        ssh_public_keys=("ssh-ed25519 AAAA",),
        extra={"packages": ["jq"], "ssh_pwauth": True},
    )
    head, _, body = user_data(seed).partition(b"\n")
    assert head == b"#cloud-config"
    config = json.loads(body)
    assert config["users"][0]["name"] == "ops"
    assert config["users"][0]["ssh_authorized_keys"] == ["ssh-ed25519 AAAA"]
    assert config["packages"] == ["jq"]
    assert config["ssh_pwauth"] is True
    assert json.loads(meta_data(seed)) == {"instance-id": "i-1", "local-hostname": "golden"}


def test_ssh_takes_no_advice_from_the_user_configuration() -> None:
    target = SshTarget(port=2222, user="ops", key=Path("/k"), known_hosts=Path("/h"))
    argv = ssh_argv(target, ["uname", "-a"])
    assert argv[:3] == ["ssh", "-F", "none"]
    assert argv[-4:] == ["ops@127.0.0.1", "--", "uname", "-a"]
    assert "BatchMode=yes" in argv
    assert ssh_argv(target)[-1] == "ops@127.0.0.1"
    assert "BatchMode=no" in ssh_argv(target)


def test_screen_dump_becomes_a_png_of_the_same_size() -> None:
    png = png_from_ppm(b"P6\n2 1\n255\n" + bytes([255, 0, 0, 0, 0, 255]))
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png[16:24] == b"\0\0\0\2\0\0\0\1"
    # White space is a colour too: the first pixel starts right after one separator.
    assert png_from_ppm(b"P6 1 1 255\n" + b"\n\n\n")


@pytest.mark.parametrize("ppm", [b"", b"P5 1 1 255\n\0\0\0", b"P6 2 2 255\n\0", b"P6 a b 255\n\0"])
def test_screen_dump_that_is_none_is_corrupt(ppm: bytes) -> None:
    with pytest.raises(CorruptError):
        png_from_ppm(ppm)
