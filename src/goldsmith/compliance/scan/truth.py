"""Truth tables: what a leaf says of each distinct value, found once by calling its predicate."""

from collections.abc import Sequence

import numpy as np

from goldsmith.compliance.scan.bitmaps import Bits, Verdict, assign, gathered
from goldsmith.compliance.scan.columns import Coded, Column, grown
from goldsmith.compliance.scan.dictionary import value_of
from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.tree import Leaf

FALSE, TRUE, ERROR = 0, 1, 2
_UNKNOWN = 255


class LeafScan:
    """One leaf over the rows of a table: its truth table, and its bitmaps once somebody has asked for them.

    `constants` are the inputs that are the same on all rows, as (place among the inputs, value).
    """

    def __init__(self, leaf: Leaf, coded: Coded, constants: Sequence[tuple[int, JsonValue]] = ()) -> None:
        self.leaf = leaf
        self.coded = coded
        self._constants = tuple(constants)
        self._answers = bytearray()
        self._true: Bits | None = None
        self._error: Bits | None = None

    def answer(self, row: int) -> int:
        """FALSE, TRUE or ERROR: what the leaf says of a row."""
        code = int(self.coded.codes.item(row))
        self._make_room()
        if self._answers[code] == _UNKNOWN:
            self._answers[code] = self._ask(code)
        return self._answers[code]

    def verdict(self) -> Verdict:
        """Over all rows there is room for, written or not; shared, not to be written into."""
        if self._true is None:
            self._make_room()
            unknown = np.flatnonzero(np.frombuffer(self._answers, np.uint8) == _UNKNOWN)
            self._ask_all(unknown.tolist())
            answers = np.frombuffer(self._answers, np.uint8)
            self._true = gathered(answers == TRUE, self.coded.codes)
            failed = answers == ERROR
            self._error = gathered(failed, self.coded.codes) if failed.any() else None
        return Verdict(self._true, self._error)

    def refresh_one(self, row: int) -> bool:
        """Bring the bitmaps up to date for a row that changed; whether the answer may be another one."""
        if self._true is None:
            return True
        answer = self.answer(row)
        changed = assign(self._true, row, answer == TRUE)
        if self._error is None and answer == ERROR:
            self._error = np.zeros_like(self._true)
        if self._error is not None:
            changed |= assign(self._error, row, answer == ERROR)
        return changed

    def reserve(self, size: int) -> None:
        """Make room for bitmaps of `size` bytes."""
        if self._true is not None:
            self._true = grown(self._true, size)
        if self._error is not None:
            self._error = grown(self._error, size)

    def forget_rows(self) -> None:
        """Many rows changed: the bitmaps are made anew, from the truth table, which stays."""
        self._true = self._error = None

    def forget_answers(self, constants: Sequence[tuple[int, JsonValue]]) -> None:
        """Something that all rows share changed: the truth table no longer holds."""
        self._constants = tuple(constants)
        self._answers = bytearray()
        self.forget_rows()

    def _make_room(self) -> None:
        behind = len(self.coded) - len(self._answers)
        if behind > 0:
            self._answers.extend(bytes((_UNKNOWN,)) * behind)

    def _ask_all(self, codes: Sequence[int]) -> None:
        if self._constants or not isinstance(self.coded, Column):
            for code in codes:
                self._answers[code] = self._ask(code)
            return
        # The same without a call or two a value: a column may have a value a row.
        test, keys, answers = self.leaf.test, self.coded.dictionary.keys, self._answers
        for code in codes:
            key = keys[code]
            try:
                answers[code] = TRUE if test((value_of(key) if isinstance(key, bytes) else key,)) else FALSE
            except EvaluationError:
                answers[code] = ERROR

    def _ask(self, code: int) -> int:
        values: Sequence[JsonValue] = self.coded.values(code)
        if self._constants:
            whole = list(values)
            for place, value in self._constants:
                whole.insert(place, value)
            values = whole
        try:
            return TRUE if self.leaf.test(values) else FALSE
        except EvaluationError:
            return ERROR
