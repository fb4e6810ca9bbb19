#pragma once
// The ranks of a case on a fabric with real data: all of them as threads of this process, or the one that this process
// of a launched job is.
#include <cstddef>
#include <memory>
#include <span>

#include "harness/state.h"
#include "impls/substrate/fabric/fabric.h"

namespace assay::substrate {

class ProcessFabric;

class RealRanks {
 public:
  // On the state's fabric: threads, emulated (on the cluster of that axis) or mpi. Where a case of a launched fabric is
  // only described there are no processes and nothing can be run.
  RealRanks(const harness::State& state, int ranks);
  // On a fabric whose ranks are all in this process.
  explicit RealRanks(std::shared_ptr<Fabric> fabric) : threads_(std::move(fabric)) {}
  ~RealRanks();
  RealRanks(const RealRanks&) = delete;
  RealRanks& operator=(const RealRanks&) = delete;

  // Every rank to its end; throws what one threw. All processes call it.
  void run(const Program& program);
  // The same, with the reports of all ranks.
  RunReport run_and_report(const Program& program, const TimelineOptions& timeline = {});

  bool holds(int rank) const;  // its data are in this process
  bool conducts() const { return holds(0); }
  // Gives the process of rank 0 what `rank` has, where that is another one. All processes call it.
  void bring_home(int rank, std::span<std::byte> bytes);

 private:
  std::shared_ptr<Fabric> threads_;
  ProcessFabric* processes_ = nullptr;
};

}  // namespace assay::substrate
