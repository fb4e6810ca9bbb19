#pragma once
// A fabric with real data whose ranks are processes of one job, this process being one of them. To the harness the same
// processes are the ensemble that runs a case.
#include <cstddef>
#include <span>

#include "harness/ensemble.h"
#include "impls/substrate/fabric/fabric.h"
#include "impls/substrate/fabric/native_collectives.h"

namespace assay::substrate {

class ProcessFabric : public Fabric, public harness::Ensemble {
 public:
  int size() const override = 0;

  // Runs `program` on the rank of this process and returns when all have ended theirs; every process calls it. Throws
  // what the lowest failing rank threw, on all of them. `run` does the same and gives every process all reports.
  virtual RankReport run_here(const Program& program) = 0;

  // Gives the first process what `rank` has; called by all, with as many bytes on both.
  virtual void bring_home(int rank, std::span<std::byte> bytes) = 0;

  // The collectives of the library that carries the processes.
  virtual NativeCollectives& native() = 0;
};

}  // namespace assay::substrate
