// Attention on one core against what the core can do: probe rates, kernel rates, shares and ratios, in one run.
//   taskset -c 1 build/release/bin/bench_attention [rounds [length]]
// Every round times each kernel once, one after the other, so that a slow phase of the machine meets them all; printed
// are the best and the median over the rounds. Rates are useful FLOP/s (masked pairs not counted).
#include <fmt/format.h>

#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/registry.h"
#include "impls/attention/techniques.h"
#include "impls/substrate/simd/tile_kernels.h"
#include "tests/impls/attention/state_for_tests.h"

namespace {

using namespace assay;
using attention::DType;
using attention::Isa;
using attention::Problem;

struct Timed {
  std::string name;
  double flops;
  std::function<void()> run;
  std::vector<double> seconds = {};

  double best() const { return flops / *std::min_element(seconds.begin(), seconds.end()) * 1e-9; }
  double median() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return flops / sorted[sorted.size() / 2] * 1e-9;
  }
};

// CPU time, not wall time: on a shared machine the core is given to others in between, and everything here is one
// thread.
double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void time_all(std::vector<Timed>& all, int rounds) {
  for (Timed& one : all) one.run();
  for (int round = 0; round < rounds; ++round) {
    for (Timed& one : all) {
      const double start = cpu_seconds();
      one.run();
      one.seconds.push_back(cpu_seconds() - start);
    }
  }
}

std::map<std::string, double> probe_rates(int rounds) {
  std::vector<Timed> probes;
  std::vector<std::shared_ptr<attention::StateForTests>> states;
  for (const char* name : {"fp32-fma", "bf16-matrix", "bf16-matrix-l1", "bf16-matrix-exp"}) {
    try {
      states.push_back(std::make_shared<attention::StateForTests>(
          *harness::find_technique("hardware/cpu-roofs"),
          std::map<std::string, harness::Value, std::less<>>{{"probe", std::string(name)}}));
      probes.push_back({name, states.back()->work.flops, states.back()->region});
    } catch (const attention::Skipped& skipped) {
      fmt::print("{:<28} skipped: {}\n", name, skipped.what());
    }
  }
  time_all(probes, rounds * 20);
  std::map<std::string, double> rates;
  for (const Timed& probe : probes) {
    fmt::print("{:<28} best {:7.1f}   median {:7.1f} GFLOP/s\n", probe.name, probe.best(), probe.median());
    rates[probe.name] = probe.best();
  }
  return rates;
}

void shape(int length, bool causal, DType dtype, const std::map<std::string, double>& roofs, int rounds) {
  const int heads = length >= 8192 ? 1 : 2;
  const Problem problem = attention::aligned({.queries = length,
                                              .keys = length,
                                              .heads = heads,
                                              .kv_heads = heads,
                                              .head_dim = 128,
                                              .dtype = dtype,
                                              .causal = causal});
  attention::Storage storage(problem);
  attention::draw_inputs(problem, attention::InputLaw::normal, 1, storage.tensors());
  const attention::Execution best{.isa = substrate::best_isa(dtype)};
  attention::Execution blocked128 = best;
  blocked128.block_rows = 128;
  attention::Execution blocked256 = best;
  blocked256.block_rows = 256;

  std::vector<Timed> all;
  const auto add = [&](const char* name, const attention::Kernel& kernel) {
    if (kernel) all.push_back({name, problem.flops(), [kernel, &storage] { kernel(storage.tensors()); }});
  };
  add("flash-attention-2", attention::flash_attention_2(problem, best));
  add("flash-attention-1", attention::flash_attention_1(problem, best));
  add("mem-efficient-attention", attention::mem_efficient_attention(problem, best));
  add("naive-attention", attention::naive_attention(problem, best));
  add("onednn unblocked", attention::onednn_attention(problem, best));
  add("onednn blocked 128", attention::onednn_attention(problem, blocked128));
  add("onednn blocked 256", attention::onednn_attention(problem, blocked256));
  time_all(all, rounds);

  const bool bf16_units = best.isa == Isa::avx512_bf16 || best.isa == Isa::amx;
  const double roof = roofs.at(bf16_units ? "bf16-matrix-exp" : "fp32-fma");
  const double matrix = roofs.at(bf16_units ? "bf16-matrix" : "fp32-fma");
  fmt::print("\n{} tokens, {}, {}, {} head{} of 128, isa {}\n", length, causal ? "causal" : "full", to_string(dtype),
             heads, heads > 1 ? "s" : "", to_string(best.isa));
  fmt::print("  {:<26} {:>8} {:>8}  {:>10} {:>10}  {:>14}\n", "GFLOP/s", "best", "median", "% of roof", "% of peak",
             "fa2 is faster");
  for (const Timed& one : all) {
    fmt::print("  {:<26} {:8.1f} {:8.1f}  {:9.1f}% {:9.1f}%  {:13.2f}x\n", one.name, one.best(), one.median(),
               100 * one.best() / roof, 100 * one.best() / matrix, all.front().median() / one.median());
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
  const int only = argc > 2 ? std::atoi(argv[2]) : 0;
  const auto roofs = probe_rates(rounds);
  for (const DType dtype : {DType::bf16, DType::f32}) {
    for (const int length : {1024, 4096, 8192}) {
      if (only != 0 && only != length) continue;
      for (const bool causal : {true, false}) shape(length, causal, dtype, roofs, rounds);
    }
  }
  fmt::print(
      "\nroof: bf16-matrix-exp for bf16 units, fp32-fma else; peak: bf16-matrix, fp32-fma. Ratios are of medians.\n");
  return 0;
}
