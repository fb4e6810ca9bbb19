#include "impls/substrate/models/attention_time.h"

#include <algorithm>
#include <cmath>

namespace assay::substrate {
namespace {

using datasets::Device;

double over(double amount, double rate) { return rate > 0 ? amount / rate : 0; }  // a rate not known costs nothing

double round_up(double value, double step) { return std::ceil(value / step) * step; }

// Pairs of whole tiles a kernel computes, and the largest share of one task. `tasks_along_queries` says what a task is:
// a query tile with its key blocks, or a key block with its query tiles.
struct Issued {
  double tasks = 0, pairs = 0, longest = 0;
};

Issued issued_pairs(const OpWork& work, double query_tile, double key_block, bool tasks_along_queries,
                    bool skip_masked) {
  const double queries = static_cast<double>(work.sequence), keys = static_cast<double>(work.keys);
  const double problems = static_cast<double>(work.batch * work.heads);
  const double query_tiles = std::ceil(queries / query_tile), key_blocks = std::ceil(keys / key_block);
  Issued issued;
  issued.tasks = problems * (tasks_along_queries ? query_tiles : key_blocks);
  const double whole = query_tile * key_block;
  if (!work.causal || !skip_masked) {
    issued.pairs = problems * query_tiles * key_blocks * whole;
    issued.longest = issued.pairs / issued.tasks;
    return issued;
  }
  double blocks = 0, most = 0;
  for (double tile = 0; tile < query_tiles; ++tile) {
    const double last_visible = std::min(keys, std::min((tile + 1) * query_tile, queries) + keys - queries);
    const double seen = last_visible > 0 ? std::ceil(last_visible / key_block) : 0;
    blocks += seen;
    most = std::max(most, seen);
  }
  issued.pairs = problems * blocks * whole;
  issued.longest = (tasks_along_queries ? most : query_tiles) * whole;  // the first key block is seen by every query
  return issued;
}

// Pairs the busiest unit works through. Equal tasks run in whole waves; under a causal mask tasks differ and the last
// ones started are long ones, so that half of the longest stands out at the end.
double busiest_unit(const Issued& issued, double units, bool equal_tasks) {
  if (issued.tasks <= units) return issued.longest;
  if (equal_tasks) return std::ceil(issued.tasks / units) * issued.longest;
  return std::max(issued.longest, issued.pairs / units + issued.longest / 2);
}

// FP32 instructions a score takes besides exp: scale-and-subtract, running maximum, sum, conversion to 16 bit.
constexpr double kForwardInstructions = 4;
// Recomputed probability, dP - D, the product with P, two conversions.
constexpr double kBackwardInstructions = 5;
constexpr double kSplitWarps = 4;  // warps of a FlashAttention-1 block that each hold a share of the keys

// The tensor cores pause for the softmax, so the power limit that slows long products (`sustained`) is not applied
// here: without it the public re-measurements are met at P90 0.09, with it at 0.12.
OperatorTime compose(const AttentionRates& rates, double unit_pairs, double flops_per_pair,
                     double instructions_per_pair, double shared_per_pair, double l2_per_pair, double traffic_bytes,
                     double launches) {
  OperatorTime time;
  time.matmul = unit_pairs * flops_per_pair / rates.tensor;
  // exp units and FP32 pipe are separate and work on different elements at once; both wait for the matmul before them
  // and the matmul behind them waits for both (section 2 of the FlashAttention-3 paper says so of FlashAttention-2).
  time.softmax = unit_pairs * (std::max(over(1, rates.exps), over(instructions_per_pair, rates.fp32)) +
                               over(shared_per_pair, rates.shared));
  const double partial_sums = unit_pairs * over(l2_per_pair, rates.l2);
  const double memory = traffic_bytes / rates.memory;
  time.traffic = std::max(memory, partial_sums);
  time.launch = launches * rates.launch;
  time.seconds = std::max(time.matmul + time.softmax + partial_sums, memory) + time.launch;
  return time;
}

// Head size as the kernels pad it.
double padded_head(const OpWork& work) { return round_up(static_cast<double>(work.head_dim), 32); }

OperatorTime flash2_backward(const Device& device, const OpWork& work) {
  const AttentionRates rates = attention_rates(device, work.dtype);
  const double d = padded_head(work), key_block = 128;
  const Issued issued = issued_pairs(work, d <= 64 ? 128 : 64, key_block, false, true);
  // dQ is accumulated in fp32 by atomic adds: a read and a write of d values for every row of every key block.
  const double accumulate = 2 * 4 * d / key_block;
  OperatorTime time = compose(rates, busiest_unit(issued, rates.units, !work.causal), 10 * d, kBackwardInstructions, 0,
                              accumulate, work.bytes, 3);
  // Two streaming kernels around it: row sums of dO O with the accumulator cleared, and dQ converted to 16 bit.
  const double rows = static_cast<double>(work.batch * work.heads * work.sequence * work.head_dim);
  const double around =
      rows * (2 * bytes_per_element(work.dtype) + 4 + 4 + bytes_per_element(work.dtype)) / rates.memory;
  time.traffic += around;
  time.seconds += around;
  return time;
}

// Block of keys that fits the shared memory beside Q and O: Bc = M / 4d of Algorithm 1, M in elements.
double flash1_key_block(const Device& device, const OpWork& work) {
  const double elements = device.get("shared_bytes_per_unit", 98304) / bytes_per_element(work.dtype);
  const double fits = elements / (4 * padded_head(work));
  return std::clamp(std::exp2(std::floor(std::log2(fits))), 16.0, 256.0);
}

// One task per (batch, head): the sequence is not split over units, and blocks behind the causal mask are not skipped.
OperatorTime flash1(const Device& device, const OpWork& work, bool backward) {
  const double d = padded_head(work);
  const double key_block = flash1_key_block(device, work) / (backward ? 2 : 1);
  const double problems = static_cast<double>(work.batch * work.heads);
  const Issued all = issued_pairs(work, 16, key_block, true, false);
  const double units = device.get("units", 1);
  const double unit_pairs = std::ceil(problems / units) * all.pairs / problems;
  const double reduced = 2 * 4 * kSplitWarps * d / key_block;  // partial outputs of the warps, through shared memory
  const double spilled = 2 * 4 * d / key_block;                // O (or dQ) in fp32, read and written in every block
  const double instructions = backward ? kBackwardInstructions : kForwardInstructions + 1 + 3 * d / key_block;
  return compose(attention_rates(device, work.dtype), unit_pairs, (backward ? 10 : 4) * d, instructions, reduced, 0,
                 work.bytes + spilled * all.pairs, backward ? 2 : 1);
}

void add(OperatorTime& sum, const OperatorTime& part) {
  sum.seconds += part.seconds;
  sum.matmul += part.matmul;
  sum.softmax += part.softmax;
  sum.traffic += part.traffic;
  sum.launch += part.launch;
}

// Separate kernels for products, mask and softmax, with scores and probabilities in memory at 16 bit.
OperatorTime materialised_forward(const Device& device, const OpWork& work) {
  const std::int64_t problems = work.batch * work.heads;
  const double scores =
      static_cast<double>(problems) * static_cast<double>(work.sequence) * static_cast<double>(work.keys);
  OperatorTime sum;
  add(sum, operator_time(device, gemm_work(work.sequence, work.keys, work.head_dim, work.dtype, problems)));
  if (work.causal) add(sum, operator_time(device, pointwise_work(scores, scores, work.dtype)));
  OperatorTime softmax = operator_time(device, norm_work(scores, scores, work.dtype));
  softmax.softmax = softmax.traffic;
  add(sum, softmax);
  add(sum, operator_time(device, gemm_work(work.sequence, work.head_dim, work.keys, work.dtype, problems)));
  return sum;
}

OperatorTime materialised_backward(const Device& device, const OpWork& work) {
  const std::int64_t problems = work.batch * work.heads;
  const double scores =
      static_cast<double>(problems) * static_cast<double>(work.sequence) * static_cast<double>(work.keys);
  OperatorTime sum;
  add(sum, operator_time(device, gemm_work(work.keys, work.head_dim, work.sequence, work.dtype, problems)));  // dV
  add(sum, operator_time(device, gemm_work(work.sequence, work.keys, work.head_dim, work.dtype, problems)));  // dP
  OperatorTime softmax = operator_time(device, norm_work(2 * scores, scores, work.dtype));
  softmax.softmax = softmax.traffic;
  add(sum, softmax);
  add(sum, operator_time(device, gemm_work(work.sequence, work.head_dim, work.keys, work.dtype, problems)));  // dQ
  add(sum, operator_time(device, gemm_work(work.keys, work.head_dim, work.sequence, work.dtype, problems)));  // dK
  return sum;
}

// Scores of a chunk still pass through memory (the products are library calls); partial outputs, sums and maxima of
// every key chunk of 4096 are written and merged. The backward pass repeats the forward of each chunk.
OperatorTime mem_efficient(const Device& device, const OpWork& work, bool backward) {
  constexpr double kKeyChunk = 4096;
  const double rows = static_cast<double>(work.batch * work.heads * work.sequence);
  const double chunks = std::ceil(static_cast<double>(work.keys) / kKeyChunk);
  OperatorTime sum = materialised_forward(device, work);
  add(sum, operator_time(device, copy_work(chunks * rows * (static_cast<double>(work.head_dim) + 2) * 4)));
  if (backward) add(sum, materialised_backward(device, work));
  return sum;
}

}  // namespace

AttentionRates attention_rates(const Device& device, OpDtype dtype) {
  AttentionRates rates;
  rates.units = device.get("units", 1);
  rates.tensor = peak(device, dtype) / rates.units * device.get("eff_gemm", 1) * device.get("eff_attention", 1) *
                 device.get("mma_share", 1);
  rates.fp32 = device.get("peak_fp32", 0) / 2 / rates.units;
  rates.exps = device.get("exp_per_second", 0) / rates.units;
  rates.shared = device.get("shared_bandwidth", 0) / rates.units;
  rates.l2 = device.get("l2_bandwidth", 0) / rates.units;
  rates.memory = device.at("memory_bandwidth") * device.get("eff_memory", 1);
  rates.launch = device.get("launch_seconds", 0);
  return rates;
}

OperatorTime flash2_forward_time(const AttentionRates& rates, const OpWork& work) {
  const double d = padded_head(work);
  const Issued issued = issued_pairs(work, 128, d <= 64 ? 128 : 64, true, true);
  return compose(rates, busiest_unit(issued, rates.units, !work.causal), 4 * d, kForwardInstructions, 0, 0, work.bytes,
                 1);
}

OperatorTime attention_time(const Device& device, const OpWork& work) {
  const bool backward = work.kind == OpKind::attention_backward;
  OperatorTime time;
  switch (work.schedule) {
    case AttentionSchedule::flash2:
      time = backward ? flash2_backward(device, work) : flash2_forward_time(attention_rates(device, work.dtype), work);
      break;
    case AttentionSchedule::flash1:
      time = flash1(device, work, backward);
      break;
    case AttentionSchedule::materialised:
      time = backward ? materialised_backward(device, work) : materialised_forward(device, work);
      break;
    case AttentionSchedule::mem_efficient:
      time = mem_efficient(device, work, backward);
      break;
  }
  time.inside_domain = calibrated_for(device, work);
  return time;
}

}  // namespace assay::substrate
