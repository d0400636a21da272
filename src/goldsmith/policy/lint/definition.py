"""A policy definition as the checks read it: members in any case, conditions as a list, expressions parsed.

Nothing here raises on a malformed definition: what has the wrong shape is simply not there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from goldsmith.expressions.model import Call, Expression, Index, Literal
from goldsmith.expressions.parse import is_expression as is_expression_text
from goldsmith.expressions.parse import parse_expression
from goldsmith.kernel.errors import Error
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.aliases import AliasTable
from goldsmith.policy.limits import NESTED_CONDITIONS_MAX
from goldsmith.policy.lint.model import Path, path_text
from goldsmith.policy.rule import Effect, Operator

_QUANTIFIERS = {"allof": "allOf", "anyof": "anyOf", "not": "not"}
_OPERATORS = {operator.value.lower(): operator for operator in Operator}
_EFFECTS = {effect.value.lower(): effect for effect in Effect}
_RESOURCE_MANAGER_MODES = ("all", "indexed")
# Deeper nesting is refused by the language; below it nothing is looked at.
DEPTH_MAX = NESTED_CONDITIONS_MAX


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object found by a name in any case: `key` is how it is written."""

    key: str
    value: Any
    path: Path


@dataclass(slots=True, kw_only=True, eq=False)
class Node:
    """One condition: a quantifier (`allOf`, `anyOf`, `not`) or a leaf (`field`, `value`, `count`).

    `section` is "if", "existenceCondition" or "where"; `positive` says that an even number of `not` is
    around it; `counted` are the array aliases of the counts it stands in, outermost first.
    """

    kind: str
    path: Path
    body: JsonObject
    section: str
    positive: bool
    depth: int
    counted: tuple[str, ...]
    parent: "Node | None" = None
    children: list["Node"] = field(default_factory=list)
    operator: Operator | None = None
    operator_key: str = ""
    subject: Any = None
    subject_key: str = ""

    @property
    def target(self) -> Any:
        return self.body.get(self.operator_key)

    @property
    def subject_path(self) -> Path:
        return (*self.path, self.subject_key)

    @property
    def target_path(self) -> Path:
        return (*self.path, self.operator_key)

    @property
    def field_name(self) -> str | None:
        """The field of a field condition as written, unless it is computed."""
        plain = self.kind == "field" and isinstance(self.subject, str) and not is_expression(self.subject)
        return self.subject if plain else None

    @property
    def is_quantifier(self) -> bool:
        return self.kind in ("allOf", "anyOf", "not")

    def below(self) -> Iterator["Node"]:
        """This node and all below it, parents first, counts' `where` included."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))


@dataclass(frozen=True, slots=True)
class Written:
    """A string of the rule that is an expression; `tree` is None and `problem` set when it does not parse."""

    path: Path
    text: str
    tree: "Expression | None"
    problem: str | None


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    path: Path
    body: JsonObject

    def get(self, name: str) -> Any:
        found = member(self.body, name)
        return found.value if found else None

    def has(self, name: str) -> bool:
        return member(self.body, name) is not None

    @property
    def type(self) -> str:
        """In lower case; empty when there is none."""
        written = self.get("type")
        return written.lower() if isinstance(written, str) else ""


class Definition:
    """One document under inspection: a definition, its property bag, or a rule by itself (`is_bare`).

    `at` is where the document stands in its text, `properties` the property bag and `base` where that stands.
    """

    def __init__(self, document: JsonObject, aliases: AliasTable, at: Path = ()) -> None:
        self.document = document
        self.aliases = aliases
        self.at = at
        self.is_bare = member(document, "if") is not None and member(document, "then") is not None
        wrapped = member(document, "properties", at)
        if self.is_bare:
            self.properties, self.base = {}, at
        elif wrapped is not None and isinstance(wrapped.value, dict):
            self.properties, self.base = wrapped.value, wrapped.path
        else:
            self.properties, self.base = document, at

    def own(self, name: str) -> Member | None:
        return member(self.properties, name, self.base)

    @cached_property
    def mode(self) -> str:
        """In lower case; a missing mode is Indexed for the service."""
        found = self.own("mode")
        return found.value.lower() if found and isinstance(found.value, str) else "indexed"

    @property
    def is_evaluated(self) -> bool:
        return self.mode in _RESOURCE_MANAGER_MODES

    @cached_property
    def metadata(self) -> JsonObject:
        found = self.own("metadata")
        return found.value if found and isinstance(found.value, dict) else {}

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """By name in lower case."""
        found = self.own("parameters")
        if found is None or not isinstance(found.value, dict):
            return {}
        return {
            name.lower(): Parameter(name, (*found.path, name), body)
            for name, body in found.value.items()
            if isinstance(body, dict)
        }

    @cached_property
    def rule(self) -> Member | None:
        found = Member("", self.document, self.at) if self.is_bare else self.own("policyRule")
        return found if found and isinstance(found.value, dict) else None

    @cached_property
    def then(self) -> Member | None:
        return self._inside(self.rule, "then")

    @cached_property
    def details(self) -> Member | None:
        """`then.details` as written: an object, or the list of an append."""
        if self.then is None:
            return None
        return member(self.then.value, "details", self.then.path)

    def detail(self, name: str) -> Member | None:
        if self.details is None or not isinstance(self.details.value, dict):
            return None
        return member(self.details.value, name, self.details.path)

    def _inside(self, outer: Member | None, name: str) -> Member | None:
        found = member(outer.value, name, outer.path) if outer else None
        return found if found and isinstance(found.value, dict) else None

    @cached_property
    def effect(self) -> Member | None:
        """`then.effect` as written."""
        return member(self.then.value, "effect", self.then.path) if self.then else None

    @cached_property
    def effect_parameter(self) -> Parameter | None:
        """The parameter that is the whole effect, `[parameters('effect')]`."""
        if self.effect is None or not isinstance(self.effect.value, str):
            return None
        match parse(self.effect.value):
            case Call("parameters", (Literal(str() as name),)):
                return self.parameters.get(name.lower())
            case _:
                return None

    @cached_property
    def effects(self) -> frozenset[Effect]:
        """What the effect may be, as far as the definition says: its text, or the parameter's allowed
        values."""
        if self.effect_parameter is not None:
            allowed = self.effect_parameter.get("allowedValues")
            values = allowed if isinstance(allowed, list) else [self.effect_parameter.get("defaultValue")]
        else:
            values = [self.effect.value] if self.effect else []
        return frozenset(found for value in values if (found := effect_of(value)) is not None)

    @cached_property
    def root(self) -> Node | None:
        found = self._inside(self.rule, "if")
        return read_node(found.value, found.path, section="if") if found else None

    @cached_property
    def existence(self) -> Node | None:
        found = self.detail("existenceCondition")
        if found is None or not isinstance(found.value, dict):
            return None
        return read_node(found.value, found.path, section="existenceCondition")

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every condition of `if` and of the existence condition, parents first."""
        roots = [root for root in (self.root, self.existence) if root is not None]
        return tuple(node for root in roots for node in root.below())

    @cached_property
    def leaves(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if not node.is_quantifier and node.kind != "unknown")

    @cached_property
    def written(self) -> tuple[Written, ...]:
        """Every expression of the policy language in the rule; those of a deployment's template are not."""
        return tuple(self._written()) if self.rule else ()

    def _written(self) -> Iterator[Written]:
        for path, text in self.texts:
            if is_expression(text):
                try:
                    yield Written(path, text, parse_expression(text, at=path_text(path)), None)
                except Error as error:
                    yield Written(path, text, None, error.message)

    @cached_property
    def texts(self) -> tuple[tuple[Path, str], ...]:
        """Every string of the rule with its path, without those of a deployment's template."""
        if self.rule is None:
            return ()
        return tuple(
            (path, value)
            for path, value in walk(self.rule.value, self.rule.path, stop=_is_template)
            if isinstance(value, str)
        )

    @cached_property
    def _by_path(self) -> dict[Path, Written]:
        return {one.path: one for one in self.written}

    def written_in(self, value: Any, path: Path) -> Iterator[Written]:
        """The expressions in a part of the rule, `value`, which stands at `path`."""
        for here, one in walk(value, path):
            if isinstance(one, str) and here in self._by_path:
                yield self._by_path[here]

    @cached_property
    def types(self) -> tuple[str, ...]:
        """Resource types that `type` conditions of `if` name outside any `not`, as written."""
        found: dict[str, None] = {}
        for node in self.root.below() if self.root else ():
            if node.positive and (node.field_name or "").lower() == "type":
                if node.operator is Operator.EQUALS:
                    values = [node.target]
                else:
                    values = (
                        node.target if node.operator is Operator.IN and isinstance(node.target, list) else []
                    )
                found.update(
                    (value, None) for value in values if isinstance(value, str) and not is_expression(value)
                )
        return tuple(found)


def member(body: Mapping[str, Any], name: str, path: Path = ()) -> Member | None:
    """The member of that name; an exact spelling goes before another one."""
    if name in body:
        return Member(name, body[name], (*path, name))
    low = name.lower()
    for key, value in body.items():
        if key.lower() == low:
            return Member(key, value, (*path, key))
    return None


def is_expression(value: object) -> bool:
    """Whether it is a text in brackets, but not the escaped `[[`."""
    return isinstance(value, str) and is_expression_text(value)


def parse(value: object) -> "Expression | None":
    """The expression a string is, or None."""
    if not isinstance(value, str) or not is_expression(value):
        return None
    try:
        return parse_expression(value, at="")
    except Error:
        return None


def effect_of(value: object) -> Effect | None:
    return _EFFECTS.get(value.lower()) if isinstance(value, str) else None


def calls(tree: Expression) -> Iterator[Call]:
    """Every call of an expression, outer ones first."""
    return (one for one in parts(tree) if isinstance(one, Call))


def parts(tree: Expression) -> Iterator[Expression]:
    """The expression and everything in it, outer parts first."""
    stack: list[Expression] = [tree]
    while stack:
        one = stack.pop()
        yield one
        match one:
            case Call(arguments=arguments):
                stack.extend(reversed(arguments))
            case Index(target=target, key=key):
                stack += [key, target]
            case Literal():
                pass


def walk(value: Any, path: Path, *, stop: Any = None) -> Iterator[tuple[Path, Any]]:
    """Everything in a JSON value with its path, in document order; not below where `stop(path)` holds."""
    stack = [(path, value)]
    while stack:
        here, one = stack.pop()
        if stop is not None and stop(here):
            continue
        yield here, one
        if isinstance(one, dict):
            stack.extend(((*here, key), inner) for key, inner in reversed(one.items()))
        elif isinstance(one, list):
            stack.extend(((*here, number), one[number]) for number in range(len(one) - 1, -1, -1))


def _is_template(path: Path) -> bool:
    # The template of a deployment has expressions of its own language.
    return [str(step).lower() for step in path[-3:]] == ["deployment", "properties", "template"]


def read_node(body: JsonObject, path: Path, *, section: str) -> Node:
    """The tree of conditions at `path`; what is no condition becomes a node of kind "unknown"."""
    root = _node(body, path, section=section, positive=True, depth=0, counted=(), parent=None)
    stack = [root]
    while stack:
        node = stack.pop()
        if node.depth < DEPTH_MAX:
            node.children = list(_children(node))
            stack.extend(node.children)
    return root


def _node(
    body: JsonObject,
    path: Path,
    *,
    section: str,
    positive: bool,
    depth: int,
    counted: tuple[str, ...],
    parent: Node | None,
) -> Node:
    node = Node(
        kind="unknown",
        path=path,
        body=body,
        section=section,
        positive=positive,
        depth=depth,
        counted=counted,
        parent=parent,
    )
    for key, value in body.items():
        low = key.lower()
        if low in _QUANTIFIERS:
            node.kind = _QUANTIFIERS[low]
        elif low in ("field", "value", "count"):
            node.kind, node.subject, node.subject_key = low, value, key
        elif low in _OPERATORS:
            node.operator, node.operator_key = _OPERATORS[low], key
    return node


def _children(node: Node) -> Iterator[Node]:
    inner: list[tuple[Any, Path]] = []
    section, counted, positive = node.section, node.counted, node.positive
    if node.kind in ("allOf", "anyOf"):
        found = member(node.body, node.kind, node.path)
        if found and isinstance(found.value, list):
            inner = [(body, (*found.path, number)) for number, body in enumerate(found.value)]
    elif node.kind == "not":
        found = member(node.body, "not", node.path)
        inner = [(found.value, found.path)] if found else []
        positive = not positive
    elif node.kind == "count" and isinstance(node.subject, dict):
        count = member(node.body, "count", node.path)
        assert count is not None
        where = member(node.subject, "where", count.path)
        name = member(node.subject, "field")
        if name is not None and isinstance(name.value, str):
            counted = (*counted, name.value)
        inner = [(where.value, where.path)] if where else []
        section, positive = "where", True
    for body, path in inner:
        if isinstance(body, dict):
            yield _node(
                body,
                path,
                section=section,
                positive=positive,
                depth=node.depth + 1,
                counted=counted,
                parent=node,
            )
