-- The whole schema of a results database, version 2. Base units everywhere: seconds, bytes, FLOP; times of day in
-- nanoseconds since 1970. Text is '' rather than NULL where it is merely empty; a real is NULL where it is not a number.
-- A change here goes with a step in migrations/ (tests compare the two) and a new user_version.

CREATE TABLE machine (
  id TEXT PRIMARY KEY,                 -- content hash of the facts that identify it
  name TEXT NOT NULL,
  cpu TEXT NOT NULL,
  cores INTEGER NOT NULL,
  memory_bytes INTEGER NOT NULL,
  facts TEXT NOT NULL                  -- JSON
) STRICT;

CREATE TABLE build (
  id TEXT PRIMARY KEY,
  commit_id TEXT NOT NULL,
  dirty INTEGER NOT NULL CHECK (dirty IN (0, 1)),
  compiler TEXT NOT NULL,
  flags TEXT NOT NULL,
  facts TEXT NOT NULL                  -- JSON
) STRICT;

CREATE TABLE run (
  id TEXT PRIMARY KEY,                 -- UUID
  suite TEXT NOT NULL,
  suite_toml TEXT NOT NULL,
  command TEXT NOT NULL,
  machine_id TEXT NOT NULL REFERENCES machine (id),
  build_id TEXT NOT NULL REFERENCES build (id),
  started_ns INTEGER NOT NULL,
  finished_ns INTEGER,                 -- NULL: not finished
  status TEXT NOT NULL CHECK (status IN ('running', 'finished', 'interrupted', 'failed')),
  seed INTEGER NOT NULL,
  expected_cases INTEGER NOT NULL,
  environment TEXT NOT NULL            -- JSON
) STRICT;
CREATE INDEX run_by_time ON run (started_ns);

CREATE TABLE run_tag (
  run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
  tag TEXT NOT NULL,
  PRIMARY KEY (run_id, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE technique (
  id TEXT PRIMARY KEY,                 -- family/name
  title TEXT NOT NULL,
  paper TEXT NOT NULL
) STRICT;

CREATE TABLE case_ (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,            -- readable identity
  technique_id TEXT NOT NULL REFERENCES technique (id),
  backend TEXT NOT NULL,
  fabric TEXT NOT NULL,
  parameters TEXT NOT NULL,            -- canonical JSON: keys sorted, no spaces
  timer TEXT NOT NULL,
  cache TEXT NOT NULL
) STRICT;
CREATE INDEX case_by_technique ON case_ (technique_id);

CREATE TABLE case_alias (              -- a renamed case keeps its history
  old_key TEXT PRIMARY KEY,
  case_id INTEGER NOT NULL REFERENCES case_ (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE launch (                  -- one process that timed (or projected) a case: the unit of replication
  id INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL REFERENCES run (id),
  case_id INTEGER NOT NULL REFERENCES case_ (id),
  ordinal INTEGER NOT NULL,
  started_ns INTEGER NOT NULL,
  wall_seconds REAL,
  pid INTEGER NOT NULL,
  batch INTEGER NOT NULL,              -- iterations one sample averages
  code_hash TEXT NOT NULL,
  descriptors TEXT NOT NULL,           -- JSON {"device:a100-80g-sxm": "<hash>"}
  environment TEXT NOT NULL,           -- JSON
  UNIQUE (run_id, case_id, ordinal)
) STRICT;
CREATE INDEX launch_by_case ON launch (case_id);

CREATE TABLE result (
  launch_id INTEGER PRIMARY KEY REFERENCES launch (id) ON DELETE CASCADE,
  status TEXT NOT NULL CHECK (status IN ('ok', 'failed', 'skipped')),
  reason TEXT NOT NULL,
  stderr_tail TEXT NOT NULL,
  stop_reason TEXT NOT NULL            -- noise | budget | samples | fixed
) STRICT;

CREATE TABLE gate (                    -- the comparison with the oracle, once a case and run
  run_id TEXT NOT NULL REFERENCES run (id),
  case_id INTEGER NOT NULL REFERENCES case_ (id),
  status TEXT NOT NULL CHECK (status IN ('ok', 'failed', 'skipped')),
  reason TEXT NOT NULL,
  coverage REAL,                       -- share of the output compared
  error REAL,                          -- in units of the tolerance: <= 1 passes; NULL: not a number
  wall_seconds REAL,
  mutants_total INTEGER NOT NULL,
  mutants_caught INTEGER NOT NULL,
  detail TEXT NOT NULL,                -- JSON
  PRIMARY KEY (run_id, case_id)
) STRICT;

CREATE TABLE metric (
  name TEXT PRIMARY KEY,
  unit TEXT NOT NULL,
  direction TEXT NOT NULL CHECK (direction IN ('lower', 'higher', 'none')),  -- which is better
  formula TEXT NOT NULL,
  registered INTEGER NOT NULL CHECK (registered IN (0, 1))                   -- 0: came with an import or a plugin
) STRICT;

CREATE TABLE measurement (             -- a value of a metric for one launch
  launch_id INTEGER NOT NULL REFERENCES launch (id) ON DELETE CASCADE,
  metric TEXT NOT NULL REFERENCES metric (name),
  provenance TEXT NOT NULL CHECK (provenance IN ('measured', 'emulated', 'projected', 'derived', 'claimed')),
  ordinal INTEGER NOT NULL,            -- as reported
  value REAL,
  low REAL,
  high REAL,
  unit TEXT NOT NULL,
  PRIMARY KEY (launch_id, metric, provenance, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE sample (                  -- raw samples in the order taken, warm-up first; little-endian arrays
  launch_id INTEGER NOT NULL REFERENCES launch (id) ON DELETE CASCADE,
  metric TEXT NOT NULL REFERENCES metric (name),
  n INTEGER NOT NULL,
  warmup INTEGER NOT NULL,
  clock_hz BLOB,                       -- float32[n]
  at_ns BLOB,                          -- int64[n]
  data BLOB NOT NULL,                  -- float64[n], the metric's unit
  PRIMARY KEY (launch_id, metric),
  CHECK (length(data) = 8 * n AND warmup BETWEEN 0 AND n)
) STRICT, WITHOUT ROWID;

CREATE TABLE distribution (            -- of the samples without warm-up; stays when raw samples are pruned
  launch_id INTEGER NOT NULL REFERENCES launch (id) ON DELETE CASCADE,
  metric TEXT NOT NULL REFERENCES metric (name),
  n INTEGER NOT NULL,
  warmup INTEGER NOT NULL,
  minimum REAL, maximum REAL, mean REAL, deviation REAL, median REAL,
  q01 REAL, q05 REAL, q10 REAL, q25 REAL, q75 REAL, q90 REAL, q95 REAL, q99 REAL,
  histogram BLOB,                      -- int64 (bucket, count)[], made when the raw samples are pruned
  PRIMARY KEY (launch_id, metric)
) STRICT, WITHOUT ROWID;

CREATE TABLE breakdown (
  launch_id INTEGER NOT NULL REFERENCES launch (id) ON DELETE CASCADE,
  ordinal INTEGER NOT NULL,
  component TEXT NOT NULL,
  kind TEXT NOT NULL,                  -- time | energy | bytes
  value REAL,
  provenance TEXT NOT NULL CHECK (provenance IN ('measured', 'emulated', 'projected', 'derived', 'claimed')),
  PRIMARY KEY (launch_id, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE kernel_activity (         -- from an activity pass, never from a timing launch
  launch_id INTEGER NOT NULL REFERENCES launch (id) ON DELETE CASCADE,
  ordinal INTEGER NOT NULL,
  name TEXT NOT NULL,
  stream TEXT NOT NULL,
  start_ns INTEGER NOT NULL,
  duration_ns INTEGER NOT NULL,
  shape TEXT NOT NULL,                 -- JSON: grid, block, registers, shared bytes
  PRIMARY KEY (launch_id, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE interval (                -- timelines
  launch_id INTEGER NOT NULL REFERENCES launch (id) ON DELETE CASCADE,
  ordinal INTEGER NOT NULL,
  lane TEXT NOT NULL,
  name TEXT NOT NULL,
  start_ps INTEGER NOT NULL,
  end_ps INTEGER NOT NULL,
  peer TEXT NOT NULL DEFAULT '',       -- of half a message: the rank at its other end, as lanes name it
  bytes INTEGER NOT NULL DEFAULT 0,
  link TEXT NOT NULL DEFAULT '',       -- what carries it
  posted_ps INTEGER NOT NULL DEFAULT 0,   -- when the program asked for it
  exposed_ps INTEGER NOT NULL DEFAULT 0,  -- how long its rank stood waiting for it
  PRIMARY KEY (launch_id, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE descriptor (
  hash TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  content TEXT NOT NULL
) STRICT;

CREATE TABLE configuration (           -- a paper's setting
  id TEXT PRIMARY KEY,
  model TEXT NOT NULL,
  device TEXT NOT NULL,
  cluster TEXT NOT NULL,
  ranks INTEGER NOT NULL,
  dtype TEXT NOT NULL,
  workload TEXT NOT NULL,
  axes TEXT NOT NULL                   -- JSON
) STRICT;

CREATE TABLE assumption (              -- what a paper does not state and had to be chosen
  configuration_id TEXT NOT NULL REFERENCES configuration (id) ON DELETE CASCADE,
  ordinal INTEGER NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (configuration_id, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE claim (
  id TEXT PRIMARY KEY,                 -- full technique id # key
  technique_id TEXT NOT NULL REFERENCES technique (id),
  baseline TEXT NOT NULL,
  quantity TEXT NOT NULL,
  form TEXT NOT NULL,
  bound TEXT NOT NULL,
  unit TEXT NOT NULL,
  value REAL,
  low REAL,
  high REAL,
  kind TEXT NOT NULL,
  source TEXT NOT NULL,
  group_ TEXT NOT NULL,
  published TEXT NOT NULL,
  paper TEXT NOT NULL,
  arxiv TEXT NOT NULL,
  where_ TEXT NOT NULL,
  note TEXT NOT NULL,
  configurations TEXT NOT NULL,        -- JSON list of configuration ids
  flags TEXT NOT NULL                  -- JSON list
) STRICT;
CREATE INDEX claim_by_technique ON claim (technique_id);

CREATE TABLE verdict (                 -- history is kept: the newest of a claim counts
  id INTEGER PRIMARY KEY,
  claim_id TEXT NOT NULL REFERENCES claim (id),
  verdict TEXT NOT NULL,
  reason TEXT NOT NULL,
  ours REAL,
  ours_low REAL,
  ours_high REAL,
  paper REAL,
  provenance TEXT NOT NULL,
  fragile TEXT NOT NULL,
  inputs_hash TEXT NOT NULL,
  detail TEXT NOT NULL,                -- JSON
  at_ns INTEGER NOT NULL,
  UNIQUE (claim_id, at_ns, inputs_hash)
) STRICT;

CREATE TABLE alert (
  id INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL REFERENCES run (id),
  case_id INTEGER NOT NULL REFERENCES case_ (id),
  kind TEXT NOT NULL,                  -- regression | improvement | change point
  metric TEXT NOT NULL REFERENCES metric (name),
  effect REAL,
  probability REAL,
  outcome TEXT NOT NULL CHECK (outcome IN ('open', 'confirmed', 'noise', 'fixed')),
  note TEXT NOT NULL,
  at_ns INTEGER NOT NULL,
  UNIQUE (run_id, case_id, kind, metric, at_ns)
) STRICT;

CREATE TABLE artifact (                -- a file that belongs to a run
  run_id TEXT NOT NULL REFERENCES run (id),
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  hash TEXT NOT NULL,
  path TEXT NOT NULL,                  -- where it lies when content is NULL
  content BLOB,
  PRIMARY KEY (run_id, name)
) STRICT;
