"""The `goldsmith` command: its groups, loaded only when asked for, and how errors end it."""

import os
import shutil
import signal
import sys
from typing import Any

import click

from goldsmith.cli.lazy import LazyGroup
from goldsmith.cli.output import print_error
from goldsmith.kernel.errors import CanceledError, Error, NoSpaceError

EXIT_ERROR = 1
EXIT_CANCELED = 130

_COMMANDS = {
    "completion": ("goldsmith.cli.completion", "print shell completion for bash, zsh or fish"),
    "compliance": (
        "goldsmith.cli.compliance.group",
        "the states of all resources under all assigned policies",
    ),
    "doctor": ("goldsmith.cli.doctor", "what this host can do, what is missing and how to install it"),
    "gallery": ("goldsmith.cli.gallery", "galleries, image definitions and image versions"),
    "image": ("goldsmith.cli.image", "build, resume, explain, verify and boot images"),
    "job": ("goldsmith.cli.job", "running and finished jobs"),
    "marketplace": ("goldsmith.cli.marketplace", "base images: offers, versions, captures"),
    "policy": ("goldsmith.cli.policy.group", "test, lint, evaluate, explain, import and assign policies"),
}


@click.group(
    cls=LazyGroup,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option("--state", metavar="DIR", help="State directory (GOLDSMITH_STATE; default: the user's).")
@click.version_option(package_name="goldsmith")
def cli(state: str | None) -> None:
    """Golden VM images and fleet compliance on your own hardware."""
    if state:
        os.environ["GOLDSMITH_STATE"] = state


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exits 0 when done, 1 on an error, 2 on wrong usage, 130 when interrupted."""
    words: list[Any] = list(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    try:
        cli.main(args=words, prog_name="goldsmith", standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        click.echo("interrupted", err=True)
        sys.exit(EXIT_CANCELED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(EXIT_CANCELED)
    except CanceledError as error:
        print_error(error, as_json="--json" in words)
        sys.exit(EXIT_CANCELED)
    except Error as error:
        print_error(error, as_json="--json" in words)
        sys.exit(EXIT_ERROR)
    except BrokenPipeError:
        os._exit(EXIT_ERROR)
    except Exception as error:
        # A full disk is met anywhere, first of all by SQLite, whose errors are not loaded here to be named.
        from goldsmith.settings import state_directory

        told = any(text in str(error) for text in ("database or disk is full", "No space left on device"))
        if not told and shutil.disk_usage(state_directory(os.environ)).free >= 1 << 20:
            raise
        hint = "free some room or point GOLDSMITH_STATE at another disk, then run it again"
        full = NoSpaceError(f"no room left for the state directory: {str(error).splitlines()[0]}", hint=hint)
        print_error(full, as_json="--json" in words)
        sys.exit(EXIT_ERROR)
