"""What the models of some trials said of each row."""

from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = """
CREATE TABLE hpo.predictions (
    trial_id integer NOT NULL REFERENCES trials ON DELETE CASCADE,
    split text NOT NULL CHECK (split IN ('valid', 'test')),
    step integer NOT NULL,
    classes text[] NOT NULL,
    truth integer[] NOT NULL,
    predicted integer[] NOT NULL,
    probability real[] NOT NULL,
    loss real[] NOT NULL,
    PRIMARY KEY (trial_id, split)
);
COMMENT ON TABLE hpo.predictions IS 'row by row in the order of the split; truth and predicted are places in classes, '
    'counted from 0';
"""


def upgrade() -> None:
    op.execute(TABLES)
