"""The first version: plans, attempts, grid points, metrics and results."""

from alembic import op

revision = "0001"
down_revision = None

# `json`, not `jsonb`: the order of keys is worth keeping. Foreign keys into Optuna's tables cascade: without it
# `optuna.delete_study` would silently do nothing.
TABLES = """
CREATE TABLE hpo.plans (
    study_id integer PRIMARY KEY REFERENCES studies ON DELETE CASCADE,
    spec json NOT NULL,
    budget integer NOT NULL CHECK (budget >= 0),
    made integer NOT NULL DEFAULT 0 CHECK (made >= 0),
    fingerprint text,
    error text,
    created timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE hpo.plans IS 'what a study searches; made counts the rows that claims made, budget bounds it';

CREATE TABLE hpo.attempts (
    trial_id integer NOT NULL REFERENCES trials ON DELETE CASCADE,
    attempt integer NOT NULL CHECK (attempt >= 1),
    study_id integer NOT NULL REFERENCES studies ON DELETE CASCADE,
    worker text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    started timestamptz NOT NULL DEFAULT clock_timestamp(),
    beat timestamptz NOT NULL DEFAULT clock_timestamp(),
    grace interval NOT NULL,
    ended timestamptz,
    outcome text CHECK (outcome IN ('complete', 'pruned', 'fail', 'released', 'died')),
    error text,
    place text,
    facts json NOT NULL DEFAULT '{}',
    current boolean NOT NULL DEFAULT true,
    PRIMARY KEY (trial_id, attempt),
    CHECK ((ended IS NULL) = (outcome IS NULL))
);
CREATE UNIQUE INDEX attempts_current ON hpo.attempts (trial_id) WHERE current;
CREATE INDEX attempts_open ON hpo.attempts (study_id) WHERE current;
COMMENT ON COLUMN hpo.attempts.current IS 'the newest attempt of a trial that is not finished';

CREATE TABLE hpo.points (
    study_id integer NOT NULL REFERENCES studies ON DELETE CASCADE,
    point integer NOT NULL CHECK (point >= 0),
    try integer NOT NULL DEFAULT 1 CHECK (try >= 1),
    trial_id integer NOT NULL REFERENCES trials ON DELETE CASCADE,
    UNIQUE (study_id, point, try)
);

CREATE TABLE hpo.metrics (
    trial_id integer NOT NULL REFERENCES trials ON DELETE CASCADE,
    step integer NOT NULL CHECK (step >= 1),
    attempt integer NOT NULL,
    epoch double precision NOT NULL,
    metrics json NOT NULL,
    details json NOT NULL DEFAULT '{}',
    prune boolean NOT NULL,
    rungs integer NOT NULL DEFAULT 0,
    recorded timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (trial_id, step)
);
COMMENT ON COLUMN hpo.metrics.prune IS 'the pruner''s verdict at this step';
COMMENT ON COLUMN hpo.metrics.rungs IS 'rungs of successive halving completed at the verdict';
COMMENT ON COLUMN hpo.attempts.place IS 'the exception''s type and where it was raised';

CREATE TABLE hpo.results (
    trial_id integer PRIMARY KEY REFERENCES trials ON DELETE CASCADE,
    settings json NOT NULL,
    trainable_parameters bigint,
    seconds json NOT NULL DEFAULT '{}',
    facts json NOT NULL DEFAULT '{}'
);

-- Claims look for the last number and for queued rows; without these both grow with the study.
CREATE INDEX IF NOT EXISTS hpo_trials_number ON trials (study_id, number);
CREATE INDEX IF NOT EXISTS hpo_trials_waiting ON trials (study_id, number) WHERE state = 'WAITING';
"""


def upgrade() -> None:
    op.execute(TABLES)
