"""`goldsmith doctor`: what this host can do."""

import click

from goldsmith.cli import options
from goldsmith.cli.output import print_json, print_table
from goldsmith.host.facts import to_json
from goldsmith.host.probe import probe_host
from goldsmith.host.report import install_command, report
from goldsmith.settings import load


@click.command()
@options.json_output
def command(as_json: bool) -> None:
    """Probe this host: what works, what is missing, how to install it, what works without it."""
    facts = probe_host(load().state)
    found = report(facts)
    if as_json:
        print_json(
            {
                "facts": to_json(facts),
                "findings": [
                    {
                        "name": item.name,
                        "state": item.state.value,
                        "found": item.found,
                        "neededFor": item.needed_for,
                        "without": item.without,
                        "install": item.install,
                    }
                    for item in found.findings
                ],
                "verdicts": [
                    {
                        "what": item.capability.value,
                        "works": item.works,
                        "detail": item.detail,
                        "lacking": list(item.lacking),
                    }
                    for item in found.verdicts
                ],
            }
        )
        return
    rows = [(item.name, item.state.value, item.found) for item in found.findings]
    print_table(("what", "state", "found"), rows, empty="nothing was probed")
    for item in found.findings:
        if item.state.value in ("missing", "degraded"):
            click.echo()
            click.echo(click.style(item.name, bold=True) + f": needed for {item.needed_for}")
            if item.without:
                click.echo(f"  without it: {item.without}")
            if item.install:
                click.echo(f"  to install: {item.install}")
    click.echo()
    for verdict in found.verdicts:
        mark = click.style("yes", fg="green") if verdict.works else click.style("no", fg="red")
        click.echo(f"{verdict.capability.value.ljust(22)} {mark}  {verdict.detail}")
    if command_line := install_command(found.findings):
        click.echo(f"\nto install all that is missing: {command_line}")
