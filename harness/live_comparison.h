#pragma once
// Two sides launched in turns, A B B A B A A B ..., so that what happens to the machine happens to both.
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "harness/comparison.h"
#include "harness/suite.h"
#include "results_db/store.h"

namespace assay::harness {

// One launch of one case in a fresh process; a failed one is a record with its reason, one that was stopped is nothing.
using LaunchOnce = std::function<std::optional<results_db::LaunchRecord>(const Case& item, int ordinal)>;
// Checks a case against its oracle.
using GateOnce = std::function<std::optional<results_db::GateRecord>(const Case& item)>;

struct LiveSide {
  Selector selector;
  results_db::BuildRecord build;
  LaunchOnce launch;
  GateOnce gate;
};

struct LivePair {
  Case a, b;
};

struct LiveOptions {
  int launches = 10;          // a side at first
  int max_launches = 40;      // a side, where UNSURE cases are launched again
  bool rerun_unsure = false;  // each look then has its share of the false-call rate
  stats::DecisionRule rule;
  std::string command;
  std::string metric;
};

struct LiveProgress {
  int done = 0;   // launches
  int total = 0;  // of this round
  std::string case_key;
};

// Gates every case of both sides once, then launches all pairs in blocks of four, and stores the two sides as two runs:
// comparing those runs later gives the same verdict. A case that fails is not launched again. SIGINT and SIGTERM end it
// in order: both runs are marked interrupted and keep what was measured, and that is what is judged.
Comparison compare_live(results_db::Store& store, const std::vector<LivePair>& pairs, const LiveSide& a,
                        const LiveSide& b, const LiveOptions& options,
                        const std::function<void(const LiveProgress&)>& progress = {});

}  // namespace assay::harness
