// Every distinct block once from every distinct channel state. Delays do not depend on the time of day, so a block that
// starts from a known state at any time takes what it took before; refreshes fall between blocks at absolute times, so
// they are placed here exactly as the direct engine places them. Runs of equal blocks that end in the state they began
// in are taken up to the next refresh in one leap. Channels that do the same from the same state are worked out once.
#include <algorithm>
#include <map>
#include <utility>

#include "impls/hardware/pim/engine.h"

namespace assay::hardware {

namespace {

struct Outcome {
  bool known = false;
  std::uint32_t next_state = 0;
  Picoseconds advance = 0;    // until the command bus is free again
  Picoseconds data_end = -1;  // last data on the pins; -1: none
  ChannelCounts counts;
};

// What blocks take, by shape and state.
class BlockTimes {
 public:
  explicit BlockTimes(const PimDevice& device) : device_(device), channel_(device) {
    state_of(channel_.delays());  // state 0: every delay is over
    refresh_ = shape_of({.kind = Block::Kind::refresh});
  }

  std::uint32_t shape_of(const Block& block) {
    const auto [at, is_new] = shapes_.try_emplace(block.shape(), static_cast<std::uint32_t>(blocks_.size()));
    if (is_new) {
      blocks_.push_back(block);
      outcomes_.emplace_back();
    }
    return at->second;
  }
  std::uint32_t refresh() const { return refresh_; }
  std::int64_t commands() const { return commands_; }

  const Outcome& outcome(std::uint32_t shape, std::uint32_t state) {
    std::vector<Outcome>& held = outcomes_[shape];
    if (state < held.size() && held[state].known) return held[state];
    const Outcome found = simulate(blocks_[shape], state);
    if (outcomes_[shape].size() <= state) outcomes_[shape].resize(state + 1);
    return outcomes_[shape][state] = found;
  }

  // The state after `time` in which nothing is issued.
  std::uint32_t aged(std::uint32_t state, Picoseconds time) {
    if (time >= longest_[state]) return 0;
    std::vector<Picoseconds> delays = states_[state];
    for (Picoseconds& delay : delays) delay = std::max<Picoseconds>(0, delay - time);
    return state_of(std::move(delays));
  }

 private:
  std::uint32_t state_of(std::vector<Picoseconds> delays) {
    const auto [at, is_new] = state_ids_.try_emplace(delays, static_cast<std::uint32_t>(states_.size()));
    if (is_new) {
      longest_.push_back(*std::ranges::max_element(delays));
      states_.push_back(std::move(delays));
    }
    return at->second;
  }

  Outcome simulate(const Block& block, std::uint32_t state) {
    channel_.restart(states_[state]);
    for (const Command& command : commands_of(block, 0, device_)) {
      channel_.issue(command);
      ++commands_;
    }
    Outcome found{.known = true, .advance = channel_.now(), .counts = channel_.counts()};
    if (found.counts.pin_columns() > 0) found.data_end = channel_.data_end();
    found.next_state = state_of(channel_.delays());
    return found;
  }

  const PimDevice& device_;
  Channel channel_;
  std::map<decltype(Block().shape()), std::uint32_t> shapes_;
  std::vector<Block> blocks_;
  std::vector<std::vector<Outcome>> outcomes_;  // by shape, then state
  std::map<std::vector<Picoseconds>, std::uint32_t> state_ids_;
  std::vector<std::vector<Picoseconds>> states_;
  std::vector<Picoseconds> longest_;  // delay of a state
  std::uint32_t refresh_ = 0;
  std::int64_t commands_ = 0;
};

struct ShapeRun {
  std::uint32_t shape = 0;
  std::int32_t repeat = 1;
  bool operator==(const ShapeRun&) const = default;
};
using ShapeStream = std::vector<ShapeRun>;

struct Compiled {
  std::vector<ShapeStream> distinct;
  std::vector<int> of_channel;  // -1: nothing to do
};

class ReusedEngine final : public Engine {
 public:
  explicit ReusedEngine(const Mapping& mapping)
      : mapping_(mapping), times_(mapping.device()), lanes_(static_cast<std::size_t>(mapping.device().channels)) {
    for (Lane& lane : lanes_) lane.at.due = mapping.device().time.refi;
  }

  Picoseconds run(const Instruction& instruction, Picoseconds start) override {
    const Compiled& compiled = compile(instruction);
    Picoseconds end = start;
    before_.clear();
    for (const Lane& lane : lanes_) before_.push_back(lane.at);
    for (std::size_t c = 0; c < lanes_.size(); ++c) {
      const int which = compiled.of_channel[c];
      if (which < 0) continue;
      std::size_t like = 0;
      while (like < c && !(compiled.of_channel[like] == which && before_[like] == before_[c])) ++like;
      Lane& lane = lanes_[c];
      if (like < c) {
        lane.at = lanes_[like].at;
        lane.gained = lanes_[like].gained;
        blocks_ += lanes_[like].blocks;
        lane.blocks = lanes_[like].blocks;
      } else {
        lane.gained = {};
        lane.blocks = 0;
        idle(lane, start);
        for (const ShapeRun& run : compiled.distinct[static_cast<std::size_t>(which)]) advance(lane, run);
        blocks_ += lane.blocks;
      }
      lane.counts += lane.gained;
      end = std::max(end, lane.at.data_end);
    }
    return end;
  }

  void finish(Picoseconds end, PimRun& run) override {
    for (Lane& lane : lanes_) {
      lane.gained = {};
      idle(lane, end);
      lane.counts += lane.gained;
      run.channels.push_back(lane.counts);
    }
    run.commands_simulated = times_.commands();
    run.blocks = blocks_;
  }

 private:
  struct Cursor {
    Picoseconds now = 0, due = 0, data_end = 0;
    std::uint32_t state = 0;
    bool operator==(const Cursor&) const = default;
  };
  struct Lane {
    Cursor at;
    ChannelCounts counts;
    ChannelCounts gained;  // by the instruction under way
    std::int64_t blocks = 0;
  };

  void take(Lane& lane, const Outcome& outcome, std::int64_t times) {
    if (outcome.data_end >= 0)
      lane.at.data_end = std::max(lane.at.data_end, lane.at.now + (times - 1) * outcome.advance + outcome.data_end);
    lane.at.now += times * outcome.advance;
    lane.at.state = outcome.next_state;
    lane.gained += outcome.counts.times(times);
  }
  void refresh(Lane& lane) {
    take(lane, times_.outcome(times_.refresh(), lane.at.state), 1);
    lane.at.due += mapping_.device().time.refi;
  }
  void wait_until(Lane& lane, Picoseconds time) {
    if (time <= lane.at.now) return;
    lane.at.state = times_.aged(lane.at.state, time - lane.at.now);
    lane.at.now = time;
  }
  void idle(Lane& lane, Picoseconds until) {
    while (lane.at.due <= until) {
      wait_until(lane, lane.at.due);
      refresh(lane);
    }
    wait_until(lane, until);
  }
  void advance(Lane& lane, const ShapeRun& run) {
    for (std::int64_t left = run.repeat; left > 0;) {
      while (lane.at.now >= lane.at.due) refresh(lane);
      const Outcome outcome = times_.outcome(run.shape, lane.at.state);
      std::int64_t times = 1;
      if (outcome.next_state == lane.at.state) {
        // Every block that begins before the refresh is due.
        const Picoseconds room = lane.at.due - lane.at.now;
        times = std::min(left, (room + outcome.advance - 1) / outcome.advance);
      }
      take(lane, outcome, times);
      lane.blocks += times;
      left -= times;
    }
  }

  const Compiled& compile(const Instruction& instruction) {
    // Layers differ in rows alone. Products with weights are the same for every token.
    const bool by_position = instruction.step == Step::embedding || instruction.step == Step::key_value_write ||
                             instruction.step == Step::scores || instruction.step == Step::values;
    Kept& kept = kept_[static_cast<std::size_t>(instruction.step)];
    const std::int64_t position = by_position ? instruction.position : 0;
    if (kept.position == position) return kept.compiled;
    kept.position = position;
    kept.compiled = {};
    for (const Stream& stream : streams_of(mapping_, {instruction.step, 0, instruction.position})) {
      if (stream.empty()) {
        kept.compiled.of_channel.push_back(-1);
        continue;
      }
      ShapeStream shapes;
      for (const auto& [block, repeat] : stream) shapes.push_back({times_.shape_of(block), repeat});
      const auto at = std::ranges::find(kept.compiled.distinct, shapes);
      kept.compiled.of_channel.push_back(static_cast<int>(at - kept.compiled.distinct.begin()));
      if (at == kept.compiled.distinct.end()) kept.compiled.distinct.push_back(std::move(shapes));
    }
    return kept.compiled;
  }

  struct Kept {
    std::int64_t position = -1;
    Compiled compiled;
  };

  const Mapping& mapping_;
  BlockTimes times_;
  std::vector<Lane> lanes_;
  std::vector<Cursor> before_;
  std::array<Kept, kSteps> kept_;
  std::int64_t blocks_ = 0;
};

}  // namespace

std::unique_ptr<Engine> make_reused_engine(const Mapping& mapping) { return std::make_unique<ReusedEngine>(mapping); }

}  // namespace assay::hardware
