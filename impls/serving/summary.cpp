#include "impls/serving/summary.h"

#include <algorithm>
#include <cmath>

namespace assay::serving {
namespace {

using substrate::to_seconds;

double between(double low, double high, double share) { return low + share * (high - low); }

// Of samples in order.
double ordered_percentile(std::span<const double> samples, double q) {
  if (samples.empty()) return 0;
  const double at = static_cast<double>(samples.size() - 1) * q;
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, samples.size() - 1);
  return between(samples[below], samples[above], at - static_cast<double>(below));
}

double ordered_percentile(std::span<const Gap> samples, double q) {
  std::int64_t total = 0;
  for (const Gap& sample : samples) total += sample.count;
  if (total == 0) return 0;
  const double at = static_cast<double>(total - 1) * q;
  const auto below = static_cast<std::int64_t>(at);
  const std::int64_t above = std::min(below + 1, total - 1);
  double low = 0;
  std::int64_t seen = 0;
  bool has_low = false;
  for (const Gap& sample : samples) {
    seen += sample.count;
    if (!has_low && seen > below) {
      low = to_seconds(sample.gap);
      has_low = true;
    }
    if (seen > above) return between(low, to_seconds(sample.gap), at - static_cast<double>(below));
  }
  return low;
}

bool shorter(const Gap& a, const Gap& b) { return a.gap < b.gap; }

Statistic statistic(std::vector<double>& samples) {
  Statistic result;
  result.count = static_cast<std::int64_t>(samples.size());
  if (samples.empty()) return result;
  double sum = 0;
  for (const double sample : samples) sum += sample;
  std::sort(samples.begin(), samples.end());
  result.mean = sum / static_cast<double>(samples.size());
  result.p50 = ordered_percentile(samples, 0.5);
  result.p90 = ordered_percentile(samples, 0.9);
  result.p99 = ordered_percentile(samples, 0.99);
  result.most = samples.back();
  return result;
}

Statistic statistic(std::vector<Gap>& samples) {
  Statistic result;
  double sum = 0;
  for (const Gap& sample : samples) {
    result.count += sample.count;
    sum += static_cast<double>(sample.count) * to_seconds(sample.gap);
  }
  if (result.count == 0) return result;
  std::sort(samples.begin(), samples.end(), shorter);
  result.mean = sum / static_cast<double>(result.count);
  result.p50 = ordered_percentile(samples, 0.5);
  result.p90 = ordered_percentile(samples, 0.9);
  result.p99 = ordered_percentile(samples, 0.99);
  result.most = to_seconds(samples.back().gap);
  return result;
}

}  // namespace

double percentile(std::span<Gap> samples, double q) {
  std::sort(samples.begin(), samples.end(), shorter);
  return ordered_percentile(std::span<const Gap>(samples), q);
}

double percentile(std::span<double> samples, double q) {
  std::sort(samples.begin(), samples.end());
  return ordered_percentile(std::span<const double>(samples), q);
}

Summary summarize(const EngineRun& run, const datasets::RequestTrace& trace, const Objectives& objectives,
                  ClockStart start) {
  Summary summary;
  std::vector<double> ttft, longest, tpot, e2e, normalized, delay;
  for (auto* samples : {&ttft, &longest, &tpot, &e2e, &normalized, &delay}) samples->reserve(run.outcomes.size());
  Picoseconds last = 0, first = run.outcomes.empty() ? 0 : run.outcomes.front().arrival;
  for (const Outcome& outcome : run.outcomes)
    if (!outcome.rejected) last = std::max(last, outcome.last_token);
  const Picoseconds trim = (last - first) / 10;

  std::int64_t inputs = 0, outputs = 0, steady = 0, joint = 0, ttft_met = 0, tpot_met = 0;
  for (std::size_t k = 0; k < run.outcomes.size(); ++k) {
    const Outcome& outcome = run.outcomes[k];
    summary.preemptions += outcome.preemptions;
    if (outcome.rejected) {
      ++summary.rejected;
      continue;
    }
    ++summary.completed;
    inputs += trace.requests[k].input_tokens;
    outputs += outcome.tokens;
    if (outcome.last_token >= first + trim && outcome.last_token <= last - trim) steady += outcome.tokens;
    const Picoseconds began = start == ClockStart::arrival ? outcome.arrival : outcome.scheduled;
    ttft.push_back(to_seconds(outcome.first_token - began));
    e2e.push_back(to_seconds(outcome.last_token - began));
    normalized.push_back(e2e.back() / outcome.tokens);
    delay.push_back(to_seconds(outcome.scheduled - outcome.arrival));
    const bool in_time = ttft.back() <= objectives.ttft;
    bool in_pace = true;
    if (outcome.tokens > 1) {
      tpot.push_back(to_seconds(outcome.last_token - outcome.first_token) / (outcome.tokens - 1));
      longest.push_back(to_seconds(outcome.longest_gap));
      in_pace = tpot.back() <= objectives.tpot;
    } else {
      ++summary.single_token;
    }
    ttft_met += in_time ? 1 : 0;
    tpot_met += in_pace ? 1 : 0;
    joint += in_time && in_pace ? 1 : 0;
  }
  std::vector<Gap> gaps = run.gaps;
  summary.ttft = statistic(ttft);
  summary.tbt = statistic(gaps);
  summary.longest_tbt = statistic(longest);
  summary.tpot = statistic(tpot);
  summary.e2e = statistic(e2e);
  summary.normalized = statistic(normalized);
  summary.delay = statistic(delay);
  summary.duration = to_seconds(last - first);
  if (summary.duration > 0) {
    summary.request_throughput = static_cast<double>(summary.completed) / summary.duration;
    summary.output_throughput = static_cast<double>(outputs) / summary.duration;
    summary.total_throughput = static_cast<double>(inputs + outputs) / summary.duration;
    summary.steady_output_throughput = static_cast<double>(steady) / (0.8 * summary.duration);
    summary.good_throughput = static_cast<double>(joint) / summary.duration;
  }
  const auto all = static_cast<double>(run.outcomes.size());
  if (all > 0) {
    summary.attainment = static_cast<double>(joint) / all;
    summary.ttft_attainment = static_cast<double>(ttft_met) / all;
    summary.tpot_attainment = static_cast<double>(tpot_met) / all;
  }
  summary.percentiles_hold = summary.ttft.p90 <= objectives.ttft && summary.tpot.p90 <= objectives.tpot;
  return summary;
}

}  // namespace assay::serving
