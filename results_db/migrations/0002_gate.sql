-- Version 2: what the gate finds out gets a table of its own, one row a case and run, with the error and the mutants caught.
-- Until now only the coverage was kept, once a launch, so that is all that can be carried over.
CREATE TABLE gate (
  run_id TEXT NOT NULL REFERENCES run (id),
  case_id INTEGER NOT NULL REFERENCES case_ (id),
  status TEXT NOT NULL CHECK (status IN ('ok', 'failed', 'skipped')),
  reason TEXT NOT NULL,
  coverage REAL,
  error REAL,
  wall_seconds REAL,
  mutants_total INTEGER NOT NULL,
  mutants_caught INTEGER NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (run_id, case_id)
) STRICT;
INSERT INTO gate (run_id, case_id, status, reason, coverage, mutants_total, mutants_caught, detail)
  SELECT launch.run_id, launch.case_id, 'ok', '', min(result.coverage), 0, 0, ''
  FROM launch JOIN result ON result.launch_id = launch.id
  WHERE result.coverage IS NOT NULL
  GROUP BY launch.run_id, launch.case_id;
ALTER TABLE result DROP COLUMN coverage;
