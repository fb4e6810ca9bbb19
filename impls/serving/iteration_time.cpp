#include "impls/serving/iteration_time.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "datasets/user_error.h"
#include "impls/serving/iteration_reach.h"
#include "impls/substrate/models/collective_time.h"
#include "impls/substrate/models/operator_time.h"

namespace assay::serving {
namespace {

using substrate::OpWork;
using substrate::to_picoseconds;

// Engines of 2023 and 2024 in Python: scheduling, input preparation, sampling and output processing of one iteration.
// Devices whose descriptor has no such constants have these, with the same residual.
constexpr double kHostIterationSeconds = 1.20e-3, kHostSequenceSeconds = 0.10e-3, kHostResidual = 0.45;
constexpr const char* kHostSource = "medians of public Vidur measurements (docs/serving.md)";

std::int64_t number(const datasets::Model& model, const char* key) { return static_cast<std::int64_t>(model.at(key)); }

bool is_gated(const datasets::Model& model) {
  const auto found = model.numbers.find("gated");
  if (found != model.numbers.end()) return found->second > 0;
  // Not stated: two or three matrices of hidden x ffn a layer, whichever comes nearer to the parameter count.
  const double hidden = model.at("hidden"), layers = model.at("layers"), ffn = model.at("ffn");
  const double attention = hidden * model.at("head_dim") * (2 * model.at("heads") + 2 * model.at("kv_heads"));
  const double rest = model.at("parameters") - 2 * hidden * model.at("vocab") - layers * attention;
  return rest > 2.5 * layers * hidden * ffn;
}

void add_host_constants(datasets::Device& device) {
  const auto add = [&](const char* key, double value) {
    device.constants.try_emplace(key, datasets::Constant{value, kHostSource, kHostResidual, true});
  };
  add("host_iteration_seconds", kHostIterationSeconds);
  add("host_sequence_seconds", kHostSequenceSeconds);
}

}  // namespace

HostCost host_cost(const std::string& name) {
  if (name == "none") return HostCost::none;
  if (name == "async") return HostCost::async;
  if (name == "sync") return HostCost::sync;
  throw UserError(fmt::format("host: found '{}', expected sync, async or none", name));
}

IterationTime::IterationTime(Deployment deployment) : deployment_(std::move(deployment)) {
  const datasets::Model& model = deployment_.model;
  const std::int64_t ways = deployment_.tensor;
  const auto split = [&](const char* key) {
    const std::int64_t whole = number(model, key);
    if (whole % ways != 0)
      throw UserError(fmt::format("tensor: found {}, expected a divisor of {} of {} ({})", ways, key, model.id, whole));
    return whole / ways;
  };
  layers_ = number(model, "layers") / deployment_.pipeline;
  if (layers_ * deployment_.pipeline != number(model, "layers"))
    throw UserError(fmt::format("pipeline: found {}, expected a divisor of layers of {} ({})", deployment_.pipeline,
                                model.id, number(model, "layers")));
  hidden_ = number(model, "hidden");
  width_ = number(model, "head_dim");
  vocab_ = number(model, "vocab");
  heads_ = split("heads");
  inner_ = split("ffn");
  kv_heads_ = std::max<std::int64_t>(1, number(model, "kv_heads") / ways);  // fewer heads than devices: copies
  gated_ = is_gated(model);
  add_host_constants(deployment_.device);
  const datasets::Device& device = deployment_.device;
  host_ = {device.at("host_iteration_seconds"), device.at("host_sequence_seconds")};
  attention_ = substrate::paged_rates(device, deployment_.dtype);
  const double layers = static_cast<double>(layers_);
  key_seconds_ = layers * substrate::paged_decode_key_seconds(attention_, paged_heads());
  decode_fixed_ = layers * attention_.decode_call;
  inside_ = device.has("eff_decode_attention") && width_ == 128 && substrate::bytes_per_element(deployment_.dtype) == 2;
}

IterationTime::IterationTime(std::shared_ptr<const IterationReach> reach, Edge edge) : IterationTime(reach->nominal()) {
  reach_ = std::move(reach);
  edge_ = edge;
  decode_fixed_ = at_edge(decode_fixed_, reach_->decode_call());
  key_seconds_ = at_edge(key_seconds_, reach_->decode_key());
  host_.iteration = at_edge(host_.iteration, reach_->host_iteration());
  host_.sequence = at_edge(host_.sequence, reach_->host_sequence());
}

double IterationTime::at_edge(double seconds, const RelativeReach& reach) const {
  switch (edge_) {
    case Edge::fast:
      return seconds * std::max(0.0, 1 - reach.down);
    case Edge::slow:
      return seconds * (1 + reach.up);
    case Edge::nominal:
      break;
  }
  return seconds;
}

double IterationTime::seconds(const OpWork& work) const {
  const substrate::OperatorTime time = substrate::operator_time(deployment_.device, work);
  inside_ = inside_ && time.inside_domain;
  return time.seconds;
}

double IterationTime::all_reduce(double bytes) const {
  if (deployment_.tensor <= 1) return 0;
  const substrate::CollectiveTime time = substrate::collective_time(
      deployment_.cluster,
      {.kind = substrate::CollectiveKind::all_reduce, .ranks = deployment_.tensor, .bytes = bytes});
  inside_ = inside_ && time.inside_domain;
  return time.seconds;
}

// Activations from stage to stage: over the NICs of a node, each device of the group sending its share, where the
// stages do not lie in one; else over the link of a device.
Picoseconds IterationTime::hop(std::int64_t tokens) {
  const auto at = static_cast<std::size_t>(tokens);
  if (at >= hop_.size()) hop_.resize(at + 1, -1);
  if (hop_[at] < 0) hop_[at] = hop_now(tokens);
  return hop_[at];
}

Picoseconds IterationTime::hop_now(std::int64_t tokens) const {
  return to_picoseconds(edge_ != Edge::nominal ? at_edge(hop_seconds(tokens), reach_->hop(tokens))
                                               : hop_seconds(tokens));
}

double IterationTime::hop_seconds(std::int64_t tokens) const {
  if (deployment_.pipeline <= 1 || tokens == 0) return 0;
  const datasets::Cluster& cluster = deployment_.cluster;
  const bool one_node = deployment_.tensor * deployment_.pipeline <= cluster.devices_per_node;
  const double bytes = static_cast<double>(tokens * hidden_) * substrate::bytes_per_element(deployment_.dtype);
  const substrate::CollectiveTime time = substrate::collective_time(
      cluster, {.kind = substrate::CollectiveKind::send_recv,
                .ranks = 2,
                .devices_per_node = one_node ? 2 : 1,
                .bytes = one_node ? bytes : bytes / std::min(deployment_.tensor, cluster.nics_per_node)});
  inside_ = inside_ && time.inside_domain;
  return time.seconds;
}

Picoseconds IterationTime::linear_now(std::int64_t tokens) const {
  return to_picoseconds(edge_ != Edge::nominal ? at_edge(linear_seconds(tokens), reach_->linear(tokens))
                                               : linear_seconds(tokens));
}

double IterationTime::linear_seconds(std::int64_t tokens) const {
  if (tokens == 0) return 0;
  const auto dtype = deployment_.dtype;
  const double t = static_cast<double>(tokens), h = static_cast<double>(hidden_), f = static_cast<double>(inner_);
  const double rotated = static_cast<double>((heads_ + kv_heads_) * width_),
               element = substrate::bytes_per_element(dtype);
  double layer = 0;
  layer += seconds(substrate::gemm_work(tokens, (heads_ + 2 * kv_heads_) * width_, hidden_, dtype));
  layer += seconds(substrate::gemm_work(tokens, hidden_, heads_ * width_, dtype));
  layer += seconds(substrate::gemm_work(tokens, (gated_ ? 2 : 1) * inner_, hidden_, dtype));
  layer += seconds(substrate::gemm_work(tokens, hidden_, inner_, dtype));
  layer += seconds(substrate::pointwise_work(t * rotated, t * rotated, dtype, tokens));
  layer += seconds(substrate::pointwise_work((gated_ ? 2 : 1) * t * f, t * f, dtype, tokens));
  layer += 2 * seconds(substrate::norm_work(t * h, t * h, dtype, tokens));
  OpWork residual = substrate::copy_work(t * h * element);
  residual.bytes = 3 * t * h * element;  // two read, one written
  layer += 2 * seconds(residual);
  OpWork stored = substrate::copy_work(2 * t * static_cast<double>(kv_heads_ * width_) * element);
  layer += seconds(stored);  // new keys and values into their blocks
  layer += 2 * all_reduce(t * h * element);
  return static_cast<double>(layers_) * layer;
}

Picoseconds IterationTime::head_now(std::int64_t rows) const {
  return to_picoseconds(edge_ != Edge::nominal ? at_edge(head_seconds(rows), reach_->head(rows)) : head_seconds(rows));
}

double IterationTime::head_seconds(std::int64_t rows) const {
  if (rows == 0) return 0;
  return seconds(
      substrate::gemm_work(rows, std::max<std::int64_t>(1, vocab_ / deployment_.tensor), hidden_, deployment_.dtype));
}

Picoseconds IterationTime::prefill_now(const PrefillSlice& slice) const {
  return to_picoseconds(edge_ != Edge::nominal ? at_edge(prefill_seconds(slice), reach_->prefill(slice))
                                               : prefill_seconds(slice));
}

double IterationTime::prefill_seconds(const PrefillSlice& slice) const {
  if (slice.tokens == 0) return 0;
  inside_ = inside_ && substrate::paged_prefill_calibrated(attention_, paged_heads(), slice.keys);
  return static_cast<double>(layers_) *
         substrate::paged_prefill_seconds(attention_, paged_heads(), slice.tokens, slice.keys);
}

Picoseconds IterationTime::linear(std::int64_t tokens) {
  const auto at = static_cast<std::size_t>(tokens);
  if (at >= linear_.size()) linear_.resize(at + 1, -1);
  if (linear_[at] < 0) linear_[at] = linear_now(tokens);
  return linear_[at];
}

Picoseconds IterationTime::head(std::int64_t rows) {
  const auto at = static_cast<std::size_t>(rows);
  if (at >= head_.size()) head_.resize(at + 1, -1);
  if (head_[at] < 0) head_[at] = head_now(rows);
  return head_[at];
}

Picoseconds IterationTime::prefill(const PrefillSlice& slice) {
  const std::uint64_t key = static_cast<std::uint64_t>(slice.tokens) << 32 | static_cast<std::uint64_t>(slice.keys);
  const auto [at, fresh] = prefill_.try_emplace(key, 0);
  if (fresh) at->second = prefill_now(slice);
  return at->second;
}

Picoseconds IterationTime::decode(std::int64_t sequences, std::int64_t keys) const {
  if (sequences == 0) return 0;
  return to_picoseconds(decode_fixed_ + static_cast<double>(keys) * key_seconds_);
}

Picoseconds IterationTime::with_host(Picoseconds device, std::int64_t sequences) const {
  const Picoseconds host = to_picoseconds(host_.iteration + static_cast<double>(sequences) * host_.sequence);
  switch (deployment_.host) {
    case HostCost::none:
      return device;
    case HostCost::async:
      return std::max(device, host);
    case HostCost::sync:
      return device + host;
  }
  return device;
}

Passage IterationTime::passage(Picoseconds layers, Picoseconds head, Picoseconds hop, std::int64_t sequences) const {
  if (deployment_.pipeline == 1) return {.first = with_host(layers + head, sequences)};
  return {.first = with_host(layers, sequences), .stage = layers, .last = layers + head, .hop = hop};
}

Passage IterationTime::uncached_passage(std::span<const PrefillSlice> prefills,
                                        std::span<const std::int64_t> decode_keys, std::int64_t head_rows) const {
  std::int64_t tokens = static_cast<std::int64_t>(decode_keys.size()), keys = 0;
  Picoseconds attention = 0;
  for (const PrefillSlice& slice : prefills) {
    tokens += slice.tokens;
    attention += prefill_now(slice);
  }
  for (const std::int64_t read : decode_keys) keys += read;
  attention += decode(static_cast<std::int64_t>(decode_keys.size()), keys);
  return passage(linear_now(tokens) + attention, head_now(head_rows), hop_now(tokens),
                 static_cast<std::int64_t>(prefills.size() + decode_keys.size()));
}

Picoseconds IterationTime::uncached(std::span<const PrefillSlice> prefills, std::span<const std::int64_t> decode_keys,
                                    std::int64_t head_rows) const {
  const Passage on_the_way = uncached_passage(prefills, decode_keys, head_rows);
  return on_the_way.first + std::max(deployment_.pipeline - 2, 0) * on_the_way.stage + on_the_way.last +
         (deployment_.pipeline - 1) * on_the_way.hop;
}

double kv_bytes_per_token(const datasets::Model& model, int tensor, int pipeline, substrate::OpDtype dtype) {
  const double kv_heads = std::max(1.0, model.at("kv_heads") / tensor);
  return 2 * model.at("layers") / pipeline * kv_heads * model.at("head_dim") * substrate::bytes_per_element(dtype);
}

std::int64_t kv_blocks(const Deployment& deployment, double memory_share, int block_tokens, std::int64_t batch_tokens,
                       std::int64_t head_rows) {
  const datasets::Model& model = deployment.model;
  const double element = substrate::bytes_per_element(deployment.dtype), ways = deployment.tensor;
  const double weights = model.at("parameters") * element / ways / deployment.pipeline;
  // Largest set of activations alive at once: the residual stream, the normalised input and the gated inner layer of
  // every token of the batch; logits in fp32 of the rows that are sampled.
  const double inner = (is_gated(model) ? 3 : 2) * model.at("ffn") / ways;
  const double activations = static_cast<double>(batch_tokens) * (2 * model.at("hidden") + inner) * element +
                             static_cast<double>(head_rows) * model.at("vocab") * 4;
  const double room = deployment.device.at("memory_bytes") * memory_share - weights - activations;
  const double block =
      block_tokens * kv_bytes_per_token(model, deployment.tensor, deployment.pipeline, deployment.dtype);
  const double blocks = std::floor(room / block);
  if (blocks < 1)
    throw UserError(
        fmt::format("{} on {} of {}: weights of {:.1f} GB and activations of {:.1f} GB leave no room for keys and "
                    "values in {:.0f}% "
                    "of {:.0f} GB, expected a larger tensor or a smaller token budget",
                    model.id, deployment.tensor * deployment.pipeline, deployment.device.id, weights / 1e9,
                    activations / 1e9, 100 * memory_share, deployment.device.at("memory_bytes") / 1e9));
  return static_cast<std::int64_t>(blocks);
}

}  // namespace assay::serving
