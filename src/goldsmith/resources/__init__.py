"""The resource store: every ARM resource, its change feed and its transactions."""
