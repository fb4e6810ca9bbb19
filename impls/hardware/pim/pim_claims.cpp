#include "impls/hardware/pim/pim_claims.h"

#include <fmt/format.h>

#include <map>
#include <mutex>

#include "impls/hardware/pim/decode_baseline.h"
#include "impls/hardware/pim/pim_run.h"

namespace assay::hardware {

namespace {

using harness::claims::Projection;
using harness::claims::ProjectionPart;
using harness::claims::Setting;

DecodePlan plan_of(const Setting& setting) {
  return {.prompt = setting.axes.has("prompt") ? setting.axes.integer("prompt") : 0,
          .generated = setting.axes.integer("generated")};
}

struct Projected {
  PimDevice device;
  PimRun run;
};

// Many claims ask for the same run; it follows from the numbers of model and device and the plan.
const Projected& run_of(const Setting& setting, const datasets::Device& device, const DecodePlan& plan) {
  static std::mutex lock;
  static std::map<std::string, Projected> known;
  std::string key = fmt::format("{} {}", plan.prompt, plan.generated);
  for (const auto& [name, value] : setting.model->numbers) key += fmt::format(" {}={}", name, value);
  for (const auto& [name, constant] : device.constants) key += fmt::format(" {}={}", name, constant.value);
  const std::scoped_lock held(lock);
  if (const auto found = known.find(key); found != known.end()) return found->second;
  const PimDevice pim = pim_device(device);
  const Mapping mapping(gpt_shape(*setting.model), pim);
  return known.emplace(key, Projected{pim, decode(mapping, plan)}).first->second;
}

std::vector<ProjectionPart> time_parts(const PimRun& run) {
  std::vector<ProjectionPart> parts;
  for (std::size_t i = 0; i < kSteps; ++i)
    parts.push_back({std::string(to_string(static_cast<Step>(i))), "none", substrate::to_seconds(run.time[i])});
  return parts;
}

}  // namespace

std::optional<Projection> project_pim_gpt(const Setting& setting, const std::string& quantity) {
  if (!setting.model || !setting.device || !setting.axes.has("generated")) return std::nullopt;
  const auto multiple = [&](const char* axis) { return setting.axes.has(axis) ? setting.axes.real(axis) : 1; };
  PimChange change{.channels = multiple("channels"), .pin_rate = multiple("pin_rate")};
  // As a baseline it is the package with the clock of its descriptor.
  if (setting.role == "technique") change.asic_clock = multiple("asic_clock");
  if (setting.axes.has("activation")) change.activation = setting.axes.text("activation");
  const datasets::Device device = changed(*setting.device, change);
  const auto& [pim, run] = run_of(setting, device, plan_of(setting));
  const double total = substrate::to_seconds(run.total);
  Projection projection;
  // Times and energies of a PIM package are backed by no measurement; counts need none.
  projection.inside_domain = quantity == "hit_rate" || quantity == "dram_bytes";
  projection.note = "timing of the public GDDR6 preset, sizes of the arithmetic chip assumed (docs/pim.md)";
  if (quantity == "e2e_latency") {
    projection.value = total;
    projection.parts = time_parts(run);
  } else if (quantity == "energy") {
    const EnergyParts energy = energy_of(run, pim);
    projection.value = energy.total();
    projection.parts = {{"activate", "none", energy.activate}, {"mac", "none", energy.mac},
                        {"pins", "none", energy.pins},         {"refresh", "none", energy.refresh},
                        {"standby", "none", energy.standby},   {"asic", "none", energy.asic}};
  } else if (quantity == "hit_rate") {
    const ChannelCounts counts = run.counts();
    projection.value =
        1 - static_cast<double>(counts.activations) / static_cast<double>(counts.bank_columns(pim.banks));
  } else if (quantity == "dram_bytes") {
    projection.value = static_cast<double>(run.counts().pin_columns()) * pim.column_bytes;
  } else if (quantity == "overhead" && setting.axes.has("scope") && setting.axes.text("scope") == "non-vmm-share") {
    projection.value = substrate::to_seconds(run.outside_multiplication()) / total;
    projection.parts = time_parts(run);
  } else {
    return std::nullopt;
  }
  return projection;
}

std::optional<Projection> project_decode_on(const Setting& setting, const std::string& quantity,
                                            const std::string& dtype) {
  if (!setting.model || !setting.device || !setting.axes.has("generated")) return std::nullopt;
  const datasets::Device& device = *setting.device;
  const GptShape shape = gpt_shape(*setting.model);
  const DecodePlan plan = plan_of(setting);
  Software eager = framework_software(device);
  if (setting.axes.has("launch")) eager.launch_seconds = setting.axes.real("launch");
  const BaselineRun framework = decode_on(device, dtype, shape, plan, eager);
  const BaselineRun roofline = decode_on(device, dtype, shape, plan, roofline_software());
  Projection projection;
  projection.inside_domain = quantity == "dram_bytes" || device.has("eff_memory");
  projection.parts = {{"memory", "none", framework.memory_seconds},
                      {"compute", "none", framework.compute_seconds},
                      {"launches", "none", framework.launch_seconds},
                      {"roofline", "none", roofline.seconds}};
  projection.note = fmt::format("{}: the kernels of an eager framework", device.id);
  if (quantity == "e2e_latency") {
    projection.value = framework.seconds;
  } else if (quantity == "energy" && framework.joules > 0) {
    projection.value = framework.joules;
  } else if (quantity == "dram_bytes") {
    projection.value = roofline.bytes;  // what has to move, not what eager kernels move besides
    projection.note.clear();
  } else {
    return std::nullopt;
  }
  return projection;
}

}  // namespace assay::hardware
