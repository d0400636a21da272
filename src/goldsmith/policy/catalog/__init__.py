"""Collections of definitions: reading checkouts, exports and folders as one catalogue."""
