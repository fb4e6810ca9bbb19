#include "impls/substrate/fabric/reduction.h"

#include <algorithm>
#include <cstring>

namespace assay::substrate {

void add_to(std::span<float> sum, const Buffer& addend, DType dtype) {
  if (dtype == DType::f32) {
    const auto values = addend.read<float>();
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
  } else {
    const auto values = addend.read<BFloat16>();
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += to_float(values[i]);
  }
}

void add_into(Buffer& sum, const Buffer& addend, DType dtype) {
  if (dtype == DType::f32) {
    add_to(sum.write<float>(), addend, dtype);
    return;
  }
  const auto from = addend.read<BFloat16>();
  const auto to = sum.write<BFloat16>();
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = to_bf16(to_float(to[i]) + to_float(from[i]));
}

void store_sum(std::span<const float> sum, Buffer& to, DType dtype) {
  if (dtype == DType::f32) {
    std::memcpy(to.write<float>().data(), sum.data(), sum.size() * sizeof(float));
    return;
  }
  const auto values = to.write<BFloat16>();
  for (std::size_t i = 0; i < sum.size(); ++i) values[i] = to_bf16(sum[i]);
}

OpWork addition(std::int64_t bytes, int addends, DType dtype) {
  return {.kind = OpKind::pointwise,
          .dtype = OpDtype::fp32,
          .flops = static_cast<double>(addends) * static_cast<double>(bytes) / size_of(dtype),
          .bytes = (addends + 1.0) * static_cast<double>(bytes)};
}

std::vector<Buffer> cut(Rank& rank, const Buffer& whole, int count, DType dtype) {
  const std::int64_t element = size_of(dtype);
  const std::int64_t elements = whole.bytes() / element;
  const std::int64_t base = elements / count, longer = elements % count;
  std::vector<Buffer> parts;
  parts.reserve(static_cast<std::size_t>(count));
  std::int64_t begin = 0;
  for (int i = 0; i < count; ++i) {
    const std::int64_t length = base + (i < longer ? 1 : 0);
    parts.push_back(rank.slice(whole, begin * element, length * element));
    begin += length;
  }
  return parts;
}

}  // namespace assay::substrate
