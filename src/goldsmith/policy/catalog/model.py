"""What reading a collection gives: definitions, initiatives and assignments, and what went wrong."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from goldsmith.policy.assignment import PolicyAssignment
from goldsmith.policy.catalog.known import Summary
from goldsmith.policy.definition import PolicyDefinition
from goldsmith.policy.initiative import PolicySetDefinition


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One thing that could not be taken: `path` is its JSON path in the file, empty for the file as a
    whole."""

    source: str
    path: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """The same id in two places; the newer version was kept, or the first of two equal ones."""

    id: str
    kept: str
    dropped: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """`sources` says for each id in lower case which file it came from.

    `skipped` are files that were read and hold nothing of ours.
    """

    definitions: tuple[PolicyDefinition, ...]
    initiatives: tuple[PolicySetDefinition, ...]
    assignments: tuple[PolicyAssignment, ...]
    sources: Mapping[str, str]
    failures: tuple[Failure, ...]
    duplicates: tuple[Duplicate, ...]
    skipped: tuple[str, ...]

    @property
    def modes(self) -> dict[str, int]:
        """How many definitions there are of each mode, most first; All and Indexed in their usual
        spelling."""
        usual = {"all": "All", "indexed": "Indexed"}
        found = Counter(usual.get(one.mode.lower(), one.mode) for one in self.definitions)
        return dict(found.most_common())

    @property
    def policy_types(self) -> dict[str, int]:
        found = Counter(one.policy_type.value for one in self.definitions)
        return dict(found.most_common())

    @property
    def not_evaluated(self) -> tuple[PolicyDefinition, ...]:
        """Definitions that are kept and never evaluated: other modes, and Static ones."""
        return tuple(one for one in self.definitions if not one.evaluated)

    @property
    def missing_references(self) -> tuple[tuple[str, str], ...]:
        """(initiative id, definition id) for references that lead out of the collection."""
        known = {one.id.lower() for one in self.definitions}
        return tuple(
            (one.id, reference.definition_id)
            for one in self.initiatives
            for reference in one.references
            if reference.definition_id.lower() not in known
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """`compiled` counts definitions and `trees` compilations, one for each type that a rule names.

    `reused` definitions were not compiled again, `summaries` is what to keep for the next time. `unknown`
    and `derived` give for each alias the ids of the definitions that use it.
    """

    compiled: int
    trees: int
    reused: int
    not_evaluated: int
    failures: tuple[Failure, ...]
    unknown: Mapping[str, tuple[str, ...]]
    derived: Mapping[str, tuple[str, ...]]
    summaries: Mapping[str, Summary]
