"""`goldsmith policy`: the Azure Policy language on a laptop, in CI and in the store."""

import click

from goldsmith.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "test": ("goldsmith.cli.policy.test", "run tables of cases against policies"),
        "lint": ("goldsmith.cli.policy.lint", "look for known mistakes in definitions"),
        "evaluate": ("goldsmith.cli.policy.evaluate", "judge exported resources by policies, offline"),
        "explain": ("goldsmith.cli.policy.explain", "why a policy judges a resource as it does"),
        "import": ("goldsmith.cli.policy.importing", "take over definitions, initiatives and assignments"),
        "list": ("goldsmith.cli.policy.list", "stored and packaged policies, and how often each is assigned"),
        "show": ("goldsmith.cli.policy.show", "one policy: parameters, rule, where it is assigned"),
        "assign": ("goldsmith.cli.policy.assign", "put a policy in force on a scope"),
        "unassign": ("goldsmith.cli.policy.unassign", "take an assignment away"),
    },
)
def command() -> None:
    """Test, lint, evaluate and explain Azure Policies offline; import and assign them."""
