"""The QEMU command line of a machine: a pure function of the machine and where its files lie."""

import json
from dataclasses import dataclass
from pathlib import Path

from goldsmith.kernel.json import JsonObject
from goldsmith.vm.model import Accelerator, DiskFormat, Machine, NetworkMode

DISK_NODE = "disk"
VARS_NODE = "vars"
AGENT_CHARDEV = "agent"
_TRANSLATION_CACHE_MIB = 256
# Names of the agent's port, fixed by the guest agent's udev rule.
_AGENT_PORT = "org.qemu.guest_agent.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFiles:
    """Everything a running machine keeps on the host; sockets lie apart because their paths must be short."""

    overlay: Path
    vars: Path
    serial_log: Path
    qemu_log: Path
    tpm_log: Path
    tpm_state: Path
    qmp_socket: Path
    agent_socket: Path
    tpm_socket: Path


def qemu_argv(machine: Machine, files: MachineFiles) -> list[str]:
    """Arguments for QEMU 7.2 and later, q35 machine.

    The vTPM's socket must exist when `machine.tpm`; overlay and variable store must be qcow2, because
    QEMU can save a snapshot only when every writable drive can hold one.
    """
    return [
        "qemu-system-x86_64",
        *("-name", "goldsmith"),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        # The guest's image is not trusted: after start-up QEMU may neither start programs nor gain rights.
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
        *_processor(machine),
        *_firmware(machine, files),
        *_disks(machine, files),
        *_network(machine),
        *("-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"),
        *("-chardev", f"file,id=serial,path={_escaped(files.serial_log)}", "-serial", "chardev:serial"),
        *_server("monitor", files.qmp_socket),
        *("-mon", "chardev=monitor,mode=control"),
        *("-device", "virtio-serial-pci"),
        *_server(AGENT_CHARDEV, files.agent_socket),
        *("-device", f"virtserialport,chardev={AGENT_CHARDEV},name={_AGENT_PORT}"),
        *(("-device", "VGA") if machine.display else ()),
        *(_tpm(files) if machine.tpm else ()),
    ]


def _processor(machine: Machine) -> list[str]:
    match machine.accelerator:
        case Accelerator.KVM:
            accelerator, cpu = "kvm", "host"
        case Accelerator.TCG:
            accelerator, cpu = f"tcg,thread=multi,tb-size={_TRANSLATION_CACHE_MIB}", "max"
    sizes = ["-smp", str(machine.cpus), "-m", f"{machine.memory_mib}M"]
    return ["-accel", accelerator, "-cpu", cpu, *sizes]


def _firmware(machine: Machine, files: MachineFiles) -> list[str]:
    secure = machine.firmware.secure_boot
    code = _blockdev("code", machine.firmware.code, format=machine.firmware.format, read_only=True)
    store = _blockdev(VARS_NODE, files.vars, format=DiskFormat.QCOW2)
    system_management = "on" if secure else "off"
    arguments = ["-machine", f"q35,smm={system_management},pflash0=code,pflash1={VARS_NODE}", *code, *store]
    if secure:
        arguments += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
    # Firmware that supports sleep to memory refuses to lock its memory; nothing here sleeps.
    return [*arguments, "-global", "ICH9-LPC.disable_s3=1"]


def _disks(machine: Machine, files: MachineFiles) -> list[str]:
    # `bootindex` on one device only: the firmware then tries nothing else, so a disk that
    # does not boot is reported at once and not after a tour of the network cards.
    arguments = [
        *_blockdev(DISK_NODE, files.overlay, format=DiskFormat.QCOW2, throw_away=True),
        *("-device", f"virtio-blk-pci,drive={DISK_NODE},bootindex=0"),
    ]
    if machine.seed is not None:
        arguments += _blockdev("seed", machine.seed, format=DiskFormat.RAW, read_only=True)
        arguments += ["-device", "virtio-blk-pci,drive=seed"]
    return arguments


def _network(machine: Machine) -> list[str]:
    if machine.network.mode is NetworkMode.NONE:
        return []
    restrict = "off" if machine.network.reach_outside else "on"
    forwards = "".join(
        f",hostfwd=tcp:127.0.0.1:{forward.host_port}-:{forward.guest_port}"
        for forward in machine.network.forwards
    )
    device = "virtio-net-pci,netdev=net,romfile="
    return ["-netdev", f"user,id=net,restrict={restrict}{forwards}", "-device", device]


def _tpm(files: MachineFiles) -> list[str]:
    return [
        *("-chardev", f"socket,id=tpm-socket,path={_escaped(files.tpm_socket)}"),
        *("-tpmdev", "emulator,id=tpm,chardev=tpm-socket", "-device", "tpm-crb,tpmdev=tpm"),
    ]


def _server(name: str, path: Path) -> list[str]:
    return ["-chardev", f"socket,id={name},path={_escaped(path)},server=on,wait=off"]


def _blockdev(
    node: str, path: Path, *, format: DiskFormat, read_only: bool = False, throw_away: bool = False
) -> list[str]:
    file: JsonObject = {"driver": "file", "filename": str(path), "read-only": read_only}
    device: JsonObject = {"driver": format.value, "node-name": node, "read-only": read_only, "file": file}
    if throw_away:
        # Nothing of it outlives the machine, so nothing need reach the host's disk.
        file |= {"discard": "unmap", "cache": {"no-flush": True}}
        device |= {"discard": "unmap", "cache": {"no-flush": True}}
    return ["-blockdev", json.dumps(device, separators=(",", ":"))]


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")
