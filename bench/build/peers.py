"""The peers of the build benchmark: each turns the same base disk and recipe into a new bootable disk."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

_TIMEOUT_SECONDS = 1800


def recipe() -> list[Path]:
    """The recipe's scripts in order; every contender runs these very files."""
    return sorted((Path(__file__).parent / "recipe").glob("*.sh"))


def virt_customize(base: Path, out: Path, work: Path) -> None:
    """libguestfs's virt-customize on a copy of the base; TCG, because its own choice may be a broken KVM."""
    shutil.copyfile(base, out)
    kernel = max(Path("/boot").glob("vmlinuz-*"))
    release = kernel.name.removeprefix("vmlinuz-")
    scripts = [argument for script in recipe() for argument in ("--run", str(script))]
    _run(
        ["virt-customize", "--quiet", "-a", str(out), "--network", *scripts],
        work / "virt-customize.log",
        LIBGUESTFS_BACKEND="direct",
        LIBGUESTFS_BACKEND_SETTINGS="force_tcg",
        SUPERMIN_KERNEL=str(kernel),
        SUPERMIN_KERNEL_VERSION=release,
        SUPERMIN_MODULES=f"/lib/modules/{release}",
        LIBGUESTFS_CACHEDIR=str(work),
    )


def packer(base: Path, out: Path, work: Path, *, key: Path, seed: Path, firmware: Sequence[Path]) -> None:
    """packer's qemu builder: boots the base, runs the recipe over SSH, shuts down."""
    code, variables = firmware
    vars_copy = work / "packer-vars.fd"
    shutil.copyfile(variables, vars_copy)
    output = work / "packer-out"
    shutil.rmtree(output, ignore_errors=True)
    template = {
        "builders": [
            {
                "type": "qemu",
                "iso_url": f"file://{base}",
                "iso_checksum": "none",
                "disk_image": True,
                "use_backing_file": False,
                "skip_resize_disk": True,
                "format": "qcow2",
                "accelerator": "none",
                "headless": True,
                "output_directory": str(output),
                "vm_name": "disk.qcow2",
                "ssh_username": "root",
                "ssh_private_key_file": str(key),
                "ssh_timeout": "20m",
                "shutdown_command": "systemctl poweroff",
                "qemuargs": [
                    ["-machine", "q35,accel=tcg"],
                    ["-accel", "tcg,thread=multi,tb-size=512"],
                    ["-cpu", "max"],
                    ["-smp", "2"],
                    ["-m", "1024"],
                    ["-device", "virtio-net-pci,netdev=user.0,romfile="],
                    ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}"],
                    ["-drive", f"if=pflash,unit=1,format=raw,file={vars_copy}"],
                    ["-drive", f"if=virtio,format=qcow2,cache=unsafe,file={output}/disk.qcow2"],
                    ["-drive", f"if=virtio,format=raw,readonly=on,file={seed}"],
                ],
            }
        ],
        "provisioners": [{"type": "shell", "scripts": [str(script) for script in recipe()]}],
    }
    description = work / "packer.json"
    description.write_text(json.dumps(template, indent=1))
    _run(
        ["packer", "build", "-color=false", str(description)],
        work / "packer.log",
        PACKER_CACHE_DIR=str(work / "packer-cache"),
        CHECKPOINT_DISABLE="1",
    )
    (output / "disk.qcow2").replace(out)


def _run(argv: Sequence[str], log: Path, **environment: str) -> None:
    with log.open("wb") as file:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise SystemExit(f"{argv[0]} failed with exit status {done.returncode}; {log} ends:\n{tail}")
