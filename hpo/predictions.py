"""What models said of each row, as the database keeps it."""

from __future__ import annotations

from sqlalchemy import Connection, text

from objectives.evaluation import Evaluation
from objectives.measures import Direction

KEPT = 10
"""Trials of a search whose predictions on the validation rows are kept, the best ones."""

_KEEP = text(
    """
    INSERT INTO hpo.predictions (trial_id, split, step, classes, truth, predicted, probability, loss)
    VALUES (:trial, :split, :step, :classes, :truth, :predicted, :probability, :loss)
    ON CONFLICT (trial_id, split) DO UPDATE SET step = excluded.step, classes = excluded.classes,
        truth = excluded.truth, predicted = excluded.predicted, probability = excluded.probability, loss = excluded.loss
    """
)
_BEST_STEP = """
SELECT step FROM (SELECT step, (metrics ->> :metric)::double precision AS value FROM hpo.metrics
                  WHERE trial_id = :trial) m
WHERE value IS NOT NULL ORDER BY value {order}, step LIMIT 1
"""
_FORGET = """
DELETE FROM hpo.predictions p USING trials t
WHERE p.trial_id = t.trial_id AND t.study_id = :study AND p.split = 'valid' AND t.state <> 'RUNNING'
  AND t.trial_id NOT IN (SELECT trial_id FROM trials JOIN trial_values v USING (trial_id)
                         WHERE study_id = :study AND state = 'COMPLETE' AND v.objective = 0
                         ORDER BY v.value {order}, number LIMIT :kept)
"""
_ORDER = {"minimize": "ASC", "maximize": "DESC"}


def keep(connection: Connection, trial_id: int, evaluation: Evaluation, metric: str, direction: Direction) -> None:
    """Keep what an evaluation that is on record says of the rows: of the test rows always, of the validation rows
    where it is the trial's best so far."""
    found = evaluation.predictions
    if found is None:
        return
    if found.split == "valid":
        statement = text(_BEST_STEP.format(order=_ORDER[direction]))
        if connection.scalar(statement, {"trial": trial_id, "metric": metric}) != evaluation.step:
            return
    values = {name: list(getattr(found, name)) for name in ("classes", "truth", "predicted", "probability", "loss")}
    connection.execute(_KEEP, {"trial": trial_id, "split": found.split, "step": evaluation.step, **values})


def forget(connection: Connection, study_id: int, direction: Direction) -> None:
    """Remove those on validation rows of all finished trials of a study but the best."""
    connection.execute(text(_FORGET.format(order=_ORDER[direction])), {"study": study_id, "kept": KEPT})
