// How often the verdict is wrong, measured on this machine: identical kernels compared with each other (A/A), and
// kernels that really do 2, 5 and 10% more work. Every launch is a fresh process of this program, 10 a side in A B B A
// order. Beside the verdict stand three rules in common use, on the same data: Mann-Whitney on the raw samples of one
// launch a side, the same on launch medians without floor or blocks, and the rule of nvbench_compare (a difference
// counts when it is larger than the smaller relative deviation of the samples).
//
//   bench_aa [A/A comparisons, 200] [comparisons per planted effect, 60]
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "harness/stats/decide.h"
#include "harness/stats/shape.h"
#include "harness/table.h"
#include "impls/substrate/random.h"

extern char** environ;  // NOLINT: POSIX

namespace {

using namespace assay;
using harness::stats::Block;
using harness::stats::Decision;
using harness::stats::Verdict;
using Clock = std::chrono::steady_clock;

constexpr int launches = 10;
constexpr int keys = 64;
constexpr int width = 64;
constexpr int base_rows = 100;  // one sample: attention of 100 rows over 64 keys; 102 rows are 2% more work
constexpr double launch_seconds = 0.025;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// One row of attention over all keys: scores, softmax, weighted sum of values.
void attend(const float* query, const std::vector<float>& k, const std::vector<float>& v, std::vector<float>& score,
            float* out) {
  float highest = -1e30F;
  for (int j = 0; j < keys; ++j) {
    float sum = 0;
    for (int d = 0; d < width; ++d) sum += query[d] * k[static_cast<std::size_t>(j * width + d)];
    score[static_cast<std::size_t>(j)] = sum / 8;
    highest = std::max(highest, sum / 8);
  }
  float total = 0;
  for (float& s : score) {
    s = std::exp(s - highest);
    total += s;
  }
  std::fill(out, out + width, 0.0F);
  for (int j = 0; j < keys; ++j)
    for (int d = 0; d < width; ++d)
      out[d] += score[static_cast<std::size_t>(j)] / total * v[static_cast<std::size_t>(j * width + d)];
}

// The child: one launch, its samples written to standard output as doubles.
int launch(int rows) {
  substrate::Random random(static_cast<std::uint64_t>(getpid()));
  const auto fill = [&](std::size_t n) {
    std::vector<float> values(n);
    for (float& value : values) value = static_cast<float>(random.normal());
    return values;
  };
  const std::vector<float> k = fill(std::size_t{keys} * width);
  const std::vector<float> v = fill(std::size_t{keys} * width);
  const std::vector<float> q = fill(static_cast<std::size_t>(rows) * width);
  std::vector<float> out(static_cast<std::size_t>(rows) * width);
  std::vector<float> score(keys);
  std::vector<double> samples;
  const Clock::time_point began = Clock::now();
  while (seconds_since(began) < launch_seconds || samples.size() < 10) {
    const Clock::time_point start = Clock::now();
    for (int row = 0; row < rows; ++row)
      attend(&q[static_cast<std::size_t>(row * width)], k, v, score, &out[static_cast<std::size_t>(row * width)]);
    samples.push_back(seconds_since(start));
  }
  float sink = 0;
  for (const float x : out) sink += x;
  if (std::isnan(sink)) return 1;
  const char* bytes = reinterpret_cast<const char*>(samples.data());
  for (std::size_t left = samples.size() * sizeof(double); left > 0;) {
    const ssize_t wrote = write(STDOUT_FILENO, bytes, left);
    if (wrote <= 0) return 1;
    bytes += wrote;
    left -= static_cast<std::size_t>(wrote);
  }
  return 0;
}

struct Launched {
  std::vector<double> samples;  // steady ones
  double median = 0;
  std::int64_t started_ns = 0;
};

Launched start_launch(const std::string& program, int rows) {
  std::array<int, 2> pipe_ends{};
  if (pipe(pipe_ends.data()) != 0) throw std::runtime_error("pipe failed");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, pipe_ends[0]);
  std::string mode = "--launch";
  std::string count = std::to_string(rows);
  std::string name = program;
  std::array<char*, 4> arguments = {name.data(), mode.data(), count.data(), nullptr};
  Launched launched;
  launched.started_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
  pid_t child = 0;
  if (posix_spawn(&child, program.c_str(), &actions, nullptr, arguments.data(), environ) != 0)
    throw std::runtime_error("cannot start " + program);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_ends[1]);
  std::string bytes;
  std::array<char, 1 << 16> buffer{};
  for (ssize_t got = 0; (got = read(pipe_ends[0], buffer.data(), buffer.size())) > 0;)
    bytes.append(buffer.data(), static_cast<std::size_t>(got));
  close(pipe_ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0 || bytes.empty()) throw std::runtime_error("a launch failed");
  std::vector<double> samples(bytes.size() / sizeof(double));
  std::memcpy(samples.data(), bytes.data(), samples.size() * sizeof(double));
  const std::size_t warm = harness::stats::warmup_length(samples);
  launched.samples.assign(samples.begin() + static_cast<std::ptrdiff_t>(warm), samples.end());
  launched.median = harness::stats::median(launched.samples);
  return launched;
}

struct Comparison {
  std::vector<Launched> a, b;
};

Comparison compare(const std::string& program, int rows_b) {
  Comparison out;
  for (int at = 0; at < 2 * launches; ++at) {
    const bool is_b = (at % 4 == 1 || at % 4 == 2) != (at / 4 % 2 == 1);
    (is_b ? out.b : out.a).push_back(start_launch(program, is_b ? rows_b : base_rows));
  }
  return out;
}

Decision verdict_of(const Comparison& comparison) {
  harness::stats::Contest contest;
  for (const Launched& one : comparison.a) contest.a.push_back({one.median, one.started_ns});
  for (const Launched& one : comparison.b) contest.b.push_back({one.median, one.started_ns});
  return harness::stats::decide(contest);
}

bool raw_mann_whitney_cries(const Comparison& comparison) {
  return harness::stats::rank_test(std::vector<Block>{{comparison.a[0].samples, comparison.b[0].samples}}) <= 0.05;
}

bool medians_mann_whitney_cries(const Comparison& comparison) {
  Block block;
  for (const Launched& one : comparison.a) block.a.push_back(one.median);
  for (const Launched& one : comparison.b) block.b.push_back(one.median);
  return harness::stats::rank_test(std::vector<Block>{block}) <= 0.05;
}

bool nvbench_rule_cries(const Comparison& comparison) {
  const auto mean_and_noise = [](const std::vector<double>& samples) {
    double mean = 0;
    for (const double x : samples) mean += x / static_cast<double>(samples.size());
    double squares = 0;
    for (const double x : samples) squares += (x - mean) * (x - mean);
    return std::pair(mean, std::sqrt(squares / static_cast<double>(samples.size() - 1)) / mean);
  };
  const auto [mean_a, noise_a] = mean_and_noise(comparison.a[0].samples);
  const auto [mean_b, noise_b] = mean_and_noise(comparison.b[0].samples);
  return std::abs(mean_b - mean_a) / mean_a > std::min(noise_a, noise_b);
}

struct Tally {
  int total = 0, faster = 0, slower = 0, same = 0, unsure = 0, raw = 0, medians = 0, nvbench = 0;
  std::vector<double> half_widths;
};

void count(Tally& tally, const Comparison& comparison) {
  const Decision decision = verdict_of(comparison);
  ++tally.total;
  tally.faster += decision.verdict == Verdict::faster ? 1 : 0;
  tally.slower += decision.verdict == Verdict::slower ? 1 : 0;
  tally.same += decision.verdict == Verdict::same ? 1 : 0;
  tally.unsure += decision.verdict == Verdict::unsure ? 1 : 0;
  tally.raw += raw_mann_whitney_cries(comparison) ? 1 : 0;
  tally.medians += medians_mann_whitney_cries(comparison) ? 1 : 0;
  tally.nvbench += nvbench_rule_cries(comparison) ? 1 : 0;
  tally.half_widths.push_back(std::log(decision.interval.high / decision.interval.low) / 2);
}

double side_median(const std::vector<Launched>& side) {
  std::vector<double> values;
  for (const Launched& one : side) values.push_back(one.median);
  return harness::stats::median(values);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--launch") == 0) return launch(std::atoi(argv[2]));
  const int alike = argc > 1 ? std::atoi(argv[1]) : 200;
  const int shifted = argc > 2 ? std::atoi(argv[2]) : 60;
  std::array<char, 4096> self{};
  if (readlink("/proc/self/exe", self.data(), self.size() - 1) <= 0) return 1;
  const std::string program = self.data();

  harness::Table table({{"truth"},
                        {"n", true},
                        {"FASTER", true},
                        {"SLOWER", true},
                        {"SAME", true},
                        {"UNSURE", true},
                        {"half-width", true},
                        {"MW samples", true},
                        {"MW medians", true},
                        {"nvbench", true}});
  std::vector<double> sessions;
  const auto row = [&](const std::string& truth, const Tally& tally) {
    const auto share = [&](int part) { return fmt::format("{:.1f}%", 100.0 * part / tally.total); };
    table.add_row({truth, std::to_string(tally.total), share(tally.faster), share(tally.slower), share(tally.same),
                   share(tally.unsure), fmt::format("{:.2f}%", 100 * harness::stats::median(tally.half_widths)),
                   share(tally.raw), share(tally.medians), share(tally.nvbench)});
  };
  for (const int extra : {0, 2, 5, 10}) {  // rows of a hundred
    const int repeats = extra == 0 ? alike : shifted;
    Tally tally;
    for (int i = 0; i < repeats; ++i) {
      const Comparison comparison = compare(program, base_rows + extra);
      count(tally, comparison);
      if (extra == 0) sessions.push_back(side_median(comparison.a));
      if (isatty(STDERR_FILENO) == 1) fmt::print(stderr, "\r+{}%: {} of {} ", extra, i + 1, repeats);
    }
    row(extra == 0 ? "identical" : fmt::format("B +{}%", extra), tally);
  }
  fmt::print("{}\n", table.render(120));
  fmt::print("MW samples, MW medians and nvbench: how often each calls the sides different.\n");
  for (const std::size_t apart : {std::size_t{1}, std::size_t{10}, std::size_t{50}}) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i + apart < sessions.size(); ++i)
      ratios.push_back(std::abs(sessions[i + apart] / sessions[i] - 1));
    if (ratios.size() < 10) continue;
    fmt::print(
        "medians of ten launches, {} comparisons apart: differ by {:.2f}% (median), {:.2f}% (P90), {:.2f}% (P99)\n",
        apart, 100 * harness::stats::median(ratios), 100 * harness::stats::quantile(ratios, 0.9),
        100 * harness::stats::quantile(ratios, 0.99));
  }
  return 0;
}
