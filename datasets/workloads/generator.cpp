#include "datasets/workloads/generator.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <numbers>

#include "datasets/content_hash.h"
#include "datasets/machine.h"
#include "datasets/nearest_names.h"
#include "datasets/user_error.h"
#include "datasets/workloads/counter_random.h"

namespace assay::datasets {
namespace {

enum Purpose : std::uint64_t { input_length = 1, output_length = 2, arrival = 3 };

double uniform(std::uint64_t seed, Purpose purpose, std::uint64_t request, std::uint64_t attempt = 0) {
  return counter_uniform(seed, purpose, request, attempt);
}

double normal_below(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

// Inverse of the normal distribution (Acklam), refined by one step of Halley's method.
double normal_quantile(double p) {
  constexpr std::array a{-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                         1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  constexpr std::array b{-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02, 6.680131188771972e+01,
                         -1.328068155288572e+01};
  constexpr std::array c{-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                         -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
  constexpr std::array d{7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00};
  const auto tail = [&](double q) {
    return (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
           ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
  };
  double x = 0;
  if (p < 0.02425) {
    x = tail(std::sqrt(-2 * std::log(p)));
  } else if (p > 1 - 0.02425) {
    x = -tail(std::sqrt(-2 * std::log(1 - p)));
  } else {
    const double q = p - 0.5, r = q * q;
    x = (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
        (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
  }
  const double error = normal_below(x) - p;
  const double step = error * std::sqrt(2 * std::numbers::pi) * std::exp(x * x / 2);
  return x - step / (1 + x * step / 2);
}

std::int32_t length_at(const std::vector<double>& quantiles, double u) {
  const std::vector<double>& levels = quantile_levels();
  const auto above = std::upper_bound(levels.begin(), levels.end() - 1, u);
  const auto k = static_cast<std::size_t>(above - levels.begin());
  const double share = (u - levels[k - 1]) / (levels[k] - levels[k - 1]);
  const double low = std::log(quantiles[k - 1]), high = std::log(quantiles[k]);
  return std::max(1, static_cast<std::int32_t>(std::lround(std::exp(low + share * (high - low)))));
}

// A log-normal law of which only the median and the ninth decile are known, as a quantile table.
std::vector<double> log_normal(double median, double ninth_decile) {
  const double sigma = std::log(ninth_decile / median) / normal_quantile(0.9);
  std::vector<double> table;
  for (const double level : quantile_levels())
    table.push_back(std::max(1.0, median * std::exp(sigma * normal_quantile(std::clamp(level, 1e-4, 1 - 1e-4)))));
  return table;
}

std::vector<Workload> make_workloads() {
  std::vector<Workload> all;
  const std::string azure = "AzurePublicDataset, LLM inference 2023 (CC-BY, Microsoft), quantiles of its ";
  all.push_back(
      {.name = "azure-conv",
       .fitted_on = azure + "conversation trace of 19,366 requests",
       .input_quantiles = {2, 29, 181, 207, 387, 396, 403, 703, 1020, 1071, 1130, 1189, 1315, 2734, 4083, 4142, 6179,
                           14050},
       .output_quantiles = {7, 16, 41, 54, 77, 85, 91, 103, 129, 177, 384, 395, 400, 424, 451, 601, 954, 1000},
       .rank_correlation = 0.07,
       .requests_a_minute = {191, 265, 329, 353, 307, 273, 268, 261, 322, 298, 301, 302, 345, 326, 283,
                             279, 280, 308, 343, 351, 351, 343, 408, 396, 386, 398, 432, 480, 476, 453,
                             448, 507, 438, 413, 423, 418, 465, 311, 329, 316, 333, 355, 319, 360, 334,
                             375, 330, 249, 221, 249, 265, 280, 256, 254, 242, 260, 246, 225, 37},
       .file = "azure_llm_2023_conv.csv"});
  all.push_back({.name = "azure-code",
                 .fitted_on = azure + "code trace of 8,819 requests",
                 .input_quantiles = {3, 17, 75, 147, 386, 578, 770, 1075, 1469, 1909, 2433, 2744, 3192, 5188, 7303,
                                     7436, 7437, 7437},
                 .output_quantiles = {6, 6, 6, 7, 8, 9, 9, 11, 13, 16, 20, 24, 29, 55, 90, 251, 825, 1899},
                 .rank_correlation = -0.02,
                 .requests_a_minute = {63,  0,   0,   531, 187, 130, 15,  42,  38,  476, 421, 63,  0,   0,   632,
                                       299, 0,   20,  396, 315, 116, 78,  306, 447, 252, 34,  128, 111, 406, 234,
                                       118, 169, 130, 306, 158, 0,   339, 55,  285, 191, 0,   28,  205, 245, 99,
                                       0,   0,   32,  0,   0,   0,   97,  212, 22,  32,  113, 47,  196},
                 .file = "azure_llm_2023_code.csv"});
  all.push_back(
      {.name = "openchat-sharegpt4",
       .fitted_on = "lengths published with Sarathi-Serve (sharegpt_8k, Llama-2 tokens), 30,731 requests",
       .input_quantiles = {1, 12, 29, 74, 382, 580, 777, 1203, 1730, 2401, 3235, 3734, 4278, 5696, 6563, 7434, 7854,
                           8141},
       .output_quantiles = {2, 6, 44, 84, 181, 228, 271, 346, 415, 493, 581, 628, 683, 834, 920, 998, 1021, 1024},
       .rank_correlation = 0.05,
       .longest = 8192,
       .file = "sharegpt_8k_filtered_stats_llama2_tokenizer.csv"});
  all.push_back({.name = "arxiv-summarization",
                 .fitted_on =
                     "log-normal through the medians and ninth deciles of the Sarathi-Serve paper (prompt 7059 "
                     "and 12985, output 208 and 371; recalled, the file itself is not public)",
                 .input_quantiles = log_normal(7059, 12985),
                 .output_quantiles = log_normal(208, 371),
                 .longest = 16384,
                 .file = "arxiv_summarization_filtered_stats_llama2_tokenizer.csv"});
  all.push_back(
      {.name = "arxiv-4k",
       .fitted_on = "lengths published with Vidur (arXiv summarization up to 4096 tokens), 28,257 requests",
       .input_quantiles = {1, 73, 749, 1242, 1802, 1986, 2150, 2453, 2730, 2996, 3249, 3370, 3490, 3702, 3813, 3933,
                           4012, 4054},
       .output_quantiles = {5, 36, 60, 78, 104, 115, 125, 145, 167, 192, 222, 242, 268, 372, 736, 3271, 3844, 4056},
       .rank_correlation = -0.11,
       .longest = 4096,
       .file = "arxiv_summarization_stats_llama2_tokenizer_filtered_v2.csv"});
  return all;
}

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kDefaultCount = 4096;

std::vector<std::int64_t> poisson_arrivals(std::size_t count, std::uint64_t seed, double rate) {
  std::vector<std::int64_t> at(count);
  double time = 0;
  for (std::size_t k = 0; k < count; ++k) {
    at[k] = std::llround(time / rate * static_cast<double>(kSecond));
    time -= std::log(uniform(seed, arrival, k));
  }
  return at;
}

// The minute's count of arrivals, uniform inside the minute; the profile starts again when it has ended.
std::vector<std::int64_t> profiled_arrivals(const std::vector<int>& a_minute, std::size_t count, std::uint64_t seed) {
  std::vector<std::int64_t> at;
  for (std::size_t minute = 0; at.size() < count; ++minute) {
    const auto inside = static_cast<std::size_t>(a_minute[minute % a_minute.size()]);
    const std::size_t first = at.size();
    for (std::size_t k = 0; k < inside; ++k)
      at.push_back(static_cast<std::int64_t>((static_cast<double>(minute) + uniform(seed, arrival, first + k)) * 60 *
                                             static_cast<double>(kSecond)));
    std::sort(at.begin() + static_cast<std::ptrdiff_t>(first), at.end());
  }
  at.resize(count);
  const std::int64_t first = at.front();
  for (std::int64_t& time : at) time -= first;
  return at;
}

bool constant_lengths(std::string_view name, TraceRequest& request) {
  constexpr std::string_view kPrefix = "constant:";
  if (!name.starts_with(kPrefix)) return false;
  const std::string_view rest = name.substr(kPrefix.size());
  const std::size_t colon = rest.find(':');
  const auto read = [&](std::string_view text, std::int32_t& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() && value >= 1;
  };
  if (colon == std::string_view::npos || !read(rest.substr(0, colon), request.input_tokens) ||
      !read(rest.substr(colon + 1), request.output_tokens))
    throw UserError(
        fmt::format("trace: found '{}', expected constant:INPUT:OUTPUT with whole numbers of at least 1", name));
  return true;
}

}  // namespace

const std::vector<double>& quantile_levels() {
  static const std::vector<double> levels{0, .01, .05, .1, .2, .25, .3, .4, .5, .6, .7, .75, .8, .9, .95, .99, .999, 1};
  return levels;
}

const std::vector<Workload>& workloads() {
  static const std::vector<Workload> all = make_workloads();
  return all;
}

const Workload* find_workload(std::string_view name) {
  for (const Workload& workload : workloads())
    if (workload.name == name) return &workload;
  return nullptr;
}

RequestTrace generate_trace(std::string_view name, std::int64_t count, std::uint64_t seed) {
  RequestTrace trace;
  trace.name = name;
  trace.format = "generated";
  TraceRequest constant;
  const bool is_constant = constant_lengths(name, constant);
  const Workload* workload = find_workload(name);
  if (!is_constant && workload == nullptr) {
    std::vector<std::string> names;
    for (const Workload& each : workloads()) names.push_back(each.name);
    throw UserError(fmt::format("trace: found '{}', expected a file, constant:INPUT:OUTPUT or one of {}", name,
                                fmt::join(names, ", ")));
  }
  if (count == 0) {
    count = kDefaultCount;
    if (!is_constant && !workload->requests_a_minute.empty()) {
      count = 0;
      for (const int a_minute : workload->requests_a_minute) count += a_minute;
    }
  }
  trace.requests.resize(static_cast<std::size_t>(count), constant);
  trace.origin = is_constant ? fmt::format("generated, seed {}: constant lengths, Poisson arrivals", seed)
                             : fmt::format("generated, seed {}: {}", seed, workload->fitted_on);
  trace.hash = content_hash(fmt::format("{} {} {}", name, count, seed));
  if (!is_constant) {
    // Pearson's correlation of the copula's normals that gives the rank correlation.
    const double pearson = 2 * std::sin(std::numbers::pi / 6 * workload->rank_correlation);
    for (std::uint64_t k = 0; k < trace.requests.size(); ++k) {
      TraceRequest& request = trace.requests[k];
      for (std::uint64_t attempt = 0;; ++attempt) {
        const double u = uniform(seed, input_length, k, attempt);
        const double z = pearson * normal_quantile(u) +
                         std::sqrt(1 - pearson * pearson) * normal_quantile(uniform(seed, output_length, k, attempt));
        request.input_tokens = length_at(workload->input_quantiles, u);
        request.output_tokens = length_at(workload->output_quantiles, normal_below(z));
        if (workload->longest == 0 || request.input_tokens + request.output_tokens <= workload->longest) break;
      }
    }
  }
  const auto at = is_constant || workload->requests_a_minute.empty()
                      ? poisson_arrivals(trace.requests.size(), seed, 1)
                      : profiled_arrivals(workload->requests_a_minute, trace.requests.size(), seed);
  for (std::size_t k = 0; k < at.size(); ++k) trace.requests[k].arrival_ns = at[k];
  return trace;
}

RequestTrace load_trace(const std::string& name, std::int64_t count, std::uint64_t seed) {
  const Workload* workload = find_workload(name);
  std::string path = name;
  if (workload != nullptr) path = data_root() + "/workloads/" + workload->file;
  std::error_code absent;
  const bool generated =
      name.starts_with("constant:") || (workload != nullptr && !std::filesystem::exists(path, absent));
  if (generated) return generate_trace(name, count, seed);
  const bool looks_like_a_path = name.find_first_of("./") != std::string::npos;
  if (workload == nullptr && !looks_like_a_path && !std::filesystem::exists(path, absent))
    return generate_trace(name, count, seed);  // says which names there are
  RequestTrace trace = read_request_trace(path);
  trace.name = name;
  if (count > 0 && trace.requests.size() > static_cast<std::size_t>(count))
    trace.requests.resize(static_cast<std::size_t>(count));
  return trace;
}

RequestTrace at_rate(RequestTrace trace, ArrivalLaw law, double rate, std::uint64_t seed) {
  if (law == ArrivalLaw::poisson || !trace.has_arrivals) {
    const double recorded = trace.has_arrivals ? mean_rate(trace) : 0;
    const double wanted = rate > 0 ? rate : recorded;
    if (wanted <= 0)
      throw UserError(fmt::format("rate: found 0, expected requests/s: {} has no arrivals of its own", trace.name));
    const auto at = poisson_arrivals(trace.requests.size(), seed, wanted);
    for (std::size_t k = 0; k < at.size(); ++k) trace.requests[k].arrival_ns = at[k];
    trace.has_arrivals = true;
    return trace;
  }
  if (rate <= 0 || trace.requests.size() < 2) return trace;
  const double recorded = mean_rate(trace);
  if (recorded <= 0)
    throw UserError(fmt::format(
        "rate: found {}, but all requests of {} arrive at one instant; expected arrivals=poisson", rate, trace.name));
  for (TraceRequest& request : trace.requests)
    request.arrival_ns = std::llround(static_cast<double>(request.arrival_ns) * (recorded / rate));
  return trace;
}

double mean_rate(const RequestTrace& trace) {
  if (trace.requests.size() < 2) return 0;
  const auto span = static_cast<double>(trace.requests.back().arrival_ns - trace.requests.front().arrival_ns);
  return span > 0 ? static_cast<double>(trace.requests.size() - 1) / (span * 1e-9) : 0;
}

}  // namespace assay::datasets
