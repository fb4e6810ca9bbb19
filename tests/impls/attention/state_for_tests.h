#pragma once
// A State that runs a registered technique the way the harness does, keeps what it declared, and skips nothing
// silently.
#include <algorithm>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "harness/gpu/device.h"
#include "harness/registry.h"
#include "harness/state.h"

namespace assay::attention {

struct Skipped : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class StateForTests : public harness::State {
 public:
  // On backend cuda `device` is what the technique is given.
  StateForTests(const harness::Technique& technique, const std::map<std::string, harness::Value, std::less<>>& values,
                harness::gpu::Device* device = nullptr)
      : backend_(device == nullptr ? "cpu" : "cuda"), device_(device) {
    const auto implementation =
        std::ranges::find_if(technique.implementations, [&](const auto& one) { return one.backend == backend_; });
    std::map<std::string, harness::Value, std::less<>> all;
    for (const harness::Axis& axis : implementation->axes) all[axis.name] = axis.defaults.front();
    for (const auto& [name, value] : values) all[name] = value;
    params_ = harness::Params(std::move(all));
    implementation->run(*this);
  }

  // Poison, run, compare.
  harness::Check check(const std::function<void()>& body) {
    for (harness::Output& output : outputs) std::ranges::fill(output.bytes, std::byte{0xff});
    body();
    return oracle_();
  }
  // Compares what is there without running anything.
  harness::Check still() { return oracle_(); }
  void draw(std::uint64_t seed) { draw_(seed); }

  harness::Work work;
  std::vector<harness::Output> outputs;
  std::map<std::string, std::function<void()>> mutants;
  std::function<void()> region;

  const harness::Params& params() const override { return params_; }
  const std::string& backend() const override { return backend_; }
  const std::string& fabric() const override { return fabric_; }
  std::uint64_t seed() const override { return 1; }
  void declare(const harness::Work& declared) override { work = declared; }
  void inputs(std::function<void(std::uint64_t)> draw) override {
    draw_ = std::move(draw);
    draw_(1);
  }
  void output(harness::Output output) override { outputs.push_back(std::move(output)); }
  harness::gpu::Device& device() override { return *device_; }
  void device_output(std::string name, void* memory, std::size_t bytes) override {
    outputs.push_back({std::move(name), {static_cast<std::byte*>(memory), bytes}});
  }
  void oracle(std::function<harness::Check()> compare) override { oracle_ = std::move(compare); }
  void mutant(std::string name, std::function<void()> run) override { mutants[std::move(name)] = std::move(run); }
  void prepare(std::function<void()>) override {}
  void measure(std::function<void()> timed) override { region = std::move(timed); }
  void report(results_db::Metric) override {}
  void breakdown(results_db::BreakdownPart) override {}
  void interval(results_db::IntervalRecord) override {}
  void descriptor(std::string, std::string) override {}
  bool gating() const override { return true; }
  [[noreturn]] void skip(std::string reason) override { throw Skipped(reason); }

 private:
  harness::Params params_;
  std::string backend_;
  harness::gpu::Device* device_ = nullptr;
  std::string fabric_;
  std::function<void(std::uint64_t)> draw_;
  std::function<harness::Check()> oracle_;
};

}  // namespace assay::attention
