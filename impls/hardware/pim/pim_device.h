#pragma once
// A GDDR6 processing-in-memory package as the event model sees it: organisation, DRAM timing in whole command clocks,
// the arithmetic chip beside it, and what each action costs in energy. Every number comes from a device descriptor
// (datasets/hardware/devices/pim-gpt.toml), which names its source.
#include <cstdint>
#include <string>

#include "datasets/machine.h"
#include "impls/substrate/fabric/virtual_time.h"

namespace assay::hardware {

using substrate::Picoseconds;

// JEDEC names. A command is issued at the first time all of these allow.
struct DramTiming {
  Picoseconds clock = 0;        // tCK of the command bus: commands of a channel are at least this far apart
  Picoseconds rcd_read = 0;     // ACT to RD or MAC of the same bank
  Picoseconds rcd_write = 0;    // ACT to WR
  Picoseconds rp = 0;           // PRE to ACT, PRE to REF
  Picoseconds ras = 0;          // ACT to PRE
  Picoseconds rtp = 0;          // RD or MAC to PRE
  Picoseconds wr = 0;           // end of write data to PRE
  Picoseconds cl = 0, cwl = 0;  // RD, WR to data
  Picoseconds ccd = 0;          // column command to column command
  Picoseconds rrd = 0;          // ACT to ACT of another bank
  Picoseconds faw = 0;          // window that holds at most four activations
  Picoseconds wtr = 0;          // end of write data to RD
  Picoseconds rfc = 0;          // REF to ACT
  Picoseconds refi = 0;         // one REF is due every so often
  Picoseconds burst = 0;        // one column over the pins
};

struct PimEnergy {            // joules an action, watts a channel
  double activate = 0;        // one row of one bank, opened and closed
  double mac_column = 0;      // cell read and the multiply-accumulate unit, one bank
  double pin_column = 0;      // a column through the die and over the pins
  double cell_column = 0;     // cell read or write of one bank
  double standby_open = 0;    // W, any row open
  double standby_closed = 0;  // W
  double asic = 0;            // W, always on
};

struct PimDevice {
  std::string id;
  int channels = 0;
  int banks = 0;  // of a channel
  int rows = 0;   // of a bank
  int row_columns = 0;
  int column_bytes = 0;
  int lanes = 0;           // multipliers of a bank's MAC unit: 16-bit elements of a column
  int vector_columns = 0;  // of a channel's vector buffer
  // How a matrix row is opened in all banks: commands that open `group_banks` banks each and count as
  // `group_activations` for tRRD and tFAW. 16 and 1: one command opens all (GDDR6-AiM); 4 and 4: Newton's ganged
  // activation, which keeps tFAW; 1 and 1: one command a bank.
  int group_banks = 0;
  int group_activations = 0;
  DramTiming time;
  double asic_clock_hz = 0;
  int asic_adders = 0, asic_multipliers = 0;
  PimEnergy energy;

  int units() const { return channels * banks; }
  std::int64_t capacity() const { return std::int64_t{1} * units() * rows * row_columns * column_bytes; }
  double mac_flops() const { return 2.0 * units() * lanes / substrate::to_seconds(time.ccd); }
};

// A descriptor changed along the axes of a case: channels, pin rate and chip clock as multiples of what it says, and
// how rows are opened: "descriptor", "ganged" (Newton: four commands of four activations) or "single" (one command a
// bank).
struct PimChange {
  double channels = 1, pin_rate = 1, asic_clock = 1;
  std::string activation = "descriptor";
};
datasets::Device changed(datasets::Device device, const PimChange& change);

// Reads and checks; a number that is missing or impossible is a UserError with the descriptor's file and the key.
PimDevice pim_device(const datasets::Device& device);

}  // namespace assay::hardware
