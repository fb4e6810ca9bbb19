#include "datasets/workloads/length_distribution.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>

#include "datasets/content_hash.h"
#include "datasets/user_error.h"
#include "datasets/workloads/counter_random.h"

namespace assay::datasets {
namespace {

namespace fs = std::filesystem;

constexpr double kSumTolerance = 0.01;  // printed shares are rounded
constexpr std::uint64_t kChooseBin = 11, kChooseLength = 12;
constexpr std::uint64_t kMostAttempts = 10'000;

struct File {
  std::string path;
  toml::table table;

  [[noreturn]] void refuse(const toml::node* at, std::string_view key, std::string_view found,
                           std::string_view expected) const {
    throw UserError(fmt::format("{}:{}: {}: found {}, expected {}", path, at == nullptr ? 1U : at->source().begin.line,
                                key, found, expected));
  }
  const toml::node& at(std::string_view key, std::string_view expected) const {
    const toml::node* node = table.get(key);
    if (node == nullptr) refuse(nullptr, key, "nothing", expected);
    return *node;
  }
  std::string text(std::string_view key) const {
    const toml::node& node = at(key, "text");
    const auto value = node.value_exact<std::string>();
    if (!value || value->empty()) refuse(&node, key, "another type or nothing in it", "text");
    return *value;
  }
  std::vector<double> numbers(std::string_view key) const {
    const toml::node& node = at(key, "a list of numbers");
    const toml::array* list = node.as_array();
    if (list == nullptr) refuse(&node, key, "no list", "a list of numbers");
    std::vector<double> all;
    for (const toml::node& each : *list) {
      const auto value = each.value<double>();
      if (!each.is_number() || !value) refuse(&each, key, fmt::format("entry {}", all.size() + 1), "a number");
      all.push_back(*value);
    }
    return all;
  }
};

// Of a log-uniform length in [low, high).
double mean_of_bin(double low, double high) { return high - low <= 1 ? low : (high - low) / std::log(high / low); }

// What of a bin is at least `from`: the share of its sequences, or of its tokens.
double part_from(double low, double high, double from, bool of_tokens) {
  if (from <= low) return 1;
  if (from >= high) return 0;
  return of_tokens ? (high - from) / (high - low) : std::log(high / from) / std::log(high / low);
}

File read(std::string_view id, std::string_view root) {
  const fs::path folder = fs::path(root) / "workloads" / "lengths";
  const bool path = id.ends_with(".toml");
  File file{.path = path ? std::string(id) : (folder / fmt::format("{}.toml", id)).string(), .table = {}};
  std::ifstream stream(file.path, std::ios::binary);
  if (path && !stream) throw UserError(fmt::format("{}: cannot be read, expected a length distribution", file.path));
  if (!stream || (!path && id.find('/') != std::string_view::npos)) {
    const auto ids = length_distribution_ids(root);
    throw UserError(
        fmt::format("unknown length distribution '{}' in {}; known: {}", id, folder.string(), fmt::join(ids, ", ")));
  }
  std::ostringstream text;
  text << stream.rdbuf();
  try {
    file.table = toml::parse(text.str(), file.path);
  } catch (const toml::parse_error& wrong) {
    throw UserError(fmt::format("{}:{}: {}", file.path, wrong.source().begin.line, wrong.description()));
  }
  return file;
}

std::int64_t length_of(const LengthDistribution& distribution, std::uint64_t seed, std::uint64_t index,
                       std::uint64_t attempt) {
  double left = counter_uniform(seed, kChooseBin, index, attempt);
  std::size_t bin = 0;
  while (bin + 1 < distribution.shares.size() && left >= distribution.shares[bin]) left -= distribution.shares[bin++];
  const auto low = static_cast<double>(distribution.edges[bin]),
             high = static_cast<double>(distribution.edges[bin + 1]);
  const double u = counter_uniform(seed, kChooseLength, index, attempt);
  return std::clamp(static_cast<std::int64_t>(low * std::pow(high / low, u)), distribution.edges[bin],
                    distribution.edges[bin + 1] - 1);
}

// The id takes part, so that two sets of one seed are not the same draws.
std::uint64_t seed_of(const LengthDistribution& distribution, std::uint64_t seed) {
  std::uint64_t mixed = mixed_bits(seed);
  for (const char c : distribution.id) mixed = mixed_bits(mixed ^ static_cast<unsigned char>(c));
  return mixed;
}

std::int64_t draw(const LengthDistribution& distribution, std::int64_t longest, Overlong overlong, std::uint64_t seed,
                  std::uint64_t index) {
  for (std::uint64_t attempt = 0; attempt < kMostAttempts; ++attempt) {
    const std::int64_t length = length_of(distribution, seed, index, attempt);
    if (length <= longest) return length;
    if (overlong == Overlong::cut) return longest;
  }
  throw UserError(fmt::format("longest: found {}, expected more: next to no sequence of {} is that short", longest,
                              distribution.id));
}

}  // namespace

double LengthDistribution::mean() const {
  double sum = 0;
  for (std::size_t k = 0; k < shares.size(); ++k)
    sum += shares[k] * mean_of_bin(static_cast<double>(edges[k]), static_cast<double>(edges[k + 1]));
  return sum;
}

double LengthDistribution::sequences_from(std::int64_t length) const {
  double sum = 0;
  for (std::size_t k = 0; k < shares.size(); ++k)
    sum += shares[k] * part_from(static_cast<double>(edges[k]), static_cast<double>(edges[k + 1]),
                                 static_cast<double>(length), false);
  return sum;
}

double LengthDistribution::tokens_from(std::int64_t length) const {
  double sum = 0;
  for (std::size_t k = 0; k < shares.size(); ++k) {
    const auto low = static_cast<double>(edges[k]), high = static_cast<double>(edges[k + 1]);
    sum += shares[k] * mean_of_bin(low, high) * part_from(low, high, static_cast<double>(length), true);
  }
  return sum / mean();
}

std::vector<std::string> length_distribution_ids(std::string_view root) {
  std::vector<std::string> ids;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(fs::path(root) / "workloads" / "lengths", missing))
    if (entry.path().extension() == ".toml") ids.push_back(entry.path().stem().string());
  std::sort(ids.begin(), ids.end());
  return ids;
}

LengthDistribution load_length_distribution(std::string_view id, std::string_view root) {
  const File file = read(id, root);
  LengthDistribution distribution;
  distribution.id = fs::path(file.path).stem().string();
  distribution.file = file.path;
  distribution.source = file.text("source");
  if (const toml::node* open = file.table.get("reconstructed")) {
    if (open->as_array() == nullptr) file.refuse(open, "reconstructed", "no list", "a list of texts");
    for (const toml::node& each : *open->as_array()) {
      const auto words = each.value_exact<std::string>();
      if (!words) file.refuse(&each, "reconstructed", "another type", "text");
      distribution.reconstructed.push_back(*words);
    }
  }
  const std::string of = file.text("of");
  if (of != "sequences" && of != "tokens")
    file.refuse(file.table.get("of"), "of", fmt::format("'{}'", of), "sequences or tokens");
  const std::vector<double> edges = file.numbers("edges");
  for (std::size_t k = 0; k < edges.size(); ++k)
    if (edges[k] < 1 || edges[k] != std::floor(edges[k]) || edges[k] > 1e12 || (k > 0 && edges[k] <= edges[k - 1]))
      file.refuse(file.table.get("edges"), "edges", fmt::format("{} as entry {}", edges[k], k + 1),
                  "rising whole numbers of at least 1");
  distribution.shares = file.numbers("shares");
  if (distribution.shares.empty() || edges.size() != distribution.shares.size() + 1)
    file.refuse(file.table.get("shares"), "shares", fmt::format("{} entries", distribution.shares.size()),
                fmt::format("{}, one less than edges", edges.empty() ? 0 : edges.size() - 1));
  for (const double share : distribution.shares)
    if (!(share >= 0)) file.refuse(file.table.get("shares"), "shares", fmt::format("{}", share), "at least 0");
  const double printed = std::accumulate(distribution.shares.begin(), distribution.shares.end(), 0.0);
  if (!(std::abs(printed - 1) <= kSumTolerance))
    file.refuse(file.table.get("shares"), "shares", fmt::format("a sum of {:.4g}", printed), "1, within 0.01");
  for (const double edge : edges) distribution.edges.push_back(static_cast<std::int64_t>(edge));
  for (std::size_t k = 0; of == "tokens" && k < distribution.shares.size(); ++k)
    distribution.shares[k] /= mean_of_bin(edges[k], edges[k + 1]);
  const double sum = std::accumulate(distribution.shares.begin(), distribution.shares.end(), 0.0);
  for (double& share : distribution.shares) share /= sum;
  distribution.hash = content_hash(fmt::format("{} {} {}", distribution.id, fmt::join(distribution.edges, " "),
                                               fmt::join(distribution.shares, " ")));
  return distribution;
}

std::vector<std::int64_t> draw_lengths(const LengthDistribution& distribution, std::int64_t count, std::int64_t longest,
                                       Overlong overlong, std::uint64_t seed) {
  std::vector<std::int64_t> lengths;
  const std::uint64_t own = seed_of(distribution, seed);
  for (std::int64_t k = 0; k < count; ++k)
    lengths.push_back(draw(distribution, longest, overlong, own, static_cast<std::uint64_t>(k)));
  return lengths;
}

std::vector<std::int64_t> draw_tokens(const LengthDistribution& distribution, std::int64_t tokens, std::int64_t longest,
                                      Overlong overlong, std::uint64_t seed) {
  std::vector<std::int64_t> lengths;
  const std::uint64_t own = seed_of(distribution, seed);
  for (std::uint64_t k = 0; tokens > 0; ++k) {
    lengths.push_back(std::min(tokens, draw(distribution, longest, overlong, own, k)));
    tokens -= lengths.back();
  }
  return lengths;
}

}  // namespace assay::datasets
