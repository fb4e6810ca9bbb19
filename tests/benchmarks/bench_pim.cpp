// What stream reuse saves: processor seconds to simulate tokens on the PIM package with and without it, and their
// ratio; both give the same bits, which is checked here too. GPT-2 XL for 1,024 tokens with reuse; without it every
// command of every channel is worked out, so a few tokens are taken and compared token for token (--all: 64 tokens).
#include <fmt/format.h>

#include <cstdlib>
#include <ctime>
#include <string_view>

#include "datasets/machine.h"
#include "impls/hardware/pim/pim_run.h"

namespace {

using assay::hardware::PimRun;

struct Timed {
  PimRun run;
  double seconds = 0;
};

Timed timed(const assay::hardware::Mapping& mapping, std::int64_t tokens, bool reuse) {
  const std::clock_t begin = std::clock();
  Timed timed{decode(mapping, {.generated = tokens, .reuse = reuse})};
  timed.seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  return timed;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace assay;
  const bool all = argc > 1 && std::string_view(argv[1]) == "--all";
  const hardware::PimDevice device = hardware::pim_device(datasets::load_device("pim-gpt", datasets::data_root()));
  fmt::print("{:>11} {:>7} {:>10} {:>10} {:>8} {:>14} {:>14} {:>9}\n", "model", "tokens", "whole s", "reused s",
             "ratio", "commands", "simulated", "same bits");
  bool same = true;
  for (const char* id : {"gpt2-small", "gpt2-xl", "gpt3-xl"}) {
    const hardware::Mapping mapping(hardware::gpt_shape(datasets::load_model(id, datasets::data_root())), device);
    const std::int64_t few = all ? 64 : 4;
    const Timed whole = timed(mapping, few, false), reused = timed(mapping, few, true);
    same = same && reused.run.same_result(whole.run);
    fmt::print("{:>11} {:>7} {:>10.3f} {:>10.4f} {:>8.0f} {:>14} {:>14} {:>9}\n", id, few, whole.seconds,
               reused.seconds, whole.seconds / reused.seconds, whole.run.commands_simulated,
               reused.run.commands_simulated, reused.run.same_result(whole.run) ? "yes" : "NO");
    // The whole simulation costs the same for every token, but for the keys a token attends to.
    const Timed full = timed(mapping, 1024, true);
    const double whole_full = whole.seconds / static_cast<double>(few) * 1024;
    fmt::print("{:>11} {:>7} {:>10} {:>10.4f} {:>8} {:>14} {:>14}\n", id, 1024, fmt::format("~{:.0f}", whole_full),
               full.seconds, fmt::format("~{:.0f}", whole_full / full.seconds), "", full.run.commands_simulated);
  }
  return same ? EXIT_SUCCESS : EXIT_FAILURE;
}
