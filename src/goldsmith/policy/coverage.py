"""Which exemption, enrollment and attestation speaks of a resource under a policy, at an instant."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from goldsmith.policy.attestation import Attestation
from goldsmith.policy.enrollment import PolicyEnrollment
from goldsmith.policy.exemption import PolicyExemption
from goldsmith.policy.scope import covers
from goldsmith.policy.selectors import Subject, selected


def exemption_for(
    exemptions: Iterable[PolicyExemption],
    assignment_id: str,
    subject: Subject,
    *,
    now: datetime,
    management_groups: Sequence[str] = (),
) -> PolicyExemption | None:
    """The first exemption that is still honoured and covers the subject (its reference included)."""
    for exemption in exemptions:
        expired = exemption.expires_on is not None and exemption.expires_on <= now
        if not expired and _speaks_of(exemption, assignment_id, subject, management_groups):
            return exemption
    return None


def enrolled(
    enrollments: Iterable[PolicyEnrollment],
    assignment_id: str,
    subject: Subject,
    *,
    management_groups: Sequence[str] = (),
) -> bool:
    return any(_speaks_of(each, assignment_id, subject, management_groups) for each in enrollments)


def attestation_for(
    attestations: Iterable[Attestation], assignment_id: str, subject: Subject, *, now: datetime
) -> Attestation | None:
    """The attestation of this very resource; one for the reference wins over one for the whole assignment."""
    general = None
    for each in attestations:
        if (
            _same(each.assignment_id, assignment_id)
            and _same(each.scope, subject.id)
            and each.state is not None
            and (each.expires_on is None or each.expires_on > now)
        ):
            if each.reference_id is None:
                general = general or each
            elif subject.reference_id is not None and _same(each.reference_id, subject.reference_id):
                return each
    return general


def _speaks_of(
    each: PolicyExemption | PolicyEnrollment, assignment_id: str, subject: Subject, above: Sequence[str]
) -> bool:
    references = {reference.lower() for reference in each.reference_ids}
    return (
        _same(each.assignment_id, assignment_id)
        and covers(each.scope, subject.id, above)
        and (not references or (subject.reference_id or "").lower() in references)
        and selected(each.resource_selectors, subject)
    )


def _same(one: str, other: str) -> bool:
    return one.rstrip("/").lower() == other.rstrip("/").lower()
