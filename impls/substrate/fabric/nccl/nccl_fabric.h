#pragma once
// The `nccl` fabric: ranks are threads of one process, rank r has GPU r, buffers lie in its memory, and messages are
// NCCL's sends and receives. Which half meets which, tags, sizes, withdrawal and deadlocks are those of the threads
// fabric: nothing reaches a device before both halves are there, so a wrong program is refused on the host and never
// hangs a GPU.
//
// Every ordered pair of ranks that exchanges messages has a communicator of two and a stream at either end, made when
// first used. So messages of a pair go in issue order and pairs do not wait for each other, which is the contract of
// Rank; one communicator of all ranks would run its messages one after the other. All are issued under one lock, in one
// order on all devices. A message begins when what either rank had enqueued before it posted its half is done, and
// awaiting it waits on the host.
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "impls/substrate/fabric/nccl/nccl_library.h"
#include "impls/substrate/fabric/nccl/rank_devices.h"
#include "impls/substrate/fabric/threads.h"

namespace assay::substrate {

class NcclFabric final : public ThreadsFabric {
 public:
  // std::invalid_argument where there are fewer devices than ranks.
  NcclFabric(std::shared_ptr<nccl::RankDevices> devices, nccl::Library library, int ranks);
  ~NcclFabric() override;

  std::string_view name() const override { return "nccl"; }
  const char* link(int, int) const override { return "NCCL"; }
  std::shared_ptr<BufferPlace> place(int rank) override;

  nccl::RankDevices& devices() const { return *devices_; }
  const nccl::Library& library() const { return library_; }
  // Of all ranks, for NCCL's own collectives: what rank r calls with its part of the communicator goes into its stream.
  // Made by the first call, which no rank's program may be the one to make.
  nccl::Comm* world(int rank);
  nccl::Stream stream(int rank) const;

  // Outside of runs: memory of a rank's device, and copies between it and the host in either direction.
  std::shared_ptr<std::byte> allocate(int rank, std::size_t bytes);
  void copy(int rank, std::byte* to, const std::byte* from, std::size_t bytes);

 protected:
  Readiness readiness(int rank) override;
  std::shared_ptr<Delivery> deliver(int from, const Half& source, const Readiness& of_source, int to,
                                    const Half& target, const Readiness& of_target) override;
  void enter(int rank) override;
  void leave(int rank) override;

 private:
  class Place;
  class Flight;
  struct Pair {
    nccl::Comm* sender = nullptr;
    nccl::Comm* receiver = nullptr;  // the same as sender where a rank sends to itself
    nccl::Stream out = nullptr, in = nullptr;
  };
  Pair& pair(int from, int to);

  std::shared_ptr<nccl::RankDevices> devices_;
  nccl::Library library_;
  std::vector<std::shared_ptr<Place>> places_;  // by rank
  std::mutex issuing_;                          // guards what follows, and the order of issue
  std::map<std::pair<int, int>, Pair> pairs_;
  std::vector<nccl::Comm*> world_;
};

}  // namespace assay::substrate
