"""What people ask of studies and trials: paused, stopped, cancelled, queued again; by whom and when."""

from alembic import op

revision = "0002"
down_revision = "0001"

TABLES = """
CREATE TABLE hpo.wishes (
    wish integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    study_id integer NOT NULL REFERENCES studies ON DELETE CASCADE,
    trial_id integer REFERENCES trials ON DELETE CASCADE,
    verb text NOT NULL CHECK (verb IN ('pause', 'resume', 'stop', 'cancel', 'requeue')),
    who text NOT NULL,
    wished timestamptz NOT NULL DEFAULT clock_timestamp(),
    stands boolean NOT NULL DEFAULT false CHECK (NOT stands OR verb IN ('pause', 'stop'))
);
COMMENT ON TABLE hpo.wishes IS 'what people asked of a study, or of one of its trials, in order';
COMMENT ON COLUMN hpo.wishes.stands IS 'a pause or stop that nobody has undone: workers take nothing of it';
CREATE UNIQUE INDEX wishes_hold_study ON hpo.wishes (study_id) WHERE stands AND trial_id IS NULL;
CREATE UNIQUE INDEX wishes_hold_trial ON hpo.wishes (trial_id) WHERE stands;
CREATE INDEX wishes_study ON hpo.wishes (study_id);
CREATE INDEX wishes_trial ON hpo.wishes (trial_id);

ALTER TABLE hpo.attempts DROP CONSTRAINT attempts_outcome_check;
ALTER TABLE hpo.attempts ADD CONSTRAINT attempts_outcome_check
    CHECK (outcome IN ('complete', 'pruned', 'fail', 'released', 'died', 'cancelled'));
"""


def upgrade() -> None:
    op.execute(TABLES)
