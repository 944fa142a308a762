-- The registry. Every list is read newest first by `number`. Times are UTC with microseconds.
CREATE FUNCTION micros(t timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  AS $$ SELECT (extract(epoch FROM t) * 1000000)::bigint $$;

-- One row: the key that seals page tokens.
CREATE TABLE installation (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  page_key text NOT NULL
);
INSERT INTO installation (page_key)
  VALUES (replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''));

CREATE TABLE datasets (
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  name text PRIMARY KEY,
  digest text NOT NULL,
  size_bytes bigint NOT NULL,
  rows bigint NOT NULL,
  format text NOT NULL,
  file_name text NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  creator text NOT NULL
);

CREATE TABLE base_models (
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  name text PRIMARY KEY,
  path text NOT NULL,
  digest text NOT NULL,
  family text NOT NULL,
  parameters bigint NOT NULL,
  weights_bytes bigint NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  creator text NOT NULL
);

CREATE TABLE models (
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  name text PRIMARY KEY,
  create_time timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE jobs (
  number bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  name text NOT NULL UNIQUE GENERATED ALWAYS AS ('jobs/' || number) STORED,
  kind text NOT NULL CHECK (kind IN ('TRAIN', 'EVALUATE')),
  model text NOT NULL,
  base_model text NOT NULL,
  dataset text NOT NULL,
  eval_dataset text NOT NULL,
  version text NOT NULL,
  run_yaml text NOT NULL,
  files text NOT NULL,    -- JSON
  adapter_digest text NOT NULL,
  suite_file text NOT NULL,
  suite_digest text NOT NULL,
  evaluate_base boolean NOT NULL,
  state text NOT NULL DEFAULT 'QUEUED'
    CHECK (state IN ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
  cancel_requested boolean NOT NULL DEFAULT false,
  node text NOT NULL DEFAULT '',
  error text NOT NULL DEFAULT '',
  outputs text NOT NULL DEFAULT '{}',  -- JSON
  log_tail text NOT NULL DEFAULT '',
  last_seq bigint NOT NULL DEFAULT 0,
  step bigint NOT NULL DEFAULT 0,
  total_steps bigint NOT NULL DEFAULT 0,
  loss double precision NOT NULL DEFAULT 0,
  eval_loss double precision NOT NULL DEFAULT 0,
  create_time timestamptz NOT NULL DEFAULT now(),
  start_time timestamptz,
  end_time timestamptz,
  creator text NOT NULL
);
CREATE INDEX jobs_open ON jobs (number) WHERE state IN ('QUEUED', 'RUNNING');

CREATE TABLE job_events (
  job text NOT NULL REFERENCES jobs (name),
  seq bigint NOT NULL CHECK (seq > 0),
  type text NOT NULL,
  json text NOT NULL,
  PRIMARY KEY (job, seq)
);

CREATE TABLE versions (
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  name text PRIMARY KEY,
  model text NOT NULL REFERENCES models (name),
  version_number int NOT NULL CHECK (version_number > 0),
  base_model text NOT NULL,
  dataset text NOT NULL,
  job text NOT NULL,
  base_digest text NOT NULL,
  dataset_digest text NOT NULL,
  adapter_digest text NOT NULL,
  run_digest text NOT NULL,
  plan_digest text NOT NULL,
  eval_loss double precision NOT NULL,
  eval_loss_before double precision NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  creator text NOT NULL,
  UNIQUE (model, version_number)
);
CREATE UNIQUE INDEX versions_of_job ON versions (job) WHERE job <> '';
CREATE INDEX versions_of_dataset ON versions (dataset_digest);

-- A version never changes and never goes, whoever asks.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql
  AS $$ BEGIN RAISE EXCEPTION 'rows of % are immutable', TG_TABLE_NAME; END $$;
CREATE TRIGGER versions_immutable BEFORE UPDATE OR DELETE ON versions
  FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE aliases (
  model text NOT NULL REFERENCES models (name),
  alias text NOT NULL,
  version text NOT NULL REFERENCES versions (name),
  PRIMARY KEY (model, alias)
);
CREATE INDEX aliases_of_version ON aliases (version);

CREATE TABLE alias_history (
  number bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  model text NOT NULL,
  alias text NOT NULL,
  version text NOT NULL,
  previous_version text NOT NULL,
  actor text NOT NULL,
  time timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX alias_history_of_model ON alias_history (model, alias, number);

CREATE TABLE approvals (
  version text NOT NULL REFERENCES versions (name),
  actor text NOT NULL,
  comment text NOT NULL,
  time timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (version, actor)
);

CREATE TABLE reports (
  number bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  name text NOT NULL UNIQUE GENERATED ALWAYS AS ('reports/' || number) STORED,
  version text NOT NULL,  -- empty: the base model's
  base_model text NOT NULL,
  base_digest text NOT NULL,
  adapter_digest text NOT NULL,
  suite text NOT NULL,
  suite_digest text NOT NULL,
  digest text NOT NULL,
  metrics text NOT NULL,  -- JSON
  json text NOT NULL,
  job text NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  UNIQUE (digest, version, suite_digest)
);
CREATE INDEX reports_by_digests ON reports (base_digest, adapter_digest, suite_digest);
CREATE INDEX reports_of_version ON reports (version);

CREATE TABLE gate_reports (
  number bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  name text NOT NULL UNIQUE GENERATED ALWAYS AS ('gateReports/' || number) STORED,
  version text NOT NULL REFERENCES versions (name),
  passed boolean NOT NULL,
  summary text NOT NULL,
  results text NOT NULL,  -- JSON
  rules_digest text NOT NULL,
  rules_yaml text NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  creator text NOT NULL
);
CREATE INDEX gate_reports_of_version ON gate_reports (version, number);

CREATE TABLE deployments (
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  name text PRIMARY KEY,
  previous_version text NOT NULL DEFAULT '',
  last_active_version text NOT NULL DEFAULT '',
  deleted boolean NOT NULL DEFAULT false,
  target bigint NOT NULL DEFAULT 0,
  active bigint NOT NULL DEFAULT 0,
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now(),
  creator text NOT NULL
);

-- Generations are counted for the whole installation: the id of a task on a node is never used twice.
CREATE TABLE revisions (
  deployment text NOT NULL REFERENCES deployments (name) ON DELETE CASCADE,
  generation bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  version text NOT NULL REFERENCES versions (name),
  node text NOT NULL,
  port int NOT NULL,
  served_model_name text NOT NULL,
  base_model_name text NOT NULL,
  state text NOT NULL DEFAULT 'PENDING'
    CHECK (state IN ('PENDING', 'STARTING', 'READY', 'FAILED', 'STOPPING', 'STOPPED')),
  wanted boolean NOT NULL DEFAULT true,
  endpoint text NOT NULL DEFAULT '',
  error text NOT NULL DEFAULT '',
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX revisions_of_deployment ON revisions (deployment, generation);
CREATE INDEX revisions_open ON revisions (generation) WHERE state <> 'STOPPED';

CREATE TABLE nodes (
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  name text PRIMARY KEY,
  address text NOT NULL,
  cpu_cores int NOT NULL,
  memory_bytes bigint NOT NULL,
  gpus text NOT NULL,  -- JSON
  running_tasks int NOT NULL,
  agent_version text NOT NULL,
  state text NOT NULL CHECK (state IN ('READY', 'DRAINING', 'LOST')),
  draining boolean NOT NULL DEFAULT false,
  last_sync_time timestamptz NOT NULL
);

CREATE TABLE users (
  name text PRIMARY KEY,
  role text NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tokens (
  digest text PRIMARY KEY,
  user_name text NOT NULL REFERENCES users (name),
  label text NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  expire_time timestamptz,
  revoke_time timestamptz
);

-- Responses of calls that a client may repeat.
CREATE TABLE requests (
  method text NOT NULL,
  request_id text NOT NULL,
  actor text NOT NULL,
  arguments_digest text NOT NULL,
  response bytea,
  time timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (method, request_id)
);
CREATE INDEX requests_by_time ON requests (time);

CREATE TABLE audit (
  number bigint PRIMARY KEY,
  time_micros bigint NOT NULL,
  actor text NOT NULL,
  action text NOT NULL,
  resource text NOT NULL,
  detail text NOT NULL,
  digest text NOT NULL,
  previous_digest text NOT NULL
);
CREATE INDEX audit_of_resource ON audit (resource, number);

-- The end of the chain, kept apart so that a chain cut short is noticed; its row lock puts writers in order.
CREATE TABLE audit_head (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  number bigint NOT NULL,
  digest text NOT NULL
);
INSERT INTO audit_head (number, digest) VALUES (0, '');
