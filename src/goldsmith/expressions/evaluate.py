"""Folds expressions with what is known early, and compiles the rest to closures over a frame.

`Frame` is whatever the caller's bindings read at evaluation: a resource's values, a deployment's state.
"""

import json
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from goldsmith.expressions.errors import EvaluationError, wrong_argument
from goldsmith.expressions.functions.function import Function
from goldsmith.expressions.functions.table import lookup
from goldsmith.expressions.limits import within_limits
from goldsmith.expressions.model import Call, Context, Expression, Index, Literal
from goldsmith.expressions.values import select
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue

Frame = TypeVar("Frame")
Compiled: TypeAlias = Callable[[Frame], JsonValue]


def compile_expression(
    expression: Expression, *, context: Context, bind: Callable[[Call], Compiled[Frame] | None]
) -> Compiled[Frame]:
    """A closure that evaluates `expression`; it raises EvaluationError and nothing else.

    `bind` gives a call its meaning, or None to leave it to the table of functions. `field`, `parameters` and
    their like must be bound; a binding compiles its own arguments, and may override the table.
    `if`, `and`, `or` and `coalesce` evaluate no more arguments than they need.
    Raises InvalidInputError for an unknown or forbidden function, a wrong number of arguments, and a
    contextual function that `bind` does not know.
    """
    match expression:
        case Literal(value):
            return lambda _: value
        case Index(target, key):
            return _compile_index(
                compile_expression(target, context=context, bind=bind),
                compile_expression(key, context=context, bind=bind),
            )
        case Call(name, arguments):
            # A name with a dot is a function that the template itself defines.
            function = None if "." in name else lookup(name, len(arguments), context=context)
            bound = bind(expression)
            if bound is not None:
                return bound
            if function is None:
                raise InvalidInputError(f"there is no function '{name}'")
            parts = [compile_expression(argument, context=context, bind=bind) for argument in arguments]
            return _compile_call(function, parts)


def evaluate(expression: Expression, *, context: Context) -> JsonValue:
    """The value of an expression that depends on nothing; raises as compiling and evaluating do."""
    compiled: Compiled[None] = compile_expression(expression, context=context, bind=lambda _: None)
    return compiled(None)


def fold(expression: Expression, *, context: Context, known: Callable[[Call], Literal | None]) -> Expression:
    """The same expression with all that is known put in: calls that `known` answers, pure calls of literals.

    `known` sees each call with its arguments already folded. A call that fails stays as it is, so that the
    failure comes when (and only if) it is evaluated. Raises InvalidInputError as `compile_expression`.
    """
    match expression:
        case Literal():
            return expression
        case Index(target, key):
            folded = fold(target, context=context, known=known)
            folded_key = fold(key, context=context, known=known)
            if isinstance(folded, Literal) and isinstance(folded_key, Literal):
                try:
                    return Literal(select(folded.value, folded_key.value))
                except EvaluationError:
                    pass
            return Index(folded, folded_key)
        case Call(name, arguments):
            if name in _LAZY:
                lookup(name, len(arguments), context=context)
                return _fold_lazy(name, arguments, context=context, known=known)
            function = None if "." in name else lookup(name, len(arguments), context=context)
            call = Call(name, tuple(fold(argument, context=context, known=known) for argument in arguments))
            return known(call) or (_fold_call(function, call) if function else call)


def calls(expression: Expression) -> list[Call]:
    """Every call in the expression, outer ones first."""
    match expression:
        case Literal():
            return []
        case Index(target, key):
            return calls(target) + calls(key)
        case Call(_, arguments):
            return [expression, *(inner for argument in arguments for inner in calls(argument))]


def render(expression: Expression) -> str:
    """One text for each meaning, without brackets; folded lists and objects stand in it as JSON."""
    match expression:
        case Literal(str(value)):
            return "'" + value.replace("'", "''") + "'"
        case Literal(value):
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        case Index(target, Literal(str(name))):
            return f"{render(target)}['{name.replace(chr(39), chr(39) * 2)}']"
        case Index(target, key):
            return f"{render(target)}[{render(key)}]"
        case Call(name, arguments):
            return f"{name}({', '.join(map(render, arguments))})"


_LAZY = frozenset({"if", "and", "or", "coalesce"})


def _compile_index(target: Compiled[Frame], key: Compiled[Frame]) -> Compiled[Frame]:
    return lambda frame: select(target(frame), key(frame))


def _compile_call(function: Function, parts: Sequence[Compiled[Frame]]) -> Compiled[Frame]:
    match function.name:
        case "if":
            return _compile_if(*parts)
        case "and":
            return _compile_connective("and", parts, decides=False)
        case "or":
            return _compile_connective("or", parts, decides=True)
        case "coalesce":
            return _compile_coalesce(parts)
    call = function.call
    if call is None:
        raise InvalidInputError(f"{function.name}() cannot be called here")
    if function.builds:
        call = _limited(call)
    match parts:
        case []:
            return lambda _: call()
        case [first]:
            return lambda frame: call(first(frame))
        case [first, second]:
            return lambda frame: call(first(frame), second(frame))
        case _:
            return lambda frame: call(*[part(frame) for part in parts])


def _limited(call: Callable[..., JsonValue]) -> Callable[..., JsonValue]:
    return lambda *values: within_limits(call(*values))


def _compile_if(
    condition: Compiled[Frame], when_true: Compiled[Frame], when_false: Compiled[Frame]
) -> Compiled[Frame]:
    def choose(frame: Frame) -> JsonValue:
        value = condition(frame)
        if value is True:
            return when_true(frame)
        if value is False:
            return when_false(frame)
        raise wrong_argument("if", 1, "a boolean", value)

    return choose


def _compile_connective(name: str, parts: Sequence[Compiled[Frame]], *, decides: bool) -> Compiled[Frame]:
    def connect(frame: Frame) -> JsonValue:
        for position, part in enumerate(parts, 1):
            value = part(frame)
            if value is decides:
                return decides
            if not isinstance(value, bool):
                raise wrong_argument(name, position, "a boolean", value)
        return not decides

    return connect


def _compile_coalesce(parts: Sequence[Compiled[Frame]]) -> Compiled[Frame]:
    def first_value(frame: Frame) -> JsonValue:
        for part in parts:
            value = part(frame)
            if value is not None:
                return value
        return None

    return first_value


def _fold_call(function: Function, call: Call) -> Expression:
    values = [argument.value for argument in call.arguments if isinstance(argument, Literal)]
    if function.call is None or not function.pure or len(values) < len(call.arguments):
        return call
    try:
        value = function.call(*values)
        return Literal(within_limits(value) if function.builds else value)
    except EvaluationError:
        return call


def _fold_lazy(
    name: str,
    arguments: tuple[Expression, ...],
    *,
    context: Context,
    known: Callable[[Call], Literal | None],
) -> Expression:
    """Only as far as evaluation would go: what a known argument makes unreachable is dropped."""
    kept: list[Expression] = []
    if name == "if":
        condition = fold(arguments[0], context=context, known=known)
        if isinstance(condition, Literal) and isinstance(condition.value, bool):
            return fold(arguments[1 if condition.value else 2], context=context, known=known)
        branches = (fold(argument, context=context, known=known) for argument in arguments[1:])
        return Call(name, (condition, *branches))
    for argument in arguments:
        folded = fold(argument, context=context, known=known)
        kept.append(folded)
        if not isinstance(folded, Literal):
            continue
        value = folded.value
        if name == "coalesce":
            if value is not None:
                break
            kept.pop()
        elif isinstance(value, bool):
            if value is (name == "or"):
                break
            kept.pop()
        else:
            break
    return _lazy_of(name, kept)


def _lazy_of(name: str, kept: list[Expression]) -> Expression:
    """`and`, `or` or `coalesce` of what is left after the neutral arguments are gone."""
    if not kept:
        return Literal({"and": True, "or": False, "coalesce": None}[name])
    first = kept[0]
    if isinstance(first, Literal) and (name == "coalesce" or isinstance(first.value, bool)):
        return first
    if len(kept) == 1:
        if name == "coalesce":
            return first
        # A lone operand must still be a boolean: `and(x, true)` says so and means no more.
        kept.append(Literal(name == "and"))
    return Call(name, tuple(kept))
