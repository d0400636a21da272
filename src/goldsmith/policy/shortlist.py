"""Which assigned policies can say anything about a resource type at all, found out once for each type."""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.prepared import Compiler
from goldsmith.policy.rule import Effect
from goldsmith.policy.target import Target
from goldsmith.policy.tree import Always

# Lists by scope, type and location that are asked for again and again; older ones are made anew.
_KEPT_MOST = 512
_Key = tuple[int, str, str | None, bool, str | None]
_Kept = tuple[AssignedPolicy, ...]


class Shortlists:
    """What remains of a sequence of policies for a type: those whose `if` compiling has not decided as false.

    What remains of a tuple is remembered; of another sequence, which may change, it is found out each time.
    """

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._known: OrderedDict[_Key, tuple[_Kept, _Kept]] = OrderedDict()
        self._lock = Lock()

    def of(
        self, policies: Sequence[AssignedPolicy], target: Target, *, api_version: str | None = None
    ) -> _Kept:
        """In the same order, each as it is at the target's location; disabled ones are left out."""
        if not isinstance(policies, tuple):
            return self._kept_of(policies, target, api_version)
        # The entry holds the tuple too, so that its identity stays its own.
        key = (id(policies), target.type, target.location, target.indexed, api_version)
        with self._lock:
            found = self._known.get(key)
            if found is not None and found[0] is policies:
                self._known.move_to_end(key)
                return found[1]
        kept = self._kept_of(policies, target, api_version)
        with self._lock:
            self._known[key] = policies, kept
            while len(self._known) > _KEPT_MOST:
                self._known.popitem(last=False)
        return kept

    def _kept_of(self, policies: Sequence[AssignedPolicy], target: Target, api_version: str | None) -> _Kept:
        return tuple(
            each
            for policy in policies
            if self._matters(each := policy.at_location(target.location), target, api_version)
        )

    def _matters(self, assigned: AssignedPolicy, target: Target, api_version: str | None) -> bool:
        definition = assigned.definition
        if not definition.evaluated or assigned.effect == Effect.DISABLED:
            return False
        if definition.indexed and not target.indexed:
            return False
        try:
            condition = self._compiler.prepare(assigned, target.type, api_version).rule.condition
        except InvalidInputError:
            # Whoever decides must meet the error again: it is a denial.
            return True
        return not (isinstance(condition, Always) and not condition.value)
