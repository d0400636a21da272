"""Reads a template's text, JSON or YAML, into plain JSON values, naming the line of whatever is wrong."""

import ast
import json
import re
from typing import Any, Literal, NoReturn

import yaml

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject

TextFormat = Literal["json", "yaml"]

_CHARACTERS_MAX = 4 << 20
# A few aliases of aliases can stand for billions of values.
_VALUES_MAX = 200_000

# `properties.customize[2].inline`, `tags['cost centre']`
_PATH_SEGMENT = re.compile(
    r"""(?P<member>[$\w-]+)|\[(?P<index>\d+)\]|\[(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\]"""
)
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:]')


def load_template_text(text: str, *, format: TextFormat | None, source_name: str) -> JsonObject:
    """The object that `text` writes; `format` None: JSON if it opens with a brace, else YAML.

    YAML is read by the 1.2 core schema: `yes`, `no`, `on`, `off`, dates and times of day are text, and `010`
    is ten. Keys are always text. One document a text; a key given twice in one mapping is refused.

    Raises InvalidInputError (code `InvalidTemplateText`) with the line and column of the fault.
    """
    if len(text) > _CHARACTERS_MAX:
        raise _fault(source_name, f"it is {len(text)} characters long, expected at most {_CHARACTERS_MAX}")
    text = text.removeprefix("\ufeff")
    if format is None:
        format = "json" if text.lstrip().startswith("{") else "yaml"
    try:
        value = _load_json(text, source_name) if format == "json" else _load_yaml(text, source_name)
    except RecursionError as error:
        raise _fault(source_name, "it is nested too deeply") from error
    if not isinstance(value, dict):
        kind = "nothing" if value is None else type(value).__name__
        raise _fault(source_name, f"it holds {kind}, expected an object with location and properties")
    return value


def line_of(text: str, path: str) -> int | None:
    """The line where `path`, as the details of a refused template have it, stands in `text`.

    For something missing, the line of what it is missing from. None where the text does not tell: it is not
    YAML (a JSON text indented with tabs is not), or nothing of the path is in it.
    """
    try:
        node = yaml.compose(text.removeprefix("\ufeff"), Loader=_CoreSchemaLoader)
    except (yaml.YAMLError, RecursionError):
        return None
    line = None
    for segment in _PATH_SEGMENT.finditer(path):
        found = _child(node, segment)
        if found is None:
            break
        node, line = found
    return line


def _child(node: yaml.Node | None, segment: re.Match[str]) -> tuple[yaml.Node, int] | None:
    """The node that one segment of a path leads to, and its line (of its key, when it has one)."""
    match node:
        case yaml.MappingNode() if segment["index"] is None:
            name = segment["member"] or ast.literal_eval(segment["quoted"])
            for key, value in node.value:
                if key.value == name:
                    return value, key.start_mark.line + 1
        case yaml.SequenceNode() if segment["index"] and int(segment["index"]) < len(node.value):
            item = node.value[int(segment["index"])]
            return item, item.start_mark.line + 1
        case _:
            pass
    return None


def _load_json(text: str, source_name: str) -> Any:
    def refuse_constant(name: str) -> NoReturn:
        raise _fault(source_name, f"{name} is not a JSON number")

    try:
        value = json.loads(text, parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        message = f"{error.msg[:1].lower()}{error.msg[1:]}"
        raise _fault(source_name, message, line=error.lineno, column=error.colno) from error
    except ValueError as error:
        # Python refuses to convert numbers of more than a few thousand digits.
        raise _fault(source_name, "a number in it has too many digits") from error
    _refuse_repeated_keys(text, source_name)
    return value


def _refuse_repeated_keys(text: str, source_name: str) -> None:
    """`text` is well-formed JSON; `json.loads` would let the last of two equal keys win."""
    open_: list[dict[str, int]] = []
    last: re.Match[str] | None = None
    for token in _JSON_TOKEN.finditer(text):
        match token[0]:
            case "{" | "[":
                open_.append({})
            case "}" | "]":
                open_.pop()
            case ":":
                assert last is not None
                keys = open_[-1]
                key, line = json.loads(last[0]), text.count("\n", 0, last.start()) + 1
                if key in keys:
                    column = last.start() - text.rfind("\n", 0, last.start())
                    raise _repeated(source_name, key, first=keys[key], line=line, column=column)
                keys[key] = line
        last = token


class _CoreSchemaLoader(yaml.SafeLoader):
    """Resolves plain scalars by the core schema of YAML 1.2.2, section 10.3.2 (without .inf and .nan)."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  (PyYAML's own attribute)


for _tag, _pattern, _first in (
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _CoreSchemaLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})\\Z"), _first
    )


def _load_yaml(text: str, source_name: str) -> Any:
    try:
        # Composing builds no values, so that no tag in the text can construct an object.
        root = yaml.compose(text, Loader=_CoreSchemaLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(part for part in (error.context, error.problem) if part)
        if mark is None:
            raise _fault(source_name, message) from error
        raise _fault(source_name, message, line=mark.line + 1, column=mark.column + 1) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _fault(source_name, f"character {error.character!r} is not allowed", line=line) from error
    return None if root is None else _YamlValues(source_name).value(root)


class _YamlValues:
    """Turns composed nodes into JSON values, with a count of them that aliases cannot escape."""

    def __init__(self, source_name: str) -> None:
        self._source_name = source_name
        self._count = 0

    def value(self, node: yaml.Node) -> Any:
        self._count += 1
        if self._count > _VALUES_MAX:
            raise _fault(self._source_name, f"its aliases expand to more than {_VALUES_MAX} values")
        match node:
            case yaml.MappingNode(tag="tag:yaml.org,2002:map"):
                return self._mapping(node)
            case yaml.SequenceNode(tag="tag:yaml.org,2002:seq"):
                return [self.value(item) for item in node.value]
            case yaml.ScalarNode(tag="tag:yaml.org,2002:str" | "!"):
                return _join_surrogates(node.value)
            case yaml.ScalarNode(tag="tag:yaml.org,2002:null"):
                return None
            case yaml.ScalarNode(tag="tag:yaml.org,2002:bool", value=text):
                return text.lower() == "true"
            case yaml.ScalarNode(tag="tag:yaml.org,2002:int" | "tag:yaml.org,2002:float"):
                return self._number(node)
            case _:
                raise self._fault_at(node, f"the tag {node.tag} is not supported")

    def _mapping(self, node: yaml.MappingNode) -> JsonObject:
        result: JsonObject = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._fault_at(key_node, "a key must be text")
            key, mark = _join_surrogates(key_node.value), key_node.start_mark
            if key in result:
                raise _repeated(
                    self._source_name, key, first=lines[key], line=mark.line + 1, column=mark.column + 1
                )
            lines[key] = mark.line + 1
            result[key] = self.value(value_node)
        return result

    def _number(self, node: yaml.ScalarNode) -> int | float:
        text = node.value
        try:
            if text.startswith(("0o", "0x")):
                return int(text[2:], 8 if text[1] == "o" else 16)
            if re.fullmatch(r"[-+]?[0-9]+", text):
                return int(text)
            number = float(text)
        except ValueError as error:
            raise self._fault_at(node, f"{text[:40]!r} is not a number that can be held") from error
        if number in (float("inf"), float("-inf")):
            raise self._fault_at(node, f"{text[:40]!r} is not a number that can be held")
        return number

    def _fault_at(self, node: yaml.Node, message: str) -> InvalidInputError:
        mark = node.start_mark
        return _fault(self._source_name, message, line=mark.line + 1, column=mark.column + 1)


def _join_surrogates(text: str) -> str:
    # JSON, which YAML 1.2 contains, escapes characters above U+FFFF as two halves; PyYAML leaves them apart.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _repeated(source_name: str, key: str, *, first: int, line: int, column: int) -> InvalidInputError:
    return _fault(
        source_name, f"the key {key!r} is given twice, first on line {first}", line=line, column=column
    )


def _fault(
    source_name: str, message: str, *, line: int | None = None, column: int | None = None
) -> InvalidInputError:
    where = "".join(f":{number}" for number in (line, column) if number is not None)
    return InvalidInputError(
        f"{source_name}{where} cannot be read as a template: {message}",
        code="InvalidTemplateText",
        hint="a template is one JSON object or one YAML mapping",
    )
