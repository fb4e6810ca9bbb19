#include "impls/substrate/models/linear_profile.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>

#include "datasets/user_error.h"
#include "impls/substrate/models/operator_work.h"

namespace assay::substrate {
namespace {

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells(1);
  for (const char c : line) {
    if (c == ',') {
      cells.emplace_back();
    } else if (c != '\r') {
      cells.back().push_back(c);
    }
  }
  return cells;
}

double parse(const std::string& cell, const std::string& where) {
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc() || end != cell.data() + cell.size() || !(value >= 0)) {
    throw UserError(fmt::format("{}: '{}', expected a number of at least 0", where, cell));
  }
  return value;
}

constexpr const char* kColumns[] = {"model", "n_head", "n_kv_head", "n_embd", "n_ff", "tensor_parallel", "num_tokens"};

}  // namespace

std::vector<MeasuredOperator> read_linear_profile(const std::string& file) {
  std::ifstream stream(file);
  if (!stream) throw UserError(fmt::format("{}: cannot be read", file));
  std::string line;
  std::getline(stream, line);
  const std::vector<std::string> header = split(line);
  for (const char* name : kColumns) {
    if (std::find(header.begin(), header.end(), name) == header.end()) {
      throw UserError(fmt::format("{}:1: column {} is missing, expected {}", file, name, fmt::join(kColumns, ", ")));
    }
  }
  std::vector<MeasuredOperator> rows;
  for (int number = 2; std::getline(stream, line); ++number) {
    const std::vector<std::string> cells = split(line);
    if (cells.size() != header.size()) {
      throw UserError(fmt::format("{}:{}: {} cells, expected {}", file, number, cells.size(), header.size()));
    }
    std::map<std::string, std::string> cell;
    for (std::size_t i = 0; i < cells.size(); ++i) cell[header[i]] = cells[i];
    const auto count = [&](const char* name) {
      const std::string where = fmt::format("{}:{}: {}", file, number, name);
      const double value = parse(cell[name], where);
      if (value < 1) throw UserError(fmt::format("{}: {}, expected at least 1", where, value));
      return static_cast<std::int64_t>(value);
    };
    const std::int64_t hidden = count("n_embd"), ways = count("tensor_parallel"), tokens = count("num_tokens");
    const std::int64_t heads = count("n_head") / ways;
    const std::int64_t kv_heads = std::max<std::int64_t>(1, count("n_kv_head") / ways);
    const std::int64_t width = hidden / count("n_head"), inner = count("n_ff") / ways;
    const double t = static_cast<double>(tokens), h = static_cast<double>(hidden), f = static_cast<double>(inner);
    const double rotated = static_cast<double>((heads + kv_heads) * width);
    const auto add = [&](const char* column, const char* group, OpWork work) {
      const auto found = cell.find(column);
      if (found == cell.end() || found->second.empty()) return;
      const double ms = parse(found->second, fmt::format("{}:{}: {}", file, number, column));
      if (ms > 0) rows.push_back({cell["model"], column, group, work, ms * 1e-3});
    };
    add("attn_pre_proj_ms", "gemm", gemm_work(tokens, (heads + 2 * kv_heads) * width, hidden, OpDtype::fp16));
    add("attn_post_proj_ms", "gemm", gemm_work(tokens, hidden, heads * width, OpDtype::fp16));
    add("mlp_up_proj_ms", "gemm", gemm_work(tokens, 2 * inner, hidden, OpDtype::fp16));  // gate and up in one product
    add("mlp_down_proj_ms", "gemm", gemm_work(tokens, hidden, inner, OpDtype::fp16));
    add("attn_rope_ms", "pointwise", pointwise_work(t * rotated, t * rotated, OpDtype::fp16, tokens));
    add("mlp_act_ms", "pointwise", pointwise_work(2 * t * f, t * f, OpDtype::fp16, tokens));
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
