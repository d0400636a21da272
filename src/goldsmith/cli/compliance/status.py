"""`goldsmith compliance status`: how much is compliant, of everything or divided."""

from typing import TYPE_CHECKING

import click

from goldsmith.cli import options
from goldsmith.cli.output import print_json, print_table
from goldsmith.cli.policy.results import fitted, styled_state
from goldsmith.kernel.clock import iso
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.verdict import ComplianceState

if TYPE_CHECKING:
    from goldsmith.compliance.service import Status
    from goldsmith.compliance.summary import Line

_BY = {
    "assignment": "assignment",
    "initiative": "initiative",
    "definition": "definition",
    "group": "group",
    "resource-group": "resourceGroup",
    "subscription": "subscription",
    "tag": "tag",
    "type": "resourceType",
}
_REASONS = 10
_USUAL = (ComplianceState.COMPLIANT, ComplianceState.NON_COMPLIANT)


@click.command()
@click.option(
    "--by", type=click.Choice(list(_BY)), default="assignment", show_default=True, help="What to divide by."
)
@click.option("--tag", metavar="NAME", help="The tag, with --by tag.")
@click.option("--scope", metavar="ID", default="", help="Only resources at this scope and below it.")
@click.option("--reasons", is_flag=True, help="The most frequent reasons, too.")
@options.json_output
def command(by: str, tag: str | None, scope: str, reasons: bool, as_json: bool) -> None:
    """How many resources are compliant, with the percentage as Azure computes it.

    The percentage is that of compliant, exempt and unknown resources among these and the non-compliant,
    conflicting and failed ones; protected ones do not count.

    Example: goldsmith compliance status --by tag --tag team
    """
    if (by == "tag") != (tag is not None):
        raise click.UsageError("--by tag and --tag NAME need each other")
    from goldsmith.app import App
    from goldsmith.cli.compliance.parts import bring_up_to_date
    from goldsmith.compliance import service
    from goldsmith.compliance.summary import By

    keeper = App().keeper
    bring_up_to_date(keeper, quiet=as_json)
    found = service.status(
        keeper, by=By(_BY[by]), scope=scope, tag=tag, reasons=_REASONS if reasons else 0, catch_up=False
    )
    if as_json:
        print_json(_json(found, by))
        return
    print_overall(found.overall, assigned=len(keeper.in_force.policies))
    lines = [line for line in found.lines if line.resources]
    if lines:
        click.echo()
        columns = (
            by.replace("-", " "),
            "state",
            "%",
            "compliant",
            "non-compliant",
            "other",
            "failing policies",
        )
        print_table(columns, fitted([_row(line, by) for line in lines], narrow=(0,)), empty="")
    if idle := len(found.lines) - len(lines):
        click.echo(click.style(f"{idle} more have no resource with a state", dim=True))
    if found.reasons is not None and found.reasons.reasons:
        click.echo()
        rows = [(str(one.pairs), one.sentence, one.policy) for one in found.reasons.reasons]
        print_table(("times", "reason", "policy"), fitted(rows, narrow=()), empty="")
    for id_, problem in found.problems.items():
        click.echo(click.style("problem: ", fg="red", bold=True) + f"{id_}: {problem}", err=True)


def _row(line: "Line", by: str) -> tuple[str, ...]:
    return (
        line.label or ("(none)" if by == "tag" else line.key),
        "-" if line.state is None else line.state.value,
        percent(line),
        f"{line.counts.get(ComplianceState.COMPLIANT, 0):,}",
        f"{line.non_compliant:,}",
        _others(line),
        f"{line.non_compliant_policies} of {line.policies}",
    )


def _json(found: "Status", by: str) -> JsonObject:
    return {
        "followedAt": None if found.followed_at is None else iso(found.followed_at),
        "scannedAt": None if found.scanned_at is None else iso(found.scanned_at),
        "nextDue": None if found.next_due is None else iso(found.next_due),
        "overall": line_json(found.overall),
        "by": by,
        "lines": [line_json(line) for line in found.lines],
        "reasons": None
        if found.reasons is None
        else [
            {"sentence": one.sentence, "pairs": one.pairs, "policy": one.policy}
            for one in found.reasons.reasons
        ],
        "problems": found.problems,
    }


def print_overall(line: "Line", *, assigned: int) -> None:
    if line.state is None:
        text = (
            "no policy is assigned; 'goldsmith policy assign golden-images' assigns one"
            if assigned == 0
            else "no resource has a state: no assigned policy is about any"
        )
        click.echo(text)
        return
    click.echo(
        f"{styled_state(line.state.value)}  {percent(line)} % of {line.resources:,} resources comply, "
        f"{line.non_compliant:,} do not; {line.non_compliant_policies} of {line.policies} policies fail"
    )


def percent(line: "Line") -> str:
    return "-" if line.percentage is None else f"{line.percentage:.0f}"


def line_json(line: "Line") -> JsonObject:
    return {
        "key": line.key,
        "label": line.label,
        "state": None if line.state is None else line.state.value,
        "percentage": None if line.percentage is None else round(line.percentage, 2),
        "resources": line.resources,
        "counts": {state.value: count for state, count in sorted(line.counts.items())},
        "policies": line.policies,
        "nonCompliantPolicies": line.non_compliant_policies,
    }


def _others(line: "Line") -> str:
    found = [
        f"{count:,} {state.value}"
        for state, count in sorted(line.counts.items())
        if state not in _USUAL and count
    ]
    return ", ".join(found) or "-"
