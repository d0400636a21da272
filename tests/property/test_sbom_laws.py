"""Laws of versions, package URLs, licence expressions and paths."""

import string

import license_expression
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.sbom.copyright import parse_copyright
from goldsmith.sbom.expression import Operator, Tree, combine, render
from goldsmith.sbom.licence import LicenceReader
from goldsmith.sbom.model import Distribution, Package
from goldsmith.sbom.purl import PackageUrl, of_package, parse_purl
from goldsmith.sbom.spdx_id import spdx_id
from goldsmith.sbom.supplier import supplier
from goldsmith.sbom.version import sort_key

# Few characters, so that equal prefixes and the rare cases meet often.
VERSION_PARTS = st.text(alphabet="019a~+.z", max_size=8)
VERSIONS = st.builds(
    lambda epoch, upstream, revision: f"{epoch}{upstream}{revision}",
    st.sampled_from(["", "0:", "1:", "10:", "2:"]),
    VERSION_PARTS.map(lambda text: "1" + text),
    st.one_of(st.just(""), VERSION_PARTS.map(lambda text: "-" + text)),
)
NAMES = st.text(alphabet=string.ascii_lowercase + string.digits + "+.-", min_size=1, max_size=12)
LEAVES = st.sampled_from(["MIT", "ISC", "Zlib", "GPL-2.0-only WITH Linux-syscall-note", "LicenseRef-x"])
OPERATORS: st.SearchStrategy[Operator] = st.sampled_from(["and", "or"])
TREES: st.SearchStrategy[Tree] = st.recursive(
    LEAVES,
    lambda trees: st.builds(combine, OPERATORS, st.lists(trees, min_size=1, max_size=3)),
    max_leaves=8,
)


def policy_compare(one: str, other: str) -> int:
    """Debian Policy 5.6.12, word for word: epoch, then upstream version, then revision."""
    for left, right in zip(split(one), split(other), strict=True):
        result = compare_part(left, right)
        if result:
            return result
    return 0


def split(version: str) -> tuple[str, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if dash else (epoch, rest, "0")


def compare_part(left: str, right: str) -> int:
    while left or right:
        head, left = take(left, digits=False)
        other, right = take(right, digits=False)
        for position in range(max(len(head), len(other))):
            a, b = weight(head, position), weight(other, position)
            if a != b:
                return -1 if a < b else 1
        number, left = take(left, digits=True)
        second, right = take(right, digits=True)
        if int(number or 0) != int(second or 0):
            return -1 if int(number or 0) < int(second or 0) else 1
    return 0


def take(text: str, *, digits: bool) -> tuple[str, str]:
    length = 0
    while length < len(text) and text[length].isdigit() == digits:
        length += 1
    return text[:length], text[length:]


def weight(text: str, position: int) -> int:
    if position >= len(text):
        return 0
    character = text[position]
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


@given(VERSIONS, VERSIONS)
@settings(max_examples=1000)
def test_keys_compare_as_policy_compares_the_versions(one: str, other: str) -> None:
    left, right = sort_key(one), sort_key(other)
    assert (left > right) - (left < right) == policy_compare(one, other)


@given(st.text(max_size=20))
def test_every_text_has_a_key(text: str) -> None:
    assert isinstance(sort_key(text), bytes)


@given(
    NAMES, st.text(alphabet=string.ascii_letters + string.digits + "+.~:-@%/&= é", min_size=1, max_size=20)
)
def test_package_url_is_read_as_it_was_written(name: str, version: str) -> None:
    package = Package(name=name, version=version, architecture="amd64", source=name, source_version=version)
    url = of_package(package, Distribution(id="debian", version_id="12", name="Debian"))
    text = str(url)
    assert parse_purl(text) == url
    assert not set(text) & set(" +")


@given(st.text(min_size=1, max_size=10), st.text(min_size=1, max_size=10))
def test_qualifiers_keep_any_text(name: str, value: str) -> None:
    url = PackageUrl(type="deb", namespace="x", name=name, version="1", qualifiers={"upstream": value})
    if "/" not in name:
        assert parse_purl(str(url)) == url


@given(NAMES, NAMES)
def test_ids_of_two_packages_differ(one: str, other: str) -> None:
    equal = spdx_id("deb", one, "amd64") == spdx_id("deb", other, "amd64")
    assert equal == (one == other)


@given(TREES)
def test_rendered_expression_is_one_spdx_reads_with_the_same_meaning(tree: Tree) -> None:
    licensing = license_expression.Licensing()
    text = render(tree)
    assert licensing.is_equivalent(text, licensing.parse(text))
    assert render(combine("and", [tree, tree])) == text
    assert set(licensing.license_keys(text)) <= set(leaves(tree))


@given(TREES, TREES, OPERATORS)
def test_order_of_operands_does_not_matter(one: Tree, other: Tree, operator: Operator) -> None:
    assert render(combine(operator, [one, other])) == render(combine(operator, [other, one]))


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_any_text_can_be_a_copyright_file(text: str) -> None:
    for content in (text, f"Format: x\n\nFiles: *\nLicense: {text}\n"):
        parse_copyright(content)
        reader = LicenceReader()
        declared = reader.declared(content)
        known = {licence.id for licence in reader.extracted}
        used = {word.strip("()") for word in (declared or "").split() if "LicenseRef-" in word}
        assert used == known


@given(st.text(max_size=40))
def test_supplier_is_always_of_spdx_form(maintainer: str) -> None:
    found = supplier(maintainer)
    assert found == "NOASSERTION" or found.startswith(("Person: ", "Organization: "))


def leaves(tree: Tree) -> list[str]:
    if isinstance(tree, str):
        return tree.split(" WITH ")
    return [leaf for operand in tree[1] for leaf in leaves(operand)]
