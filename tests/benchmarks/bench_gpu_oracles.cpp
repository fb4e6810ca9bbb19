// What a CPU does while ci/gpu-check checks: the draws and float64 oracles of a suite's attention cases, two of each a
// case as the gate has them. No GPU is needed.
//   bench_gpu_oracles [SUITE]    default: gpu-check
#include <fmt/format.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "harness/suite.h"
#include "impls/attention/gradients.h"
#include "impls/attention/oracle.h"
#include "impls/substrate/cpu_features.h"

namespace {

using assay::attention::DType;
using assay::attention::InputLaw;
using assay::attention::Problem;
using assay::harness::Case;

double seconds_of(const auto& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Problem problem_of(const Case& item) {
  const auto count = [&](const char* name, int otherwise) {
    return item.params.has(name) ? static_cast<int>(item.params.integer(name)) : otherwise;
  };
  Problem p;
  p.queries = count("sequence_length", 1);
  p.keys = count("context", 0) > 0 ? count("context", 0) : p.queries;
  p.batch = count("batch", 1);
  p.heads = count("heads", 1);
  p.kv_heads = count("kv_heads", 0) > 0 ? count("kv_heads", 0) : p.heads;
  p.head_dim = count("head_dim", 128);
  p.causal = count("causal", 1) == 1;
  p.dtype = item.params.text("dtype") == "bf16" ? DType::bf16 : DType::f16;
  return assay::attention::aligned(p);
}

struct Spent {
  int cases = 0;
  double draws = 0, oracles = 0, longest = 0;
};

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, Spent> by_technique;
  for (const Case& item : assay::harness::expand(assay::harness::suite_named(argc > 1 ? argv[1] : "gpu-check"))) {
    if (item.technique->id.rfind("attention/", 0) != 0) continue;
    const Problem p = problem_of(item);
    assay::attention::Storage storage(p), gradients(p);
    const bool backward = item.params.has("pass") && item.params.text("pass") == "backward";
    const auto& inputs = storage.tensors();
    const auto draw = [&] {
      assay::attention::draw_inputs(p, InputLaw::normal, 1, inputs);
      if (backward)
        assay::attention::draw_tensor(gradients.tensors().o, p.batch, p.heads, p.queries, p.head_dim, InputLaw::normal,
                                      2);
    };
    const double draws = 2 * seconds_of(draw);
    const double oracles = 2 * seconds_of([&] {
                             if (backward)
                               assay::attention::GradientReference(p, inputs, gradients.tensors().o, 1);
                             else
                               assay::attention::Reference(p, inputs, 1);
                           });
    Spent& spent = by_technique[item.technique->id + (backward ? ", backward" : "")];
    ++spent.cases;
    spent.draws += draws;
    spent.oracles += oracles;
    spent.longest = std::max(spent.longest, draws + oracles);
  }
  Spent all;
  fmt::print("on {} CPUs\n{:<40} {:>6} {:>10} {:>10} {:>10}\n", assay::substrate::allowed_cpus().size(), "technique",
             "cases", "draws s", "oracles s", "longest s");
  const auto print = [](const std::string& name, const Spent& spent) {
    fmt::print("{:<40} {:>6} {:>10.2f} {:>10.2f} {:>10.2f}\n", name, spent.cases, spent.draws, spent.oracles,
               spent.longest);
  };
  for (const auto& [name, spent] : by_technique) {
    print(name, spent);
    all.cases += spent.cases;
    all.draws += spent.draws;
    all.oracles += spent.oracles;
    all.longest = std::max(all.longest, spent.longest);
  }
  print("all", all);
}
