// One training step of MegaScale's 175B model (arXiv 2402.15627: 96 layers, hidden 12288, sequence 2048, 64k words,
// batch 6144) on nodes of eight A100, at most on its 12,288: tensor parallel 8 x pipeline 8, six chunks of two layers a
// stage, x data parallel. Interleaved 1F1B with receives posted one step ahead, collectives of groups as single events:
// tensor-parallel all-reduces are waited for, gradients are reduce-scattered beside the backward pass and parameters
// gathered at the end. With --messages the collectives are messages (small data-parallel degrees only).
//   bench_training_step [--messages] [DATA-PARALLEL-DEGREE ...]      default 192
#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/fabric/all_reduce.h"
#include "impls/substrate/fabric/group_event.h"
#include "impls/substrate/fabric/reduction.h"
#include "impls/substrate/models/operator_time.h"

namespace {

using namespace assay::substrate;

constexpr int kTensor = 8, kStages = 8, kChunks = 6, kLayersOfChunk = 2;
constexpr std::int64_t kHidden = 12288, kTokens = 2048, kWords = 64000;
constexpr Tag kForward{.value = 1, .name = "activations"}, kBackward{.value = 2, .name = "gradients of activations"};
constexpr Tag kGroup{.value = 3, .name = "group"};

struct Plan {
  int data, micro_batches;
  OpWork attention, attention_back, inner, inner_back, words;
  std::int64_t activation = kTokens * kHidden * 2;
  std::int64_t chunk_parameters = 12 * kHidden * kHidden * kLayersOfChunk / kTensor * 2;  // bytes of bf16

  explicit Plan(int replicas, int batch) : data(replicas), micro_batches(batch / replicas) {
    const auto gemm = [](std::int64_t n, std::int64_t k, double times) {
      return OpWork{.kind = OpKind::gemm,
                    .flops = times * 2.0 * static_cast<double>(kTokens * n * k),
                    .bytes = times * 2.0 * static_cast<double>(kTokens * n + n * k + kTokens * k),
                    .m = kTokens,
                    .n = n,
                    .k = k,
                    .batch = static_cast<std::int64_t>(times)};
    };
    // The projections of attention and its scores as one product of their work; the two of the inner layer.
    const std::int64_t width = 4 * kHidden / kTensor + 2 * kTokens / kTensor;
    attention = gemm(width, kHidden, 1);
    attention_back = gemm(width, kHidden, 2);
    inner = gemm(8 * kHidden / kTensor, kHidden, 1);
    inner_back = gemm(8 * kHidden / kTensor, kHidden, 2);
    words = gemm(kWords / kTensor, kHidden, 1);
  }
};

GroupCall tensor_sum(std::int64_t bytes) {
  return {.name = "tensor all-reduce", .sizes = {bytes}, .program = [bytes](Group group) -> Task<> {
            Buffer tensor = group.rank().allocate("activation", Memory::communication, bytes);
            co_await all_reduce(group, tensor, {}, DType::bf16, kGroup);
          }};
}

GroupCall scatter_gradients(std::int64_t bytes) {
  return {.name = "reduce-scatter", .sizes = {bytes}, .program = [bytes](Group group) -> Task<> {
            const Buffer whole = group.rank().allocate("gradients", Memory::communication, bytes);
            std::vector<Buffer> parts = cut(group.rank(), whole, group.size(), DType::bf16);
            co_await ring_reduce_scatter(group, parts, DType::bf16, kGroup);
          }};
}

GroupCall gather_parameters(std::int64_t bytes) {
  return {.name = "all-gather", .sizes = {bytes}, .program = [bytes](Group group) -> Task<> {
            const Buffer whole = group.rank().allocate("parameters", Memory::communication, bytes);
            std::vector<Buffer> parts = cut(group.rank(), whole, group.size(), DType::bf16);
            co_await ring_all_gather(group, parts, 1, kGroup);
          }};
}

// Step k of a stage's forwards, or of its backwards: which chunk.
int chunk_of(int k, bool forward) {
  const int chunk = k % (kStages * kChunks) / kStages;
  return forward ? chunk : kChunks - 1 - chunk;
}

class Stage {
 public:
  Stage(Rank& rank, const Plan& plan)
      : rank_(rank),
        plan_(plan),
        tensor_(Group(rank).block(kTensor)),
        data_(Group(rank).block(kTensor * plan.data).across(kTensor)),
        pipeline_(Group(rank).across(kTensor * plan.data)),
        sum_(tensor_sum(plan.activation)),
        scatter_(scatter_gradients(plan.chunk_parameters)),
        gather_(gather_parameters(plan.chunk_parameters)) {}

  Task<> step() {
    const int steps = plan_.micro_batches * kChunks, me = pipeline_.id();
    const int warm_up = std::min(steps, (kStages - me - 1) * 2 + (kChunks - 1) * kStages);
    expect(0, true);
    expect(0, false);
    for (int k = 0; k < warm_up; ++k) co_await forward(k);
    for (int k = warm_up; k < steps; ++k) {
      co_await forward(k);
      co_await backward(k - warm_up);
    }
    for (int k = steps - warm_up; k < steps; ++k) co_await backward(k);
    while (!sends_.empty()) co_await reap();
    for (GroupEvent& each : scattered_) co_await each;
    for (int chunk = 0; chunk < kChunks; ++chunk) co_await GroupEvent(data_, gather_);
  }

 private:
  bool first(int chunk) const { return pipeline_.id() == 0 && chunk == 0; }
  bool last(int chunk) const { return pipeline_.id() == kStages - 1 && chunk == kChunks - 1; }
  int steps() const { return plan_.micro_batches * kChunks; }

  void expect(int k, bool forward) {
    auto& next = forward ? next_forward_ : next_backward_;
    next.reset();
    if (k >= steps() || (forward ? first(chunk_of(k, true)) : last(chunk_of(k, false)))) return;
    const int peer = (pipeline_.id() + (forward ? kStages - 1 : 1)) % kStages;
    next.emplace(pipeline_.receive(peer, {.bytes = plan_.activation, .tag = forward ? kForward : kBackward}));
  }
  Task<> reap() {
    co_await sends_.front().second;
    sends_.pop_front();
  }
  Task<> pass_on(Buffer out, bool forward) {
    const int peer = (pipeline_.id() + (forward ? 1 : kStages - 1)) % kStages;
    Send send = pipeline_.send(out, peer, forward ? kForward : kBackward);
    sends_.emplace_back(std::move(out), std::move(send));
    if (sends_.size() > 8 * kStages) co_await reap();
  }

  Task<> forward(int k) {
    const int chunk = chunk_of(k, true);
    Buffer held;
    if (first(chunk)) {
      held = rank_.allocate("embedded", Memory::activation, plan_.activation);
    } else {
      held = co_await *next_forward_;
    }
    expect(k + 1, true);
    for (int layer = 0; layer < kLayersOfChunk; ++layer) {
      co_await rank_.compute(plan_.attention, [] {});
      co_await GroupEvent(tensor_, sum_);
      co_await rank_.compute(plan_.inner, [] {});
      co_await GroupEvent(tensor_, sum_);
    }
    if (last(chunk)) co_await rank_.compute(plan_.words, [] {});
    if (!last(chunk)) co_await pass_on(std::move(held), true);
  }

  Task<> backward(int k) {
    const int chunk = chunk_of(k, false);
    Buffer held;
    if (last(chunk)) {
      held = rank_.allocate("loss gradient", Memory::activation, plan_.activation);
      co_await rank_.compute(plan_.words, [] {});
    } else {
      held = co_await *next_backward_;
    }
    expect(k + 1, false);
    for (int layer = 0; layer < kLayersOfChunk; ++layer) {
      co_await rank_.compute(plan_.inner_back, [] {});
      co_await GroupEvent(tensor_, sum_);
      co_await rank_.compute(plan_.attention_back, [] {});
      co_await GroupEvent(tensor_, sum_);
    }
    if (k >= steps() - kStages * kChunks && k % kStages == kStages - 1) scattered_.emplace_back(data_, scatter_);
    if (!first(chunk)) co_await pass_on(std::move(held), false);
  }

  Rank& rank_;
  const Plan& plan_;
  Group tensor_, data_, pipeline_;
  GroupCall sum_, scatter_, gather_;
  std::optional<Transfer> next_forward_, next_backward_;
  std::deque<std::pair<Buffer, Send>> sends_;
  std::deque<GroupEvent> scattered_;
};

Task<> training_step(Rank& rank, const Plan& plan) {
  Stage stage(rank, plan);
  co_await stage.step();
}

double peak_gib() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_maxrss) / (1 << 20);
}

}  // namespace

int main(int argc, char** argv) {
  bool messages = false;
  std::vector<int> degrees;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--messages") {
      messages = true;
    } else {
      degrees.push_back(std::atoi(argv[i]));
    }
  }
  if (degrees.empty()) degrees = {192};
  const std::string root = assay::datasets::data_root();
  const auto device = assay::datasets::load_device("a100-80g-sxm", root);
  auto cluster = assay::datasets::load_cluster("dgx-a100", root);
  cluster.nodes = 1536;  // more than the largest published DGX A100 installation
  fmt::print("{:>6} {:>10} {:>12} {:>8} {:>8} {:>12} {:>8} {:>10} {:>14} {:>6}\n", "GPUs", "groups", "events", "wall s",
             "cpu s", "events/s", "GiB", "step s", "token/s", "MFU");
  for (const int data : degrees) {
    const Plan plan(data, 32 * data);
    const int ranks = kTensor * kStages * data;
    ClusterFabric fabric({.cluster = cluster,
                          .operator_seconds = [&](const OpWork& work) { return operator_seconds(device, work); },
                          .memory_bandwidth = device.at("memory_bandwidth"),
                          .ranks = ranks,
                          .groups_as_events = !messages});
    const std::clock_t cpu = std::clock();
    const auto start = std::chrono::steady_clock::now();
    const RunReport run = fabric.run([&](Rank& rank) { return training_step(rank, plan); });
    const double wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double busy = static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC, step = to_seconds(run.makespan());
    const double tokens = static_cast<double>(plan.micro_batches * data) * kTokens;
    const double layers = kChunks * kStages * kLayersOfChunk, width = static_cast<double>(kHidden);
    const double flops =
        tokens * (layers * (72 * width * width + 12 * kTokens * width) + 6 * width * static_cast<double>(kWords));
    fmt::print("{:>6} {:>10} {:>12} {:>8.2f} {:>8.2f} {:>12.3g} {:>8.2f} {:>10.3f} {:>14.0f} {:>5.1f}%\n", ranks,
               messages ? "messages" : "one event", run.events, wall, busy, static_cast<double>(run.events) / busy,
               peak_gib(), step, tokens / step, 100 * flops / step / ranks / 312e12);
  }
  return EXIT_SUCCESS;
}
