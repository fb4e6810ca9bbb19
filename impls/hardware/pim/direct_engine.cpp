// Every command of every channel through the event model.
#include "impls/hardware/pim/engine.h"

#include <algorithm>

namespace assay::hardware {

namespace {

class DirectEngine final : public Engine {
 public:
  DirectEngine(const Mapping& mapping, bool keep_trace) : mapping_(mapping), keep_trace_(keep_trace) {
    for (int c = 0; c < mapping.device().channels; ++c) lanes_.emplace_back(mapping.device());
  }

  Picoseconds run(const Instruction& instruction, Picoseconds start) override {
    const std::vector<Stream> streams = streams_of(mapping_, instruction);
    Picoseconds end = start;
    for (std::size_t c = 0; c < streams.size(); ++c) {
      if (streams[c].empty()) continue;
      Lane& lane = lanes_[c];
      idle(lane, start);
      for (const auto& [block, repeat] : streams[c])
        for (int round = 0; round < repeat; ++round) {
          while (lane.channel.now() >= lane.due) refresh(lane);
          for (const Command& command : commands_of(block, round, mapping_.device())) issue(lane, command);
          ++blocks_;
        }
      end = std::max(end, lane.channel.data_end());
    }
    return end;
  }

  void finish(Picoseconds end, PimRun& run) override {
    for (Lane& lane : lanes_) {
      idle(lane, end);
      run.channels.push_back(lane.channel.counts());
      if (keep_trace_) run.trace.push_back(std::move(lane.trace));
    }
    run.commands_simulated = commands_;
    run.blocks = blocks_;
  }

 private:
  struct Lane {
    explicit Lane(const PimDevice& device) : channel(device), due(device.time.refi) {}
    Channel channel;
    Picoseconds due;
    std::vector<Command> trace;
  };

  void issue(Lane& lane, Command command) {
    command.at = lane.channel.issue(command);
    ++commands_;
    if (keep_trace_) lane.trace.push_back(command);
  }
  void refresh(Lane& lane) {
    issue(lane, {.op = Op::refresh});
    lane.due += mapping_.device().time.refi;
  }
  void idle(Lane& lane, Picoseconds until) {
    while (lane.due <= until) {
      lane.channel.wait_until(lane.due);
      refresh(lane);
    }
    lane.channel.wait_until(until);
  }

  const Mapping& mapping_;
  bool keep_trace_;
  std::vector<Lane> lanes_;
  std::int64_t commands_ = 0, blocks_ = 0;
};

}  // namespace

std::unique_ptr<Engine> make_direct_engine(const Mapping& mapping, bool keep_trace) {
  return std::make_unique<DirectEngine>(mapping, keep_trace);
}

}  // namespace assay::hardware
