"""Alembic's environment for the tables of the resource store."""
