#pragma once
// Attention through block tables, as serving engines run it. It is not the dense kernel of attention_time.h: keys are
// gathered block by block, and the kernel that reads them also writes the new ones into their blocks.
//
//   prefill   tasks of 64 queries of one head, two side by side on a unit; every task walks all earlier keys and half
//   of
//             the new ones (causal), and appends all new keys and values itself: its traffic through L2 grows with the
//             square of the prompt
//       rounds  = tasks / slots + prefill_tail           slots = 2 units; up to one task a slot: (1 + prefill_tail) / 2
//       seconds = prefill_attention_seconds + rounds slots (64 (keys - t/2) 4 d / (peak eff_prefill_attention)
//                                                            + 4 t d bytes / (l2_bandwidth eff_append))
//     Where tasks fill less than 0.8 of the units the keys are cut into parts, whose sums another kernel adds:
//     + prefill_split_seconds, and the tail is a tenth.
//   decode    keys and values read once, at eff_decode_attention of the memory bandwidth, or the matrix unit's time
//             where many query heads share a key head
//
// Constants come from public measurements on an A100 (docs/serving.md); a device without them has the dense kernel.
#include <cstdint>

#include "impls/substrate/models/attention_time.h"
#include "impls/substrate/models/op_work.h"

namespace assay::substrate {

// Of one device of a group.
struct PagedHeads {
  std::int64_t heads = 1, kv_heads = 1, head_dim = 128;
};

struct PagedRates {
  bool fitted = false;  // the prefill constants are there
  double units = 1;
  double tensor = 0;              // FLOP/s of the device in a prefill
  double softmax = 0;             // scores/s
  double append = 0;              // B/s through L2
  double memory = 0, decode = 0;  // B/s of a prefill, of a decode
  double decode_tensor = 0;       // FLOP/s of a decode
  double tail = 0;                // rounds
  double fixed = 0, split = 0;    // s of a prefill call
  double decode_call = 0;         // s
  double element = 2;             // bytes
  AttentionRates dense;
  OpDtype dtype = OpDtype::fp16;
};
PagedRates paged_rates(const datasets::Device& device, OpDtype dtype);

// `tokens` new ones whose last sees `keys`.
double paged_prefill_seconds(const PagedRates& rates, const PagedHeads& of, std::int64_t tokens, std::int64_t keys);

// What one token of context costs a decode, besides rates.decode_call.
double paged_decode_key_seconds(const PagedRates& rates, const PagedHeads& of);

// Whether measurements back it: heads of 128 in 16 bits, up to 4096 keys, on a device with own or carried constants.
bool paged_prefill_calibrated(const PagedRates& rates, const PagedHeads& of, std::int64_t keys);

}  // namespace assay::substrate
