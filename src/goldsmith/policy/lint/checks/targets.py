"""Rules about which resource types a policy is for."""

from collections.abc import Iterator

from goldsmith.policy.lint.definition import Definition, Node, is_expression
from goldsmith.policy.lint.model import Fix, Found, LintRule, Reorder, Severity
from goldsmith.policy.rule import Effect, Operator

_BROAD = (
    Operator.LIKE,
    Operator.CONTAINS,
    Operator.MATCH,
    Operator.MATCH_INSENSITIVELY,
)
_ACCESS_TYPES = (
    "microsoft.authorization/roleassignments",
    "microsoft.authorization/roleassignmentschedulerequests",
)
_SECURITY_GROUPS = "microsoft.network/networksecuritygroups"
# Types without tags or location of their own; Indexed leaves them out.
_NOT_INDEXED = (
    "microsoft.authorization/",
    "microsoft.policyinsights/",
    "microsoft.guestconfiguration/",
    "microsoft.insights/diagnosticsettings",
    "microsoft.network/networksecuritygroups/securityrules",
    "microsoft.network/virtualnetworks/subnets",
    "microsoft.network/virtualnetworks/virtualnetworkpeerings",
    "microsoft.network/routetables/routes",
    "microsoft.storage/storageaccounts/blobservices",
    "microsoft.keyvault/vaults/accesspolicies",
    "microsoft.keyvault/vaults/secrets",
    "microsoft.sql/servers/firewallrules",
    "microsoft.resources/subscriptions",
    "microsoft.subscription/",
    "microsoft.management/",
)
_MULTIPLE = 3


def type_condition_first(definition: Definition) -> Iterator[Found]:
    for node in definition.nodes:
        if node.kind != "allOf" or node.section != "if":
            continue
        at = next((number for number, child in enumerate(node.children) if _is_type(child)), 0)
        if at > 0 and not _is_type(node.children[0]):
            whole = len(node.children) == len(node.body[_key(node)])
            order = (at, *(number for number in range(len(node.children)) if number != at))
            fix = Fix("Move the type condition to the front.", (Reorder((*node.path, _key(node)), order),))
            yield Found(
                node.children[at].path,
                f"the type condition is number {at + 1} of its allOf",
                fix if whole else None,
            )


def alias_without_type(definition: Definition) -> Iterator[Found]:
    if definition.root is None or any(_is_type(node) for node in definition.root.below()):
        return
    for node in definition.root.below():
        name = node.field_name
        if name is not None and "/" in name:
            yield Found(node.path, f"'{name}' belongs to a resource type, and no condition on type is there")
            return


def broad_type_operator(definition: Definition) -> Iterator[Found]:
    for node in definition.nodes:
        if _is_type(node) and node.operator in _BROAD:
            assert node.operator is not None
            yield Found(
                node.path, f"the type is compared with {node.operator.value}, which fits more than one"
            )


def several_types(definition: Definition) -> Iterator[Found]:
    types = {name.lower() for name in definition.types}
    if len(types) >= _MULTIPLE and definition.root is not None:
        yield Found(definition.root.path, f"the rule is about {len(types)} resource types")


def denies_access(definition: Definition) -> Iterator[Found]:
    if Effect.DENY not in definition.effects:
        return
    for name in definition.types:
        if name.lower() in _ACCESS_TYPES and definition.root is not None:
            yield Found(definition.root.path, f"the policy can deny {name}, and with it the way back in")


def security_rules_of_parent_only(definition: Definition) -> Iterator[Found]:
    types = {name.lower() for name in definition.types}
    if Effect.DENY not in definition.effects or _SECURITY_GROUPS not in types:
        return
    if f"{_SECURITY_GROUPS}/securityrules" in types:
        return
    for node in definition.nodes:
        name = node.field_name or (node.counted[-1] if node.counted else "")
        if name.lower().startswith(f"{_SECURITY_GROUPS}/securityrules[*]"):
            yield Found(node.path, "security rules that are deployed by themselves are not looked at")
            return


def os_type_at_the_door(definition: Definition) -> Iterator[Found]:
    if not definition.effects & {Effect.DENY, Effect.AUDIT, Effect.APPEND, Effect.MODIFY}:
        return
    for node in definition.root.below() if definition.root else ():
        name = (node.field_name or "").lower()
        if name == "microsoft.compute/virtualmachines/storageprofile.osdisk.ostype":
            yield Found(
                node.path, f"'{node.field_name}' is filled in by the provider, after the policy has looked"
            )


def indexed_but_not_indexable(definition: Definition) -> Iterator[Found]:
    if definition.mode != "indexed":
        return
    for name in definition.types:
        low = name.lower()
        if any(low == one or (one.endswith("/") and low.startswith(one)) for one in _NOT_INDEXED):
            place = definition.own("mode")
            yield Found(place.path if place else definition.base, f"mode Indexed never looks at {name}")


def _is_type(node: Node) -> bool:
    return (node.field_name or "").lower() == "type"


def _key(node: Node) -> str:
    return next(key for key in node.body if key.lower() == node.kind.lower())


def misspelled_type(definition: Definition) -> Iterator[Found]:
    for node in definition.nodes:
        if not _is_type(node) or node.operator not in (Operator.EQUALS, Operator.NOT_EQUALS):
            continue
        value = node.target
        if isinstance(value, str) and not is_expression(value) and "/" not in value:
            yield Found(node.target_path, f"'{value}' is no resource type, expected Namespace/type")


RULES = (
    LintRule(
        id="type-condition-first",
        title="The type condition is not first",
        severity=Severity.WARNING,
        explanation="Conditions of an allOf are tried in order. With the type first, a reader sees what "
        "the policy is "
        "for, and conditions that make no sense on other types, or fail on them, are never reached there.",
        hint="move the condition on type to the front of its allOf",
        check=type_condition_first,
        official=("type-condition-first-in-allof",),
    ),
    LintRule(
        id="alias-without-type",
        title="An alias is used without a condition on type",
        severity=Severity.NOTE,
        explanation="An alias belongs to resource types, and on any other type it has no value. Negative "
        "operators "
        "then hold, so that the policy hits resources it was not written for.",
        hint="add a condition on type with equals or in",
        check=alias_without_type,
        official=("field-alias-without-explicit-type-condition", "implicit-resource-type-targeting"),
    ),
    LintRule(
        id="broad-type-operator",
        title="The type is compared by pattern",
        severity=Severity.WARNING,
        explanation="A pattern or a part of a type also fits child types and types that come later: "
        "'contains "
        "virtualMachines' is true for every extension of a machine.",
        hint="compare the type with equals, or with in and a list",
        check=broad_type_operator,
        official=("broad-type-matching-operator",),
    ),
    LintRule(
        id="several-types",
        title="The rule is about several resource types",
        severity=Severity.NOTE,
        explanation="Wide policies are right for tags and locations. Elsewhere an alias usually has a "
        "meaning on one "
        "type only, and one policy a type, grouped in an initiative, is easier to exempt and to read.",
        hint="make sure that each type is meant, or split the policy",
        check=several_types,
        official=(
            "policy-rule-references-multiple-resource-types",
            "policy-rule-should-contain-one-resource-type",
        ),
    ),
    LintRule(
        id="denies-role-assignments",
        title="Role assignments can be denied",
        severity=Severity.WARNING,
        explanation="Who needs a new role to remove the policy cannot get it while the policy denies role "
        "assignments or their activation.",
        hint="keep a standing owner above the scope, or use audit",
        check=denies_access,
        official=("blocking-effect-on-role-assignments",),
    ),
    LintRule(
        id="security-rules-of-parent-only",
        title="Security rules deployed as resources of their own are missed",
        severity=Severity.WARNING,
        explanation="A security rule is written either within its network security group or as a resource "
        "of type "
        "Microsoft.Network/networkSecurityGroups/securityRules; a deny on the group's list sees only the "
        "first.",
        hint="add a branch for the child type with its own aliases, and mode All",
        check=security_rules_of_parent_only,
        official=("nsg-security-rule-parent-only-deny-coverage",),
    ),
    LintRule(
        id="os-type-may-be-missing",
        title="The type of the operating system is often missing in requests",
        severity=Severity.WARNING,
        explanation="The provider sets osDisk.osType itself when the image says what it is. A request "
        "without it "
        "passes the policy; a scan of what exists sees it.",
        hint="also test the image's publisher and offer, or use auditIfNotExists",
        check=os_type_at_the_door,
        official=(
            "vm-os-type-alias-may-be-missing-from-request-payload",
            "vm-os-type-alias-missing-from-request-payload",
        ),
    ),
    LintRule(
        id="indexed-skips-type",
        title="Mode Indexed never looks at this type",
        severity=Severity.ERROR,
        explanation="Indexed evaluates only types that have tags and a location. A policy for another type "
        "is then "
        "never applied, and nothing is reported.",
        hint="set mode to All",
        check=indexed_but_not_indexable,
        official=(
            "indexed-mode-with-non-indexable-resource-types",
            "resource-types-not-supported-by-indexed-mode",
        ),
    ),
    LintRule(
        id="not-a-type",
        title="The value compared with type is no resource type",
        severity=Severity.ERROR,
        explanation="A type is a namespace and one or more names, as in Microsoft.Compute/virtualMachines. "
        "Another "
        "text is never equal to it.",
        hint="write the whole type with its namespace",
        check=misspelled_type,
    ),
)
