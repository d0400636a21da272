"""Runs tables of function calls: `addDays` of these arguments gives that."""

from goldsmith.expressions.evaluate import evaluate
from goldsmith.expressions.functions.table import FUNCTIONS
from goldsmith.expressions.model import Call, Context, Literal
from goldsmith.kernel.errors import Error
from goldsmith.kernel.json import JsonValue, canonical
from goldsmith.policy.testing.model import CaseResult, SuiteResult, Verdict
from goldsmith.policy.testing.vectors import FunctionCase, FunctionTable


def run_functions(table: FunctionTable) -> SuiteResult:
    return SuiteResult(name=table.name, results=tuple(_run(case) for case in table.cases))


def _run(case: FunctionCase) -> CaseResult:
    if case.excluded is not None:
        return CaseResult(name=case.name, verdict=Verdict.EXCLUDED, reason=case.excluded)
    call = Call(case.function.lower(), tuple(Literal(argument) for argument in case.arguments))
    shown = f"{case.function}({', '.join(_shown(argument) for argument in case.arguments)})"
    try:
        value = evaluate(call, context=_context(case.function))
    except Error as error:
        problem = None if case.fails else f"{shown} fails: {error.message}; expected {_shown(case.want)}"
    else:
        problem = _problem(case, shown, value)
    return CaseResult(
        name=case.name,
        verdict=Verdict.FAILED if problem else Verdict.PASSED,
        problems=(problem,) if problem else (),
    )


def _problem(case: FunctionCase, shown: str, value: JsonValue) -> str | None:
    if case.fails:
        # What regorus calls undefined is an error or a null here.
        return None if value is None else f"{shown} gives {_shown(value)}, expected it to fail"
    if same_json(value, case.want):
        return None
    return f"{shown} gives {_shown(value)}, expected {_shown(case.want)}"


def same_json(one: JsonValue, other: JsonValue) -> bool:
    """Equal as JSON documents: 5 and 5.0 are one number, true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(value, other[key]) for key, value in one.items())
    return one == other


def _context(name: str) -> Context:
    function = FUNCTIONS.get(name.lower())
    in_rules = function is None or Context.POLICY in function.contexts
    return Context.POLICY if in_rules else Context.TEMPLATE


def _shown(value: JsonValue) -> str:
    return canonical(value).decode()
