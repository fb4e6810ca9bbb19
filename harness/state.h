#pragma once
// What a technique sees of the harness. The function registered for an implementation is called once per process with a
// State; it reads its parameters, declares work, says how inputs are drawn, what the outputs are, how they are checked,
// and gives the region to time. The same function serves the gate, the timing launch and the profiler pass.
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "harness/params.h"
#include "results_db/records.h"

namespace assay::harness {

// Declared work of one iteration, so that FLOP/s, B/s, intensity and share of roof come for free. Part of the case:
// change `version` when the definition changes.
struct Work {
  double flops = 0;         // useful FLOPs
  double flops_issued = 0;  // what the schedule really executes (whole tiles); 0: as flops
  double bytes = 0;         // least traffic: inputs read once, outputs written once
  double exps = 0;
  double working_set = 0;  // bytes touched; chooses the memory roof
  std::string roof;  // compute roof it is held against: "fp32-fma", "bf16-matrix", "bf16-matrix-exp" ... ("" none)
  std::string second_roof;  // shown beside it, e.g. "amx"
  int version = 1;
};

// One comparison with the oracle. error is scaled: largest |got - want| / tolerance, so that <= 1 passes; NaN fails.
struct Check {
  double error = 0;
  double coverage = 1;  // share of output elements compared
  std::string detail;   // worst element, rule used
};

// A byte view of an output buffer, which the gate poisons before every run.
struct Output {
  std::string name;
  std::span<std::byte> bytes;
};

class Ensemble;
namespace gpu {
class Device;
}

class State {
 public:
  virtual ~State() = default;

  // -- what to run
  virtual const Params& params() const = 0;
  virtual const std::string& backend() const = 0;
  virtual const std::string& fabric() const = 0;
  virtual std::uint64_t seed() const = 0;  // fresh per run; inputs must be drawn from it
  std::int64_t integer(std::string_view name) const { return params().integer(name); }
  double real(std::string_view name) const { return params().real(name); }
  const std::string& text(std::string_view name) const { return params().text(name); }
  bool flag(std::string_view name) const { return params().flag(name); }

  // -- what it is
  virtual void declare(const Work& work) = 0;
  // Draws fresh inputs; called before the first run and again by the gate (the `stale` mutant needs a second draw).
  virtual void inputs(std::function<void(std::uint64_t seed)> draw) = 0;
  virtual void output(Output output) = 0;
  // Compares the outputs with the float64 oracle of the inputs last drawn.
  virtual void oracle(std::function<Check()> compare) = 0;
  // A wrong version the gate must reject, e.g. "last-tile-skipped", "wrong-scale", "lower-precision". `null` and
  // `stale` come from the harness.
  virtual void mutant(std::string name, std::function<void()> run) = 0;
  // Untimed set-up before every sample.
  virtual void prepare(std::function<void()> set_up) = 0;

  // -- run it: the region that is timed. Call exactly once, last; not at all for projected cases.
  virtual void measure(std::function<void()> region) = 0;
  // In its place for work in virtual time: a launch runs the region once, untimed, and `report` gives the metrics that
  // are its result; where the implementation `projects` the gate checks the region as any other. Describing a case runs
  // neither, so what the user can mend must be refused before.
  virtual void project(const std::function<void()>& region, const std::function<void()>& report) {
    region();
    report();
  }

  // -- anything else it found out
  virtual void report(results_db::Metric metric) = 0;
  virtual void breakdown(results_db::BreakdownPart part) = 0;
  virtual void interval(results_db::IntervalRecord interval) = 0;
  virtual void descriptor(std::string kind_and_id, std::string hash) = 0;  // "device:a100-80g-sxm", content hash
  // True in the gate process: a technique may then compute oracle material it does not need when timing.
  virtual bool gating() const = 0;

  // -- on a GPU (backend cuda). The region enqueues its work on device().stream() and returns without waiting for it;
  // the harness waits, times and checks for faults. Throws gpu::NoDevice where there is none: the row is skipped. A
  // case that is only described ends here: declare work, and refuse wrong parameters, before.
  virtual gpu::Device& device();
  // As `output`, of device memory.
  virtual void device_output(std::string name, void* memory, std::size_t bytes);

  // The processes this case runs on together; null where it is this one alone.
  virtual Ensemble* ensemble() const { return nullptr; }
  // This case cannot run here (hardware or library absent): throws; the row is `skipped` with the reason.
  [[noreturn]] virtual void skip(std::string reason) = 0;
};

}  // namespace assay::harness
