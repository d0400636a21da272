"""The machine's TPM 2.0: made fresh by swtpm for one machine, gone with it."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from goldsmith.kernel import proc
from goldsmith.kernel.errors import ProgramError, UnsupportedError
from goldsmith.vm.channel import Tick, no_tick
from goldsmith.vm.commandline import MachineFiles

_SETUP_SECONDS = 60.0
_START_SECONDS = 15.0


@contextlib.contextmanager
def running_tpm(files: MachineFiles, *, tick: Tick = no_tick) -> Iterator[None]:
    """A TPM with a SHA-256 bank and an endorsement key certificate listens on its socket.

    Raises UnsupportedError (swtpm not installed) and ProgramError (it does not start).
    """
    _manufacture(files.tpm_state)
    with files.tpm_log.open("wb") as log:
        process = proc.spawn(
            [
                *("swtpm", "socket", "--tpm2", "--terminate"),
                *("--tpmstate", f"dir={files.tpm_state}"),
                *("--ctrl", f"type=unixio,path={files.tpm_socket}"),
                *("--flags", "startup-clear"),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _await_socket(process, files, tick)
        yield
    finally:
        proc.kill_group(process)
        files.tpm_socket.unlink(missing_ok=True)


def _manufacture(state: Path) -> None:
    # The certificate authority is the machine's own too: the shared one in /var/lib
    # belongs to a system user, so nobody else could make a TPM.
    authority = state / "ca"
    authority.mkdir(parents=True)
    options = state / "localca.options"
    options.write_text(
        "--platform-manufacturer Goldsmith\n--platform-version 1\n--platform-model QEMU\n"
        "--tpm-spec-family 2.0\n--tpm-spec-revision 164\n--tpm-spec-level 0\n"
    )
    authority_config = state / "localca.conf"
    authority_config.write_text(
        f"statedir = {authority}\nsigningkey = {authority}/signkey.pem\n"
        f"issuercert = {authority}/issuercert.pem\ncertserial = {authority}/certserial\n"
    )
    tool = proc.which("swtpm_localca")
    if tool is None:
        raise UnsupportedError(
            "the program swtpm_localca is not installed", hint="run 'goldsmith doctor' to see what to install"
        )
    config = state / "setup.conf"
    config.write_text(
        f"create_certs_tool = {tool}\ncreate_certs_tool_config = {authority_config}\n"
        f"create_certs_tool_options = {options}\nactive_pcr_banks = sha256\n"
    )
    argv: list[str | Path] = [
        *("swtpm_setup", "--tpm2", "--tpmstate", state, "--config", config, "--pcr-banks", "sha256"),
        *("--create-ek-cert", "--create-platform-cert", "--lock-nvram"),
    ]
    # It starts a TPM of its own, which a kill of ours would leave; only root can enclose them so simply.
    enclosed = proc.in_private_namespace(argv) if os.geteuid() == 0 else argv
    proc.run(enclosed, timeout_seconds=_SETUP_SECONDS)


def _await_socket(process: "subprocess.Popen[bytes]", files: MachineFiles, tick: Tick) -> None:
    end = time.monotonic() + _START_SECONDS
    while not files.tpm_socket.exists():
        tick()
        returncode = process.poll()
        if returncode is not None or time.monotonic() > end:
            tail = proc.last_lines(files.tpm_log.read_text(errors="replace"))
            raise ProgramError(
                f"swtpm did not open {files.tpm_socket}: {tail or 'it printed nothing'}",
                argv=["swtpm"],
                returncode=-9 if returncode is None else returncode,
                tail=tail,
            )
        time.sleep(0.02)
