"""Laws of the tattoo's text over generated facts."""

import subprocess
from dataclasses import fields, replace
from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.tattoo.model import Tattoo
from goldsmith.tattoo.text import facts, files, from_facts, parse_text, quote, to_text

PRINTABLE = st.text(
    st.sampled_from("\"'$`\\ !#=~;&|<>()*?[]{}%") | st.characters(codec="utf-8").filter(str.isprintable),
    max_size=40,
)
DIGESTS = st.from_regex(r"\Asha256:[0-9a-f]{64}\Z")
CVES = st.lists(st.from_regex(r"\ACVE-[0-9]{4}-[0-9]{4,7}\Z"), min_size=1, max_size=4, unique=True).map(tuple)
SCHEDULED = st.builds(
    Tattoo,
    source_publisher=PRINTABLE,
    source_offer=PRINTABLE,
    source_sku=PRINTABLE,
    source_version=PRINTABLE,
    source_digest=DIGESTS,
    os_version=PRINTABLE.filter(bool),
    gallery=PRINTABLE,
    image_definition=PRINTABLE,
    image_version=PRINTABLE,
    template_name=PRINTABLE.filter(bool),
    template_digest=DIGESTS,
    build_id=PRINTABLE.filter(bool),
    publish_date=st.dates(),
)
TATTOOS = SCHEDULED | st.builds(
    lambda tattoo, cves, day: replace(tattoo, out_of_band=True, cves=cves, patch_date=day),
    SCHEDULED,
    CVES,
    st.dates(date(1999, 1, 1)),
)


def sourced(text: str, names: list[str]) -> list[str]:
    """The values that /bin/sh, with unset variables an error, has after it read `text`."""
    show = "\n".join(f'printf "%s\\0" "${{{name}}}"' for name in names)
    result = subprocess.run(
        ["/bin/sh", "-eu"], input=f"{text}\n{show}\n".encode(), capture_output=True, check=True, timeout=60
    )
    assert result.stderr == b""
    return result.stdout.decode().split("\0")[:-1]


@given(TATTOOS)
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read_back(tattoo: Tattoo) -> None:
    text = to_text(tattoo)
    assert parse_text(text) == facts(tattoo)
    assert from_facts(parse_text(text)) == tattoo
    assert text.count("\n") == len(text.splitlines()) == len(fields(Tattoo))


@given(TATTOOS)
@settings(max_examples=40, deadline=None)
def test_a_shell_reads_the_same_values(tattoo: Tattoo) -> None:
    expected = facts(tattoo)
    assert sourced(to_text(tattoo), list(expected)) == list(expected.values())


@given(TATTOOS)
@settings(max_examples=5, deadline=None)
def test_login_shells_export_every_fact_of_the_file(tattoo: Tattoo) -> None:
    profile = files(tattoo)["/etc/profile.d/goldsmith-tattoo.sh"]
    profile = profile.replace("[ -r /etc/goldsmith/tattoo ]", "true").replace(
        ". /etc/goldsmith/tattoo", to_text(tattoo)
    )
    result = subprocess.run(
        ["/bin/sh", "-eu"], input=f"{profile}\nenv -0\n".encode(), capture_output=True, check=True, timeout=60
    )
    environment = dict(entry.split("=", 1) for entry in result.stdout.decode().split("\0") if entry)
    assert {name: environment[name] for name in facts(tattoo)} == facts(tattoo)


@given(st.text(max_size=20))
@settings(deadline=None)
def test_a_value_is_quoted_on_one_line_or_refused(value: str) -> None:
    try:
        written = quote(value)
    except InvalidInputError:
        written = None
    assert (written is not None) == value.isprintable()
    assert written is None or parse_text(f"KEY={written}\n") == {"KEY": value}
