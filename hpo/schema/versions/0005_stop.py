"""Rules that end a study: what they count, and which one did."""

from alembic import op

revision = "0005"
down_revision = "0004"

TABLES = """
ALTER TABLE hpo.plans
    ADD COLUMN worked double precision NOT NULL DEFAULT 0,
    ADD COLUMN best double precision,
    ADD COLUMN since integer NOT NULL DEFAULT 0,
    ADD COLUMN ended_by text,
    ADD COLUMN ended_at timestamptz;
COMMENT ON COLUMN hpo.plans.worked IS 'seconds of the attempts that are counted, by claims that judge rules';
COMMENT ON COLUMN hpo.plans.best IS 'of the complete trials among them';
COMMENT ON COLUMN hpo.plans.since IS 'of them, the trials that were complete or pruned after the best one';
COMMENT ON COLUMN hpo.plans.ended_by IS 'the rule that held: no trial of the budget is begun any more';

ALTER TABLE hpo.attempts ADD COLUMN counted boolean NOT NULL DEFAULT false;
CREATE INDEX attempts_uncounted ON hpo.attempts (study_id) WHERE NOT counted AND NOT current;
"""


def upgrade() -> None:
    op.execute(TABLES)
