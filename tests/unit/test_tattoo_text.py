"""The tattoo and its text forms."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.tattoo.model import Tattoo
from goldsmith.tattoo.text import facts, files, from_facts, parse_text, quote, to_registry, to_text

QUOTING = yaml.safe_load((Path(__file__).parent.parent / "cases" / "tattoo" / "quoting.yaml").read_text())
SCHEDULED = Tattoo(
    source_publisher="Debian",
    source_offer="debian-12",
    source_sku="12-gen2",
    source_version="12.20261101.0",
    source_digest="sha256:" + "a" * 64,
    os_version="Debian GNU/Linux 12 (bookworm)",
    gallery="golden",
    image_definition="debian-12-hardened",
    image_version="1.4.0",
    template_name="debian-12-hardened",
    template_digest="sha256:" + "b" * 64,
    build_id="0c9f7f9e-4a54-4b57-9a58-2f6f6f0b3c11",
    publish_date=date(2026, 11, 26),
)
EMERGENCY = replace(
    SCHEDULED,
    out_of_band=True,
    cves=("CVE-2026-0001", "CVE-2026-123456"),
    patch_date=date(2026, 11, 25),
    image_version="1.4.1",
)
SCHEDULED_TEXT = f"""\
GOLDSMITH_SOURCE_PUBLISHER=Debian
GOLDSMITH_SOURCE_OFFER=debian-12
GOLDSMITH_SOURCE_SKU=12-gen2
GOLDSMITH_SOURCE_VERSION=12.20261101.0
GOLDSMITH_SOURCE_DIGEST=sha256:{"a" * 64}
GOLDSMITH_OS_VERSION="Debian GNU/Linux 12 (bookworm)"
GOLDSMITH_GALLERY=golden
GOLDSMITH_IMAGE_DEFINITION=debian-12-hardened
GOLDSMITH_IMAGE_VERSION=1.4.0
GOLDSMITH_TEMPLATE_NAME=debian-12-hardened
GOLDSMITH_TEMPLATE_DIGEST=sha256:{"b" * 64}
GOLDSMITH_BUILD_ID=0c9f7f9e-4a54-4b57-9a58-2f6f6f0b3c11
GOLDSMITH_PUBLISH_DATE=2026-11-26
GOLDSMITH_OUT_OF_BAND=false
GOLDSMITH_CVES=""
GOLDSMITH_PATCH_DATE=""
"""


@pytest.mark.parametrize("case", QUOTING, ids=[case["written"] for case in QUOTING])
def test_values_are_quoted_only_where_they_need_it(case: dict[str, str]) -> None:
    assert quote(case["value"]) == case["written"]
    assert parse_text(f"KEY={case['written']}\n") == {"KEY": case["value"]}


def test_text_has_one_fact_a_line_in_a_fixed_order() -> None:
    assert to_text(SCHEDULED) == SCHEDULED_TEXT


def test_emergency_release_tells_its_cves_and_the_patch_s_date() -> None:
    lines = to_text(EMERGENCY).splitlines()
    assert lines[-3:] == [
        "GOLDSMITH_OUT_OF_BAND=true",
        'GOLDSMITH_CVES="CVE-2026-0001 CVE-2026-123456"',
        "GOLDSMITH_PATCH_DATE=2026-11-25",
    ]


@pytest.mark.parametrize("tattoo", [SCHEDULED, EMERGENCY], ids=["scheduled", "emergency"])
def test_tattoo_is_read_back_as_it_was_written(tattoo: Tattoo) -> None:
    assert from_facts(parse_text(to_text(tattoo))) == tattoo


def test_facts_of_a_newer_writer_are_passed_over() -> None:
    assert from_facts({**facts(SCHEDULED), "GOLDSMITH_NEW": "x"}) == SCHEDULED


def test_comments_and_empty_lines_are_passed_over() -> None:
    assert parse_text("# a comment\n\nA=1\n") == {"A": "1"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cves": ("CVE-26-1",)}, "cves is 'CVE-26-1', expected a CVE id such as CVE-2026-12345"),
        ({"cves": ("CVE-2026-123",)}, "expected a CVE id"),
        ({"cves": ("CVE-2026-1234\n",)}, "expected a CVE id"),
        ({"cves": ("cve-2026-1234",)}, "expected a CVE id"),
        ({"cves": ("CVE-2026-1234", "CVE-2026-1234")}, "expected each CVE id once"),
        ({"cves": ()}, "lacks its CVE ids or its patch date"),
        ({"patch_date": None}, "lacks its CVE ids or its patch date"),
        ({"out_of_band": False}, "is not marked out-of-band"),
        ({"gallery": "a\nb"}, "gallery is 'a\\nb', expected printable characters on one line"),
        ({"gallery": "a\x00b"}, "expected printable characters on one line"),
        ({"gallery": "a\x1b[1m"}, "expected printable characters on one line"),
        ({"gallery": "a\u2028b"}, "expected printable characters on one line"),
        ({"gallery": "a\ud800"}, "expected printable characters on one line"),
        ({"gallery": "a" * 1025}, "expected at most 1024 characters"),
        ({"source_digest": "sha256:abc"}, "source_digest is 'sha256:abc', expected sha256: and 64"),
        ({"build_id": ""}, "build_id is '', expected some text"),
    ],
)
def test_malformed_fact_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        replace(EMERGENCY, **change)
    assert caught.value.code == "InvalidTattoo"
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1\nB\n", "on line 2 'B', expected KEY=value"),
        ("a=1\n", "on line 1 'a=1', expected KEY=value"),
        ("A =1\n", "on line 1 'A =1', expected KEY=value"),
        ("export A=1\n", "expected KEY=value"),
        ("A=1\nA=2\n", "has A again on line 2"),
        ("A=a b\n", "on line 1 the value 'a b', expected it bare or in double quotes"),
        ("A='x'\n", "expected it bare or in double quotes"),
        ('A="x\n', "expected it bare or in double quotes"),
        ('A="x" \n', "expected it bare or in double quotes"),
        ('A="$x"\n', "expected it bare or in double quotes"),
        ('A="\\n"\n', "expected it bare or in double quotes"),
        ('A="a\tb"\n', "expected it bare or in double quotes"),
        ("A=1\r\n", "expected it bare or in double quotes"),
        ("A=\n", "expected it bare or in double quotes"),
    ],
)
def test_text_of_another_form_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_text(text)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"GOLDSMITH_PUBLISH_DATE": "20261126"}, "expected a date such as 2026-11-26"),
        ({"GOLDSMITH_PUBLISH_DATE": "2026-02-30"}, "expected a date such as 2026-11-26"),
        ({"GOLDSMITH_OUT_OF_BAND": "yes"}, "has GOLDSMITH_OUT_OF_BAND 'yes', expected true or false"),
        ({"GOLDSMITH_CVES": "CVE-2026-1234,CVE-2026-1235"}, "expected a CVE id"),
    ],
)
def test_facts_that_make_no_tattoo_are_refused(change: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        from_facts({**facts(EMERGENCY), **change})
    assert message in caught.value.message


def test_missing_facts_are_named() -> None:
    given = facts(SCHEDULED)
    del given["GOLDSMITH_GALLERY"], given["GOLDSMITH_CVES"]
    with pytest.raises(InvalidInputError, match="the tattoo lacks GOLDSMITH_GALLERY, GOLDSMITH_CVES"):
        from_facts(given)


def test_linux_files_are_the_tattoo_and_two_that_no_other_software_owns() -> None:
    written = files(replace(SCHEDULED, gallery="a$b"))
    assert list(written) == [
        "/etc/goldsmith/tattoo",
        "/etc/profile.d/goldsmith-tattoo.sh",
        "/etc/environment.d/60-goldsmith-tattoo.conf",
    ]
    assert written["/etc/goldsmith/tattoo"] == SCHEDULED_TEXT.replace("=golden\n", '="a\\$b"\n')
    # environment.d(5) halves the dollar signs.
    assert '\nGOLDSMITH_GALLERY="a\\$\\$b"\n' in written["/etc/environment.d/60-goldsmith-tattoo.conf"]
    assert "CVES" not in written["/etc/environment.d/60-goldsmith-tattoo.conf"]
    assert ". /etc/goldsmith/tattoo\n" in written["/etc/profile.d/goldsmith-tattoo.sh"]


def test_registry_file_has_one_value_a_fact() -> None:
    lines = to_registry(replace(EMERGENCY, os_version='C:\\ "x"')).split("\r\n")
    assert lines[:4] == [
        "Windows Registry Editor Version 5.00",
        "",
        "[HKEY_LOCAL_MACHINE\\SOFTWARE\\Goldsmith\\Tattoo]",
        '"SourcePublisher"="Debian"',
    ]
    assert '"OsVersion"="C:\\\\ \\"x\\""' in lines
    assert lines[-5:] == [
        '"OutOfBand"="true"',
        '"Cves"="CVE-2026-0001 CVE-2026-123456"',
        '"PatchDate"="2026-11-25"',
        "",
        "",
    ]
    assert len(lines) == 3 + len(facts(EMERGENCY)) + 2
