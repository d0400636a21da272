"""Starting a machine under QEMU, so that nothing of it outlives the block that started it."""

import contextlib
import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path

from goldsmith.kernel import proc
from goldsmith.kernel.cancel import Cancel, NeverCancel
from goldsmith.kernel.clock import Clock, SystemClock
from goldsmith.vm.commandline import qemu_argv
from goldsmith.vm.model import Machine
from goldsmith.vm.running import RunningVm
from goldsmith.vm.tpm import running_tpm
from goldsmith.vm.workspace import machine_files

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def start(
    machine: Machine, work_dir: Path, *, cancel: Cancel | None = None, clock: Clock | None = None
) -> Iterator[RunningVm]:
    """Power on `machine` with its throw-away files in `work_dir`; one machine a directory.

    On the way out, however that happens, QEMU and swtpm are gone and so are sockets, overlay and
    vTPM; serial.log, qemu.log and tpm.log stay. When our own process or the calling thread is
    killed, the kernel kills both programs. `machine.disk` is never written.

    Raises NotFoundError (a file of the machine is absent), UnsupportedError (a program is not
    installed), ProgramError (an image or the TPM cannot be made), BootFailedError (QEMU ends at once).
    """
    stopper = cancel or NeverCancel()
    with contextlib.ExitStack() as cleanup:
        files = cleanup.enter_context(machine_files(machine, work_dir, cancel=stopper))
        if machine.tpm:
            cleanup.enter_context(running_tpm(files, tick=stopper.check))
        with files.qemu_log.open("wb") as log:
            process = proc.spawn(qemu_argv(machine, files), stdout=log, stderr=subprocess.STDOUT)
        cleanup.callback(proc.kill_group, process)
        vm = RunningVm(machine, files, process, cancel=stopper, clock=clock or SystemClock())
        cleanup.callback(vm.kill)
        logger.debug("started QEMU as process %d for %s", process.pid, machine.disk)
        yield vm
