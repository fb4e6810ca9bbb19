-- The stable views: names and columns stay when tables change (docs/results-db.md). Made anew by every migration.

CREATE VIEW v_runs AS
SELECT run.id AS run, run.suite, run.status,
  strftime('%Y-%m-%dT%H:%M:%SZ', run.started_ns / 1000000000, 'unixepoch') AS started,
  CASE WHEN run.finished_ns IS NULL THEN NULL ELSE (run.finished_ns - run.started_ns) / 1e9 END AS seconds,
  machine.name AS machine, machine.cpu, build.commit_id AS commit_id, build.dirty, build.compiler,
  (SELECT group_concat(tag, ',') FROM run_tag WHERE run_tag.run_id = run.id) AS tags,
  run.expected_cases,
  (SELECT count(DISTINCT case_id) FROM launch WHERE launch.run_id = run.id) AS cases,
  (SELECT count(*) FROM launch WHERE launch.run_id = run.id) AS launches,
  (SELECT count(*) FROM launch JOIN result ON result.launch_id = launch.id
   WHERE launch.run_id = run.id AND result.status = 'failed') AS failed,
  run.command, run.started_ns
FROM run JOIN machine ON machine.id = run.machine_id JOIN build ON build.id = run.build_id;

-- Values of a launch: those reported, and the median of its samples where none was reported for that metric.
CREATE VIEW v_values AS
SELECT launch_id, metric, provenance, value, low, high, unit FROM measurement
UNION ALL
SELECT distribution.launch_id, distribution.metric,
  CASE case_.fabric WHEN 'emulated' THEN 'emulated' WHEN 'cluster' THEN 'projected' ELSE 'measured' END,
  distribution.median, NULL, NULL, metric.unit
FROM distribution JOIN launch ON launch.id = distribution.launch_id JOIN case_ ON case_.id = launch.case_id
  JOIN metric ON metric.name = distribution.metric
WHERE NOT EXISTS (SELECT 1 FROM measurement
                  WHERE measurement.launch_id = distribution.launch_id AND measurement.metric = distribution.metric);

-- One row a launch and value; a launch without values (failed, skipped) has one row whose metric is NULL.
CREATE VIEW v_results AS
SELECT run.id AS run, run.suite, run.started_ns, machine.id AS machine_id, machine.name AS machine,
  build.commit_id AS commit_id, case_.technique_id AS technique, case_.id AS case_id, case_.key AS case_key, case_.backend,
  case_.fabric, case_.parameters, case_.timer, case_.cache, launch.id AS launch_id, launch.ordinal, result.status,
  result.reason, result.stop_reason, gate.status AS gate, gate.coverage, gate.error AS oracle_error,
  v_values.metric, v_values.provenance, v_values.value, v_values.low, v_values.high, v_values.unit,
  metric.direction
FROM launch JOIN run ON run.id = launch.run_id JOIN machine ON machine.id = run.machine_id
  JOIN build ON build.id = run.build_id JOIN case_ ON case_.id = launch.case_id
  JOIN result ON result.launch_id = launch.id
  LEFT JOIN gate ON gate.run_id = launch.run_id AND gate.case_id = launch.case_id
  LEFT JOIN v_values ON v_values.launch_id = launch.id
  LEFT JOIN metric ON metric.name = v_values.metric;

-- One row a launch with samples: what they look like without warm-up.
CREATE VIEW v_samples_summary AS
SELECT launch.run_id AS run, case_.technique_id AS technique, case_.key AS case_key, launch.id AS launch_id, launch.ordinal,
  distribution.metric, metric.unit, distribution.n, distribution.warmup, launch.batch, distribution.minimum, distribution.q01,
  distribution.q05, distribution.q10, distribution.q25, distribution.median, distribution.q75, distribution.q90,
  distribution.q95, distribution.q99, distribution.maximum, distribution.mean, distribution.deviation,
  EXISTS (SELECT 1 FROM sample WHERE sample.launch_id = launch.id AND sample.metric = distribution.metric) AS raw_kept
FROM distribution JOIN launch ON launch.id = distribution.launch_id JOIN case_ ON case_.id = launch.case_id
  JOIN metric ON metric.name = distribution.metric;

-- One row a case and run: the median over its ok launches of the launches' medians (the launch is the replicate).
CREATE VIEW v_case_medians AS
WITH ranked AS (
  SELECT launch.run_id AS run, launch.case_id, distribution.metric, distribution.median AS value,
    row_number() OVER w AS position, count(*) OVER (PARTITION BY launch.run_id, launch.case_id, distribution.metric) AS n
  FROM distribution JOIN launch ON launch.id = distribution.launch_id JOIN result ON result.launch_id = launch.id
  WHERE result.status = 'ok' AND distribution.median IS NOT NULL
  WINDOW w AS (PARTITION BY launch.run_id, launch.case_id, distribution.metric ORDER BY distribution.median))
SELECT ranked.run, case_.technique_id AS technique, case_.key AS case_key, ranked.case_id, ranked.metric,
  ranked.n AS launches, avg(CASE WHEN position IN ((n + 1) / 2, (n + 2) / 2) THEN value END) AS median,
  min(value) AS lowest, max(value) AS highest
FROM ranked JOIN case_ ON case_.id = ranked.case_id
GROUP BY ranked.run, ranked.case_id, ranked.metric;

-- v_results of the newest run that has an ok launch, for each case and machine.
CREATE VIEW v_latest AS
SELECT v_results.* FROM v_results
JOIN (SELECT launch.case_id, run.machine_id, max(run.started_ns) AS newest_ns
      FROM launch JOIN result ON result.launch_id = launch.id JOIN run ON run.id = launch.run_id
      WHERE result.status = 'ok' GROUP BY launch.case_id, run.machine_id) AS newest
  ON newest.case_id = v_results.case_id AND newest.machine_id = v_results.machine_id
    AND newest.newest_ns = v_results.started_ns
WHERE v_results.status = 'ok';

-- One row a claim with its newest verdict (NULL where none was made).
CREATE VIEW v_claims AS
SELECT claim.id AS claim, claim.technique_id AS technique, claim.quantity, claim.form, claim.bound, claim.value, claim.low,
  claim.high, claim.unit, claim.kind, claim.source, claim.group_ AS claim_group, claim.published, claim.paper, claim.arxiv,
  claim.configurations, claim.flags, verdict.verdict, verdict.reason, verdict.ours, verdict.ours_low, verdict.ours_high,
  verdict.provenance, verdict.fragile,
  strftime('%Y-%m-%dT%H:%M:%SZ', verdict.at_ns / 1000000000, 'unixepoch') AS judged
FROM claim LEFT JOIN verdict ON verdict.id =
  (SELECT id FROM verdict WHERE verdict.claim_id = claim.id ORDER BY at_ns DESC, id DESC LIMIT 1);

CREATE VIEW v_breakdown AS
SELECT launch.run_id AS run, case_.technique_id AS technique, case_.key AS case_key, launch.id AS launch_id, launch.ordinal,
  breakdown.component, breakdown.kind, breakdown.value, breakdown.provenance
FROM breakdown JOIN launch ON launch.id = breakdown.launch_id JOIN case_ ON case_.id = launch.case_id;
