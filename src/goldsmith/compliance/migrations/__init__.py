"""Alembic's environment for the compliance tables."""
