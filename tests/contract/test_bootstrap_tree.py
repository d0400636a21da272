"""Real bootstraps of a small base: equal from run to run, from a lock without a mirror, and after a kill."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.kernel.cancel import CancelFlag
from goldsmith.kernel.errors import CanceledError, UnavailableError, UnsupportedError
from goldsmith.kernel.proc import which
from goldsmith.marketplace import service
from goldsmith.marketplace.lock import read_lock
from goldsmith.marketplace.model import Capture
from goldsmith.marketplace.ports import Progress, Stage
from tests.contract.bootstrap_world import LATEST, small_marketplace

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(os.geteuid() != 0, reason="a bootstrap needs root"),
    pytest.mark.skipif(which("mmdebstrap") is None, reason="needs mmdebstrap"),
]

GONE = "http://mirror.invalid/debian"
PATIENCE_SECONDS = 300.0


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    marketplace = small_marketplace(tmp_path_factory.mktemp("state"))
    try:
        return service.capture(marketplace, LATEST)
    except (UnavailableError, UnsupportedError) as error:
        pytest.skip(f"no mirror: {error}")


def state_of(captured: Capture) -> Path:
    return captured.root.parents[2]


def with_packages_of(captured: Capture, state: Path) -> Path:
    shutil.copytree(state_of(captured) / "debs", state / "debs", copy_function=os.link)
    return state


def eventually(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, f"{what} did not come to hold"
        time.sleep(0.05)


def processes_about(path: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(path) in words:
                found.append(words.decode(errors="replace"))
    return found


def test_the_small_base_is_clean_and_knows_what_it_is(captured: Capture) -> None:
    root = captured.root
    assert captured.os_version.startswith("12.")
    assert captured.architecture == "x64"
    assert captured.lock is not None
    assert captured.package_count == len(read_lock(captured.lock).debs)
    assert max(os.lstat(path).st_mtime for path in (root, *root.rglob("*"))) <= captured.epoch
    for name in ("dev", "proc", "sys", "run", "tmp", "etc/ssl/certs", "var/lib/apt/lists"):
        # apt's own lock, always empty, is all that may be left.
        found = [path for path in root.joinpath(name).glob("**/*") if path.is_file() and path.name != "lock"]
        assert found == [], name
    assert not (root / "etc/dpkg/dpkg.cfg.d/99mmdebstrap").exists()
    assert not list(root.glob("var/log/**/*.log"))
    assert oct((root / "etc/hostname").stat().st_mode) == "0o100644"
    assert "bookworm-security" in (root / "etc/apt/sources.list.d/debian.sources").read_text()
    assert list(root.glob("usr/share/doc/*/copyright"))
    assert not list(root.glob("usr/share/doc/*/changelog*"))


def test_two_captures_of_one_mirror_state_are_the_same_tree(captured: Capture, tmp_path: Path) -> None:
    # A caller with another umask, environment and time zone makes the same tree.
    previous = os.umask(0o077)
    try:
        again = service.capture(small_marketplace(with_packages_of(captured, tmp_path)), LATEST)
    finally:
        os.umask(previous)
    if again.identity != captured.identity:
        pytest.skip("the mirror has moved on between the two captures")
    assert again.digest == captured.digest


def test_the_lock_makes_the_same_tree_with_the_mirror_gone(captured: Capture, tmp_path: Path) -> None:
    marketplace = small_marketplace(with_packages_of(captured, tmp_path), mirror=GONE)
    with pytest.raises(UnavailableError):
        service.resolve(marketplace, LATEST)
    assert captured.lock is not None
    again = service.capture_from_lock(marketplace, captured.lock)
    assert (again.digest, again.source_digest) == (captured.digest, captured.source_digest)
    service.verify(marketplace, again)


def test_a_killed_capture_leaves_no_mount_no_process_and_nothing_visible(
    captured: Capture, tmp_path: Path
) -> None:
    with_packages_of(captured, tmp_path)
    program = Path(__file__).with_name("bootstrap_world.py")
    child = subprocess.Popen([sys.executable, str(program), str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith(b"install") and int(line.split()[1]) >= 5:
            break
    assert processes_about(tmp_path)
    child.send_signal(signal.SIGKILL)
    child.wait(PATIENCE_SECONDS)
    child.stdout.close()
    eventually(lambda: not processes_about(tmp_path), "no process is left")
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    marketplace = small_marketplace(tmp_path)
    assert service.list_captures(marketplace) == ()
    made = service.capture(marketplace, LATEST)
    service.verify(marketplace, made)
    assert made.digest == captured.digest or made.identity != captured.identity
    assert [path for path in (tmp_path / "bases/.work").iterdir() if path.is_dir()] == []


def test_a_canceled_capture_stops_and_leaves_nothing(captured: Capture, tmp_path: Path) -> None:
    cancel = CancelFlag()

    def stop_in_the_middle(progress: Progress) -> None:
        if progress.stage is Stage.INSTALL and progress.done >= 5:
            cancel.set("enough")

    marketplace = small_marketplace(with_packages_of(captured, tmp_path))
    with pytest.raises(CanceledError):
        service.capture(marketplace, LATEST, cancel=cancel, on_progress=stop_in_the_middle)
    eventually(lambda: not processes_about(tmp_path), "no process is left")
    assert service.list_captures(marketplace) == ()
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
