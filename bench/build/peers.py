"""The peers: each turns the same base disk and the same recipe into a new bootable qcow2."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from bench.build.base import Base
from bench.build.recipe import cores, recipe
from goldsmith.kernel import proc
from goldsmith.kernel.errors import UnsupportedError
from goldsmith.vm.model import Accelerator

_SECONDS_MAX = 3600.0
_MEMORY_MIB = 1024


def warm_up(base: Base, work: Path) -> None:
    """Let libguestfs build its appliance, which it then keeps: that is no part of customising an image."""
    _run(
        ["guestfish", "--ro", "-a", str(base.disk), "run"],
        work / "guestfish.log",
        **_libguestfs(base, work),
    )


def virt_customize(base: Base, out: Path, work: Path) -> None:
    """libguestfs's virt-customize on a copy of the base."""
    shutil.copyfile(base.disk, out)
    scripts = [word for script in recipe() for word in ("--run", str(script))]
    size = ["--smp", str(cores()), "--memsize", str(_MEMORY_MIB)]
    _run(
        ["virt-customize", "--network", *size, "-a", str(out), *scripts],
        work / "virt-customize.log",
        **_libguestfs(base, work),
    )


def packer(base: Base, out: Path, work: Path) -> None:
    """packer's QEMU builder: boots the base, runs the recipe over SSH, shuts the machine down."""
    variables, output = work / "packer-vars.fd", work / "packer-output"
    shutil.copyfile(base.plain.vars, variables)
    shutil.rmtree(output, ignore_errors=True)
    description = work / "packer.json"
    description.write_text(json.dumps(_packer_template(base, variables, output), indent=1))
    _run(
        ["packer", "build", "-color=false", str(description)],
        work / "packer.log",
        PACKER_CACHE_DIR=str(work / "packer-cache"),
        PACKER_CONFIG_DIR=str(work / "packer-config"),
        CHECKPOINT_DISABLE="1",
    )
    (output / "disk.qcow2").replace(out)


def _packer_template(base: Base, variables: Path, output: Path) -> dict[str, object]:
    firmware = f"if=pflash,format={base.plain.format.value}"
    match base.accelerator:
        case Accelerator.KVM:
            accelerator, processor = "kvm", "host"
        case Accelerator.TCG:
            accelerator, processor = "tcg,thread=multi,tb-size=512", "max"
    return {
        "builders": [
            {
                "type": "qemu",
                "iso_url": f"file://{base.disk}",
                "iso_checksum": "none",
                "disk_image": True,
                # With one it calls qemu-img without -F, which qemu-img refuses since version 6.1.
                "use_backing_file": False,
                "skip_resize_disk": True,
                "format": "qcow2",
                "accelerator": "none",
                "headless": True,
                "boot_wait": "1s",
                "output_directory": str(output),
                "vm_name": "disk.qcow2",
                "ssh_username": "root",
                "ssh_private_key_file": str(base.key),
                "ssh_timeout": "20m",
                "shutdown_command": "systemctl poweroff",
                "qemuargs": [
                    ["-machine", "q35"],
                    ["-accel", accelerator],
                    ["-cpu", processor],
                    ["-smp", str(cores())],
                    ["-m", str(_MEMORY_MIB)],
                    ["-device", "virtio-net-pci,netdev=user.0,romfile="],
                    ["-device", "virtio-rng-pci"],
                    ["-drive", f"{firmware},unit=0,readonly=on,file={base.plain.code}"],
                    ["-drive", f"{firmware},unit=1,file={variables}"],
                    ["-drive", f"if=virtio,format=qcow2,cache=unsafe,file={output}/disk.qcow2"],
                    ["-drive", f"if=virtio,format=raw,readonly=on,file={base.seed}"],
                ],
            }
        ],
        "provisioners": [{"type": "shell", "scripts": [str(script) for script in recipe()]}],
    }


def _libguestfs(base: Base, work: Path) -> dict[str, str]:
    kernels = sorted(Path("/boot").glob("vmlinuz-*"))
    if not kernels:
        raise UnsupportedError(
            "libguestfs has no kernel to boot", hint="apt-get install linux-image-cloud-amd64"
        )
    release = kernels[-1].name.removeprefix("vmlinuz-")
    environment = {
        "LIBGUESTFS_BACKEND": "direct",
        "LIBGUESTFS_CACHEDIR": str(work),
        # A host's own kernel may be of another name than its modules; these belong together.
        "SUPERMIN_KERNEL": str(kernels[-1]),
        "SUPERMIN_KERNEL_VERSION": release,
        "SUPERMIN_MODULES": f"/lib/modules/{release}",
    }
    if base.accelerator is Accelerator.TCG:
        # Left to choose, it takes a KVM that opens, also where no kernel comes up under it.
        environment["LIBGUESTFS_BACKEND_SETTINGS"] = "force_tcg"
    return environment


def _run(argv: Sequence[str], log: Path, **environment: str) -> None:
    # Both start programs that would outlive them: a namespace of their own ends them all together.
    words = proc.in_private_namespace(argv, user=os.geteuid() != 0)
    with log.open("wb") as file:
        proc.run(words, timeout_seconds=_SECONDS_MAX, env={**os.environ, **environment}, log=file)
