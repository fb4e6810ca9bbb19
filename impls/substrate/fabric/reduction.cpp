#include "impls/substrate/fabric/reduction.h"

#include <algorithm>

namespace assay::substrate {

void add_into(Buffer& sum, const Buffer& addend, DType dtype) {
  const std::int64_t count = sum.bytes() / size_of(dtype);
  if (const auto place = sum.place()) {
    if (count > 0) place->add(sum.write<std::byte>().data(), dtype, addend.read<std::byte>().data(), dtype, count);
  } else if (dtype == DType::f32) {
    const auto from = addend.read<float>();
    const auto to = sum.write<float>();
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
  } else {
    const auto from = addend.read<BFloat16>();
    const auto to = sum.write<BFloat16>();
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = to_bf16(to_float(to[i]) + to_float(from[i]));
  }
}

WideSum::WideSum(Rank& rank, std::int64_t elements) : elements_(elements), place_(rank.place()) {
  const auto count = static_cast<std::size_t>(elements);
  if (place_ == nullptr) {
    host_.resize(count);
  } else if (count > 0) {
    data_ = place_->allocate(count * sizeof(float));
    place_->fill(data_, 0, count * sizeof(float));
  }
}

WideSum::~WideSum() {
  if (data_ != nullptr) place_->release(data_);
}

void WideSum::add(const Buffer& addend, DType dtype) {
  if (elements_ == 0) return;
  if (place_ != nullptr) {
    place_->add(data_, DType::f32, addend.read<std::byte>().data(), dtype, elements_);
  } else if (dtype == DType::f32) {
    const auto values = addend.read<float>();
    for (std::size_t i = 0; i < host_.size(); ++i) host_[i] += values[i];
  } else {
    const auto values = addend.read<BFloat16>();
    for (std::size_t i = 0; i < host_.size(); ++i) host_[i] += to_float(values[i]);
  }
}

void WideSum::store(Buffer& to, DType dtype) const {
  if (elements_ == 0) return;
  const std::byte* const wide = place_ != nullptr ? data_ : reinterpret_cast<const std::byte*>(host_.data());
  if (dtype == DType::f32) {
    copy_to(to, 0, wide, elements_ * 4);
  } else if (place_ != nullptr) {
    place_->narrow(to.write<std::byte>().data(), reinterpret_cast<const float*>(wide), elements_);
  } else {
    const auto values = to.write<BFloat16>();
    for (std::size_t i = 0; i < host_.size(); ++i) values[i] = to_bf16(host_[i]);
  }
}

OpWork addition(std::int64_t bytes, int addends, DType dtype) {
  return {.kind = OpKind::pointwise,
          .dtype = OpDtype::fp32,
          .flops = static_cast<double>(addends) * static_cast<double>(bytes) / size_of(dtype),
          .bytes = (addends + 1.0) * static_cast<double>(bytes)};
}

std::int64_t part_begin(std::int64_t bytes, int count, int part, DType dtype) {
  const std::int64_t element = size_of(dtype), elements = bytes / element;
  return (elements / count * part + std::min<std::int64_t>(part, elements % count)) * element;
}

std::vector<Buffer> cut(Rank& rank, const Buffer& whole, int count, DType dtype) {
  std::vector<Buffer> parts;
  parts.reserve(static_cast<std::size_t>(count));
  std::int64_t begin = 0;
  for (int i = 1; i <= count; ++i) {
    const std::int64_t end = part_begin(whole.bytes(), count, i, dtype);
    parts.push_back(rank.slice(whole, begin, end - begin));
    begin = end;
  }
  return parts;
}

}  // namespace assay::substrate
