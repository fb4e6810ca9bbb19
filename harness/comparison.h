#pragma once
// Two selections of stored cases, joined on what they do not pin, and judged: `assay compare` without its printing.
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/stats/decide.h"
#include "results_db/store.h"

namespace assay::harness {

// RUN, KEY=VALUE,KEY=VALUE or RUN:KEY=VALUE,...  RUN is what Store::find_run takes; without one it is `latest`. KEY is
// technique, family, backend, fabric, timer, cache, case (a whole key) or an axis; a technique may be named without its
// family, numbers may be written 4k. Keys that choose the run instead: commit (its beginning), machine (name or
// beginning of the id), tag, suite; `latest~1` then counts among the runs that have them all.
struct Selector {
  std::string text;
  std::string run;
  std::vector<std::pair<std::string, std::string>> where;
  std::vector<std::pair<std::string, std::string>> of_run;
  bool names_run = false;
};
Selector parse_selector(std::string_view text);  // UserError: an empty key, a missing value
bool matches(const Selector& selector, const results_db::CaseRecord& record);
results_db::RunRecord find_run(results_db::Store& store, const Selector& selector);

// Cases of both sides that agree in everything neither selector names. Axes that only one side's cases have do not
// count.
struct JoinedCase {
  std::string name;  // what they agree in, else the case key of side A
  results_db::CaseRow a;
  results_db::CaseRow b;
};
struct Join {
  std::vector<JoinedCase> cases;    // in the order of side A
  std::vector<std::string> only_a;  // keys without a counterpart
  std::vector<std::string> only_b;
};
// UserError when a case has two counterparts; it names an axis to pin.
Join join(const Selector& a, const std::vector<results_db::CaseRow>& cases_a, const Selector& b,
          const std::vector<results_db::CaseRow>& cases_b);

struct ComparedCase {
  std::string name;
  std::string key_a, key_b;
  std::int64_t id_a = 0, id_b = 0;  // of the cases
  std::string metric;
  std::string unit;
  results_db::Provenance provenance = results_db::Provenance::measured;
  double value_a = 0, value_b = 0;  // medians over launches
  bool same_code = false;           // one code hash on both sides: what differs is noise or environment
  std::string note;                 // "declared work differs: rates compared"
  stats::Decision decision;
};

struct EnvironmentDifference {
  std::string what;
  std::string a, b;
};

struct Comparison {
  results_db::RunRecord run_a, run_b;
  Selector selector_a, selector_b;
  std::vector<EnvironmentDifference> environment;
  std::vector<ComparedCase> cases;
  std::size_t matched = 0;                                        // pairs, compared or not
  std::vector<std::string> only_a, only_b;                        // keys
  std::vector<std::pair<std::string, std::string>> not_compared;  // name, why
  int count(stats::Verdict verdict) const;
};

std::vector<EnvironmentDifference> environment_differences(const results_db::RunRecord& a,
                                                           const results_db::RunRecord& b);

// What is known of a pair beside the launches of the two runs: more launches, a session allowance of its own.
using Enrich = std::function<void(const ComparedCase& row, stats::Contest& contest)>;

// `metric` empty: time, else step_time, else the first metric both have with a direction; rates when the declared work
// differs. Values of different provenance are never compared.
Comparison compare(results_db::Store& store, const Selector& a, const Selector& b, const stats::DecisionRule& rule,
                   const std::string& metric = {}, const Enrich& enrich = {});

}  // namespace assay::harness
