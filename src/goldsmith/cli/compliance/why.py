"""`goldsmith compliance why`: every policy on a resource, its state, since when, why, what next."""

from typing import TYPE_CHECKING

import click

from goldsmith.cli import options
from goldsmith.cli.output import ago_text, print_json
from goldsmith.cli.policy import options as policy_options
from goldsmith.cli.policy.results import styled_state
from goldsmith.cli.policy.tree import tree_lines
from goldsmith.cli.policy.why import sentence
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.effects import wire_effect
from goldsmith.policy.explain import evaluated_expressions
from goldsmith.policy.verdict import ComplianceState
from goldsmith.policy.wire.evaluation import explanation_json, policy_evaluation_details

if TYPE_CHECKING:
    from goldsmith.compliance.why import PolicyOnResource


@click.command()
@click.argument("resource", metavar="RESOURCE", shell_complete=policy_options.complete_resource)
@click.option("--assignment", metavar="NAME", help="Only this assignment, by name or id.")
@click.option("--all", "show_all", is_flag=True, help="Policies in scope that are not about it, too.")
@click.option("--verbose", "-v", is_flag=True, help="The rule of each policy as a tree with its values.")
@options.json_output
def command(resource: str, assignment: str | None, show_all: bool, verbose: bool, as_json: bool) -> None:
    """Why RESOURCE (id or name) is in the state it is in. What has changed is judged first.

    Example: goldsmith compliance why web-1 --verbose
    """
    from goldsmith.app import App
    from goldsmith.cli.compliance.parts import bring_up_to_date, resource_id
    from goldsmith.compliance import service

    app = App()
    id_ = resource_id(app, resource)
    keeper = app.keeper
    bring_up_to_date(keeper, quiet=as_json)
    found = service.why(keeper, id_, assignment=assignment, catch_up=False)
    if as_json:
        print_json(
            {
                "resourceId": found.resource_id,
                "resourceType": found.resource_type,
                "complianceState": None if found.state is None else found.state.value,
                "policies": [_json(one) for one in found.policies],
                "others": [
                    {
                        "policyDefinitionId": one.assigned.definition.id,
                        "policyAssignmentId": one.assigned.assignment.id,
                        "state": one.state.value,
                        "reasons": list(one.reasons),
                    }
                    for one in found.others
                ],
            }
        )
        return
    state = "no state" if found.state is None else styled_state(found.state.value)
    click.echo(f"{state}  {click.style(found.resource_id, bold=True)}")
    if not found.policies:
        click.echo("no assigned policy is about this resource; 'goldsmith policy list --assigned' shows them")
    for one in found.policies:
        click.echo()
        _print(one, verbose=verbose)
    if show_all and found.others:
        click.echo()
        for other in found.others:
            click.echo(
                click.style(f"· {other.assigned.definition.label}: {other.reason or other.state}", dim=True)
            )
    elif found.others:
        click.echo()
        click.echo(
            click.style(f"{len(found.others)} more policies are not about it: --all lists them", dim=True)
        )


def _print(one: "PolicyOnResource", *, verbose: bool) -> None:
    assigned = one.assigned
    since = (
        "not recorded yet: goldsmith compliance scan" if one.since is None else f"since {ago_text(one.since)}"
    )
    click.echo(
        f"{styled_state(one.state.value)}  {click.style(assigned.definition.label, bold=True)}  ({since})"
    )
    where = assigned.assignment.label if assigned.initiative is not None else assigned.assignment.scope
    click.echo(f"    {wire_effect(assigned.effect)} through {where}")
    if one.state is not ComplianceState.COMPLIANT:
        click.echo(f"    {one.message or sentence(one.verdict, one.explanation)}")
        for step in one.next_steps:
            click.echo(f"    → {step}")
    if verbose and one.explanation is not None:
        for line in tree_lines(one.explanation):
            click.echo(f"    {line}")


def _json(one: "PolicyOnResource") -> JsonObject:
    assigned = one.assigned
    expressions = () if one.explanation is None else tuple(evaluated_expressions(one.explanation.condition))
    return {
        "policyDefinitionId": assigned.definition.id,
        "policyDefinitionName": assigned.definition.label,
        "policyAssignmentId": assigned.assignment.id,
        "policyDefinitionReferenceId": assigned.reference_id,
        "effect": wire_effect(assigned.effect),
        "complianceState": one.state.value,
        "since": None if one.since is None else one.since.isoformat(),
        "reasonCode": one.verdict.code.value,
        "reasons": list(one.verdict.reasons),
        "why": sentence(one.verdict, one.explanation),
        "message": one.message,
        "nextSteps": list(one.next_steps),
        "policyEvaluationDetails": policy_evaluation_details(one.verdict, expressions),
        "explanation": None if one.explanation is None else explanation_json(one.explanation),
    }
