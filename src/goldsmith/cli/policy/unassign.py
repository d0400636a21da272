"""`goldsmith policy unassign`: an assignment taken away."""

import click

from goldsmith.cli.policy import options as policy_options


@click.command()
@click.argument("assignment", metavar="ASSIGNMENT", shell_complete=policy_options.complete_assignment)
@click.option("--scope", metavar="ID", help="Its scope, where several have the name.")
@click.confirmation_option(prompt="Delete the policy assignment?")
def command(assignment: str, scope: str | None) -> None:
    """Take ASSIGNMENT (name or id) away; its states go with the next scan.

    Example: goldsmith policy unassign golden-images --yes
    """
    from goldsmith.app import App
    from goldsmith.cli.policy.store import find_assignment, policy_objects

    app = App()
    found = find_assignment(policy_objects(app), assignment, scope=scope)
    app.resources.delete(found.id, actor=app.settings.actor)
    click.echo(f"deleted {found.id}")
