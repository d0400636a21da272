"""Reading a JSON object member by member: each error names its path, and what nobody read is refused."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from goldsmith.kernel.clock import parse_iso
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject

E = TypeVar("E", bound=StrEnum)

# A shape is None (any scalar), a mapping of members, or a list of the one shape its items have.
Shape = None | Mapping[str, Any] | list[Any]


class Reader:
    """One JSON object at `path`; a member that is null counts as absent.

    Every method raises InvalidInputError for a member of the wrong type.
    """

    def __init__(self, value: Any, *, path: str, model: str) -> None:
        if not isinstance(value, dict):
            raise invalid(path or "body", f"is {_kind(value)}, expected an object")
        self._value: JsonObject = value
        self._path = path
        self._model = model
        self._read: set[str] = set()

    def text(self, name: str) -> str | None:
        value = self._take(name)
        if value is not None and not isinstance(value, str):
            raise invalid(self.at(name), f"is {_kind(value)}, expected text")
        return value

    def needed_text(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise missing(self.at(name))
        return value

    def integer(self, name: str) -> int | None:
        value = self._take(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise invalid(self.at(name), f"is {_kind(value)}, expected an integer")
        return value

    def boolean(self, name: str) -> bool | None:
        value = self._take(name)
        if value is not None and not isinstance(value, bool):
            raise invalid(self.at(name), f"is {_kind(value)}, expected true or false")
        return value

    def instant(self, name: str) -> datetime | None:
        text = self.text(name)
        if text is None:
            return None
        try:
            return parse_iso(text)
        except ValueError as error:
            raise invalid(self.at(name), f"is '{text}', expected an ISO 8601 date") from error

    def choice(self, name: str, kind: type[E]) -> E | None:
        """A value of a closed set, in whatever case: clients do not agree on one."""
        text = self.text(name)
        if text is None:
            return None
        for value in kind:
            if value.lower() == text.lower():
                return value
        raise invalid(self.at(name), f"is '{text}', expected one of {', '.join(kind)}")

    def object(self, name: str) -> "Reader | None":
        value = self._take(name)
        return None if value is None else Reader(value, path=self.at(name), model=self._model)

    def objects(self, name: str) -> tuple["Reader", ...]:
        return tuple(
            Reader(value, path=f"{self.at(name)}[{index}]", model=self._model)
            for index, value in enumerate(self._list(name))
        )

    def texts(self, name: str) -> tuple[str, ...]:
        values = self._list(name)
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise invalid(f"{self.at(name)}[{index}]", f"is {_kind(value)}, expected text")
        return tuple(values)

    def text_map(self, name: str) -> dict[str, str]:
        value = self._take(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise invalid(self.at(name), f"is {_kind(value)}, expected an object")
        for key, text in value.items():
            if not isinstance(text, str):
                raise invalid(f"{self.at(name)}.{key}", f"is {_kind(text)}, expected text")
        return dict(value)

    def carried(self, name: str, shape: Shape) -> Any:
        """A member that is kept as it is, once it has the shape given."""
        value = self._take(name)
        if value is not None:
            self._check_shape(value, shape, self.at(name))
        return value

    def ignore(self, *names: str) -> None:
        """Members that the service alone writes: a client that sends back what it got may name them."""
        self._read.update(names)

    def close(self) -> None:
        """Raises InvalidInputError for a member that was not read."""
        unknown = [name for name in self._value if name not in self._read]
        if unknown:
            raise unknown_member(self.at(unknown[0]), self._model)

    def at(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def _take(self, name: str) -> Any:
        self._read.add(name)
        return self._value.get(name)

    def _list(self, name: str) -> list[Any]:
        value = self._take(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise invalid(self.at(name), f"is {_kind(value)}, expected an array")
        return value

    def _check_shape(self, value: Any, shape: Shape, path: str) -> None:
        if value is None:
            return
        if shape is None:
            if isinstance(value, dict | list):
                raise invalid(path, f"is {_kind(value)}, expected a single value")
        elif isinstance(shape, list):
            if not isinstance(value, list):
                raise invalid(path, f"is {_kind(value)}, expected an array")
            for index, item in enumerate(value):
                self._check_shape(item, shape[0], f"{path}[{index}]")
        else:
            if not isinstance(value, dict):
                raise invalid(path, f"is {_kind(value)}, expected an object")
            for name, member in value.items():
                if name in shape:
                    self._check_shape(member, shape[name], f"{path}.{name}")
                elif "*" not in shape:
                    raise unknown_member(f"{path}.{name}", self._model)


def invalid(path: str, problem: str) -> InvalidInputError:
    return InvalidInputError(f"the member '{path}' {problem}", code="InvalidParameter")


def missing(path: str) -> InvalidInputError:
    return InvalidInputError(f"Required parameter '{path}' is missing (null).", code="InvalidParameter")


def unknown_member(path: str, model: str) -> InvalidInputError:
    name = path.rpartition(".")[2]
    return InvalidInputError(
        f"Could not find member '{name}' on object of type '{model}'. Path '{path}'.",
        code="InvalidRequestContent",
        hint="check the spelling, also the case; api-version 2026-03-03 lists the members",
    )


def without_nulls(value: JsonObject) -> JsonObject:
    """The object without its members that are None."""
    return {name: member for name, member in value.items() if member is not None}


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386, JSON Merge Patch, as ARM applies a PATCH body to the resource as rendered."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return f"the number {value}"
        case str():
            return "text"
        case list():
            return "an array"
    return "an object"
