"""The suite of the layers once more as a user without root, who must get the same bytes as root.

The user exists only in a private mount namespace, in which /etc/passwd and /etc/subuid are others than the
host's.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith.kernel import proc

USER_ID = 64321
RANGE = "builder:700000:65536\n"
FILES = {
    "passwd": f"root:x:0:0:root:/root:/bin/sh\nbuilder:x:{USER_ID}:{USER_ID}:builder:/tmp:/bin/sh\n",
    "group": f"root:x:0:\nbuilder:x:{USER_ID}:\n",
    "subuid": RANGE,
    "subgid": RANGE,
}
SUITE = Path(__file__).with_name("test_disk_layers.py")
SECONDS_MAX = 570.0


@pytest.fixture
def home() -> Iterator[Path]:
    # Not below pytest's own directory, which nobody else may enter.
    place = Path(tempfile.mkdtemp(prefix="goldsmith-rootless-"))
    place.chmod(0o755)
    (place / "home").mkdir()
    os.chown(place / "home", USER_ID, USER_ID)
    yield place
    shutil.rmtree(place)


def open_ways(home: Path) -> list[str]:
    """Commands that let everybody reach the interpreter and the tests where a directory above them is
    private.
    """
    closed: dict[Path, set[Path]] = {}
    for wanted in {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), SUITE.parents[2]}:
        for folder in reversed(wanted.parents):
            if not folder.stat().st_mode & 0o001:
                closed.setdefault(folder, set()).add(wanted)
                break
    commands = []
    for number, (folder, behind) in enumerate(closed.items()):
        for place in behind:
            stash = f"{home}/stash{number}-{place.name}"
            commands += [f"mkdir -p {stash}", f"mount --bind {place} {stash}"]
        commands.append(f"mount -t tmpfs -o mode=755 tmpfs {folder}")
        for place in behind:
            stash = f"{home}/stash{number}-{place.name}"
            commands += [f"mkdir -p {place}", f"mount --bind {stash} {place}"]
    return commands


def as_user(home: Path, argv: list[str]) -> list[str]:
    binds = []
    for name, text in FILES.items():
        (home / name).write_text(text)
        binds.append(f"mount --bind {home / name} /etc/{name}")
    binds += open_ways(home)
    user = f"setpriv --reuid {USER_ID} --regid {USER_ID} --clear-groups"
    script = " && ".join([*binds, f'exec {user} "$@"'])
    return proc.in_private_namespace(["sh", "-c", script, "sh", *argv])


@pytest.mark.skipif(os.geteuid() != 0, reason="the suite itself runs rootless when it is not run by root")
@pytest.mark.parametrize(
    ("cases", "passed_min"),
    [
        pytest.param("same or step_result or whiteout or capability or closed or kill_9", 8, id="main"),
        pytest.param("", 30, id="all", marks=pytest.mark.long),
    ],
)
def test_user_without_root_passes_the_suite_and_gets_the_bytes_of_root(
    home: Path, cases: str, passed_min: int
) -> None:
    missing = [name for name in FILES if not Path("/etc", name).is_file()]
    missing += [name for name in ("newuidmap", "setpriv", "bwrap") if proc.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not on this host")
    probe = as_user(home, ["unshare", "--user", "--map-root-user", "--map-auto", "--mount", "true"])
    refused = proc.run(probe, timeout_seconds=60, check=False)
    if refused.returncode:
        pytest.skip(f"no user namespaces for users: {refused.error_text.strip()}")
    environment = {**os.environ, "HOME": str(home / "home"), "TMPDIR": str(home / "home")}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "GOLDSMITH_TEST_WRITE": str(home / "expected")}
    pytest_argv = [sys.executable, "-m", "pytest", "-q", "-rs", str(SUITE), "-k"]
    same = "root-overlay-bubblewrap and (same_step or same_layers)"
    by_root = subprocess.run(
        [*pytest_argv, same],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert re.search(r"\b2 passed", by_root.stdout), by_root.stdout
    names = ("GOLDSMITH_TEST_LAYER_DIGEST", "GOLDSMITH_TEST_DISK_SHA256")
    values = {name: (home / f"expected.{name}").read_text() for name in names}
    del environment["GOLDSMITH_TEST_WRITE"]
    by_user = proc.run(
        as_user(
            home,
            [*pytest_argv, f"user-overlay-bubblewrap and ({cases})" if cases else "user-overlay-bubblewrap"],
        ),
        timeout_seconds=SECONDS_MAX,
        env=environment | values,
        cwd=SUITE.parents[2],
        check=False,
    )
    assert by_user.returncode == 0, by_user.text[-4000:]
    passed = re.search(r"\b(\d+) passed", by_user.text)
    assert passed is not None, by_user.text[-4000:]
    assert int(passed[1]) >= passed_min, by_user.text[-4000:]
