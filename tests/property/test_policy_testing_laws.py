"""Laws of case tables: merge patches, parts, and cases that never raise."""

from typing import Any
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.policy.aliases import from_providers
from goldsmith.policy.content import packaged
from goldsmith.policy.testing.engine import Engine
from goldsmith.policy.testing.junit import to_junit
from goldsmith.policy.testing.model import CaseResult, SuiteResult, Verdict
from goldsmith.policy.testing.run import contains, run_table
from goldsmith.policy.testing.table import merge, parse_table

_ENGINE = Engine(aliases=from_providers(packaged.alias_listing()))
_PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
_JSON = st.recursive(
    _PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
)
# Names that the packaged rules look for, so that values land where they are read.
_NAMES = st.sampled_from(
    [
        *(
            "properties",
            "storageProfile",
            "imageReference",
            "id",
            "exactVersion",
            "location",
            "tags",
            "owner",
        ),
        *("publishingProfile", "targetRegions", "name", "excludeFromLatest", "platformAttributes", "type"),
    ]
)
_RESOURCE = st.recursive(
    _PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=20,
)


@given(value=_JSON, patch=_JSON)
def test_merging_twice_is_merging_once(value: Any, patch: Any) -> None:
    once = merge(value, patch)
    assert merge(once, patch) == once


@given(value=st.dictionaries(st.text(max_size=4), _JSON, max_size=4))
def test_empty_patch_changes_nothing(value: Any) -> None:
    assert merge(value, {}) == value


@given(value=_JSON)
def test_value_is_part_of_itself(value: Any) -> None:
    assert contains(value, value)


@settings(deadline=None, max_examples=60)
@given(key=st.sampled_from(sorted(packaged.case_tables())), patch=_RESOURCE, related=_RESOURCE)
def test_case_never_raises_whatever_the_resource(key: str, patch: Any, related: Any) -> None:
    table = packaged.case_tables()[key]
    mangled = [
        {
            **case,
            "resource": merge(merge(table["resource"], case.get("resource", {})), patch),
            "related": [related],
        }
        for case in table["cases"][:2]
    ]
    body: Any = {**table, "resource": None, "related": None, "cases": mangled}
    suite = run_table(parse_table(body, name=key, definition=packaged.find), _ENGINE)
    assert len(suite.results) == 2
    assert to_junit([suite])


@given(texts=st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_junit_is_xml_whatever_it_holds(texts: list[str]) -> None:
    results = tuple(
        CaseResult(name=text, verdict=Verdict.FAILED, problems=(text,), explanation=text) for text in texts
    )
    root = ElementTree.fromstring(to_junit([SuiteResult(name=texts[0], results=results)]))
    assert len(root.findall(".//failure")) == len(texts)
