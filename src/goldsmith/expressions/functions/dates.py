"""Functions of dates; policy rules know addDays() only, and utcNow() is bound by the caller."""

from goldsmith.expressions.errors import EvaluationError
from goldsmith.expressions.functions.function import (
    TEMPLATE_ONLY,
    Function,
    int_argument,
    long_argument,
    strict_text_argument,
)
from goldsmith.expressions.moments import (
    TICKS_PER_DAY,
    TICKS_PER_SECOND,
    Moment,
    format_moment,
    moment_of_unix,
    read_duration,
    read_iso,
    read_universal,
    round_trip,
)
from goldsmith.kernel.json import JsonValue


def _add_days(value: JsonValue, days: JsonValue) -> str:
    text = strict_text_argument("addDays", 1, value)
    moment = read_universal(text)
    if moment is None:
        raise EvaluationError(
            f"addDays() expects a date such as 2024-01-31T12:00:00Z, got '{text[:60]}'",
            hint="write universal ISO 8601, with its Z",
        )
    return round_trip(moment.plus(int_argument("addDays", 2, days) * TICKS_PER_DAY))


def _date_time_add(value: JsonValue, duration: JsonValue, pattern: JsonValue = None) -> str:
    moment = _moment("dateTimeAdd", value)
    text = strict_text_argument("dateTimeAdd", 2, duration)
    ticks = read_duration(text)
    if ticks is None:
        raise EvaluationError(
            f"dateTimeAdd() expects a duration such as P1DT2H, got '{text[:60]}'", hint="write ISO 8601"
        )
    moved = moment.plus(ticks)
    if pattern is not None:
        return format_moment(moved, strict_text_argument("dateTimeAdd", 3, pattern) or "G")
    return format_moment(moved, f"yyyy-MM-ddTHH:mm:ss{_fraction(moved)}K")


def _fraction(moment: Moment) -> str:
    """As many digits as are needed, in threes."""
    digits = f"{moment.ticks % TICKS_PER_SECOND:07d}".rstrip("0")
    return "." + "f" * (3 if len(digits) <= 3 else 6 if len(digits) <= 6 else 7) if digits else ""


def _date_time_from_epoch(value: JsonValue) -> str:
    return format_moment(moment_of_unix(long_argument("dateTimeFromEpoch", 1, value)), "yyyy-MM-ddTHH:mm:ssK")


def _date_time_to_epoch(value: JsonValue) -> int:
    return _moment("dateTimeToEpoch", value).unix_seconds()


def _moment(function: str, value: JsonValue) -> Moment:
    text = strict_text_argument(function, 1, value)
    moment = read_iso(text)
    if moment is None:
        raise EvaluationError(f"{function}() expects a date and time in ISO 8601, got '{text[:60]}'")
    return moment


FUNCTIONS = (
    Function("addDays", 2, 2, _add_days, "a universal date and time some days later, or earlier"),
    Function(
        "dateTimeAdd", 2, 3, _date_time_add, "a date and time after a duration, in a format", TEMPLATE_ONLY
    ),
    Function(
        "dateTimeFromEpoch", 1, 1, _date_time_from_epoch, "the date and time of Unix seconds", TEMPLATE_ONLY
    ),
    Function(
        "dateTimeToEpoch", 1, 1, _date_time_to_epoch, "the Unix seconds of a date and time", TEMPLATE_ONLY
    ),
)
