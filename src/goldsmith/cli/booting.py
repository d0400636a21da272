"""`goldsmith image boot`: a published version as a running machine, reached the way its users will."""

import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from goldsmith.app import App
from goldsmith.cli.names import image_version, short
from goldsmith.cli.output import is_terminal, print_json, seconds_text
from goldsmith.gallery.logic import requires_trusted_launch
from goldsmith.gallery.service import show_definition
from goldsmith.kernel.cancel import CancelFlag
from goldsmith.kernel.errors import Error, UnsupportedError
from goldsmith.kernel.proc import Result
from goldsmith.publishing.disks import disk_of_version
from goldsmith.publishing.sealing import TATTOO_PATH
from goldsmith.tattoo.text import parse_text
from goldsmith.vm import qemu
from goldsmith.vm.model import DiskFormat, Machine, Milestone, Network, NetworkMode, PortForward
from goldsmith.vm.running import RunningVm
from goldsmith.vm.seed import Seed, write_seed
from goldsmith.vm.ssh import SshTarget, attach, make_key, run_ssh, wait_for_ssh

_USER = "goldsmith"
_SSH_SECONDS = 900.0
_COMMAND_SECONDS = 3600.0
_TRIES = 30
# The exit status by which ssh(1) says that it was the connection that failed.
_CONNECTION_FAILED = 255


def boot_version(
    app: App,
    name: str,
    *,
    region: str | None,
    script: str | None,
    memory_mib: int,
    cpus: int,
    as_json: bool,
) -> None:
    """Start the version, log in, print its tattoo; then `script`, or on a terminal a shell."""
    version = image_version(app, name, region=region or app.default_region)
    definition = show_definition(app.gallery, version.definition_id)
    trusted = requires_trusted_launch(definition)
    means = app.workshop.boot_means()
    firmware = means.secure_boot if trusted else means.plain or means.secure_boot
    if firmware is None:
        raise UnsupportedError("no fitting UEFI firmware is installed", hint="run 'goldsmith doctor'")
    disk = disk_of_version(app.workshop, version, cancel=CancelFlag())

    def say(text: str) -> None:
        if not as_json:
            click.echo(text, err=True)

    with tempfile.TemporaryDirectory(prefix="goldsmith-boot-") as folder:
        work = Path(folder)
        public = make_key(work / "key")
        seed = Seed(
            instance_id=str(version.name),
            hostname=definition.id.name.replace("_", "-").replace(".", "-")[:63],
            user=_USER,
            ssh_public_keys=(public,),
        )
        write_seed(work / "seed.img", seed)
        machine = Machine(
            disk=disk,
            disk_format=DiskFormat.RAW,
            firmware=firmware,
            accelerator=means.accelerator,
            memory_mib=memory_mib,
            cpus=cpus,
            tpm=trusted,
            network=Network(mode=NetworkMode.USER, forwards=(PortForward(guest_port=22),)),
            seed=work / "seed.img",
            display=False,
            boot_timeout_seconds=_SSH_SECONDS,
        )
        say(f"starting {short(version.id)} under {means.accelerator.value}; Ctrl-C stops it")

        def milestone(reached: Milestone) -> None:
            say(f"  {seconds_text(reached.seconds):>8}  {reached.stage.value}")

        with qemu.start(machine, work / "vm") as vm:
            vm.wait_for_agent(on_milestone=milestone)
            target = SshTarget(
                port=vm.host_port(22), user=_USER, key=work / "key", known_hosts=work / "known_hosts"
            )
            wait_for_ssh(target, timeout_seconds=_SSH_SECONDS, tick=partial(_look, vm))
            elapsed = seconds_text(vm.seconds_since_power_on())
            say(f"  {elapsed:>8}  logged in as {_USER} on port {target.port}")
            shown = _run_patiently(target, ["cat", TATTOO_PATH], timeout_seconds=120)
            if shown.returncode != 0:
                raise Error(f"the machine has no {TATTOO_PATH}: {shown.error_text.strip()}")
            status = 0
            output = ""
            if script is not None:
                # First boot may restart the SSH server; its end is waited for with a harmless command.
                _run_patiently(target, ["cloud-init", "status", "--wait"], timeout_seconds=_SSH_SECONDS)
                done = run_ssh(target, ["sh", "-s"], input=script.encode(), timeout_seconds=_COMMAND_SECONDS)
                status, output = done.returncode, done.text + done.error_text
            if as_json:
                print_json(
                    {
                        "imageVersion": str(version.id),
                        "bootSeconds": round(vm.seconds_since_power_on(), 1),
                        "tattoo": parse_text(shown.text),
                        "exitStatus": status if script is not None else None,
                        "output": output if script is not None else None,
                    }
                )
            else:
                click.echo(shown.text.rstrip())
                click.echo(output, nl=False)
            if script is None and is_terminal() and sys.stdin.isatty() and not as_json:
                say("a shell in the machine; 'exit' stops it")
                status = attach(target)
    if status != 0:
        sys.exit(status)


def _run_patiently(target: SshTarget, command: Sequence[str], *, timeout_seconds: float) -> Result:
    """The result of a harmless command, tried again while the server closes connections on us."""
    for _ in range(_TRIES):
        done = run_ssh(target, command, timeout_seconds=timeout_seconds)
        if done.returncode != _CONNECTION_FAILED:
            break
        time.sleep(1)
    return done


def _look(vm: RunningVm) -> None:
    vm.watch()
