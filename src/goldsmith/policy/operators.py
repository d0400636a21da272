"""What every condition operator means, over plain JSON values; the only definition there is.

Sources, strongest first: the rule pages of the official policy linter, the language documentation, the case
files of the open Rust evaluator. Where they differ the decision stands beside the code that carries it out.

Texts compare with full Unicode case folding (documented as InvariantCultureIgnoreCase), except in `match` and
`notMatch`. A null on the left counts as the empty text (linter, "tryGet use with null-coercing operator").
A null on the right that was written into the rule counts as the empty text too; one that an expression
gives makes the evaluation fail (linter, "unguarded tryGet operator value"), which the compiler sees to.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeAlias

from goldsmith.expressions.errors import EvaluationError, kind_of
from goldsmith.expressions.text import compare
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.rule import Operator

Test: TypeAlias = Callable[[JsonValue], bool]

COMPLEMENTS: Mapping[Operator, Operator] = {
    Operator.NOT_EQUALS: Operator.EQUALS,
    Operator.NOT_LIKE: Operator.LIKE,
    Operator.NOT_MATCH: Operator.MATCH,
    Operator.NOT_MATCH_INSENSITIVELY: Operator.MATCH_INSENSITIVELY,
    Operator.NOT_CONTAINS: Operator.CONTAINS,
    Operator.NOT_IN: Operator.IN,
    Operator.NOT_CONTAINS_KEY: Operator.CONTAINS_KEY,
}
"""Negated operator -> the one it is the exact opposite of, for every value."""

ORDERINGS = frozenset(
    {Operator.LESS, Operator.LESS_OR_EQUALS, Operator.GREATER, Operator.GREATER_OR_EQUALS},
)
_PATTERNS = frozenset({Operator.LIKE, Operator.MATCH, Operator.MATCH_INSENSITIVELY, Operator.CONTAINS_KEY})
# ASCII only, no blanks, no underscores: what JSON itself calls a number, and leading zeros.
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})?",
    re.ASCII | re.IGNORECASE,
)
_DIGITS_OF_AN_EXACT_INTEGER = 18


def holds(operator: Operator, value: JsonValue, target: JsonValue) -> bool:
    """Whether `value <operator> target`; raises EvaluationError when the condition has no answer."""
    positive = COMPLEMENTS.get(operator)
    if positive is not None:
        return not holds(positive, value, target)
    problem = target_problem(operator, target)
    if problem is not None:
        raise EvaluationError(f"{operator}: {problem}")
    match operator:
        case Operator.EQUALS:
            return same(value, target)
        case Operator.IN:
            assert isinstance(target, list)
            return any(same(value, member) for member in target)
        case Operator.CONTAINS:
            return _contains(value, target)
        case Operator.CONTAINS_KEY:
            return isinstance(value, dict) and _has_key(value, text_of(target) or "")
        case Operator.LIKE:
            return _like(value, (text_of(target) or "").casefold())
        case Operator.MATCH:
            text = text_of(value)
            return text is not None and match_pattern(text, text_of(target) or "")
        case Operator.MATCH_INSENSITIVELY:
            text = text_of(value)
            return text is not None and match_pattern(text.casefold(), (text_of(target) or "").casefold())
        case Operator.EXISTS:
            return (value is not None) == truth(target)
        case _:
            return _ordered(operator, value, target)


def target_problem(operator: Operator, target: JsonValue) -> str | None:
    """What keeps `target` from being the right side of `operator`, or None."""
    operator = COMPLEMENTS.get(operator, operator)
    if operator is Operator.IN:
        return None if isinstance(target, list) else f"expected an array to look in, got {kind_of(target)}"
    if operator is Operator.EXISTS:
        return None if truth(target) is not None else f"expected true or false, got {kind_of(target)}"
    if operator in _PATTERNS and isinstance(target, list | dict):
        return f"expected a string, got {kind_of(target)}"
    if operator in ORDERINGS and (target is None or isinstance(target, bool | list | dict)):
        # Linter, "ordering operator on incompatible field type": these cannot be ordered at all.
        return f"{kind_of(target)} cannot be ordered"
    return None


def same(left: JsonValue, right: JsonValue) -> bool:
    """`equals`: both sides as text without case, so 5 is "5" but 5.0 is not and "05" is not.

    Linter, "equality check on numeric field"; its examples put a number against a text. Two numbers are
    compared as such, as the case files have it (`float(42)` equals 42). An array or object never equals a
    single value (linter, "bare array field compared as scalar"); two of them are compared member by member,
    keys without case.
    """
    if not isinstance(left, list | dict):
        return _same_single(left, right)
    # With a list of what is still to compare: a resource may be nested deeper than Python recurses.
    pending: list[tuple[JsonValue, JsonValue]] = [(left, right)]
    while pending:
        one, other = pending.pop()
        if isinstance(one, list):
            if not isinstance(other, list) or len(one) != len(other):
                return False
            pending += zip(one, other, strict=True)
        elif isinstance(one, dict):
            if not isinstance(other, dict) or len(one) != len(other):
                return False
            folded = {key.lower(): member for key, member in other.items()}
            for key, member in one.items():
                if key.lower() not in folded:
                    return False
                pending.append((member, folded[key.lower()]))
        elif not _same_single(one, other):
            return False
    return True


def _same_single(left: JsonValue, right: JsonValue) -> bool:
    if _is_number(left) and _is_number(right):
        return left == right
    text, other_text = text_of(left), text_of(right)
    if text is None or other_text is None:
        return False
    return text == other_text or text.casefold() == other_text.casefold()


def text_of(value: JsonValue) -> str | None:
    """A single value as text: null is "", booleans "true" and "false", numbers as JSON writes them.

    None for arrays and objects. 5.0 stays "5.0", as the linter's page on numeric equality has it.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return None


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def truth(value: JsonValue) -> bool | None:
    """true, false, "True", "false" as a boolean; None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.casefold())
    return None


def like(text: str, pattern: str) -> bool:
    """`*` stands for any run of characters; all else, `?` too, for itself.

    The documentation knows one `*` only and several are not ruled out; the linter's page on `match` calls all
    other placeholders literal in `like`. The first and last pieces are anchored and those between are found
    leftmost, so nothing is tried twice.
    """
    first, star, rest = pattern.partition("*")
    if not star:
        return text == pattern
    pieces = rest.split("*")
    last = pieces.pop()
    end = len(text) - len(last)
    if end < len(first) or not text.startswith(first) or not text.endswith(last):
        return False
    position = len(first)
    for piece in pieces:
        position = text.find(piece, position, end)
        if position < 0:
            return False
        position += len(piece)
    return True


def match_pattern(text: str, pattern: str) -> bool:
    """`#` is an ASCII digit, `?` an ASCII letter, `.` any character; all else stands for itself."""
    if len(text) != len(pattern):
        return False
    for character, wanted in zip(text, pattern, strict=True):
        if wanted == ".":
            continue
        if wanted == "#":
            if not "0" <= character <= "9":
                return False
        elif wanted == "?":
            if not (character.isascii() and character.isalpha()):
                return False
        elif character != wanted:
            return False
    return True


def _like(value: JsonValue, pattern: str) -> bool:
    if value is None:
        # A field that is missing is like nothing but the empty pattern: the service's own rule that network
        # interfaces have no public address (83a86a26) asks `not notLike "*"` of a member that is missing
        # where there is none. On the left of a `value` condition null has become the empty text before.
        return not pattern
    text = text_of(value)
    return text is not None and like(text.casefold(), pattern)


def _contains(value: JsonValue, target: JsonValue) -> bool:
    if isinstance(value, list):
        return any(same(member, target) for member in value)
    wanted = text_of(target)
    if wanted is None:
        return False
    if isinstance(value, dict):
        return _has_key(value, wanted)
    return wanted.casefold() in (text_of(value) or "").casefold()


def _has_key(value: Mapping[str, JsonValue], wanted: str) -> bool:
    folded = wanted.lower()
    return wanted in value or any(key.lower() == folded for key in value)


def _ordered(operator: Operator, value: JsonValue, target: JsonValue) -> bool:
    if value is None:
        # The linter's null coercion does not name the orderings; the case files take them as not fulfilled.
        return False
    order = _compare(value, target)
    match operator:
        case Operator.LESS:
            return order < 0
        case Operator.LESS_OR_EQUALS:
            return order <= 0
        case Operator.GREATER:
            return order > 0
        case _:
            return order >= 0


def _compare(value: JsonValue, target: JsonValue) -> int:
    if isinstance(value, str) and isinstance(target, str):
        if value.casefold() == target.casefold():
            return 0
        instants = _instant(value), _instant(target)
        if instants[0] is not None and instants[1] is not None:
            return (instants[0] > instants[1]) - (instants[0] < instants[1])
        return compare(value, target, ignore_case=True)
    # Linter: a type that does not match throws. The case files order a text that is a number with numbers,
    # which no page forbids for texts that are numbers; every other mixture throws.
    number, other = _number(value), _number(target)
    if number is None or other is None:
        raise EvaluationError(f"{kind_of(value)} cannot be ordered against {kind_of(target)}")
    return (number > other) - (number < other)


def _number(value: JsonValue) -> int | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        if len(value) <= _DIGITS_OF_AN_EXACT_INTEGER and value.lstrip("-").isdigit():
            return int(value)
        return float(value)
    return None


def _instant(text: str) -> tuple[datetime, int] | None:
    """An ISO 8601 moment with a time of day, as UTC seconds and the nanoseconds beyond."""
    found = _INSTANT.fullmatch(text) if len(text) >= 19 else None
    if found is None:
        return None
    day, time, fraction, zone = found.groups()
    offset = "+00:00" if zone is None or zone.upper() == "Z" else zone
    try:
        moment = datetime.fromisoformat(f"{day}T{time}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment, int((fraction or ".")[1:].ljust(9, "0"))


def prepare(operator: Operator, target: JsonValue) -> Test:
    """`holds` with the operator and target fixed, as fast as Python allows; equal to it for every value."""
    positive = COMPLEMENTS.get(operator)
    if positive is not None:
        test = prepare(positive, target)
        return lambda value: not test(value)
    if target_problem(operator, target) is None:
        match operator:
            case Operator.EQUALS if not isinstance(target, list | dict):
                return _prepare_in([target]) if _is_number(target) else _prepare_equals(text_of(target) or "")
            case Operator.IN if isinstance(target, list):
                if not any(isinstance(member, list | dict) for member in target):
                    return _prepare_in(target)
            case Operator.EXISTS:
                wanted = truth(target)
                return lambda value: (value is not None) == wanted
            case Operator.LIKE:
                return _prepare_like((text_of(target) or "").casefold())
            case Operator.CONTAINS if isinstance(target, str):
                return _prepare_contains(target)
            case _:
                pass
    return lambda value: holds(operator, value, target)


def _prepare_equals(target: str) -> Test:
    folded = target.casefold()
    empty = not target

    def equals(value: JsonValue) -> bool:
        if value.__class__ is str:
            return value == target or value.casefold() == folded
        if value is None:
            return empty
        text = text_of(value)
        return text is not None and text.casefold() == folded

    return equals


def _prepare_in(members: list[JsonValue]) -> Test:
    """`members` are single values."""
    texts = frozenset((text_of(member) or "").casefold() for member in members if not _is_number(member))
    numbers = frozenset(
        member for member in members if isinstance(member, int | float) and _is_number(member)
    )
    all_texts = texts | {(text_of(number) or "").casefold() for number in numbers}

    def is_in(value: JsonValue) -> bool:
        if value.__class__ is str:
            return value.casefold() in all_texts
        text = text_of(value)
        if text is None:
            return False
        if _is_number(value):
            return value in numbers or text.casefold() in texts
        return text.casefold() in all_texts

    return is_in


def _prepare_like(pattern: str) -> Test:
    prefix, _, rest = pattern.partition("*")
    if pattern.count("*") != 1:
        return lambda value: _like(value, pattern)
    shortest = len(prefix) + len(rest)

    def anchored(value: JsonValue) -> bool:
        text = None if value is None else text_of(value)
        if text is None:
            return False
        text = text.casefold()
        return len(text) >= shortest and text.startswith(prefix) and text.endswith(rest)

    return anchored


def _prepare_contains(target: str) -> Test:
    folded = target.casefold()

    def contains(value: JsonValue) -> bool:
        if value.__class__ is str:
            return folded in value.casefold()
        return _contains(value, target)

    return contains


def prepare_location(operator: Operator, target: JsonValue) -> Test:
    """As `prepare`, for the field `location`: `East US 2` is `eastus2` on both sides (documented)."""
    test = prepare(operator, normal_location(target))
    return lambda value: test(normal_location(value))


def normal_location(value: JsonValue) -> JsonValue:
    """A region name without blanks and case; the members of an array of names likewise."""
    if isinstance(value, str):
        return value.replace(" ", "").lower()
    if isinstance(value, list):
        return [normal_location(member) for member in value]
    return value
