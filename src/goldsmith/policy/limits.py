"""Documented limits of policy rules, and the check that a JSON value keeps within them.

Specification: the Azure Policy documentation, "limits of policy rules".
"""

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue

NESTED_CONDITIONS_MAX = 512
CONDITIONS_MAX = 4096
EXISTENCE_CONDITIONS_MAX = 128
FUNCTION_CALLS_MAX = 2048
VALUE_COUNTS_MAX = 10
FIELD_COUNTS_PER_ARRAY_MAX = 5
OPERAND_DEPTH_MAX = 128
OPERAND_NODES_MAX = 32_768
DETAILS_NODES_MAX = 262_144
TEXT_LENGTH_MAX = 131_072
VALUE_COUNT_ITERATIONS_MAX = 100
# Ours: how often the counts inside others may go on to a next member while one condition is evaluated.
INNER_ITERATIONS_MAX = 1_000_000


def check_size(value: JsonValue, at: str, *, nodes_max: int, text_max: int | None) -> None:
    """Raise InvalidInputError, naming `at`, for too many members, too deep nesting or too long a string."""
    # Level by level, never by recursion: nesting is what is being checked.
    level = [value]
    count = 0
    for _ in range(OPERAND_DEPTH_MAX + 1):
        count += len(level)
        if count > nodes_max:
            raise InvalidInputError(
                f"{at}: the value has more than {nodes_max} members", hint="the service has the same limit"
            )
        below: list[JsonValue] = []
        for node in level:
            if isinstance(node, list):
                below += node
            elif isinstance(node, dict):
                below += node.values()
            elif isinstance(node, str) and text_max is not None and len(node) > text_max:
                raise InvalidInputError(
                    f"{at}: a string has {len(node)} characters, at most {text_max} are allowed",
                    hint="the service has the same limit",
                )
        if not below:
            return
        level = below
    raise InvalidInputError(
        f"{at}: the value nests deeper than {OPERAND_DEPTH_MAX} levels", hint="the service has the same limit"
    )
