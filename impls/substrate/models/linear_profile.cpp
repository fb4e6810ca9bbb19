#include "impls/substrate/models/linear_profile.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "datasets/user_error.h"
#include "impls/substrate/models/operator_work.h"
#include "impls/substrate/models/profile_csv.h"

namespace assay::substrate {
namespace {

// Measured operators by column; every other column that ends in _ms is an operator nothing here knows.
constexpr std::array<std::string_view, 9> kOperators{
    "attn_pre_proj_ms", "attn_post_proj_ms",  "mlp_up_proj_ms",
    "mlp_down_proj_ms", "attn_rope_ms",       "mlp_act_ms",
    "add_ms",           "input_layernorm_ms", "post_attention_layernorm_ms"};

void check_operators(const ProfileCsv& csv) {
  int known = 0;
  for (const std::string& column : csv.header()) {
    if (!column.ends_with("_ms")) continue;
    if (std::find(kOperators.begin(), kOperators.end(), column) == kOperators.end()) {
      throw UserError(
          fmt::format("{}:1: unknown operator {}, expected {}", csv.file(), column, fmt::join(kOperators, ", ")));
    }
    ++known;
  }
  if (known == 0) {
    throw UserError(
        fmt::format("{}:1: no column of an operator, expected one of {}", csv.file(), fmt::join(kOperators, ", ")));
  }
}

// Layers are gated where no column says otherwise.
bool is_gated(const ProfileCsv& csv, std::size_t row) {
  if (!csv.has("use_gated_mlp")) return true;
  const std::string& cell = csv.text(row, "use_gated_mlp");
  if (cell == "True" || cell == "true" || cell == "1" || cell.empty()) return true;
  if (cell == "False" || cell == "false" || cell == "0") return false;
  throw UserError(fmt::format("{}: '{}', expected True or False", csv.place(row, "use_gated_mlp"), cell));
}

}  // namespace

std::vector<MeasuredOperator> read_linear_profile(const std::string& file) {
  const ProfileCsv csv(file);
  csv.require({"model", "n_head", "n_kv_head", "n_embd", "n_ff", "tensor_parallel", "num_tokens"});
  check_operators(csv);
  std::vector<MeasuredOperator> rows;
  for (std::size_t row = 0; row < csv.rows(); ++row) {
    const std::int64_t hidden = csv.count(row, "n_embd"), ways = csv.count(row, "tensor_parallel");
    const std::int64_t tokens = csv.count(row, "num_tokens"), all_heads = csv.count(row, "n_head");
    if (all_heads % ways != 0 || hidden % all_heads != 0) {
      throw UserError(fmt::format("{}: {}, expected a divisor of n_head {} (which divides n_embd {})",
                                  csv.place(row, "tensor_parallel"), ways, all_heads, hidden));
    }
    const std::int64_t heads = all_heads / ways;
    const std::int64_t kv_heads = std::max<std::int64_t>(1, csv.count(row, "n_kv_head") / ways);
    const std::int64_t width = hidden / all_heads, inner = csv.count(row, "n_ff") / ways;
    const bool gated = is_gated(csv, row);
    const double t = static_cast<double>(tokens), h = static_cast<double>(hidden), f = static_cast<double>(inner);
    const double rotated = static_cast<double>((heads + kv_heads) * width);
    const auto add = [&](std::string_view column, const char* group, OpWork work) {
      if (!csv.has(column) || csv.text(row, column).empty()) return;
      const double ms = csv.number(row, column);
      if (ms > 0) rows.push_back({csv.text(row, "model"), std::string(column), group, work, ms * 1e-3, tokens});
    };
    add("attn_pre_proj_ms", "gemm", gemm_work(tokens, (heads + 2 * kv_heads) * width, hidden, OpDtype::fp16));
    add("attn_post_proj_ms", "gemm", gemm_work(tokens, hidden, heads * width, OpDtype::fp16));
    // A gated layer has gate and up in one product.
    add("mlp_up_proj_ms", "gemm", gemm_work(tokens, (gated ? 2 : 1) * inner, hidden, OpDtype::fp16));
    add("mlp_down_proj_ms", "gemm", gemm_work(tokens, hidden, inner, OpDtype::fp16));
    add("attn_rope_ms", "pointwise", pointwise_work(t * rotated, t * rotated, OpDtype::fp16, tokens));
    add("mlp_act_ms", "pointwise", pointwise_work((gated ? 2 : 1) * t * f, t * f, OpDtype::fp16, tokens));
    add("input_layernorm_ms", "norm", norm_work(t * h, t * h, OpDtype::fp16, tokens));
    add("post_attention_layernorm_ms", "norm", norm_work(t * h, t * h, OpDtype::fp16, tokens));
    add("add_ms", "copy", [&] {
      OpWork work = copy_work(t * h * 2);
      work.bytes = 3 * t * h * 2;  // two read, one written
      return work;
    }());
  }
  return rows;
}

}  // namespace assay::substrate
