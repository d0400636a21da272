"""`goldsmith completion SHELL`: what a shell sources to complete commands, options and names."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print completion for SHELL; put `eval "$(goldsmith completion bash)"` into the shell's start file."""
    from goldsmith.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "goldsmith", "_GOLDSMITH_COMPLETE").source())
