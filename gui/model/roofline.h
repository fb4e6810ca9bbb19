#pragma once
// The roofs a run measured, and where its cases stand under them by the work they declare.
#include <string>
#include <vector>

#include "gui/model/filter.h"
#include "gui/model/run_data.h"

namespace assay::gui {

struct Roof {
  std::string name;     // "bf16 matrix, 1 thread"; "memory read, 16 MiB"
  bool memory = false;  // a bandwidth: a slope; else a rate: a level
  double value = 0;     // FLOP/s or B/s, median over launches
  int launches = 0;
  std::int64_t case_id = 0;
};

struct RoofPoint {
  const CaseResult* result = nullptr;
  double intensity = 0;  // FLOP/B, declared
  Value rate;            // FLOP/s
  double share = 0;      // of the roof that binds, as stored by the run; NaN where it stored none
};

struct Roofline {
  std::string backend;                // whose roofs and cases these are
  std::vector<std::string> backends;  // that have roofs in this run
  std::vector<Roof> roofs;            // highest first, levels before slopes
  std::vector<RoofPoint> points;
  int without_work = 0;  // cases that match but declare no FLOPs or bytes, or were not measured
  int elsewhere = 0;     // cases that match, of another backend
  int filtered_out = 0;
};

// Of one backend: a case of a GPU has no place under the roofs of a processor. `backend` unknown or empty: the first
// that has roofs and a case that matches.
Roofline roofline_of(const RunData& data, const Filter& filter, const std::string& backend = {});

}  // namespace assay::gui
