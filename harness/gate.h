#pragma once
// Did a run get slower than a base run of the same machine, and since when? The verdicts are those of `compare`; what
// the gate adds is each case's own past: more launches of the base's level, what sessions of the case differ by, and
// the run in which it began.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "harness/comparison.h"
#include "harness/stats/fence.h"

namespace assay::harness {

struct GateOptions {
  std::string base = "latest~1";  // a run, a tag or commit=ID; runs of the head's machine only
  std::string head = "latest";
  stats::DecisionRule rule = {.effect_floor = 0.03};
  std::string metric;
};

struct FirstBad {
  std::string run;
  std::int64_t started_ns = 0;
  std::string commit;
  std::string last_good;  // the run before it; "" when it is not known
  std::string found;      // "change of level", "outside its fence" or "only this run"
};

struct GatedCase {
  ComparedCase compared;
  stats::Fence fence;    // of the base's level, without the head
  int base_runs = 1;     // whose launches side A has
  int confirm_runs = 0;  // whose launches side B has besides the head's
  bool suspect = false;  // beyond the floor on the bad side and outside its fence, or SLOWER
  stats::Magnitude magnitude = stats::Magnitude::none;
  // The least slow-down that this comparison would have called SLOWER; infinite: not even a doubling; nothing: not
  // worked out.
  std::optional<double> detectable;
  std::optional<FirstBad> since;           // of a suspect
  std::optional<double> clock_a, clock_b;  // Hz, medians where the samples have them; of a suspect
};

inline constexpr double blind_above = 0.10;

enum class UnsurePolicy { pass, fail };

struct GateReport {
  results_db::RunRecord base, head;
  std::vector<EnvironmentDifference> environment;
  std::vector<GatedCase> cases;                              // worst first: SLOWER by magnitude, suspects, the others
  std::vector<std::pair<std::string, std::string>> missing;  // cases of the base without a value at the head; why
  std::vector<std::string> added;                            // cases that the base does not have
  int count(stats::Verdict verdict) const;
  int suspects() const;  // UNSURE ones
  int blind() const;     // cases in which not even `blind_above` would have been SLOWER
  // 1 a confirmed regression (or UNSURE, where that fails); else 3 nothing compared or cases missing; else 0.
  int exit_code(UnsurePolicy unsure) const;
};

// Newest run of `head`'s machine that `ref` names. UserError when it names a run of another machine, or none.
results_db::RunRecord find_base(results_db::Store& store, const std::string& ref, const results_db::RunRecord& head);

// Runs that hold further launches of a run's suspects are marked with this tag.
std::string confirm_tag(const results_db::RunRecord& head);

GateReport gate(results_db::Store& store, const GateOptions& options);

// Median clock of a case's samples in a run, where they have one.
std::optional<double> median_clock(results_db::Store& store, const std::string& run, std::int64_t case_id);

// One sentence: "nothing compared: ...", "2 cases are SLOWER, ..." as headline of every form of the report.
std::string headline(const GateReport& report);
// Why the case got its verdict, in words; several lines.
std::string explain(const GateReport& report, const GatedCase& item);

// Alerts of the regressions and suspects, once a run, case and metric; returns how many are new.
int record_alerts(results_db::Store& store, const GateReport& report);

}  // namespace assay::harness
