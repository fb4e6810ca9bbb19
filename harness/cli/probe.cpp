// assay probe: measures the roofs of this machine with the technique hardware/cpu-roofs, fits what a device descriptor
// wants to know, and writes one.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "datasets/machine.h"
#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/cli/commands.h"
#include "harness/machine_lock.h"
#include "harness/registry.h"
#include "harness/state.h"
#include "harness/system_facts.h"
#include "harness/table.h"
#include "impls/substrate/models/coordinate_search.h"
#include "impls/substrate/models/operator_time.h"
#include "impls/substrate/models/operator_work.h"

namespace assay::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Measured {
  std::string skipped;  // why there is nothing
  double seconds = 0;   // one iteration undisturbed: the tenth percentile, for other programs only ever add time
  double spread = 0;    // P90 of the relative distance from it among the faster half of the samples
  harness::Work work;
  double flops_rate() const { return work.flops / seconds; }
  double bytes_rate() const { return work.bytes / seconds; }
};

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

// Runs one probe here and now: the result is checked against its oracle before any time counts.
class ProbeState final : public harness::State {
 public:
  ProbeState(harness::Params params, double budget, std::uint64_t seed)
      : params_(std::move(params)), budget_(budget), seed_(seed) {}

  struct Skipped {
    std::string reason;
  };

  const harness::Params& params() const override { return params_; }
  const std::string& backend() const override { return backend_; }
  const std::string& fabric() const override { return fabric_; }
  std::uint64_t seed() const override { return seed_; }
  void declare(const harness::Work& work) override { found.work = work; }
  void inputs(std::function<void(std::uint64_t)> draw) override { draw_ = std::move(draw); }
  void output(harness::Output /*output*/) override {}
  void oracle(std::function<harness::Check()> compare) override { compare_ = std::move(compare); }
  void mutant(std::string /*name*/, std::function<void()> /*run*/) override {}
  void prepare(std::function<void()> /*set_up*/) override {}
  void report(results_db::Metric /*metric*/) override {}
  void breakdown(results_db::BreakdownPart /*part*/) override {}
  void interval(results_db::IntervalRecord /*interval*/) override {}
  void descriptor(std::string /*kind_and_id*/, std::string /*hash*/) override {}
  bool gating() const override { return false; }
  [[noreturn]] void skip(std::string reason) override { throw Skipped{std::move(reason)}; }

  void measure(std::function<void()> region) override {
    if (draw_) draw_(seed_);
    region();
    const harness::Check check = compare_();
    if (!(check.error <= 1)) throw std::runtime_error(fmt::format("probe gave a wrong result: {}", check.detail));
    const auto once = [&](int times) {
      const auto begin = Clock::now();
      for (int i = 0; i < times; ++i) region();
      return std::chrono::duration<double>(Clock::now() - begin).count() / times;
    };
    // Batches of 200 us or more, so that reading the clock does not count.
    int batch = 1;
    while (once(batch) * batch < 2e-4 && batch < (1 << 20)) batch *= 2;
    std::vector<double> samples;
    const auto begin = Clock::now();
    while (samples.size() < 15 || std::chrono::duration<double>(Clock::now() - begin).count() < budget_) {
      samples.push_back(once(batch));
      if (samples.size() >= 2000) break;
    }
    std::sort(samples.begin(), samples.end());
    found.seconds = quantile(samples, 0.1);
    samples.resize((samples.size() + 1) / 2);
    std::vector<double> off;
    for (const double sample : samples) off.push_back(std::abs(sample / found.seconds - 1));
    found.spread = quantile(off, 0.9);
  }

  Measured found;

 private:
  harness::Params params_;
  double budget_;
  std::uint64_t seed_;
  std::string backend_ = "cpu", fabric_;
  std::function<void(std::uint64_t)> draw_;
  std::function<harness::Check()> compare_;
};

Measured measure(const std::string& probe, std::int64_t working_set, std::int64_t threads, double budget) {
  const harness::Technique& roofs = harness::resolve_technique("hardware/cpu-roofs");
  harness::Params params;
  params.set("probe", probe);
  params.set("working_set", working_set);
  params.set("threads", threads);
  ProbeState state(std::move(params), budget, static_cast<std::uint64_t>(Clock::now().time_since_epoch().count()));
  try {
    roofs.implementations.front().run(state);
  } catch (const ProbeState::Skipped& absent) {
    state.found.skipped = absent.reason;
  }
  return state.found;
}

struct Found {
  datasets::Device device;
  std::vector<std::string> left_out;
  double busy = 0;  // load a core before the probes
};

struct Copy {
  substrate::OpWork work;
  Measured measured;
};

// Constants of streaming kernels from copies of many sizes, every other one held out.
void fit_copies(datasets::Device& device, const std::vector<Copy>& copies) {
  const std::vector<std::string> keys{"eff_copy", "eff_copy_l2", "copy_seconds"};
  const auto with = [&](const std::vector<double>& values) {
    datasets::Device changed = device;
    for (std::size_t i = 0; i < keys.size(); ++i) changed.constants[keys[i]].value = values[i];
    return changed;
  };
  const auto errors = [&](const std::vector<double>& values, int part) {
    const datasets::Device changed = with(values);
    std::vector<double> found;
    for (std::size_t i = 0; i < copies.size(); ++i) {
      if (part >= 0 && static_cast<int>(i % 2) != part) continue;
      found.push_back(
          std::abs(std::log(substrate::operator_seconds(changed, copies[i].work) / copies[i].measured.seconds)));
    }
    return found;
  };
  const std::vector<double> start{0.8, 0.5, 2e-6}, most(3, std::numeric_limits<double>::infinity());
  const auto fit = [&](int part) {
    return substrate::coordinate_search(start, most, [&](const std::vector<double>& values) {
      double sum = 0;
      for (const double error : errors(values, part)) sum += error;
      return sum;
    });
  };
  std::vector<double> held_out;
  for (const int part : {0, 1}) {
    for (const double error : errors(fit(part), 1 - part)) held_out.push_back(error);
  }
  const std::vector<double> values = fit(-1);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    device.constants[keys[i]] = {
        values[i],
        fmt::format("fitted: memory-copy of hardware/cpu-roofs at {} sizes from {} to {}; "
                    "residual median {:.3f}, held out by size median {:.3f}, P90 {:.3f}",
                    copies.size(), datasets::format_si(copies.front().work.bytes, "B"),
                    datasets::format_si(copies.back().work.bytes, "B"), quantile(errors(values, -1), 0.5),
                    quantile(held_out, 0.5), quantile(held_out, 0.9)),
        quantile(held_out, 0.9), true};
  }
}

Found probe_machine(const std::string& id, double budget) {
  const harness::SystemFacts facts = harness::read_system_facts();
  const auto threads = static_cast<std::int64_t>(std::max(1, facts.usable_cores));
  std::int64_t last_level = 0;
  for (const harness::CpuCache& cache : facts.caches) {
    if (cache.type != "Instruction") last_level = std::max(last_level, cache.bytes * cache.instances);
  }
  Found found;
  found.busy = harness::load_per_core();
  datasets::Device& device = found.device;
  device.id = id;
  device.name = facts.cpu;
  const auto fact = [&](const char* key, double value, std::string source) {
    device.constants[key] = {value, std::move(source), 0, false};
  };
  const auto roof = [&](const char* key, const char* probe, std::int64_t working_set, bool flops) {
    const Measured measured = measure(probe, working_set, threads, budget);
    if (!measured.skipped.empty()) {
      found.left_out.push_back(fmt::format("{}: {}", key, measured.skipped));
      return measured;
    }
    const double rate = flops ? measured.flops_rate() : measured.bytes_rate();
    device.constants[key] = {
        rate,
        fmt::format("measured: {} of hardware/cpu-roofs, {} threads{}", probe, threads,
                    flops ? "" : ", " + datasets::format_si(static_cast<double>(working_set), "B")),
        measured.spread, false};
    return measured;
  };
  fact("memory_bytes", static_cast<double>(facts.memory_bytes), "the kernel");
  fact("units", static_cast<double>(threads), "CPUs this process may use");
  // Far beyond the last cache, within a quarter of what is free.
  const std::int64_t large =
      std::clamp<std::int64_t>(4 * last_level, std::int64_t{64} << 20,
                               std::max<std::int64_t>(std::int64_t{64} << 20, facts.memory_available_bytes / 4));
  roof("memory_bandwidth", "memory-read", large, false);
  if (last_level > 0) {
    fact("l2_bytes", static_cast<double>(last_level), "the kernel: caches of the last level together");
    roof("l2_bandwidth", "memory-read", std::max<std::int64_t>(last_level / 4, 65536), false);
  }
  roof("peak_fp32", "fp32-fma", 4096, true);
  const Measured matrix = roof("peak_bf16", "bf16-matrix", 4096, true);
  if (matrix.skipped.empty()) {
    const Measured fed = measure("bf16-matrix-l1", 4096, threads, budget);
    if (fed.skipped.empty()) {
      device.constants["eff_gemm"] = {std::min(1.0, fed.flops_rate() / matrix.flops_rate()),
                                      "measured: bf16-matrix-l1 over bf16-matrix of hardware/cpu-roofs",
                                      std::max(fed.spread, matrix.spread), true};
    }
    const Measured softmax = measure("bf16-matrix-exp", 4096, threads, budget);
    if (softmax.skipped.empty()) {
      // 512 matrix FLOPs a score; what they leave of the time is the exponential's.
      const double scores = softmax.flops_rate() / 512;
      device.constants["exp_per_second"] = {scores,
                                            "measured: scores of bf16-matrix-exp of hardware/cpu-roofs, softmax and "
                                            "products interleaved: at least so many",
                                            softmax.spread, false};
    }
  }
  std::vector<Copy> copies;
  for (std::int64_t bytes = 1 << 16; bytes <= large; bytes *= 2) {
    Copy copy;
    copy.measured = measure("memory-copy", bytes, threads, budget / 4);
    copy.work = substrate::copy_work(copy.measured.work.bytes / 2);
    copies.push_back(copy);
  }
  fit_copies(device, copies);
  return found;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out + "\"";
}

constexpr double kBusy = 0.3;  // load a core from which a probe says that it was not alone

std::string to_toml(const Found& found, const std::string& date) {
  const datasets::Device& device = found.device;
  std::string out = fmt::format("id = {}\nname = {}\nprovenance = \"measured by assay probe {}{}\"\ndate = {}\n",
                                quoted(device.id), quoted(device.name), ASSAY_VERSION,
                                found.busy > kBusy ? ", while other programs kept the machine busy" : "", quoted(date));
  for (const bool fitted : {false, true}) {
    out += fitted ? "\n[fitted]\n" : "\n[constants]\n";
    for (const auto& [key, constant] : device.constants) {
      if (constant.fitted != fitted) continue;
      out += fmt::format("{} = {{ value = {:.6e}, p90_error = {:.4f}, source = {} }}\n", key, constant.value,
                         constant.p90_error, quoted(constant.source));
    }
  }
  return out;
}

void print_table(const Found& found, const Context& context) {
  fmt::print("{}\n", harness::styled(found.device.name, harness::Style::bold, context.color));
  harness::Table table({{"constant"}, {"value", true}, {"P90 residual", true}, {"source", false, 20}});
  for (const auto& [key, constant] : found.device.constants) {
    table.add_row({key, fmt::format("{:.4g}", constant.value),
                   constant.p90_error > 0 ? fmt::format("{:.1f}%", 100 * constant.p90_error) : "", constant.source});
  }
  fmt::print("{}", table.render(context.width, context.color));
  for (const std::string& line : found.left_out) fmt::print("left out: {}\n", line);
  if (found.busy > kBusy) {
    fmt::print("note: {:.0f}% of this machine was busy with other programs; probe again when it is idle\n",
               100 * found.busy);
  }
}

}  // namespace

void add_probe(CLI::App& app, Context& context) {
  struct Request {
    std::string output;
    double budget = 0.3;
  };
  CLI::App* command = app.add_subcommand("probe", "measure this machine and write its device descriptor");
  const auto request = std::make_shared<Request>();
  command->add_option("--output", request->output, "write the descriptor here, ID.toml");
  command->add_option("--seconds", request->budget, "for each probe")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 60.0));
  command->footer(
      "Examples:\n  assay probe\n  assay probe --output this-cpu.toml\n"
      "  assay validate profile.csv --device ./this-cpu.toml");
  command->callback([request, &context] {
    std::string id = "this-cpu";
    if (!request->output.empty()) {
      const std::string& path = request->output;
      const std::size_t slash = path.rfind('/');
      id = path.substr(slash == std::string::npos ? 0 : slash + 1);
      if (!id.ends_with(".toml") || id.size() < 6) {
        throw UserError(fmt::format("--output: found '{}', expected a name that ends in .toml", path));
      }
      id.resize(id.size() - 5);
      if (!std::ofstream(path, std::ios::app)) {
        throw UserError(fmt::format("{}: cannot be written, expected a path for a descriptor", path));
      }
    }
    const Found found = probe_machine(id, request->budget);
    const std::string date = fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::time(nullptr)));
    if (!request->output.empty()) {
      std::ofstream file(request->output, std::ios::trunc);
      file << to_toml(found, date);
      if (!file.flush()) throw UserError(fmt::format("{}: cannot be written", request->output));
    }
    if (context.json) {
      nlohmann::json out = {
          {"schema_version", 1}, {"id", id}, {"name", found.device.name}, {"date", date}, {"left_out", found.left_out}};
      for (const auto& [key, constant] : found.device.constants) {
        out["constants"][key] = {{"value", constant.value},
                                 {"p90_error", constant.p90_error},
                                 {"fitted", constant.fitted},
                                 {"source", constant.source}};
      }
      fmt::print("{}\n", out.dump(2));
      return;
    }
    print_table(found, context);
    if (!request->output.empty()) fmt::print("written: {}\n", request->output);
  });
}

}  // namespace assay::cli
