"""The policies of the state directory: found by the names people type, and written with their assignments."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from goldsmith.app import App
from goldsmith.compliance import catalog, service
from goldsmith.compliance.catalog import PolicyObjects
from goldsmith.compliance.documents import StoredDocuments
from goldsmith.compliance.importing import Imported
from goldsmith.kernel.errors import InvalidInputError, NotFoundError
from goldsmith.policy.assignment import PolicyAssignment
from goldsmith.policy.catalog.known import digest_of
from goldsmith.policy.catalog.model import CheckReport, ImportReport
from goldsmith.policy.content import packaged
from goldsmith.policy.definition import PolicyDefinition
from goldsmith.policy.initiative import PolicySetDefinition

_NEAR = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A definition or initiative, where it is from, and the assignments of it."""

    policy: PolicyDefinition | PolicySetDefinition
    key: str | None
    stored: bool
    assignments: tuple[PolicyAssignment, ...]

    @property
    def is_initiative(self) -> bool:
        return isinstance(self.policy, PolicySetDefinition)

    @property
    def name(self) -> str:
        """What people type: the packaged key, else the ARM name."""
        return self.key or self.policy.name


def policy_objects(app: App) -> PolicyObjects:
    """Everything of Azure Policy that the state directory holds, and what is packaged."""
    documents = StoredDocuments(app.resources)
    return PolicyObjects(each for type_ in catalog.READ for each in documents.of_type(type_))


def known_policies(objects: PolicyObjects) -> list[Known]:
    """Definitions, then initiatives; the newest version of each."""
    shipped = {**packaged.definitions(), **packaged.initiatives()}
    keys = {str(body["id"]).lower(): key for key, body in shipped.items()}
    stored = {definition.id.lower() for definition in objects.definitions.values()}
    stored |= {initiative.id.lower() for initiative in objects.initiatives.values()}
    library = objects.library
    newest: dict[str, PolicyDefinition | PolicySetDefinition] = {}
    for definition in library.definitions():
        newest[definition.id.lower()] = library.definition(definition.id)
    for initiative in library.initiatives():
        newest[initiative.id.lower()] = library.initiative(initiative.id)
    by_policy: dict[str, list[PolicyAssignment]] = {}
    for assignment in objects.assignments.values():
        by_policy.setdefault(assignment.definition_id.rstrip("/").lower(), []).append(assignment)
    return [
        Known(
            policy=one,
            key=keys.get(id_),
            stored=id_ in stored,
            assignments=tuple(by_policy.get(id_, ())),
        )
        for id_, one in newest.items()
    ]


def find_policy(policies: Iterable[Known], text: str) -> Known:
    """By key, name, id or display name, in any case; raises NotFoundError, InvalidInputError if ambiguous."""
    wanted = text.strip().rstrip("/").lower()
    every = list(policies)
    found = [
        one
        for one in every
        if wanted
        in (one.name.lower(), one.policy.name.lower(), one.policy.id.lower(), one.policy.label.lower())
    ]
    if len(found) > 1:
        listed = ", ".join(one.policy.id for one in found)
        raise InvalidInputError(f"'{text}' means {len(found)} policies", hint=f"give the id: {listed}")
    if not found:
        near = [one.name for one in every if wanted in one.name.lower() or wanted in one.policy.label.lower()]
        hint = (
            f"did you mean {', '.join(near[:_NEAR])}?"
            if near
            else "'goldsmith policy list' shows what there is"
        )
        raise NotFoundError(f"there is no policy '{text}'", hint=hint, code="PolicyDefinitionNotFound")
    return found[0]


def find_assignment(objects: PolicyObjects, text: str, *, scope: str | None) -> PolicyAssignment:
    """By id, name or display name. Raises NotFoundError, InvalidInputError when it is ambiguous."""
    wanted = text.rstrip("/").lower()
    found = [
        one
        for one in objects.assignments.values()
        if wanted in (one.id.rstrip("/").lower(), one.name.lower(), one.label.lower())
        and (scope is None or one.scope.rstrip("/").lower() == scope.rstrip("/").lower())
    ]
    if len(found) > 1:
        listed = ", ".join(one.scope for one in found)
        raise InvalidInputError(f"'{text}' means {len(found)} assignments", hint=f"add --scope: {listed}")
    if not found:
        known = sorted(one.name for one in objects.assignments.values())
        raise NotFoundError(
            f"there is no policy assignment '{text}'" + (f" on {scope}" if scope else ""),
            hint=f"there are: {', '.join(known[:8])}" if known else "'goldsmith policy assign' makes one",
            code="PolicyAssignmentNotFound",
        )
    return found[0]


def store_report(report: ImportReport, checked: CheckReport) -> Imported:
    """Put everything that compiles into the store."""
    broken = {key for key, summary in checked.summaries.items() if summary.problem is not None}
    sound = tuple(
        one for one in report.definitions if one.rule is None or not broken or digest_of(one) not in broken
    )
    app = App()
    return service.put_policy_objects(
        app.resources, replace(report, definitions=sound), actor=app.settings.actor
    )
