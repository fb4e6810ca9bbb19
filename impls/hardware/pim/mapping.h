#pragma once
// Where PIM-GPT puts a model and what every channel does for one token (arXiv 2310.09385, section "mapping").
//
//   weights  y = W x: the outputs are spread over all banks of all channels, 16 neighbours to the banks of one channel;
//            the columns of W are cut into chunks that the vector buffer holds. In a bank the pieces of its outputs lie
//            one behind the other, so DRAM rows are full whatever the width of W. Chunks' partial sums are added by the
//            arithmetic chip.
//   K        row-major, heads side by side: token t is an output like any other (unit t mod 128), space for all
//            positions is reserved. q is loaded, every head's slice gives one score.
//   V        column-major: dimension j of the output is a matrix row of its own with space for all positions, so that
//            p V streams rows too. A channel holds hidden / channels neighbouring dimensions; within a head's part of
//            them, neighbours go to the banks. A head's probabilities go only to the channels that hold dimensions of
//            it.
//   A new token writes one row of K (one bank) and one element into every row of V.
#include <cstdint>
#include <vector>

#include "impls/hardware/pim/gpt_shape.h"
#include "impls/hardware/pim/pim_device.h"
#include "impls/hardware/pim/stream.h"

namespace assay::hardware {

enum class Matrix : std::uint8_t { qkv, projection, ffn_up, ffn_down, output };

// W [outputs, inputs] in chunks of the inputs.
struct MatrixPlace {
  int outputs = 0;
  std::vector<int> chunk_inputs;         // elements of each chunk, its padding left out
  std::vector<int> chunk_columns;        // the same in columns
  std::vector<std::int32_t> chunk_rows;  // first row of each chunk, the same in every bank
  std::int32_t rows = 0;                 // that one bank needs, all chunks
};

// Part of a head's dimensions that lies in one channel.
struct ValueSegment {
  int head = 0;
  int first = 0;  // dimension of `hidden`
  int count = 0;
  std::int32_t row = 0;  // within the layer's V region
};

struct Place {
  int channel = 0, bank = 0, slot = 0;  // slot: how many come before it in the same bank
};

class Mapping {
 public:
  // Throws UserError where the model does not fit the banks.
  Mapping(const GptShape& shape, const PimDevice& device);

  const GptShape& shape() const { return shape_; }
  const PimDevice& device() const { return device_; }
  const MatrixPlace& place(Matrix matrix) const { return matrices_[static_cast<std::size_t>(matrix)]; }
  std::int32_t rows_used() const { return rows_used_; }  // of every bank

  // Output (or token) i of a matrix spread over all banks, and how many of `count` a channel's fullest bank has.
  Place unit(std::int64_t i) const;
  int share(int channel, std::int64_t count) const;
  const std::vector<ValueSegment>& segments(int channel) const { return segments_[static_cast<std::size_t>(channel)]; }

  // -- streams, one a channel; empty where a channel has nothing to do. `layer` only moves rows.
  std::vector<Stream> multiply(Matrix matrix, int layer) const;
  std::vector<Stream> embed(std::int64_t token, std::int64_t position) const;
  std::vector<Stream> write_key_value(int layer, std::int64_t position) const;
  std::vector<Stream> scores(int layer, std::int64_t keys) const;
  std::vector<Stream> weighted_values(int layer, std::int64_t keys) const;

  // -- addresses, for those who execute the mapping on data
  std::int32_t matrix_row(Matrix matrix, int layer, int chunk) const;
  std::int32_t key_row(int layer, int chunk) const;
  std::int32_t value_row(int layer) const;
  std::int32_t position_row(int chunk) const;
  int head_columns() const { return head_columns_; }  // of one head's slice of a key
  int key_chunks() const { return static_cast<int>(key_heads_.size()); }
  int key_chunk_heads(int chunk) const { return key_heads_[static_cast<std::size_t>(chunk)]; }
  int value_rows() const { return value_rows_; }                           // rows of one dimension of V
  int value_chunk() const { return device_.row_columns * device_.lanes; }  // positions of one row of V
  // Partial sums of one output of p V: one a load of the vector buffer.
  std::int64_t value_parts(std::int64_t keys) const;

 private:
  MatrixPlace placed(int outputs, int inputs, int round_to);

  GptShape shape_;
  PimDevice device_;
  std::vector<MatrixPlace> matrices_;
  MatrixPlace positions_;
  std::vector<std::vector<ValueSegment>> segments_;
  std::vector<int> key_heads_;          // heads in each chunk of q
  std::vector<std::int32_t> key_rows_;  // first row of each chunk within the layer's K region
  int head_columns_ = 0;
  int value_rows_ = 0;
  std::int32_t layer_rows_ = 0;  // of a bank: weights, K and V of one layer
  std::int32_t key_offset_ = 0, value_offset_ = 0, shared_offset_ = 0;
  std::int32_t rows_used_ = 0;
};

}  // namespace assay::hardware
