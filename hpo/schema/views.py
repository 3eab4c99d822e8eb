"""The public SQL interface, version 1: typed views over Optuna's tables and ours.

Columns are only ever added within a version. Times are `timestamptz`; values are real ones, never the index of a
categorical. Best is the best among COMPLETE trials, as Optuna shows it, and its metrics are those of its best step.
"""

from __future__ import annotations

_VALUE = """
CASE p.distribution_json::jsonb ->> 'name'
    WHEN 'CategoricalDistribution'
        THEN p.distribution_json::jsonb -> 'attributes' -> 'choices' -> p.param_value::integer
    WHEN 'IntDistribution' THEN to_jsonb(p.param_value::bigint)
    ELSE to_jsonb(p.param_value)
END"""

_BY_METRIC = "CASE d.direction WHEN 'MINIMIZE' THEN {value} ELSE -{value} END"

PARAMS = f"""
SELECT s.study_name AS study, t.number, p.param_name AS name, {_VALUE} AS value,
       ({_VALUE}) #>> '{{}}' AS text_value,
       CASE jsonb_typeof({_VALUE}) WHEN 'number' THEN (({_VALUE}) #>> '{{}}')::double precision END AS number_value
FROM trial_params p JOIN trials t USING (trial_id) JOIN studies s USING (study_id)
"""

LEARNING_CURVES = """
SELECT s.study_name AS study, t.number, m.step, m.epoch, m.attempt,
       (m.metrics ->> 'val_loss')::double precision AS val_loss,
       (m.metrics ->> 'train_loss')::double precision AS train_loss,
       (m.metrics ->> (n.spec ->> 'metric'))::double precision AS value,
       m.metrics, m.details, m.prune, m.recorded
FROM hpo.metrics m JOIN trials t USING (trial_id) JOIN studies s USING (study_id) JOIN hpo.plans n USING (study_id)
"""

TRIALS = f"""
SELECT s.study_name AS study, t.number, t.state::text AS state,
       CASE WHEN t.state = 'WAITING' THEN CASE WHEN w.stands THEN 'paused' END
            WHEN t.state <> 'RUNNING' OR a.trial_id IS NULL THEN NULL
            WHEN a.ended IS NULL AND a.beat >= clock_timestamp() - a.grace THEN 'running'
            WHEN w.stands OR a.outcome = 'released' THEN 'paused'
            ELSE 'waiting for a worker' END AS activity,
       v.value AS value, b.value AS best_value, b.step AS best_step, b.epoch AS best_epoch, l.step AS last_step,
       coalesce(q.params, f.value_json::json, '{{}}') AS params, coalesce(b.metrics, '{{}}') AS metrics,
       coalesce(a.attempt, 0) AS attempts, a.worker, a.host, a.outcome,
       CASE WHEN w.verb = 'cancel' THEN 'cancelled by ' || w.who ELSE a.error END AS error,
       r.trainable_parameters, coalesce(r.seconds, '{{}}') AS seconds, coalesce(r.facts, '{{}}') AS facts, r.settings,
       t.datetime_start AT TIME ZONE 'UTC' AS started, t.datetime_complete AT TIME ZONE 'UTC' AS finished,
       t.trial_id, w.verb AS asked, w.who AS asked_by, w.wished AS asked_at,
       CASE WHEN u.value_json ~ '^[0-9]{{1,9}}$' THEN u.value_json::integer END AS requeued_from
FROM trials t
JOIN studies s USING (study_id)
JOIN hpo.plans n USING (study_id)
JOIN study_directions d USING (study_id)
LEFT JOIN trial_values v ON v.trial_id = t.trial_id AND v.objective = 0
LEFT JOIN hpo.results r ON r.trial_id = t.trial_id
LEFT JOIN trial_user_attributes u ON u.trial_id = t.trial_id AND u.key = 'requeued_from'
LEFT JOIN LATERAL (SELECT * FROM hpo.wishes WHERE trial_id = t.trial_id ORDER BY wish DESC LIMIT 1) w ON true
LEFT JOIN trial_system_attributes f ON f.trial_id = t.trial_id AND f.key = 'fixed_params' AND t.state = 'WAITING'
LEFT JOIN LATERAL (
    SELECT * FROM hpo.attempts WHERE trial_id = t.trial_id ORDER BY attempt DESC LIMIT 1
) a ON true
LEFT JOIN LATERAL (
    SELECT m.step, m.epoch, m.metrics, x.value
    FROM hpo.metrics m, LATERAL (SELECT (m.metrics ->> (n.spec ->> 'metric'))::double precision AS value) x
    WHERE m.trial_id = t.trial_id AND x.value IS NOT NULL
    ORDER BY {_BY_METRIC.format(value="x.value")}, m.step LIMIT 1
) b ON true
LEFT JOIN LATERAL (SELECT max(step) AS step FROM hpo.metrics WHERE trial_id = t.trial_id) l ON true
LEFT JOIN LATERAL (
    SELECT json_object_agg(p.param_name, {_VALUE} ORDER BY p.param_id) AS params
    FROM trial_params p WHERE p.trial_id = t.trial_id
) q ON true
WHERE d.objective = 0
"""

# The best one is found by its value alone, and what else the view shows is computed for it, not for all: OFFSET 0 keeps
# PostgreSQL from doing it the other way round.
BEST_PARAMS = f"""
SELECT s.study_name AS study, t.number, t.value, t.best_step AS step, t.best_epoch AS epoch,
       t.params, t.metrics, n.spec ->> 'metric' AS metric, lower(d.direction::text) AS direction
FROM hpo.plans n
JOIN studies s USING (study_id)
JOIN study_directions d USING (study_id)
CROSS JOIN LATERAL (
    SELECT trial_id FROM trials JOIN trial_values v USING (trial_id)
    WHERE study_id = n.study_id AND state = 'COMPLETE' AND v.objective = 0
    ORDER BY {_BY_METRIC.format(value="v.value")}, number LIMIT 1
) best
CROSS JOIN LATERAL (SELECT * FROM hpo.trials x WHERE x.trial_id = best.trial_id OFFSET 0) t
WHERE d.objective = 0
"""

PREDICTED = """
SELECT s.study_name AS study, t.number, p.split, p.step, r.place::integer - 1 AS row, p.classes[r.truth + 1] AS truth,
       p.classes[r.predicted + 1] AS predicted, r.probability, r.loss
FROM hpo.predictions p JOIN trials t USING (trial_id) JOIN studies s USING (study_id),
     unnest(p.truth, p.predicted, p.probability, p.loss)
         WITH ORDINALITY AS r(truth, predicted, probability, loss, place)
"""

STUDIES = """
SELECT s.study_name AS study, n.spec ->> 'metric' AS metric, lower(d.direction::text) AS direction,
       n.budget AS trials, n.made, c.complete, c.pruned, c.failed, c.running, c.waiting,
       CASE WHEN n.ended_by IS NULL THEN greatest(n.budget - n.made, 0) ELSE 0 END AS remaining,
       CASE WHEN n.error IS NOT NULL THEN 'failed'
            WHEN c.running + c.waiting = 0 AND (n.made >= n.budget OR n.ended_by IS NOT NULL) THEN 'complete'
            WHEN w.stands THEN CASE w.verb WHEN 'stop' THEN 'stopped' ELSE 'paused' END
            WHEN EXISTS (SELECT FROM hpo.attempts a WHERE a.study_id = s.study_id AND a.current AND a.ended IS NULL
                         AND a.beat >= clock_timestamp() - a.grace) THEN 'running'
            ELSE 'open' END AS state,
       n.error, n.created, n.spec, w.verb AS asked, w.who AS asked_by, w.wished AS asked_at,
       n.ended_by, n.ended_at
FROM hpo.plans n
JOIN studies s USING (study_id)
JOIN study_directions d USING (study_id)
LEFT JOIN LATERAL (
    SELECT * FROM hpo.wishes WHERE study_id = n.study_id AND trial_id IS NULL ORDER BY wish DESC LIMIT 1
) w ON true
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'COMPLETE') AS complete, count(*) FILTER (WHERE state = 'PRUNED') AS pruned,
           count(*) FILTER (WHERE state = 'FAIL') AS failed, count(*) FILTER (WHERE state = 'RUNNING') AS running,
           count(*) FILTER (WHERE state = 'WAITING') AS waiting
    FROM trials t WHERE t.study_id = s.study_id
) c
WHERE d.objective = 0
"""

VIEWS = {
    "params": PARAMS,
    "learning_curves": LEARNING_CURVES,
    "trials": TRIALS,
    "best_params": BEST_PARAMS,
    "studies": STUDIES,
    "predicted": PREDICTED,
}
