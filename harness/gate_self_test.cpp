#include "harness/gate_self_test.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <numbers>
#include <random>

#include "datasets/user_error.h"

namespace assay::harness {
namespace {

using stats::Verdict;

constexpr int nights = 6;
constexpr int launches = 12;
constexpr int cases = 8;
constexpr int slowed = 3;          // the case that is made slower
constexpr double between = 0.002;  // relative deviation between nights
constexpr double within = 0.004;   // and between launches

// Standard normal by Box and Muller: the distributions of the standard library differ between libraries.
double normal(std::mt19937_64& engine) {
  const double u = (static_cast<double>(engine() >> 11) + 0.5) * 0x1p-53;
  const double v = static_cast<double>(engine() >> 11) * 0x1p-53;
  return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
}

std::string key_of(int item) { return fmt::format("self-test/kernel cpu size={}", item); }

class Nights {
 public:
  explicit Nights(results_db::Store& store) : store_(store) {}

  // A night of the first `measured` cases; the slow one takes `ratio` times as long.
  void add(int measured, double ratio) {
    results_db::RunRecord run;
    run.id = fmt::format("{:08x}-0000-8000-8000-000000000000", ++night_);
    run.suite = "self-test";
    run.suite_toml = "# made up by assay gate --self-test";
    run.command = "assay gate --self-test";
    run.machine = {"self-test", "self-test", "synthetic", 1, 1, "{}"};
    run.build = {fmt::format("build-{}", night_), fmt::format("commit-{}", night_), false, "none", "", "{}"};
    run.started_ns = night_ * 86'400'000'000'000LL;
    run.status = "running";
    run.expected_cases = cases;
    run.environment_json = "{}";
    store_.begin_run(run);
    for (int item = 0; item < measured; ++item) {
      results_db::CaseRecord record;
      record.technique = "self-test/kernel";
      record.backend = "cpu";
      record.parameters_json = fmt::format("{{\"size\":{}}}", item);
      record.key = key_of(item);
      const std::int64_t id = store_.put_case(record);
      const double level = 1e-3 * (item + 1) * (item == slowed ? ratio : 1) * std::exp(between * normal(engine_));
      std::vector<results_db::LaunchRecord> made;
      for (int ordinal = 0; ordinal < launches; ++ordinal) {
        results_db::LaunchRecord launch;
        launch.run = run.id;
        launch.case_id = id;
        launch.ordinal = ordinal;
        launch.stop_reason = "fixed";
        launch.started_ns = run.started_ns + ordinal;
        const double value = level * std::exp(within * normal(engine_));
        launch.samples = {value};
        launch.metrics = {{"time", value, "s", results_db::Provenance::measured, {}, {}}};
        made.push_back(std::move(launch));
      }
      store_.append_launches(made);
    }
    store_.finish_run(run.id, "finished", run.started_ns + 1);
  }

 private:
  results_db::Store& store_;
  std::mt19937_64 engine_{20260301};
  std::int64_t night_ = 0;
};

// What the gate says after the ordinary nights and one more.
GateReport judged(const std::string& path, int measured, double ratio, const stats::DecisionRule& rule) {
  for (const char* part : {"", "-wal", "-shm"}) std::filesystem::remove(path + part);
  results_db::Store store = results_db::Store::open(path, results_db::Open::create);
  Nights made(store);
  for (int night = 0; night < nights; ++night) made.add(cases, 1);
  made.add(measured, ratio);
  GateReport report = gate(store, {.base = "latest~1", .head = "latest", .rule = rule, .metric = ""});
  store.close();
  for (const char* part : {"", "-wal", "-shm"}) std::filesystem::remove(path + part);
  return report;
}

stats::Decision decide_dealt(std::span<const double> medians, double ratio, const stats::DecisionRule& rule) {
  stats::Contest contest;
  for (std::size_t at = 0; at < medians.size(); ++at) {
    const bool is_b = (at % 4 == 1 || at % 4 == 2) != (at / 4 % 2 == 1);  // A B B A, then B A A B
    (is_b ? contest.b : contest.a).push_back({medians[at] * (is_b ? ratio : 1), static_cast<std::int64_t>(at + 1)});
  }
  return stats::decide(contest, rule);
}

}  // namespace

std::vector<SelfTestRow> self_test_of_nights(const std::string& path, const stats::DecisionRule& rule) {
  std::vector<SelfTestRow> rows;
  const std::string what = "synthetic nights";
  {
    const GateReport report = judged(path, cases, 1, rule);
    const int code = report.exit_code(UnsurePolicy::pass);
    rows.push_back({what, 0, "no regression, exit 0", fmt::format("{}, exit {}", headline(report), code), code == 0});
  }
  {
    // An effect of exactly the floor is called every other time; what the launches scatter comes on top.
    const double effect = (1 + rule.effect_floor) * (1 + 2 * within) - 1;
    const GateReport report = judged(path, cases, 1 + effect, rule);
    const int code = report.exit_code(UnsurePolicy::pass);
    const bool named = report.count(Verdict::slower) == 1 && report.cases.front().compared.key_b == key_of(slowed) &&
                       report.cases.front().since &&
                       report.cases.front().since->run.starts_with(fmt::format("{:08x}", nights + 1));
    rows.push_back({what, effect, key_of(slowed) + " SLOWER since the last run, exit 1",
                    fmt::format("{}, exit {}", headline(report), code), code == 1 && named});
  }
  {
    const GateReport report = judged(path, cases - 1, 1, rule);
    const int code = report.exit_code(UnsurePolicy::pass);
    rows.push_back({"a night that lost a case", 0, "the case named as missing, exit 3",
                    fmt::format("{}, exit {}", headline(report), code),
                    code == 3 && !report.missing.empty() && report.missing.front().first == key_of(cases - 1)});
  }
  {
    const GateReport report = judged(path, 0, 1, rule);
    const int code = report.exit_code(UnsurePolicy::pass);
    rows.push_back({"a night that measured nothing", 0, "nothing compared, exit 3",
                    fmt::format("{}, exit {}", headline(report), code), code == 3 && report.cases.empty()});
  }
  return rows;
}

std::vector<SelfTestRow> self_test_of_launches(const std::string& what, std::span<const double> medians,
                                               const stats::DecisionRule& rule) {
  std::vector<SelfTestRow> rows;
  const stats::Decision alike = decide_dealt(medians, 1, rule);
  const bool right = alike.verdict == Verdict::same || alike.verdict == Verdict::unsure;
  rows.push_back({what, 0, "SAME or UNSURE", to_string(alike.verdict), right});
  // Relative to what the two sides differ by as dealt: the planted effect is then exactly the one meant.
  constexpr double largest = 1.0;
  double effect = rule.effect_floor * (1 + 1e-9);
  stats::Decision planted = decide_dealt(medians, (1 + effect) / alike.ratio, rule);
  while (planted.verdict != Verdict::slower && effect < largest) {
    effect *= 2;
    planted = decide_dealt(medians, (1 + effect) / alike.ratio, rule);
  }
  rows.push_back({what, effect, "SLOWER", to_string(planted.verdict), planted.verdict == Verdict::slower});
  return rows;
}

}  // namespace assay::harness
