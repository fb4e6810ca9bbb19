#include "impls/parallelism/sequence/streambp_claims.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "impls/parallelism/sequence/sequence_claims.h"
#include "impls/parallelism/sequence/streambp.h"
#include "impls/parallelism/sequence/streambp_case.h"
#include "impls/substrate/models/operator_time.h"
#include "impls/substrate/models/operator_work.h"

namespace assay::parallelism {

namespace {

using harness::claims::Projection;
using harness::claims::Setting;
using substrate::OpWork;

enum class Arm : std::uint8_t { stream, checkpointing, none, mini_sequence };

// A decoder in 16 bits, its numbers as reals.
struct Decoder {
  explicit Decoder(const datasets::Model& model)
      : layers(model.at("layers")),
        hidden(model.at("hidden")),
        heads(model.at("heads")),
        queries(model.at("heads") * model.at("head_dim")),
        keys(model.at("kv_heads") * model.at("head_dim")),
        inner(model.at("ffn")),
        vocab(model.at("vocab")),
        parameters(model.at("parameters")) {}

  double layers, hidden, heads, queries, keys, inner, vocab, parameters;
};

constexpr double kElement = 2;

// Bytes that `rows` tokens need between a layer's forward and backward pass: a norm, Q, O and its logarithms of sums,
// the sum after attention; and of the inner layer its norm, gate, up and their product, and while it is differentiated
// two gradients of its width and one of the sum.
double of_attention(const Decoder& m, double rows) {
  return kElement * rows * (2 * m.hidden + 2 * m.queries) + 4 * rows * m.heads;
}
double of_inner(const Decoder& m, double rows) { return kElement * rows * (m.hidden + 3 * m.inner); }
double of_inner_gradient(const Decoder& m, double rows) { return kElement * rows * (m.hidden + 2 * m.inner); }
// Logits, the same in float32, and their gradient.
double of_head(const Decoder& m, double rows) { return rows * m.vocab * (kElement + 4 + 4); }

double of_keys(const Decoder& m, double tokens) { return tokens * m.keys * 2 * (kElement + 4); }  // dK, dV in float32
// The layer in chunks, or the head.
double working(const Decoder& m, double tokens, double part) {
  return std::max(of_head(m, part),
                  of_keys(m, tokens) + of_attention(m, part) + of_inner(m, part) + of_inner_gradient(m, part));
}

// What is held of `tokens` at the worst moment, without states.
double activations(const Decoder& m, Arm arm, double tokens, double chunk) {
  const double part = std::min(chunk, tokens);
  const double inputs = m.layers * kElement * tokens * m.hidden;  // of every layer
  const double ends = 2 * kElement * tokens * m.hidden;           // the head's input, and its gradient going down
  switch (arm) {
    case Arm::stream:
      return inputs + ends + working(m, tokens, part);
    case Arm::mini_sequence:
      return inputs + ends +
             std::max(of_head(m, part),
                      of_keys(m, tokens) + of_attention(m, tokens) + of_inner(m, part) + of_inner_gradient(m, part));
    case Arm::checkpointing:
      return inputs + ends + working(m, tokens, tokens);
    case Arm::none:
      return ends + of_head(m, tokens) +
             m.layers * (of_attention(m, tokens) + of_inner(m, tokens) + kElement * tokens * 2 * m.keys);
  }
  return 0;
}

// Bytes of weights, gradients and optimizer on a device; nothing where the configuration does not say which they are.
std::optional<double> states(const Setting& setting, const Decoder& m) {
  const auto axis = [&](const char* name) { return setting.axes.has(name) ? setting.axes.text(name) : std::string(); };
  const std::string objective = axis("objective"), tuning = axis("tuning");
  if (objective == "grpo") return std::nullopt;  // how many answers to a prompt are differentiated at once
  if (objective == "dpo" && tuning != "lora") return std::nullopt;  // the reference is another model then
  if (setting.axes.has("zero_stage")) {
    if (setting.axes.integer("zero_stage") != 2) return std::nullopt;
    return m.parameters * (kElement + (kElement + 12) / setting.ranks);
  }
  if (tuning == "lora") return m.parameters * kElement;
  if (objective == "bp-only") return m.parameters * kElement;
  return std::nullopt;  // full tuning on one device: with which optimizer is not said
}

std::optional<Projection> longest(const Setting& setting, Arm arm) {
  if (!setting.device || !setting.axes.has("chunk")) return std::nullopt;
  const Decoder m(*setting.model);
  const auto held = states(setting, m);
  if (!held) return std::nullopt;
  const auto chunk = static_cast<double>(setting.axes.integer("chunk"));
  double batch = setting.axes.has("batch") ? static_cast<double>(setting.axes.integer("batch")) : 1;
  const bool pairs = setting.axes.has("objective") && setting.axes.text("objective") == "dpo";
  if (pairs) batch *= 2;  // what is preferred and what is not, of one length
  const double room = setting.device->at("memory_bytes") - *held;
  const auto fits = [&](double tokens) { return batch * activations(m, arm, tokens, chunk) <= room; };
  double low = 0, high = 1;
  while (fits(high)) high *= 2;
  while (high - low > 1) {
    const double middle = std::floor((low + high) / 2);
    (fits(middle) ? low : high) = middle;
  }
  if (low == 0) return std::nullopt;
  Projection projection;
  projection.value = low;
  projection.parts = {{"states", "none", *held},
                      {"activations a token", "none", activations(m, arm, low, chunk) / low}};
  projection.note = fmt::format(
      "memory ledger: 16-bit weights (and with ZeRO-2 a share of 16-bit gradients and 12 bytes of optimizer); logits "
      "in "
      "16 and 32 bits with their gradient; no fragmentation{}",
      pairs ? "; a sample is a pair of sequences, the reference the weights without adapters" : "");
  return projection;
}

// Seconds of the operators of one pass, summed.
class Operators {
 public:
  explicit Operators(const datasets::Device& device) : device_(device) {}

  void add(const OpWork& work, double times, double& part) {
    const substrate::OperatorTime time = substrate::operator_time(device_, work);
    inside_ = inside_ && time.inside_domain;
    part += times * time.seconds;
  }
  // [rows x in] [in x out]; `again`: times it is computed forward; and its two gradients.
  void product(double rows, double in, double out, double again, double times) {
    const auto whole = [](double value) { return static_cast<std::int64_t>(value); };
    const auto gemm = [&](double m, double n, double k) {
      return substrate::gemm_work(whole(m), whole(n), whole(k), substrate::OpDtype::bf16);
    };
    if (again > 0) add(gemm(rows, out, in), times * again, products);
    add(gemm(rows, in, out), times, products);
    add(gemm(in, out, rows), times, products);
  }
  bool inside() const { return inside_; }

  double products = 0, attention = 0, streaming = 0;

 private:
  const datasets::Device& device_;
  bool inside_ = true;
};

// Gradients scattered over replicas once a step, a layer's while the next one is differentiated: what is left of it.
std::optional<double> exposed_gradients(const Setting& setting, const Decoder& m, double backward) {
  if (!setting.axes.has("zero_stage")) return 0;
  if (setting.axes.integer("zero_stage") != 2 || !setting.cluster || setting.ranks > setting.cluster->devices_per_node)
    return std::nullopt;
  const double others = static_cast<double>(setting.ranks - 1) / setting.ranks;
  const double sent = others * kElement * m.parameters / setting.cluster->intra.bandwidth;
  return std::max(sent / m.layers, sent - backward);
}

// Head and layers: forward, and backward with the layers computed again.
std::optional<Projection> backward_time(const Setting& setting, Arm arm) {
  if (!setting.device || !setting.axes.has("sequence_length")) return std::nullopt;
  const Decoder m(*setting.model);
  const std::int64_t length = setting.axes.integer("sequence_length");
  const std::int64_t batch = setting.axes.has("batch") ? setting.axes.integer("batch") : 1;
  const std::int64_t chunk = arm == Arm::stream && setting.axes.has("chunk") ? setting.axes.integer("chunk") : length;
  const auto tokens = static_cast<double>(length * batch);
  Operators spent(*setting.device);
  const auto attention = [&](std::int64_t queries, std::int64_t keys, bool causal) {
    return substrate::AttentionShape{.batch = batch,
                                     .heads = static_cast<std::int64_t>(setting.model->at("heads")),
                                     .kv_heads = static_cast<std::int64_t>(setting.model->at("kv_heads")),
                                     .sequence = queries,
                                     .keys = keys,
                                     .head_dim = static_cast<std::int64_t>(setting.model->at("head_dim")),
                                     .causal = causal};
  };
  const auto flash = substrate::AttentionSchedule::flash2;
  const auto bf16 = substrate::OpDtype::bf16;
  // The forward pass of either arm sees the mask as data, and so does one chunk.
  spent.add(substrate::attention_work(attention(length, length, false), flash, bf16), m.layers, spent.attention);
  spent.product(tokens, m.hidden, 2 * m.keys, 2, m.layers);
  for (std::int64_t begin = 0; begin < length; begin += chunk) {
    const std::int64_t end = std::min(length, begin + chunk);
    const auto rows = static_cast<double>((end - begin) * batch);
    const auto seen = attention(end - begin, chunk < length ? end : length, false);
    spent.add(substrate::attention_work(seen, flash, bf16), m.layers, spent.attention);
    spent.add(substrate::attention_backward_work(seen, flash, bf16), m.layers, spent.attention);
    // Once again here, and once in the forward pass, where all tokens go at once.
    spent.product(rows, m.hidden, m.queries, 2, m.layers);
    spent.product(rows, m.queries, m.hidden, 2, m.layers);
    spent.product(rows, m.hidden, 2 * m.inner, 2, m.layers);
    spent.product(rows, m.inner, m.hidden, 2, m.layers);
    spent.product(rows, m.hidden, m.vocab, 1, 1);
    const double wide = rows * m.hidden, inner = rows * m.inner, scores = rows * m.vocab;
    spent.add(substrate::norm_work(2 * wide, 2 * wide, bf16), 4 * m.layers, spent.streaming);
    spent.add(substrate::norm_work(3 * wide, 2 * wide, bf16), 2 * m.layers, spent.streaming);
    spent.add(substrate::pointwise_work(2 * inner, inner, bf16), 2 * m.layers, spent.streaming);
    spent.add(substrate::pointwise_work(3 * inner, 2 * inner, bf16), m.layers, spent.streaming);
    spent.add(substrate::norm_work(2 * scores, scores, substrate::OpDtype::fp32), 1, spent.streaming);
  }
  Projection projection;
  projection.value = spent.products + spent.attention + spent.streaming;
  // The layers' backward pass with its recomputation is three quarters of the products and attention.
  const auto exposed = exposed_gradients(setting, m, 0.75 * projection.value);
  if (!exposed) return std::nullopt;
  projection.value += *exposed;
  projection.inside_domain = spent.inside();
  projection.parts = {{"matrix products", "gemm", spent.products},
                      {"attention", "attention", spent.attention},
                      {"norms, activations and loss", "norm", spent.streaming},
                      {"exposed gradients of replicas", "collective", *exposed}};
  projection.note =
      "a forward pass, and a backward pass with the layers computed again; attention in chunks of queries against the "
      "keys up to their last, nothing of the mask skipped inside; per sample";
  projection.value /= static_cast<double>(batch);
  return projection;
}

// Peak of what one layer and a head hold of their tokens, from the ledger of the program: all but weights and their
// gradients.
double small_peak(std::int64_t length, std::int64_t chunk) {
  constexpr int kHeads = 4, kWidth = 64;
  constexpr std::int64_t kWords = 512;
  const SequenceProblem p{.length = length,
                          .ranks = 1,
                          .heads = kHeads,
                          .kv_heads = kHeads,
                          .head_dim = kWidth,
                          .dtype = substrate::DType::f32,
                          .backward = true};
  const auto chunks = static_cast<int>((length + chunk - 1) / chunk);
  const substrate::RunReport run = count_program(stream_program(StreamPlan(p, chunks, {.vocab = kWords})), 1);
  std::int64_t held = 0;
  for (const auto& entry : run.ranks.front().memory.entries()) {
    const std::string_view name = entry.name;
    if (name != "weights" && name != "gradients of the weights") held += entry.at_peak;
  }
  return static_cast<double>(held);
}

std::optional<Projection> linear_memory(const Setting& setting) {
  if (!setting.axes.has("sequence_length") || !setting.axes.has("chunk")) return std::nullopt;
  const std::int64_t length = setting.axes.integer("sequence_length"), chunk = setting.axes.integer("chunk");
  const double exponent = std::log2(small_peak(2 * length, chunk) / small_peak(length, chunk));
  Projection projection;
  projection.value = std::abs(exponent - 1) <= 0.1 ? 1 : 0;
  projection.parts = {{"exponent from here to twice the tokens", "none", exponent}};
  projection.note =
      "ledger of the program, one layer of 4 heads of 64 and a head of 512 words, without weights and their gradients, "
      "which do not grow";
  return projection;
}

// Of the full square over those of the chunks: an exact count, no ratio of two sides.
std::optional<Projection> score_flops(const Setting& setting) {
  if (!setting.axes.has("sequence_length") || !setting.axes.has("chunks")) return std::nullopt;
  const SequenceProblem p{.length = setting.axes.integer("sequence_length"), .head_dim = 1, .backward = true};
  const StreamPlan plan(p, static_cast<int>(setting.axes.integer("chunks")), {.vocab = 1});
  const auto square = static_cast<double>(p.length) * static_cast<double>(p.length);
  Projection projection;
  const auto chunked = static_cast<double>(plan.chunk_pairs(0));
  projection.value = square / chunked;
  projection.parts = {{"pairs of the full square", "none", square}, {"pairs of the chunks", "none", chunked}};
  projection.note = "pairs of the plan of the program";
  return projection;
}

std::optional<Projection> answer(const Setting& setting, const std::string& quantity, Arm arm) {
  if (!model_has(setting, {"layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "parameters"}))
    return std::nullopt;
  if (quantity == "max_sequence") return longest(setting, arm);
  if (quantity == "step_time" && (arm == Arm::stream || arm == Arm::checkpointing)) return backward_time(setting, arm);
  return std::nullopt;
}

}  // namespace

double stream_working_bytes(const datasets::Model& model, double tokens, double chunk) {
  return working(Decoder(model), tokens, chunk);
}

std::optional<Projection> project_streambp(const Setting& setting, const std::string& quantity) {
  if (quantity == "flops") return score_flops(setting);
  if (quantity == "memory_peak") return linear_memory(setting);
  const bool baseline = setting.axes.has("arm") && setting.axes.text("arm") == "checkpointing";
  return answer(setting, quantity, baseline ? Arm::checkpointing : Arm::stream);
}

std::optional<Projection> project_streambp_baseline(const Setting& setting, const std::string& quantity) {
  const std::string_view name = setting.technique;
  if (name == "external:gradient-checkpointing") return answer(setting, quantity, Arm::checkpointing);
  if (name == "external:no-checkpointing") return answer(setting, quantity, Arm::none);
  if (name == "external:mini-sequence-transformer") return answer(setting, quantity, Arm::mini_sequence);
  return std::nullopt;
}

}  // namespace assay::parallelism
