"""`goldsmith policy show`."""

from goldsmith.cli.policy.list import show

command = show
