"""Strings as .NET sees them: UTF-16 lengths, comparisons of the invariant culture.

The service compares with InvariantCultureIgnoreCase; full Unicode case folding gives the same answers for all
but exotic input. Text never holds half of a surrogate pair: a cut through a pair leaves U+FFFD, which is what
.NET writes for it as UTF-8.
"""

import unicodedata
from typing import Final

_UTF16: Final = "utf-16-le"


def fold(text: str) -> str:
    """What two strings have in common when they are equal but for case."""
    return text.casefold()


def equal_ignoring_case(left: str, right: str) -> bool:
    return left == right or left.casefold() == right.casefold()


def length(text: str) -> int:
    """The number of UTF-16 code units."""
    return len(text) if _is_plane_zero(text) else len(text.encode(_UTF16, "surrogatepass")) // 2


def cut(text: str, start: int, end: int | None = None) -> str:
    """`text[start:end]` in UTF-16 code units; both are at least 0."""
    if _is_plane_zero(text):
        return text[start:end]
    units = text.encode(_UTF16, "surrogatepass")
    return units[2 * start : None if end is None else 2 * end].decode(_UTF16, "replace")


def utf8(text: str) -> bytes:
    """As .NET encodes it: half a surrogate pair becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode(_UTF16, "surrogatepass").decode(_UTF16, "replace").encode()


def index_ignoring_case(text: str, part: str) -> int:
    """The first UTF-16 index of `part` in `text`, -1 without one."""
    folded, origins = _fold_with_origins(text)
    needle = part.casefold()
    found = folded.find(needle)
    while found > 0 and origins is not None and origins[found] == origins[found - 1]:
        found = folded.find(needle, found + 1)
    return found if found < 0 else _units_before(text, found if origins is None else origins[found])


def last_index_ignoring_case(text: str, part: str) -> int:
    """The last UTF-16 index of `part` in `text`, -1 without one; the length for an empty `part`."""
    folded, origins = _fold_with_origins(text)
    needle = part.casefold()
    found = folded.rfind(needle)
    while found > 0 and origins is not None and origins[found] == origins[found - 1]:
        found = folded.rfind(needle, 0, found + len(needle) - 1)
    return found if found < 0 else _units_before(text, found if origins is None else origins[found])


def replace_ignoring_case(text: str, old: str, new: str) -> str:
    """Every occurrence of `old` (not empty) becomes `new`, whatever its case."""
    folded, origins = _fold_with_origins(text)
    needle = old.casefold()
    pieces: list[str] = []
    done, search = 0, 0
    while (found := folded.find(needle, search)) >= 0:
        end = found + len(needle)
        start_here, end_here = (found, end) if origins is None else (origins[found], origins[end])
        search = end
        if origins is not None and (
            (found > 0 and origins[found - 1] == start_here) or origins[end - 1] == end_here
        ):
            search = found + 1  # Only half of a character such as the sharp s, which folds to two.
            continue
        pieces += (text[done:start_here], new)
        done = end_here
    return "".join((*pieces, text[done:]))


def collation_key(text: str, *, ignore_case: bool = False) -> tuple[tuple[int, ...], ...]:
    """Orders strings as the invariant culture does: letters first by base, then by accent, then by case.

    Follows the root collation of Unicode for ASCII and for letters with accents; other characters are
    ordered by code point after them.
    """
    bases: list[int] = []
    accents: list[int] = []
    cases: list[int] = []
    for character in text if text.isascii() else unicodedata.normalize("NFD", text):
        weight = _PRIMARY.get(character)
        if weight is None and unicodedata.combining(character):
            accents.append(ord(character))
            continue
        lower = character.casefold()
        # A letter that folds to several (the sharp s) has the place of those.
        bases += (
            [weight]
            if weight is not None
            else [_PRIMARY.get(letter, len(_PRIMARY) + ord(letter)) for letter in lower]
        )
        accents.append(0)
        cases.append(character != lower)
    return tuple(bases), tuple(accents), () if ignore_case else tuple(cases)


def compare(left: str, right: str, *, ignore_case: bool = False) -> int:
    """-1, 0 or 1 as string.Compare of the invariant culture."""
    if left == right:
        return 0
    first, second = (collation_key(text, ignore_case=ignore_case) for text in (left, right))
    return (first > second) - (first < second)


_ORDER: Final = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789"
_PRIMARY: Final[dict[str, int]] = {
    **{character: rank for rank, character in enumerate("\t\n\x0b\x0c\r \x85\xa0" + _ORDER)},
    **{letter: 100 + rank for rank, letter in enumerate("abcdefghijklmnopqrstuvwxyz")},
    **{letter: 100 + rank for rank, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ")},
}


def _is_plane_zero(text: str) -> bool:
    return text.isascii() or max(text) <= "\uffff"


def _units_before(text: str, index: int) -> int:
    return index if _is_plane_zero(text) else length(text[:index])


def _fold_with_origins(text: str) -> tuple[str, list[int] | None]:
    """The folded text and, when folding made it longer, where in `text` each of its characters comes from."""
    folded = text.casefold()
    if len(folded) == len(text):
        return folded, None
    origins = [index for index, character in enumerate(text) for _ in character.casefold()]
    return folded, [*origins, len(text)]
