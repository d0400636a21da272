"""Run by Alembic: migrate over the connection, and inside the transaction, that `migrate` opened."""

from alembic import context

from goldsmith.compliance.migrate import VERSION_TABLE
from goldsmith.compliance.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
