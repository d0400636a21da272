"""What all start from: one captured base, as a tree for ours and as a bootable disk for the peers."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from goldsmith.app import App
from goldsmith.disk import kernels
from goldsmith.disk.assemble import boot_files, plan_assembly, plan_to_json
from goldsmith.disk.formats import raw_to_qcow2
from goldsmith.kernel.errors import UnsupportedError
from goldsmith.marketplace import service as marketplace
from goldsmith.marketplace.model import Capture, parse_urn
from goldsmith.settings import load
from goldsmith.vm.model import Accelerator, Firmware
from goldsmith.vm.seed import Seed, write_seed
from goldsmith.vm.ssh import make_key

OFFER = "Debian:debian-12:12-gen2:latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """`state` holds the captured base and nothing else; `disk` is the same tree as a bootable qcow2.

    `seed` is a NoCloud disk that lets root in with `key`; `secure` is the firmware with Secure Boot.
    """

    capture: Capture
    state: Path
    disk: Path
    seed: Path
    key: Path
    plain: Firmware
    secure: Firmware
    accelerator: Accelerator


def prepare(work: Path, *, source: Path | None) -> Base:
    """Everything below `work`, made once; the base is taken from the state directory `source`.

    It is captured there first, from the machine's configured mirror, when it is not there yet.
    """
    work.mkdir(parents=True, exist_ok=True)
    app = _app(source)
    means = app.workshop.boot_means()
    if means.plain is None or means.secure_boot is None:
        raise UnsupportedError("no UEFI firmware or no swtpm is installed", hint="run 'goldsmith doctor'")
    capture = _captured(app)
    state = work / "state"
    (state / "bases").mkdir(parents=True, exist_ok=True)
    # A real copy: hard links would change how long each tool takes over every file.
    subprocess.run(["cp", "-a", "--reflink=auto", capture.root.parent, state / "bases"], check=True)
    key = work / "key"
    seed = Seed(instance_id="bench", hostname="bench", user="root", ssh_public_keys=(make_key(key),))
    write_seed(work / "seed.img", seed)
    disk = work / "base.qcow2"
    _write_disk(app, capture, disk, work / "base")
    return Base(
        capture=capture,
        state=state,
        disk=disk,
        seed=work / "seed.img",
        key=key,
        plain=means.plain,
        secure=means.secure_boot,
        accelerator=means.accelerator,
    )


def captured(source: Path | None) -> Capture:
    """The newest capture of the offer in the state directory `source` (default: the user's), or a new one."""
    return _captured(_app(source))


def _app(source: Path | None) -> App:
    return App(load({"GOLDSMITH_STATE": str(source)} if source else None))


def _captured(app: App) -> Capture:
    known = [one for one in marketplace.list_captures(app.marketplace) if _is_of_offer(one.identity)]
    return known[-1] if known else marketplace.capture(app.marketplace, parse_urn(OFFER))


def _is_of_offer(identity: str) -> bool:
    return identity.rpartition(":")[0] == OFFER.rpartition(":")[0]


def _write_disk(app: App, capture: Capture, disk: Path, work: Path) -> None:
    layers = app.workshop.layers_at(work / "layers")
    # The names on the disk are known before its size, which the program that writes it measures.
    plan = plan_assembly("bench", content_bytes=0, epoch=capture.epoch)
    kernel = kernels.choose_kernel(path.name for path in (capture.root / "boot").iterdir())
    boot = layers.add_files(
        "boot", base=capture.root, parents=(), files=boot_files(kernel, plan), epoch=capture.epoch
    )
    raw = work / "base.raw"
    measure = {"seed": "bench", "size_bytes": None}
    arguments = {"out": str(raw), "plan": plan_to_json(plan), "measure": measure}
    layers.with_root_do(capture.root, (boot,), "assemble", arguments)
    raw_to_qcow2(raw, disk)
    raw.unlink()
