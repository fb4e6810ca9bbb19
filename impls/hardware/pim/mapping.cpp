#include "impls/hardware/pim/mapping.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "datasets/quantity.h"
#include "datasets/user_error.h"

namespace assay::hardware {

namespace {

constexpr int kLayerMatrices = 4;  // qkv, projection, ffn_up, ffn_down; `output` is there once

std::int64_t ceil_divide(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace

Place Mapping::unit(std::int64_t i) const {
  const std::int64_t unit = i % device_.units();
  return {static_cast<int>(unit / device_.banks), static_cast<int>(unit % device_.banks),
          static_cast<int>(i / device_.units())};
}

int Mapping::share(int channel, std::int64_t count) const {
  const std::int64_t before = std::int64_t{1} * channel * device_.banks;
  return count <= before ? 0 : static_cast<int>(ceil_divide(count - before, device_.units()));
}

// Chunks of as many inputs as the vector buffer holds, or fewer so that they are a multiple of `round_to` elements.
MatrixPlace Mapping::placed(int outputs, int inputs, int round_to) {
  MatrixPlace place{.outputs = outputs};
  const int buffer = device_.vector_columns * device_.lanes;
  const int largest = std::max(round_to, buffer / round_to * round_to);
  for (int done = 0; done < inputs; done += largest) {
    const int elements = std::min(largest, inputs - done);
    const int columns = static_cast<int>(ceil_divide(elements, device_.lanes));
    place.chunk_inputs.push_back(elements);
    place.chunk_columns.push_back(columns);
    place.chunk_rows.push_back(place.rows);
    place.rows +=
        static_cast<std::int32_t>(ceil_divide(std::int64_t{columns} * share(0, outputs), device_.row_columns));
  }
  return place;
}

Mapping::Mapping(const GptShape& shape, const PimDevice& device) : shape_(shape), device_(device) {
  const int h = shape_.hidden;
  matrices_ = {placed(3 * h, h, 1), placed(h, h, 1), placed(shape_.ffn, h, 1), placed(h, shape_.ffn, 1),
               placed(shape_.vocabulary, h, 1)};
  positions_ = placed(shape_.max_positions, h, 1);

  // K: heads are kept whole in a chunk, each padded to whole columns.
  head_columns_ = static_cast<int>(ceil_divide(shape_.head_dim, device_.lanes));
  const int heads_a_chunk = device_.vector_columns / head_columns_;
  if (heads_a_chunk == 0)
    throw UserError(fmt::format("{}: a head of {} elements does not fit the vector buffer of {} elements", shape_.id,
                                shape_.head_dim, device_.vector_columns * device_.lanes));
  std::int32_t key_rows = 0;
  for (int done = 0; done < shape_.heads; done += heads_a_chunk) {
    key_heads_.push_back(std::min(heads_a_chunk, shape_.heads - done));
    key_rows_.push_back(key_rows);
    key_rows += static_cast<std::int32_t>(ceil_divide(
        std::int64_t{key_heads_.back()} * head_columns_ * share(0, shape_.max_positions), device_.row_columns));
  }

  // V: a channel's dimensions, cut where heads end.
  value_rows_ = static_cast<int>(ceil_divide(shape_.max_positions, value_chunk()));
  std::int32_t most_value_rows = 0;
  for (int c = 0; c < device_.channels; ++c) {
    const int begin = static_cast<int>(std::int64_t{c} * h / device_.channels);
    const int end = static_cast<int>(std::int64_t{c + 1} * h / device_.channels);
    std::vector<ValueSegment> segments;
    std::int32_t rows = 0;
    for (int head = 0; head < shape_.heads; ++head) {
      const int first = std::max(begin, shape_.head_begin(head));
      const int last = std::min(end, shape_.head_begin(head + 1));
      if (first >= last) continue;
      segments.push_back({.head = head, .first = first, .count = last - first, .row = rows});
      rows += static_cast<std::int32_t>(ceil_divide(last - first, device_.banks) * value_rows_);
    }
    most_value_rows = std::max(most_value_rows, rows);
    segments_.push_back(std::move(segments));
  }

  for (int m = 0; m < kLayerMatrices; ++m) layer_rows_ += matrices_[static_cast<std::size_t>(m)].rows;
  key_offset_ = layer_rows_;
  value_offset_ = key_offset_ + key_rows;
  layer_rows_ = value_offset_ + most_value_rows;
  const std::int64_t used = std::int64_t{layer_rows_} * shape_.layers + place(Matrix::output).rows + positions_.rows;
  if (used > device_.rows)
    throw UserError(fmt::format(
        "model {} does not fit {}: it needs {} rows of every bank with key-value space for {} positions, found {} ({})",
        shape_.id, device_.id, used, shape_.max_positions, device_.rows,
        datasets::format_si(static_cast<double>(device_.capacity()), "B")));
  shared_offset_ = layer_rows_ * shape_.layers;
  rows_used_ = static_cast<std::int32_t>(used);
}

std::int32_t Mapping::matrix_row(Matrix matrix, int layer, int chunk) const {
  std::int32_t row = shared_offset_;
  if (matrix != Matrix::output) {
    row = layer * layer_rows_;
    for (int m = 0; m < static_cast<int>(matrix); ++m) row += matrices_[static_cast<std::size_t>(m)].rows;
  }
  return row + place(matrix).chunk_rows[static_cast<std::size_t>(chunk)];
}

std::int32_t Mapping::key_row(int layer, int chunk) const {
  return layer * layer_rows_ + key_offset_ + key_rows_[static_cast<std::size_t>(chunk)];
}

std::int32_t Mapping::value_row(int layer) const { return layer * layer_rows_ + value_offset_; }

std::int32_t Mapping::position_row(int chunk) const {
  return shared_offset_ + place(Matrix::output).rows + positions_.chunk_rows[static_cast<std::size_t>(chunk)];
}

std::vector<Stream> Mapping::multiply(Matrix matrix, int layer) const {
  const MatrixPlace& where = place(matrix);
  std::vector<Stream> streams(static_cast<std::size_t>(device_.channels));
  for (int c = 0; c < device_.channels; ++c) {
    const int outputs = share(c, where.outputs);
    if (outputs == 0) continue;
    for (std::size_t k = 0; k < where.chunk_columns.size(); ++k) {
      const int columns = where.chunk_columns[k];
      Stream& stream = streams[static_cast<std::size_t>(c)];
      stream.push_back({{.kind = Block::Kind::load_vector, .columns = static_cast<std::int16_t>(columns)}});
      append_mac_rows(stream, device_, matrix_row(matrix, layer, static_cast<int>(k)), outputs, columns, columns);
    }
  }
  return streams;
}

// The row of the tied output embedding that belongs to the token, and that of its position.
std::vector<Stream> Mapping::embed(std::int64_t token, std::int64_t position) const {
  std::vector<Stream> streams(static_cast<std::size_t>(device_.channels));
  const auto fetch = [&](const MatrixPlace& where, std::int64_t output, auto first_row) {
    const Place at = unit(output);
    for (std::size_t k = 0; k < where.chunk_columns.size(); ++k) {
      const int columns = where.chunk_columns[k];
      append_columns(streams[static_cast<std::size_t>(at.channel)], device_, Block::Kind::read_columns, at.bank,
                     first_row(static_cast<int>(k)), std::int64_t{at.slot} * columns, columns);
    }
  };
  fetch(place(Matrix::output), token, [&](int k) { return matrix_row(Matrix::output, 0, k); });
  fetch(positions_, position, [&](int k) { return position_row(k); });
  return streams;
}

std::vector<Stream> Mapping::write_key_value(int layer, std::int64_t position) const {
  std::vector<Stream> streams(static_cast<std::size_t>(device_.channels));
  const Place at = unit(position);
  for (int k = 0; k < key_chunks(); ++k) {
    const int columns = key_chunk_heads(k) * head_columns_;
    append_columns(streams[static_cast<std::size_t>(at.channel)], device_, Block::Kind::write_columns, at.bank,
                   key_row(layer, k), std::int64_t{at.slot} * columns, columns);
  }
  const auto in_row = static_cast<int>(position % value_chunk());
  const auto row_of_dimension = static_cast<std::int32_t>(position / value_chunk());
  // In pieces of four rows a bank, so that no block outlasts the time to the next refresh.
  const int piece = 4 * device_.banks;
  for (int c = 0; c < device_.channels; ++c)
    for (const ValueSegment& segment : segments(c))
      for (int done = 0; done < segment.count; done += piece)
        streams[static_cast<std::size_t>(c)].push_back(
            {{.kind = Block::Kind::write_lanes,
              .first_column = static_cast<std::int16_t>(in_row / device_.lanes),
              .columns = static_cast<std::int16_t>(std::min(piece, segment.count - done)),
              .lane = static_cast<std::int16_t>(in_row % device_.lanes),
              .row = value_row(layer) + segment.row + row_of_dimension + done / device_.banks * value_rows_,
              .row_step = value_rows_}});
  return streams;
}

std::vector<Stream> Mapping::scores(int layer, std::int64_t keys) const {
  std::vector<Stream> streams(static_cast<std::size_t>(device_.channels));
  for (int c = 0; c < device_.channels; ++c) {
    const int tokens = share(c, keys);
    if (tokens == 0) continue;
    for (int k = 0; k < key_chunks(); ++k) {
      const int columns = key_chunk_heads(k) * head_columns_;
      Stream& stream = streams[static_cast<std::size_t>(c)];
      stream.push_back({{.kind = Block::Kind::load_vector, .columns = static_cast<std::int16_t>(columns)}});
      append_mac_rows(stream, device_, key_row(layer, k), tokens, columns, head_columns_);
    }
  }
  return streams;
}

std::int64_t Mapping::value_parts(std::int64_t keys) const {
  const auto loads = [&](std::int64_t positions) {
    return ceil_divide(ceil_divide(positions, device_.lanes), device_.vector_columns);
  };
  return keys / value_chunk() * loads(value_chunk()) + loads(keys % value_chunk());
}

std::vector<Stream> Mapping::weighted_values(int layer, std::int64_t keys) const {
  std::vector<Stream> streams(static_cast<std::size_t>(device_.channels));
  for (int c = 0; c < device_.channels; ++c) {
    Stream& stream = streams[static_cast<std::size_t>(c)];
    for (const ValueSegment& segment : segments(c)) {
      for (std::int64_t done = 0; done < keys; done += value_chunk()) {
        // The vector buffer may hold less than a row: the row is then opened once a load.
        const auto in_row = static_cast<int>(std::min<std::int64_t>(keys - done, value_chunk()));
        const auto columns = static_cast<int>(ceil_divide(in_row, device_.lanes));
        for (int first = 0; first < columns; first += device_.vector_columns) {
          const int part = std::min(device_.vector_columns, columns - first);
          stream.push_back({{.kind = Block::Kind::load_vector, .columns = static_cast<std::int16_t>(part)}});
          const Block row{.kind = Block::Kind::mac_row,
                          .first_column = static_cast<std::int16_t>(first),
                          .columns = static_cast<std::int16_t>(part),
                          .vector_columns = static_cast<std::int16_t>(part),
                          .output_columns = static_cast<std::int16_t>(part),
                          .row = value_row(layer) + segment.row + static_cast<std::int32_t>(done / value_chunk()),
                          .row_step = value_rows_};
          stream.push_back({row, static_cast<std::int32_t>(ceil_divide(segment.count, device_.banks))});
        }
      }
    }
  }
  return streams;
}

}  // namespace assay::hardware
