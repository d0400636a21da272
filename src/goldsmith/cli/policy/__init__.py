"""The commands of `goldsmith policy`, a module each, and what they share."""
