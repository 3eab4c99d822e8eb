"""What a worker did before, found without reading all attempts."""

from alembic import op

revision = "0006"
down_revision = "0005"

INDEX = "CREATE INDEX attempts_worker ON hpo.attempts (worker, started)"


def upgrade() -> None:
    op.execute(INDEX)
