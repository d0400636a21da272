"""Remediation tasks as they are kept: an ARM resource each, and a row for each resource it works on."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from goldsmith.compliance.catalog import REMEDIATION_TYPE
from goldsmith.compliance.ports import Deployer
from goldsmith.compliance.remediation import (
    DeploymentStatus,
    PlannedRemediation,
    ProvisioningState,
    RemediationDeployment,
    RemediationPlan,
    RemediationRequest,
)
from goldsmith.compliance.schema import deployment
from goldsmith.compliance.wire import parse_remediation, remediation_properties, status_properties
from goldsmith.kernel.cancel import Cancel, NeverCancel
from goldsmith.kernel.clock import Clock, iso
from goldsmith.kernel.errors import CanceledError, ConflictError, Error, UnsupportedError
from goldsmith.kernel.ids import Ids
from goldsmith.kernel.json import JsonObject
from goldsmith.resources.model import Resource, ResourceDraft
from goldsmith.resources.store import ResourceStore
from goldsmith.resources.transaction import ResourceTransaction

logger = logging.getLogger(__name__)

_OPEN = (DeploymentStatus.WAITING, DeploymentStatus.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remediation:
    """A task and how far it is."""

    request: RemediationRequest
    state: ProvisioningState
    status_message: str | None
    deployments: tuple[RemediationDeployment, ...]


class Remediations:
    """Tasks over the resource store and its database; each change of a task is one transaction."""

    def __init__(self, engine: sa.Engine, resources: ResourceStore, clock: Clock, ids: Ids) -> None:
        self._engine = engine
        self._resources = resources
        self._clock = clock
        self._ids = ids

    def get(self, id_: str) -> Remediation:
        """Raises NotFoundError."""
        return self._read(self._resources.get(id_))

    def list(self, scope: str = "") -> list[Remediation]:
        """The tasks at a scope and below it, in the order of their ids (1,000 at most)."""
        found = self._resources.list(type=REMEDIATION_TYPE, scope_prefix=scope or None)
        return [self._read(each) for each in found]

    def create(self, plan: RemediationPlan, *, actor: str) -> Remediation:
        """Record a task as planned; nothing is carried out yet.

        A task with nothing to do has succeeded. Raises ConflictError when one of that id is under way.
        """
        request = plan.request
        now = self._clock.now()
        rows = [
            RemediationDeployment(
                remediated_resource_id=item.resource_id,
                location=item.location,
                status=DeploymentStatus.WAITING if item.problem is None else DeploymentStatus.SKIPPED,
                action=item.action,
                deployment_id=None,
                error=None if item.problem is None else {"code": "NotPlanned", "message": item.problem},
                changed_at=now,
            )
            for item in plan.items
        ]
        with self._resources.transaction() as writing:
            known = writing.find(request.id)
            if known is not None and not _state(known).ended:
                raise ConflictError(
                    f"the remediation {request.name} is {_state(known)}, expected that it has ended",
                    hint="cancel it, or give the new one another name",
                )
            key = request.id.rstrip("/").lower()
            writing.connection.execute(sa.delete(deployment).where(deployment.c.remediation_key == key))
            if rows:
                values = [_row(key, place, each) for place, each in enumerate(rows)]
                writing.connection.execute(sa.insert(deployment), values)
            waiting = any(each.status is DeploymentStatus.WAITING for each in rows)
            state = ProvisioningState.ACCEPTED if waiting else ProvisioningState.SUCCEEDED
            properties = remediation_properties(request) | {
                "createdOn": iso(now),
                "correlationId": self._ids.new(),
            }
            stored = self._put(writing, request, properties, state, rows, actor=actor, message=None)
        return self._read(stored)

    def cancel(self, id_: str, *, actor: str) -> Remediation:
        """Do nothing more of the task: what is under way is finished, what waits is canceled.

        Raises NotFoundError, and ConflictError when the task has ended.
        """
        with self._resources.transaction() as writing:
            task = writing.get(id_)
            state = _state(task)
            if state.ended:
                raise ConflictError(f"the remediation {id_} is {state}, expected one that has not ended")
            key = id_.rstrip("/").lower()
            writing.connection.execute(
                sa.update(deployment)
                .where(
                    deployment.c.remediation_key == key,
                    deployment.c.status == str(DeploymentStatus.WAITING),
                )
                .values(status=str(DeploymentStatus.CANCELED), changed_at=self._clock.now())
            )
            rows = _deployments(writing.connection, key)
            running = any(each.status is DeploymentStatus.RUNNING for each in rows)
            state = ProvisioningState.CANCELLING if running else ProvisioningState.CANCELED
            self._advance(writing, task, state, rows, actor=actor, message=None)
        return self.get(id_)

    def run(self, id_: str, deployer: Deployer, *, actor: str, cancel: Cancel | None = None) -> Remediation:
        """Carry out what waits, in the planned order, as many at a time as the task allows to begin.

        May be called again after a crash: what had begun is done again. Stops when more than the threshold
        has failed. Raises UnsupportedError when `deployer` can do none of it (the task goes on waiting),
        CanceledError when `cancel` says so, and ConflictError when the task has ended.
        """
        cancel = cancel or NeverCancel()
        task = self.get(id_)
        if task.state.ended:
            raise ConflictError(f"the remediation {id_} is {task.state}, expected one that has not ended")
        share = task.request.failure_share
        while True:
            begun = self._begin(id_, task.request.parallel_deployments, actor=actor)
            if not begun:
                return self._finish(id_, actor=actor)
            for each in begun:
                try:
                    cancel.check()
                    self._deploy(id_, each, deployer)
                except (UnsupportedError, CanceledError) as error:
                    self._put_back(id_, actor=actor, message=error.message)
                    raise
            if share is not None and self._failed_share(id_) > share:
                return self._finish(id_, actor=actor, message="too many deployments have failed")

    def _begin(self, id_: str, number: int, *, actor: str) -> Sequence[RemediationDeployment]:
        key = id_.rstrip("/").lower()
        with self._resources.transaction() as writing:
            task = writing.get(id_)
            rows = _deployments(writing.connection, key)
            chosen = [each for each in rows if each.status in _OPEN][:number]
            for each in chosen:
                self._mark(writing.connection, key, each, DeploymentStatus.RUNNING)
            if chosen and _state(task) is not ProvisioningState.CANCELLING:
                rows = _deployments(writing.connection, key)
                self._advance(writing, task, ProvisioningState.RUNNING, rows, actor=actor, message=None)
        return chosen

    def _deploy(self, id_: str, each: RemediationDeployment, deployer: Deployer) -> None:
        item = PlannedRemediation(
            resource_id=each.remediated_resource_id, location=each.location, action=each.action
        )
        key = id_.rstrip("/").lower()
        try:
            name = deployer.deploy(id_, item)
        except (UnsupportedError, CanceledError):
            raise
        except Error as error:
            told = {"code": error.code, "message": error.message}
            logger.info("the remediation of %s failed: %s", each.remediated_resource_id, error.message)
            with self._resources.transaction() as writing:
                self._mark(writing.connection, key, each, DeploymentStatus.FAILED, error=told)
            return
        with self._resources.transaction() as writing:
            self._mark(writing.connection, key, each, DeploymentStatus.SUCCEEDED, name=name)

    def _put_back(self, id_: str, *, actor: str, message: str) -> None:
        key = id_.rstrip("/").lower()
        with self._resources.transaction() as writing:
            for each in _deployments(writing.connection, key):
                if each.status is DeploymentStatus.RUNNING:
                    self._mark(writing.connection, key, each, DeploymentStatus.WAITING)
            rows = _deployments(writing.connection, key)
            task = writing.get(id_)
            self._advance(writing, task, ProvisioningState.ACCEPTED, rows, actor=actor, message=message)

    def _finish(self, id_: str, *, actor: str, message: str | None = None) -> Remediation:
        key = id_.rstrip("/").lower()
        with self._resources.transaction() as writing:
            task = writing.get(id_)
            for each in _deployments(writing.connection, key):
                if each.status in _OPEN:
                    self._mark(writing.connection, key, each, DeploymentStatus.CANCELED)
            rows = _deployments(writing.connection, key)
            failed = any(each.status in (DeploymentStatus.FAILED, DeploymentStatus.SKIPPED) for each in rows)
            if message is not None:
                state = ProvisioningState.FAILED
            elif _state(task) is ProvisioningState.CANCELLING:
                state = ProvisioningState.CANCELED
            else:
                state = ProvisioningState.COMPLETE if failed else ProvisioningState.SUCCEEDED
            self._advance(writing, task, state, rows, actor=actor, message=message)
        return self.get(id_)

    def _failed_share(self, id_: str) -> float:
        rows = self.get(id_).deployments
        failed = sum(each.status is DeploymentStatus.FAILED for each in rows)
        return failed / len(rows) if rows else 0.0

    def _mark(
        self,
        connection: sa.Connection,
        key: str,
        each: RemediationDeployment,
        status: DeploymentStatus,
        *,
        name: str | None = None,
        error: JsonObject | None = None,
    ) -> None:
        connection.execute(
            sa.update(deployment)
            .where(
                deployment.c.remediation_key == key,
                deployment.c.resource_key == each.remediated_resource_id.lower(),
            )
            .values(status=str(status), deployment_id=name, error=error, changed_at=self._clock.now())
        )

    def _advance(
        self,
        writing: ResourceTransaction,
        task: Resource,
        state: ProvisioningState,
        rows: Sequence[RemediationDeployment],
        *,
        actor: str,
        message: str | None,
    ) -> None:
        request = parse_remediation({"properties": task.properties}, id_=task.id)
        self._put(writing, request, task.properties, state, rows, actor=actor, message=message)

    def _put(
        self,
        writing: ResourceTransaction,
        request: RemediationRequest,
        properties: JsonObject,
        state: ProvisioningState,
        rows: Sequence[RemediationDeployment],
        *,
        actor: str,
        message: str | None,
    ) -> Resource:
        told = {name: value for name, value in properties.items() if name != "statusMessage"}
        told |= status_properties(state, rows, message=message) | {"lastUpdatedOn": iso(self._clock.now())}
        draft = ResourceDraft(id=request.id, type=REMEDIATION_TYPE, name=request.name, properties=told)
        return writing.put(draft, actor=actor)

    def _read(self, task: Resource) -> Remediation:
        with self._engine.connect() as connection:
            rows = _deployments(connection, task.id.rstrip("/").lower())
        message = task.properties.get("statusMessage")
        return Remediation(
            request=parse_remediation({"properties": task.properties}, id_=task.id),
            state=_state(task),
            status_message=message if isinstance(message, str) else None,
            deployments=tuple(rows),
        )


def _state(task: Resource) -> ProvisioningState:
    return ProvisioningState(task.properties.get("provisioningState", ProvisioningState.ACCEPTED))


def _deployments(connection: sa.Connection, key: str) -> list[RemediationDeployment]:
    query = sa.select(deployment).where(deployment.c.remediation_key == key).order_by(deployment.c.place)
    return [
        RemediationDeployment(
            remediated_resource_id=row["plan"]["resourceId"],
            location=row["location"],
            status=DeploymentStatus(row["status"]),
            action=row["plan"]["action"],
            deployment_id=row["deployment_id"],
            error=row["error"],
            changed_at=row["changed_at"],
        )
        for row in connection.execute(query).mappings()
    ]


def _row(key: str, place: int, each: RemediationDeployment) -> dict[str, Any]:
    return {
        "remediation_key": key,
        "resource_key": each.remediated_resource_id.lower(),
        "place": place,
        "location": each.location,
        "status": str(each.status),
        "plan": {"resourceId": each.remediated_resource_id, "action": each.action},
        "deployment_id": each.deployment_id,
        "error": each.error,
        "changed_at": each.changed_at,
    }
