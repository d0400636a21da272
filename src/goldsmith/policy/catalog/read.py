"""Reads a collection of policies: every file's name and bytes in, definitions and what is wrong out.

It knows checkouts of the public policy repository (built-in folders and samples), the folders of Enterprise
Policy as Code, ARM JSON as tools print it, Resource Graph exports and JSON lines; each gzipped or not.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypeVar

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.assignment import PolicyAssignment
from goldsmith.policy.catalog.items import Item, Kind, items
from goldsmith.policy.catalog.model import Duplicate, Failure, ImportReport
from goldsmith.policy.catalog.packed import unpacked
from goldsmith.policy.catalog.shapes import arm_body, assignment_bodies, initiative_body, name_of
from goldsmith.policy.catalog.text import read_json
from goldsmith.policy.definition import PolicyDefinition
from goldsmith.policy.initiative import PolicySetDefinition
from goldsmith.policy.wire.assignment import parse_assignment
from goldsmith.policy.wire.definition import parse_definition
from goldsmith.policy.wire.initiative import parse_initiative

FILE_BYTES_MAX = 512 << 20
SUFFIXES = (".json", ".jsonc", ".jsonl", ".ndjson", ".jsonlines")
_PARTS = (".rules.json", ".parameters.json", ".definitions.json", ".groups.json")
_PATH = re.compile(r"(?:member '|Path '|^)((?:properties|policyRule)[\w.$\[\]-]*)")

_Versioned = TypeVar("_Versioned", PolicyDefinition, PolicySetDefinition)


def is_candidate(name: str) -> bool:
    """Whether a file of that name is worth opening; for who walks the folders."""
    return name.lower().removesuffix(".gz").endswith(SUFFIXES)


def read_collection(
    files: Iterable[tuple[str, bytes]], *, file_bytes_max: int = FILE_BYTES_MAX
) -> ImportReport:
    """Reads files of (name, contents); names are paths with slashes and name the files in the report.

    Nothing is raised for what the files hold: a file or object that cannot be taken is a failure in the
    report, and everything else is read. Of two definitions with one id the newer version is kept.
    """
    reading = _Reading()
    for name, data in files:
        if not is_candidate(name):
            continue
        try:
            contents = unpacked(data, bytes_max=file_bytes_max)
            if name.lower().removesuffix(".gz").endswith(_PARTS):
                part = (name, read_json(contents)[1])
                reading.parts.setdefault(_whole_name(name), {})[_part_name(name)] = part
                continue
            reading.take(name, items(name, contents))
        except InvalidInputError as error:
            reading.fail(name, "", error)
    reading.join_parts()
    reading.resolve()
    return reading.report()


@dataclass(slots=True)
class _Reading:
    definitions: dict[str, PolicyDefinition] = field(default_factory=dict)
    initiatives: dict[str, PolicySetDefinition] = field(default_factory=dict)
    assignments: dict[str, PolicyAssignment] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    # Split samples by the name their whole would have, and what can be read only when all names are known.
    parts: dict[str, dict[str, tuple[str, Any]]] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    later: list[tuple[str, Item]] = field(default_factory=list)

    def fail(self, source: str, path: str, error: InvalidInputError) -> None:
        found = _PATH.search(error.message)
        inner = ".".join(step for step in (path, found[1] if found else "") if step)
        self.failures.append(Failure(source=source, path=inner, message=error.message, hint=error.hint))

    def take(self, source: str, found: Iterator[Item]) -> None:
        any_ours = False
        for item in found:
            any_ours = any_ours or item.kind is not Kind.OTHER
            if item.kind is Kind.DEFINITION:
                self.whole.add(source.lower())
                self._definition(source, item)
            elif item.kind is Kind.RULE:
                body = {"name": name_of(source), "properties": {"policyRule": item.body}}
                self._definition(source, Item(kind=Kind.DEFINITION, body=body, path=item.path))
            elif item.kind is not Kind.OTHER:
                self.whole.add(source.lower())
                self.later.append((source, item))
        if not any_ours:
            self.skipped.append(source)

    def join_parts(self) -> None:
        """Samples that come in parts only; where the whole is there too, the parts say nothing new."""
        for name, parts in self.parts.items():
            if name.lower() in self.whole:
                continue
            main, rule = parts.get("rules", ("", None))
            if rule is None:
                main, listed = parts.get("definitions", ("", None))
                if listed is None:
                    self.skipped += [source for source, _ in parts.values()]
                    continue
            given = parts.get("parameters", ("", None))[1]
            properties: JsonObject = {"parameters": given or {}}
            if rule is not None:
                properties["policyRule"] = rule
                body: JsonObject = {"name": name_of(name), "properties": properties}
                self._definition(main, Item(kind=Kind.DEFINITION, body=body, path=""))
            else:
                groups = parts.get("groups", ("", None))[1]
                properties |= {"policyDefinitions": listed, "policyDefinitionGroups": groups}
                body = {"name": name_of(name), "properties": properties}
                self.later.append((main, Item(kind=Kind.INITIATIVE, body=body, path="")))

    def resolve(self) -> None:
        """Initiatives and assignments, whose references by name need all definitions."""
        ids = {one.name.lower(): one.id for one in self.definitions.values()}
        for source, item in self.later:
            if item.kind is Kind.INITIATIVE:
                try:
                    body = initiative_body(item.body, source=source, ids=ids)
                    self._keep(self.initiatives, parse_initiative(body, limited=False), source)
                except InvalidInputError as error:
                    self.fail(source, item.path, error)
        sets = {one.name.lower(): one.id for one in self.initiatives.values()}
        for source, item in self.later:
            if item.kind is Kind.INITIATIVE:
                continue
            try:
                bodies = (
                    [arm_body(item.body, source=source)]
                    if item.kind is Kind.ASSIGNMENT
                    else list(assignment_bodies(item.body, definitions=ids, initiatives=sets))
                )
                for body in bodies:
                    assignment = parse_assignment(body)
                    self.assignments.setdefault(assignment.id.lower(), assignment)
                    self.sources.setdefault(assignment.id.lower(), source)
            except InvalidInputError as error:
                self.fail(source, item.path, error)

    def _definition(self, source: str, item: Item) -> None:
        try:
            body = arm_body(item.body, source=source)
            self._keep(self.definitions, parse_definition(body, limited=False), source)
        except InvalidInputError as error:
            self.fail(source, item.path, error)

    def _keep(self, kept: dict[str, _Versioned], one: _Versioned, source: str) -> None:
        key = one.id.lower()
        before = kept.get(key)
        if before is None:
            kept[key], self.sources[key] = one, source
            return
        newer = one.version is not None and (before.version is None or one.version.rank > before.version.rank)
        old_source = self.sources[key]
        if newer:
            kept[key], self.sources[key] = one, source
        self.duplicates.append(
            Duplicate(
                id=one.id, kept=source if newer else old_source, dropped=old_source if newer else source
            )
        )

    def report(self) -> ImportReport:
        return ImportReport(
            definitions=tuple(self.definitions.values()),
            initiatives=tuple(self.initiatives.values()),
            assignments=tuple(self.assignments.values()),
            sources=self.sources,
            failures=tuple(self.failures),
            duplicates=tuple(self.duplicates),
            skipped=tuple(self.skipped),
        )


def _whole_name(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    return str(path.with_name(path.name.split(".")[0] + ".json"))


def _part_name(name: str) -> str:
    return name.lower().removesuffix(".gz").removesuffix(".json").rpartition(".")[2]
