#include "impls/parallelism/sequence/head_oracle.h"

#include <algorithm>
#include <cmath>

namespace assay::parallelism {
namespace {

using substrate::DType;

template <class Sum>
HeadOutputs head(const HeadInputs& in, DType dtype) {
  const auto rows = static_cast<std::size_t>(in.rows), h = static_cast<std::size_t>(in.hidden);
  const auto words = static_cast<std::size_t>(in.vocab);
  const auto stored = [&](Sum value) -> Sum {
    if constexpr (sizeof(Sum) == 8) return value;
    if (dtype == DType::f32) return value;
    return substrate::to_float(substrate::to_bf16(static_cast<float>(value)));
  };
  HeadOutputs out{.dz = std::vector<double>(rows * h), .dw = {}};
  std::vector<Sum> dw(h * words), logits(words);
  const Sum share = 1 / static_cast<Sum>(in.counted);
  for (std::size_t i = 0; i < rows; ++i) {
    if (in.next[i] < 0) continue;
    const auto next = static_cast<std::size_t>(in.next[i]);
    std::ranges::fill(logits, Sum(0));
    for (std::size_t c = 0; c < h; ++c)
      for (std::size_t w = 0; w < words; ++w)
        logits[w] += static_cast<Sum>(in.z[i * h + c]) * static_cast<Sum>(in.w[c * words + w]);
    for (Sum& each : logits) each = stored(each);
    const Sum top = *std::ranges::max_element(logits);
    Sum total = 0;
    for (const Sum each : logits) total += std::exp(each - top);
    out.loss += static_cast<double>((top + std::log(total) - logits[next]) * share);
    for (std::size_t w = 0; w < words; ++w)
      logits[w] = stored((std::exp(logits[w] - top) / total - (w == next ? 1 : 0)) * share);
    for (std::size_t c = 0; c < h; ++c) {
      Sum sum = 0;
      for (std::size_t w = 0; w < words; ++w) {
        sum += logits[w] * static_cast<Sum>(in.w[c * words + w]);
        dw[c * words + w] += logits[w] * static_cast<Sum>(in.z[i * h + c]);
      }
      out.dz[i * h + c] = static_cast<double>(stored(sum));
    }
  }
  out.dw.assign(dw.begin(), dw.end());
  return out;
}

}  // namespace

HeadOutputs head_exact(const HeadInputs& in) { return head<double>(in, DType::f32); }
HeadOutputs head_naive(const HeadInputs& in, DType dtype) { return head<float>(in, dtype); }

}  // namespace assay::parallelism
