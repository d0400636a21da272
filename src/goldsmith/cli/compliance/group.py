"""`goldsmith compliance`: the states of all stored resources under all assigned policies."""

import click

from goldsmith.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "scan": ("goldsmith.cli.compliance.scan", "bring the states up to date, with progress"),
        "status": (
            "goldsmith.cli.compliance.status",
            "how much is compliant, by assignment, group, tag, ...",
        ),
        "why": ("goldsmith.cli.compliance.why", "why a resource is in its state, and what to do"),
        "history": ("goldsmith.cli.compliance.history", "what changed its state and when"),
        "remediation": (
            "goldsmith.cli.compliance.remediation",
            "what policies would repair, and tasks for it",
        ),
    },
)
def command() -> None:
    """The compliance of what is stored: scan it, sum it up, ask why, look back."""
