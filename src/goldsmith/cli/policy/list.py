"""`goldsmith policy list` and `show`: stored and packaged policies, and where they are assigned."""

import click

from goldsmith.cli import options
from goldsmith.cli.output import print_facts, print_json, print_table
from goldsmith.cli.policy import options as policy_options
from goldsmith.cli.policy.results import cut, fitted
from goldsmith.cli.policy.values import value_text
from goldsmith.kernel.json import JsonObject, pretty
from goldsmith.policy.definition import Absent, PolicyDefinition
from goldsmith.policy.initiative import PolicySetDefinition
from goldsmith.policy.wire.assignment import assignment_json
from goldsmith.policy.wire.definition import definition_json
from goldsmith.policy.wire.initiative import initiative_json

_TEXT_WIDTH = 500


@click.command("list")
@click.argument("text", required=False, metavar="[TEXT]")
@click.option("--assigned", is_flag=True, help="Only what is assigned somewhere.")
@click.option("--initiatives", is_flag=True, help="Only initiatives.")
@options.json_output
def list_(text: str | None, assigned: bool, initiatives: bool, as_json: bool) -> None:
    """The stored and packaged policies, with how often each is assigned; TEXT is a part of their names.

    Example: goldsmith policy list image --assigned
    """
    from goldsmith.app import App
    from goldsmith.cli.policy.store import known_policies, policy_objects

    objects = policy_objects(App())
    wanted = (text or "").lower()
    found = [
        one
        for one in known_policies(objects)
        if (not assigned or one.assignments)
        and (not initiatives or one.is_initiative)
        and any(wanted in name.lower() for name in (one.name, one.policy.name, one.policy.label))
    ]
    if as_json:
        print_json(
            [
                {
                    "id": one.policy.id,
                    "key": one.key,
                    "displayName": one.policy.label,
                    "kind": "initiative" if one.is_initiative else "definition",
                    "mode": one.policy.mode if isinstance(one.policy, PolicyDefinition) else None,
                    "version": None if one.policy.version is None else str(one.policy.version),
                    "stored": one.stored,
                    "evaluated": not isinstance(one.policy, PolicyDefinition) or one.policy.evaluated,
                    "assignments": [each.id for each in one.assignments],
                }
                for one in found
            ]
        )
        return
    rows = [
        (
            one.name,
            "initiative" if isinstance(one.policy, PolicySetDefinition) else one.policy.mode,
            "-" if one.policy.version is None else str(one.policy.version),
            "stored" if one.stored else "packaged",
            str(len(one.assignments)),
            one.policy.label,
        )
        for one in found
    ]
    print_table(
        ("name", "mode", "version", "from", "assigned", "display name"),
        fitted(rows, narrow=()),
        empty="no such policy; 'goldsmith policy import' takes some over",
    )


@click.command()
@click.argument("policy", metavar="POLICY", shell_complete=policy_options.complete_policy)
@options.json_output
def show(policy: str, as_json: bool) -> None:
    """One definition or initiative: parameters, rule or members, and where it is assigned.

    Example: goldsmith policy show gallery-images-only
    """
    from goldsmith.app import App
    from goldsmith.cli.policy.store import find_policy, known_policies, policy_objects

    known = find_policy(known_policies(policy_objects(App())), policy)
    one = known.policy
    body = initiative_json(one) if isinstance(one, PolicySetDefinition) else definition_json(one)
    if as_json:
        print_json({**body, "assignments": [assignment_json(each) for each in known.assignments]})
        return
    facts: list[tuple[str, object]] = [
        ("name", known.name),
        ("id", one.id),
        ("display name", one.label),
        ("description", cut(one.description or "-", _TEXT_WIDTH)),
        ("version", one.version or "-"),
        ("from", "the state directory" if known.stored else "the package"),
        ("assigned to", "\n".join(each.scope for each in known.assignments) or "-"),
    ]
    if isinstance(one, PolicyDefinition):
        mode = one.mode if one.evaluated else f"{one.mode} (not evaluated)"
        facts.insert(3, ("mode", mode))
    print_facts(facts)
    click.echo()
    print_table(
        ("parameter", "type", "default", "allowed"),
        [
            (
                parameter.name,
                parameter.type.value,
                "(needed)" if parameter.default is Absent.ABSENT else value_text(parameter.default),
                ", ".join(map(value_text, parameter.allowed or ())) or "any",
            )
            for parameter in one.parameters.values()
        ],
        empty="no parameters",
    )
    click.echo()
    click.echo(_content(one, body))


def _content(one: PolicyDefinition | PolicySetDefinition, body: JsonObject) -> str:
    if isinstance(one, PolicyDefinition):
        return pretty(body["properties"]["policyRule"])
    return "\n".join(
        f"{reference.reference_id}  {reference.definition_id.rsplit('/', 1)[-1]}"
        for reference in one.references
    )


command = list_
