"""An attestation: the compliance state that a person vouches for under a manual policy.

Specification: Azure Policy attestation structure.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from goldsmith.kernel.json import JsonObject


class AttestedState(StrEnum):
    COMPLIANT = "Compliant"
    NON_COMPLIANT = "NonCompliant"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    description: str | None
    source_uri: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """`scope` is the resource (or group, or subscription) it speaks of, and nothing below it."""

    id: str
    name: str
    scope: str
    assignment_id: str
    reference_id: str | None = None
    state: AttestedState | None = None
    expires_on: datetime | None = None
    owner: str | None = None
    comments: str | None = None
    evidence: tuple[Evidence, ...] = ()
    assessment_date: datetime | None = None
    metadata: JsonObject | None = None
