"""Disks made of trees by the real tools, looked at with tools that are not ours."""

import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from goldsmith.disk.assemble import AssemblyPlan, assemble, plan_assembly
from goldsmith.disk.formats import DiskFormat, inspect_disk, raw_to_qcow2, raw_to_vhd, to_raw
from goldsmith.disk.gpt import read_partitions
from goldsmith.disk.seal import seal, sparse_sha256
from goldsmith.kernel import proc
from goldsmith.kernel.cancel import CancelFlag
from goldsmith.kernel.digest import of_file
from goldsmith.kernel.errors import CanceledError, InvalidInputError

EPOCH = 1764000000
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
NAMES = ["zeta", "alpha", "Mu", "beta-1", "beta.2", "_x", "ü"]


def make_tree(root: Path, *, names: list[str]) -> Path:
    """A small root whose names are made in the given order."""
    files = {
        "usr/lib/shim/shimx64.efi.signed": b"shim" * 500,
        "usr/lib/shim/mmx64.efi.signed": b"manager",
        "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed": b"grub\0/EFI/vendor\0rest",
        **{f"srv/{name}": name.encode() * 3000 for name in names},
        **{f"srv/{name}.d/inner": b"x" for name in names},
    }
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    (root / "srv/link").symlink_to("alpha")
    os.link(root / "srv/alpha", root / "srv/second-name")
    (root / "srv/holes").write_bytes(bytes(1 << 20) + b"end")
    if os.geteuid() == 0:
        os.chown(root / "srv/zeta", 33, 44)
        (root / "srv/zeta").chmod(0o4755)
        os.setxattr(
            root / "srv/Mu", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000")
        )
    for place in sorted(root.rglob("*"), reverse=True):
        os.utime(place, (EPOCH - 5, EPOCH - 5), follow_symlinks=False)
    root.chmod(0o755)
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("tree") / "root", names=NAMES)


@pytest.fixture(scope="module")
def plan() -> AssemblyPlan:
    return plan_assembly("seed", content_bytes=8 << 20, size_bytes=256 << 20, epoch=EPOCH)


@pytest.fixture(scope="module")
def disk(tree: Path, plan: AssemblyPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("disk") / "disk.raw"
    assemble(tree, out, plan)
    return out


def debugfs(disk: Path, plan: AssemblyPlan, command: str) -> str:
    return proc.run(["debugfs", "-R", command, f"{disk}?offset={plan.root.offset}"], timeout_seconds=60).text


def test_other_names_order_and_file_system_give_the_same_disk(
    disk: Path, plan: AssemblyPlan, tmp_path: Path
) -> None:
    memory = Path("/dev/shm")
    place = memory / f"goldsmith-test-{os.getpid()}" if os.access(memory, os.W_OK) else tmp_path / "other"
    try:
        other = make_tree(place, names=NAMES[::-1])
        assemble(other, tmp_path / "again.raw", plan)
    finally:
        shutil.rmtree(place)
    assert of_file(tmp_path / "again.raw") == of_file(disk)


@pytest.mark.skipif(not FAKETIME.exists() or os.geteuid() != 0, reason="needs libfaketime, and root to bind")
def test_other_day_and_time_zone_give_the_same_disk(disk: Path, tree: Path, tmp_path: Path) -> None:
    # Our runner gives the tools a clean environment; so they are wrapped to live 400 days later.
    program = (
        "import sys; from pathlib import Path; from goldsmith.disk.assemble import assemble, plan_assembly\n"
        f"plan = plan_assembly('seed', content_bytes=8 << 20, size_bytes=256 << 20, epoch={EPOCH})\n"
        "assemble(Path(sys.argv[1]), Path(sys.argv[2]), plan)"
    )
    later, real = tmp_path / "later", tmp_path / "real"
    real.mkdir()
    faked = f"LD_PRELOAD={FAKETIME} NO_FAKE_STAT=1 FAKETIME=+400d"
    later.write_text(f'#!/bin/sh\necho ran >> {tmp_path}/ran\n{faked} exec {real}/"${{0##*/}}" "$@"\n')
    later.chmod(0o755)
    commands = []
    for name in ("mke2fs", "mkfs.vfat", "mmd", "mcopy"):
        place = proc.which(name)
        assert place is not None
        shutil.copy(place, real / name)
        commands.append(f"mount --bind {later} {place.resolve()}")
    words = ["env", "TZ=Asia/Tokyo", sys.executable, "-c", program, str(tree), str(tmp_path / "later.raw")]
    script = " && ".join([*dict.fromkeys(commands), 'exec "$@"'])
    proc.run(proc.in_private_namespace(["sh", "-c", script, "sh", *words]), timeout_seconds=300)
    assert len((tmp_path / "ran").read_text().split()) > 4
    assert of_file(tmp_path / "later.raw") == of_file(disk)


def test_another_seed_gives_other_ids(plan: AssemblyPlan) -> None:
    other = plan_assembly("other", content_bytes=8 << 20, size_bytes=256 << 20, epoch=EPOCH)
    ids = {plan.disk_id, plan.esp_part_id, plan.root_part_id, plan.root_fs_id, plan.hash_seed}
    assert len(ids) == 5
    assert not ids & {other.disk_id, other.esp_part_id, other.root_part_id, other.root_fs_id, other.hash_seed}


def test_file_system_is_whole(disk: Path, plan: AssemblyPlan) -> None:
    result = proc.run(["e2fsck", "-fn", f"{disk}?offset={plan.root.offset}"], timeout_seconds=60, check=False)
    assert result.returncode == 0, result.text
    assert "checksum" not in result.text


def test_partition_table_is_whole_to_another_reader(disk: Path) -> None:
    if proc.which("sgdisk") is None:
        pytest.skip("sgdisk is not installed")
    assert "No problems found" in proc.run(["sgdisk", "-v", disk], timeout_seconds=60).text


def test_times_of_inodes_come_from_the_tree_alone(disk: Path, plan: AssemblyPlan) -> None:
    expected = {
        "<2>": EPOCH,
        "/lost+found": EPOCH,
        "/srv": EPOCH - 5,
        "/srv/zeta": EPOCH - 5,
        "/srv/link": EPOCH - 5,
    }
    for name, mtime in expected.items():
        shown = debugfs(disk, plan, f"stat {name}")
        for kind in ("ctime", "atime", "mtime", "crtime"):
            assert f"{kind}: 0x{mtime:08x}:00000000" in shown, (name, kind, shown)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_owner_mode_and_capability_are_in_the_file_system(disk: Path, plan: AssemblyPlan) -> None:
    shown = debugfs(disk, plan, "stat /srv/zeta")
    assert "Mode:  04755" in shown
    assert "User:    33   Group:    44" in shown
    assert "security.capability (20)" in debugfs(disk, plan, "ea_list /srv/Mu")


def test_boot_loaders_and_stubs_are_on_the_esp(disk: Path, plan: AssemblyPlan) -> None:
    target = f"{disk}@@{plan.esp.offset}"
    listed = set(proc.run(["mdir", "-/", "-b", "-i", target, "::"], timeout_seconds=60).text.split())
    boot = ["BOOT/", "BOOT/BOOTX64.EFI", "BOOT/grub.cfg", "BOOT/grubx64.efi", "BOOT/mmx64.efi"]
    others = ["debian/", "debian/grub.cfg", "vendor/", "vendor/grub.cfg"]
    assert listed == {"::/EFI/", *(f"::/EFI/{name}" for name in (*boot, *others))}
    stub = proc.run(["mtype", "-i", target, "::/EFI/vendor/grub.cfg"], timeout_seconds=60).text
    assert f"search.fs_uuid {plan.root_fs_id} root" in stub


def test_disk_is_sparse_and_as_large_as_planned(disk: Path, plan: AssemblyPlan) -> None:
    status = disk.stat()
    assert status.st_size == plan.size_bytes
    assert status.st_blocks * 512 < plan.size_bytes // 4
    assert [(item.number, item.name) for item in read_partitions(disk)] == [(1, "ESP"), (2, "root")]


def test_content_that_does_not_fit_is_refused_and_leaves_no_file(tree: Path, tmp_path: Path) -> None:
    plan = plan_assembly("seed", content_bytes=0, size_bytes=200 << 20, epoch=EPOCH)
    large = tmp_path / "root"
    shutil.copytree(tree, large, symlinks=True)
    (large / "large").write_bytes(os.urandom(1 << 20) * 130)
    with pytest.raises(InvalidInputError, match="does not fit"):
        assemble(large, tmp_path / "out" / "disk.raw", plan)
    assert list((tmp_path / "out").iterdir()) == []


def test_canceled_assembly_leaves_no_file(tree: Path, plan: AssemblyPlan, tmp_path: Path) -> None:
    cancel = CancelFlag()
    cancel.set("enough")
    with pytest.raises(CanceledError):
        assemble(tree, tmp_path / "out" / "disk.raw", plan, cancel=cancel)
    assert list((tmp_path / "out").iterdir()) == []


def test_sealed_disk_has_the_digest_of_its_bytes_and_is_read_only(disk: Path, tmp_path: Path) -> None:
    copy = tmp_path / "disk.raw"
    subprocess.run(["cp", "--sparse=always", disk, copy], check=True)
    sealed = seal(copy)
    assert sealed.digest == of_file(disk)
    assert sealed.size_bytes == disk.stat().st_size
    assert copy.stat().st_mode & 0o222 == 0


@pytest.mark.parametrize("compressed", [False, True])
def test_qcow2_is_the_same_disk_and_the_same_file_each_time(
    disk: Path, tmp_path: Path, compressed: bool
) -> None:
    made = [tmp_path / "one.img", tmp_path / "two.img"]
    for out in made:
        raw_to_qcow2(disk, out, compressed=compressed)
    assert of_file(made[0]) == of_file(made[1])
    info = inspect_disk(made[0])
    assert (info.format, info.virtual_size_bytes) == (DiskFormat.QCOW2, disk.stat().st_size)
    to_raw(made[0], tmp_path / "back.raw")
    assert sparse_sha256(tmp_path / "back.raw") == sparse_sha256(disk)


def test_vhd_is_the_same_disk_to_another_reader(disk: Path, tmp_path: Path) -> None:
    out = tmp_path / "disk.img"
    raw_to_vhd(disk, out, epoch=EPOCH, id_=uuid.UUID(int=7))
    assert inspect_disk(out).format is DiskFormat.VHD
    assert out.stat().st_size == disk.stat().st_size + 512
    words = ["qemu-img", "compare", "-f", "raw", "-F", "vpc", str(disk), str(out)]
    assert "identical" in proc.run(words, timeout_seconds=60).text
    to_raw(out, tmp_path / "back.raw")
    assert of_file(tmp_path / "back.raw") == of_file(disk)


def test_dynamic_vhd_is_read(disk: Path, tmp_path: Path) -> None:
    out = tmp_path / "a,b.vhd"
    words = ["qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", str(disk), str(out)]
    proc.run(words, timeout_seconds=60)
    assert to_raw(out, tmp_path / "back.raw").format is DiskFormat.VHD_DYNAMIC
    assert of_file(tmp_path / "back.raw") == of_file(disk)
