#include "impls/attention/cuda/device_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string>

#include "datasets/user_error.h"
#include "impls/attention/oracle.h"
#include "impls/attention/registration.h"

namespace assay::attention::cuda {

using harness::Axis;
using harness::Value;

std::vector<Axis> device_axes() {
  const auto count = [](std::int64_t value) { return Value(value); };
  const auto text = [](const char* value) { return Value(std::string(value)); };
  std::vector<Axis> out;
  for (Axis& axis : axes()) {
    if (axis.name == "threads" || axis.name == "isa") continue;
    if (axis.name == "head_dim") {
      axis.defaults = {count(128)};
      axis.allowed = {count(64), count(128), count(256)};
    }
    if (axis.name == "dtype") {
      axis.defaults = {text("bf16")};
      axis.allowed = {text("bf16"), text("fp16")};
    }
    out.push_back(std::move(axis));
  }
  return out;
}

Axis lengths_axis() {
  return {.name = "lengths",
          .defaults = {Value(std::string("even"))},
          .help = "of the sequences of a batch: even, or ragged: 1 to sequence_length, packed",
          .allowed = {Value(std::string("even")), Value(std::string("ragged"))},
          .legacy_default = Value(std::string("even"))};
}

Problem read_device_problem(const harness::State& state) {
  Problem problem = read_shape(state);
  const int d = problem.head_dim;
  if (d != 64 && d != 128 && d != 256)
    throw UserError(fmt::format("head_dim: found {}, expected 64, 128 or 256 on backend cuda", d));
  const std::string& dtype = state.text("dtype");
  if (dtype != "bf16" && dtype != "fp16")
    throw UserError(fmt::format("dtype: found '{}', expected bf16 or fp16 on backend cuda", dtype));
  if (problem.heads > 65535 || problem.batch > 65535)
    throw UserError("heads and batch: expected at most 65535 on backend cuda");
  problem.dtype = dtype == "bf16" ? DType::bf16 : DType::f16;
  return problem;
}

ElementType element_type(DType dtype) { return dtype == DType::bf16 ? ElementType::bf16 : ElementType::fp16; }

std::size_t bytes_of(const Problem& p, int heads, int rows) {
  return static_cast<std::size_t>(p.batch) * static_cast<std::size_t>(heads) * static_cast<std::size_t>(rows) *
         static_cast<std::size_t>(p.head_dim) * static_cast<std::size_t>(size_of(p.dtype));
}

Matrix contiguous(const Problem& p, int heads, int rows, void* data) {
  const std::int64_t head = static_cast<std::int64_t>(rows) * p.head_dim;
  return {data, head * heads, head, p.head_dim};
}

void need_capability(harness::State& state, int only_on) {
  const int capability = state.device().facts().capability;
  if (only_on != 0 && capability != only_on)
    state.skip(fmt::format("is made for compute capability {}.{}, the device has {}.{}", only_on / 10, only_on % 10,
                           capability / 10, capability % 10));
}

void need_shared_memory(harness::State& state, std::uint32_t bytes) {
  const std::int64_t allowed = state.device().facts().shared_bytes_a_block;
  if (bytes > allowed)
    state.skip(
        fmt::format("needs {} KiB of shared memory a block, the device has {} KiB", bytes / 1024, allowed / 1024));
}

std::uint32_t shared_bytes_of(int head_dim, std::uint32_t of_64, std::uint32_t of_128, std::uint32_t of_256) {
  return head_dim == 64 ? of_64 : head_dim == 128 ? of_128 : of_256;
}

DeviceTensors::DeviceTensors(Device& device, const Problem& p)
    : q(device, bytes_of(p, p.heads, p.queries)),
      k(device, bytes_of(p, p.kv_heads, p.keys)),
      v(device, bytes_of(p, p.kv_heads, p.keys)),
      o(device, bytes_of(p, p.heads, p.queries)),
      lse(device, static_cast<std::size_t>(p.batch) * static_cast<std::size_t>(p.heads) *
                      static_cast<std::size_t>(p.queries)) {}

void DeviceTensors::upload(const Problem& p, const Tensors& from) {
  q.upload(std::span<const std::byte>(from.q.data, bytes_of(p, p.heads, p.queries)));
  k.upload(std::span<const std::byte>(from.k.data, bytes_of(p, p.kv_heads, p.keys)));
  v.upload(std::span<const std::byte>(from.v.data, bytes_of(p, p.kv_heads, p.keys)));
}

void DeviceTensors::download(Storage& to) const {
  o.download(to.output());
  lse.download(std::span<float>(to.tensors().lse, lse.size()));
}

ForwardProblem DeviceTensors::forward(const Problem& p) const {
  return {.q = contiguous(p, p.heads, p.queries, q.data()),
          .k = contiguous(p, p.kv_heads, p.keys, k.data()),
          .v = contiguous(p, p.kv_heads, p.keys, v.data()),
          .o = contiguous(p, p.heads, p.queries, o.data()),
          .lse = lse.data(),
          .ragged = {},
          .mask = {p.queries, p.keys, p.causal, p.diagonal},
          .batch = p.batch,
          .heads = p.heads,
          .kv_heads = p.kv_heads,
          .scale = p.scale};
}

std::string roof_of(const Problem& problem) { return problem.dtype == DType::bf16 ? "gemm-bf16" : "gemm-fp16"; }

double issued_flops(const Problem& p, int rows, int keys) {
  const Mask mask{p.queries, p.keys, p.causal, p.diagonal};
  std::int64_t blocks = 0;
  for (int first = 0; first < p.queries; first += rows) blocks += mask.key_blocks(first, rows, keys);
  return 4.0 * static_cast<double>(blocks) * rows * keys * p.head_dim * p.heads * p.batch;
}

namespace {

// Inputs and outputs of one problem on both sides, and the references of the inputs last drawn.
struct Held {
  Problem problem;
  std::vector<int> lengths;  // keys of each sequence; none: all have all
  Storage storage;
  DeviceTensors tensors;
  DeviceTechnique technique;
  std::uint64_t seed = 0;
  std::vector<std::unique_ptr<Reference>> references;

  Held(Device& device, const Problem& of, const MakeDeviceTechnique& make, const UnevenKeys& uneven)
      : problem(of),
        lengths(uneven.lengths != nullptr ? uneven.lengths(of) : std::vector<int>{}),
        storage(of),
        tensors(device, of),
        technique(make(of, device)) {}
  void draw(InputLaw law, std::uint64_t from) {
    seed = from;
    references.clear();
    draw_inputs(problem, law, seed, storage.tensors());
    tensors.upload(problem, storage.tensors());
    if (technique.load) technique.load(storage.tensors());
  }
  // Sequence b of uneven ones by itself.
  Tensors part(int b) const {
    Tensors own = storage.tensors();
    for (substrate::View* const view : {&own.q, &own.k, &own.v, &own.o}) view->data = view->at(b, 0, 0);
    own.lse += static_cast<std::ptrdiff_t>(b) * problem.heads * problem.queries;
    return own;
  }
  harness::Check compare() {
    const auto sequences = static_cast<int>(lengths.size());
    if (references.empty()) {
      if (sequences == 0) references.push_back(std::make_unique<Reference>(problem, storage.tensors(), seed));
      for (int b = 0; b < sequences; ++b)
        references.push_back(
            std::make_unique<Reference>(with_keys(problem, lengths[static_cast<std::size_t>(b)]), part(b), seed));
    }
    tensors.download(storage);
    if (sequences == 0) return references.front()->compare(storage.tensors());
    harness::Check worst;
    for (int b = 0; b < sequences; ++b) {
      const harness::Check found = references[static_cast<std::size_t>(b)]->compare(part(b));
      worst.coverage = std::min(worst.coverage, found.coverage);
      if (found.error <= worst.error) continue;
      worst.error = found.error;
      worst.detail = fmt::format("sequence {} of {} keys: {}", b, lengths[static_cast<std::size_t>(b)], found.detail);
    }
    return worst;
  }
  static Problem with_keys(Problem one, int keys) {
    one.batch = 1;
    one.keys = keys;
    one.diagonal = keys - one.queries;
    return one;
  }
};

// Runs a technique made for `problem` on K and V of `host`, which are also in `tensors`.
void run_other(const MakeDeviceTechnique& make, const Problem& problem, const Tensors& host,
               const DeviceTensors& tensors, Device& device) {
  const DeviceTechnique technique = make(problem, device);
  if (technique.load) technique.load(host);
  technique.run(tensors);
}

}  // namespace

void run_on_device(harness::State& state, const Problem& problem, const KernelNeeds& needs,
                   const MakeDeviceTechnique& make, const UnevenKeys& uneven) {
  const std::string& law = state.text("inputs");
  const InputLaw input_law = law == "normal" ? InputLaw::normal : InputLaw::outlier;
  harness::Work work;
  std::vector<Problem> sequences{problem};
  if (uneven.lengths != nullptr) {
    sequences.clear();
    for (const int keys : uneven.lengths(problem)) sequences.push_back(Held::with_keys(problem, keys));
  }
  for (const Problem& one : sequences) {
    work.flops += one.flops();
    work.bytes += one.least_bytes();
    work.exps += one.exps();
  }
  work.flops_issued = needs.issued;
  work.working_set = work.bytes;
  work.roof = roof_of(problem);
  state.declare(work);

  Device& device = state.device();
  need_capability(state, needs.only_on);
  need_shared_memory(state, needs.shared_bytes);
  const auto held = std::make_shared<Held>(device, problem, make, uneven);
  state.inputs([held, input_law](std::uint64_t seed) { held->draw(input_law, seed); });
  state.device_output("O", held->tensors.o.data(), held->tensors.o.bytes());
  state.device_output("LSE", held->tensors.lse.data(), held->tensors.lse.bytes());
  state.oracle([held, make, uneven, &device] {
    harness::Check check = held->compare();
    if (check.coverage < 1) {
      Held small(device, small_problem(held->problem), make, uneven);
      small.draw(InputLaw::normal, held->seed);
      small.technique.run(small.tensors);
      const harness::Check found = small.compare();
      check.detail += fmt::format("; small shape in full: error {:.3g}", found.error);
      if (!(found.error <= check.error)) check.error = found.error;
    }
    return check;
  });

  // Wrong versions the gate must reject.
  if (problem.keys > 1) {
    state.mutant("last-tile-skipped", [held, make, &device] {
      // The diagonal stays where it was: only the last keys go missing, by a copy of K and V without them.
      Problem shorter = held->problem;
      shorter.keys -= std::min(shorter.keys / 2, kSampledRows);
      Storage cut(shorter);
      const auto rows = [&](const substrate::View& from, const substrate::View& to) {
        for (int b = 0; b < shorter.batch; ++b)
          for (int h = 0; h < shorter.kv_heads; ++h)
            std::copy_n(from.at(b, h, 0), static_cast<std::size_t>(shorter.keys) * shorter.head_dim * 2,
                        to.at(b, h, 0));
      };
      rows(held->storage.tensors().k, cut.tensors().k);
      rows(held->storage.tensors().v, cut.tensors().v);
      std::copy_n(held->storage.tensors().q.data, bytes_of(shorter, shorter.heads, shorter.queries),
                  cut.tensors().q.data);
      DeviceTensors tensors(device, shorter);
      tensors.upload(shorter, cut.tensors());
      std::swap(tensors.o, held->tensors.o);
      std::swap(tensors.lse, held->tensors.lse);
      run_other(make, shorter, cut.tensors(), tensors, device);
      std::swap(tensors.o, held->tensors.o);
      std::swap(tensors.lse, held->tensors.lse);
    });
    state.mutant("wrong-scale", [held, make, &device] {
      Problem wrong = held->problem;
      wrong.scale *= 1.02F;
      run_other(make, wrong, held->storage.tensors(), held->tensors, device);
    });
  }
  if (uneven.even && problem.batch > 1) {
    state.mutant("lengths-ignored", [held, even = uneven.even, &device] {
      run_other(even, held->problem, held->storage.tensors(), held->tensors, device);
    });
  }
  state.mutant("lower-precision", [held, make, &device] {
    const Problem& p = held->problem;
    const Tensors& from = held->storage.tensors();
    Storage coarse(p);
    const Tensors& to = coarse.tensors();
    std::copy_n(from.q.data, bytes_of(p, p.heads, p.queries), to.q.data);
    std::copy_n(from.k.data, bytes_of(p, p.kv_heads, p.keys), to.k.data);
    std::copy_n(from.v.data, bytes_of(p, p.kv_heads, p.keys), to.v.data);
    coarsen(p, to.q, p.heads, p.queries);
    coarsen(p, to.k, p.kv_heads, p.keys);
    coarsen(p, to.v, p.kv_heads, p.keys);
    held->tensors.upload(p, to);
    run_other(make, p, to, held->tensors, device);
    held->tensors.upload(p, from);
  });

  state.measure([held] { held->technique.run(held->tensors); });
}

}  // namespace assay::attention::cuda
