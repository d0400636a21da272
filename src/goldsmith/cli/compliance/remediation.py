"""`goldsmith compliance remediation`: what policies would repair on which resources, and tasks for it."""

from typing import TYPE_CHECKING

import click

from goldsmith.cli import options
from goldsmith.cli.output import print_json, print_table
from goldsmith.cli.policy import options as policy_options
from goldsmith.cli.policy.results import fitted
from goldsmith.cli.policy.values import value_text
from goldsmith.kernel.json import JsonObject

if TYPE_CHECKING:
    from goldsmith.app import App
    from goldsmith.compliance.remediation import RemediationPlan
    from goldsmith.compliance.remediations import Remediation

_TYPE = "Microsoft.PolicyInsights/remediations"


@click.group()
def command() -> None:
    """Plan what a policy can repair by itself (modify, deployIfNotExists), and record tasks for it."""


@command.command(short_help="what a remediation would do; nothing is changed")
@click.argument("assignment", metavar="ASSIGNMENT", shell_complete=policy_options.complete_assignment)
@click.option("--reference", metavar="ID", help="Of an initiative: which of its definitions.")
@click.option("--scope", metavar="ID", help="Only resources below this scope (default: the assignment's).")
@click.option("--limit", default=500, show_default=True, metavar="N", help="How many resources at most.")
@options.json_output
def plan(assignment: str, reference: str | None, scope: str | None, limit: int, as_json: bool) -> None:
    """What a remediation of ASSIGNMENT would do to which resources. Nothing is changed.

    Example: goldsmith compliance remediation plan tattoo-configure
    """
    from goldsmith.app import App

    made = _plan(App(), assignment, "plan", reference=reference, scope=scope, limit=limit, quiet=as_json)
    if as_json:
        print_json(_plan_json(made))
    else:
        _print_plan(made)


@command.command(short_help="record a task as planned")
@click.argument("assignment", metavar="ASSIGNMENT", shell_complete=policy_options.complete_assignment)
@click.option("--name", metavar="NAME", help="Name of the task (default: that of the assignment).")
@click.option("--reference", metavar="ID", help="Of an initiative: which of its definitions.")
@click.option("--scope", metavar="ID", help="Only resources below this scope (default: the assignment's).")
@click.option("--limit", default=500, show_default=True, metavar="N", help="How many resources at most.")
@options.json_output
def create(
    assignment: str, name: str | None, reference: str | None, scope: str | None, limit: int, as_json: bool
) -> None:
    """Record a remediation task of ASSIGNMENT with its plan. Nothing is carried out yet.

    Example: goldsmith compliance remediation create tattoo-configure
    """
    from goldsmith.app import App
    from goldsmith.compliance import service

    app = App()
    made = _plan(app, assignment, name, reference=reference, scope=scope, limit=limit, quiet=as_json)
    task = service.create_remediation(app.remediations, made, actor=app.settings.actor)
    if as_json:
        print_json(_task_json(task))
    else:
        click.echo(f"recorded {task.request.id}: {task.state.value}, {len(task.deployments):,} resources")


@command.command("list", short_help="tasks and how far they are")
@options.json_output
def list_(as_json: bool) -> None:
    """Remediation tasks and how far they are.

    Example: goldsmith compliance remediation list
    """
    from goldsmith.app import App

    tasks = App().remediations.list()
    if as_json:
        print_json([_task_json(task) for task in tasks])
        return
    print_table(
        ("task", "state", "resources", "assignment", "message"),
        [
            (
                task.request.name,
                task.state.value,
                len(task.deployments),
                task.request.assignment_id.rsplit("/", 1)[-1],
                task.status_message or "",
            )
            for task in tasks
        ],
        empty="no tasks; 'goldsmith compliance remediation create ASSIGNMENT' records one",
    )


def _plan(
    app: "App",
    assignment: str,
    name: str | None,
    *,
    reference: str | None,
    scope: str | None,
    limit: int,
    quiet: bool,
) -> "RemediationPlan":
    from goldsmith.cli.compliance.parts import bring_up_to_date
    from goldsmith.cli.policy.store import find_assignment, policy_objects
    from goldsmith.compliance import service

    found = find_assignment(policy_objects(app), assignment, scope=None)
    keeper = app.keeper
    bring_up_to_date(keeper, quiet=quiet)
    where = (scope or found.scope).rstrip("/")
    properties: JsonObject = {"policyAssignmentId": found.id, "resourceCount": limit}
    if reference is not None:
        properties["policyDefinitionReferenceId"] = reference
    return service.remediation_plan(
        keeper,
        {"properties": properties},
        id_=f"{where}/providers/{_TYPE}/{name or found.name}",
        catch_up=False,
    )


def _print_plan(made: "RemediationPlan") -> None:
    rows = [
        (
            each.resource_id.rsplit("/", 1)[-1],
            each.location or "-",
            str(each.action.get("kind", "-")),
            each.problem or _told(each.action),
        )
        for each in made.items
    ]
    print_table(
        ("resource", "location", "action", "what"),
        fitted(rows, narrow=(0,)),
        empty="nothing to do: no resource is non-compliant under it",
    )
    if made.found > len(made.items):
        click.echo(f"... and {made.found - len(made.items):,} more: --limit")


def _told(action: JsonObject) -> str:
    if action.get("kind") == "modify":
        operations = action["operations"]
        return "; ".join(
            f"{one['operation']} {one['field']} = {value_text(one['value'])}" for one in operations
        )
    given = {name: one["value"] for name, one in action.get("parameters", {}).items()}
    return ", ".join(f"{name} = {value_text(value)}" for name, value in given.items()) or "a deployment"


def _plan_json(made: "RemediationPlan") -> JsonObject:
    return {
        "policyAssignmentId": made.request.assignment_id,
        "resources": made.found,
        "roleDefinitionIds": list(made.role_definition_ids),
        "items": [
            {"resourceId": each.resource_id, "action": each.action or None, "problem": each.problem}
            for each in made.items
        ],
    }


def _task_json(task: "Remediation") -> JsonObject:
    return {
        "id": task.request.id,
        "policyAssignmentId": task.request.assignment_id,
        "state": task.state.value,
        "message": task.status_message,
        "deployments": [
            {"resourceId": each.remediated_resource_id, "status": each.status.value, "error": each.error}
            for each in task.deployments
        ],
    }
