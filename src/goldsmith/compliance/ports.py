"""What compliance needs from outside: somebody who carries out what a remediation has planned."""

from typing import Protocol

from goldsmith.compliance.remediation import PlannedRemediation
from goldsmith.kernel.errors import UnsupportedError


class Deployer(Protocol):
    """Carries out planned actions with the rights of an assignment's identity."""

    def deploy(self, remediation_id: str, item: PlannedRemediation) -> str:
        """Do it and wait for its end; the id of the deployment ("" for a change of the resource alone).

        Raises UnsupportedError when it cannot carry out actions of this kind at all, and other errors of
        `kernel.errors` when this one failed.
        """
        ...


class NoDeployer:
    """Until there is a server that deploys templates: plans are shown and recorded, not carried out."""

    def deploy(self, remediation_id: str, item: PlannedRemediation) -> str:
        raise UnsupportedError(
            f"the remediation {remediation_id} cannot be carried out here: nothing runs deployments yet",
            hint="apply the planned actions yourself, then run 'goldsmith compliance scan'",
        )
