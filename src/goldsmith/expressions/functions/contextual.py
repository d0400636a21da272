"""Functions whose value depends on where they are called: whoever compiles the expression binds them."""

from goldsmith.expressions.functions.function import BOTH, POLICY_ONLY, TEMPLATE_ONLY, Function
from goldsmith.expressions.model import Context


def _contextual(
    name: str, low: int, high: int | None, doc: str, contexts: frozenset[Context] = TEMPLATE_ONLY
) -> Function:
    return Function(name, low, high, None, doc, contexts, pure=False)


FUNCTIONS = (
    _contextual("parameters", 1, 1, "the value of a parameter", BOTH),
    _contextual("field", 1, 1, "the value of a field of the resource that is evaluated", POLICY_ONLY),
    _contextual("current", 0, 1, "the member of an array that a count is looking at", POLICY_ONLY),
    _contextual("policy", 0, 0, "the ids of the assignment and definition being evaluated", POLICY_ONLY),
    _contextual("requestContext", 0, 0, "the API version and identity of the request", POLICY_ONLY),
    _contextual("subscription", 0, 0, "the subscription of the resource or deployment", BOTH),
    _contextual("resourceGroup", 0, 0, "the resource group of the resource or deployment", BOTH),
    _contextual("utcNow", 0, 1, "the moment of the evaluation", BOTH),
    _contextual("variables", 1, 1, "the value of a variable"),
    _contextual("copyIndex", 0, 2, "the number of the copy in an iteration"),
    _contextual("deployer", 0, 0, "who deploys"),
    _contextual("deployment", 0, 0, "the deployment that is running"),
    _contextual("environment", 0, 0, "the cloud that is deployed to"),
    _contextual("managementGroup", 0, 0, "the management group that is deployed to"),
    _contextual("tenant", 0, 0, "the tenant that is deployed to"),
    _contextual("newGuid", 0, 0, "a fresh GUID, as the default of a parameter"),
    _contextual("newSecret", 0, None, "a fresh secret"),
    _contextual("pickZones", 3, 5, "availability zones of a resource type in a location"),
    _contextual("providers", 1, 2, "what a resource provider offers"),
    _contextual("reference", 1, 3, "the state of another resource"),
    _contextual("references", 1, 2, "the states of the copies of a resource"),
    _contextual("resourceId", 2, None, "the id of a resource of this group, another group or subscription"),
    _contextual("subscriptionResourceId", 2, None, "the id of a resource of this or another subscription"),
    _contextual(
        "managementGroupResourceId", 2, None, "the id of a resource of this or another management group"
    ),
    _contextual("lambda", 1, None, "a function to be applied by filter, map, reduce and their like"),
    _contextual("lambdaVariables", 1, 1, "the value of an argument of the lambda"),
    _contextual("filter", 2, 2, "the members of an array that a lambda accepts"),
    _contextual("groupBy", 2, 2, "the members of an array grouped by what a lambda says"),
    _contextual("map", 2, 2, "what a lambda makes of each member of an array"),
    _contextual("mapValues", 2, 2, "what a lambda makes of each value of an object"),
    _contextual("reduce", 3, 3, "what a lambda makes of a whole array, member by member"),
    _contextual("sort", 2, 2, "an array ordered by a lambda"),
    _contextual("toObject", 2, 3, "an object with a key and value for each member of an array"),
    *(
        _contextual(name, 2, 3, "what a list operation of a resource returns")
        for name in ("list", "listKeys", "listSecrets", "listAccountSas", "listServiceSas", "listCallbackUrl")
    ),
)
