"""Which states of its models a study was made with."""

from alembic import op

revision = "0003"
down_revision = "0002"

# Of studies made before nothing is known, and nothing is compared.
TABLES = """
ALTER TABLE hpo.plans ADD COLUMN models json NOT NULL DEFAULT '{}';
COMMENT ON COLUMN hpo.plans.models IS 'by model.name, a commit of the hub or a digest of the files';
"""


def upgrade() -> None:
    op.execute(TABLES)
