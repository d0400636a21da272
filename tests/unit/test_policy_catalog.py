"""Collections of definitions: each form a repository or export has, and what is wrong with them said."""

import gzip
import json
from typing import Any

import pytest

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.policy.aliases import from_rows
from goldsmith.policy.catalog.check import check, types_required
from goldsmith.policy.catalog.known import Summary, decode, digest_of, encode
from goldsmith.policy.catalog.model import ImportReport
from goldsmith.policy.catalog.packed import unpacked
from goldsmith.policy.catalog.read import is_candidate, read_collection
from goldsmith.policy.catalog.text import read_json
from goldsmith.policy.reader import read_condition

VM = "Microsoft.Compute/virtualMachines"
RULE = {"if": {"field": "type", "equals": VM}, "then": {"effect": "audit"}}
TYPE = "Microsoft.Authorization/policyDefinitions"


def properties(**over: Any) -> dict[str, Any]:
    return {"displayName": "x", "mode": "All", "policyType": "Custom", "policyRule": RULE, **over}


def resource(name: str = "a", **over: Any) -> dict[str, Any]:
    return {"id": f"/providers/{TYPE}/{name}", "name": name, "type": TYPE, "properties": properties(**over)}


def read(files: dict[str, Any]) -> ImportReport:
    return read_collection(
        (name, data if isinstance(data, bytes) else json.dumps(data).encode()) for name, data in files.items()
    )


def names(report: ImportReport) -> list[str]:
    return [one.name for one in report.definitions]


FORMS: dict[str, tuple[str, bytes]] = {
    "resource": ("a.json", json.dumps(resource()).encode()),
    "list of a tool": ("a.json", json.dumps([resource()]).encode()),
    "REST list": ("a.json", json.dumps({"value": [resource()]}).encode()),
    "Resource Graph": (
        "export.json",
        json.dumps(
            {
                "count": 1,
                "data": [
                    resource() | {"tenantId": "t", "kind": "", "subscriptionId": "", "resourceGroup": ""}
                ],
                "skip_token": None,
            }
        ).encode(),
    ),
    "flat, as tools print lists": (
        "a.json",
        json.dumps(properties() | {"name": "a", "id": f"/providers/{TYPE}/a"}).encode(),
    ),
    "JSON lines": ("all.jsonl", json.dumps(resource()).encode() + b"\n\n"),
    "JSON lines under another name": (
        "all.json",
        json.dumps(resource()).encode() + b"\n" + json.dumps({"other": 1}).encode(),
    ),
    "gzip": ("a.json.gz", gzip.compress(json.dumps(resource()).encode())),
    "gzip in two members": (
        "a.jsonl.gz",
        gzip.compress(json.dumps(resource()).encode() + b"\n") + gzip.compress(b"{}\n"),
    ),
    "byte order mark": ("a.json", b"\xef\xbb\xbf" + json.dumps(resource()).encode()),
    "UTF-16": ("a.json", json.dumps(resource()).encode("utf-16")),
    "comments": ("a.jsonc", b"// the policy\n" + json.dumps(resource()).encode()[:-1] + b", /* end */ }"),
    "property bag": ("policies/a.json", json.dumps(properties()).encode()),
    "sample": ("samples/Compute/a/azurepolicy.json", json.dumps({"properties": properties()}).encode()),
    "rule alone": ("samples/Compute/a/azurepolicy.rules.json", json.dumps(RULE).encode()),
    "EPAC": (
        "policyDefinitions/a.jsonc",
        json.dumps({"$schema": "https://example.org/s", "name": "a", "properties": properties()}).encode(),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_definition_is_read_in_every_form(form: str) -> None:
    report = read_collection([FORMS[form]])
    assert report.failures == ()
    assert names(report) == ["a"]
    assert report.definitions[0].evaluated
    assert report.sources == {f"/providers/{TYPE}/a".lower(): FORMS[form][0]}


def test_a_sample_in_parts_is_put_together_and_its_whole_goes_before() -> None:
    rule = {"if": {"field": "name", "equals": "[parameters('n')]"}, "then": {"effect": "audit"}}
    parts = {
        "s/one/azurepolicy.rules.json": rule,
        "s/one/azurepolicy.parameters.json": {"n": {"type": "String"}},
    }
    report = read(parts)
    assert names(report) == ["one"]
    assert list(report.definitions[0].parameters) == ["n"]
    whole = read(parts | {"s/one/azurepolicy.json": {"properties": properties(displayName="whole")}})
    assert [one.display_name for one in whole.definitions] == ["whole"]
    assert whole.duplicates == ()


def test_modes_and_types_are_counted_and_other_modes_are_not_evaluated() -> None:
    report = read(
        {
            "a.json": resource("a"),
            "b.json": resource("b", mode="all"),
            "c.json": resource("c", mode="indexed", policyType="BuiltIn"),
            "d.json": resource("d", mode="Microsoft.KeyVault.Data"),
        }
    )
    assert report.modes == {"All": 2, "Indexed": 1, "Microsoft.KeyVault.Data": 1}
    assert report.policy_types == {"Custom": 3, "BuiltIn": 1}
    assert [one.name for one in report.not_evaluated] == ["d"]


def test_of_two_versions_the_newer_one_is_kept() -> None:
    report = read(
        {
            "1.json": resource("A", version="1.9.0"),
            "2.json": resource("a", version="1.10.0"),
            "3.json": resource("a", version="1.10.0", displayName="the same again"),
            "4.json": resource("a", version="1.10.0-preview"),
        }
    )
    assert [str(one.version) for one in report.definitions] == ["1.10.0"]
    assert [one.display_name for one in report.definitions] == ["x"]
    assert [(one.kept, one.dropped) for one in report.duplicates] == [
        ("2.json", "1.json"),
        ("2.json", "3.json"),
        ("2.json", "4.json"),
    ]


def test_what_cannot_be_read_is_told_with_file_and_path_and_the_rest_is_read() -> None:
    report = read(
        {
            "a.json": resource("a"),
            "broken.json": b'{"a": \n tru}',
            "bad.json": {"value": [resource("b"), resource("c", policyRule={"if": {"field": 1}})]},
            "gone.json.gz": gzip.compress(b"x" * 1000)[:20],
            "readme.md": b"# nothing",
            "other.json": {"hello": 1},
        }
    )
    assert names(report) == ["a", "b"]
    assert [(one.source, one.path) for one in report.failures] == [
        ("broken.json", ""),
        ("bad.json", "value[1].properties.policyRule"),
        ("gone.json.gz", ""),
    ]
    assert "line 2, column 2" in report.failures[0].message
    assert report.skipped == ("other.json",)


def test_initiatives_and_assignments_of_policy_as_code_folders_are_resolved() -> None:
    report = read(
        {
            "policyAssignments/tree.jsonc": {
                "$schema": "https://example.org/policy-assignment-schema.json",
                "nodeName": "/root/",
                "definitionEntry": {"policySetName": "both", "displayName": "Both"},
                "parameters": {"effect": "Audit", "names": ["x"]},
                "assignment": {"name": "pre-", "displayName": "Pre "},
                "children": [
                    {
                        "nodeName": "prod/",
                        "assignment": {"name": "prod", "displayName": "production"},
                        "enforcementMode": "DoNotEnforce",
                        "parameters": {"effect": "Deny"},
                        "scope": {"tenant": ["/subscriptions/1", "/subscriptions/2"]},
                        "notScopes": {"tenant": ["/subscriptions/1/resourceGroups/old"]},
                    },
                    {
                        "nodeName": "dev/",
                        "assignment": {"name": "dev", "displayName": "development"},
                        "definitionEntry": {"policyName": "a"},
                        "scope": {"tenant": ["/subscriptions/3"]},
                    },
                ],
            },
            "policySetDefinitions/both.jsonc": {
                "name": "both",
                "properties": {
                    "displayName": "Both",
                    "importPolicyDefinitionGroups": ["x"],
                    "policyDefinitions": [
                        {"policyDefinitionReferenceId": "one", "policyDefinitionName": "a"},
                        {"policyDefinitionReferenceId": "two", "policyDefinitionName": "elsewhere"},
                    ],
                },
            },
            "policyDefinitions/a.jsonc": {"name": "a", "properties": properties()},
        }
    )
    assert report.failures == ()
    (initiative,) = report.initiatives
    assert [one.definition_id.rpartition("/")[2] for one in initiative.references] == ["a", "elsewhere"]
    assert [found for _, found in report.missing_references] == [f"/providers/{TYPE}/elsewhere"]
    one, two, three = report.assignments
    assert (one.name, one.display_name, one.scope) == ("pre-prod", "Pre production", "/subscriptions/1")
    assert one.definition_id == initiative.id
    assert one.parameters == {"effect": "Deny", "names": ["x"]}
    assert one.enforcement_mode.value == "DoNotEnforce"
    assert one.not_scopes == ("/subscriptions/1/resourceGroups/old",)
    assert (two.scope, two.not_scopes) == ("/subscriptions/2", ())
    assert three.definition_id == f"/providers/{TYPE}/a"
    assert three.parameters["effect"] == "Audit"


def test_a_tree_of_assignments_without_definition_is_a_failure() -> None:
    report = read(
        {"t.json": {"nodeName": "/r/", "assignment": {"name": "a"}, "scope": {"t": ["/subscriptions/1"]}}}
    )
    assert "names no definition" in report.failures[0].message


def test_a_gzip_bomb_is_refused_before_it_grows() -> None:
    bomb = gzip.compress(b"\0" * (64 << 20))
    with pytest.raises(InvalidInputError, match="larger than 1000000 bytes"):
        unpacked(bomb, bytes_max=1_000_000)
    assert unpacked(gzip.compress(b"abc") + gzip.compress(b"def"), bytes_max=6) == b"abcdef"
    report = read_collection([("bomb.json.gz", bomb), ("a.json", b"[]" * 2)], file_bytes_max=1_000)
    assert [one.source for one in report.failures] == ["bomb.json.gz", "a.json"]


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:5] + b"\xff" * 20])
def test_a_damaged_gzip_is_refused(damage: Any) -> None:
    with pytest.raises(InvalidInputError, match="gzip"):
        unpacked(damage(gzip.compress(bytes(range(256)) * 50)), bytes_max=1 << 20)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1, // c\n}', {"a": 1}),
        ('["/* no */", "// no", ",]"]', ["/* no */", "// no", ",]"]),
        ("[1, /* a\nb */ 2, /* c */ ]", [1, 2]),
        ('{"a": [1,],}', {"a": [1]}),
    ],
)
def test_comments_and_trailing_commas_are_let_pass(text: str, value: Any) -> None:
    assert read_json(text) == (text, value)


@pytest.mark.parametrize("text", ["[1,,]", "{,}", "[1] /* x", "nul", '"', '["\\"', "[NaN]", "[" * 200_000])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        read_json(text)


def test_reading_bad_text_takes_time_in_proportion() -> None:
    for text in ("/*" * 200_000, ",/*" * 200_000, '"\\"' * 200_000, "," * 200_000, "/" * 200_000):
        with pytest.raises(InvalidInputError):
            read_json("[" + text)


def test_only_json_files_are_candidates() -> None:
    assert is_candidate("a/b.JSON.gz")
    assert is_candidate("b.ndjson")
    assert not is_candidate("b.gz")
    assert not is_candidate("json")


ALIASES = from_rows([(VM, f"{VM}/sku.name", "properties.hardwareProfile.vmSize")])


def test_checking_compiles_for_every_named_type_and_lists_aliases() -> None:
    both = {"field": "type", "in": [VM, "Microsoft.Compute/disks"]}
    unknown = {"field": "Microsoft.Other/things/name", "equals": "x"}
    report = read(
        {
            "a.json": resource(
                "a", policyRule={"if": {"allOf": [both, unknown]}, "then": {"effect": "audit"}}
            ),
            "b.json": resource("b", policyRule=RULE),
            "c.json": resource(
                "c",
                policyRule={"if": {"field": "name", "exists": True}, "then": {"effect": "[parameters('e')]"}},
                parameters={"e": {"type": "Integer"}},
            ),
            "d.json": resource("d", mode="Microsoft.KeyVault.Data"),
        }
    )
    checked = check(report, aliases=ALIASES)
    assert (checked.compiled, checked.not_evaluated) == (2, 1)
    assert [(one.source, "effect" in one.message) for one in checked.failures] == [("c.json", True)]
    assert checked.unknown == {"Microsoft.Other/things/name": (f"/providers/{TYPE}/a",)}
    again = check(report, aliases=ALIASES, known=checked.summaries)
    assert again.reused == 3
    assert again.failures == checked.failures


@pytest.mark.parametrize(
    ("condition", "types"),
    [
        ({"field": "type", "equals": "A/b"}, {"a/b"}),
        (
            {"allOf": [{"field": "name", "like": "x*"}, {"field": "TYPE", "in": ["A/b", "C/d"]}]},
            {"a/b", "c/d"},
        ),
        ({"anyOf": [{"field": "type", "equals": "A/b"}, {"field": "type", "equals": "C/d"}]}, {"a/b", "c/d"}),
        ({"anyOf": [{"field": "type", "equals": "A/b"}, {"field": "name", "equals": "x"}]}, None),
        ({"not": {"field": "type", "equals": "A/b"}}, None),
        ({"allOf": [{"field": "name", "less": 5}, {"field": "type", "equals": "A/b"}]}, None),
        ({"allOf": [{"value": "[field('x').y]", "equals": "a"}, {"field": "type", "equals": "A/b"}]}, None),
        ({"anyOf": []}, None),
    ],
)
def test_a_rule_is_limited_to_types_only_where_nothing_else_can_be_true_or_fail(
    condition: dict[str, Any], types: set[str] | None
) -> None:
    assert types_required(read_condition(condition, at="if")) == types


def test_what_is_known_survives_its_encoding_and_nothing_else_is_believed() -> None:
    known = {
        "sha256:1": Summary(types=("a/b",), only=("a/b",), trees=1, unknown=("x/y",)),
        "sha256:2": Summary(types=(), only=None, trees=0, problem="no", path="policyRule.if", hint="do"),
    }
    data = encode(known, engine="1")
    assert decode(data, engine="1") == known
    assert decode(data, engine="2") == {}
    for damaged in (
        b"",
        b"[]",
        b"\xff",
        data[:-5],
        data.replace(b'"types":["a/b"]', b'"types":5'),
        b"[" * 100_000,
    ):
        assert decode(damaged, engine="1") == {}
    assert known["sha256:1"].concerns("A/B")
    assert not known["sha256:1"].concerns("a/c")
    assert known["sha256:2"].concerns("a/c")


def test_the_digest_depends_on_rule_and_parameters_only() -> None:
    one, named, ruled, given = (
        read({"a.json": resource("a", **over)}).definitions[0]
        for over in (
            {},
            {"displayName": "another"},
            {"policyRule": {**RULE, "then": {"effect": "deny"}}},
            {"parameters": {"x": {"type": "String"}}},
        )
    )
    assert digest_of(one) == digest_of(named)
    assert len({digest_of(one), digest_of(ruled), digest_of(given)}) == 3


def test_text_that_nests_too_deep_is_refused_with_the_way_there() -> None:
    deep = '{"properties": {"policyRule": {"if": ' + '{"not": ' * 100_000 + "{}" + "}" * 100_000 + "}}}"
    with pytest.raises(InvalidInputError, match=r"too deep to be read, at properties\.policyRule\.if\.not\."):
        read_json(deep)
