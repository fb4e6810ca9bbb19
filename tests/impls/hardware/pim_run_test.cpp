// Generation on the PIM package: reuse changes nothing, what must be refused is refused, and numbers move the way the
// machine says they should.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "datasets/user_error.h"
#include "harness/case_state.h"
#include "harness/registry.h"
#include "impls/hardware/pim/decode_baseline.h"
#include "tests/impls/hardware/pim_for_tests.h"

namespace assay::hardware {
namespace {

PimRun decoded(const GptShape& gpt, const PimDevice& device, DecodePlan plan) {
  const Mapping mapping(gpt, device);
  return decode(mapping, plan);
}

GptShape model(const char* id) { return gpt_shape(datasets::load_model(id, datasets::data_root())); }

TEST(PimReuse, GivesTheSameBitsAsTheWholeSimulation) {
  GptShape cut = model("gpt2-xl");  // its second chunk walks through nine phases of a row
  cut.layers = 2;
  cut.vocabulary = 1000;
  GptShape small = model("gpt2-small");
  small.layers = 3;
  small.vocabulary = 5000;
  for (const GptShape& gpt : {small_gpt(), cut, small}) {
    for (const char* activation : {"all", "ganged"}) {
      datasets::Device descriptor = pim_descriptor();
      if (activation == std::string("ganged")) {
        set(descriptor, "activate_banks", 4);
        set(descriptor, "activate_counts_as", 4);
      }
      const PimDevice device = pim_device(descriptor);
      const PimRun whole = decoded(gpt, device, {.prompt = 5, .generated = 30, .reuse = false});
      const PimRun reused = decoded(gpt, device, {.prompt = 5, .generated = 30, .reuse = true});
      EXPECT_TRUE(reused.same_result(whole))
          << gpt.id << " " << activation << ": " << reused.total << " against " << whole.total;
      EXPECT_EQ(reused.blocks, whole.blocks);
      EXPECT_EQ(energy_of(reused, device).total(), energy_of(whole, device).total());
      EXPECT_LT(reused.commands_simulated * 20, whole.commands_simulated);
    }
  }
}

TEST(PimReuse, HoldsOnAPackageWhereNothingDivides) {
  const PimRun whole = decoded(small_gpt(), small_pim(), {.generated = 40, .reuse = false});
  EXPECT_TRUE(decoded(small_gpt(), small_pim(), {.generated = 40}).same_result(whole));
  datasets::Device odd = pim_descriptor();
  set(odd, "channels", 5);
  set(odd, "pin_rate_bits_per_second", 7e9);
  set(odd, "asic_clock_hz", 3.3e8);
  const PimRun odd_whole = decoded(small_gpt(), pim_device(odd), {.generated = 40, .reuse = false});
  EXPECT_TRUE(decoded(small_gpt(), pim_device(odd), {.generated = 40}).same_result(odd_whole));
}

TEST(PimRun, RefreshesAsOftenAsIsDue) {
  const PimDevice device = pim_device(pim_descriptor());
  const PimRun run = decoded(small_gpt(), device, {.generated = 40});
  for (const ChannelCounts& each : run.channels) EXPECT_EQ(each.refreshes, run.total / device.time.refi);
}

TEST(PimRun, IsBoundedByItsInternalBandwidthAndTheFormulaOfARow) {
  // Lower bound: every weight at 4.096 TB/s. And a row takes tRCD + 64 tCCD + results + tRTP - tCCD + tRP, stretched by
  // refresh; what is not rows is the rest of the breakdown.
  const PimDevice device = pim_device(pim_descriptor());
  const GptShape gpt = model("gpt3-xl");
  const PimRun run = decoded(gpt, device, {.generated = 16});
  const double token = substrate::to_seconds(run.total) / 16;
  EXPECT_GT(token, gpt.weights() * 2 / 4.096e12);
  const DramTiming& t = device.time;
  const double row = substrate::to_seconds(t.rcd_read + 65 * t.ccd + t.rp);  // a result after each output of 64 columns
  const double rows = 24 * (12.0 * 2048 * 2048) / 128 / 1024;
  const double stretch = 1 / (1 - substrate::to_seconds(t.rfc) / substrate::to_seconds(t.refi));
  double products = 0;
  for (const Step step : {Step::qkv, Step::projection, Step::ffn_up, Step::ffn_down})
    products += substrate::to_seconds(run.time[static_cast<std::size_t>(step)]) / 16;
  EXPECT_NEAR(products, rows * row * stretch, 0.04 * products);
}

TEST(PimRun, TimesOfTheStepsAddUp) {
  const PimRun run = decoded(small_gpt(), small_pim(), {.prompt = 4, .generated = 10});
  Picoseconds sum = 0;
  for (const Picoseconds each : run.time) sum += each;
  EXPECT_EQ(sum, run.total);
  Picoseconds until = run.last_token.front().start;
  for (const InstructionTime& each : run.last_token) {  // one after the other, to the end
    EXPECT_EQ(each.start, until);
    until = each.end;
  }
  EXPECT_EQ(until, run.total);
  EXPECT_EQ(run.last_token.front().step, Step::embedding);
  EXPECT_EQ(run.last_token.back().step, Step::choice);
  EXPECT_GT(run.first_token, 0);
  EXPECT_LT(run.first_token, run.total);
}

TEST(PimRun, EveryDelayAndSizeMovesTheResultTheRightWay) {
  const GptShape gpt = small_gpt();
  const auto total = [&](const char* key, double factor) {
    datasets::Device descriptor = pim_descriptor();
    set(descriptor, key, factor * descriptor.at(key));
    return decoded(gpt, pim_device(descriptor), {.generated = 40}).total;
  };
  const Picoseconds as_is = total("channels", 1);
  for (const char* slower : {"t_rcd_read_seconds", "t_rcd_write_seconds", "t_rp_seconds", "t_wr_seconds",
                             "t_rfc_seconds", "t_cl_seconds", "t_cwl_seconds", "t_faw_seconds", "t_wtr_seconds"})
    EXPECT_GT(total(slower, 4), as_is) << slower;
  EXPECT_GT(total("t_ccd_seconds", 2), as_is);
  EXPECT_GT(total("t_ras_seconds", 4), as_is);
  EXPECT_LT(total("t_refi_seconds", 2), as_is);
  EXPECT_GT(total("asic_clock_hz", 0.1), as_is);
  EXPECT_GT(total("asic_adders", 0.25), as_is);
  EXPECT_GT(total("asic_multipliers", 0.25), as_is);
  EXPECT_GT(total("pin_rate_bits_per_second", 0.25), as_is);
  EXPECT_GT(total("channels", 0.5), as_is);
  EXPECT_LE(total("rows_per_bank", 2), as_is);
}

TEST(PimRun, EveryNumberOfTheDescriptorMattersOrIsKnownNotTo) {
  const std::set<std::string> inert{"memory_bytes", "memory_bandwidth", "peak_bf16",  // said for other readers
                                    "rows_per_bank"};                                 // capacity alone
  const GptShape gpt = model("gpt2-small");
  const auto of = [&](const datasets::Device& descriptor) {
    const PimDevice device = pim_device(descriptor);
    const PimRun run = decoded(gpt, device, {.generated = 4});
    return std::pair(run.total, energy_of(run, device).total());
  };
  const datasets::Device as_is = pim_descriptor();
  const auto nominal = of(as_is);
  for (const auto& [key, constant] : as_is.constants) {
    // Sizes that hang together are refused when one is changed alone.
    bool moved = false;
    for (const double factor : {0.5, 4.0, 20.0}) {
      datasets::Device changed = as_is;
      set(changed, key.c_str(), factor * constant.value);
      if (key == "activate_counts_as") set(changed, "activate_banks", 4);
      try {
        moved = moved || of(changed) != nominal;
      } catch (const UserError&) {
        moved = moved || key == "banks_per_channel" || key == "mac_lanes" || key == "column_bytes";
      }
    }
    EXPECT_EQ(moved, !inert.contains(key)) << key;
  }
}

TEST(PimRun, EnergyFollowsCountsAndTime) {
  const PimRun run = decoded(small_gpt(), pim_device(pim_descriptor()), {.generated = 20});
  const ChannelCounts counts = run.counts();
  const auto joules = [&](const char* key, double factor) {
    datasets::Device descriptor = pim_descriptor();
    set(descriptor, key, factor * descriptor.at(key));
    return energy_of(run, pim_device(descriptor)).total();
  };
  const double as_is = joules("asic_watts", 1);
  EXPECT_NEAR(joules("asic_watts", 2) - as_is, substrate::to_seconds(run.total) * 0.30459, 1e-12);
  EXPECT_NEAR(joules("activate_joules_per_bit", 2) - as_is,
              static_cast<double>(counts.activations + 16 * counts.refreshes) * 0.11e-12 * 16384, 1e-12);
  EXPECT_NEAR(joules("mac_watts_per_channel", 2) - as_is, static_cast<double>(counts.macs) * 0.14929e-9, 1e-12);
  EXPECT_NEAR(joules("pin_joules_per_bit", 2) - as_is, static_cast<double>(counts.pin_columns()) * 5.5e-12 * 256,
              1e-12);
}

// -- what a user can mend

std::string refused(const std::function<void()>& act) {
  try {
    act();
  } catch (const UserError& wrong) {
    return wrong.what();
  }
  return "";
}

TEST(PimBadInput, TokensAboveThePositionsOfTheModel) {
  const std::string told =
      refused([] { decoded(model("gpt2-small"), pim_device(pim_descriptor()), {.prompt = 512, .generated = 514}); });
  EXPECT_NE(told.find("take 1025 positions, expected at most 1024 of gpt2-small"), std::string::npos) << told;
}

TEST(PimBadInput, ModelsThatAreNoPlainGpt) {
  const std::string told = refused([] { model("llama2-70b"); });
  EXPECT_NE(told.find("llama2-70b.toml: kv_heads is 8, expected as many as heads"), std::string::npos) << told;
}

TEST(PimBadInput, DescriptorsThatLackOrBreakANumber) {
  datasets::Device descriptor = pim_descriptor();
  descriptor.constants.erase("t_rfc_seconds");
  std::string told = refused([&] { pim_device(descriptor); });
  EXPECT_NE(told.find("pim-gpt.toml: t_rfc_seconds is missing"), std::string::npos) << told;
  for (const auto& [key, value] : {std::pair{"t_refi_seconds", 2e-7},
                                   {"channels", 2.5},
                                   {"mac_lanes", 8.0},
                                   {"activate_banks", 3.0},
                                   {"activate_counts_as", 5.0},
                                   {"row_bytes", 100.0},
                                   {"asic_clock_hz", 0.0},
                                   {"vector_buffer_bytes", 33.0}}) {
    descriptor = pim_descriptor();
    set(descriptor, key, value);
    told = refused([&] { pim_device(descriptor); });
    EXPECT_NE(told.find(std::string("pim-gpt.toml: ") + key + " is "), std::string::npos) << key << ": " << told;
  }
}

// -- the registered case

harness::Reply projected(const char* technique, const std::map<std::string, harness::Value>& axes) {
  harness::Job job{.kind = harness::JobKind::time, .technique = technique, .backend = "cpu", .fabric = "cluster"};
  for (const harness::Axis& axis : harness::resolve_technique(technique).implementations.front().axes)
    job.params.set(axis.name, axis.defaults.front());
  for (const auto& [name, value] : axes) job.params.set(name, value);
  return harness::run_job(job);
}

double metric(const harness::Reply& reply, const std::string& name) {
  for (const results_db::Metric& each : reply.launch.metrics)
    if (each.name == name) return each.value;
  ADD_FAILURE() << name << " is not reported: " << reply.reason;
  return 0;
}

TEST(PimCase, SpeedUpIsTheRatioOfTheTwoCases) {
  const std::map<std::string, harness::Value> small{{"model", std::string("gpt2-small")},
                                                    {"generated", std::int64_t{64}}};
  const auto pim = projected("hardware/pim-gpt", small);
  for (const char* software : {"framework", "roofline"}) {
    auto axes = small;
    axes["software"] = std::string(software);
    const auto gpu = projected("hardware/gpu-decode", axes);
    EXPECT_DOUBLE_EQ(metric(pim, std::string("speedup_over_gpu_") + software),
                     metric(gpu, "e2e_latency") / metric(pim, "e2e_latency"));
    EXPECT_DOUBLE_EQ(metric(pim, std::string("energy_gain_over_gpu_") + software),
                     metric(gpu, "energy") / metric(pim, "energy"));
  }
  EXPECT_GT(metric(pim, "speedup_over_gpu_framework"), metric(pim, "speedup_over_gpu_roofline"));
  // The T4 reads 320 GB/s, the banks at most 4,096: more than that ratio is not in the machines.
  EXPECT_LT(metric(pim, "speedup_over_gpu_roofline"), 12.8);
}

TEST(PimCase, SlowerPartsAreSlowerCases) {
  const auto latency = [](const std::map<std::string, harness::Value>& change) {
    std::map<std::string, harness::Value> axes{{"model", std::string("gpt2-small")}, {"generated", std::int64_t{32}}};
    for (const auto& [name, value] : change) axes[name] = value;
    return metric(projected("hardware/pim-gpt", axes), "e2e_latency");
  };
  const double as_is = latency({});
  EXPECT_GT(latency({{"asic_clock", 0.1}}), as_is);
  EXPECT_GT(latency({{"channels", 0.5}}), as_is);
  EXPECT_GT(latency({{"pin_rate", 0.25}}), as_is);
  EXPECT_LT(latency({{"asic_clock", 2.0}}), as_is);
  EXPECT_GT(latency({{"activation", std::string("ganged")}}), as_is);
}

TEST(PimCase, TellsHowFarItsAssumptionsReachAndThatNothingWasMeasured) {
  const auto reply =
      projected("hardware/pim-gpt", {{"model", std::string("gpt2-small")}, {"generated", std::int64_t{64}}});
  EXPECT_NE(reply.launch.descriptors_json.find("outside: no measurement of a PIM package"), std::string::npos);
  const auto step = std::ranges::find(reply.launch.metrics, "step_time", &results_db::Metric::name);
  ASSERT_NE(step, reply.launch.metrics.end());
  ASSERT_TRUE(step->low && step->high);
  // The arithmetic chip's assumed sizes alone, half as many units: its share of the time doubles.
  const PimRun run = decoded(model("gpt2-small"), pim_device(pim_descriptor()), {.generated = 64});
  Picoseconds chip = 0;
  for (std::size_t i = static_cast<std::size_t>(Step::norm); i < kSteps; ++i) chip += run.time[i];
  EXPECT_GT(*step->high / step->value - 1, 0.9 * static_cast<double>(chip) / static_cast<double>(run.total));
  EXPECT_LT(*step->high / step->value - 1, 0.5);
  EXPECT_LT(*step->low, step->value);
}

TEST(PimRun, MayStartInTheMiddle) {
  // Two tokens after 30 others take what they take at the end of 32, but for the phase of refresh.
  const PimDevice device = pim_device(pim_descriptor());
  const Picoseconds all = decoded(small_gpt(), device, {.generated = 32}).total;
  const Picoseconds most = decoded(small_gpt(), device, {.generated = 30}).total;
  const Picoseconds rest = decoded(small_gpt(), device, {.generated = 32, .from = 30}).total;
  EXPECT_NEAR(static_cast<double>(rest), static_cast<double>(all - most), 0.01 * static_cast<double>(rest));
}

TEST(PimCase, UnknownModelsAreToldWithTheNearest) {
  const auto reply = projected("hardware/pim-gpt", {{"model", std::string("gpt2-xxl")}});
  EXPECT_TRUE(reply.user_error);
  EXPECT_NE(reply.reason.find("unknown model 'gpt2-xxl'"), std::string::npos) << reply.reason;
  EXPECT_NE(reply.reason.find("gpt2-xl"), std::string::npos) << reply.reason;
}

// -- baselines

TEST(DecodeBaseline, OfTheRooflineIsBytesOverBandwidth) {
  const datasets::Device gpu = datasets::load_device("t4", datasets::data_root());
  const GptShape gpt = model("gpt2-xl");
  const BaselineRun run = decode_on(gpu, "fp16", gpt, {.generated = 100}, roofline_software());
  EXPECT_NEAR(run.seconds, run.bytes / 3.2e11, 1e-9);
  EXPECT_EQ(run.launch_seconds, 0);
  // Weights a token, and two reads of a cache that grows from 1 to 100 keys; vectors are a thousandth.
  const double least = 100 * 2 * gpt.weights() + 2 * 2 * 48 * 1600 * 5050.0;
  EXPECT_GT(run.bytes, least);
  EXPECT_LT(run.bytes, 1.002 * least);
}

TEST(DecodeBaseline, FrameworksPayForEveryKernel) {
  const datasets::Device gpu = datasets::load_device("t4", datasets::data_root());
  Software software = framework_software(gpu);
  const BaselineRun run = decode_on(gpu, "fp16", model("gpt2-small"), {.generated = 10}, software);
  EXPECT_NEAR(run.launch_seconds, run.kernels * 7.5e-6, 1e-12);
  EXPECT_NEAR(run.kernels, 10 * (12 * 24 + 6), 1e-6);
  EXPECT_NEAR(run.seconds, run.launch_seconds + run.memory_seconds + run.compute_seconds, 1e-12);
  software.launch_seconds *= 2;
  EXPECT_NEAR(decode_on(gpu, "fp16", model("gpt2-small"), {.generated = 10}, software).seconds - run.seconds,
              run.launch_seconds, 1e-9);
}

TEST(DecodeBaseline, ReadsAPromptInOnePass) {
  const datasets::Device gpu = datasets::load_device("t4", datasets::data_root());
  const BaselineRun prompt =
      decode_on(gpu, "fp16", model("gpt2-small"), {.prompt = 64, .generated = 1}, roofline_software());
  const BaselineRun tokens = decode_on(gpu, "fp16", model("gpt2-small"), {.generated = 64}, roofline_software());
  EXPECT_LT(prompt.seconds, tokens.seconds / 20);
  EXPECT_EQ(prompt.first_token, prompt.seconds);
}

TEST(DecodeBaseline, IsMovedByEveryResidualItReads) {
  for (const char* id : {"t4", "xeon-6154"}) {
    const datasets::Device device = datasets::load_device(id, datasets::data_root());
    const char* dtype = std::string(id) == "t4" ? "fp16" : "fp32";
    const GptShape shape = model("gpt2-xl");
    const DecodePlan plan{.prompt = 512, .generated = 16};
    const BaselineRun nominal = decode_on(device, dtype, shape, plan, framework_software(device));
    std::map<std::string, std::pair<double, double>> span;
    for (const auto& [cause, run] : moved_baselines(device, dtype, shape, plan, framework_software(device))) {
      auto& [low, high] = span.try_emplace(cause, nominal.seconds, nominal.seconds).first->second;
      low = std::min(low, run.seconds);
      high = std::max(high, run.seconds);
    }
    for (const char* cause : {"eff_gemm", "eff_memory", "launch"}) {
      ASSERT_TRUE(span.contains(cause)) << id << " " << cause;
      EXPECT_LT(span.at(cause).first, nominal.seconds) << id << " " << cause;
      EXPECT_GT(span.at(cause).second, nominal.seconds) << id << " " << cause;
    }
    // At the limits of the machine neither efficiency counts.
    for (const auto& [cause, run] : moved_baselines(device, dtype, shape, plan, roofline_software()))
      EXPECT_EQ(run.seconds, decode_on(device, dtype, shape, plan, roofline_software()).seconds) << cause;
  }
}

TEST(DecodeBaseline, OfAMachineWithoutPowerHasNoEnergy) {
  datasets::Device gpu = datasets::load_device("t4", datasets::data_root());
  gpu.constants.erase("power_watts");
  const BaselineRun run = decode_on(gpu, "fp16", model("gpt2-xl"), {.generated = 4}, framework_software(gpu));
  EXPECT_GT(run.seconds, 0);
  EXPECT_EQ(run.joules, 0);
}

TEST(DecodeBaseline, RefusesModelsThatDoNotFit) {
  datasets::Device gpu = datasets::load_device("t4", datasets::data_root());
  set(gpu, "memory_bytes", 2e9);
  const std::string told =
      refused([&] { decode_on(gpu, "fp16", model("gpt2-xl"), {.generated = 1}, roofline_software()); });
  EXPECT_NE(told.find("model gpt2-xl does not fit t4"), std::string::npos) << told;
}

}  // namespace
}  // namespace assay::hardware
