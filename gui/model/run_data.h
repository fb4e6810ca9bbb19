#pragma once
// One run as views need it: cases with their values reduced over launches. Read once, then only looked at.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gui/model/case_text.h"
#include "results_db/store.h"

namespace assay::gui {

// A metric of a case in a run: the median over its launches.
struct Value {
  std::string metric;
  std::string unit;
  results_db::Provenance provenance = results_db::Provenance::measured;
  double median = 0;
  std::optional<double> low, high;  // 95% interval over launches (6 or more), or the one stored with a projection
  double lowest = 0, highest = 0;   // of the launches
  int launches = 0;
  std::int64_t samples = 0;  // behind it, warm-up left out; 0 where nothing was sampled
};

struct CaseResult {
  CaseInfo info;
  results_db::Status status = results_db::Status::ok;  // of its worst launch
  std::string reason;                                  // of that launch, where it is not ok
  std::vector<results_db::LaunchSummary> launches;
  std::vector<Value> values;

  const Value* value(const std::string& metric) const;
  const Value* main_value() const;  // time, else step time, else the first with a direction
};

struct RunData {
  results_db::RunRecord run;
  std::vector<CaseResult> cases;  // in the order of the run

  const CaseResult* find(std::int64_t case_id) const;
  std::vector<std::string> metrics() const;  // that any case has, sorted
};

bool has_direction(const std::string& metric);  // there is a better and a worse

RunData load_run(results_db::Store& store, const results_db::RunRecord& run);

// "12.3 ms", "45%" where the unit is 1 and the metric a share; "" for NaN.
std::string value_text(double value, const std::string& unit, const std::string& metric);
std::string value_text(const Value& value);
// The least and largest power of 1000 that a unit is written with: nobody speaks of millirequests or kiloseconds.
std::pair<int, int> usual_powers(const std::string& unit);
std::string range_text(double low, double high, const std::string& unit, const std::string& metric);
std::string interval_text(const Value& value);          // "12.1 to 12.6 ms"; "" where there is none
std::string exact_text(const Value& value);             // "0.0123456789 s", all digits that a clock can give
std::string reach_text(const Value& value);             // of its launches: "12.0 to 12.9 ms"; "" of one
std::string metric_title(const std::string& metric);    // flops_rate -> FLOP rate
std::string metric_heading(const std::string& metric);  // of an axis: "time  ↓ less is better"
// Where the number comes from and how much stands behind it: "measured, 10 launches, 340 samples".
std::string evidence_text(const Value& value);

}  // namespace assay::gui
