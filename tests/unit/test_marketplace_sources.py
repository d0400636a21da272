"""Finding Debian's mirror among apt's sources."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.kernel.errors import Error
from goldsmith.marketplace.sources import (
    SuiteSource,
    choose_mirrors,
    parse_deb822,
    parse_one_line,
    public,
    write_deb822,
)

CASES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "cases/marketplace/sources.yaml").read_text()
)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_mirror_is_chosen_as_the_table_says(case: dict[str, Any]) -> None:
    entries = (*parse_one_line(case.get("one_line", "")), *parse_deb822(case.get("deb822", "")))
    given = {name: case[name] for name in ("mirror", "security_mirror") if name in case}
    if "error" in case:
        with pytest.raises(Error) as raised:
            choose_mirrors(entries, **given)
        assert raised.value.code == case["error"]
        assert "security_mirror" in (raised.value.hint or "")
    else:
        chosen = choose_mirrors(entries, **given)
        assert [chosen.main, chosen.security, chosen.signed_by] == case["is"]


def test_a_whole_key_in_a_stanza_is_kept() -> None:
    key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEZ\n -----END PGP PUBLIC KEY BLOCK-----"
    (entry,) = parse_deb822(
        "Types: deb\nURIs: http://deb.example.org/debian\nSuites: bookworm\nComponents: main\n"
        f"Signed-By:\n {key}\n"
    )
    assert entry.signed_by.strip() == key
    written = write_deb822([SuiteSource(suite="bookworm", uri="http://x.example.org")], entry.signed_by)
    assert parse_deb822(written)[0].signed_by.strip() == key


def test_written_sources_are_read_back() -> None:
    sources = [
        SuiteSource(suite="trixie", uri="http://deb.example.org/debian"),
        SuiteSource(suite="trixie-security", uri="http://deb.example.org/debian-security"),
    ]
    entries = parse_deb822(write_deb822(sources, "/k.gpg"))
    assert [(entry.suites, entry.uris, entry.components) for entry in entries] == [
        (("trixie",), ("http://deb.example.org/debian",), ("main",)),
        (("trixie-security",), ("http://deb.example.org/debian-security",), ("main",)),
    ]


def test_a_password_is_not_public() -> None:
    assert public("https://user:secret@deb.example.org:8443/debian") == "https://deb.example.org:8443/debian"
