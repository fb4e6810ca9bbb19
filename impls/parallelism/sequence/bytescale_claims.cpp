#include "impls/parallelism/sequence/bytescale_claims.h"

#include <fmt/format.h>

#include <algorithm>

#include "datasets/workloads/length_distribution.h"
#include "impls/parallelism/sequence/batch_claims.h"
#include "impls/parallelism/sequence/sequence_claims.h"
#include "impls/parallelism/variable_length/hdp_planner.h"

namespace assay::parallelism {

namespace {

using harness::claims::Projection;
using harness::claims::Setting;

constexpr double kHiddens = 34;  // bytes a token and layer over the hidden size (arXiv 2205.05198)

std::optional<Projection> ranks_of_a_sequence(const Setting& setting) {
  if (!setting.axes.has("sequence_length") || !setting.axes.has("capacity") || !setting.axes.has("offload_ratio"))
    return std::nullopt;
  const HdpCosts costs{.layers = 32, .capacity = setting.axes.integer("capacity")};
  Projection projection;
  projection.value = hdp_degree(setting.axes.integer("sequence_length"), setting.axes.real("offload_ratio"), costs);
  projection.note = "Eq. 3, as the planner counts it";
  return projection;
}

// Work in FLOPs in place of seconds: one rate for products and attention.
std::optional<HdpPlan> planned(const Setting& setting, const std::string& arm) {
  if (!model_has(setting, {"parameters", "layers", "heads", "kv_heads", "head_dim"}) || setting.workload.empty() ||
      !setting.axes.has("tokens") || !setting.axes.has("capacity") || !setting.axes.has("context"))
    return std::nullopt;
  const datasets::Model& model = *setting.model;
  const auto distribution = datasets::load_length_distribution(setting.workload, datasets::data_root());
  BatchProblem problem = batch_shape(setting);
  problem.lengths = datasets::draw_tokens(distribution, setting.axes.integer("tokens"), setting.axes.integer("context"),
                                          datasets::Overlong::cut, 1);
  const HdpCosts costs{.pair_seconds = 14 * model.at("layers") * model.at("heads") * model.at("head_dim"),
                       .token_seconds = 6 * model.at("parameters"),
                       .layers = static_cast<int>(model.at("layers")),
                       .capacity = setting.axes.integer("capacity")};
  if (arm == "static") return plan_static_mesh(problem, setting.axes.integer("context"), costs);
  if (arm == "naive") return plan_hdp_naive(problem, costs);
  if (arm != "balance") return std::nullopt;
  const bool pipeline = setting.axes.has("balance") && setting.axes.text("balance") == "pp";
  return plan_hdp_balanced(problem, costs, pipeline ? HdpBalance::pipeline : HdpBalance::data);
}

const char* const kComputeNote =
    "work of each rank in FLOPs, forward and backward, one rate for products and attention, of one batch drawn from "
    "the published histogram; no exchange: the GPU and its links are not disclosed; without offload";

}  // namespace

std::optional<Projection> project_bytescale(const Setting& setting, const std::string& quantity) {
  if (quantity == "count") return ranks_of_a_sequence(setting);
  const bool compute_only = setting.axes.has("compute_only") && setting.axes.flag("compute_only");
  if ((quantity == "load_imbalance" || quantity == "step_time") && compute_only) {
    // As the other side of a ratio to itself: Algorithm 1.
    const auto plan = planned(setting, setting.role == "baseline" ? "naive" : setting.axes.text("arm"));
    if (!plan) return std::nullopt;
    const auto [least, most] = std::ranges::minmax_element(plan->seconds);
    Projection projection;
    projection.value = quantity == "step_time" ? *most : *most / std::max(*least, 1.0);
    projection.parts = {{"most work of a rank (FLOP)", "none", *most}, {"least (FLOP)", "none", *least}};
    projection.note = kComputeNote;
    return projection;
  }
  if (quantity == "memory_peak" && setting.axes.has("offload_ratio") &&
      model_has(setting, {"parameters", "layers", "hidden"})) {
    const datasets::Model& model = *setting.model;
    const double layers = model.at("layers");
    const double offload = setting.role == "baseline" ? 0 : setting.axes.real("offload_ratio");
    const double tokens = setting.axes.has("capacity") ? setting.axes.real("capacity") : 8192;
    const double activations = kHiddens * model.at("hidden") * tokens * (2 + (1 - offload) * (layers - 2));
    const double states = 4 * model.at("parameters");
    Projection projection;
    projection.value = states + activations;
    projection.parts = {{"16-bit parameters and gradients", "none", states}, {"activations", "none", activations}};
    projection.note = fmt::format(
        "ledger: parameters and gradients in 16 bit whole on a rank, optimizer states spread over all, {} tokens of 34 "
        "h bytes a layer, of which the first and last layer stay",
        tokens);
    return projection;
  }
  return std::nullopt;
}

}  // namespace assay::parallelism
