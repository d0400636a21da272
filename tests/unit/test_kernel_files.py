"""Files that are whole or absent, and locks that end with their process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from goldsmith.kernel import digest
from goldsmith.kernel.errors import ConflictError, NoSpaceError
from goldsmith.kernel.files import FileLock, remove_tree, write_atomic
from goldsmith.kernel.json import canonical
from goldsmith.kernel.proc import in_private_namespace, run


def test_a_written_file_replaces_the_old_and_leaves_no_other(tmp_path: Path) -> None:
    target = tmp_path / "a" / "file"
    write_atomic(target, b"one")
    write_atomic(target, b"two", mode=0o600)
    assert target.read_bytes() == b"two"
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_said_and_keeps_the_old_file(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from goldsmith.kernel.files import write_atomic\n"
        "from goldsmith.kernel.errors import NoSpaceError\n"
        f"target = Path({str(tmp_path)!r}) / 'file'\n"
        "write_atomic(target, b'old')\n"
        "try: write_atomic(target, bytes(1 << 20))\n"
        "except NoSpaceError as error:\n"
        "    print(error.hint, target.read_bytes(), len(list(target.parent.iterdir())))"
    )
    shell = f'mount -t tmpfs -o size=64k none {tmp_path} && exec {sys.executable} -c "$0"'
    argv = in_private_namespace(["sh", "-c", shell, script])
    assert "free some room" in (out := run(argv, timeout_seconds=60).text)
    assert out.rstrip().endswith("b'old' 1")
    assert NoSpaceError.code == "InsufficientStorage"


def test_a_lock_is_held_by_one_process_and_freed_by_its_death(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = (
        "import sys; from pathlib import Path; from goldsmith.kernel.files import FileLock\n"
        "print(FileLock(Path(sys.argv[1])).try_acquire(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        lock = FileLock(path)
        assert not lock.try_acquire()
        assert lock.owner() == other.pid
        with pytest.raises(ConflictError, match=str(other.pid)):
            lock.acquire()
        other.kill()
    assert lock.try_acquire()
    lock.release()
    assert lock.try_acquire()


def test_a_tree_is_removed_and_an_absent_one_is_fine(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "file").touch()
    (tree / "link").symlink_to("/")
    remove_tree(tree)
    remove_tree(tree)
    assert list(tmp_path.iterdir()) == []


def test_equal_values_have_equal_digests() -> None:
    assert canonical({"b": 1, "a": [True, None]}) == b'{"a":[true,null],"b":1}'
    assert digest.of_value({"b": 1, "a": 2}) == digest.of_value({"a": 2, "b": 1})


def test_a_file_and_its_bytes_have_one_digest(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    expected = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest.of_file(tmp_path / "f") == digest.of_bytes(b"abc") == expected
