#pragma once
// Command streams of a channel as blocks that begin and end with every row closed. A block's timing follows from its
// shape and from the channel's state at its start, not from the rows it touches: that is what lets a stream be
// simulated once and reused.
#include <cstdint>
#include <tuple>
#include <vector>

#include "impls/hardware/pim/channel.h"

namespace assay::hardware {

struct Block {
  enum class Kind : std::uint8_t {
    load_vector,    // `columns` bursts into the vector buffer
    mac_row,        // open one row in all banks, `columns` MACs, a result after each output that completes
    write_columns,  // `columns` whole columns of one row of one bank
    write_lanes,    // one element each into `columns` rows: dimension i goes to bank i mod banks
    read_columns,   // `columns` columns of one row of one bank over the pins
    refresh,
  };
  Kind kind = Kind::load_vector;
  std::int16_t bank = 0;
  std::int16_t first_column = 0;
  std::int16_t columns = 0;
  // mac_row: the vector buffer is walked round in `vector_columns`, an output is complete every `output_columns`;
  // `phase` is where in the vector the first column of this row stands.
  std::int16_t vector_columns = 0;
  std::int16_t output_columns = 0;
  std::int16_t phase = 0;
  // -- what follows has no influence on timing
  std::int16_t lane = -1;
  std::int32_t row = 0;
  std::int32_t row_step = 0;  // of repeats; write_lanes: rows between the dimensions of one bank

  // Equal shapes take equal time from equal states.
  auto shape() const {
    return std::tuple(kind, bank, columns, kind == Kind::mac_row ? vector_columns : std::int16_t{0},
                      kind == Kind::mac_row ? output_columns : std::int16_t{0},
                      kind == Kind::mac_row ? phase : std::int16_t{0});
  }
};

struct BlockRun {
  Block block;
  std::int32_t repeat = 1;
};

// What one channel does for one instruction.
using Stream = std::vector<BlockRun>;

// The commands of the `round`-th repetition of a block, in order, without times.
std::vector<Command> commands_of(const Block& block, int round, const PimDevice& device);

// MAC rows of `outputs` results a bank, each over `vector_columns` / outputs_per_vector columns, packed into rows from
// `row` on: rows are always filled, whatever the width of the matrix.
void append_mac_rows(Stream& stream, const PimDevice& device, std::int32_t row, std::int64_t vector_passes,
                     int vector_columns, int output_columns);
// The columns [first, first + count) of a region that begins at `row`, split at row ends.
void append_columns(Stream& stream, const PimDevice& device, Block::Kind kind, int bank, std::int32_t row,
                    std::int64_t first, int count);

}  // namespace assay::hardware
