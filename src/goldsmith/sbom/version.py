"""Debian versions as byte strings that sort as the versions do (deb-version(7), Policy 5.6.12)."""

import re
from functools import cache

_PAIR = re.compile(r"([^0-9]*)([0-9]*)")
_TILDE, _END = 0x01, 0x02
_DIGITS_MAX = 255


@cache
def sort_key(version: str) -> bytes:
    """Keys compare bytewise as dpkg compares the versions; equal versions (`1.0` and `1.00-0`) share a key.

    Layout: epoch, upstream version and revision in turn; each is a run of pairs (text, number). Of a text,
    `~` is 0x01, its end 0x02, letters are ASCII and all else is 0x80 and more; a number is a length byte and
    its digits without leading zeros. So a plain `<` in SQL answers "is it older".
    """
    epoch, colon, rest = version.strip().partition(":")
    if not colon:
        epoch, rest = "", version.strip()
    upstream, dash, revision = rest.rpartition("-")
    if not dash:
        upstream, revision = rest, ""
    return _number(epoch) + _part(upstream) + _part(revision)


def is_older(version: str, other: str) -> bool:
    return sort_key(version) < sort_key(other)


def _part(text: str) -> bytes:
    # An absent part equals "0", which one pair of nothing says.
    pairs = [pair for pair in _PAIR.findall(text) if pair != ("", "")] or [("", "")]
    return b"".join(_text(letters) + _number(digits) for letters, digits in pairs) + bytes((_END,))


def _text(text: str) -> bytes:
    return bytes(_rank(character) for character in text) + bytes((_END,))


def _rank(character: str) -> int:
    if character == "~":
        return _TILDE
    code = ord(character)
    if code > 0x7F:
        return 0xFF
    return code if character.isalpha() else 0x80 + code


def _number(digits: str) -> bytes:
    significant = digits.lstrip("0")[:_DIGITS_MAX]
    return bytes((len(significant),)) + significant.encode("ascii", "replace")
