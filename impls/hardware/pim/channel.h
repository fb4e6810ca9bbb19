#pragma once
// The event model of one PIM channel at command level: every command is issued at the first time its DRAM timing
// allows. Commands are issued in the order they are given.
#include <cstdint>
#include <vector>

#include "impls/hardware/pim/pim_device.h"

namespace assay::hardware {

enum class Op : std::uint8_t {
  activate,        // open `row` in `bank`
  activate_group,  // open `row` in the banks of group `bank`
  precharge,       // close `bank`
  precharge_all,   // close every open bank
  mac,             // every bank: accumulator += column . vector buffer [slot]; `begins` clears it first
  result,          // the accumulators of all banks over the pins: one burst
  vector,          // one column over the pins into the vector buffer [slot]
  read,            // a column of the open row over the pins
  write,           // the same inwards; `lane` >= 0 writes one element of it (data mask)
  refresh,         // all banks
};
const char* to_string(Op op);

struct Command {
  Op op = Op::mac;
  bool begins = false;
  std::int16_t bank = 0;  // or group
  std::int16_t column = 0;
  std::int16_t slot = 0;
  std::int16_t lane = -1;
  std::int32_t row = 0;
  Picoseconds at = 0;
};

// What happened, in commands; activations and precharges count banks.
struct ChannelCounts {
  std::int64_t activations = 0;
  std::int64_t macs = 0;  // commands, each in every bank
  std::int64_t results = 0, vectors = 0, reads = 0, writes = 0;
  std::int64_t refreshes = 0;
  Picoseconds open = 0;  // time with any row open

  bool operator==(const ChannelCounts&) const = default;
  ChannelCounts& operator+=(const ChannelCounts& more) {
    activations += more.activations;
    macs += more.macs;
    results += more.results;
    vectors += more.vectors;
    reads += more.reads;
    writes += more.writes;
    refreshes += more.refreshes;
    open += more.open;
    return *this;
  }
  ChannelCounts times(std::int64_t n) const {
    return {activations * n, macs * n, results * n, vectors * n, reads * n, writes * n, refreshes * n, open * n};
  }
  std::int64_t pin_columns() const { return results + vectors + reads + writes; }
  std::int64_t bank_columns(int banks) const { return macs * banks + reads + writes; }
};

class Channel {
 public:
  explicit Channel(const PimDevice& device);

  // Issues at the first allowed time at or after the last command, and returns it. A command that the state forbids (a
  // column of a closed bank, an activation of an open one) throws std::logic_error: the stream is wrong.
  Picoseconds issue(const Command& command);

  Picoseconds now() const { return now_; }            // first time the command bus is free
  Picoseconds data_end() const { return data_end_; }  // last data on the pins so far
  const ChannelCounts& counts() const { return counts_; }
  void wait_until(Picoseconds time);

  // The timing state with all rows closed, as delays from now on: what decides the timing of all that follows. Equal
  // states give equal timing whatever the time is.
  std::vector<Picoseconds> delays() const;
  void restart(const std::vector<Picoseconds>& delays);  // that state at time 0, counts 0

 private:
  struct Bank {
    bool open = false;
    Picoseconds activate_ok = 0, read_ok = 0, write_ok = 0, precharge_ok = 0;
  };

  Picoseconds earliest(const Command& command) const;
  void opened(Bank& bank, Picoseconds at);
  void closed(Bank& bank, Picoseconds at);
  void counted_activation(Picoseconds at, int weight);

  const PimDevice* device_;
  std::vector<Bank> banks_;
  int open_banks_ = 0;
  Picoseconds opened_at_ = 0;
  Picoseconds now_ = 0;
  Picoseconds rrd_ok_ = 0, ccd_ok_ = 0;
  Picoseconds pins_read_ok_ = 0, pins_write_ok_ = 0;
  Picoseconds vector_ok_ = 0;             // the vector buffer holds what was sent
  Picoseconds faw_ok_[4] = {0, 0, 0, 0};  // ascending: when the last four activations leave the window
  Picoseconds data_end_ = 0;
  ChannelCounts counts_;
};

}  // namespace assay::hardware
