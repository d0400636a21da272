"""The files of one machine: a throw-away layer over the disk, its variable store, logs and sockets."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from goldsmith.kernel import proc
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import NotFoundError
from goldsmith.kernel.files import no_space, remove_tree
from goldsmith.vm.commandline import MachineFiles
from goldsmith.vm.model import Machine

# sockaddr_un.sun_path holds 108 bytes with its final zero (unix(7)); the longest name of ours is 10.
_SOCKET_DIRECTORY_BYTES_MAX = 90
_IMAGE_SECONDS = 60.0


@contextlib.contextmanager
def machine_files(machine: Machine, work_dir: Path, *, cancel: Cancel) -> Iterator[MachineFiles]:
    """The files of a machine about to start; afterwards only its logs are left in `work_dir`.

    Raises NotFoundError when the disk, the seed or a firmware file does not exist.
    """
    for path in (machine.disk, machine.firmware.code, machine.firmware.vars, machine.seed):
        if path is not None and not path.is_file():
            raise NotFoundError(f"the file {path} of the machine to start does not exist")
    work_dir = work_dir.absolute()
    with no_space(work_dir), contextlib.ExitStack() as cleanup:
        work_dir.mkdir(parents=True, exist_ok=True)
        sockets = _socket_directory(work_dir)
        cleanup.callback(remove_tree, sockets)
        files = MachineFiles(
            overlay=work_dir / "overlay.qcow2",
            vars=work_dir / "vars.qcow2",
            serial_log=work_dir / "serial.log",
            qemu_log=work_dir / "qemu.log",
            tpm_log=work_dir / "tpm.log",
            tpm_state=work_dir / "tpm",
            qmp_socket=sockets / "qmp.sock",
            agent_socket=sockets / "agent.sock",
            tpm_socket=sockets / "tpm.sock",
        )
        for path in (files.overlay, files.vars, files.tpm_state):
            remove_tree(path)
            cleanup.callback(remove_tree, path)
        for log in (files.serial_log, files.qemu_log, files.tpm_log):
            log.unlink(missing_ok=True)
        _make_images(machine, files, cancel)
        yield files


def _make_images(machine: Machine, files: MachineFiles, cancel: Cancel) -> None:
    disk = machine.disk.resolve()
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", machine.disk_format.value, "-b", disk]
    proc.run([*create, files.overlay], timeout_seconds=_IMAGE_SECONDS, cancel=cancel)
    convert = ["qemu-img", "convert", "-f", machine.firmware.format.value, "-O", "qcow2"]
    store = machine.firmware.vars.resolve()
    proc.run([*convert, store, files.vars], timeout_seconds=_IMAGE_SECONDS, cancel=cancel)


def _socket_directory(work_dir: Path) -> Path:
    parent = work_dir
    if len(os.fsencode(work_dir)) > _SOCKET_DIRECTORY_BYTES_MAX - len("/goldsmith-01234567"):
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        parent = Path(runtime) if runtime and len(runtime) < 60 and Path(runtime).is_dir() else Path("/tmp")
    return Path(tempfile.mkdtemp(prefix="goldsmith-", dir=parent))
