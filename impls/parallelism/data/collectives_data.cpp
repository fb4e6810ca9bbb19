#include "impls/parallelism/data/collectives_data.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <stdexcept>
#include <utility>

#include "datasets/user_error.h"
#include "impls/substrate/cluster/algorithm_choice.h"
#include "impls/substrate/fabric/all_reduce.h"
#include "impls/substrate/fabric/broadcast.h"
#include "impls/substrate/fabric/collectives.h"
#include "impls/substrate/fabric/native_collectives.h"
#include "impls/substrate/fabric/reduction.h"
#include "impls/substrate/fabric/scan.h"
#include "impls/substrate/random.h"

namespace assay::parallelism {

using substrate::Buffer;
using substrate::DType;
using substrate::Memory;
using substrate::Rank;
using substrate::Tag;
using substrate::Task;

namespace {

constexpr Tag kTag{.value = 1, .name = "collective"};
constexpr int kScanBlocks = 8;

const std::map<std::string, std::vector<std::string>>& algorithms() {
  static const std::map<std::string, std::vector<std::string>> all{
      {"all-reduce", {"ring", "halving-doubling", "double-tree", "hierarchical", "star"}},
      {"reduce-scatter", {"ring", "direct"}},
      {"all-gather", {"ring", "direct"}},
      {"broadcast", {"binomial", "chain"}},
      {"all-to-all", {"direct", "pairwise", "by-nodes"}},
      {"scan", {"pipelined", "serial"}}};
  return all;
}

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

std::vector<std::int64_t> part_bytes(const CollectiveProblem& p) {
  std::vector<std::int64_t> bytes;
  for (int r = 0; r < p.ranks; ++r) bytes.push_back(p.part_elements(r) * size_of(p.dtype));
  return bytes;
}

void copy_bytes(Rank& rank, Buffer& to, std::int64_t offset, const Buffer& from) {
  if (rank.real()) substrate::copy_to(to, offset, from);
}

// Programs work on a tensor in place; on real data it is filled from the rank's input first.
struct Run {
  Rank& rank;
  const CollectiveProblem& p;
  const std::byte* input;
  std::byte* output;
  substrate::NativeCollectives* library;

  bool silent() const { return p.leave_out == rank.id(); }
  std::int64_t bytes(std::int64_t elements) const { return elements * size_of(p.dtype); }
  Buffer loaded(const char* name, std::int64_t elements) const {
    Buffer tensor = rank.allocate(name, Memory::activation, bytes(elements));
    fill(tensor);
    return tensor;
  }
  void fill(Buffer& tensor) const {
    if (!rank.real()) return;
    if (silent())
      substrate::fill_with(tensor, 0);
    else
      substrate::copy_to(tensor, 0, input, tensor.bytes());
  }
  Buffer result() const { return rank.adopt("result", Memory::output, bytes(p.output_elements(rank.id())), output); }

  Task<> all_reduce() const {
    Buffer tensor = result();
    fill(tensor);
    substrate::AllReducePlan plan{.node_ranks = p.node_ranks, .piece_bytes = p.piece_bytes};
    for (const substrate::AllReduce each : substrate::kAllReduces)
      if (substrate::to_string(each) == p.algorithm) plan.algorithm = each;
    co_await substrate::all_reduce(rank, tensor, plan, p.dtype, kTag);
  }
  Task<> reduce_scatter() const {
    Buffer to = result();
    const Buffer tensor = loaded("tensor", p.elements);
    std::vector<Buffer> parts = substrate::cut(rank, tensor, p.ranks, p.dtype);
    if (p.algorithm == "ring") {
      // The ring leaves part i + 1 with rank i: parts are dealt one further on.
      std::vector<Buffer> turned;
      for (int r = 0; r < p.ranks; ++r) turned.push_back(std::move(parts[at((r + p.ranks - 1) % p.ranks)]));
      co_await substrate::ring_reduce_scatter(rank, turned, p.dtype, kTag);
      copy_bytes(rank, to, 0, turned[at((rank.id() + 1) % p.ranks)]);
    } else {
      substrate::ReduceScatter scatter(rank, std::move(parts), p.dtype, p.node_ranks, kTag, "sum");
      const Buffer sum = co_await scatter.sum();
      copy_bytes(rank, to, 0, sum);
    }
  }
  Task<> all_gather() const {
    Buffer to = result();
    std::vector<Buffer> parts = substrate::cut(rank, to, p.ranks, p.dtype);
    if (p.algorithm == "ring") {
      fill(parts[at(rank.id())]);
      co_await substrate::ring_all_gather(rank, parts, 0, kTag);
    } else {
      substrate::AllGather gather(rank, loaded("part", p.part_elements(rank.id())), part_bytes(p), p.node_ranks, kTag,
                                  "gathered");
      const std::vector<Buffer> gathered = co_await gather.arrived();
      for (int r = 0; r < p.ranks; ++r) copy_bytes(rank, to, bytes(p.part_begin(r)), gathered[at(r)]);
    }
  }
  Task<> broadcast() const {
    Buffer tensor = result();
    if (rank.id() == 0) fill(tensor);
    co_await substrate::broadcast(
        rank, tensor,
        {.algorithm = p.algorithm == "chain" ? substrate::Broadcast::chain : substrate::Broadcast::binomial,
         .piece_bytes = p.piece_bytes},
        kTag);
  }
  Task<> all_to_all() const {
    Buffer to = result();
    const Buffer tensor = loaded("tensor", p.elements);
    std::vector<Buffer> parts = substrate::cut(rank, tensor, p.ranks, p.dtype);
    const std::int64_t mine = bytes(p.part_elements(rank.id()));
    const std::vector<std::int64_t> expected(at(p.ranks), mine);
    std::vector<Buffer> arrived;
    if (p.algorithm == "pairwise") {
      arrived = co_await substrate::all_to_all_pairwise(rank, std::move(parts), expected, kTag, "part");
    } else if (p.algorithm == "by-nodes") {
      const std::vector<std::int64_t> sizes = part_bytes(p);
      arrived = co_await substrate::all_to_all_by_nodes(
          rank, std::move(parts), p.node_ranks, [sizes](int, int receiver) { return sizes[at(receiver)]; }, kTag,
          "part");
    } else {
      arrived = co_await substrate::all_to_all(rank, std::move(parts), expected, kTag, "part");
    }
    for (int r = 0; r < p.ranks; ++r) copy_bytes(rank, to, mine * r, arrived[at(r)]);
  }
  Task<> scan() const {
    Buffer to = result();
    const Buffer tensor = loaded("tensor", p.elements);
    std::vector<Buffer> onward = substrate::cut(rank, tensor, p.algorithm == "serial" ? 1 : kScanBlocks, p.dtype);
    const std::vector<Buffer> before = co_await substrate::exclusive_scan(
        rank, onward, false,
        [dtype = p.dtype](int, const Buffer& earlier, Buffer& own) { substrate::add_into(own, earlier, dtype); }, kTag,
        "before");
    if (before.empty() && rank.real()) substrate::fill_with(to, 0);
    std::int64_t offset = 0;
    for (const Buffer& block : before) {
      copy_bytes(rank, to, offset, block);
      offset += block.bytes();
    }
  }
  // One call of the fabric's library.
  Task<> native() const {
    Buffer to = result();
    const bool in_place = p.collective == "all-reduce" || p.collective == "broadcast";
    const Buffer tensor = in_place ? Buffer() : loaded("tensor", p.input_elements(rank.id()));
    if (in_place && (p.collective == "all-reduce" || rank.id() == 0)) fill(to);
    co_await rank.copy(bytes(p.elements), [&] {
      std::vector<std::int64_t> parts;
      for (int r = 0; r < p.ranks; ++r) parts.push_back(p.part_elements(r));
      std::byte* out = to.write<std::byte>().data();
      const std::byte* in = in_place ? nullptr : tensor.read<std::byte>().data();
      if (p.collective == "all-reduce") return library->all_reduce(out, p.elements, p.dtype);
      if (p.collective == "reduce-scatter") return library->reduce_scatter(in, out, parts, p.dtype);
      if (p.collective == "all-gather") return library->all_gather(in, out, parts, p.dtype);
      if (p.collective == "broadcast") return library->broadcast(out, p.elements, p.dtype);
      if (p.collective == "all-to-all") return library->all_to_all(in, out, parts, p.dtype);
      if (rank.id() == 0) std::ranges::fill(to.write<std::byte>(), std::byte{0});
      library->exclusive_scan(in, out, p.elements, p.dtype);
    });
  }
  Task<> go() const {
    if (p.algorithm == kNative) return native();
    if (p.collective == "all-reduce") return all_reduce();
    if (p.collective == "reduce-scatter") return reduce_scatter();
    if (p.collective == "all-gather") return all_gather();
    if (p.collective == "broadcast") return broadcast();
    if (p.collective == "all-to-all") return all_to_all();
    return scan();
  }
};

Task<> run_collective(Rank& rank, const CollectiveProblem& problem, substrate::NativeCollectives* library,
                      CollectiveData* data) {
  std::byte* output = data == nullptr ? nullptr : data->result(rank.id());
  const Run run{rank, problem, data == nullptr ? nullptr : data->given(rank.id()), output, library};
  co_await run.go();
  if (!problem.last_element_lost || output == nullptr) co_return;
  const std::int64_t element = size_of(problem.dtype);
  const std::int64_t begin = (problem.output_elements(rank.id()) - 1) * element;
  if (begin < 0) co_return;
  Buffer last = rank.adopt("lost", Memory::output, element, output + begin);
  substrate::fill_with(last, 0x7f);
}

}  // namespace

std::int64_t CollectiveProblem::part_begin(int index) const {
  const std::int64_t base = elements / ranks, longer = elements % ranks;
  return index * base + std::min<std::int64_t>(index, longer);
}

std::int64_t CollectiveProblem::input_elements(int rank) const {
  return collective == "all-gather" ? part_elements(rank) : elements;
}

std::int64_t CollectiveProblem::output_elements(int rank) const {
  if (collective == "reduce-scatter") return part_elements(rank);
  if (collective == "all-to-all") return part_elements(rank) * ranks;
  return elements;
}

CollectiveProblem resolve_collective(CollectiveProblem problem, const datasets::Cluster& cluster) {
  const auto& known = algorithms().at(problem.collective);
  const int of_node = std::min(problem.ranks, cluster.devices_per_node);
  if (problem.algorithm == "auto") {
    if (problem.collective == "all-reduce") {
      const substrate::AllReducePlan plan = substrate::choose_all_reduce(
          substrate::all_reduce_table(cluster, problem.ranks), problem.elements * size_of(problem.dtype));
      problem.algorithm = substrate::to_string(plan.algorithm);
      problem.piece_bytes = plan.piece_bytes;
    } else {
      problem.algorithm = known.front();
    }
  }
  if (problem.algorithm != kNative && std::ranges::find(known, problem.algorithm) == known.end())
    throw UserError(fmt::format("algorithm: found {}, expected one that {} has: auto, {}", problem.algorithm,
                                problem.collective, fmt::join(known, ", ")));
  if (problem.collective == "scan" && problem.ranks == 1)
    throw UserError("ranks: found 1, expected at least 2 for an exclusive scan, which gives the first rank nothing");
  if (problem.node_ranks == 0) {
    problem.node_ranks = problem.ranks % of_node == 0 ? of_node : 1;
    // One node alone would leave what nodes are for untouched.
    if (problem.node_ranks == problem.ranks && problem.ranks % 2 == 0) problem.node_ranks = problem.ranks / 2;
  }
  if (problem.ranks % problem.node_ranks != 0)
    throw UserError(
        fmt::format("node_ranks: found {}, expected a divisor of ranks ({})", problem.node_ranks, problem.ranks));
  return problem;
}

RankProgram collective_program(const CollectiveProblem& problem, substrate::NativeCollectives* library) {
  return [problem = std::make_shared<const CollectiveProblem>(problem), library](Rank& rank, ProgramData* data) {
    return run_collective(rank, *problem, library, static_cast<CollectiveData*>(data));
  };
}

CollectiveData::CollectiveData(CollectiveProblem problem, std::optional<int> only) : problem_(std::move(problem)) {
  for (int r = 0; r < problem_.ranks; ++r) {
    const bool held = only.value_or(r) == r;
    inputs_.emplace_back(held ? at(problem_.input_elements(r) * size_of(problem_.dtype)) : 0);
    outputs_.emplace_back(held ? at(problem_.output_elements(r) * size_of(problem_.dtype)) : 0);
  }
}

void CollectiveData::draw(std::uint64_t seed) {
  exact_.clear();
  substrate::Random random(seed);
  for (int r = 0; r < problem_.ranks; ++r) {
    std::vector<std::byte>& to = inputs_[at(r)];
    const std::int64_t count = problem_.input_elements(r);
    for (std::int64_t i = 0; i < count; ++i) {
      const auto value = static_cast<float>(random.normal());
      if (to.empty()) continue;  // drawn all the same: a rank's values do not depend on who draws them
      if (problem_.dtype == DType::f32) {
        std::memcpy(&to[at(i * 4)], &value, 4);
      } else {
        const substrate::BFloat16 narrow = substrate::to_bf16(value);
        std::memcpy(&to[at(i * 2)], &narrow, 2);
      }
    }
  }
}

std::vector<std::span<std::byte>> CollectiveData::outputs_of(int rank) { return {outputs_[at(rank)]}; }

std::vector<harness::Output> CollectiveData::outputs() {
  std::vector<harness::Output> all;
  for (int r = 0; r < problem_.ranks; ++r) all.push_back({fmt::format("result of rank {}", r), outputs_[at(r)]});
  return all;
}

namespace {
double element(const std::vector<std::byte>& from, std::int64_t index, DType dtype) {
  if (dtype == DType::f32) {
    float value = 0;
    std::memcpy(&value, &from[at(index * 4)], 4);
    return value;
  }
  substrate::BFloat16 value;
  std::memcpy(&value, &from[at(index * 2)], 2);
  return substrate::to_float(value);
}
}  // namespace

void CollectiveData::refer(std::uint64_t) const {
  const CollectiveProblem& p = problem_;
  exact_.assign(at(p.ranks), {});
  magnitude_.assign(at(p.ranks), {});
  const auto value = [&](int rank, std::int64_t index) { return element(inputs_[at(rank)], index, p.dtype); };
  for (int r = 0; r < p.ranks; ++r) {
    const auto put = [&](int first, int last, std::int64_t index) {
      double sum = 0, size = 0;
      for (int from = first; from < last; ++from) {
        sum += value(from, index);
        size += std::abs(value(from, index));
      }
      exact_[at(r)].push_back(sum);
      magnitude_[at(r)].push_back(last - first > 1 ? size : 0);
    };
    if (p.collective == "all-gather") {
      for (int from = 0; from < p.ranks; ++from)
        for (std::int64_t i = 0; i < p.part_elements(from); ++i) put(from, from + 1, i);
    } else if (p.collective == "all-to-all") {
      for (int from = 0; from < p.ranks; ++from)
        for (std::int64_t i = p.part_begin(r); i < p.part_begin(r + 1); ++i) put(from, from + 1, i);
    } else if (p.collective == "reduce-scatter") {
      for (std::int64_t i = p.part_begin(r); i < p.part_begin(r + 1); ++i) put(0, p.ranks, i);
    } else {
      const int last = p.collective == "all-reduce" ? p.ranks : p.collective == "broadcast" ? 1 : r;
      for (std::int64_t i = 0; i < p.elements; ++i) put(0, last, i);
    }
  }
}

harness::Check CollectiveData::compare(std::uint64_t seed) const {
  if (exact_.empty()) refer(seed);
  const double unit = problem_.dtype == DType::f32 ? std::ldexp(1.0, -24) : std::ldexp(1.0, -8);
  harness::Check check;
  for (int r = 0; r < problem_.ranks; ++r)
    for (std::int64_t i = 0; i < problem_.output_elements(r); ++i) {
      const double got = element(outputs_[at(r)], i, problem_.dtype), want = exact_[at(r)][at(i)];
      const double allowed = std::max(problem_.ranks * unit * magnitude_[at(r)][at(i)], 1e-300);
      const double error = got == want ? 0 : std::abs(got - want) / allowed;
      if (error <= check.error || std::isnan(check.error)) continue;
      check.error = error;
      check.detail =
          fmt::format("element {} of rank {} is {:.8g}, the sum is {:.8g} within {:.2g}", i, r, got, want, allowed);
    }
  return check;
}

}  // namespace assay::parallelism
