"""Runs the cases of a table against the engine and compares what happened with what they expect."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue, canonical
from goldsmith.policy.aliases import from_providers, merged
from goldsmith.policy.compile import Pool
from goldsmith.policy.document import Document
from goldsmith.policy.evaluate import evaluate_node
from goldsmith.policy.rule import Condition, Rule
from goldsmith.policy.testing.coverage import Seen, branches, visit
from goldsmith.policy.testing.engine import Engine, Posed
from goldsmith.policy.testing.functions import same_json
from goldsmith.policy.testing.model import (
    NO_EFFECT,
    Branch,
    Case,
    CaseResult,
    Expectation,
    Refusal,
    SuiteResult,
    Table,
    Unstated,
    Verdict,
)
from goldsmith.policy.testing.outcome import (
    LOOKS_FOR_RELATED,
    Outcome,
    check_changes,
    outcome_of,
    related_of,
    resolve_details,
)
from goldsmith.policy.testing.tree import tree_text

_SHOWN_CHARACTERS = 300


def run_table(
    table: Table, engine: Engine, *, seconds: Callable[[], float] = time.perf_counter
) -> SuiteResult:
    """Every case's result, and for a table about one definition which branches of its rule they saw.

    An alias listing of the table's own goes before the engine's. `seconds` measures how long a case takes.
    """
    if table.aliases is not None:
        engine = Engine(aliases=merged(from_providers(table.aliases), engine.aliases))
    seen = Seen()
    results = []
    for case in table.cases:
        started = seconds()
        result = run_case(case, engine, seen=seen)
        results.append(replace(result, seconds=max(0.0, seconds() - started)))
    return SuiteResult(
        name=table.name,
        results=tuple(results),
        branches=_branches(table, engine, seen),
        coverage_min=table.coverage_min,
    )


def run_case(case: Case, engine: Engine, *, seen: Seen | None = None) -> CaseResult:
    """One case; what it sees of the rule's branches is added to `seen`."""
    if case.excluded is not None:
        return CaseResult(name=case.name, verdict=Verdict.EXCLUDED, reason=case.excluded)
    try:
        definition = engine.read(case)
        if case.expect == Expectation() or case.expect.refused is Refusal.READING:
            # Only that the definition reads, or that it does not.
            posed, outcome = None, None
        else:
            posed = engine.pose(case)
            outcome = Outcome(effect=NO_EFFECT, state="NotEvaluated") if posed is None else outcome_of(posed)
            if posed is not None and case.expect.refused is Refusal.COMPILING:
                check_changes(posed)
    except InvalidInputError as error:
        return _refused(case, error)
    if case.expect.refused is not None:
        return _failed(
            case, f"the definition was taken, expected it to be refused when {case.expect.refused}"
        )
    if posed is not None and seen is not None and definition.rule is not None:
        see(posed, definition.rule, seen)
    expect = case.expect
    if posed is not None and expect.details is not Unstated.UNSTATED:
        # A table may write the expected details with the expressions that the definition has there.
        expect = replace(expect, details=resolve_details(expect.details, posed))
    problems = () if outcome is None else tuple(_differences(expect, outcome))
    if not problems:
        return CaseResult(name=case.name, verdict=Verdict.PASSED)
    return _failed(case, *problems, explanation="" if posed is None else tree_text(posed))


def see(posed: Posed, rule: Rule, seen: Seen) -> None:
    """Note what this evaluation sees of the rule's branches; it goes as far as the evaluation does."""
    prepared, compiler = posed.prepared, posed.compiler
    # A pool of its own, and so documents of their own: what is asked here is asked of parts of the rule.
    pool = Pool()

    def ask(condition: Condition, document: Document) -> bool:
        return evaluate_node(compiler.condition(condition, prepared, pool), document)

    def ask_related(condition: Condition, document: Document) -> bool:
        return evaluate_node(compiler.existence(condition, prepared, pool), document)

    try:
        if not visit(rule.condition, partial(ask, document=posed.target.document.with_related(None)), seen):
            return
        if rule.existence is None or prepared.assigned.effect not in LOOKS_FOR_RELATED:
            return
        for each in related_of(posed):
            document = posed.target.document.with_related(each)
            if visit(rule.existence, partial(ask_related, document=document), seen):
                return
    except EvaluationError:
        # The outcome of the case says so.
        return


def contains(value: JsonValue, part: JsonValue) -> bool:
    """Whether an object has all members of `part`, with theirs; other values must be equal."""
    if isinstance(part, dict) and isinstance(value, dict):
        folded = {key.lower(): member for key, member in value.items()}
        return all(
            key.lower() in folded and contains(folded[key.lower()], member) for key, member in part.items()
        )
    if isinstance(part, list) and isinstance(value, list):
        return len(part) == len(value) and all(map(contains, value, part))
    return same_json(value, part)


def _refused(case: Case, error: InvalidInputError) -> CaseResult:
    if case.expect.refused is not None:
        return CaseResult(name=case.name, verdict=Verdict.PASSED)
    if case.expect.error is not None and case.expect.error.lower() in error.message.lower():
        return CaseResult(name=case.name, verdict=Verdict.PASSED)
    return _failed(case, f"it is refused: {error.message}", *([f"hint: {error.hint}"] if error.hint else []))


def _failed(case: Case, *problems: str, explanation: str = "") -> CaseResult:
    return CaseResult(name=case.name, verdict=Verdict.FAILED, problems=problems, explanation=explanation)


def _differences(expect: Expectation, outcome: Outcome) -> Iterator[str]:
    failure = f" ({outcome.error})" if outcome.error is not None else ""
    if expect.effect is not None and expect.effect.lower() != outcome.effect.lower():
        yield f"effect is {outcome.effect}{failure}, expected {expect.effect}"
    if expect.state is not None and expect.state.lower() != outcome.state.lower():
        yield f"state is {outcome.state}{failure}, expected {expect.state}"
    if expect.error is not None:
        if outcome.error is None:
            yield f"the evaluation does not fail, expected an error with {expect.error!r} in it"
        elif expect.error.lower() not in outcome.error.lower():
            yield f"error is {outcome.error!r}, expected {expect.error!r} in it"
    for reason in expect.reasons:
        if not any(reason.lower() in given.lower() for given in outcome.reasons):
            yield f"reasons are {_shown(list(outcome.reasons))}, expected {reason!r} among them"
    for part in expect.evaluated:
        if not any(contains(dict(given), part) for given in outcome.evaluated):
            yield (
                f"evaluated expressions are {_shown([dict(each) for each in outcome.evaluated])}, "
                f"expected one with {_shown(part)}"
            )
    yield from _value_differences(expect, outcome)


def _value_differences(expect: Expectation, outcome: Outcome) -> Iterator[str]:
    if expect.resource is not Unstated.UNSTATED and not same_json(outcome.rewritten, expect.resource):
        yield from _paths("resource", outcome.rewritten, expect.resource, whole=True)
    if expect.rewritten is not Unstated.UNSTATED and not contains(outcome.rewritten, expect.rewritten):
        yield from _paths("rewritten", outcome.rewritten, expect.rewritten, whole=False)
    if expect.details is not Unstated.UNSTATED and not contains(outcome.details, expect.details):
        yield from _paths("details", outcome.details, expect.details, whole=False)
    if expect.deployment is not None:
        given: JsonValue = None if outcome.deployment is None else dict(outcome.deployment)
        if not contains(given, dict(expect.deployment)):
            yield from _paths("deployment", given, dict(expect.deployment), whole=False)


def _paths(at: str, value: JsonValue, expected: JsonValue, *, whole: bool) -> Iterator[str]:
    """Where two values differ, each place by its path."""
    if isinstance(value, dict) and isinstance(expected, dict):
        folded = {key.lower(): (key, member) for key, member in value.items()}
        for key, member in expected.items():
            if key.lower() not in folded:
                yield f"{at}.{key} is missing, expected {_shown(member)}"
            else:
                yield from _paths(f"{at}.{key}", folded.pop(key.lower())[1], member, whole=whole)
        for key, extra in folded.values() if whole else ():
            yield f"{at}.{key} is {_shown(extra)}, expected it to be missing"
    elif isinstance(value, list) and isinstance(expected, list) and len(value) == len(expected):
        for index, (one, other) in enumerate(zip(value, expected, strict=True)):
            yield from _paths(f"{at}[{index}]", one, other, whole=whole)
    elif not same_json(value, expected):
        yield f"{at} is {_shown(value)}, expected {_shown(expected)}"


def _branches(table: Table, engine: Engine, seen: Seen) -> tuple[Branch, ...]:
    # Where each case has a definition of its own there is nothing that they cover together.
    if len({id(case.definition) for case in table.cases}) != 1:
        return ()
    try:
        rule = engine.read(table.cases[0]).rule
    except InvalidInputError:
        return ()
    return () if rule is None else branches(rule, seen)


def _shown(value: JsonValue) -> str:
    text = canonical(value).decode()
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
