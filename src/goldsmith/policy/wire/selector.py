"""Selectors in assignments, overrides, exemptions and enrollments: ARM JSON to models and back."""

from goldsmith.kernel.json import JsonObject
from goldsmith.policy.members import Members, refused, without_absent
from goldsmith.policy.selectors import (
    SUBSCRIPTION_LEVEL_RESOURCES,
    ResourceSelector,
    Selector,
    SelectorKind,
)

RESOURCE_SELECTORS_MOST = 10
VALUES_MOST = 50
_CODE = "InvalidPolicySelector"

RESOURCE_KINDS = frozenset(SelectorKind) - {SelectorKind.POLICY_DEFINITION_REFERENCE_ID}


def parse_resource_selectors(members: Members) -> tuple[ResourceSelector, ...]:
    """Raises InvalidInputError when a selector breaks a rule of the assignment structure."""
    found = []
    for each in members.objects("resourceSelectors", "ResourceSelector", most=RESOURCE_SELECTORS_MOST):
        found.append(
            ResourceSelector(name=each.text("name"), selectors=parse_selectors(each, RESOURCE_KINDS))
        )
        each.close()
    return tuple(found)


def parse_selectors(members: Members, kinds: frozenset[SelectorKind]) -> tuple[Selector, ...]:
    found: list[Selector] = []
    for each in members.objects("selectors", "Selector"):
        selector = _parse_selector(each, kinds)
        if any(selector.kind is other.kind for other in found):
            raise refused(
                each.at("kind"), f"is '{selector.kind}' a second time, expected each kind once", code=_CODE
            )
        found.append(selector)
    used = {selector.kind for selector in found}
    if {SelectorKind.RESOURCE_LOCATION, SelectorKind.RESOURCE_WITHOUT_LOCATION} <= used:
        raise refused(
            members.at("selectors"),
            "has both 'resourceLocation' and 'resourceWithoutLocation', expected one of them",
            code=_CODE,
            hint="write two resource selectors: any one that matches suffices",
        )
    return tuple(found)


def resource_selectors_json(selectors: tuple[ResourceSelector, ...]) -> list[JsonObject]:
    return [
        without_absent({"name": each.name, "selectors": selectors_json(each.selectors)}) for each in selectors
    ]


def selectors_json(selectors: tuple[Selector, ...]) -> list[JsonObject]:
    return [
        without_absent(
            {
                "kind": str(each.kind),
                "in": None if each.within is None else list(each.within),
                "notIn": None if each.outside is None else list(each.outside),
                "progress": each.progress,
            }
        )
        for each in selectors
    ]


def _parse_selector(members: Members, kinds: frozenset[SelectorKind]) -> Selector:
    kind = members.choice("kind", SelectorKind)
    if kind is None or kind not in kinds:
        raise refused(
            members.at("kind"), f"is '{kind}', expected one of {', '.join(sorted(kinds))}", code=_CODE
        )
    within = members.texts("in", most=VALUES_MOST) if members.any("in") is not None else None
    outside = members.texts("notIn", most=VALUES_MOST) if members.any("notIn") is not None else None
    progress = members.number("progress")
    members.close()
    if kind is SelectorKind.RESOURCE_ROLLOUT_PERCENTAGE:
        if within is not None or outside is not None or progress is None or not 0 <= progress <= 100:
            raise refused(
                members.path,
                "is a rollout percentage, expected 'progress' between 0 and 100 alone",
                code=_CODE,
            )
    elif progress is not None:
        raise refused(members.at("progress"), f"does not go with kind '{kind}'", code=_CODE)
    elif (within is None) == (outside is None):
        raise refused(members.path, "has both or none of 'in' and 'notIn', expected one of them", code=_CODE)
    if kind is SelectorKind.RESOURCE_WITHOUT_LOCATION:
        for value in within or outside or ():
            if value.lower() != SUBSCRIPTION_LEVEL_RESOURCES.lower():
                raise refused(
                    members.path, f"names '{value}', expected '{SUBSCRIPTION_LEVEL_RESOURCES}'", code=_CODE
                )
    return Selector(kind=kind, within=within, outside=outside, progress=progress)
