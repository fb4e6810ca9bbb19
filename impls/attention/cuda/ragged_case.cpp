#include "impls/attention/cuda/ragged_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "impls/attention/oracle.h"
#include "impls/attention/registration.h"
#include "impls/substrate/random.h"

namespace assay::attention::cuda {

std::vector<Problem> ragged_sequences(const Problem& problem) {
  substrate::Random random(0x7261676765644cULL);
  std::vector<Problem> out;
  const int ahead = problem.keys - problem.queries;
  for (int b = 0; b < problem.batch; ++b) {
    Problem one = problem;
    one.batch = 1;
    if (b > 0) {
      one.queries = 1 + static_cast<int>(random.below(static_cast<std::uint64_t>(problem.queries)));
      one.keys = std::max(1, one.queries + ahead);
    }
    one.diagonal = one.keys - one.queries;  // bottom-right, as the kernel has it
    out.push_back(one);
  }
  return out;
}

namespace {

// The sequences on the host, each by itself, and packed on the device as [heads][all rows][d].
struct Batch {
  Problem problem;
  std::vector<Problem> sequences;
  std::vector<Storage> storages;
  std::vector<int> query_starts{0}, key_starts{0};
  DeviceBuffer<std::byte> q, k, v, o;
  DeviceBuffer<float> lse;  // [B, H, longest]
  DeviceBuffer<int> device_query_starts, device_key_starts;
  std::uint64_t seed = 0;
  std::vector<std::unique_ptr<Reference>> references;

  Batch(Device& device, const Problem& p) : problem(p), sequences(ragged_sequences(p)) {
    for (const Problem& one : sequences) {
      storages.emplace_back(one);
      query_starts.push_back(query_starts.back() + one.queries);
      key_starts.push_back(key_starts.back() + one.keys);
    }
    q = {device, bytes(p.heads, query_starts.back())};
    k = {device, bytes(p.kv_heads, key_starts.back())};
    v = {device, bytes(p.kv_heads, key_starts.back())};
    o = {device, bytes(p.heads, query_starts.back())};
    lse = {device,
           static_cast<std::size_t>(p.batch) * static_cast<std::size_t>(p.heads) * static_cast<std::size_t>(p.queries)};
    device_query_starts = {device, query_starts.size()};
    device_key_starts = {device, key_starts.size()};
    device_query_starts.upload(query_starts);
    device_key_starts.upload(key_starts);
  }

  std::size_t bytes(int heads, int rows) const {
    return static_cast<std::size_t>(heads) * static_cast<std::size_t>(rows) *
           static_cast<std::size_t>(problem.head_dim) * 2;
  }
  std::size_t row_bytes() const { return static_cast<std::size_t>(problem.head_dim) * 2; }

  // Rows of one tensor of every sequence, packed.
  std::vector<std::byte> packed(substrate::View Tensors::*which, int heads, const std::vector<int>& starts,
                                std::vector<Storage>& from) const {
    std::vector<std::byte> all(bytes(heads, starts.back()));
    for (std::size_t b = 0; b < sequences.size(); ++b) {
      const substrate::View& view = from[b].tensors().*which;
      for (int h = 0; h < heads; ++h)
        std::copy_n(view.at(0, h, 0), static_cast<std::size_t>(starts[b + 1] - starts[b]) * row_bytes(),
                    all.data() + static_cast<std::size_t>(h * starts.back() + starts[b]) * row_bytes());
    }
    return all;
  }
  void upload(std::vector<Storage>& from) {
    q.upload(packed(&Tensors::q, problem.heads, query_starts, from));
    k.upload(packed(&Tensors::k, problem.kv_heads, key_starts, from));
    v.upload(packed(&Tensors::v, problem.kv_heads, key_starts, from));
  }
  void draw(InputLaw law, std::uint64_t from) {
    seed = from;
    references.clear();
    for (std::size_t b = 0; b < sequences.size(); ++b)
      draw_inputs(sequences[b], law, seed + 1000003 * b, storages[b].tensors());
    upload(storages);
  }

  void run(Device& device, float scale, const int* queries, const int* keys) const {
    const auto matrix = [&](const DeviceBuffer<std::byte>& data, int rows) {
      return Matrix{data.data(), 0, static_cast<std::int64_t>(rows) * problem.head_dim, problem.head_dim};
    };
    ForwardProblem forward;
    forward.q = matrix(q, query_starts.back());
    forward.k = matrix(k, key_starts.back());
    forward.v = matrix(v, key_starts.back());
    forward.o = matrix(o, query_starts.back());
    forward.lse = lse.data();
    forward.ragged = {queries, keys};
    forward.mask = {problem.queries, problem.keys, problem.causal, problem.diagonal};
    forward.batch = problem.batch;
    forward.heads = problem.heads;
    forward.kv_heads = problem.kv_heads;
    forward.scale = scale;
    flash_attention_2_forward(forward, problem.head_dim, element_type(problem.dtype), device.stream());
  }
  void run(Device& device) const { run(device, problem.scale, device_query_starts.data(), device_key_starts.data()); }

  harness::Check compare() {
    if (references.empty())
      for (std::size_t b = 0; b < sequences.size(); ++b)
        references.push_back(std::make_unique<Reference>(sequences[b], storages[b].tensors(), seed));
    const std::vector<std::byte> packed_o = o.download();
    const std::vector<float> all_lse = lse.download();
    harness::Check worst;
    for (std::size_t b = 0; b < sequences.size(); ++b) {
      const Tensors& to = storages[b].tensors();
      const int rows = sequences[b].queries;
      for (int h = 0; h < problem.heads; ++h) {
        std::copy_n(packed_o.data() + static_cast<std::size_t>(h * query_starts.back() + query_starts[b]) * row_bytes(),
                    static_cast<std::size_t>(rows) * row_bytes(), to.o.at(0, h, 0));
        std::copy_n(all_lse.data() + (static_cast<std::size_t>(b) * static_cast<std::size_t>(problem.heads) +
                                      static_cast<std::size_t>(h)) *
                                         static_cast<std::size_t>(problem.queries),
                    rows, to.lse + static_cast<std::ptrdiff_t>(h) * rows);
      }
      const harness::Check found = references[b]->compare(to);
      worst.coverage = std::min(worst.coverage, found.coverage);
      if (found.error <= worst.error) continue;
      worst.error = found.error;
      worst.detail = fmt::format("sequence {} of {} queries: {}", b, rows, found.detail);
    }
    return worst;
  }
};

}  // namespace

void run_ragged(harness::State& state, const Problem& problem, std::uint32_t shared_bytes) {
  const InputLaw law = state.text("inputs") == "normal" ? InputLaw::normal : InputLaw::outlier;
  harness::Work work;
  for (const Problem& one : ragged_sequences(problem)) {
    work.flops += one.flops();
    work.bytes += one.least_bytes();
    work.exps += one.exps();
    work.flops_issued += one.head_dim == 64    ? issued_flops(one, ForwardTile<64>::kRows, ForwardTile<64>::kKeys)
                         : one.head_dim == 128 ? issued_flops(one, ForwardTile<128>::kRows, ForwardTile<128>::kKeys)
                                               : issued_flops(one, ForwardTile<256>::kRows, ForwardTile<256>::kKeys);
  }
  work.working_set = work.bytes;
  work.roof = problem.dtype == DType::bf16 ? "gemm-bf16" : "gemm-fp16";
  state.declare(work);

  Device& device = state.device();
  need_shared_memory(state, shared_bytes);
  const auto held = std::make_shared<Batch>(device, problem);
  state.inputs([held, law](std::uint64_t seed) { held->draw(law, seed); });
  state.device_output("O", held->o.data(), held->o.bytes());
  state.device_output("LSE", held->lse.data(), held->lse.bytes());
  state.oracle([held] { return held->compare(); });
  state.mutant("wrong-scale", [held, &device] {
    held->run(device, held->problem.scale * 1.02F, held->device_query_starts.data(), held->device_key_starts.data());
  });
  if (problem.batch > 1) {
    // Every sequence but the first takes its keys one row too early.
    state.mutant("starts-off-by-one", [held, &device] {
      std::vector<int> wrong = held->key_starts;
      for (std::size_t b = 1; b + 1 < wrong.size(); ++b) --wrong[b];
      DeviceBuffer<int> starts(device, wrong.size());
      starts.upload(wrong);
      held->run(device, held->problem.scale, held->device_query_starts.data(), starts.data());
    });
  }
  state.mutant("lower-precision", [held, &device] {
    std::vector<Storage> coarse;
    for (std::size_t b = 0; b < held->sequences.size(); ++b) {
      const Problem& one = held->sequences[b];
      const Tensors& from = held->storages[b].tensors();
      coarse.emplace_back(one);
      const Tensors& to = coarse.back().tensors();
      std::copy_n(from.q.data, bytes_of(one, one.heads, one.queries), to.q.data);
      std::copy_n(from.k.data, bytes_of(one, one.kv_heads, one.keys), to.k.data);
      std::copy_n(from.v.data, bytes_of(one, one.kv_heads, one.keys), to.v.data);
      coarsen(one, to.q, one.heads, one.queries);
      coarsen(one, to.k, one.kv_heads, one.keys);
      coarsen(one, to.v, one.kv_heads, one.keys);
    }
    held->upload(coarse);
    held->run(device);
    device.synchronize("running a mutant");
    held->upload(held->storages);
  });
  state.measure([held, &device] { held->run(device); });
}

}  // namespace assay::attention::cuda
