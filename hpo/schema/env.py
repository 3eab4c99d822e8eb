"""Run alembic's migrations on the connection that the caller gives, in the caller's transaction."""

from alembic import context
from sqlalchemy import text

connection = context.config.attributes["connection"]
connection.execute(text("CREATE SCHEMA IF NOT EXISTS hpo"))
context.configure(connection=connection, version_table_schema="hpo")
context.run_migrations()
