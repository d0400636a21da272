"""Cases and their results, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from goldsmith.kernel.json import JsonObject, JsonValue

NO_EFFECT = "none"


class Unstated(StrEnum):
    """Stands where a table could expect null but says nothing."""

    UNSTATED = "unstated"


class Refusal(StrEnum):
    """Where a case expects the definition itself to be refused."""

    READING = "reading"
    COMPILING = "compiling"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a case expects; what is None, empty or UNSTATED is not compared.

    `effect` is an effect's name in any case, or NO_EFFECT. `error` is a part of the message with which the
    evaluation fails, "" for any. `evaluated` and `details` are compared as parts: members that the table
    leaves out are not looked at. `resource` is the whole rewritten resource, `rewritten` parts of it.
    """

    effect: str | None = None
    state: str | None = None
    error: str | None = None
    refused: Refusal | None = None
    reasons: tuple[str, ...] = ()
    evaluated: tuple[JsonObject, ...] = ()
    resource: "JsonValue | Unstated" = Unstated.UNSTATED
    rewritten: "JsonValue | Unstated" = Unstated.UNSTATED
    details: "JsonValue | Unstated" = Unstated.UNSTATED
    deployment: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One resource under one definition.

    `definition` is a whole policy definition; `declared` says whether it declares its parameters, so that
    `parameters` are checked against it. `related` are the other resources that look-ups may find. `rule_only`
    asks for the rule alone: applicability is not asked, and `related` are what the look-up found, whatever
    its details ask for. `at` is where the case stands.
    """

    name: str
    at: str
    definition: JsonValue
    declared: bool = True
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    resource: JsonValue = None
    related: tuple[JsonValue, ...] = ()
    rule_only: bool = False
    request: JsonObject | None = None
    resource_group: JsonObject | None = None
    subscription: JsonObject | None = None
    policy: JsonObject | None = None
    clock: str | None = None
    api_version: str | None = None
    expect: Expectation
    excluded: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`aliases` is an alias listing that goes before the tables given to the run.

    `coverage_min` is the share of branches (0.0-1.0) below which the table fails.
    """

    name: str
    about: str = ""
    aliases: JsonValue = None
    coverage_min: float | None = None
    cases: tuple[Case, ...]


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """`problems` say what differs, one a line; `explanation` is the readable tree of the rule.

    For an excluded case `reason` is its justification.
    """

    name: str
    verdict: Verdict
    problems: tuple[str, ...] = ()
    explanation: str = ""
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One condition of a rule and what the cases have seen of it.

    For a condition inside a count's `where` it is a member for which it held, and one for which it did not.
    """

    at: str
    text: str
    seen_true: bool
    seen_false: bool

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(
            name for name, seen in (("true", self.seen_true), ("false", self.seen_false)) if not seen
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteResult:
    """The results of one table; `branches` is empty where the table has more than one definition."""

    name: str
    results: tuple[CaseResult, ...]
    branches: tuple[Branch, ...] = ()
    coverage_min: float | None = None

    def count(self, verdict: Verdict) -> int:
        return sum(result.verdict is verdict for result in self.results)

    @property
    def failed(self) -> tuple[CaseResult, ...]:
        return tuple(result for result in self.results if result.verdict is Verdict.FAILED)

    @property
    def coverage(self) -> float | None:
        """The share of outcomes seen, two for each branch; None where nothing is measured."""
        if not self.branches:
            return None
        return sum(each.seen_true + each.seen_false for each in self.branches) / (2 * len(self.branches))

    @property
    def passed(self) -> bool:
        return not self.failed and not self.too_little_seen

    @property
    def too_little_seen(self) -> bool:
        return self.coverage_min is not None and (self.coverage or 0.0) < self.coverage_min
