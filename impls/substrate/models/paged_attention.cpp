#include "impls/substrate/models/paged_attention.h"

#include <algorithm>
#include <cmath>

#include "impls/substrate/models/operator_time.h"
#include "impls/substrate/models/operator_work.h"

namespace assay::substrate {
namespace {

constexpr double kTile = 64;        // queries of a task
constexpr double kSideBySide = 2;   // tasks on a unit
constexpr double kFewTasks = 0.8;   // of the units: below, the library cuts the keys
constexpr double kSplitTail = 0.1;  // of the tail, where the parts are many and short
constexpr std::int64_t kMeasuredKeys = 4096;

double over(double amount, double rate) { return rate > 0 ? amount / rate : 0; }  // a rate not known costs nothing

double dense_prefill(const PagedRates& rates, const PagedHeads& of, std::int64_t tokens, std::int64_t keys) {
  const AttentionShape shape{.batch = 1,
                             .heads = of.heads,
                             .kv_heads = of.kv_heads,
                             .sequence = tokens,
                             .keys = keys,
                             .head_dim = of.head_dim,
                             .causal = true};
  return flash2_forward_time(rates.dense, attention_work(shape, AttentionSchedule::flash2, rates.dtype)).seconds;
}

}  // namespace

PagedRates paged_rates(const datasets::Device& device, OpDtype dtype) {
  PagedRates rates;
  rates.fitted = device.has("eff_prefill_attention") && device.has("l2_bandwidth");
  rates.units = device.get("units", 1);
  rates.tensor = peak(device, dtype) * device.get("eff_prefill_attention", 1) * device.get("mma_share", 1);
  // The softmax of one task hides behind the products of the other; it binds only where exponentials are slow.
  const double fp32 = device.get("peak_fp32", 0) / 2 / 4, exps = device.get("exp_per_second", 0);
  rates.softmax = fp32 > 0 && exps > 0 ? std::min(fp32, exps) : std::max(fp32, exps);
  rates.append = device.get("l2_bandwidth", 0) * device.get("eff_append", 1);
  rates.memory = device.at("memory_bandwidth") * device.get("eff_memory", 1);
  rates.decode = device.at("memory_bandwidth") * device.get("eff_decode_attention", device.get("eff_memory", 1));
  rates.decode_tensor = peak(device, dtype) * device.get("eff_gemm", 1);
  rates.tail = device.get("prefill_tail", 0);
  rates.fixed = device.get("prefill_attention_seconds", 0);
  rates.split = device.get("prefill_split_seconds", 0);
  rates.decode_call = device.get("decode_attention_seconds", device.get("launch_seconds", 0));
  rates.element = bytes_per_element(dtype);
  rates.dense = attention_rates(device, dtype);
  rates.dtype = dtype;
  return rates;
}

double paged_prefill_seconds(const PagedRates& rates, const PagedHeads& of, std::int64_t tokens, std::int64_t keys) {
  if (tokens == 0) return 0;
  if (!rates.fitted) return dense_prefill(rates, of, tokens, keys);
  const double t = static_cast<double>(tokens), seen = static_cast<double>(keys), d = static_cast<double>(of.head_dim);
  const double slots = kSideBySide * rates.units;
  const double tasks = static_cast<double>(of.heads) * std::ceil(t / kTile);
  const bool few = tasks < kFewTasks * rates.units, split = few && seen > 2 * kTile;
  double rounds = tasks / slots + rates.tail;
  if (few) {
    rounds = tasks / slots + kSplitTail * rates.tail;
  } else if (tasks <= slots) {
    rounds = (1 + rates.tail) / 2;
  }
  const double pair = std::max(4 * d / rates.tensor, over(1, rates.softmax));
  const double walked = kTile * (seen - t / 2) * pair;
  // Keys and values of d elements, read and written.
  const double appended = over(t * 2 * d * rates.element * 2, rates.append);
  const double bytes = 2 * seen * static_cast<double>(of.kv_heads) * d * rates.element;
  return rates.fixed + (split ? rates.split : 0) + std::max(rounds * slots * (walked + appended), bytes / rates.memory);
}

double paged_decode_key_seconds(const PagedRates& rates, const PagedHeads& of) {
  const double width = static_cast<double>(of.kv_heads * of.head_dim);
  // One operation a byte for one query head a key head: memory bounds it until the heads that share keys fill the
  // matrix unit's rows.
  const double rows = std::ceil(static_cast<double>(of.heads) / static_cast<double>(of.kv_heads) / 16) * 16;
  return std::max(2 * width * rates.element / rates.decode, 4 * rows * width / rates.decode_tensor);
}

bool paged_prefill_calibrated(const PagedRates& rates, const PagedHeads& of, std::int64_t keys) {
  return rates.fitted && of.head_dim == 128 && rates.element == 2 && keys <= kMeasuredKeys;
}

}  // namespace assay::substrate
