"""What is under way while the states are brought from one commit to the next."""

from datetime import datetime

from goldsmith.compliance.model import Cause, PolicyKey
from goldsmith.compliance.related import RelatedByContainer, StoredRelated
from goldsmith.policy.attestation import Attestation
from goldsmith.policy.exemption import PolicyExemption
from goldsmith.resources.model import Change


class Step:
    """What is under way between two commits."""

    def __init__(self, *, now: datetime, related: StoredRelated, related_of_many: RelatedByContainer) -> None:
        self.now = now
        self.related = related
        self.related_of_many = related_of_many
        self.renewed: dict[PolicyKey, Cause] = {}
        self.exempted: list[tuple[PolicyExemption | Attestation, str]] = []
        # Changes of exemptions and attestations of which it is not known what they were before.
        self.doubted: list[Change] = []
        # Resources that were put again as ones of another type, with the type they had.
        self.replaced: list[tuple[str, str]] = []
        self.started: dict[PolicyKey, None] = {}
        self.ended: list[PolicyKey] = []
        self.turning: set[tuple[PolicyKey, str]] = set()
        self.rivalry = False
        self.depends = False
        self.due = False
