#include "impls/serving/oracle.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace assay::serving {
namespace {

struct Live {
  std::size_t id;
  std::int64_t prompt = 0, held = 0;  // tokens to prefill; tokens whose keys and values are there
  std::int64_t blocks = 0;
  bool decoding = false;
};

class Plain {
 public:
  Plain(Policy policy, const datasets::RequestTrace& trace, const IterationTime& time, const EngineOptions& options)
      : policy_(policy), trace_(trace), time_(time), options_(options), free_(options.blocks) {
    watermark_ = options.reserved_tokens > 0
                     ? 0
                     : static_cast<std::int64_t>(options.watermark * static_cast<double>(options.blocks));
    run_.requests.resize(trace.requests.size());
    for (std::size_t k = 0; k < trace.requests.size(); ++k)
      run_.requests[k].arrival = trace.requests[k].arrival_ns * 1000;
  }

  // -- one of several that share stages, each of which is free from a time on
  static constexpr Picoseconds kNever = -1;
  Picoseconds ready() const {
    if (!queue_.empty() || !running_.empty()) return now_;
    return next_ == run_.requests.size() ? kNever : std::max(now_, run_.requests[next_].arrival);
  }
  void turn(std::vector<Picoseconds>& free_from) {
    stages_ = &free_from;
    now_ = std::max(ready(), free_from[0]);
    while (next_ < run_.requests.size() && run_.requests[next_].arrival <= now_) queue_.push_back(next_++);
    chunks_.assign(run_.requests.size(), 0);
    decodes_ = false;
    compose();
    step();
  }
  OracleRun result() {
    run_.left_blocks = options_.blocks - free_;
    return run_;
  }

  OracleRun operator()() {
    for (;;) {
      while (next_ < run_.requests.size() && run_.requests[next_].arrival <= now_) queue_.push_back(next_++);
      if (queue_.empty() && running_.empty()) {
        if (next_ == run_.requests.size()) break;
        now_ = run_.requests[next_].arrival;
        continue;
      }
      chunks_.assign(run_.requests.size(), 0);
      decodes_ = false;
      compose();
      step();
    }
    return result();
  }

 private:
  Picoseconds end_of(const Passage& iteration) const {
    if (stages_ == nullptr) return now_ + iteration.first;
    std::vector<Picoseconds>& free_from = *stages_;
    Picoseconds left = free_from[0] = now_ + iteration.first;
    for (std::size_t s = 1; s < free_from.size(); ++s) {
      const Picoseconds work = s == free_from.size() - 1 ? iteration.last : iteration.stage;
      left = free_from[s] = std::max(left + iteration.hop, free_from[s]) + work;
    }
    return left;
  }

  std::int64_t blocks_of(std::int64_t tokens) const {
    return static_cast<std::int64_t>(
        std::ceil(static_cast<double>(tokens) / static_cast<double>(options_.block_tokens)));
  }
  std::int64_t prompt_of(std::size_t id) const {
    return trace_.requests[id].input_tokens + static_cast<std::int64_t>(run_.requests[id].tokens.size());
  }
  std::int64_t claim_of(std::size_t id) const {
    return options_.reserved_tokens > 0 ? options_.reserved_tokens : prompt_of(id);
  }
  bool hopeless(std::size_t id) const {
    const bool too_long =
        policy_ != Policy::sarathi && policy_ != Policy::chunks_only && prompt_of(id) > options_.max_tokens;
    return too_long || blocks_of(claim_of(id)) > options_.blocks - watermark_;
  }
  void drop_hopeless() {
    while (!queue_.empty() && hopeless(queue_.front())) {
      run_.requests[queue_.front()].rejected = true;
      queue_.erase(queue_.begin());
    }
  }
  bool has_room() const { return free_ - blocks_of(claim_of(queue_.front())) >= watermark_; }
  bool has_place() const { return running_.size() < static_cast<std::size_t>(options_.max_sequences); }

  Live& admit() {
    const std::size_t id = queue_.front();
    queue_.erase(queue_.begin());
    Live live{.id = id, .prompt = prompt_of(id), .blocks = blocks_of(claim_of(id))};
    free_ -= live.blocks;
    if (run_.requests[id].scheduled < 0) run_.requests[id].scheduled = now_;
    const auto at = std::find_if(running_.begin(), running_.end(), [&](const Live& other) { return other.id > id; });
    return *running_.insert(at, live);  // in order of arrival
  }

  void take_slots() {
    if (options_.reserved_tokens == 0) {
      for (std::size_t k = 0; k < running_.size(); ++k) {
        if (!running_[k].decoding) continue;
        const std::size_t id = running_[k].id;
        while (blocks_of(running_[k].held + 1) > running_[k].blocks) {
          if (free_ > 0) {
            --free_;
            ++running_[k].blocks;
            continue;
          }
          const Live newest = running_.back();
          running_.pop_back();
          free_ += newest.blocks;
          ++run_.requests[newest.id].preemptions;
          queue_.insert(queue_.begin(), newest.id);
          if (newest.id == id) return;
        }
      }
    }
  }
  bool any_decoding() const {
    return std::any_of(running_.begin(), running_.end(), [](const Live& live) { return live.decoding; });
  }
  std::int64_t count_decoding() const {
    return std::count_if(running_.begin(), running_.end(), [](const Live& live) { return live.decoding; });
  }

  bool whole_prompts(std::int64_t most) {
    std::int64_t tokens = 0;
    for (drop_hopeless(); !queue_.empty(); drop_hopeless()) {
      const std::int64_t prompt = prompt_of(queue_.front());
      if (!has_room() || !has_place() || (most > 0 && tokens + prompt > most)) break;
      chunks_[admit().id] = prompt;
      tokens += prompt;
    }
    return tokens > 0;
  }
  bool chunked_prompts(std::int64_t used) {
    bool any = false;
    for (const Live& live : running_) {
      if (live.decoding) continue;
      const std::int64_t tokens = std::min(live.prompt - live.held, options_.max_tokens - used);
      if (tokens <= 0) continue;
      chunks_[live.id] = tokens;
      used += tokens;
      any = true;
    }
    for (drop_hopeless(); !queue_.empty(); drop_hopeless()) {
      const std::int64_t tokens = std::min(prompt_of(queue_.front()), options_.max_tokens - used);
      if (tokens <= 0 || !has_place() || !has_room()) break;
      chunks_[admit().id] = tokens;
      used += tokens;
      any = true;
    }
    return any;
  }

  void compose() {
    switch (policy_) {
      case Policy::vllm:
        if (whole_prompts(options_.max_tokens)) return;
        take_slots();
        decodes_ = any_decoding();
        return;
      case Policy::orca:
        take_slots();
        decodes_ = any_decoding();
        whole_prompts(0);
        return;
      case Policy::sarathi:
        take_slots();
        decodes_ = any_decoding();
        chunked_prompts(count_decoding());
        return;
      case Policy::chunks_only:
        if (!prompts_last_ && chunked_prompts(0)) return;
        take_slots();
        decodes_ = any_decoding();
        if (!decodes_) chunked_prompts(0);
        return;
    }
  }

  void step() {
    std::vector<PrefillSlice> slices;
    std::vector<std::int64_t> keys;
    std::int64_t rows = 0;
    for (const Live& live : running_) {
      if (live.decoding && decodes_) {
        keys.push_back(live.held + 1);
        ++rows;
      } else if (chunks_[live.id] > 0) {
        slices.push_back({chunks_[live.id], live.held + chunks_[live.id]});
        rows += live.held + chunks_[live.id] == live.prompt ? 1 : 0;
      }
    }
    prompts_last_ = !slices.empty() && keys.empty();
    if (slices.empty() && keys.empty()) {
      if (!queue_.empty()) throw std::logic_error("the plain simulator stands still");
      return;
    }
    now_ = end_of(time_.uncached_passage(slices, keys, rows));
    ++run_.iterations;
    std::vector<Live> still;
    for (Live live : running_) {
      bool token = false;
      if (live.decoding && decodes_) {
        ++live.held;
        token = true;
      } else if (chunks_[live.id] > 0) {
        live.held += chunks_[live.id];
        token = live.held == live.prompt;
        live.decoding = token;
      }
      std::vector<Picoseconds>& times = run_.requests[live.id].tokens;
      if (token) times.push_back(now_);
      if (times.size() == static_cast<std::size_t>(trace_.requests[live.id].output_tokens)) {
        free_ += live.blocks;
      } else {
        still.push_back(live);
      }
    }
    running_ = std::move(still);
  }

  Policy policy_;
  const datasets::RequestTrace& trace_;
  const IterationTime& time_;
  EngineOptions options_;
  std::vector<Picoseconds>* stages_ = nullptr;
  std::int64_t free_, watermark_ = 0;
  Picoseconds now_ = 0;
  std::size_t next_ = 0;
  std::vector<std::size_t> queue_;
  std::vector<Live> running_;  // in order of arrival
  std::vector<std::int64_t> chunks_;
  bool decodes_ = false, prompts_last_ = false;
  OracleRun run_;
};

Statistic plain_statistic(std::vector<double> samples) {
  Statistic result;
  result.count = static_cast<std::int64_t>(samples.size());
  if (samples.empty()) return result;
  double sum = 0;
  for (const double sample : samples) sum += sample;
  result.mean = sum / static_cast<double>(samples.size());
  std::sort(samples.begin(), samples.end());
  const auto at = [&](double q) {
    const double place = q * static_cast<double>(samples.size() - 1), floor = std::floor(place);
    const double low = samples[static_cast<std::size_t>(floor)],
                 high = samples[static_cast<std::size_t>(std::ceil(place))];
    return low + (place - floor) * (high - low);
  };
  result.p50 = at(0.5);
  result.p90 = at(0.9);
  result.p99 = at(0.99);
  result.most = samples.back();
  return result;
}

}  // namespace

OracleRun simulate_plainly(Policy policy, const datasets::RequestTrace& trace, const IterationTime& time,
                           const EngineOptions& options) {
  const auto count = static_cast<std::size_t>(time.deployment().pipeline);
  if (count == 1) return Plain(policy, trace, time, options)();
  EngineOptions share = options;
  share.blocks = options.blocks / static_cast<std::int64_t>(count);
  share.max_sequences = std::max(1, options.max_sequences / static_cast<int>(count));
  std::vector<datasets::RequestTrace> dealt(count);
  for (std::size_t k = 0; k < trace.requests.size(); ++k) dealt[k % count].requests.push_back(trace.requests[k]);
  std::vector<Plain> engines;
  for (const datasets::RequestTrace& own : dealt) engines.emplace_back(policy, own, time, share);
  std::vector<Picoseconds> stages(count);
  for (;;) {
    Plain* first = nullptr;
    for (Plain& each : engines)
      if (each.ready() != Plain::kNever && (first == nullptr || each.ready() < first->ready())) first = &each;
    if (first == nullptr) break;
    first->turn(stages);
  }
  OracleRun all;
  all.requests.resize(trace.requests.size());
  for (std::size_t e = 0; e < count; ++e) {
    const OracleRun run = engines[e].result();
    for (std::size_t k = 0; k < run.requests.size(); ++k) all.requests[k * count + e] = run.requests[k];
    all.iterations += run.iterations;
    all.left_blocks += run.left_blocks;
  }
  return all;
}

Summary summarize_plainly(const OracleRun& run, const datasets::RequestTrace& trace, const Objectives& objectives) {
  Summary summary;
  std::vector<double> ttft, tbt, longest, tpot, e2e, normalized, delay;
  const double first = static_cast<double>(run.requests.front().arrival) * 1e-12;
  double last = 0, tokens = 0, inputs = 0, good = 0, ttft_met = 0, tpot_met = 0;
  for (std::size_t k = 0; k < run.requests.size(); ++k) {
    const OracleRequest& request = run.requests[k];
    summary.preemptions += request.preemptions;
    if (request.rejected) {
      ++summary.rejected;
      continue;
    }
    ++summary.completed;
    const auto seconds = [&](Picoseconds a, Picoseconds b) { return static_cast<double>(b - a) * 1e-12; };
    const Picoseconds begin = request.tokens.front(), end = request.tokens.back();
    last = std::max(last, static_cast<double>(end) * 1e-12);
    inputs += trace.requests[k].input_tokens;
    tokens += static_cast<double>(request.tokens.size());
    ttft.push_back(seconds(request.arrival, begin));
    e2e.push_back(seconds(request.arrival, end));
    normalized.push_back(e2e.back() / static_cast<double>(request.tokens.size()));
    delay.push_back(seconds(request.arrival, request.scheduled));
    double worst = 0;
    for (std::size_t t = 1; t < request.tokens.size(); ++t) {
      tbt.push_back(seconds(request.tokens[t - 1], request.tokens[t]));
      worst = std::max(worst, tbt.back());
    }
    bool pace = true;
    if (request.tokens.size() > 1) {
      tpot.push_back(seconds(begin, end) / static_cast<double>(request.tokens.size() - 1));
      longest.push_back(worst);
      pace = tpot.back() <= objectives.tpot;
    } else {
      ++summary.single_token;
    }
    const bool timely = ttft.back() <= objectives.ttft;
    ttft_met += timely ? 1 : 0;
    tpot_met += pace ? 1 : 0;
    good += timely && pace ? 1 : 0;
  }
  summary.ttft = plain_statistic(ttft);
  summary.tbt = plain_statistic(tbt);
  summary.longest_tbt = plain_statistic(longest);
  summary.tpot = plain_statistic(tpot);
  summary.e2e = plain_statistic(e2e);
  summary.normalized = plain_statistic(normalized);
  summary.delay = plain_statistic(delay);
  summary.duration = last - first;
  const auto all = static_cast<double>(run.requests.size());
  summary.attainment = good / all;
  summary.ttft_attainment = ttft_met / all;
  summary.tpot_attainment = tpot_met / all;
  summary.percentiles_hold = summary.ttft.p90 <= objectives.ttft && summary.tpot.p90 <= objectives.tpot;
  if (summary.duration > 0) {
    summary.request_throughput = static_cast<double>(summary.completed) / summary.duration;
    summary.output_throughput = tokens / summary.duration;
    summary.total_throughput = (inputs + tokens) / summary.duration;
    summary.good_throughput = good / summary.duration;
  }
  return summary;
}

}  // namespace assay::serving
