"""Every function of the language by its name in lower case."""

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from goldsmith.expressions.functions import (
    collections,
    contextual,
    dates,
    encoding,
    formatting,
    hashing,
    logic,
    network,
    numbers,
    objects,
    resources,
    strings,
)
from goldsmith.expressions.functions.function import Function
from goldsmith.expressions.model import Context
from goldsmith.kernel.errors import InvalidInputError

_MODULES = (
    contextual,
    logic,
    strings,
    formatting,
    collections,
    objects,
    numbers,
    encoding,
    hashing,
    dates,
    network,
    resources,
)

FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {function.name.lower(): function for module in _MODULES for function in module.FUNCTIONS}
)


def lookup(name: str, argument_count: int, *, context: Context) -> Function:
    """The function a call means; raises InvalidInputError when there is none, here or for these arguments."""
    function = FUNCTIONS.get(name.lower())
    if function is None:
        known = [other.name for other in FUNCTIONS.values() if context in other.contexts]
        near = get_close_matches(name[:80], [other.lower() for other in known], 1)
        hint = f"did you mean {FUNCTIONS[near[0]].name}()?" if near else None
        raise InvalidInputError(f"there is no function '{name[:80]}'", hint=hint)
    if context not in function.contexts:
        raise InvalidInputError(f"{function.name}() may not be called in a {context}")
    low, high = function.arguments_min, function.arguments_max
    if argument_count < low or (high is not None and argument_count > high):
        expected = f"at least {low}" if high is None else str(low) if low == high else f"{low} to {high}"
        raise InvalidInputError(f"{function.name}() expects {expected} arguments, got {argument_count}")
    return function
