"""`goldsmith compliance history`: the changes of a resource's states, or the days of the whole fleet."""

import click

from goldsmith.cli import options
from goldsmith.cli.output import print_json, print_table
from goldsmith.cli.policy import options as policy_options
from goldsmith.cli.policy.results import fitted
from goldsmith.kernel.clock import iso
from goldsmith.policy.verdict import ComplianceState

# All that one resource has lived through.
_MOST = 1_000_000


@click.command()
@click.argument(
    "resource", required=False, metavar="[RESOURCE]", shell_complete=policy_options.complete_resource
)
@click.option("--limit", default=50, show_default=True, metavar="N", help="How many, the newest last.")
@options.json_output
def command(resource: str | None, limit: int, as_json: bool) -> None:
    """What changed the states of RESOURCE (id or name) and when; without it, the fleet day by day.

    Example: goldsmith compliance history web-1
    """
    from goldsmith.app import App
    from goldsmith.cli.compliance.parts import bring_up_to_date, resource_id
    from goldsmith.compliance import service

    app = App()
    id_ = None if resource is None else resource_id(app, resource)
    keeper = app.keeper
    bring_up_to_date(keeper, quiet=as_json)
    if id_ is None:
        days = service.history(keeper, limit=1).days[-limit:]
        if as_json:
            print_json(
                [
                    {"day": each.day, "counts": {state.value: n for state, n in each.counts.items()}}
                    for each in days
                ]
            )
            return
        good, bad = ComplianceState.COMPLIANT, ComplianceState.NON_COMPLIANT
        print_table(
            ("day", "compliant", "non-compliant", "other"),
            [
                (
                    each.day,
                    f"{each.counts.get(good, 0):,}",
                    f"{each.counts.get(bad, 0):,}",
                    f"{sum(n for state, n in each.counts.items() if state not in (good, bad)):,}",
                )
                for each in days
            ],
            empty="nothing was judged yet; 'goldsmith compliance scan' begins",
        )
        return
    found = service.history(keeper, resource_id=id_, limit=_MOST).transitions[-limit:]
    policies = keeper.in_force.policies
    if as_json:
        print_json(
            [
                {
                    "at": iso(each.at),
                    "policyAssignmentId": each.policy[0],
                    "policyDefinitionReferenceId": each.policy[1] or None,
                    "before": None if each.before is None else each.before.value,
                    "after": None if each.after is None else each.after.value,
                    "reasonCode": each.code,
                    "cause": {"kind": each.cause.kind.value, "id": each.cause.id or None},
                }
                for each in found
            ]
        )
        return
    rows = []
    for each in found:
        known = policies.get(each.policy)
        label = known.definition.label if known is not None else each.policy[1] or each.policy[0]
        cause = each.cause.kind.value + (f" {each.cause.id.rsplit('/', 1)[-1]}" if each.cause.id else "")
        before = "-" if each.before is None else each.before.value
        after = "-" if each.after is None else each.after.value
        rows.append((iso(each.at), before, after, label, cause))
    print_table(
        ("at", "before", "after", "policy", "because of"),
        fitted(rows, narrow=(3,)),
        empty="its states are those of the first time that it was judged",
    )
