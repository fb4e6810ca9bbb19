#include "impls/substrate/models/attention_profile.h"

#include <fmt/format.h>

#include <algorithm>

#include "datasets/user_error.h"
#include "impls/substrate/models/profile_csv.h"

namespace assay::substrate {
namespace {

bool truth(const ProfileCsv& csv, std::size_t row, std::string_view column) {
  const std::string& cell = csv.text(row, column);
  if (cell == "True" || cell == "true" || cell == "1") return true;
  if (cell == "False" || cell == "false" || cell == "0") return false;
  throw UserError(fmt::format("{}: '{}', expected True or False", csv.place(row, column), cell));
}

// Whole and at least 0.
std::int64_t whole(const ProfileCsv& csv, std::size_t row, std::string_view column) {
  return csv.number(row, column) == 0 ? 0 : csv.count(row, column);
}

}  // namespace

std::vector<MeasuredAttention> read_attention_profile(const std::string& file) {
  constexpr const char* kPrefill = "time_stats.attn_prefill.median";
  constexpr const char* kDecode = "time_stats.attn_decode.median";
  const ProfileCsv csv(file);
  csv.require({"n_embd", "n_q_head", "n_kv_head", "num_tensor_parallel_workers", "batch_size", "prefill_chunk_size",
               "kv_cache_size", "is_prefill", kPrefill, kDecode});
  std::vector<MeasuredAttention> rows;
  for (std::size_t row = 0; row < csv.rows(); ++row) {
    const std::int64_t hidden = csv.count(row, "n_embd"), all = csv.count(row, "n_q_head");
    const std::int64_t ways = csv.count(row, "num_tensor_parallel_workers");
    if (all % ways != 0 || hidden % all != 0) {
      throw UserError(fmt::format("{}: {}, expected a divisor of n_q_head {} (which divides n_embd {})",
                                  csv.place(row, "num_tensor_parallel_workers"), ways, all, hidden));
    }
    MeasuredAttention measured;
    measured.heads = {.heads = all / ways,
                      .kv_heads = std::max<std::int64_t>(1, csv.count(row, "n_kv_head") / ways),
                      .head_dim = hidden / all};
    measured.prefill = truth(csv, row, "is_prefill");
    measured.batch = csv.count(row, "batch_size");
    measured.tokens = measured.prefill ? csv.count(row, "prefill_chunk_size") : 1;
    measured.keys = whole(csv, row, "kv_cache_size");
    measured.seconds = csv.number(row, measured.prefill ? kPrefill : kDecode) * 1e-3;
    if (measured.seconds > 0) rows.push_back(measured);
  }
  return rows;
}

double modelled_seconds(const PagedRates& rates, const MeasuredAttention& row) {
  const double batch = static_cast<double>(row.batch);
  if (row.prefill) return batch * paged_prefill_seconds(rates, row.heads, row.tokens, row.keys + row.tokens);
  return rates.decode_call + batch * static_cast<double>(row.keys + 1) * paged_decode_key_seconds(rates, row.heads);
}

}  // namespace assay::substrate
