#include <nlohmann/json.hpp>
#include <stdexcept>

#include "results_db/distribution.h"
#include "results_db/store.h"
#include "results_db/store_impl.h"

namespace assay::results_db {
namespace {

// Samples of a launch are times of one iteration.
constexpr const char* sampled_metric = "time";

std::string json_list(const std::vector<std::string>& values) { return nlohmann::json(values).dump(); }

}  // namespace

void Store::Impl::know_technique(const std::string& id) {
  connection.run("INSERT OR IGNORE INTO technique (id, title, paper) VALUES (?, '', '')", id);
}

void Store::Impl::know_metric(const std::string& name, const std::string& unit) {
  if (known_metrics.find(name) != known_metrics.end()) return;
  connection.run(
      "INSERT OR IGNORE INTO metric (name, unit, direction, formula, registered) VALUES (?, ?, 'none', '', 0)", name,
      unit);
}

// Only after the commit: a name rolled back with a launch is not in the table.
void Store::Impl::remember_metrics(const LaunchRecord& launch) {
  for (const Metric& metric : launch.metrics) known_metrics.insert(metric.name);
  if (!launch.samples.empty()) known_metrics.insert(sampled_metric);
}

void Store::begin_run(const RunRecord& run) {
  impl_->write([&] {
    Connection& db = impl_->connection;
    const MachineRecord& machine = run.machine;
    db.run("INSERT OR IGNORE INTO machine (id, name, cpu, cores, memory_bytes, facts) VALUES (?, ?, ?, ?, ?, ?)",
           machine.id, machine.name, machine.cpu, machine.cores, machine.memory_bytes, machine.facts_json);
    const BuildRecord& build = run.build;
    db.run("INSERT OR IGNORE INTO build (id, commit_id, dirty, compiler, flags, facts) VALUES (?, ?, ?, ?, ?, ?)",
           build.id, build.commit, build.dirty, build.compiler, build.flags, build.facts_json);
    const std::optional<std::int64_t> finished = run.finished_ns != 0 ? std::optional(run.finished_ns) : std::nullopt;
    // A run that is there already is resumed: what was measured stays, the end is open again.
    db.run(
        "INSERT INTO run (id, suite, suite_toml, command, machine_id, build_id, started_ns, finished_ns, status, seed, "
        "expected_cases, environment) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET status = excluded.status, finished_ns = excluded.finished_ns",
        run.id, run.suite, run.suite_toml, run.command, machine.id, build.id, run.started_ns, finished,
        run.status.empty() ? std::string("running") : run.status, run.seed, run.expected_cases, run.environment_json);
    for (const std::string& tag : run.tags)
      db.run("INSERT OR IGNORE INTO run_tag (run_id, tag) VALUES (?, ?)", run.id, tag);
  });
}

void Store::finish_run(const std::string& run, const std::string& status, std::int64_t finished_ns) {
  impl_->write([&] {
    if (impl_->connection.run("UPDATE run SET status = ?, finished_ns = ? WHERE id = ?", status, finished_ns, run) == 0)
      throw std::logic_error("finish_run: no run " + run);
  });
}

void Store::put_technique(const std::string& id, const std::string& title, const std::string& paper) {
  impl_->write([&] {
    impl_->connection.run(
        "INSERT INTO technique (id, title, paper) VALUES (?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET title = excluded.title, paper = excluded.paper",
        id, title, paper);
  });
}

std::int64_t Store::put_case(const CaseRecord& record) {
  if (record.key.empty()) throw std::invalid_argument("a case needs a key");
  if (const std::optional<CaseRow> known = find_case(record.key)) return known->id;
  return impl_->write([&] {
    Connection& db = impl_->connection;
    impl_->know_technique(record.technique);
    // Another writer may have been faster: the key decides.
    db.run(
        "INSERT OR IGNORE INTO case_ (key, technique_id, backend, fabric, parameters, timer, cache) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        record.key, record.technique, record.backend, record.fabric, record.parameters_json, record.timer,
        record.cache);
    return db.number("SELECT id FROM case_ WHERE key = ?", record.key);
  });
}

void Store::put_alias(const std::string& old_key, std::int64_t case_id) {
  impl_->write([&] {
    impl_->connection.run(
        "INSERT INTO case_alias (old_key, case_id) VALUES (?, ?) ON CONFLICT (old_key) DO UPDATE SET case_id = "
        "excluded.case_id",
        old_key, case_id);
  });
}

void Store::Impl::append_samples(const LaunchRecord& launch, std::int64_t id) {
  const std::size_t n = launch.samples.size();
  const auto parallel = [n](std::size_t size) { return size == 0 || size == n; };
  if (!parallel(launch.sample_clock_hz.size()) || !parallel(launch.sample_at_ns.size()))
    throw std::invalid_argument("a launch's sample clocks and times must be empty or as many as its samples");
  if (launch.warmup < 0 || static_cast<std::size_t>(launch.warmup) > n)
    throw std::invalid_argument("a launch cannot have more warm-up samples than samples");
  if (n == 0) return;
  know_metric(sampled_metric, "s");
  connection.run(
      "INSERT INTO sample (launch_id, metric, n, warmup, clock_hz, at_ns, data) VALUES (?, ?, ?, ?, ?, ?, ?)", id,
      sampled_metric, static_cast<std::int64_t>(n), launch.warmup, launch.sample_clock_hz, launch.sample_at_ns,
      launch.samples);
  const Distribution d = describe(std::span(launch.samples).subspan(static_cast<std::size_t>(launch.warmup)));
  if (d.n == 0) return;
  connection.run(
      "INSERT INTO distribution (launch_id, metric, n, warmup, minimum, maximum, mean, deviation, median, q01, q05, "
      "q10, q25, "
      "q75, q90, q95, q99) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      id, sampled_metric, d.n, launch.warmup, d.minimum, d.maximum, d.mean, d.deviation, d.median, d.quantiles[0],
      d.quantiles[1], d.quantiles[2], d.quantiles[3], d.quantiles[4], d.quantiles[5], d.quantiles[6], d.quantiles[7]);
}

std::int64_t Store::Impl::append(const LaunchRecord& launch) {
  connection.run(
      "INSERT INTO launch (run_id, case_id, ordinal, started_ns, wall_seconds, pid, batch, code_hash, descriptors, "
      "environment) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      launch.run, launch.case_id, launch.ordinal, launch.started_ns, launch.wall_seconds, launch.pid, launch.batch,
      launch.code_hash, launch.descriptors_json, launch.environment_json);
  const std::int64_t id = connection.database().getLastInsertRowid();
  connection.run("INSERT INTO result (launch_id, status, reason, stderr_tail, stop_reason) VALUES (?, ?, ?, ?, ?)", id,
                 to_string(launch.status), launch.reason, launch.stderr_tail, launch.stop_reason);
  append_samples(launch, id);
  int ordinal = 0;
  for (const Metric& metric : launch.metrics) {
    know_metric(metric.name, metric.unit);
    connection.run(
        "INSERT INTO measurement (launch_id, metric, provenance, ordinal, value, low, high, unit) VALUES (?, ?, ?, ?, "
        "?, ?, ?, ?)",
        id, metric.name, to_string(metric.provenance), ordinal++, metric.value, metric.low, metric.high, metric.unit);
  }
  ordinal = 0;
  for (const BreakdownPart& part : launch.breakdown)
    connection.run(
        "INSERT INTO breakdown (launch_id, ordinal, component, kind, value, provenance) VALUES (?, ?, ?, ?, ?, ?)", id,
        ordinal++, part.component, part.kind, part.value, to_string(part.provenance));
  ordinal = 0;
  for (const IntervalRecord& span : launch.intervals)
    connection.run(
        "INSERT INTO interval (launch_id, ordinal, lane, name, start_ps, end_ps, peer, bytes, link, posted_ps, "
        "exposed_ps) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        id, ordinal++, span.lane, span.name, span.start_ps, span.end_ps, span.peer, span.bytes, span.link,
        span.posted_ps, span.exposed_ps);
  ordinal = 0;
  for (const KernelRecord& kernel : launch.kernels)
    connection.run(
        "INSERT INTO kernel_activity (launch_id, ordinal, name, stream, start_ns, duration_ns, shape) VALUES (?, ?, ?, "
        "?, ?, ?, ?)",
        id, ordinal++, kernel.name, kernel.stream, kernel.start_ns, kernel.duration_ns, kernel.launch_json);
  return id;
}

std::int64_t Store::append_launch(const LaunchRecord& launch) {
  const std::int64_t id = impl_->write([&] { return impl_->append(launch); });
  impl_->remember_metrics(launch);
  return id;
}

std::vector<std::int64_t> Store::append_launches(const std::vector<LaunchRecord>& launches) {
  std::vector<std::int64_t> ids = impl_->write([&] {
    std::vector<std::int64_t> added;
    added.reserve(launches.size());
    for (const LaunchRecord& launch : launches) added.push_back(impl_->append(launch));
    return added;
  });
  for (const LaunchRecord& launch : launches) impl_->remember_metrics(launch);
  return ids;
}

void Store::put_gate(const GateRecord& gate) {
  impl_->write([&] {
    impl_->connection.run(
        "INSERT INTO gate (run_id, case_id, status, reason, coverage, error, wall_seconds, mutants_total, "
        "mutants_caught, detail) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, case_id) DO UPDATE SET status = excluded.status, "
        "reason = excluded.reason, coverage = excluded.coverage, error = excluded.error, wall_seconds = "
        "excluded.wall_seconds, "
        "mutants_total = excluded.mutants_total, mutants_caught = excluded.mutants_caught, detail = excluded.detail",
        gate.run, gate.case_id, to_string(gate.status), gate.reason, gate.coverage, gate.error, gate.wall_seconds,
        gate.mutants_total, gate.mutants_caught, gate.detail_json);
  });
}

void Store::put_descriptor(const std::string& hash, const std::string& kind, const std::string& id,
                           const std::string& content) {
  impl_->write([&] {
    impl_->connection.run("INSERT OR IGNORE INTO descriptor (hash, kind, id, content) VALUES (?, ?, ?, ?)", hash, kind,
                          id, content);
  });
}

void Store::put_configuration(const ConfigurationRecord& c) {
  impl_->write([&] {
    Connection& db = impl_->connection;
    db.run(
        "INSERT INTO configuration (id, model, device, cluster, ranks, dtype, workload, axes) VALUES (?, ?, ?, ?, ?, "
        "?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET model = excluded.model, device = excluded.device, cluster = excluded.cluster, "
        "ranks = excluded.ranks, dtype = excluded.dtype, workload = excluded.workload, axes = excluded.axes",
        c.id, c.model, c.device, c.cluster, c.ranks, c.dtype, c.workload, c.axes_json);
    db.run("DELETE FROM assumption WHERE configuration_id = ?", c.id);
    int ordinal = 0;
    for (const std::string& text : c.assumed)
      db.run("INSERT INTO assumption (configuration_id, ordinal, text) VALUES (?, ?, ?)", c.id, ordinal++, text);
  });
}

void Store::put_claim(const ClaimRecord& c) {
  impl_->write([&] {
    Connection& db = impl_->connection;
    impl_->know_technique(c.technique);
    db.run(
        "INSERT INTO claim (id, technique_id, baseline, quantity, form, bound, unit, value, low, high, kind, source, "
        "group_, "
        "published, paper, arxiv, where_, note, configurations, flags) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET technique_id = excluded.technique_id, baseline = excluded.baseline, "
        "quantity = excluded.quantity, form = excluded.form, bound = excluded.bound, unit = excluded.unit, "
        "value = excluded.value, low = excluded.low, high = excluded.high, kind = excluded.kind, source = "
        "excluded.source, "
        "group_ = excluded.group_, published = excluded.published, paper = excluded.paper, arxiv = excluded.arxiv, "
        "where_ = excluded.where_, note = excluded.note, configurations = excluded.configurations, flags = "
        "excluded.flags",
        c.id, c.technique, c.baseline, c.quantity, c.form, c.bound, c.unit, c.value, c.low, c.high, c.kind, c.source,
        c.group, c.published, c.paper, c.arxiv, c.where, c.note, json_list(c.configurations), json_list(c.flags));
  });
}

void Store::Impl::put(const VerdictRecord& v) {
  // A verdict may come before its claim's row is put: the id holds the technique, the rest is filled in by put_claim.
  const std::string technique = v.claim.substr(0, v.claim.find('#'));
  know_technique(technique);
  connection.run(
      "INSERT OR IGNORE INTO claim (id, technique_id, baseline, quantity, form, bound, unit, kind, source, group_, "
      "published, "
      "paper, arxiv, where_, note, configurations, flags) "
      "VALUES (?, ?, '', '', '', '', '', '', '', '', '', '', '', '', '', '[]', '[]')",
      v.claim, technique);
  connection.run(
      "INSERT OR IGNORE INTO verdict (claim_id, verdict, reason, ours, ours_low, ours_high, paper, provenance, "
      "fragile, "
      "inputs_hash, detail, at_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      v.claim, v.verdict, v.reason, v.ours, v.ours_low, v.ours_high, v.paper, v.provenance, v.fragile, v.inputs_hash,
      v.detail_json, v.at_ns);
}

void Store::put_verdict(const VerdictRecord& verdict) {
  impl_->write([&] { impl_->put(verdict); });
}

void Store::put_verdicts(const std::vector<VerdictRecord>& verdicts) {
  impl_->write([&] {
    for (const VerdictRecord& verdict : verdicts) impl_->put(verdict);
  });
}

std::int64_t Store::put_alert(const AlertRecord& a) {
  return impl_->write([&] {
    impl_->know_metric(a.metric, "");
    impl_->connection.run(
        "INSERT INTO alert (run_id, case_id, kind, metric, effect, probability, outcome, note, at_ns) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        a.run, a.case_id, a.kind, a.metric, a.effect, a.probability,
        a.outcome.empty() ? std::string("open") : a.outcome, a.note, a.at_ns);
    return static_cast<std::int64_t>(impl_->connection.database().getLastInsertRowid());
  });
}

void Store::set_alert_outcome(std::int64_t id, const std::string& outcome, const std::string& note) {
  impl_->write([&] {
    if (impl_->connection.run("UPDATE alert SET outcome = ?, note = ? WHERE id = ?", outcome, note, id) == 0)
      throw std::logic_error("no alert " + std::to_string(id));
  });
}

void Store::put_artifact(const ArtifactRecord& a) {
  impl_->write([&] {
    const std::vector<char> content(a.content.begin(), a.content.end());
    impl_->connection.run(
        "INSERT INTO artifact (run_id, name, kind, hash, path, content) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (run_id, name) DO UPDATE SET kind = excluded.kind, hash = excluded.hash, path = excluded.path, "
        "content = excluded.content",
        a.run, a.name, a.kind, a.hash, a.path, content);
  });
}

}  // namespace assay::results_db
