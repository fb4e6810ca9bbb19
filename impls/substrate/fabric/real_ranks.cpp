#include "impls/substrate/fabric/real_ranks.h"

#include <fmt/format.h>

#include <stdexcept>

#include "impls/substrate/cluster/emulated.h"
#include "impls/substrate/fabric/process_fabric.h"
#include "impls/substrate/fabric/threads.h"

namespace assay::substrate {

RealRanks::RealRanks(const harness::State& state, int ranks) {
  if (state.fabric() == "threads") {
    threads_ = std::make_shared<ThreadsFabric>(ranks);
    return;
  }
  if (state.fabric() == "emulated") {
    threads_ =
        std::make_shared<EmulatedFabric>(datasets::load_cluster(state.text("cluster"), datasets::data_root()), ranks);
    return;
  }
  if (state.ensemble() == nullptr) return;
  processes_ = dynamic_cast<ProcessFabric*>(state.ensemble());
  if (processes_ == nullptr) throw std::logic_error("the processes of this job are no fabric");
  if (processes_->size() != ranks)
    throw std::logic_error(fmt::format("the job has {} processes, the case {} ranks", processes_->size(), ranks));
}

RealRanks::~RealRanks() = default;

void RealRanks::run(const Program& program) {
  if (processes_ != nullptr) {
    processes_->run_here(program);
  } else {
    run_and_report(program);
  }
}

RunReport RealRanks::run_and_report(const Program& program, const TimelineOptions& timeline) {
  if (processes_ != nullptr) return processes_->run(program, timeline);
  if (!threads_) throw std::logic_error("no processes were launched for the ranks of this case");
  return threads_->run(program, timeline);
}

bool RealRanks::holds(int rank) const { return processes_ == nullptr || processes_->rank() == rank; }

void RealRanks::bring_home(int rank, std::span<std::byte> bytes) {
  if (processes_ != nullptr) processes_->bring_home(rank, bytes);
}

}  // namespace assay::substrate
