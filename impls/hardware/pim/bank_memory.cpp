#include "impls/hardware/pim/bank_memory.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "impls/substrate/dtype.h"

namespace assay::hardware {

namespace {

float rounded(float value) { return substrate::to_float(substrate::to_bf16(value)); }

}  // namespace

BankMemory::BankMemory(const Mapping& mapping)
    : mapping_(mapping), banks_(static_cast<std::size_t>(mapping.device().units())) {
  const auto elements = static_cast<std::size_t>(mapping.rows_used()) * static_cast<std::size_t>(mapping.value_chunk());
  for (Bank& each : banks_) {
    each.values.resize(elements);
    each.uses.resize(elements);
  }
}

void BankMemory::put(int channel, int index, std::int32_t row, std::int64_t element, float value) {
  bank(channel, index).values.at(static_cast<std::size_t>(std::int64_t{row} * mapping_.value_chunk() + element)) =
      rounded(value);
}

std::span<const std::uint8_t> BankMemory::uses(int channel, int index) const {
  return banks_[static_cast<std::size_t>(channel * mapping_.device().banks + index)].uses;
}

void BankMemory::load(Matrix matrix, int layer, std::span<const float> weights) {
  const MatrixPlace& place = mapping_.place(matrix);
  std::size_t next = 0;
  for (int output = 0; output < place.outputs; ++output) {
    const Place at = mapping_.unit(output);
    for (std::size_t k = 0; k < place.chunk_inputs.size(); ++k) {
      const std::int64_t begin = std::int64_t{at.slot} * place.chunk_columns[k] * mapping_.device().lanes;
      for (int e = 0; e < place.chunk_inputs[k]; ++e)
        put(at.channel, at.bank, mapping_.matrix_row(matrix, layer, static_cast<int>(k)), begin + e, weights[next++]);
    }
  }
}

void BankMemory::load_positions(std::span<const float> positions) {
  const MatrixPlace& place = mapping_.place(Matrix::output);  // the same chunks of `hidden`
  std::size_t next = 0;
  for (int position = 0; position < mapping_.shape().max_positions; ++position) {
    const Place at = mapping_.unit(position);
    for (std::size_t k = 0; k < place.chunk_inputs.size(); ++k) {
      const std::int64_t begin = std::int64_t{at.slot} * place.chunk_columns[k] * mapping_.device().lanes;
      for (int e = 0; e < place.chunk_inputs[k]; ++e)
        put(at.channel, at.bank, mapping_.position_row(static_cast<int>(k)), begin + e, positions[next++]);
    }
  }
}

std::vector<float> BankMemory::execute(int channel, const Stream& stream, std::span<const float> in) {
  const PimDevice& device = mapping_.device();
  const auto lanes = static_cast<std::size_t>(device.lanes);
  std::vector<float> buffer(static_cast<std::size_t>(device.vector_columns) * lanes,
                            std::numeric_limits<float>::quiet_NaN());
  std::vector<float> sums(static_cast<std::size_t>(device.banks));
  std::vector<float> out;
  std::size_t taken = 0;
  const auto take = [&] {
    if (taken >= in.size()) throw std::logic_error("the stream sends more than it was given");
    return in[taken++];
  };
  const auto element = [&](const Command& command) {
    return static_cast<std::size_t>(std::int64_t{command.row} * mapping_.value_chunk()) +
           static_cast<std::size_t>(command.column) * lanes;
  };
  for (const auto& [block, repeat] : stream)
    for (int round = 0; round < repeat; ++round)
      for (const Command& command : commands_of(block, round, device)) {
        if (filter != nullptr && !filter(channel, command)) continue;
        switch (command.op) {
          case Op::vector:
            for (std::size_t i = 0; i < lanes; ++i)
              buffer[static_cast<std::size_t>(command.slot) * lanes + i] = rounded(take());
            break;
          case Op::mac:
            for (int b = 0; b < device.banks; ++b) {
              float& sum = sums[static_cast<std::size_t>(b)];
              if (command.begins) sum = 0;
              Bank& from = bank(channel, b);
              for (std::size_t i = 0; i < lanes; ++i) {
                sum +=
                    from.values.at(element(command) + i) * buffer[static_cast<std::size_t>(command.slot) * lanes + i];
                ++from.uses[element(command) + i];
              }
            }
            break;
          case Op::result:
            for (float& sum : sums) {
              out.push_back(rounded(sum));
              sum = std::numeric_limits<float>::quiet_NaN();  // read once
            }
            break;
          case Op::write: {
            Bank& to = bank(channel, command.bank);
            if (command.lane >= 0) {
              to.values.at(element(command) + static_cast<std::size_t>(command.lane)) = rounded(take());
            } else {
              for (std::size_t i = 0; i < lanes; ++i) to.values.at(element(command) + i) = rounded(take());
            }
            break;
          }
          case Op::read:
            for (std::size_t i = 0; i < lanes; ++i)
              out.push_back(bank(channel, command.bank).values.at(element(command) + i));
            break;
          default:
            break;
        }
      }
  if (taken != in.size()) throw std::logic_error("the stream sends less than it was given");
  return out;
}

std::vector<float> BankMemory::multiply(Matrix matrix, int layer, std::span<const float> x) {
  const MatrixPlace& place = mapping_.place(matrix);
  const PimDevice& device = mapping_.device();
  std::vector<float> in;
  std::size_t first = 0;
  for (std::size_t k = 0; k < place.chunk_inputs.size(); ++k) {
    const auto elements = static_cast<std::size_t>(place.chunk_inputs[k]);
    in.insert(in.end(), x.begin() + static_cast<std::ptrdiff_t>(first),
              x.begin() + static_cast<std::ptrdiff_t>(first + elements));
    in.resize(in.size() + static_cast<std::size_t>(place.chunk_columns[k] * device.lanes) - elements);
    first += elements;
  }
  std::vector<float> y(static_cast<std::size_t>(place.outputs));
  const std::vector<Stream> streams = mapping_.multiply(matrix, layer);
  for (int c = 0; c < device.channels; ++c) {
    if (streams[static_cast<std::size_t>(c)].empty()) continue;
    const std::vector<float> out = execute(c, streams[static_cast<std::size_t>(c)], in);
    std::size_t next = 0;
    for (std::size_t k = 0; k < place.chunk_inputs.size(); ++k)
      for (int slot = 0; slot < mapping_.share(c, place.outputs); ++slot)
        for (int b = 0; b < device.banks; ++b) {
          const float part = next < out.size() ? out[next++] : 0;
          const auto output = static_cast<std::size_t>(slot * device.units() + c * device.banks + b);
          if (output < y.size()) y[output] += part;
        }
  }
  return y;
}

void BankMemory::write_key_value(int layer, std::int64_t position, std::span<const float> key,
                                 std::span<const float> value) {
  const GptShape& gpt = mapping_.shape();
  const PimDevice& device = mapping_.device();
  const std::vector<Stream> streams = mapping_.write_key_value(layer, position);
  for (int c = 0; c < device.channels; ++c) {
    std::vector<float> in;
    if (c == mapping_.unit(position).channel)
      for (int head = 0; head < gpt.heads; ++head) {
        const std::size_t whole = in.size() + static_cast<std::size_t>(mapping_.head_columns() * device.lanes);
        for (int e = gpt.head_begin(head); e < gpt.head_begin(head + 1); ++e)
          in.push_back(key[static_cast<std::size_t>(e)]);
        in.resize(whole);
      }
    for (const ValueSegment& segment : mapping_.segments(c))
      for (int e = 0; e < segment.count; ++e) in.push_back(value[static_cast<std::size_t>(segment.first + e)]);
    execute(c, streams[static_cast<std::size_t>(c)], in);
  }
}

std::vector<float> BankMemory::scores(int layer, std::int64_t keys, std::span<const float> query) {
  const GptShape& gpt = mapping_.shape();
  const PimDevice& device = mapping_.device();
  std::vector<float> in;
  for (int head = 0; head < gpt.heads; ++head) {
    const std::size_t whole = in.size() + static_cast<std::size_t>(mapping_.head_columns() * device.lanes);
    for (int e = gpt.head_begin(head); e < gpt.head_begin(head + 1); ++e)
      in.push_back(query[static_cast<std::size_t>(e)]);
    in.resize(whole);
  }
  std::vector<float> s(static_cast<std::size_t>(gpt.heads * keys));
  const std::vector<Stream> streams = mapping_.scores(layer, keys);
  for (int c = 0; c < device.channels; ++c) {
    if (streams[static_cast<std::size_t>(c)].empty()) continue;
    const std::vector<float> out = execute(c, streams[static_cast<std::size_t>(c)], in);
    std::size_t next = 0;
    int first_head = 0;
    for (int k = 0; k < mapping_.key_chunks(); ++k) {
      for (int slot = 0; slot < mapping_.share(c, keys); ++slot)
        for (int head = first_head; head < first_head + mapping_.key_chunk_heads(k); ++head)
          for (int b = 0; b < device.banks; ++b) {
            const float score = next < out.size() ? out[next++] : 0;
            const std::int64_t token = slot * device.units() + c * device.banks + b;
            if (token < keys) s[static_cast<std::size_t>(head * keys + token)] = score;
          }
      first_head += mapping_.key_chunk_heads(k);
    }
  }
  return s;
}

std::vector<float> BankMemory::weighted_values(int layer, std::int64_t keys, std::span<const float> probabilities) {
  const PimDevice& device = mapping_.device();
  const std::int64_t load = std::int64_t{device.vector_columns} * device.lanes;
  std::vector<float> o(static_cast<std::size_t>(mapping_.shape().hidden));
  const std::vector<Stream> streams = mapping_.weighted_values(layer, keys);
  for (int c = 0; c < device.channels; ++c) {
    std::vector<float> in;
    for (const ValueSegment& segment : mapping_.segments(c))
      for (std::int64_t key = 0; key < keys; ++key) {
        in.push_back(probabilities[static_cast<std::size_t>(segment.head * keys + key)]);
        if (key + 1 == keys)
          in.resize((in.size() + static_cast<std::size_t>(device.lanes) - 1) / static_cast<std::size_t>(device.lanes) *
                    static_cast<std::size_t>(device.lanes));
      }
    const std::vector<float> out = execute(c, streams[static_cast<std::size_t>(c)], in);
    std::size_t next = 0;
    for (const ValueSegment& segment : mapping_.segments(c))
      for (std::int64_t row = 0; row < keys; row += mapping_.value_chunk())
        for (std::int64_t part = 0; part < std::min<std::int64_t>(keys - row, mapping_.value_chunk()); part += load)
          for (int first = 0; first < segment.count; first += device.banks)
            for (int b = 0; b < device.banks; ++b) {
              const float sum = next < out.size() ? out[next++] : 0;
              if (first + b < segment.count) o[static_cast<std::size_t>(segment.first + first + b)] += sum;
            }
  }
  return o;
}

std::vector<float> BankMemory::embed(std::int64_t token, std::int64_t position) {
  const MatrixPlace& place = mapping_.place(Matrix::output);
  const PimDevice& device = mapping_.device();
  const std::vector<Stream> streams = mapping_.embed(token, position);
  std::vector<float> x(static_cast<std::size_t>(mapping_.shape().hidden));
  std::vector<std::vector<float>> out;
  for (int c = 0; c < device.channels; ++c) out.push_back(execute(c, streams[static_cast<std::size_t>(c)], {}));
  std::vector<std::size_t> next(out.size());
  for (const std::int64_t output : {token, position}) {
    const auto channel = static_cast<std::size_t>(mapping_.unit(output).channel);
    std::size_t first = 0;
    for (std::size_t k = 0; k < place.chunk_inputs.size(); ++k) {
      for (int e = 0; e < place.chunk_inputs[k]; ++e)
        x[first++] += out[channel][next[channel] + static_cast<std::size_t>(e)];
      next[channel] += static_cast<std::size_t>(place.chunk_columns[k] * device.lanes);
    }
  }
  return x;
}

}  // namespace assay::hardware
