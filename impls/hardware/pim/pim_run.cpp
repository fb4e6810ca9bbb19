#include "impls/hardware/pim/pim_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "datasets/user_error.h"
#include "impls/hardware/pim/engine.h"

namespace assay::hardware {

std::string_view to_string(Step step) {
  constexpr std::array<std::string_view, kSteps> names{
      "embedding", "qkv",  "key_value_write", "scores", "values",   "projection",   "ffn_up", "ffn_down",
      "output",    "norm", "softmax",         "gelu",   "residual", "partial_sums", "choice"};
  return names[static_cast<std::size_t>(step)];
}

ChannelCounts PimRun::counts() const {
  ChannelCounts sum;
  for (const ChannelCounts& each : channels) sum += each;
  return sum;
}

Picoseconds PimRun::outside_multiplication() const {
  Picoseconds sum = 0;
  for (std::size_t i = 0; i < kSteps; ++i)
    if (!multiplies(static_cast<Step>(i))) sum += time[i];
  return sum;
}

std::vector<Stream> streams_of(const Mapping& mapping, const Instruction& instruction) {
  const auto& [step, layer, position] = instruction;
  switch (step) {
    case Step::embedding:
      // Which token it is has no influence on time but for its place in a row; a spread of them is taken.
      return mapping.embed(position * 7919 % mapping.shape().vocabulary, position);
    case Step::qkv:
      return mapping.multiply(Matrix::qkv, layer);
    case Step::key_value_write:
      return mapping.write_key_value(layer, position);
    case Step::scores:
      return mapping.scores(layer, position + 1);
    case Step::values:
      return mapping.weighted_values(layer, position + 1);
    case Step::projection:
      return mapping.multiply(Matrix::projection, layer);
    case Step::ffn_up:
      return mapping.multiply(Matrix::ffn_up, layer);
    case Step::ffn_down:
      return mapping.multiply(Matrix::ffn_down, layer);
    case Step::output:
      return mapping.multiply(Matrix::output, 0);
    default:
      return {};
  }
}

namespace {

class Decoder {
 public:
  Decoder(const Mapping& mapping, const DecodePlan& plan)
      : mapping_(mapping),
        asic_(mapping.device().asic_adders, mapping.device().asic_multipliers),
        clock_(substrate::to_picoseconds(1 / mapping.device().asic_clock_hz - 1e-15)),
        engine_(plan.reuse ? make_reused_engine(mapping) : make_direct_engine(mapping, plan.keep_trace)) {}

  PimRun run(const DecodePlan& plan) {
    for (std::int64_t position = plan.from; position < plan.steps(); ++position) {
      const bool speaks = position + 1 >= plan.first_step();
      kept_ = position + 1 == plan.steps();
      token(position, speaks);
      if (position + 1 == plan.first_step()) run_.first_token = now_;
    }
    run_.total = now_;
    engine_->finish(now_, run_);
    return std::move(run_);
  }

 private:
  void channels(Step step, int layer, std::int64_t position) {
    const Picoseconds end = std::max(now_, engine_->run({step, layer, position}, now_));
    spend(step, layer, end);
  }

  void spend(Step step, int layer, Picoseconds end) {
    run_.time[static_cast<std::size_t>(step)] += end - now_;
    if (kept_ && end > now_) run_.last_token.push_back({step, layer, now_, end});
    now_ = end;
  }

  void chip(Step step, int layer, const AsicCount& count) {
    run_.asic.adds += count.adds;
    run_.asic.multiplies += count.multiplies;
    run_.asic.adder_clocks += count.adder_clocks;
    run_.asic.multiplier_clocks += count.multiplier_clocks;
    spend(step, layer, now_ + count.clocks() * clock_);
  }

  void multiply(Step step, Matrix matrix, int layer, std::int64_t position) {
    channels(step, layer, position);
    const MatrixPlace& place = mapping_.place(matrix);
    add_parts(layer, place.outputs, static_cast<std::int64_t>(place.chunk_columns.size()));
  }
  void add_parts(int layer, std::int64_t outputs, std::int64_t parts) {
    if (parts > 1) chip(Step::partial_sums, layer, asic_.add(outputs * (parts - 1)));
  }

  void token(std::int64_t position, bool speaks) {
    const GptShape& gpt = mapping_.shape();
    const std::int64_t keys = position + 1;
    channels(Step::embedding, 0, position);
    chip(Step::residual, 0, asic_.add(gpt.hidden));
    for (int layer = 0; layer < gpt.layers; ++layer) {
      chip(Step::norm, layer, asic_.layer_norm(gpt.hidden));
      multiply(Step::qkv, Matrix::qkv, layer, position);
      channels(Step::key_value_write, layer, position);
      channels(Step::scores, layer, position);
      chip(Step::softmax, layer, asic_.softmax(gpt.heads, keys, gpt.head_dim));
      channels(Step::values, layer, position);
      add_parts(layer, gpt.hidden, mapping_.value_parts(keys));
      multiply(Step::projection, Matrix::projection, layer, position);
      chip(Step::residual, layer, asic_.add(gpt.hidden));
      chip(Step::norm, layer, asic_.layer_norm(gpt.hidden));
      multiply(Step::ffn_up, Matrix::ffn_up, layer, position);
      chip(Step::gelu, layer, asic_.gelu(gpt.ffn));
      multiply(Step::ffn_down, Matrix::ffn_down, layer, position);
      chip(Step::residual, layer, asic_.add(gpt.hidden));
    }
    if (!speaks) return;
    chip(Step::norm, 0, asic_.layer_norm(gpt.hidden));
    multiply(Step::output, Matrix::output, 0, position);
    chip(Step::choice, 0, asic_.largest(gpt.vocabulary));
  }

  const Mapping& mapping_;
  Asic asic_;
  Picoseconds clock_;
  std::unique_ptr<Engine> engine_;
  Picoseconds now_ = 0;
  bool kept_ = false;  // the last token is under way
  PimRun run_;
};

}  // namespace

PimRun decode(const Mapping& mapping, const DecodePlan& plan) {
  if (plan.generated < 1) throw UserError(fmt::format("generated: found {}, expected 1 or more", plan.generated));
  if (plan.steps() > mapping.shape().max_positions)
    throw UserError(
        fmt::format("generated: {} prompt and {} generated tokens take {} positions, expected at most {} of {}",
                    plan.prompt, plan.generated, plan.steps(), mapping.shape().max_positions, mapping.shape().id));
  return Decoder(mapping, plan).run(plan);
}

EnergyParts energy_of(const PimRun& run, const PimDevice& device) {
  const ChannelCounts counts = run.counts();
  const PimEnergy& e = device.energy;
  const double seconds = substrate::to_seconds(run.total);
  const double open = substrate::to_seconds(counts.open);
  EnergyParts parts;
  parts.activate = static_cast<double>(counts.activations) * e.activate;
  parts.mac = static_cast<double>(counts.macs * device.banks) * e.mac_column;
  parts.pins = static_cast<double>(counts.pin_columns()) * e.pin_column +
               static_cast<double>(counts.reads + counts.writes) * e.cell_column;
  parts.refresh = static_cast<double>(counts.refreshes * device.banks) * e.activate;  // a row of every bank each
  parts.standby = open * e.standby_open + (seconds * device.channels - open) * e.standby_closed;
  parts.asic = seconds * e.asic;
  return parts;
}

}  // namespace assay::hardware
