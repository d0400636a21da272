"""Ids of resources from types and names.

resourceId() and subscriptionResourceId() depend on where the deployment runs; it binds them to the functions
here that take the scope.
"""

from collections.abc import Sequence

from goldsmith.expressions.errors import EvaluationError
from goldsmith.expressions.functions.function import TEMPLATE_ONLY, Function, strict_text_argument
from goldsmith.kernel.json import JsonValue


def resource_id(arguments: Sequence[JsonValue], *, subscription: str, group: str) -> str:
    """`resourceId([subscription,] [group,] type, name, ...)`, in the current subscription and group."""
    scope, type_, names = _split("resourceId", arguments, scope_max=2)
    if scope:
        group = scope[-1]
    if len(scope) == 2:
        subscription = scope[0]
    return f"/subscriptions/{subscription}/resourceGroups/{group}{_providers('resourceId', type_, names)}"


def subscription_resource_id(arguments: Sequence[JsonValue], *, subscription: str) -> str:
    """`subscriptionResourceId([subscription,] type, name, ...)`"""
    scope, type_, names = _split("subscriptionResourceId", arguments, scope_max=1)
    return f"/subscriptions/{scope[0] if scope else subscription}" + _providers(
        "subscriptionResourceId", type_, names
    )


def _tenant_resource_id(*arguments: JsonValue) -> str:
    _, type_, names = _split("tenantResourceId", arguments, scope_max=0)
    return _providers("tenantResourceId", type_, names)


def _extension_resource_id(scope: JsonValue, *arguments: JsonValue) -> str:
    root = strict_text_argument("extensionResourceId", 1, scope).rstrip("/")
    _, type_, names = _split("extensionResourceId", arguments, scope_max=0)
    return root + _providers("extensionResourceId", type_, names)


def _split(
    function: str, arguments: Sequence[JsonValue], *, scope_max: int
) -> tuple[list[str], str, list[str]]:
    """(scope, type, names): the type is the first argument with a slash."""
    texts = [
        strict_text_argument(function, position, argument) for position, argument in enumerate(arguments, 1)
    ]
    place = next((index for index, text in enumerate(texts) if "/" in text), None)
    if place is None or place > scope_max:
        raise EvaluationError(
            f"{function}() expects a resource type such as Microsoft.Compute/galleries among its arguments"
        )
    return texts[:place], texts[place], texts[place + 1 :]


def _providers(function: str, type_: str, names: list[str]) -> str:
    namespace, *types = type_.strip("/").split("/")
    if len(types) != len(names):
        raise EvaluationError(
            f"{function}() expects {len(types)} names for the type '{type_[:100]}', got {len(names)}"
        )
    pairs = "".join(f"/{kind}/{name}" for kind, name in zip(types, names, strict=True))
    return f"/providers/{namespace}{pairs}"


FUNCTIONS = (
    Function(
        "tenantResourceId", 2, None, _tenant_resource_id, "the id of a resource of the tenant", TEMPLATE_ONLY
    ),
    Function(
        "extensionResourceId",
        3,
        None,
        _extension_resource_id,
        "the id of a resource on another",
        TEMPLATE_ONLY,
    ),
)
