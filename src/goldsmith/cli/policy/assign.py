"""`goldsmith policy assign`: a definition or initiative put in force on a scope."""

import click

from goldsmith.cli import options
from goldsmith.cli.output import print_json
from goldsmith.cli.policy import options as policy_options
from goldsmith.kernel.errors import InvalidInputError, PreconditionFailedError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.assignment import EnforcementMode
from goldsmith.policy.wire.assignment import TYPE, assignment_json, parse_assignment

_MODES = {
    "default": EnforcementMode.DEFAULT,
    "do-not-enforce": EnforcementMode.DO_NOT_ENFORCE,
    "enroll": EnforcementMode.ENROLL,
}


@click.command()
@click.argument("policy", metavar="POLICY", shell_complete=policy_options.complete_policy)
@click.option("--scope", metavar="ID", help="A subscription, resource group, management group or resource.")
@click.option("--name", metavar="NAME", help="Name of the assignment (default: that of the policy).")
@click.option("--display-name", metavar="TEXT", help="What people see.")
@policy_options.parameters
@click.option(
    "--enforcement",
    type=click.Choice(list(_MODES)),
    default="default",
    show_default=True,
    help="do-not-enforce judges, and neither denies nor changes anything.",
)
@click.option("--not-scope", "not_scopes", multiple=True, metavar="ID", help="Left out of it (repeatable).")
@click.option("--message", metavar="TEXT", help="What someone reads whom the policy refuses something.")
@click.option("--replace", is_flag=True, help="Replace an assignment of that name.")
@options.json_output
def command(
    policy: str,
    scope: str | None,
    name: str | None,
    display_name: str | None,
    parameters: tuple[str, ...],
    enforcement: str,
    not_scopes: tuple[str, ...],
    message: str | None,
    replace: bool,
    as_json: bool,
) -> None:
    """Assign POLICY (key, name or id) to a scope: the configured subscription unless --scope says another.

    Example: goldsmith policy assign golden-images --parameters values.json --enforcement do-not-enforce
    """
    from goldsmith.app import App
    from goldsmith.cli.policy.store import find_policy, known_policies, policy_objects
    from goldsmith.compliance.documents import draft_of
    from goldsmith.policy.library import assigned_policies

    app = App()
    objects = policy_objects(app)
    found = find_policy(known_policies(objects), policy)
    where = _scope(scope or f"/subscriptions/{app.settings.subscription}")
    called = name or found.name
    body: JsonObject = {
        "id": f"{where}/providers/{TYPE}/{called}",
        "name": called,
        "type": TYPE,
        "properties": {
            "displayName": display_name or found.policy.label,
            "policyDefinitionId": found.policy.id,
            "scope": where,
            "notScopes": list(not_scopes),
            "parameters": {
                key: {"value": value} for key, value in policy_options.parameter_values(parameters).items()
            },
            "enforcementMode": _MODES[enforcement].value,
            "nonComplianceMessages": [{"message": message}] if message else [],
        },
    }
    assignment = parse_assignment(body)
    # Values that do not fit are found now, and not when the first resource is judged.
    try:
        policies = assigned_policies(assignment, objects.library)
    except InvalidInputError as error:
        known = ", ".join(found.policy.parameters) or "none"
        raise InvalidInputError(
            error.message, code=error.code, hint=f"--parameters NAME=VALUE gives a value; there are: {known}"
        ) from error
    try:
        app.resources.put(
            draft_of(assignment_json(assignment)), actor=app.settings.actor, if_none_match=not replace
        )
    except PreconditionFailedError as error:
        raise PreconditionFailedError(
            f"there is an assignment '{called}' on {where} already", hint="add --replace, or another --name"
        ) from error
    if as_json:
        print_json(assignment_json(assignment))
        return
    count = f"{len(policies)} policies" if found.is_initiative else found.policy.label
    click.echo(f"assigned {count} as {called}")
    click.echo(f"  scope        {where}")
    click.echo(f"  enforcement  {_MODES[enforcement].value}")
    click.echo("next: goldsmith compliance scan")


def _scope(text: str) -> str:
    wanted = text.rstrip("/")
    if not wanted.startswith("/"):
        raise InvalidInputError(
            f"'{text}' is no scope",
            hint="expected /subscriptions/ID, /subscriptions/ID/resourceGroups/NAME or "
            "/providers/Microsoft.Management/managementGroups/NAME",
        )
    return wanted
