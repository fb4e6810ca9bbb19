#pragma once
// The `cluster` fabric: a program over ranks in virtual time. No tensor exists; computing books an engine for as long
// as the device model says, messages occupy modelled links from the moment both halves are posted until the last byte
// has left, and arrive one latency later. Time is in whole picoseconds, rounded up; what happens at one time is ordered
// by rank, then by sequence; a run gives the same bits everywhere.
#include <functional>
#include <memory>
#include <optional>

#include "datasets/machine.h"
#include "impls/substrate/fabric/fabric.h"

namespace assay::substrate {

// Seconds one operator takes on the device.
using OperatorModel = std::function<double(const OpWork&)>;

struct ClusterSetup {
  datasets::Cluster cluster;
  OperatorModel operator_seconds;
  double memory_bandwidth = 0;  // B/s of one device, for a message of a rank to itself
  int ranks = 1;
  std::vector<int> placement = {};  // slot of each rank; empty: rank r in slot r
  // A GroupEvent is one event, of the cost of its program of messages alone on the links; else it is that program.
  bool groups_as_events = false;
};

class ClusterFabric final : public Fabric {
 public:
  // Throws UserError when the cluster cannot hold the ranks.
  explicit ClusterFabric(ClusterSetup setup);
  ~ClusterFabric() override;

  std::string_view name() const override { return "cluster"; }
  bool real() const override { return false; }
  int size() const override;
  const char* link(int from, int to) const override;
  GroupEvents* group_events() override;
  RunReport run(const Program& program, const TimelineOptions& timeline = {}) override;

 protected:
  OpId post(Rank& rank, const Half& half) override;
  bool settle(Rank& rank, OpId first, OpId second) override;
  void wait(Rank& rank, OpId first, OpId second, std::coroutine_handle<> continuation) override;
  Span retire(Rank& rank, OpId op) override;
  void abandon(Rank& rank, OpId op) noexcept override;
  Picoseconds begin_work(Rank& rank, Engine engine, const OpWork& work) override;
  void wait_until(Rank& rank, Picoseconds time, std::coroutine_handle<> continuation) override;
  Picoseconds now(const Rank& rank) const override;

 private:
  struct Simulation;
  ClusterSetup setup_;
  std::unique_ptr<Simulation> simulation_;  // of the run in progress
};

}  // namespace assay::substrate
