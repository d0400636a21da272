"""Decisions of the disk room, without files of their own or programs."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.disk import guest
from goldsmith.disk.assemble import GIB, MIB, boot_files, plan_assembly, plan_from_json, plan_to_json
from goldsmith.disk.ext4 import crc32c
from goldsmith.disk.extract import find_boot, order_candidates
from goldsmith.disk.filesystems import FileSystem, Volume, identify
from goldsmith.disk.formats import vhd_footer
from goldsmith.disk.gpt import TYPE_LINUX, TYPE_ROOT_X86_64, Partition
from goldsmith.disk.kernels import choose_kernel, compare_versions
from goldsmith.disk.tools import raise_if_full
from goldsmith.kernel.errors import InvalidInputError, NoSpaceError, NotFoundError, UnsupportedError

CASES = Path(__file__).parents[1] / "cases/disk"


def cases(name: str) -> list[Any]:
    found: list[Any] = yaml.safe_load((CASES / name).read_text())
    return found


@pytest.mark.parametrize("case", cases("kernels.yaml"), ids=lambda case: str(case["name"]))
def test_kernel_to_boot_is_chosen_as_told(case: Mapping[str, Any]) -> None:
    if case["chosen"] is None:
        with pytest.raises(NotFoundError):
            choose_kernel(case["boot"])
    else:
        assert choose_kernel(case["boot"]) == case["chosen"]


@pytest.mark.parametrize("case", cases("versions.yaml"), ids=str)
def test_versions_are_ordered_as_debian_orders_them(case: list[str]) -> None:
    older, newer = case
    assert compare_versions(older, newer) < 0
    assert compare_versions(newer, older) > 0
    assert compare_versions(newer, newer) == 0


@pytest.mark.parametrize("case", cases("apt.yaml"), ids=lambda case: str(case["name"]))
def test_settings_of_the_hosts_apt_are_passed_as_told(case: Mapping[str, Any]) -> None:
    text = guest.apt_configuration(case["host"], network_open=case["open"], ca_bundle=case["bundle"])
    for line in case["has"]:
        assert line in text.splitlines()
    for word in case["has_not"]:
        assert word not in text


@pytest.mark.parametrize("case", cases("filesystems.yaml"), ids=lambda case: str(case["kind"]))
def test_file_system_is_told_by_its_magic_number(case: Mapping[str, Any]) -> None:
    head = bytearray(0x10000 + 4096)
    magic = bytes.fromhex(case["magic"])
    head[case["at"] : case["at"] + len(magic)] = magic
    assert identify(bytes(head)) == FileSystem(case["kind"])


@pytest.mark.parametrize(
    ("content", "size"),
    [(0, 2 * GIB), (480 * MIB, 2 * GIB), (1300 * MIB, 3 * GIB), (10 * GIB, 12 * GIB)],
)
def test_disk_size_is_whole_gib_with_room_for_the_content(content: int, size: int) -> None:
    plan = plan_assembly("seed", content_bytes=content, epoch=0)
    assert plan.size_bytes == size
    assert plan.root.size_bytes > content
    assert plan.root.offset + plan.root.size_bytes == size - MIB


@pytest.mark.parametrize("size", [GIB + 512, 100 * MIB])
def test_disk_size_that_is_odd_or_too_small_is_refused(size: int) -> None:
    with pytest.raises(InvalidInputError) as caught:
        plan_assembly("seed", content_bytes=300 * MIB, size_bytes=size, epoch=0)
    assert caught.value.code == "InvalidDiskSize"


def test_unknown_architecture_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        plan_assembly("seed", content_bytes=0, epoch=0, architecture="s390x")


def test_ids_follow_from_the_seed_and_not_from_the_size() -> None:
    small = plan_assembly("seed", content_bytes=0, epoch=0)
    large = plan_assembly("seed", content_bytes=9 * GIB, epoch=0)
    assert boot_files("6.1", small) == boot_files("6.1", large)
    assert small.root_part_id == large.root_part_id


def test_plan_survives_its_way_as_json() -> None:
    plan = plan_assembly("seed", content_bytes=0, epoch=7, architecture="arm64")
    assert plan_from_json(plan_to_json(plan)) == plan


def test_boot_files_name_the_kernel_and_the_partitions() -> None:
    plan = plan_assembly("seed", content_bytes=0, epoch=0, kernel_arguments="quiet")
    files = {item.path: item.content for item in boot_files("6.1.0-9-cloud-amd64", plan)}
    assert files["boot/efi"] is None
    grub, table = files["boot/grub/grub.cfg"], files["etc/fstab"]
    assert isinstance(grub, bytes)
    assert isinstance(table, bytes)
    line = f"linux /boot/vmlinuz-6.1.0-9-cloud-amd64 root=PARTUUID={plan.root_part_id} ro quiet"
    assert line in grub.decode()
    assert [words.split()[:2] for words in table.decode().splitlines()] == [
        [f"PARTUUID={plan.root_part_id}", "/"],
        [f"PARTUUID={plan.esp_part_id}", "/boot/efi"],
    ]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (b"echo hi\n", ["/bin/sh", "-e", "/run/goldsmith/step"]),
        (b"#!/bin/bash\necho", ["/bin/bash", "/run/goldsmith/step"]),
        (b"#! /usr/bin/env -S python3 -I\n", ["/usr/bin/env", "-S python3 -I", "/run/goldsmith/step"]),
    ],
)
def test_script_is_run_by_its_interpreter_line(script: bytes, words: list[str]) -> None:
    assert guest.shell_line(script, ()) == words


def test_environment_is_clean_and_proxies_come_with_the_network() -> None:
    host = {"https_proxy": "http://proxy.example.org:3128", "HOME": "/home/me", "TOKEN": "secret"}
    closed = guest.step_environment({"A": "1"}, epoch=5, network_open=False, host=host)
    opened = guest.step_environment({"HOME": "/other"}, epoch=5, network_open=True, host=host)
    assert "https_proxy" not in closed
    assert (closed["HOME"], closed["A"], closed["SOURCE_DATE_EPOCH"]) == ("/root", "1", "5")
    assert opened["https_proxy"] == "http://proxy.example.org:3128"
    assert opened["HOME"] == "/other"
    assert "TOKEN" not in opened | closed


def test_directories_for_binds_are_open_to_every_user_of_the_guest() -> None:
    mounted = [guest.Mounted(source="/x", target="run/systemd/resolve/stub-resolv.conf", read_only=True)]
    argv = guest.bubblewrap_argv(Path("/root"), mounted, network_open=True, capabilities=["CAP_CHOWN"])
    text = " ".join(argv)
    assert "--perms 0755 --dir /run/systemd --perms 0755 --dir /run/systemd/resolve --ro-bind /x" in text
    assert "--unshare-net" not in argv
    assert "--unshare-net" in guest.bubblewrap_argv(Path("/r"), [], network_open=False, capabilities=[])


@pytest.mark.parametrize(
    ("text", "matters"),
    [
        ("127.0.0.1 localhost\n::1 ip6-localhost\n127.0.1.1 me\n", False),
        ("127.0.0.1 localhost\n192.0.2.7 mirror.example.org # ours\n", True),
        ("# 192.0.2.7 mirror.example.org\n\n", False),
    ],
)
def test_hosts_file_matters_when_it_names_others(text: str, matters: bool) -> None:
    assert guest.hosts_matter(text) is matters


def test_crc32c_is_the_known_one() -> None:
    # RFC 3720, B.4: the check value has its bits inverted at the end, ours has not.
    assert crc32c(0xFFFFFFFF, b"123456789") ^ 0xFFFFFFFF == 0xE3069283
    assert crc32c(0xFFFFFFFF, bytes(32)) ^ 0xFFFFFFFF == 0x8A9136AA


def test_vhd_footer_has_the_checksum_and_sizes_of_the_specification() -> None:
    footer = vhd_footer(2 * GIB, epoch=946684800 + 5, id_=uuid.UUID(int=9))
    assert len(footer) == 512
    checksum = int.from_bytes(footer[64:68], "big")
    assert ~(sum(footer) - sum(footer[64:68])) & 0xFFFFFFFF == checksum
    assert int.from_bytes(footer[24:28], "big") == 5
    assert int.from_bytes(footer[48:56], "big") == 2 * GIB
    assert int.from_bytes(footer[56:58], "big") == 4161  # cylinders of 16 heads and 63 sectors


@pytest.mark.parametrize("size", [0, 512, MIB + 512])
def test_vhd_of_odd_size_is_refused(size: int) -> None:
    with pytest.raises(InvalidInputError):
        vhd_footer(size, epoch=0, id_=uuid.UUID(int=0))


def volume(
    number: int, kind: FileSystem, *, size: int = 1, type_: uuid.UUID = TYPE_LINUX, id_: str = ""
) -> Volume:
    place = Partition(number=number, offset=0, size_bytes=size, type=type_, id=uuid.UUID(int=number))
    return Volume(partition=place, kind=kind, id=id_)


def test_root_is_looked_for_by_type_and_then_by_size() -> None:
    volumes = [
        volume(1, FileSystem.FAT, size=99),
        volume(2, FileSystem.EXT, size=5),
        volume(3, FileSystem.XFS, size=9),
        volume(4, FileSystem.BTRFS, size=1, type_=TYPE_ROOT_X86_64),
        volume(5, FileSystem.LVM, size=100),
    ]
    assert [item.partition.number for item in order_candidates(volumes)] == [4, 3, 2]


def test_disk_of_locked_volumes_is_refused_with_their_names() -> None:
    with pytest.raises(UnsupportedError, match="LUKS, LVM"):
        order_candidates([volume(1, FileSystem.FAT), volume(2, FileSystem.LVM), volume(3, FileSystem.LUKS)])


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("UUID=AB /boot ext4 defaults 0 2", 1),
        ("PARTUUID=00000000-0000-0000-0000-000000000002 /boot/ xfs", 2),
        ("UUID=ab /boot/efi vfat", None),
        ("#UUID=ab /boot ext4", None),
        ("/dev/sda1 /boot ext4", None),
        ("UUID=zz /boot ext4", None),
    ],
)
def test_boot_volume_is_the_one_that_fstab_names(tmp_path: Path, line: str, number: int | None) -> None:
    (tmp_path / "fstab").write_text(f"# table\n{line}\n")
    volumes = [volume(1, FileSystem.EXT, id_="ab"), volume(2, FileSystem.XFS, id_="cd")]
    found = find_boot(tmp_path / "fstab", volumes)
    assert (found.partition.number if found else None) == number


def test_programs_words_about_a_full_disk_are_understood() -> None:
    raise_if_full("all is well", Path("/x"))
    with pytest.raises(NoSpaceError):
        raise_if_full("cp: error writing 'x': No space left on device", Path("/x"))
