// How long FlexSP's planner takes for a batch of the paper (512 sequences, 64 devices), and how far its plan is from
// the bound no plan can beat. The paper's solver takes 5 to 15 s with all trials in parallel.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "datasets/machine.h"
#include "datasets/workloads/length_distribution.h"
#include "impls/parallelism/variable_length/flexsp_plan.h"

int main() {
  using namespace assay;
  using Clock = std::chrono::steady_clock;
  const std::string root = datasets::data_root();
  const datasets::Cluster cluster = datasets::load_cluster("flexsp-a100-40g", root);
  const datasets::Device device = datasets::load_device(cluster.device, root);
  const parallelism::BatchProblem shape{
      .lengths = {}, .ranks = 64, .heads = 64, .kv_heads = 64, .head_dim = 64, .backward = true};
  const parallelism::FlexSpCosts costs = parallelism::flexsp_layer_costs(shape, 8192, device, cluster);
  fmt::print("{:12} {:>8} {:>10} {:>12} {:>12} {:>14}\n", "lengths", "buckets", "time", "over bound", "one degree",
             "static");
  for (const char* id : {"github", "wikipedia", "byted"})
    for (const int buckets : {16, 64, 0}) {
      const auto distribution = datasets::load_length_distribution(id, root);
      const auto lengths = datasets::draw_lengths(distribution, 512, 384 << 10, datasets::Overlong::drop, 1);
      const auto begin = Clock::now();
      const parallelism::FlexSpPlan plan = parallelism::plan_flexsp(lengths, 64, costs, buckets);
      const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
      double bound = 0;
      for (const parallelism::FlexSpMicroBatch& part : plan.micro_batches) {
        std::vector<int> which;
        for (const parallelism::FlexSpGroup& group : part.groups)
          which.insert(which.end(), group.sequences.begin(), group.sequences.end());
        bound += parallelism::micro_batch_bound(lengths, which, 64, costs);
      }
      fmt::print("{:12} {:>8} {:>8.3f} s {:>11.2f}x {:>11.2f}x {:>13.2f}x\n", id,
                 buckets == 0 ? "none" : fmt::format("{}", buckets), seconds, plan.seconds / bound,
                 parallelism::plan_batch_adaptive(lengths, 64, costs).seconds / plan.seconds,
                 parallelism::plan_one_degree(lengths, 64, costs.least_level(384 << 10), costs).seconds / plan.seconds);
    }
}
