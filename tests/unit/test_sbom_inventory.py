"""What is found in a root."""

import os
from pathlib import Path

import pytest

from goldsmith.kernel.errors import CorruptError, InvalidInputError, UnsupportedError
from goldsmith.kernel.proc import run, which
from goldsmith.sbom.model import BootRole, FileState, Inventory, PackageChange, PackageVersion, SourceVersion
from goldsmith.sbom.service import describe_step, read_inventory, read_packages
from tests.cases.sbom.roots import Deb, make_root, put

TEN_MEGABYTES = bytes(range(256)) * 40960
COPYRIGHT = b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"


def inventory(root: Path) -> Inventory:
    return read_inventory(root, deb_hashes={})


def states(found: Inventory) -> dict[str, FileState]:
    return {file.path: file.state for file in found.files}


def test_package_has_its_fields_and_its_hash(tmp_path: Path) -> None:
    fields = {
        "Source": "glibc (2.36-9)",
        "Section": "libs",
        "Installed-Size": "12988",
        "Pre-Depends": "dpkg (>= 1.15)",
        "Depends": "libgcc-s1, libcrypt1 (>= 1:4.4.10-10~) | libxcrypt:any",
        "Provides": "libc6-virtual (= 2.36), other",
        "Built-Using": "linux (= 6.1.176-1), gcc-12 (= 12.2.0-14)",
        "Homepage": "https://example.org",
    }
    make_root(tmp_path, [Deb(name="libc6", version="2.36-9+deb12u1", fields=fields, multi_arch=True)])
    found = read_inventory(tmp_path, deb_hashes={("libc6", "2.36-9+deb12u1", "amd64"): "a" * 64})
    (package,) = found.packages
    assert (package.name, package.version, package.architecture) == ("libc6", "2.36-9+deb12u1", "amd64")
    assert (package.source, package.source_version) == ("glibc", "2.36-9")
    assert package.depends == (("dpkg",), ("libgcc-s1",), ("libcrypt1", "libxcrypt"))
    assert package.provides == ("libc6-virtual", "other")
    assert package.built_using == (
        SourceVersion(name="gcc-12", version="12.2.0-14"),
        SourceVersion(name="linux", version="6.1.176-1"),
    )
    assert (package.section, package.installed_size_kib) == ("libs", 12988)
    assert (package.summary, package.homepage) == ("a package", "https://example.org")
    assert package.deb_sha256 == "a" * 64
    assert found.distribution.id == "debian"
    assert found.distribution.version_id == "12"


def test_source_is_the_package_itself_when_not_named(tmp_path: Path) -> None:
    make_root(tmp_path, [Deb(name="bash", version="1"), Deb(name="perl", fields={"Source": "perl-src"})])
    bash, perl = inventory(tmp_path).packages
    assert (bash.source, bash.source_version) == ("bash", "1")
    assert (perl.source, perl.source_version) == ("perl-src", "1.0-1")


@pytest.mark.parametrize(
    ("status", "listed"),
    [
        ("install ok installed", True),
        ("hold ok installed", True),
        ("install ok unpacked", True),
        ("install ok half-configured", True),
        ("install ok triggers-pending", True),
        ("deinstall ok config-files", False),
        ("purge ok not-installed", False),
    ],
)
def test_only_packages_on_disk_are_listed(tmp_path: Path, status: str, listed: bool) -> None:
    make_root(tmp_path, [Deb(name="base"), Deb(name="other", status=status)])
    assert [package.name for package in inventory(tmp_path).packages] == ["base", *["other"] * listed]


def test_pristine_files_are_not_listed_and_others_are(tmp_path: Path) -> None:
    deb = Deb(
        name="tool",
        files={"bin/tool": b"as shipped", "usr/bin/tool2": b"as shipped", "usr/lib/large.so": TEN_MEGABYTES},
        conffiles={"etc/tool.conf": b"as shipped", "etc/with space.conf": b"as shipped"},
    )
    root = make_root(tmp_path, [deb])
    put(root, "usr/bin/tool2", b"as changed")
    put(root, "etc/tool.conf", b"as changed")
    put(root, "opt/agent", b"not of a package")
    found = inventory(root)
    assert states(found) == {
        "etc/tool.conf": FileState.MODIFIED,
        "opt/agent": FileState.UNOWNED,
        "usr/bin/tool2": FileState.MODIFIED,
        "usr/lib/os-release": FileState.UNOWNED,
    }
    assert (found.coverage.pristine, found.coverage.modified, found.coverage.unowned) == (3, 2, 2)
    agent = found.files[1]
    # printf 'not of a package' | sha1sum
    assert agent.sha1 == "780add6362c93141bc7e5529a42949ef18a2e8c5"
    assert agent.size_bytes == 16


def test_change_inside_a_large_file_is_found_though_size_and_time_are_equal(tmp_path: Path) -> None:
    root = make_root(tmp_path, [Deb(name="tool", files={"usr/lib/large.so": TEN_MEGABYTES})])
    path = root / "usr/lib/large.so"
    before = path.stat()
    changed = bytearray(TEN_MEGABYTES)
    changed[-1] ^= 1
    path.write_bytes(changed)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert states(inventory(root))["usr/lib/large.so"] is FileState.MODIFIED


def test_file_its_package_has_no_digest_of_is_unverifiable(tmp_path: Path) -> None:
    root = make_root(tmp_path, [Deb(name="tool", files={"usr/bin/tool": b"x"})])
    (root / "var/lib/dpkg/info/tool.md5sums").unlink()
    (file,) = [file for file in inventory(root).files if file.path == "usr/bin/tool"]
    assert (file.state, file.package) == (FileState.UNVERIFIABLE, "tool")


def test_missing_files_are_counted_but_deleted_configuration_is_not(tmp_path: Path) -> None:
    files = {"usr/bin/tool": b"x", "usr/share/man/tool.1": b"x"}
    root = make_root(tmp_path, [Deb(name="tool", files=files, conffiles={"etc/tool.conf": b"x"})])
    (root / "usr/bin/tool").unlink()
    (root / "etc/tool.conf").unlink()
    assert inventory(root).coverage.missing == 1
    # Manuals may be left out as a whole (dpkg's path-exclude), with their directories.
    (root / "usr/share/man/tool.1").unlink()
    (root / "usr/share/man").rmdir()
    assert inventory(root).coverage.missing == 2


def test_diverted_file_is_looked_for_where_it_was_moved(tmp_path: Path) -> None:
    root = make_root(tmp_path, [Deb(name="bash", files={"usr/bin/sh": b"bash"}), Deb(name="dash")])
    (root / "usr/bin/sh").rename(root / "usr/bin/sh.distrib")
    put(root, "usr/bin/sh", b"dash")
    put(root, "var/lib/dpkg/info/dash.md5sums", b"b999a7c3bcc5535b4c8e277e18b7b6e1  usr/bin/sh\n")
    put(root, "var/lib/dpkg/diversions", b"/usr/bin/sh\n/usr/bin/sh.distrib\ndash\n")
    assert inventory(root).coverage.pristine == 2
    put(root, "usr/bin/sh.distrib", b"changed")
    assert states(inventory(root))["usr/bin/sh.distrib"] is FileState.MODIFIED


def test_compiled_python_counts_as_generated_while_its_source_is_pristine(tmp_path: Path) -> None:
    files = {"usr/lib/python3/good.py": b"a = 1", "usr/lib/python3/bad.py": b"a = 1"}
    root = make_root(tmp_path, [Deb(name="python3-x", files=files)])
    for name in ("good", "bad", "alone"):
        put(root, f"usr/lib/python3/__pycache__/{name}.cpython-311.pyc", b"compiled")
    put(root, "usr/lib/python3/bad.py", b"a = 2")
    put(root, "var/lib/apt/lists/x", b"list")
    put(root, "var/cache/apt/pkgcache.bin", b"cache")
    put(root, "var/cache/hidden", b"not a cache of the package manager")
    assert sorted(states(inventory(root)).keys() - {"usr/lib/os-release"}) == [
        "usr/lib/python3/__pycache__/alone.cpython-311.pyc",
        "usr/lib/python3/__pycache__/bad.cpython-311.pyc",
        "usr/lib/python3/bad.py",
        "var/cache/hidden",
    ]


def test_boot_files_have_their_digests_even_when_pristine(tmp_path: Path) -> None:
    deb = Deb(name="linux-image", files={"boot/vmlinuz-6.1": b"kernel"})
    root = make_root(tmp_path, [deb])
    put(root, "boot/initrd.img-6.1", b"initrd")
    found = read_inventory(root, deb_hashes={}, with_files=False)
    initrd, kernel = found.boot_files
    assert (kernel.role, kernel.state, kernel.package) == (BootRole.KERNEL, FileState.PRISTINE, "linux-image")
    assert kernel.release == "6.1"
    # printf kernel | sha256sum
    assert kernel.sha256 == "6923dd1bc0460082c5d55a831908c24a282860b7f1cd6c2b79cf1bc8857c639c"
    assert (initrd.role, initrd.state, initrd.package) == (BootRole.INITRD, FileState.UNOWNED, "")


def test_links_never_lead_out_of_the_root(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    put(outside, "secret/copyright", b"secret")
    put(outside, "vmlinuz-1", b"secret")
    root = make_root(tmp_path / "root", [Deb(name="tool"), Deb(name="loop"), Deb(name="inside")])
    documents = root / "usr/share/doc"
    documents.mkdir(parents=True)
    (documents / "tool").symlink_to(outside / "secret")
    (documents / "loop").symlink_to("loop")
    put(root, "usr/share/common/copyright", COPYRIGHT + b"Files: *\nLicense: Expat\n")
    # Absolute, and climbing above the root: both mean the root's own directory.
    (documents / "inside").symlink_to("/../../usr/share/common")
    (root / "boot").rmdir()
    (root / "boot").symlink_to(outside)
    for with_files in (True, False):
        found = read_inventory(root, deb_hashes={}, with_files=with_files)
        assert {package.name: package.licence for package in found.packages} == {
            "inside": "MIT",
            "loop": None,
            "tool": None,
        }
        assert not found.boot_files
    assert not [file for file in inventory(root).files if "secret" in file.path]


def test_fifo_in_the_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    root = make_root(tmp_path, [Deb(name="tool")])
    (root / "usr/share/doc/tool").mkdir(parents=True)
    os.mkfifo(root / "usr/share/doc/tool/copyright")
    os.mkfifo(root / "etc/fifo")
    assert inventory(root).packages[0].licence is None


def test_file_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    root = make_root(tmp_path, [Deb(name="tool")])
    Path(os.fsdecode(os.fsencode(root) + b"/etc/\xff.conf")).write_bytes(b"x")
    assert os.fsdecode(b"etc/\xff.conf") in states(inventory(root))


def test_language_packages_are_listed_only_when_no_deb_owns_them(tmp_path: Path) -> None:
    owned = "usr/lib/python3/dist-packages/owned-1.0.dist-info/METADATA"
    root = make_root(tmp_path, [Deb(name="python3-owned", files={owned: b"Name: owned\nVersion: 1.0\n"})])
    metadata = b"Metadata-Version: 2.1\nName: Foo.Bar\nVersion: 2.0\nLicense: MIT\nAuthor: A B\n\nName: no\n"
    put(root, "opt/venv/lib/foo-2.0.dist-info/METADATA", metadata)
    put(root, "opt/app/node_modules/@scope/pkg/package.json", b'{"name": "@scope/pkg", "version": "3.1.0"}')
    put(root, "opt/app/node_modules/pkg/dist/package.json", b'{"name": "inner", "version": "1"}')
    put(root, "opt/app/node_modules/broken/package.json", b"{")
    put(root, "opt/app/node_modules/nameless/package.json", b'{"type": "module"}')
    found = inventory(root).language_packages
    assert [(package.ecosystem.value, package.name, package.version) for package in found] == [
        ("npm", "@scope/pkg", "3.1.0"),
        ("pypi", "Foo.Bar", "2.0"),
    ]
    assert (found[1].supplier, found[1].licence) == ("A B", "MIT")


def test_distroless_status_directory_is_read(tmp_path: Path) -> None:
    root = make_root(tmp_path, [])
    (root / "var/lib/dpkg/status").unlink()
    put(root, "var/lib/dpkg/status.d/base", b"Package: base\nVersion: 1\nArchitecture: all\n")
    put(root, "var/lib/dpkg/status.d/base.md5sums", b"9dd4e461268c8034f5c8564e155c67a6  etc/x\n")
    put(root, "etc/x", b"x")
    found = inventory(root)
    assert [package.name for package in found.packages] == ["base"]
    assert "etc/x" not in states(found)


def test_copyright_texts_are_kept_for_licences_spdx_has_no_name_for(tmp_path: Path) -> None:
    text = COPYRIGHT + (
        b"Files: *\nLicense: Expat or Home\n\nFiles: debian/*\nLicense: GPL-2+\n on the same conditions\n\n"
        b"License: Home\n Do as\n .\n you like.\n\nLicense: Unused\n never referred to\n"
    )
    root = make_root(tmp_path, [Deb(name="a"), Deb(name="b"), Deb(name="c")])
    put(root, "usr/share/doc/a/copyright", text)
    put(root, "usr/share/doc/b/copyright", b"Written by hand.\nAll rights reversed.\n")
    found = inventory(root)
    home, hand = sorted(found.extracted_licences, key=lambda licence: licence.name != "Home")
    assert home.text == "Do as\n\nyou like."
    assert hand.text == "Written by hand.\nAll rights reversed."
    assert [package.licence for package in found.packages] == [
        f"GPL-2.0-or-later AND ({home.id} OR MIT)",
        hand.id,
        None,
    ]


def test_other_package_managers_are_unsupported(tmp_path: Path) -> None:
    root = make_root(tmp_path, [])
    (root / "var/lib/dpkg/status").unlink()
    put(root, "var/lib/rpm/rpmdb.sqlite", b"SQLite format 3")
    with pytest.raises(UnsupportedError, match="managed by rpm"):
        inventory(root)


def test_root_without_a_package_database_is_an_error(tmp_path: Path) -> None:
    root = make_root(tmp_path, [])
    (root / "var/lib/dpkg/status").unlink()
    with pytest.raises(CorruptError, match="no package database"):
        inventory(root)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"Package: a\nStatus: deinstall ok config-files\n"])
def test_empty_package_database_is_an_error(tmp_path: Path, content: bytes) -> None:
    root = make_root(tmp_path, [])
    put(root, "var/lib/dpkg/status", content)
    with pytest.raises(CorruptError, match="no installed package"):
        inventory(root)


def test_package_cut_out_of_the_database_is_an_error(tmp_path: Path) -> None:
    root = make_root(tmp_path, [Deb(name="tool")])
    put(root, "var/lib/dpkg/info/backdoor.list", b"/usr/bin/backdoor\n")
    with pytest.raises(CorruptError, match="backdoor"):
        inventory(root)


@pytest.mark.parametrize("missing", ["Version", "Architecture"])
def test_stanza_without_a_needed_field_is_an_error(tmp_path: Path, missing: str) -> None:
    root = make_root(tmp_path, [Deb(name="tool", fields={missing: ""})])
    with pytest.raises(CorruptError, match=f"'tool' has no {missing}"):
        inventory(root)


def test_package_at_two_versions_is_an_error(tmp_path: Path) -> None:
    root = make_root(tmp_path, [Deb(name="tool", version="1"), Deb(name="tool", version="2")])
    with pytest.raises(CorruptError, match="expected one version"):
        inventory(root)


@pytest.mark.parametrize("content", [None, "NAME=Debian\n", "ID=debian\n"])
def test_root_that_does_not_say_what_it_is_is_an_error(tmp_path: Path, content: str | None) -> None:
    root = make_root(tmp_path, [Deb(name="tool")], os_release=content)
    with pytest.raises(CorruptError, match="names no distribution"):
        inventory(root)


def test_root_that_is_no_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        inventory(tmp_path / "absent")


def test_step_is_told_from_the_packages_before_and_after(tmp_path: Path) -> None:
    before = make_root(tmp_path / "a", [Deb(name="gone"), Deb(name="kept"), Deb(name="new", version="1")])
    after = make_root(tmp_path / "b", [Deb(name="kept"), Deb(name="new", version="2"), Deb(name="zsh")])
    step = describe_step(
        read_packages(before), read_packages(after), index=2, name="tools", digest="sha256:x", files_added=4
    )
    assert step.packages_added == (PackageVersion(name="zsh", version="1.0-1", architecture="amd64"),)
    assert step.packages_removed == (PackageVersion(name="gone", version="1.0-1", architecture="amd64"),)
    assert step.packages_changed == (PackageChange(name="new", architecture="amd64", before="1", after="2"),)
    assert (step.index, step.name, step.files_added) == (2, "tools", 4)


def test_packages_of_the_running_host_are_those_dpkg_query_lists() -> None:
    if which("dpkg-query") is None or not Path("/var/lib/dpkg/status").exists():
        pytest.skip("this host is not managed by dpkg")
    form = (
        "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n"
    )
    lines = run(["dpkg-query", "-W", "-f", form], timeout_seconds=120).text.splitlines()
    truth = [tuple(line.split("\t")) for line in lines]
    expected = sorted(row[1:] for row in truth if row[0] not in ("config-files", "not-installed"))
    found = read_inventory(Path("/"), deb_hashes={}, with_files=False)
    assert expected == sorted(
        (package.name, package.version, package.architecture, package.source, package.source_version)
        for package in found.packages
    )
    assert not found.coverage.walked
