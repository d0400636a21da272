"""The commands of `goldsmith compliance`, a module each, and what they share."""
