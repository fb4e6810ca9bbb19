#include "impls/hardware/pim/decode_baseline.h"

#include <fmt/format.h>

#include <algorithm>

#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/claims/residuals.h"

namespace assay::hardware {

Software roofline_software() { return {.name = "roofline"}; }

Software framework_software(const datasets::Device& device) {
  return {.name = "framework",
          .compute_efficiency = device.get("eff_gemm", 0.80),
          .memory_efficiency = device.get("eff_memory", 0.85),
          .launch_seconds = kEagerLaunchSeconds,
          .eager = true};
}

namespace {

class Kernels {
 public:
  Kernels(double peak, double bandwidth, const Software& software)
      : peak_(peak * software.compute_efficiency),
        bandwidth_(bandwidth * software.memory_efficiency),
        launch_(software.launch_seconds) {}

  // `times` launches of a kernel.
  void run(double times, double flops, double bytes) {
    const double compute = flops / peak_, memory = bytes / bandwidth_;
    (compute > memory ? total_.compute_seconds : total_.memory_seconds) += times * std::max(compute, memory);
    total_.launch_seconds += times * launch_;
    total_.kernels += times;
    total_.bytes += times * bytes;
    total_.seconds += times * (std::max(compute, memory) + launch_);
  }
  BaselineRun total() const { return total_; }

 private:
  double peak_, bandwidth_, launch_;
  BaselineRun total_;
};

// One forward pass of `rows` tokens, the last of which sees `keys`.
void forward(Kernels& kernels, const GptShape& gpt, double element, double rows, double keys, bool eager) {
  const double h = gpt.hidden, f = gpt.ffn, layers = gpt.layers;
  const auto product = [&](double times, double outputs, double inputs) {
    kernels.run(times, 2 * rows * outputs * inputs, element * (outputs * inputs + rows * (outputs + inputs)));
  };
  const auto pointwise = [&](double times, double elements) { kernels.run(times, 0, 2 * element * elements); };
  const double scores = rows * keys * gpt.heads;
  product(layers, 3 * h, h);
  if (eager) {
    // Keys and values are appended by copying what is there.
    kernels.run(2 * layers, 0, 2 * element * keys * h);
  } else {
    kernels.run(2 * layers, 0, element * rows * h);
  }
  kernels.run(layers, 2 * rows * keys * h, element * (keys * h + rows * h + (eager ? scores : 0)));  // Q K^T
  if (eager) {
    pointwise(3 * layers, scores);                       // scale, mask, softmax
    pointwise(layers, rows * h);                         // heads merged
    pointwise(8 * layers, rows * f);                     // the tanh form of GELU, written out
    pointwise(2 * layers, rows * h);                     // LayerNorm
    kernels.run(2 * layers, 0, 3 * element * rows * h);  // residuals
    pointwise(4, rows * h);                              // two look-ups, their sum, the last LayerNorm
    kernels.run(1, 0, element * gpt.vocabulary);         // the largest logit
  }
  kernels.run(layers, 2 * rows * keys * h, element * (keys * h + rows * h + (eager ? scores : 0)));  // P V
  product(layers, h, h);
  product(layers, f, h);
  product(layers, h, f);
  // Logits of the last token alone.
  kernels.run(1, 2.0 * gpt.vocabulary * h, element * (static_cast<double>(gpt.vocabulary) * (h + 1) + h));
}

}  // namespace

BaselineRun decode_on(const datasets::Device& device, const std::string& dtype, const GptShape& shape,
                      const DecodePlan& plan, const Software& software) {
  const double element = dtype == "fp32" ? 4 : 2;
  const double room = device.at("memory_bytes");
  const double needed =
      element * (shape.weights() + 2.0 * shape.layers * shape.hidden * static_cast<double>(plan.steps()));
  if (needed > room)
    throw UserError(fmt::format("model {} does not fit {}: weights and key-value cache take {}, found {}", shape.id,
                                device.id, datasets::format_si(needed, "B"), datasets::format_si(room, "B")));
  Kernels kernels(device.at("peak_" + dtype), device.at("memory_bandwidth"), software);
  // A prompt is one pass; every further token is one.
  const auto first = static_cast<double>(plan.first_step());
  forward(kernels, shape, element, first, first, software.eager);
  const double first_token = kernels.total().seconds;
  for (std::int64_t step = plan.first_step(); step < plan.steps(); ++step)
    forward(kernels, shape, element, 1, static_cast<double>(step + 1), software.eager);
  BaselineRun run = kernels.total();
  run.first_token = first_token;
  run.joules = run.seconds * device.get("power_watts", 0);
  return run;
}

std::vector<std::pair<std::string, BaselineRun>> moved_baselines(const datasets::Device& device,
                                                                 const std::string& dtype, const GptShape& shape,
                                                                 const DecodePlan& plan, const Software& software) {
  std::vector<std::pair<std::string, BaselineRun>> all;
  harness::claims::move_constants(device, [&](const std::string& key, const datasets::Device& moved) {
    if (!key.starts_with("eff_gemm") && !key.starts_with("eff_memory") && !key.starts_with("peak_") &&
        key != "memory_bandwidth" && key != "power_watts")
      return;  // nothing here reads it
    Software on = software;
    if (software.eager) {
      const Software of_moved = framework_software(moved);
      on.compute_efficiency = of_moved.compute_efficiency;
      on.memory_efficiency = of_moved.memory_efficiency;
    }
    all.emplace_back(key, decode_on(moved, dtype, shape, plan, on));
  });
  if (software.eager)
    for (const double side : {-1.0, 1.0}) {
      Software on = software;
      on.launch_seconds *= 1 + side * kEagerLaunchResidual;
      all.emplace_back("launch", decode_on(device, dtype, shape, plan, on));
    }
  return all;
}

}  // namespace assay::hardware
