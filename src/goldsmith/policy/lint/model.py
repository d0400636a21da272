"""The nouns of linting: a rule, what it finds, where, and the edits that would mend it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from goldsmith.kernel.json import JsonValue

if TYPE_CHECKING:
    from goldsmith.policy.lint.definition import Definition

# Where something stands in a document: keys as they are written there, and numbers of list members.
Path: TypeAlias = tuple[str | int, ...]


class Severity(StrEnum):
    """ERROR: fails to deploy or to evaluate, or can never do what it says; WARNING: surprises; NOTE:
    style."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Suppression(StrEnum):
    """Why a finding does not count, in the words of SARIF."""

    IN_SOURCE = "inSource"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class Replace:
    """Put `value` where the value at `path` stands."""

    path: Path
    value: JsonValue


@dataclass(frozen=True, slots=True)
class Rename:
    """Give the object member at `path` another key."""

    path: Path
    key: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Take the object or list member at `path` out."""

    path: Path


@dataclass(frozen=True, slots=True)
class Reorder:
    """The members of the list at `path` in the order of their old numbers in `order`."""

    path: Path
    order: tuple[int, ...]


Edit: TypeAlias = Replace | Rename | Remove | Reorder


@dataclass(frozen=True, slots=True)
class Fix:
    """Edits to make together; `description` is an imperative sentence."""

    description: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What a check yields; everything else of the finding is its rule's."""

    path: Path
    message: str
    fix: Fix | None = None


Check: TypeAlias = "Callable[[Definition], Iterator[Found]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class LintRule:
    """`explanation` says why it matters, `hint` what to do; `official` are ids of Azure's own linter."""

    id: str
    title: str
    severity: Severity
    explanation: str
    hint: str
    check: Check
    official: tuple[str, ...] = ()

    def answers_to(self, name: str) -> bool:
        """Whether `name` means this rule: its own id or the id of the rule of Azure's linter."""
        return name == self.id or name in self.official


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Lines and columns count from 1, columns in characters; the end is behind the last character."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One problem in one document; `region` is None when the document came without its text."""

    rule: str
    title: str
    severity: Severity
    message: str
    hint: str
    source: str
    path: Path
    region: Region | None = None
    fix: Fix | None = None
    suppression: Suppression | None = None


def path_text(path: Path) -> str:
    """`properties.policyRule.if.allOf[0]`; a key that is no plain word is written `['a b']`."""
    parts: list[str] = []
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif step.replace("_", "").replace("$", "").isalnum():
            parts.append(f".{step}" if parts else step)
        else:
            parts.append("['" + step.replace("'", "\\'") + "']")
    return "".join(parts)
