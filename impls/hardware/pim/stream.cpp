#include "impls/hardware/pim/stream.h"

#include <algorithm>
#include <numeric>

namespace assay::hardware {

namespace {

Command column_command(Op op, int bank, int row, int column) {
  return {.op = op, .bank = static_cast<std::int16_t>(bank), .column = static_cast<std::int16_t>(column), .row = row};
}

void open_all(std::vector<Command>& commands, int row, const PimDevice& device) {
  for (int group = 0; group < device.banks / device.group_banks; ++group)
    commands.push_back(column_command(Op::activate_group, group, row, 0));
}

std::vector<Command> mac_row(const Block& block, int row, const PimDevice& device) {
  std::vector<Command> commands;
  open_all(commands, row, device);
  for (int i = 0; i < block.columns; ++i) {
    const int slot = (block.phase + i) % block.vector_columns;
    Command mac = column_command(Op::mac, 0, row, block.first_column + i);
    mac.slot = static_cast<std::int16_t>(slot);
    mac.begins = slot % block.output_columns == 0;
    commands.push_back(mac);
    if ((slot + 1) % block.output_columns == 0) commands.push_back({.op = Op::result});
  }
  commands.push_back({.op = Op::precharge_all});
  return commands;
}

// Activations, writes and precharges of different banks overlap: bank i is opened while bank i - 3 is written and bank
// i - 8 closes, so that tRCD and tWR of one bank hide behind the activations of the others.
std::vector<Command> write_lanes(const Block& block, int row, const PimDevice& device) {
  constexpr int kWriteBehind = 3;
  constexpr int kCloseBehind = 8;
  std::vector<Command> commands;
  const int count = block.columns;
  for (int i = 0; i < count + kCloseBehind; ++i) {
    const auto at = [&](int dimension, Op op) {
      if (dimension < 0 || dimension >= count) return;
      Command command = column_command(op, dimension % device.banks, row + dimension / device.banks * block.row_step,
                                       block.first_column);
      command.lane = block.lane;
      commands.push_back(command);
    };
    at(i - kCloseBehind, Op::precharge);
    at(i, Op::activate);
    at(i - kWriteBehind, Op::write);
  }
  return commands;
}

}  // namespace

std::vector<Command> commands_of(const Block& block, int round, const PimDevice& device) {
  const int row = block.row + round * (block.kind == Block::Kind::write_lanes ? 0 : block.row_step);
  std::vector<Command> commands;
  switch (block.kind) {
    case Block::Kind::load_vector:
      for (int i = 0; i < block.columns; ++i)
        commands.push_back({.op = Op::vector, .slot = static_cast<std::int16_t>(i)});
      return commands;
    case Block::Kind::mac_row:
      return mac_row(block, row, device);
    case Block::Kind::write_lanes:
      return write_lanes(block, row, device);
    case Block::Kind::write_columns:
    case Block::Kind::read_columns: {
      const Op op = block.kind == Block::Kind::write_columns ? Op::write : Op::read;
      commands.push_back(column_command(Op::activate, block.bank, row, 0));
      for (int i = 0; i < block.columns; ++i)
        commands.push_back(column_command(op, block.bank, row, block.first_column + i));
      commands.push_back(column_command(Op::precharge, block.bank, row, 0));
      return commands;
    }
    case Block::Kind::refresh:
      return {{.op = Op::refresh}};
  }
  return commands;
}

void append_mac_rows(Stream& stream, const PimDevice& device, std::int32_t row, std::int64_t vector_passes,
                     int vector_columns, int output_columns) {
  const int row_columns = device.row_columns;
  std::int64_t left = vector_passes * vector_columns;
  int phase = 0;
  while (left > 0) {
    Block block{.kind = Block::Kind::mac_row,
                .columns = static_cast<std::int16_t>(std::min<std::int64_t>(left, row_columns)),
                .vector_columns = static_cast<std::int16_t>(vector_columns),
                .output_columns = static_cast<std::int16_t>(output_columns),
                .phase = static_cast<std::int16_t>(phase),
                .row = row,
                .row_step = 1};
    // Rows have equal shapes where the vector divides a row; else the phase moves on from row to row.
    const bool same_phase = row_columns % vector_columns == 0;
    const std::int64_t rounds = same_phase ? std::max<std::int64_t>(1, left / row_columns) : 1;
    stream.push_back({block, static_cast<std::int32_t>(rounds)});
    row += static_cast<std::int32_t>(rounds);
    left -= rounds * block.columns;
    phase = static_cast<int>((phase + rounds * block.columns) % vector_columns);
  }
}

void append_columns(Stream& stream, const PimDevice& device, Block::Kind kind, int bank, std::int32_t row,
                    std::int64_t first, int count) {
  while (count > 0) {
    const auto column = static_cast<int>(first % device.row_columns);
    const int part = std::min(count, device.row_columns - column);
    stream.push_back({{.kind = kind,
                       .bank = static_cast<std::int16_t>(bank),
                       .first_column = static_cast<std::int16_t>(column),
                       .columns = static_cast<std::int16_t>(part),
                       .row = row + static_cast<std::int32_t>(first / device.row_columns)}});
    first += part;
    count -= part;
  }
}

}  // namespace assay::hardware
