"""Numbers as text by a .NET format: `N2`, `X8`, `P1`, `0.00`, with the invariant culture.

Specification: .NET, "standard numeric format strings" and "custom numeric format strings".
"""

import re
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from math import isfinite

from goldsmith.expressions.errors import EvaluationError
from goldsmith.expressions.limits import check_string_length
from goldsmith.expressions.values import number_text

_STANDARD = re.compile(r"([A-Za-z])([0-9]{0,9})")
_CUSTOM_LENGTH_MAX = 1_000
_DEFAULT_PRECISION = {"C": 2, "E": 6, "F": 2, "N": 2, "P": 2}


def format_number(value: int | float, pattern: str) -> str:
    """Raises EvaluationError for a pattern that .NET refuses for this type of number."""
    standard = _STANDARD.fullmatch(pattern)
    if not pattern or (isinstance(value, float) and not isfinite(value)):
        return number_text(value)
    if standard is None:
        return _custom(value, pattern)
    letter, digits = standard[1], standard[2]
    kind = letter.upper()
    precision = int(digits) if digits else _DEFAULT_PRECISION.get(kind, 0)
    check_string_length(precision)
    if kind in "DXB" and isinstance(value, int):
        return _integer(value, letter, precision)
    if kind == "R":
        return number_text(value)
    with localcontext(Context(prec=precision + 800, rounding=ROUND_HALF_UP)):
        number = Decimal(value)
        match kind:
            case "F":
                return _fixed(number, precision)
            case "N":
                return _grouped(_fixed(number, precision))
            case "P":
                return _grouped(_fixed(number * 100, precision)) + " %"
            case "C":
                text = _grouped(_fixed(abs(number), precision))
                return f"(¤{text})" if number < 0 else f"¤{text}"
            case "E":
                return _scientific(number, precision, letter, exponent_digits=3)
            case "G":
                return _general(value, number, precision, letter)
    raise EvaluationError(
        f"'{pattern[:20]}' is no format for {'a float' if isinstance(value, float) else 'an integer'}"
    )


def _integer(value: int, letter: str, precision: int) -> str:
    if letter in "Dd":
        return ("-" if value < 0 else "") + str(abs(value)).rjust(precision, "0")
    # Negative numbers are written in two's complement of 64 bits.
    return format(value % 2**64, letter if letter in "Xx" else "b").rjust(precision, "0")


def _fixed(number: Decimal, precision: int) -> str:
    return format(number.quantize(Decimal(1).scaleb(-precision)), "f")


def _grouped(text: str) -> str:
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, point, fraction = digits.partition(".")
    return f"{sign}{_in_threes(whole)}{point}{fraction}"


def _in_threes(digits: str) -> str:
    head = len(digits) % 3
    groups = [digits[:head]] if head else []
    return ",".join(groups + [digits[index : index + 3] for index in range(head, len(digits), 3)])


def _scientific(number: Decimal, precision: int, letter: str, *, exponent_digits: int) -> str:
    mantissa, _, exponent = format(number, f".{precision}E").partition("E")
    power = int(exponent) if number else 0
    return f"{mantissa}{letter}{'-' if power < 0 else '+'}{abs(power):0{exponent_digits}d}"


def _general(value: int | float, number: Decimal, precision: int, letter: str) -> str:
    if precision == 0:
        text = number_text(value)
        return text if letter == "G" else text.replace("E", "e")
    if not number:
        return "0"
    rounded = Decimal(format(number, f".{precision - 1}E"))
    if -5 <= rounded.adjusted() < precision:
        text = format(rounded, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, _, exponent = format(rounded, "E").partition("E")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    power = int(exponent)
    return f"{mantissa}{'E' if letter == 'G' else 'e'}{'-' if power < 0 else '+'}{abs(power):02d}"


_CUSTOM_TOKEN = re.compile(
    r"""\\(?P<escaped>.) | '(?P<single>[^']*)' | "(?P<double>[^"]*)"
      | (?P<exponent>[eE][+-]?0+) | (?P<sign>[0#.,%‰]) | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


def _custom(value: int | float, pattern: str) -> str:
    if len(pattern) > _CUSTOM_LENGTH_MAX:
        raise EvaluationError(
            f"a number format has at most {_CUSTOM_LENGTH_MAX} characters, got {len(pattern)}"
        )
    sections = _sections(pattern)
    number = Decimal(value)
    section, negative = sections[0], number < 0
    if negative and len(sections) > 1 and sections[1]:
        section, negative = sections[1], False
    elif not number and len(sections) > 2 and sections[2]:
        section = sections[2]
    tokens = [
        ("text", match["escaped"] or match["single"] or match["double"] or "")
        if match.lastgroup in ("escaped", "single", "double")
        else (match.lastgroup or "other", match.group())
        for match in _CUSTOM_TOKEN.finditer(section)
    ]
    return ("-" if negative else "") + _fill(number.copy_abs(), tokens)


def _sections(pattern: str) -> list[str]:
    """The parts between semicolons that are neither quoted nor escaped."""
    parts, start = [], 0
    for match in _CUSTOM_TOKEN.finditer(pattern):
        if match.group() == ";":
            parts.append(pattern[start : match.start()])
            start = match.end()
    return [*parts, pattern[start:]]


def _fill(number: Decimal, tokens: list[tuple[str, str]]) -> str:
    signs = [text for kind, text in tokens if kind == "sign"]
    point = signs.index(".") if "." in signs else len(signs)
    whole_places = [sign for sign in signs[:point] if sign in "0#"]
    fraction_places = [sign for sign in signs[point:] if sign in "0#"]
    commas = "".join(sign for sign in signs[:point] if sign in "0#,")
    scale = len(commas) - len(commas.rstrip(","))
    grouped = "," in commas.rstrip(",")
    exponent = next((text for kind, text in tokens if kind == "exponent"), None)
    with localcontext(Context(prec=3 * len(signs) + 800, rounding=ROUND_HALF_UP)):
        number = number.scaleb(2 * signs.count("%") + 3 * signs.count("‰") - 3 * scale)
        power = 0
        if exponent and number:
            power = number.adjusted() - max(1, len(whole_places)) + 1
            number = number.scaleb(-power)
        whole, _, fraction = _fixed(number, len(fraction_places)).partition(".")
    least_whole = len(whole_places) - whole_places.index("0") if "0" in whole_places else 0
    whole = whole.lstrip("0").rjust(least_whole, "0")
    least_fraction = len(fraction_places) - fraction_places[::-1].index("0") if "0" in fraction_places else 0
    fraction = fraction.rstrip("0").ljust(least_fraction, "0")
    written = _in_threes(whole) if grouped and whole else whole
    written += "." + fraction if fraction else ""
    pieces: list[str] = []
    placed = False
    for kind, text in tokens:
        if kind == "sign" and text in "0#.,":
            # The digits stand together where the first place is.
            pieces.append("" if placed else written)
            placed = True
        elif kind == "exponent":
            pieces.append(_exponent(text, power))
        else:
            pieces.append(text)
    return "".join(pieces)


def _exponent(pattern: str, power: int) -> str:
    zeros = pattern.count("0")
    sign = "-" if power < 0 else "+" if "+" in pattern else ""
    return f"{pattern[0]}{sign}{abs(power):0{min(zeros, 10)}d}"
