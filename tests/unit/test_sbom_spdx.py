"""The SPDX document of an inventory, and what is said of two of them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from goldsmith.kernel.errors import CorruptError, InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.sbom.__main__ import main
from goldsmith.sbom.check import problems, require_valid
from goldsmith.sbom.diff import compare
from goldsmith.sbom.index import rows
from goldsmith.sbom.model import Inventory, Step
from goldsmith.sbom.service import describe_step, read_inventory, read_packages
from goldsmith.sbom.spdx import STEP_PREFIX, to_bytes, to_spdx
from goldsmith.sbom.wire import (
    deb_hashes_from_json,
    deb_hashes_to_json,
    steps_from_json,
    steps_to_json,
    subject_from_json,
    subject_to_json,
)
from tests.cases.sbom.roots import SUBJECT, Deb, make_root, put

LIBC = {"Source": "glibc (2.36-9)", "Section": "libs"}
DEBS = (
    Deb(
        name="libc6",
        version="2.36-9+deb12u1",
        fields=LIBC,
        files={"usr/lib/libc.so.6": b"libc"},
        multi_arch=True,
    ),
    Deb(name="libc6", version="2.36-9+deb12u1", architecture="i386", fields=LIBC, multi_arch=True),
    Deb(name="libstdc++6", version="12.2.0-14", fields={"Depends": "libc6 (>= 2.36), absent | libc6"}),
    Deb(
        name="tool",
        version="1:2.0+dfsg-1",
        architecture="all",
        fields={"Depends": "c-runtime | libc6:any", "Built-Using": "linux (= 6.1-1)"},
    ),
    Deb(name="musl", fields={"Provides": "c-runtime"}),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_root(tmp_path / "root", DEBS)
    put(root, "usr/share/doc/tool/copyright", b"Free text.")
    put(root, "usr/share/doc/musl/copyright", b"Format: x\n\nFiles: *\nLicense: Expat\n")
    put(root, "boot/vmlinuz-6.1", b"kernel")
    put(root, "opt/agent", b"agent")
    put(root, "opt/x/node_modules/left-pad/package.json", b'{"name": "left-pad", "version": "1.0.0"}')
    return root


@pytest.fixture
def inventory(root: Path) -> Inventory:
    return read_inventory(root, deb_hashes={("tool", "1:2.0+dfsg-1", "all"): "a" * 64})


@pytest.fixture
def step(root: Path) -> Step:
    return describe_step((), read_packages(root), index=1, name="install", digest="sha256:" + "3" * 64)


@pytest.fixture
def document(inventory: Inventory, step: Step) -> JsonObject:
    return to_spdx(inventory, SUBJECT, [step])


def package(document: JsonObject, id_: str) -> JsonObject:
    (found,) = [package for package in document["packages"] if package["SPDXID"] == id_]
    assert isinstance(found, dict)
    return found


def related(document: JsonObject, element: str, kind: str) -> list[str]:
    return [
        relationship["relatedSpdxElement"]
        for relationship in document["relationships"]
        if relationship["spdxElementId"] == element and relationship["relationshipType"] == kind
    ]


def official_schema() -> Any:
    lib4sbom = pytest.importorskip("lib4sbom", reason="lib4sbom brings the official SPDX schemas")
    path = Path(lib4sbom.__file__).parent / "schemas/spdx/2.3-schema.json"
    return fastjsonschema.compile(json.loads(path.read_text()))


def test_document_satisfies_the_official_schema(document: JsonObject) -> None:
    validate = official_schema()
    validate(document)
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        validate({**document, "SPDXID": None})


def test_document_has_the_ntia_minimum_elements(document: JsonObject) -> None:
    assert list(problems(document)) == []
    for package in document["packages"]:
        assert package["name"]
        assert package["versionInfo"]
    without_supplier = [p["name"] for p in document["packages"] if p["supplier"] == "NOASSERTION"]
    # npm does not require an author, and nothing is made up.
    assert without_supplier == ["left-pad"]


def test_same_input_gives_the_same_bytes(root: Path, inventory: Inventory, step: Step) -> None:
    again = read_inventory(root, deb_hashes={("tool", "1:2.0+dfsg-1", "all"): "a" * 64})
    assert to_bytes(to_spdx(again, SUBJECT, [step])) == to_bytes(to_spdx(inventory, SUBJECT, [step]))


def test_namespace_is_another_when_the_content_is(inventory: Inventory, document: JsonObject) -> None:
    other = to_spdx(inventory, replace(SUBJECT, disk_digest="sha256:" + "9" * 64), [])
    assert other["documentNamespace"] != document["documentNamespace"]
    assert "/golden/web%20server/1.2.3/" in other["documentNamespace"]


def test_root_package_is_the_image_version(document: JsonObject) -> None:
    assert related(document, "SPDXRef-DOCUMENT", "DESCRIBES") == ["SPDXRef-Image"]
    image = package(document, "SPDXRef-Image")
    assert image["primaryPackagePurpose"] == "OPERATING_SYSTEM"
    assert image["versionInfo"] == "1.2.3"
    assert image["checksums"] == [{"algorithm": "SHA256", "checksumValue": "1" * 64}]
    assert related(document, "SPDXRef-Image", "GENERATED_FROM") == ["SPDXRef-Base"]
    base = package(document, "SPDXRef-Base")
    assert (base["name"], base["versionInfo"]) == ("debian:debian-12:12-gen2", "0.20261101.1")
    assert base["checksums"] == [{"algorithm": "SHA256", "checksumValue": "2" * 64}]


def test_binary_package_names_its_source_and_hash(document: JsonObject) -> None:
    tool = package(document, "SPDXRef-deb-tool-all")
    assert tool["externalRefs"][0]["referenceLocator"] == (
        "pkg:deb/debian/tool@1:2.0%2Bdfsg-1?arch=all&distro=debian-12&upstream=tool%401:2.0%2Bdfsg-1"
    )
    assert tool["checksums"] == [{"algorithm": "SHA256", "checksumValue": "a" * 64}]
    assert tool["packageFileName"] == "tool_2.0+dfsg-1_all.deb"
    assert tool["supplier"] == "Organization: Debian Testers (testers@lists.example.org)"
    libc = package(document, "SPDXRef-deb-libc6-amd64")
    assert libc["externalRefs"][0]["referenceLocator"] == (
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=debian-12&upstream=glibc%402.36-9"
    )
    assert "checksums" not in libc


def test_package_urls_name_the_distribution_the_root_is_of(tmp_path: Path) -> None:
    os_release = 'NAME="Ubuntu"\nID=ubuntu\nVERSION_ID="24.04"\n'
    root = make_root(tmp_path / "ubuntu", [Deb(name="tool")], os_release=os_release)
    document = to_spdx(read_inventory(root, deb_hashes={}), replace(SUBJECT, publisher="A (B) C"), [])
    require_valid(document)
    reference = package(document, "SPDXRef-deb-tool-amd64")["externalRefs"][0]
    assert reference["referenceLocator"] == (
        "pkg:deb/ubuntu/tool@1.0-1?arch=amd64&distro=ubuntu-24.04&upstream=tool%401.0-1"
    )


def test_every_source_package_is_there_once(document: JsonObject) -> None:
    sources = [p for p in document["packages"] if p.get("primaryPackagePurpose") == "SOURCE"]
    names = sorted((source["name"], source["versionInfo"]) for source in sources)
    assert names == [
        ("glibc", "2.36-9"),
        ("libstdc++6", "12.2.0-14"),
        ("linux", "6.1-1"),
        ("musl", "1.0-1"),
        ("tool", "1:2.0+dfsg-1"),
    ]
    by_id = {source["SPDXID"]: source["name"] for source in sources}
    built_from = related(document, "SPDXRef-deb-tool-all", "GENERATED_FROM")
    assert sorted(by_id[id_] for id_ in built_from) == ["linux", "tool"]


def test_dependencies_are_those_installed(document: JsonObject) -> None:
    (standard_library,) = [
        entry["SPDXID"]
        for entry in document["packages"]
        if entry["name"] == "libstdc++6" and entry["primaryPackagePurpose"] != "SOURCE"
    ]
    assert related(document, standard_library, "DEPENDS_ON") == ["SPDXRef-deb-libc6-amd64"]
    assert related(document, "SPDXRef-deb-tool-all", "DEPENDS_ON") == [
        "SPDXRef-deb-libc6-amd64",
        "SPDXRef-deb-libc6-i386",
        "SPDXRef-deb-musl-amd64",
    ]


def test_files_belong_to_their_own_packages(document: JsonObject) -> None:
    names = {file["SPDXID"]: file["fileName"] for file in document["files"]}
    boot = [names[id_] for id_ in related(document, "SPDXRef-BootFiles", "CONTAINS")]
    others = [names[id_] for id_ in related(document, "SPDXRef-UnpackagedFiles", "CONTAINS")]
    assert boot == ["./boot/vmlinuz-6.1"]
    assert "./opt/agent" in others
    assert "./usr/lib/libc.so.6" not in names.values()
    # printf "$(printf kernel | sha1sum | cut -c-40)" | sha1sum
    code = package(document, "SPDXRef-BootFiles")["packageVerificationCode"]
    assert code == {"packageVerificationCodeValue": "d73dc0ee41f8b02bae277090e92abc1675af05ac"}


def test_steps_and_facts_are_annotations_of_the_image(document: JsonObject) -> None:
    comments = [entry["comment"] for entry in package(document, "SPDXRef-Image")["annotations"]]
    assert 'goldsmith.fact {"name":"releaseType","value":"standard"}' in comments
    assert 'goldsmith.fact {"name":"buildId","value":"b-7"}' in comments
    (text,) = [comment for comment in comments if comment.startswith(STEP_PREFIX)]
    step = json.loads(text.removeprefix(STEP_PREFIX))
    assert (step["index"], step["name"], len(step["packagesAdded"])) == (1, "install", len(DEBS))


def test_licence_references_have_their_texts(document: JsonObject) -> None:
    declared = package(document, "SPDXRef-deb-tool-all")["licenseDeclared"]
    (text,) = document["hasExtractedLicensingInfos"]
    assert (text["licenseId"], text["extractedText"]) == (declared, "Free text.")


def test_file_names_that_are_no_text_still_give_a_document(root: Path) -> None:
    (root / "etc/caf\udce9").write_bytes(b"x")
    document = to_spdx(read_inventory(root, deb_hashes={}), SUBJECT, [])
    require_valid(document)
    assert b"./etc/caf\\\\xe9" in to_bytes(document)


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ({"spdxVersion": "SPDX-2.2"}, "expected SPDX-2.3"),
        ({"documentNamespace": "https://x.example.org#a"}, "no URI"),
        ({"creationInfo": {"creators": ["Tool: x"], "created": "yesterday"}}, "no UTC instant"),
        ({"creationInfo": {"creators": ["me"], "created": "2026-11-26T04:00:00Z"}}, "not all Tool"),
        ({"relationships": []}, "has no relationship"),
        ({"hasExtractedLicensingInfos": []}, "whose text is not in the document"),
        ({"files": []}, "which does not exist"),
    ],
)
def test_broken_document_is_refused(document: JsonObject, broken: JsonObject, problem: str) -> None:
    assert any(problem in found for found in problems({**document, **broken}))
    with pytest.raises(CorruptError):
        require_valid({**document, **broken})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"versionInfo": ""}, "has no versionInfo"),
        ({"supplier": "Debian"}, "expected Organization or Person"),
        ({"SPDXID": "SPDXRef-deb_musl"}, "is no SPDX id"),
        ({"SPDXID": "SPDXRef-Image"}, "is the id of 2 elements"),
        ({"checksums": [{"algorithm": "SHA256", "checksumValue": "abc"}]}, "SHA256 checksum 'abc'"),
        ({"filesAnalyzed": True}, "verification code"),
    ],
)
def test_broken_package_is_named(document: JsonObject, change: JsonObject, problem: str) -> None:
    packages = [
        {**entry, **change} if entry["SPDXID"] == "SPDXRef-deb-musl-amd64" else entry
        for entry in document["packages"]
    ]
    assert any(problem in found for found in problems({**document, "packages": packages}))


def test_rows_are_the_packages_with_a_purl(document: JsonObject) -> None:
    found = rows(document)
    assert len(found) == len(DEBS) + 5 + 1
    (libc,) = [row for row in found if row.name == "libc6" and row.architecture == "i386"]
    assert (libc.source, libc.source_version, libc.is_source) == ("glibc", "2.36-9", False)
    (kernel,) = [row for row in found if row.name == "linux"]
    assert (kernel.source, kernel.is_source) == ("linux", True)
    (npm,) = [row for row in found if row.type == "npm"]
    assert (npm.name, npm.version, npm.sort_key) == ("left-pad", "1.0.0", b"")


def test_what_is_no_spdx_document_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        rows({"bomFormat": "CycloneDX"})


def test_difference_tells_packages_and_licences(tmp_path: Path) -> None:
    before = make_root(
        tmp_path / "a",
        [Deb(name="down", version="2"), Deb(name="gone"), Deb(name="same"), Deb(name="up", version="1.9")],
    )
    after = make_root(
        tmp_path / "b",
        [
            Deb(name="down", version="2~rc1"),
            Deb(name="new"),
            Deb(name="same"),
            Deb(name="up", version="1.10"),
        ],
    )
    put(before, "usr/share/doc/same/copyright", b"Format: x\n\nFiles: *\nLicense: GPL-2+\n")
    put(after, "usr/share/doc/same/copyright", b"Format: x\n\nFiles: *\nLicense: GPL-3+\n")
    one, other = (to_spdx(read_inventory(root, deb_hashes={}), SUBJECT, []) for root in (before, after))
    found = compare(one, other)
    assert [package.name for package in found.added] == ["new"]
    assert [package.name for package in found.removed] == ["gone"]
    assert [(change.name, change.before, change.after) for change in found.upgraded] == [
        ("up", "1.9", "1.10")
    ]
    assert [(change.name, change.after) for change in found.downgraded] == [("down", "2~rc1")]
    assert [(change.name, change.before, change.after) for change in found.licences] == [
        ("same", "GPL-2.0-or-later", "GPL-3.0-or-later")
    ]
    assert not found.is_empty
    assert compare(one, one).is_empty


def test_input_files_are_read_as_they_are_written(step: Step) -> None:
    assert subject_from_json(json.dumps(subject_to_json(SUBJECT))) == SUBJECT
    assert steps_from_json(json.dumps(steps_to_json((step,)))) == (step,)
    hashes = {("a", "1", "amd64"): "a" * 64}
    assert deb_hashes_from_json(json.dumps(deb_hashes_to_json(hashes))) == hashes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gallery": None}, "gallery is None"),
        ({"diskDigest": "abc"}, "'abc' is no digest"),
        ({"created": "soon"}, "not as expected"),
        ({"base": []}, "not as expected"),
    ],
)
def test_wrong_subject_is_refused(change: JsonObject, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        subject_from_json(json.dumps({**subject_to_json(SUBJECT), **change}))
    with pytest.raises(InvalidInputError, match="has no 'gallery'"):
        subject_from_json("{}")


def test_program_writes_the_document(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subject, output = tmp_path / "subject.json", tmp_path / "out.spdx.json"
    subject.write_text(json.dumps(subject_to_json(SUBJECT)))
    arguments = ["--root", str(root), "--subject", str(subject), "--output", str(output)]
    assert main(arguments) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["packages"], summary["bootFiles"], summary["languagePackages"]) == (len(DEBS), 1, 1)
    official_schema()(json.loads(output.read_bytes()))


def test_program_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subject, output = tmp_path / "subject.json", tmp_path / "out.spdx.json"
    subject.write_text(json.dumps(subject_to_json(SUBJECT)))
    root = make_root(tmp_path / "root", [])
    assert main(["--root", str(root), "--subject", str(subject), "--output", str(output)]) == 1
    assert capsys.readouterr().err.startswith("DataCorrupt: the package database")
    assert not output.exists()
