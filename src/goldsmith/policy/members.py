"""Reading a JSON object member by member, names in any case; each error names the JSON path."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from goldsmith.expressions.errors import kind_of
from goldsmith.kernel.clock import parse_iso
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject

_E = TypeVar("_E", bound=StrEnum)

CONTENT = "InvalidRequestContent"


class Members:
    """The members of one JSON object at `path`; one that is null counts as absent.

    Every method raises InvalidInputError with code InvalidRequestContent for a member of the wrong type.
    """

    def __init__(self, value: Any, path: str = "", *, model: str) -> None:
        if not isinstance(value, dict):
            raise refused(path or "body", f"is {kind_of(value)}, expected an object")
        self.path = path
        self._model = model
        self._value: JsonObject = value
        self._names = {name.lower(): name for name in value}
        self._read: set[str] = set()

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        """Whether the member is there at all, be it null."""
        return name.lower() in self._names

    def any(self, name: str) -> Any:
        self._read.add(name.lower())
        return self._value.get(self._names.get(name.lower(), name))

    def text(self, name: str, *, longest: int | None = None) -> str | None:
        value = self.any(name)
        if value is not None and not isinstance(value, str):
            raise refused(self.at(name), f"is {kind_of(value)}, expected text")
        if value is not None and longest is not None and len(value) > longest:
            raise refused(
                self.at(name),
                f"has {len(value)} characters, expected {longest} at most",
                code="InvalidPolicyText",
            )
        return value

    def needed_text(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise refused(self.at(name), "is missing, expected text")
        return value

    def boolean(self, name: str) -> bool | None:
        value = self.any(name)
        if value is not None and not isinstance(value, bool):
            raise refused(self.at(name), f"is {kind_of(value)}, expected true or false")
        return value

    def number(self, name: str) -> int | float | None:
        value = self.any(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise refused(self.at(name), f"is {kind_of(value)}, expected a number")
        return value

    def instant(self, name: str) -> datetime | None:
        text = self.text(name)
        if text is None:
            return None
        try:
            return parse_iso(text)
        except ValueError as error:
            raise refused(self.at(name), f"is '{text}', expected an ISO 8601 instant") from error

    def choice(self, name: str, kind: type[_E]) -> _E | None:
        """A value of a closed set, in whatever case."""
        text = self.text(name)
        if text is None:
            return None
        for value in kind:
            if value.lower() == text.lower():
                return value
        raise refused(self.at(name), f"is '{text}', expected one of {', '.join(kind)}")

    def mapping(self, name: str) -> JsonObject:
        """An object kept as it is; absent gives an empty one."""
        value = self.any(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise refused(self.at(name), f"is {kind_of(value)}, expected an object")
        return value

    def object(self, name: str, model: str) -> "Members | None":
        value = self.any(name)
        return None if value is None else Members(value, self.at(name), model=model)

    def named(self, name: str, model: str) -> "Iterator[tuple[str, Members]]":
        """The members of an object of objects, each with its name."""
        for key, value in self.mapping(name).items():
            yield key, Members(value, f"{self.at(name)}.{key}", model=model)

    def objects(self, name: str, model: str, *, most: int | None = None) -> "tuple[Members, ...]":
        return tuple(
            Members(value, f"{self.at(name)}[{index}]", model=model)
            for index, value in enumerate(self.array(name, most=most) or ())
        )

    def texts(self, name: str, *, most: int | None = None) -> tuple[str, ...]:
        values = self.array(name, most=most) or []
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise refused(f"{self.at(name)}[{index}]", f"is {kind_of(value)}, expected text")
        return tuple(values)

    def array(self, name: str, *, most: int | None = None) -> list[Any] | None:
        value = self.any(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise refused(self.at(name), f"is {kind_of(value)}, expected an array")
        if most is not None and len(value) > most:
            raise refused(
                self.at(name),
                f"has {len(value)} entries, expected {most} at most",
                code="PolicyLimitExceeded",
            )
        return value

    def ignore(self, *names: str) -> None:
        """Members that the service alone writes: a client may send back what it got."""
        self._read.update(name.lower() for name in names)

    def close(self) -> None:
        """Raises InvalidInputError for a member that nothing has read."""
        for lower, name in self._names.items():
            if lower not in self._read:
                raise InvalidInputError(
                    "The request content was invalid and could not be deserialized: "
                    f"'Could not find member '{name}' on object of type '{self._model}'. "
                    f"Path '{self.at(name)}'.'",
                    code=CONTENT,
                    hint="remove the member, or correct its spelling",
                )


def refused(path: str, problem: str, *, code: str = CONTENT, hint: str | None = None) -> InvalidInputError:
    return InvalidInputError(f"the member '{path}' {problem}", code=code, hint=hint)


def without_absent(value: JsonObject) -> JsonObject:
    """The object without its members that are None."""
    return {name: member for name, member in value.items() if member is not None}
