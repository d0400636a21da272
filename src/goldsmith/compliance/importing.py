"""Putting resources and policy objects into the store, as other tools export them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from goldsmith.compliance.documents import draft_of
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.attestation import Attestation
from goldsmith.policy.catalog.model import ImportReport
from goldsmith.policy.exemption import PolicyExemption
from goldsmith.policy.wire.assignment import assignment_json
from goldsmith.policy.wire.definition import definition_json
from goldsmith.policy.wire.exemption import attestation_json, exemption_json
from goldsmith.policy.wire.initiative import initiative_json
from goldsmith.resources.model import ResourceDraft
from goldsmith.resources.store import ResourceStore

_AT_A_TIME = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """`number` counts the documents from 0."""

    number: int
    id: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What was written; `unchanged` were there already, just so."""

    created: int
    updated: int
    unchanged: int
    refused: tuple[Refused, ...] = ()


def import_documents(
    resources: ResourceStore,
    documents: Iterable[Any],
    *,
    actor: str,
    on_progress: Callable[[int], None] | None = None,
) -> Imported:
    """Put each document, some hundred a transaction; one that cannot be stored is told and passed over.

    Writes nothing for a resource that is as it was, so importing twice changes nothing.
    """
    counts = {"created": 0, "updated": 0, "unchanged": 0}
    refused: list[Refused] = []
    drafts = _drafts(documents, refused)
    done = 0
    while batch := list(islice(drafts, _AT_A_TIME)):
        with resources.transaction() as writing:
            for number, draft in batch:
                try:
                    known = writing.find(draft.id)
                    if known is not None and known.draft == draft:
                        counts["unchanged"] += 1
                        continue
                    writing.put(draft, actor=actor)
                except InvalidInputError as error:
                    refused.append(Refused(number=number, id=draft.id, message=error.message))
                    continue
                counts["created" if known is None else "updated"] += 1
        done += len(batch)
        if on_progress is not None:
            on_progress(done)
    return Imported(**counts, refused=tuple(refused))


def policy_documents(
    report: ImportReport,
    *,
    exemptions: Iterable[PolicyExemption] = (),
    attestations: Iterable[Attestation] = (),
) -> Iterator[JsonObject]:
    """The objects of a catalogue, and others, as ARM resources; definitions before what refers to them."""
    yield from map(definition_json, report.definitions)
    yield from map(initiative_json, report.initiatives)
    yield from map(assignment_json, report.assignments)
    yield from map(exemption_json, exemptions)
    yield from map(attestation_json, attestations)


def _drafts(documents: Iterable[Any], refused: list[Refused]) -> Iterator[tuple[int, ResourceDraft]]:
    for number, document in enumerate(documents):
        try:
            yield number, draft_of(document)
        except InvalidInputError as error:
            id_ = document.get("id") if isinstance(document, dict) else None
            refused.append(Refused(number=number, id=str(id_ or ""), message=error.message))
