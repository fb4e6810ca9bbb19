#pragma once
// Suites: TOML files that name cases by the axes of registered techniques. Loading checks everything against the
// registry, so that a suite that loads can run; every refusal is one UserError line with file, line and key.
//
//   title = "Attention on one core"           tags = ["attention"]      order = "interleaved"
//   launches = 3                              noise_target = "2%"       time_budget = "300ms"
//   [[case]]
//   technique = ["attention/naive", "attention/flash-attention-2"]      # a word or a list
//   backend = "cpu"                                                     # also fabric, timer, cache, launches ...
//   axes = { sequence_length = { from = "1k", to = "16k", step = "x2" }, causal = [0, 1], head_dim = 128 }
//   [[case.exclude]]
//   sequence_length = "16k"
//   causal = 0
//
// docs/suites.md is the reference of every key.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "harness/params.h"
#include "harness/registry.h"
#include "results_db/records.h"

namespace assay::harness {

// Which CPUs a worker may use.
struct Pin {
  enum class Mode { automatic, none, listed };
  Mode mode = Mode::automatic;
  std::vector<int> cpus;  // of `listed`
  bool operator==(const Pin&) const = default;
};

// How one case is measured. A suite states them once, an entry may override each.
struct CaseSettings {
  int launches = 3;
  double noise_target = 0.02;        // relative half-width of the median's 95% interval that ends a launch
  double time_budget_seconds = 1.0;  // per case and launch; ends it when the noise target is not met
  int min_samples = 5;
  int max_samples = 1000;
  Pin pin;
  std::vector<std::string> tags;  // of the suite and of the entry
  bool operator==(const CaseSettings&) const = default;
};

struct AxisValues {
  std::string name;
  std::vector<Value> values;
  std::string where;  // "suites/quick.toml:12: sequence_length", for messages
};

// A partial point: cases equal to all of it are left out.
struct Exclusion {
  std::vector<std::pair<std::string, Value>> point;
  std::string where;
};

// One [[case]] of one technique on one backend and fabric, resolved: every axis the implementation has is in `axes`.
struct SuiteEntry {
  std::string technique;         // full id
  std::string backend;           // cpu | cuda
  std::string fabric;            // "" where the implementation has none
  std::string timer;             // host | event | graph | cupti | virtual
  std::string cache;             // hot | cold
  std::vector<AxisValues> axes;  // in the order written; the last varies fastest
  std::vector<Exclusion> exclusions;
  std::optional<int> launches;
  std::optional<double> noise_target;
  std::optional<double> time_budget_seconds;
  std::optional<int> min_samples;
  std::optional<int> max_samples;
  std::optional<Pin> pin;
  std::vector<std::string> tags;
  std::string where;
};

struct Suite {
  std::string id;  // the file's name without .toml, or the technique's id
  std::string title;
  std::string description;
  std::string file;  // "" when it did not come from one
  CaseSettings settings;
  std::string order = "interleaved";  // interleaved | random | listed
  double max_load = 0;  // share of the CPUs used by others above which a run is refused; 0: flagged above 0.25
  std::string isolate = "backend";    // backend | case
  std::optional<int> expected_cases;  // expansion refuses another number
  bool roofs = false;                 // probe the machine's roofs in the same run
  std::vector<SuiteEntry> entries;
};

// One thing to measure.
struct Case {
  const Technique* technique = nullptr;
  const Implementation* implementation = nullptr;
  std::string backend;
  std::string fabric;
  std::string timer;
  std::string cache;
  Params params;  // every axis of the implementation
  CaseSettings settings;
  results_db::CaseRecord record() const;  // identity; values equal to an axis's legacy default are left out
};

// `name=value,value` or `name=from..to:step` (step x2 when none, else "x4" or "+512") of the command line. The values
// are read once it is known which axis of which technique they are for.
struct AxisOverride {
  std::string name;
  std::vector<std::string> values;
  std::string from, to, step;  // of a range; then `values` is empty
  std::string text;            // as given
};
AxisOverride parse_axis_override(std::string_view text);

// What the command line narrows a suite to. Empty members select everything.
struct Selection {
  std::vector<std::string> techniques;  // full ids or unique bare names
  std::vector<std::string> families;    // folder or its last part
  std::vector<std::string> backends;
  std::vector<std::string> fabrics;
  std::vector<std::string> tags;   // any of them
  std::vector<AxisOverride> axes;  // replace the values of entries that have the axis
};

bool in_family(std::string_view technique_id, std::string_view family);

// An id found in datasets::suites_root(), or a path to a .toml file. Unknown: UserError with the nearest names.
Suite load_suite(const std::string& name_or_path);
// The same from text, for a run's stored suite; `file` names it in messages.
Suite parse_suite(std::string_view toml, const std::string& file);
// Ids of suites_root(), sorted.
std::vector<std::string> suite_ids();
bool is_suite_name(const std::string& name_or_path);

// What `assay run TECHNIQUE` runs: the axes' defaults with overrides. Empty backend: cpu where there is one; empty
// fabric: threads where there is one.
Suite suite_of_technique(const Technique& technique, const std::vector<AxisOverride>& overrides = {},
                         const std::string& backend = {}, const std::string& fabric = {});
// The technique that a name which is no suite's means. UserError with the nearest suites and techniques.
const Technique& technique_unless_suite(const std::string& name);
// What `assay run NAME` runs: the suite of that name or file, else the technique, narrowed to the selection. For a
// technique, backends and fabrics of the selection name what to run it on.
Suite suite_named(const std::string& name, const Selection& selection = {});
// The one case of a stored row, to run it again.
Suite suite_of_record(const results_db::CaseRecord& record);

// The suite narrowed to a selection; to_toml of it is what a run stores to be resumed.
Suite select(const Suite& suite, const Selection& selection);

// All cases in the order listed. Refuses an empty expansion, a duplicate case and a number other than expected_cases.
std::vector<Case> expand(const Suite& suite);
inline std::vector<Case> expand(const Suite& suite, const Selection& selection) {
  return expand(select(suite, selection));
}

// Which launch of which case comes when. interleaved: every case once, then again in the opposite direction, so that
// drift falls on all alike; random: each such round in a seeded random order; listed: all launches of a case in a row.
struct LaunchSlot {
  std::size_t case_index = 0;
  int ordinal = 0;
  bool operator==(const LaunchSlot&) const = default;
};
std::vector<LaunchSlot> launch_order(const std::vector<Case>& cases, const std::string& order, std::uint64_t seed);

// TOML text that parse_suite reads back to the same cases with the same settings.
std::string to_toml(const Suite& suite);

}  // namespace assay::harness
