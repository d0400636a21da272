"""`Microsoft.PolicyInsights/remediations`: ARM JSON to requests and back."""

from collections.abc import Sequence
from typing import Any

from goldsmith.compliance.catalog import REMEDIATION_TYPE
from goldsmith.compliance.remediation import (
    PARALLEL_DEFAULT,
    PARALLEL_MAX,
    RESOURCES_DEFAULT,
    RESOURCES_MAX,
    DeploymentStatus,
    DiscoveryMode,
    ProvisioningState,
    RemediationDeployment,
    RemediationRequest,
)
from goldsmith.kernel.clock import iso
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.members import Members, refused, without_absent
from goldsmith.policy.scope import scope_of
from goldsmith.policy.wire.definition import identity_of

_CODE = "InvalidRemediation"
_READ_ONLY = (
    "provisioningState",
    "createdOn",
    "lastUpdatedOn",
    "deploymentStatus",
    "statusMessage",
    "correlationId",
)


def parse_remediation(body: Any, *, id_: str | None = None) -> RemediationRequest:
    """A task as a PUT body or `az policy remediation show` has it; raises InvalidInputError."""
    envelope = Members(body, model="Remediation")
    id_, name = identity_of(envelope, id_, REMEDIATION_TYPE)
    properties = envelope.object("properties", "RemediationProperties") or envelope
    filters = properties.object("filters", "RemediationFilters")
    request = RemediationRequest(
        id=id_,
        name=name,
        scope=scope_of(id_),
        assignment_id=properties.needed_text("policyAssignmentId"),
        reference_id=properties.text("policyDefinitionReferenceId"),
        discovery=properties.choice("resourceDiscoveryMode", DiscoveryMode)
        or DiscoveryMode.EXISTING_NON_COMPLIANT,
        locations=() if filters is None else filters.texts("locations"),
        resource_ids=() if filters is None else filters.texts("resourceIds"),
        resource_count=_whole(properties, "resourceCount", RESOURCES_DEFAULT, most=RESOURCES_MAX),
        parallel_deployments=_whole(properties, "parallelDeployments", PARALLEL_DEFAULT, most=PARALLEL_MAX),
        failure_share=_share(properties),
    )
    properties.ignore(*_READ_ONLY)
    for each in (filters, None if properties is envelope else properties):
        if each is not None:
            each.close()
    return request


def remediation_properties(request: RemediationRequest) -> JsonObject:
    """What its writer chose, as `properties`."""
    filters = without_absent(
        {
            "locations": list(request.locations) or None,
            "resourceIds": list(request.resource_ids) or None,
        }
    )
    share = request.failure_share
    return without_absent(
        {
            "policyAssignmentId": request.assignment_id,
            "policyDefinitionReferenceId": request.reference_id,
            "resourceDiscoveryMode": str(request.discovery),
            "filters": filters or None,
            "resourceCount": request.resource_count,
            "parallelDeployments": request.parallel_deployments,
            "failureThreshold": None if share is None else {"percentage": share},
        }
    )


def status_properties(
    state: ProvisioningState, deployments: Sequence[RemediationDeployment], *, message: str | None
) -> JsonObject:
    """What the task says of its course."""

    def number(*wanted: DeploymentStatus) -> int:
        return sum(each.status in wanted for each in deployments)

    return without_absent(
        {
            "provisioningState": str(state),
            "statusMessage": message,
            "deploymentStatus": {
                "totalDeployments": len(deployments),
                "successfulDeployments": number(DeploymentStatus.SUCCEEDED),
                "failedDeployments": number(DeploymentStatus.FAILED, DeploymentStatus.SKIPPED),
            },
        }
    )


def deployment_json(deployment: RemediationDeployment) -> JsonObject:
    """One entry of `listDeployments`."""
    return without_absent(
        {
            "remediatedResourceId": deployment.remediated_resource_id,
            "deploymentId": deployment.deployment_id,
            "status": str(deployment.status),
            "resourceLocation": deployment.location,
            "error": deployment.error,
            "lastUpdatedOn": iso(deployment.changed_at),
        }
    )


def _whole(properties: Members, name: str, default: int, *, most: int) -> int:
    value = properties.number(name)
    if value is None:
        return default
    if not isinstance(value, int) or not 1 <= value <= most:
        raise refused(
            properties.at(name), f"is {value}, expected a whole number from 1 to {most}", code=_CODE
        )
    return value


def _share(properties: Members) -> float | None:
    threshold = properties.object("failureThreshold", "RemediationFailureThreshold")
    if threshold is None:
        return None
    value = threshold.number("percentage")
    threshold.close()
    if value is None:
        return None
    if not 0 <= value <= 100:
        raise refused(threshold.at("percentage"), f"is {value}, expected 0.0 to 1.0", code=_CODE)
    # The prose of the service says 0 to 100, its schema and samples 0.0 to 1.0; both are read.
    return float(value) if value <= 1 else value / 100
