"""Dates and times in ticks of 100 ns: reading ISO 8601, and writing them by a .NET format.

Specification: .NET, "standard" and "custom date and time format strings", invariant culture.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from goldsmith.expressions.errors import EvaluationError

TICKS_PER_SECOND = 10_000_000
TICKS_PER_DAY = 86_400 * TICKS_PER_SECOND
_TICKS_MAX = 3_652_059 * TICKS_PER_DAY - 1
_EPOCH_TICKS = 719_162 * TICKS_PER_DAY

_ISO = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    r"(?:[T ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?)?"
    r"[ ]?(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_UNIVERSAL = re.compile(r"[0-9]{4}(?:-[0-9]{2}){2}T[0-9]{2}(?::[0-9]{2}){2}(?:\.[0-9]{1,7})?Z")
_ROUND_TRIP = re.compile(r"[0-9]{4}(?:-[0-9]{2}){2}T[0-9]{2}(?::[0-9]{2}){2}\.[0-9]{7}[+-][0-9]{2}:[0-9]{2}")
_DURATION = re.compile(
    r"(?P<minus>-)?P(?:(?P<years>[0-9]{1,6})Y)?(?:(?P<months>[0-9]{1,6})M)?(?:(?P<weeks>[0-9]{1,6})W)?"
    r"(?:(?P<days>[0-9]{1,8})D)?"
    r"(?:T(?:(?P<hours>[0-9]{1,9})H)?(?:(?P<minutes>[0-9]{1,9})M)?(?:(?P<seconds>[0-9]{1,9})(?:\.(?P<part>[0-9]{1,7}))?S)?)?"
)


@dataclass(frozen=True, slots=True)
class Moment:
    """`ticks` since 0001-01-01 as the clock on the wall shows; `offset_minutes` of that clock from UTC."""

    ticks: int
    offset_minutes: int = 0

    def plus(self, ticks: int) -> "Moment":
        """Raises EvaluationError outside the years 1 to 9999."""
        total = self.ticks + ticks
        if not 0 <= total <= _TICKS_MAX:
            raise EvaluationError("the date is outside the years 1 to 9999")
        return replace(self, ticks=total)

    def universal(self) -> "Moment":
        return Moment(self.plus(-self.offset_minutes * 60 * TICKS_PER_SECOND).ticks)

    def unix_seconds(self) -> int:
        return (self.universal().ticks - _EPOCH_TICKS) // TICKS_PER_SECOND


def moment_of(instant: datetime) -> Moment:
    """The moment in UTC of an aware datetime."""
    since = instant.astimezone(UTC) - datetime(1, 1, 1, tzinfo=UTC)
    return Moment((since // timedelta(microseconds=1)) * 10)


def moment_of_unix(seconds: int) -> Moment:
    """Raises EvaluationError outside the years 1 to 9999."""
    return Moment(_EPOCH_TICKS).plus(seconds * TICKS_PER_SECOND)


def round_trip(moment: Moment) -> str:
    """The format "o" in UTC, as policy rules see every moment: `2024-01-20T12:00:00.0000000Z`."""
    return format_moment(moment.universal(), "o")


def read_universal(text: str) -> Moment | None:
    """Universal ISO 8601 as policy rules demand it; None for anything else."""
    return read_iso(text) if _UNIVERSAL.fullmatch(text) or _ROUND_TRIP.fullmatch(text) else None


def read_iso(text: str) -> Moment | None:
    """ISO 8601 with `T` or a blank; without a zone it is UTC. None when it is no such moment."""
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    try:
        days = date(int(match["year"]), int(match["month"]), int(match["day"])).toordinal() - 1
    except ValueError:
        return None
    offset = _offset_minutes(match["zone"])
    if hour > 23 or minute > 59 or second > 59 or offset is None:
        return None
    fraction = int((match["fraction"] or "").ljust(7, "0")[:7])
    seconds = (hour * 60 + minute) * 60 + second
    moment = Moment(days * TICKS_PER_DAY + seconds * TICKS_PER_SECOND + fraction, offset)
    return moment if 0 <= moment.ticks - offset * 60 * TICKS_PER_SECOND <= _TICKS_MAX else None


def read_duration(text: str) -> int | None:
    """The ticks of an ISO 8601 duration; a year is 365 days and a month 30, as in .NET's XmlConvert."""
    match = _DURATION.fullmatch(text)
    if match is None or text[-1] in "PT":
        return None
    number = {name: int(match[name] or 0) for name in match.groupdict() if name not in ("minus", "part")}
    days = number["years"] * 365 + number["months"] * 30 + number["weeks"] * 7 + number["days"]
    seconds = (number["hours"] * 60 + number["minutes"]) * 60 + number["seconds"]
    ticks = days * TICKS_PER_DAY + seconds * TICKS_PER_SECOND + int((match["part"] or "").ljust(7, "0"))
    return -ticks if match["minus"] else ticks


def _offset_minutes(zone: str | None) -> int | None:
    if zone in (None, "Z"):
        return 0
    digits = str(zone)[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if minutes > 59 or hours * 60 + minutes > 14 * 60:
        return None
    return (hours * 60 + minutes) * (-1 if str(zone)[0] == "-" else 1)


_STANDARD = {
    "d": "MM/dd/yyyy",
    "D": "dddd, dd MMMM yyyy",
    "f": "dddd, dd MMMM yyyy HH:mm",
    "F": "dddd, dd MMMM yyyy HH:mm:ss",
    "g": "MM/dd/yyyy HH:mm",
    "G": "MM/dd/yyyy HH:mm:ss",
    "m": "MMMM dd",
    "M": "MMMM dd",
    "o": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "O": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "r": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "R": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "t": "HH:mm",
    "T": "HH:mm:ss",
    "u": "yyyy-MM-dd HH:mm:ss'Z'",
    "U": "dddd, dd MMMM yyyy HH:mm:ss",
    "y": "yyyy MMMM",
    "Y": "yyyy MMMM",
}
_CUSTOM = re.compile(
    r"""(?P<code>d+|f+|F+|g+|h+|H+|K|m+|M+|s+|t+|y+|z+)|'(?P<single>[^']*)'|"(?P<double>[^"]*)"|\\(?P<escaped>.)|%|(?P<text>[^'"\\])""",
    re.DOTALL,
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def format_moment(moment: Moment, pattern: str) -> str:
    """Raises EvaluationError for a pattern that .NET refuses."""
    if len(pattern) == 1:
        if pattern not in _STANDARD:
            raise EvaluationError(f"'{pattern}' is no standard date format")
        moment = moment.universal() if pattern in "rRuU" else moment
        pattern = _STANDARD[pattern]
    pieces: list[str] = []
    position = 0
    while position < len(pattern):
        match = _CUSTOM.match(pattern, position)
        if match is None:
            raise EvaluationError(f"the date format '{pattern[:40]}' ends inside a quote or an escape")
        position = match.end()
        if code := match["code"]:
            piece = _part(moment, code)
            if code[0] == "F" and not piece and pieces and pieces[-1] == ".":
                pieces.pop()
        else:
            piece = match["single"] or match["double"] or match["escaped"] or match["text"] or ""
        pieces.append(piece)
    return "".join(pieces)


def _part(moment: Moment, code: str) -> str:
    day_number, ticks = divmod(moment.ticks, TICKS_PER_DAY)
    seconds, fraction = divmod(ticks, TICKS_PER_SECOND)
    day = date.fromordinal(day_number + 1)
    hour, size = seconds // 3600, len(code)
    match code[0]:
        case "d":
            name = _DAYS[day.weekday()]
            return _digits(day.day, size) if size < 3 else name[:3] if size == 3 else name
        case "M":
            name = _MONTHS[day.month - 1]
            return _digits(day.month, size) if size < 3 else name[:3] if size == 3 else name
        case "y":
            return _digits(day.year % 100, size) if size < 3 else f"{day.year:0{min(size, 99)}d}"
        case "H":
            return _digits(hour, size)
        case "h":
            return _digits(hour % 12 or 12, size)
        case "m":
            return _digits(seconds // 60 % 60, size)
        case "s":
            return _digits(seconds % 60, size)
        case "t":
            return ("AM" if hour < 12 else "PM")[: min(size, 2)]
        case "g":
            return "A.D."
        case "f" | "F":
            if size > 7:
                raise EvaluationError(f"a date format has at most 7 digits of a second, got {size}")
            digits = f"{fraction:07d}"[:size]
            return digits if code[0] == "f" else digits.rstrip("0")
        case "z":
            return _zone(moment.offset_minutes, size)
        case _:
            return "Z" if moment.offset_minutes == 0 else _zone(moment.offset_minutes, 3)


def _digits(number: int, size: int) -> str:
    return f"{number:0{min(size, 2)}d}"


def _zone(offset_minutes: int, size: int) -> str:
    sign, (hours, minutes) = "-" if offset_minutes < 0 else "+", divmod(abs(offset_minutes), 60)
    return f"{sign}{hours:0{min(size, 2)}d}" + (f":{minutes:02d}" if size > 2 else "")
