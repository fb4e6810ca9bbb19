#pragma once
// Two ways to work out what the channels' streams take: every command of every channel (direct), or every distinct
// block once from every distinct channel state (reused). Both give the same times and counts.
#include <memory>

#include "impls/hardware/pim/pim_run.h"

namespace assay::hardware {

class Engine {
 public:
  virtual ~Engine() = default;
  // Runs the instruction's streams from `start` on; returns when its last data is through.
  virtual Picoseconds run(const Instruction& instruction, Picoseconds start) = 0;
  // Refreshes that fall due until `end`; hands over counts and traces.
  virtual void finish(Picoseconds end, PimRun& run) = 0;
};

std::unique_ptr<Engine> make_direct_engine(const Mapping& mapping, bool keep_trace);
std::unique_ptr<Engine> make_reused_engine(const Mapping& mapping);

}  // namespace assay::hardware
