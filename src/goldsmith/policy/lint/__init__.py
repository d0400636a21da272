"""Known mistakes of policy authors: rules with stable ids, findings with a place, and fixes."""
