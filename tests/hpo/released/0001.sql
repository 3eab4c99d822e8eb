-- A database as hpo 0.1.0 at version 0001 of its schema left it: finished, running, released and queued trials.
-- Made by pg_dump --inserts, without its comments and settings.
SELECT pg_catalog.set_config('search_path', '', false);
CREATE SCHEMA hpo;
CREATE TYPE public.studydirection AS ENUM (
    'NOT_SET',
    'MINIMIZE',
    'MAXIMIZE'
);
CREATE TYPE public.trialintermediatevaluetype AS ENUM (
    'FINITE',
    'INF_POS',
    'INF_NEG',
    'NAN'
);
CREATE TYPE public.trialstate AS ENUM (
    'RUNNING',
    'COMPLETE',
    'PRUNED',
    'FAIL',
    'WAITING'
);
CREATE TYPE public.trialvaluetype AS ENUM (
    'FINITE',
    'INF_POS',
    'INF_NEG'
);
CREATE TABLE hpo.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE hpo.attempts (
    trial_id integer NOT NULL,
    attempt integer NOT NULL,
    study_id integer NOT NULL,
    worker text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    started timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    beat timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    grace interval NOT NULL,
    ended timestamp with time zone,
    outcome text,
    error text,
    place text,
    facts json DEFAULT '{}'::json NOT NULL,
    current boolean DEFAULT true NOT NULL,
    CONSTRAINT attempts_attempt_check CHECK ((attempt >= 1)),
    CONSTRAINT attempts_check CHECK (((ended IS NULL) = (outcome IS NULL))),
    CONSTRAINT attempts_outcome_check CHECK ((outcome = ANY (ARRAY['complete'::text, 'pruned'::text, 'fail'::text, 'released'::text, 'died'::text])))
);
CREATE TABLE hpo.metrics (
    trial_id integer NOT NULL,
    step integer NOT NULL,
    attempt integer NOT NULL,
    epoch double precision NOT NULL,
    metrics json NOT NULL,
    details json DEFAULT '{}'::json NOT NULL,
    prune boolean NOT NULL,
    rungs integer DEFAULT 0 NOT NULL,
    recorded timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT metrics_step_check CHECK ((step >= 1))
);
CREATE TABLE hpo.plans (
    study_id integer NOT NULL,
    spec json NOT NULL,
    budget integer NOT NULL,
    made integer DEFAULT 0 NOT NULL,
    fingerprint text,
    error text,
    created timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT plans_budget_check CHECK ((budget >= 0)),
    CONSTRAINT plans_made_check CHECK ((made >= 0))
);
CREATE TABLE hpo.results (
    trial_id integer NOT NULL,
    settings json NOT NULL,
    trainable_parameters bigint,
    seconds json DEFAULT '{}'::json NOT NULL,
    facts json DEFAULT '{}'::json NOT NULL
);
CREATE TABLE public.studies (
    study_id integer NOT NULL,
    study_name character varying(512) NOT NULL
);
CREATE TABLE public.study_directions (
    study_direction_id integer NOT NULL,
    direction public.studydirection NOT NULL,
    study_id integer NOT NULL,
    objective integer NOT NULL
);
CREATE TABLE public.trial_params (
    param_id integer NOT NULL,
    trial_id integer,
    param_name character varying(512),
    param_value double precision,
    distribution_json text
);
CREATE TABLE public.trial_values (
    trial_value_id integer NOT NULL,
    trial_id integer NOT NULL,
    objective integer NOT NULL,
    value double precision,
    value_type public.trialvaluetype NOT NULL
);
CREATE TABLE public.trials (
    trial_id integer NOT NULL,
    number integer,
    study_id integer,
    state public.trialstate NOT NULL,
    datetime_start timestamp without time zone,
    datetime_complete timestamp without time zone
);
CREATE VIEW hpo.trials AS
 SELECT s.study_name AS study,
    t.number,
    (t.state)::text AS state,
        CASE
            WHEN ((t.state <> 'RUNNING'::public.trialstate) OR (a.trial_id IS NULL)) THEN NULL::text
            WHEN (a.ended IS NOT NULL) THEN
            CASE a.outcome
                WHEN 'released'::text THEN 'paused'::text
                ELSE 'waiting for a worker'::text
            END
            WHEN (a.beat < (clock_timestamp() - a.grace)) THEN 'waiting for a worker'::text
            ELSE 'running'::text
        END AS activity,
    v.value,
    b.value AS best_value,
    b.step AS best_step,
    b.epoch AS best_epoch,
    l.step AS last_step,
    COALESCE(q.params, '{}'::json) AS params,
    COALESCE(b.metrics, '{}'::json) AS metrics,
    COALESCE(a.attempt, 0) AS attempts,
    a.worker,
    a.host,
    a.outcome,
    a.error,
    r.trainable_parameters,
    COALESCE(r.seconds, '{}'::json) AS seconds,
    COALESCE(r.facts, '{}'::json) AS facts,
    r.settings,
    (t.datetime_start AT TIME ZONE 'UTC'::text) AS started,
    (t.datetime_complete AT TIME ZONE 'UTC'::text) AS finished,
    t.trial_id
   FROM (((((((((public.trials t
     JOIN public.studies s USING (study_id))
     JOIN hpo.plans n USING (study_id))
     JOIN public.study_directions d USING (study_id))
     LEFT JOIN public.trial_values v ON (((v.trial_id = t.trial_id) AND (v.objective = 0))))
     LEFT JOIN hpo.results r ON ((r.trial_id = t.trial_id)))
     LEFT JOIN LATERAL ( SELECT attempts.trial_id,
            attempts.attempt,
            attempts.study_id,
            attempts.worker,
            attempts.host,
            attempts.pid,
            attempts.started,
            attempts.beat,
            attempts.grace,
            attempts.ended,
            attempts.outcome,
            attempts.error,
            attempts.place,
            attempts.facts,
            attempts.current
           FROM hpo.attempts
          WHERE (attempts.trial_id = t.trial_id)
          ORDER BY attempts.attempt DESC
         LIMIT 1) a ON (true))
     LEFT JOIN LATERAL ( SELECT m.step,
            m.epoch,
            m.metrics,
            x.value
           FROM hpo.metrics m,
            LATERAL ( SELECT ((m.metrics ->> (n.spec ->> 'metric'::text)))::double precision AS value) x
          WHERE ((m.trial_id = t.trial_id) AND (x.value IS NOT NULL))
          ORDER BY
                CASE d.direction
                    WHEN 'MINIMIZE'::public.studydirection THEN x.value
                    ELSE (- x.value)
                END, m.step
         LIMIT 1) b ON (true))
     LEFT JOIN LATERAL ( SELECT max(metrics.step) AS step
           FROM hpo.metrics
          WHERE (metrics.trial_id = t.trial_id)) l ON (true))
     LEFT JOIN LATERAL ( SELECT json_object_agg(p.param_name,
                CASE ((p.distribution_json)::jsonb ->> 'name'::text)
                    WHEN 'CategoricalDistribution'::text THEN ((((p.distribution_json)::jsonb -> 'attributes'::text) -> 'choices'::text) -> (p.param_value)::integer)
                    WHEN 'IntDistribution'::text THEN to_jsonb((p.param_value)::bigint)
                    ELSE to_jsonb(p.param_value)
                END ORDER BY p.param_id) AS params
           FROM public.trial_params p
          WHERE (p.trial_id = t.trial_id)) q ON (true))
  WHERE (d.objective = 0);
CREATE VIEW hpo.best_params AS
 SELECT DISTINCT ON (t.study) t.study,
    t.number,
    t.value,
    t.best_step AS step,
    t.best_epoch AS epoch,
    t.params,
    t.metrics,
    (n.spec ->> 'metric'::text) AS metric,
    lower((d.direction)::text) AS direction
   FROM (((hpo.trials t
     JOIN public.studies s ON (((s.study_name)::text = (t.study)::text)))
     JOIN hpo.plans n USING (study_id))
     JOIN public.study_directions d USING (study_id))
  WHERE ((t.state = 'COMPLETE'::text) AND (d.objective = 0))
  ORDER BY t.study,
        CASE d.direction
            WHEN 'MINIMIZE'::public.studydirection THEN t.value
            ELSE (- t.value)
        END, t.number;
CREATE VIEW hpo.learning_curves AS
 SELECT s.study_name AS study,
    t.number,
    m.step,
    m.epoch,
    m.attempt,
    ((m.metrics ->> 'val_loss'::text))::double precision AS val_loss,
    ((m.metrics ->> 'train_loss'::text))::double precision AS train_loss,
    ((m.metrics ->> (n.spec ->> 'metric'::text)))::double precision AS value,
    m.metrics,
    m.details,
    m.prune,
    m.recorded
   FROM (((hpo.metrics m
     JOIN public.trials t USING (trial_id))
     JOIN public.studies s USING (study_id))
     JOIN hpo.plans n USING (study_id));
CREATE VIEW hpo.params AS
 SELECT s.study_name AS study,
    t.number,
    p.param_name AS name,
        CASE ((p.distribution_json)::jsonb ->> 'name'::text)
            WHEN 'CategoricalDistribution'::text THEN ((((p.distribution_json)::jsonb -> 'attributes'::text) -> 'choices'::text) -> (p.param_value)::integer)
            WHEN 'IntDistribution'::text THEN to_jsonb((p.param_value)::bigint)
            ELSE to_jsonb(p.param_value)
        END AS value,
    (
        CASE ((p.distribution_json)::jsonb ->> 'name'::text)
            WHEN 'CategoricalDistribution'::text THEN ((((p.distribution_json)::jsonb -> 'attributes'::text) -> 'choices'::text) -> (p.param_value)::integer)
            WHEN 'IntDistribution'::text THEN to_jsonb((p.param_value)::bigint)
            ELSE to_jsonb(p.param_value)
        END #>> '{}'::text[]) AS text_value,
        CASE jsonb_typeof(
            CASE ((p.distribution_json)::jsonb ->> 'name'::text)
                WHEN 'CategoricalDistribution'::text THEN ((((p.distribution_json)::jsonb -> 'attributes'::text) -> 'choices'::text) -> (p.param_value)::integer)
                WHEN 'IntDistribution'::text THEN to_jsonb((p.param_value)::bigint)
                ELSE to_jsonb(p.param_value)
            END)
            WHEN 'number'::text THEN ((
            CASE ((p.distribution_json)::jsonb ->> 'name'::text)
                WHEN 'CategoricalDistribution'::text THEN ((((p.distribution_json)::jsonb -> 'attributes'::text) -> 'choices'::text) -> (p.param_value)::integer)
                WHEN 'IntDistribution'::text THEN to_jsonb((p.param_value)::bigint)
                ELSE to_jsonb(p.param_value)
            END #>> '{}'::text[]))::double precision
            ELSE NULL::double precision
        END AS number_value
   FROM ((public.trial_params p
     JOIN public.trials t USING (trial_id))
     JOIN public.studies s USING (study_id));
CREATE TABLE hpo.points (
    study_id integer NOT NULL,
    point integer NOT NULL,
    try integer DEFAULT 1 NOT NULL,
    trial_id integer NOT NULL,
    CONSTRAINT points_point_check CHECK ((point >= 0)),
    CONSTRAINT points_try_check CHECK ((try >= 1))
);
CREATE VIEW hpo.studies AS
 SELECT s.study_name AS study,
    (n.spec ->> 'metric'::text) AS metric,
    lower((d.direction)::text) AS direction,
    n.budget AS trials,
    n.made,
    c.complete,
    c.pruned,
    c.failed,
    c.running,
    c.waiting,
    GREATEST((n.budget - n.made), 0) AS remaining,
        CASE
            WHEN (n.error IS NOT NULL) THEN 'failed'::text
            WHEN (((c.running + c.waiting) = 0) AND (n.made >= n.budget)) THEN 'complete'::text
            WHEN (EXISTS ( SELECT
               FROM hpo.attempts a
              WHERE ((a.study_id = s.study_id) AND a.current AND (a.ended IS NULL) AND (a.beat >= (clock_timestamp() - a.grace))))) THEN 'running'::text
            ELSE 'open'::text
        END AS state,
    n.error,
    n.created,
    n.spec
   FROM (((hpo.plans n
     JOIN public.studies s USING (study_id))
     JOIN public.study_directions d USING (study_id))
     CROSS JOIN LATERAL ( SELECT count(*) FILTER (WHERE (t.state = 'COMPLETE'::public.trialstate)) AS complete,
            count(*) FILTER (WHERE (t.state = 'PRUNED'::public.trialstate)) AS pruned,
            count(*) FILTER (WHERE (t.state = 'FAIL'::public.trialstate)) AS failed,
            count(*) FILTER (WHERE (t.state = 'RUNNING'::public.trialstate)) AS running,
            count(*) FILTER (WHERE (t.state = 'WAITING'::public.trialstate)) AS waiting
           FROM public.trials t
          WHERE (t.study_id = s.study_id)) c)
  WHERE (d.objective = 0);
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE SEQUENCE public.studies_study_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.studies_study_id_seq OWNED BY public.studies.study_id;
CREATE SEQUENCE public.study_directions_study_direction_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.study_directions_study_direction_id_seq OWNED BY public.study_directions.study_direction_id;
CREATE TABLE public.study_system_attributes (
    study_system_attribute_id integer NOT NULL,
    study_id integer,
    key character varying(512),
    value_json text
);
CREATE SEQUENCE public.study_system_attributes_study_system_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.study_system_attributes_study_system_attribute_id_seq OWNED BY public.study_system_attributes.study_system_attribute_id;
CREATE TABLE public.study_user_attributes (
    study_user_attribute_id integer NOT NULL,
    study_id integer,
    key character varying(512),
    value_json text
);
CREATE SEQUENCE public.study_user_attributes_study_user_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.study_user_attributes_study_user_attribute_id_seq OWNED BY public.study_user_attributes.study_user_attribute_id;
CREATE TABLE public.trial_heartbeats (
    trial_heartbeat_id integer NOT NULL,
    trial_id integer NOT NULL,
    heartbeat timestamp without time zone NOT NULL
);
CREATE SEQUENCE public.trial_heartbeats_trial_heartbeat_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_heartbeats_trial_heartbeat_id_seq OWNED BY public.trial_heartbeats.trial_heartbeat_id;
CREATE TABLE public.trial_intermediate_values (
    trial_intermediate_value_id integer NOT NULL,
    trial_id integer NOT NULL,
    step integer NOT NULL,
    intermediate_value double precision,
    intermediate_value_type public.trialintermediatevaluetype NOT NULL
);
CREATE SEQUENCE public.trial_intermediate_values_trial_intermediate_value_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_intermediate_values_trial_intermediate_value_id_seq OWNED BY public.trial_intermediate_values.trial_intermediate_value_id;
CREATE SEQUENCE public.trial_params_param_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_params_param_id_seq OWNED BY public.trial_params.param_id;
CREATE TABLE public.trial_system_attributes (
    trial_system_attribute_id integer NOT NULL,
    trial_id integer,
    key character varying(512),
    value_json text
);
CREATE SEQUENCE public.trial_system_attributes_trial_system_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_system_attributes_trial_system_attribute_id_seq OWNED BY public.trial_system_attributes.trial_system_attribute_id;
CREATE TABLE public.trial_user_attributes (
    trial_user_attribute_id integer NOT NULL,
    trial_id integer,
    key character varying(512),
    value_json text
);
CREATE SEQUENCE public.trial_user_attributes_trial_user_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_user_attributes_trial_user_attribute_id_seq OWNED BY public.trial_user_attributes.trial_user_attribute_id;
CREATE SEQUENCE public.trial_values_trial_value_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_values_trial_value_id_seq OWNED BY public.trial_values.trial_value_id;
CREATE SEQUENCE public.trials_trial_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trials_trial_id_seq OWNED BY public.trials.trial_id;
CREATE TABLE public.version_info (
    version_info_id integer NOT NULL,
    schema_version integer,
    library_version character varying(256),
    CONSTRAINT version_info_version_info_id_check CHECK ((version_info_id = 1))
);
ALTER TABLE ONLY public.studies ALTER COLUMN study_id SET DEFAULT nextval('public.studies_study_id_seq'::regclass);
ALTER TABLE ONLY public.study_directions ALTER COLUMN study_direction_id SET DEFAULT nextval('public.study_directions_study_direction_id_seq'::regclass);
ALTER TABLE ONLY public.study_system_attributes ALTER COLUMN study_system_attribute_id SET DEFAULT nextval('public.study_system_attributes_study_system_attribute_id_seq'::regclass);
ALTER TABLE ONLY public.study_user_attributes ALTER COLUMN study_user_attribute_id SET DEFAULT nextval('public.study_user_attributes_study_user_attribute_id_seq'::regclass);
ALTER TABLE ONLY public.trial_heartbeats ALTER COLUMN trial_heartbeat_id SET DEFAULT nextval('public.trial_heartbeats_trial_heartbeat_id_seq'::regclass);
ALTER TABLE ONLY public.trial_intermediate_values ALTER COLUMN trial_intermediate_value_id SET DEFAULT nextval('public.trial_intermediate_values_trial_intermediate_value_id_seq'::regclass);
ALTER TABLE ONLY public.trial_params ALTER COLUMN param_id SET DEFAULT nextval('public.trial_params_param_id_seq'::regclass);
ALTER TABLE ONLY public.trial_system_attributes ALTER COLUMN trial_system_attribute_id SET DEFAULT nextval('public.trial_system_attributes_trial_system_attribute_id_seq'::regclass);
ALTER TABLE ONLY public.trial_user_attributes ALTER COLUMN trial_user_attribute_id SET DEFAULT nextval('public.trial_user_attributes_trial_user_attribute_id_seq'::regclass);
ALTER TABLE ONLY public.trial_values ALTER COLUMN trial_value_id SET DEFAULT nextval('public.trial_values_trial_value_id_seq'::regclass);
ALTER TABLE ONLY public.trials ALTER COLUMN trial_id SET DEFAULT nextval('public.trials_trial_id_seq'::regclass);
INSERT INTO hpo.alembic_version VALUES ('0001');
INSERT INTO hpo.attempts VALUES (1, 1, 1, 'done', 'here', 1, '2026-11-22 07:58:04.087625+00', '2026-11-22 07:58:04.542339+00', '00:01:00', '2026-11-22 07:58:04.65052+00', 'complete', NULL, NULL, '{"device": "cpu"}', false);
INSERT INTO hpo.attempts VALUES (2, 1, 1, 'pruned', 'here', 1, '2026-11-22 07:58:04.685392+00', '2026-11-22 07:58:05.008011+00', '00:01:00', '2026-11-22 07:58:05.063242+00', 'pruned', NULL, NULL, '{"device": "cpu"}', false);
INSERT INTO hpo.attempts VALUES (3, 1, 1, 'failed', 'here', 1, '2026-11-22 07:58:05.086933+00', '2026-11-22 07:58:05.428166+00', '00:01:00', '2026-11-22 07:58:05.491335+00', 'fail', 'ValueError: no', 'ValueError at x:1', '{"device": "cpu"}', false);
INSERT INTO hpo.attempts VALUES (4, 1, 1, 'alive', 'here', 1, '2026-11-22 07:58:05.522951+00', '2026-11-22 07:58:05.848007+00', '00:01:00', NULL, NULL, NULL, NULL, '{"device": "cpu"}', true);
INSERT INTO hpo.attempts VALUES (6, 1, 1, 'gone2', 'here', 1, '2026-11-22 07:58:06.297891+00', '2026-11-22 07:58:06.297892+00', '00:01:00', '2026-11-22 07:58:06.746646+00', 'died', 'signal 9', NULL, '{"device": "cpu"}', true);
INSERT INTO hpo.attempts VALUES (5, 1, 1, 'gone', 'here', 1, '2026-11-22 07:58:05.927572+00', '2026-11-22 07:58:06.230297+00', '00:01:00', '2026-11-22 07:58:06.758671+00', 'released', NULL, NULL, '{"device": "cpu"}', true);
INSERT INTO hpo.attempts VALUES (8, 1, 2, 'g', 'here', 1, '2026-11-22 07:58:07.092777+00', '2026-11-22 07:58:07.686693+00', '00:01:00', '2026-11-22 07:58:07.855229+00', 'complete', NULL, NULL, '{"device": "cpu"}', false);
INSERT INTO hpo.attempts VALUES (9, 1, 2, 'g', 'here', 1, '2026-11-22 07:58:07.910039+00', '2026-11-22 07:58:08.239607+00', '00:01:00', '2026-11-22 07:58:08.313891+00', 'fail', 'ValueError: grid', 'ValueError at y:1', '{"device": "cpu"}', false);
INSERT INTO hpo.metrics VALUES (1, 1, 1, 1, '{"val_loss": 0.5, "accuracy": 0.5}', '{}', false, 0, '2026-11-22 07:58:04.502745+00');
INSERT INTO hpo.metrics VALUES (1, 2, 1, 2, '{"val_loss": 0.25, "accuracy": 0.25}', '{}', false, 0, '2026-11-22 07:58:04.529192+00');
INSERT INTO hpo.metrics VALUES (2, 1, 1, 1, '{"val_loss": 0.75, "accuracy": 0.75}', '{}', false, 0, '2026-11-22 07:58:04.995648+00');
INSERT INTO hpo.metrics VALUES (3, 1, 1, 1, '{"val_loss": 0.625, "accuracy": 0.625}', '{}', false, 0, '2026-11-22 07:58:05.422821+00');
INSERT INTO hpo.metrics VALUES (4, 1, 1, 1, '{"val_loss": 0.875, "accuracy": 0.875}', '{}', false, 0, '2026-11-22 07:58:05.87375+00');
INSERT INTO hpo.metrics VALUES (5, 1, 1, 1, '{"val_loss": 0.375, "accuracy": 0.375}', '{}', false, 0, '2026-11-22 07:58:06.266652+00');
INSERT INTO hpo.metrics VALUES (8, 1, 1, 1, '{"val_loss": 0.5, "accuracy": 0.5}', '{}', false, 0, '2026-11-22 07:58:07.611516+00');
INSERT INTO hpo.metrics VALUES (8, 2, 1, 2, '{"val_loss": 0.5, "accuracy": 0.5}', '{}', false, 0, '2026-11-22 07:58:07.670798+00');
INSERT INTO hpo.plans VALUES (1, '{"study": "old", "objective": {"simulated": {"learning_rate": 0.001, "batch_size": 16, "dropout": 0.1, "frozen_layers": 0, "optimizer": "adamw", "evaluations": 2, "noise": 0.0, "seconds": 0.0, "fail_at": null, "exit_at": null, "nan_at": null, "fail_share": 0.0, "seed": null}}, "search": {"simulated.learning_rate": {"low": 1e-05, "high": 0.1, "log": true}, "simulated.batch_size": {"choices": [8, 16, 32]}, "simulated.optimizer": {"choices": ["adamw", "sgd"]}}, "sampler": {"kind": "random"}, "pruner": {"kind": "none"}, "metric": "val_loss", "trials": 8, "seed": 0, "enqueue": [], "enqueue_defaults": true, "max_attempts": 3, "priority": 0, "folder": null}', 8, 6, NULL, NULL, '2026-11-22 07:58:04.050769+00');
INSERT INTO hpo.plans VALUES (2, '{"study": "old-grid", "objective": {"simulated": {"learning_rate": 0.001, "batch_size": 16, "dropout": 0.1, "frozen_layers": 0, "optimizer": "adamw", "evaluations": 2, "noise": 0.0, "seconds": 0.0, "fail_at": null, "exit_at": null, "nan_at": null, "fail_share": 0.0, "seed": null}}, "search": {"simulated.dropout": {"choices": [0.1, 0.2, 0.3]}}, "sampler": {"kind": "grid"}, "pruner": {"kind": "none"}, "metric": "val_loss", "trials": 3, "seed": 0, "enqueue": [], "enqueue_defaults": false, "max_attempts": 3, "priority": 0, "folder": null}', 3, 2, NULL, NULL, '2026-11-22 07:58:06.998101+00');
INSERT INTO hpo.points VALUES (2, 0, 1, 8);
INSERT INTO hpo.points VALUES (2, 1, 1, 9);
INSERT INTO hpo.results VALUES (1, '{"simulated": {"learning_rate": 0.001, "batch_size": 16, "dropout": 0.1, "frozen_layers": 0, "optimizer": "adamw", "evaluations": 2, "noise": 0.0, "seconds": 0.0, "fail_at": null, "exit_at": null, "nan_at": null, "fail_share": 0.0, "seed": 0}}', 5100, '{"train": 1.5}', '{"device": "cpu", "threads": 1}');
INSERT INTO hpo.results VALUES (2, '{"simulated": {"learning_rate": 0.0016925916763832938, "batch_size": 32, "dropout": 0.1, "frozen_layers": 0, "optimizer": "sgd", "evaluations": 2, "noise": 0.0, "seconds": 0.0, "fail_at": null, "exit_at": null, "nan_at": null, "fail_share": 0.0, "seed": 0}}', 5100, '{"train": 1.5}', '{"device": "cpu", "threads": 1}');
INSERT INTO hpo.results VALUES (3, '{"simulated": {"learning_rate": 0.0004071469333123094, "batch_size": 8, "dropout": 0.1, "frozen_layers": 0, "optimizer": "sgd", "evaluations": 2, "noise": 0.0, "seconds": 0.0, "fail_at": null, "exit_at": null, "nan_at": null, "fail_share": 0.0, "seed": 0}}', 5100, '{"train": 1.5}', '{"device": "cpu", "threads": 1}');
INSERT INTO hpo.results VALUES (8, '{"simulated": {"learning_rate": 0.001, "batch_size": 16, "dropout": 0.1, "frozen_layers": 0, "optimizer": "adamw", "evaluations": 2, "noise": 0.0, "seconds": 0.0, "fail_at": null, "exit_at": null, "nan_at": null, "fail_share": 0.0, "seed": 0}}', 5100, '{"train": 1.5}', '{"device": "cpu", "threads": 1}');
INSERT INTO hpo.results VALUES (9, '{"simulated": {"learning_rate": 0.001, "batch_size": 16, "dropout": 0.2, "frozen_layers": 0, "optimizer": "adamw", "evaluations": 2, "noise": 0.0, "seconds": 0.0, "fail_at": null, "exit_at": null, "nan_at": null, "fail_share": 0.0, "seed": 0}}', NULL, '{}', '{}');
INSERT INTO public.alembic_version VALUES ('v3.2.0.a');
INSERT INTO public.studies VALUES (1, 'old');
INSERT INTO public.studies VALUES (2, 'old-grid');
INSERT INTO public.study_directions VALUES (1, 'MINIMIZE', 1, 0);
INSERT INTO public.study_directions VALUES (2, 'MINIMIZE', 2, 0);
INSERT INTO public.trial_intermediate_values VALUES (1, 1, 1, 0.5, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES (2, 1, 2, 0.25, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES (3, 2, 1, 0.75, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES (4, 3, 1, 0.625, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES (5, 4, 1, 0.875, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES (6, 5, 1, 0.375, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES (7, 8, 1, 0.5, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES (8, 8, 2, 0.5, 'FINITE');
INSERT INTO public.trial_params VALUES (1, 1, 'simulated.learning_rate', 0.001, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO public.trial_params VALUES (2, 1, 'simulated.batch_size', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [8, 16, 32]}}');
INSERT INTO public.trial_params VALUES (3, 1, 'simulated.optimizer', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": ["adamw", "sgd"]}}');
INSERT INTO public.trial_params VALUES (4, 2, 'simulated.learning_rate', 0.0016925916763832938, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO public.trial_params VALUES (5, 2, 'simulated.batch_size', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [8, 16, 32]}}');
INSERT INTO public.trial_params VALUES (6, 2, 'simulated.optimizer', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": ["adamw", "sgd"]}}');
INSERT INTO public.trial_params VALUES (7, 3, 'simulated.learning_rate', 0.0004071469333123094, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO public.trial_params VALUES (8, 3, 'simulated.batch_size', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [8, 16, 32]}}');
INSERT INTO public.trial_params VALUES (9, 3, 'simulated.optimizer', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": ["adamw", "sgd"]}}');
INSERT INTO public.trial_params VALUES (10, 4, 'simulated.learning_rate', 0.027647619705747358, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO public.trial_params VALUES (11, 4, 'simulated.batch_size', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [8, 16, 32]}}');
INSERT INTO public.trial_params VALUES (12, 4, 'simulated.optimizer', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": ["adamw", "sgd"]}}');
INSERT INTO public.trial_params VALUES (13, 5, 'simulated.learning_rate', 8.21052045088485e-05, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO public.trial_params VALUES (14, 5, 'simulated.batch_size', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": [8, 16, 32]}}');
INSERT INTO public.trial_params VALUES (15, 5, 'simulated.optimizer', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": ["adamw", "sgd"]}}');
INSERT INTO public.trial_params VALUES (16, 6, 'simulated.learning_rate', 0.0015523735722708287, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-05, "high": 0.1, "log": true}}');
INSERT INTO public.trial_params VALUES (17, 6, 'simulated.batch_size', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [8, 16, 32]}}');
INSERT INTO public.trial_params VALUES (18, 6, 'simulated.optimizer', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": ["adamw", "sgd"]}}');
INSERT INTO public.trial_params VALUES (19, 8, 'simulated.dropout', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.1, 0.2, 0.3]}}');
INSERT INTO public.trial_params VALUES (20, 9, 'simulated.dropout', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": [0.1, 0.2, 0.3]}}');
INSERT INTO public.trial_system_attributes VALUES (1, 1, 'fixed_params', '{"simulated.learning_rate": 0.001, "simulated.batch_size": 16, "simulated.optimizer": "adamw"}');
INSERT INTO public.trial_system_attributes VALUES (2, 7, 'fixed_params', '{"simulated.batch_size": 32}');
INSERT INTO public.trial_system_attributes VALUES (3, 8, 'fixed_params', '{"simulated.dropout": 0.1}');
INSERT INTO public.trial_system_attributes VALUES (4, 9, 'fixed_params', '{"simulated.dropout": 0.2}');
INSERT INTO public.trial_values VALUES (1, 1, 0, 0.25, 'FINITE');
INSERT INTO public.trial_values VALUES (2, 2, 0, 0.75, 'FINITE');
INSERT INTO public.trial_values VALUES (3, 8, 0, 0.5, 'FINITE');
INSERT INTO public.trials VALUES (1, 0, 1, 'COMPLETE', '2026-11-22 07:58:04.077519', '2026-11-22 07:58:04.579124');
INSERT INTO public.trials VALUES (2, 1, 1, 'PRUNED', '2026-11-22 07:58:04.678244', '2026-11-22 07:58:05.024294');
INSERT INTO public.trials VALUES (3, 2, 1, 'FAIL', '2026-11-22 07:58:05.080245', '2026-11-22 07:58:05.454538');
INSERT INTO public.trials VALUES (4, 3, 1, 'RUNNING', '2026-11-22 07:58:05.520555', NULL);
INSERT INTO public.trials VALUES (5, 4, 1, 'RUNNING', '2026-11-22 07:58:05.923', NULL);
INSERT INTO public.trials VALUES (6, 5, 1, 'RUNNING', '2026-11-22 07:58:06.296914', NULL);
INSERT INTO public.trials VALUES (7, 6, 1, 'WAITING', NULL, NULL);
INSERT INTO public.trials VALUES (8, 0, 2, 'COMPLETE', '2026-11-22 07:58:07.062784', '2026-11-22 07:58:07.770811');
INSERT INTO public.trials VALUES (9, 1, 2, 'FAIL', '2026-11-22 07:58:07.893083', '2026-11-22 07:58:08.266848');
INSERT INTO public.version_info VALUES (1, 12, '5.0.0');
SELECT pg_catalog.setval('public.studies_study_id_seq', 2, true);
SELECT pg_catalog.setval('public.study_directions_study_direction_id_seq', 2, true);
SELECT pg_catalog.setval('public.study_system_attributes_study_system_attribute_id_seq', 1, false);
SELECT pg_catalog.setval('public.study_user_attributes_study_user_attribute_id_seq', 1, false);
SELECT pg_catalog.setval('public.trial_heartbeats_trial_heartbeat_id_seq', 1, false);
SELECT pg_catalog.setval('public.trial_intermediate_values_trial_intermediate_value_id_seq', 8, true);
SELECT pg_catalog.setval('public.trial_params_param_id_seq', 20, true);
SELECT pg_catalog.setval('public.trial_system_attributes_trial_system_attribute_id_seq', 4, true);
SELECT pg_catalog.setval('public.trial_user_attributes_trial_user_attribute_id_seq', 1, false);
SELECT pg_catalog.setval('public.trial_values_trial_value_id_seq', 3, true);
SELECT pg_catalog.setval('public.trials_trial_id_seq', 9, true);
ALTER TABLE ONLY hpo.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY hpo.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (trial_id, attempt);
ALTER TABLE ONLY hpo.metrics
    ADD CONSTRAINT metrics_pkey PRIMARY KEY (trial_id, step);
ALTER TABLE ONLY hpo.plans
    ADD CONSTRAINT plans_pkey PRIMARY KEY (study_id);
ALTER TABLE ONLY hpo.points
    ADD CONSTRAINT points_study_id_point_try_key UNIQUE (study_id, point, try);
ALTER TABLE ONLY hpo.results
    ADD CONSTRAINT results_pkey PRIMARY KEY (trial_id);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.studies
    ADD CONSTRAINT studies_pkey PRIMARY KEY (study_id);
ALTER TABLE ONLY public.study_directions
    ADD CONSTRAINT study_directions_pkey PRIMARY KEY (study_direction_id);
ALTER TABLE ONLY public.study_directions
    ADD CONSTRAINT study_directions_study_id_objective_key UNIQUE (study_id, objective);
ALTER TABLE ONLY public.study_system_attributes
    ADD CONSTRAINT study_system_attributes_pkey PRIMARY KEY (study_system_attribute_id);
ALTER TABLE ONLY public.study_system_attributes
    ADD CONSTRAINT study_system_attributes_study_id_key_key UNIQUE (study_id, key);
ALTER TABLE ONLY public.study_user_attributes
    ADD CONSTRAINT study_user_attributes_pkey PRIMARY KEY (study_user_attribute_id);
ALTER TABLE ONLY public.study_user_attributes
    ADD CONSTRAINT study_user_attributes_study_id_key_key UNIQUE (study_id, key);
ALTER TABLE ONLY public.trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_pkey PRIMARY KEY (trial_heartbeat_id);
ALTER TABLE ONLY public.trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_trial_id_key UNIQUE (trial_id);
ALTER TABLE ONLY public.trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_pkey PRIMARY KEY (trial_intermediate_value_id);
ALTER TABLE ONLY public.trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_trial_id_step_key UNIQUE (trial_id, step);
ALTER TABLE ONLY public.trial_params
    ADD CONSTRAINT trial_params_pkey PRIMARY KEY (param_id);
ALTER TABLE ONLY public.trial_params
    ADD CONSTRAINT trial_params_trial_id_param_name_key UNIQUE (trial_id, param_name);
ALTER TABLE ONLY public.trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_pkey PRIMARY KEY (trial_system_attribute_id);
ALTER TABLE ONLY public.trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_trial_id_key_key UNIQUE (trial_id, key);
ALTER TABLE ONLY public.trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_pkey PRIMARY KEY (trial_user_attribute_id);
ALTER TABLE ONLY public.trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_trial_id_key_key UNIQUE (trial_id, key);
ALTER TABLE ONLY public.trial_values
    ADD CONSTRAINT trial_values_pkey PRIMARY KEY (trial_value_id);
ALTER TABLE ONLY public.trial_values
    ADD CONSTRAINT trial_values_trial_id_objective_key UNIQUE (trial_id, objective);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT trials_pkey PRIMARY KEY (trial_id);
ALTER TABLE ONLY public.version_info
    ADD CONSTRAINT version_info_pkey PRIMARY KEY (version_info_id);
CREATE UNIQUE INDEX attempts_current ON hpo.attempts USING btree (trial_id) WHERE current;
CREATE INDEX attempts_open ON hpo.attempts USING btree (study_id) WHERE current;
CREATE INDEX hpo_trials_number ON public.trials USING btree (study_id, number);
CREATE INDEX hpo_trials_waiting ON public.trials USING btree (study_id, number) WHERE (state = 'WAITING'::public.trialstate);
CREATE UNIQUE INDEX ix_studies_study_name ON public.studies USING btree (study_name);
CREATE INDEX ix_trials_study_id ON public.trials USING btree (study_id);
ALTER TABLE ONLY hpo.attempts
    ADD CONSTRAINT attempts_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id) ON DELETE CASCADE;
ALTER TABLE ONLY hpo.attempts
    ADD CONSTRAINT attempts_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id) ON DELETE CASCADE;
ALTER TABLE ONLY hpo.metrics
    ADD CONSTRAINT metrics_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id) ON DELETE CASCADE;
ALTER TABLE ONLY hpo.plans
    ADD CONSTRAINT plans_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id) ON DELETE CASCADE;
ALTER TABLE ONLY hpo.points
    ADD CONSTRAINT points_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id) ON DELETE CASCADE;
ALTER TABLE ONLY hpo.points
    ADD CONSTRAINT points_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id) ON DELETE CASCADE;
ALTER TABLE ONLY hpo.results
    ADD CONSTRAINT results_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.study_directions
    ADD CONSTRAINT study_directions_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id);
ALTER TABLE ONLY public.study_system_attributes
    ADD CONSTRAINT study_system_attributes_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id);
ALTER TABLE ONLY public.study_user_attributes
    ADD CONSTRAINT study_user_attributes_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id);
ALTER TABLE ONLY public.trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trial_params
    ADD CONSTRAINT trial_params_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trial_values
    ADD CONSTRAINT trial_values_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT trials_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id);
