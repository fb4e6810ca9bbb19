#include "impls/parallelism/sequence/linear_layer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "datasets/user_error.h"
#include "impls/parallelism/sequence/attention_block.h"
#include "impls/parallelism/sequence/linear_data.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/substrate/fabric/scan.h"

namespace assay::parallelism {

using substrate::Buffer;
using substrate::Memory;
using substrate::OpDtype;
using substrate::OpKind;
using substrate::OpWork;
using substrate::Rank;
using substrate::Tag;
using substrate::Task;

namespace {

constexpr Tag kState{.value = 1, .name = "state"};
constexpr Tag kStateGradient{.value = 2, .name = "dstate"};
constexpr std::int64_t kChunk = 64;  // tokens of a chunk inside a rank, whose products are quadratic

OpWork product(const LinearPlan& plan, int rank, double flops_per_token, double tensors) {
  const auto tokens = static_cast<double>(plan.layout.tokens(rank)) * plan.problem.batch;
  const double heads = plan.problem.heads;
  const std::int64_t rows = plan.layout.tokens(rank) * plan.problem.batch * plan.problem.heads;
  return {.kind = OpKind::gemm,
          .dtype = plan.problem.dtype == substrate::DType::bf16 ? OpDtype::bf16 : OpDtype::fp32,
          .flops = flops_per_token * tokens * heads,
          .bytes = tensors * static_cast<double>(plan.bytes(rank)) + static_cast<double>(plan.state_bytes()),
          .m = rows,
          .n = plan.problem.head_dim,
          .k = std::max<std::int64_t>(1, static_cast<std::int64_t>(flops_per_token / 2 / plan.problem.head_dim))};
}

void narrow(Buffer& state) {
  for (float& each : state.write<float>()) each = substrate::to_float(substrate::to_bf16(each));
}

const float* floats(const Buffer& buffer) { return buffer ? buffer.read<float>().data() : nullptr; }

}  // namespace

LinearPlan::LinearPlan(const SequenceProblem& layer, Decay kind, int state_blocks)
    : problem(layer),
      decay(kind),
      blocks(state_blocks),
      layout(Layout::contiguous, layer.length, layer.ranks),
      shape{.batch = layer.batch,
            .heads = layer.heads,
            .head_dim = layer.head_dim,
            .dtype = layer.dtype,
            .decay = kind,
            .scale = 1 / std::sqrt(static_cast<float>(layer.head_dim))} {}

OpWork LinearPlan::state_work(int rank) const {
  return product(*this, rank, 2.0 * problem.head_dim * problem.head_dim, 2);
}
OpWork LinearPlan::inter_work(int rank) const {
  return product(*this, rank, 2.0 * problem.head_dim * problem.head_dim, 2 + 8.0 / size_of(problem.dtype));
}
// Scores and values of half a chunk a token, and the state from chunk to chunk.
OpWork LinearPlan::intra_work(int rank) const {
  return product(*this, rank, 2.0 * kChunk * problem.head_dim + 2.0 * problem.head_dim * problem.head_dim,
                 3 + 4.0 / size_of(problem.dtype));
}
OpWork LinearPlan::backward_work(int rank) const {
  return product(*this, rank, 5.0 * kChunk * problem.head_dim + 8.0 * problem.head_dim * problem.head_dim,
                 4 + 12.0 / size_of(problem.dtype));
}

double LinearPlan::flops() const {
  const double each =
      static_cast<double>(problem.length) * problem.batch * problem.heads * problem.head_dim * problem.head_dim;
  return (problem.backward ? 14 : 4) * each;
}

Task<Buffer> passed_state(Rank& rank, const LinearPlan& plan, Buffer own, const Buffer& total, bool reverse) {
  const LinearShape& shape = plan.shape;
  const std::int64_t heads = std::int64_t{shape.batch} * shape.heads, d = shape.head_dim;
  const auto rows_of = [&](int block) { return plan.first_row(block + 1) - plan.first_row(block); };
  // One block holds the same rows of every head; a single one is the state as it lies.
  const auto move_rows = [&](std::byte* state, int block, std::byte* part, bool into_part) {
    for (std::int64_t index = 0; index < heads; ++index) {
      std::byte* in_state = state + (index * d + plan.first_row(block)) * d * 4;
      std::byte* in_part = part + index * rows_of(block) * d * 4;
      std::memcpy(into_part ? in_part : in_state, into_part ? in_state : in_part,
                  static_cast<std::size_t>(rows_of(block) * d * 4));
    }
  };
  std::vector<Buffer> onward;
  for (int block = 0; block < plan.blocks; ++block) {
    onward.push_back(
        rank.allocate("state block", Memory::communication, heads * rows_of(block) * d * plan.state_element));
    if (rank.real()) move_rows(own.write<std::byte>().data(), block, onward.back().write<std::byte>().data(), true);
  }
  own = Buffer();
  std::vector<Buffer> before = co_await substrate::exclusive_scan(
      rank, onward, reverse,
      [&](int block, const Buffer& earlier, Buffer& mine) {
        const std::vector<float> none(static_cast<std::size_t>(shape.decay_elements()), 1.0F);
        compose_states(shape, plan.first_row(block), plan.first_row(block + 1),
                       plan.undecayed ? none.data() : total.read<float>().data(), earlier.read<float>().data(),
                       mine.write<float>().data());
        if (plan.narrow_state) narrow(mine);
      },
      reverse ? kStateGradient : kState, "state block");
  onward.clear();
  if (before.empty()) co_return Buffer();
  Buffer joined = rank.allocate("state before", Memory::activation, plan.state_bytes());
  for (int block = 0; block < plan.blocks && rank.real(); ++block)
    move_rows(joined.write<std::byte>().data(), block,
              before[static_cast<std::size_t>(block)].write<std::byte>().data(), false);
  co_return joined;
}

Task<> linear_layer(Rank& rank, const LinearPlan& plan, LinearMemory memory, const StateExchange& exchange,
                    std::function<Task<>()> above) {
  const int me = rank.id();
  const LinearShape& shape = plan.shape;
  const std::int64_t wide = plan.elements(me) * 4;
  Buffer q = rank.adopt("q", Memory::input, plan.bytes(me), memory.q);
  Buffer kv = rank.adopt("kv", Memory::input, 2 * plan.bytes(me), memory.kv);
  Buffer gates;
  if (plan.decay == Decay::token) gates = rank.adopt("log decay", Memory::input, wide, memory.log_decay);
  Buffer o = rank.adopt("o", Memory::output, plan.bytes(me), memory.o);
  LinearInputs in{.tokens = plan.layout.tokens(me)};
  if (rank.real()) {
    in.q = q.read<std::byte>().data();
    in.k = kv.read<std::byte>().data();
    in.v = in.k + plan.bytes(me);
    in.log_decay = floats(gates);
  }

  Buffer own = rank.allocate("own state", Memory::workspace, plan.state_bytes());
  Buffer total = rank.allocate("total decay", Memory::workspace, plan.decay_bytes());
  co_await rank.compute(plan.state_work(me), [&] {
    local_state(shape, in, own.write<float>().data(), total.write<float>().data());
    if (plan.narrow_state) narrow(own);
  });
  Buffer before;
  {
    Buffer acc = rank.allocate("o accumulator", Memory::workspace, wide);
    // Begun here, so that it is under way beside the exchange, which composes states on the engine of copies.
    auto intra = rank.compute(plan.intra_work(me), [&] { intra_output(shape, in, acc.write<float>().data()); });
    before = co_await exchange(rank, plan, std::move(own), total, false);
    if (plan.forgets == me) before = Buffer();
    co_await intra;
    if (before)
      co_await rank.compute(plan.inter_work(me),
                            [&] { add_inter_output(shape, in, floats(before), acc.write<float>().data()); });
    co_await rank.copy(wide, [&] {
      store(plan.problem.dtype, acc.read<float>().data(), plan.elements(me), o.write<std::byte>().data());
    });
  }
  if (above) co_await above();
  if (!plan.problem.backward) co_return;

  Buffer d_out = rank.adopt("do", Memory::input, plan.bytes(me), memory.d_out);
  Buffer dq = rank.adopt("dq", Memory::output, wide, memory.dq);
  Buffer d_kv = rank.adopt("dkv", Memory::output, 2 * wide, memory.d_kv);
  Buffer d_gates;
  if (plan.decay == Decay::token) d_gates = rank.adopt("dlog decay", Memory::output, wide, memory.d_log_decay);
  Buffer adjoint = rank.allocate("own dstate", Memory::workspace, plan.state_bytes());
  co_await rank.compute(plan.state_work(me), [&] {
    local_adjoint(shape, in, d_out.read<std::byte>().data(), adjoint.write<float>().data());
    if (plan.narrow_state) narrow(adjoint);
  });
  const Buffer after = co_await exchange(rank, plan, std::move(adjoint), total, true);
  co_await rank.compute(plan.backward_work(me), [&] {
    float* gradient = d_kv.write<float>().data();
    linear_backward(shape, in, d_out.read<std::byte>().data(), floats(before), floats(after), dq.write<float>().data(),
                    gradient, gradient + plan.elements(me), d_gates ? d_gates.write<float>().data() : nullptr);
  });
}

RankProgram linear_program(const LinearPlan& plan, const StateExchange& exchange) {
  return [plan = std::make_shared<const LinearPlan>(plan), exchange](Rank& rank, ProgramData* data) {
    return linear_layer(rank, *plan,
                        data == nullptr ? LinearMemory{} : static_cast<LinearData*>(data)->memory(rank.id()), exchange);
  };
}

std::vector<harness::Axis> linear_axes(const char* decay) {
  const auto word = [](const char* text) { return harness::Value(std::string(text)); };
  std::vector<harness::Axis> axes = without(sequence_axes(), {"kv_heads", "causal", "layout"});
  axes.push_back({.name = "decay",
                  .defaults = {word(decay)},
                  .help = "of the state: none; head, one number a head; token, from the input of every token",
                  .allowed = {word("none"), word("head"), word("token")}});
  return axes;
}

LinearCase linear_case(const harness::State& state) {
  LinearCase layer{.problem = sequence_problem(state), .decay = decay_from(state.text("decay"))};
  if (state.params().has("blocks")) layer.blocks = static_cast<int>(state.integer("blocks"));
  if (layer.blocks > layer.problem.head_dim)
    throw UserError(
        fmt::format("blocks: found {}, expected at most head_dim ({})", layer.blocks, layer.problem.head_dim));
  return layer;
}

ProgramScheme linear_scheme(const LinearCase& layer, const StateExchange& exchange) {
  const SequenceProblem& p = layer.problem;
  const LinearPlan plan(p, layer.decay, layer.blocks);
  std::vector<ProgramMutant> mutants;
  const auto wrong = [&](const char* name, auto change) {
    LinearPlan changed = plan;
    change(changed);
    mutants.push_back({name, linear_program(changed, exchange)});
  };
  if (p.ranks > 1) {
    wrong("last-rank-starts-from-nothing", [&](LinearPlan& each) { each.forgets = p.ranks - 1; });
    if (p.dtype == substrate::DType::f32) wrong("lower-precision", [](LinearPlan& each) { each.narrow_state = true; });
  }
  if (p.ranks > 2 && layer.decay != Decay::none)
    wrong("states-not-decayed", [](LinearPlan& each) { each.undecayed = true; });
  wrong("wrong-scale", [](LinearPlan& each) { each.shape.scale *= 1.0625F; });
  double bytes = static_cast<double>(p.length) * p.batch * p.heads * p.head_dim * size_of(p.dtype) * 4;
  if (p.backward) bytes *= 2.5;
  return {.ranks = p.ranks,
          .dtype = p.dtype == substrate::DType::bf16 ? OpDtype::bf16 : OpDtype::fp32,
          .tokens = p.length * p.batch,
          .work = {.flops = plan.flops(), .bytes = bytes, .working_set = bytes, .roof = "fp32-fma"},
          .program = linear_program(plan, exchange),
          .data = [plan](std::optional<int> only) -> std::unique_ptr<ProgramData> {
            return std::make_unique<LinearData>(plan, only);
          },
          .mutants = std::move(mutants)};
}

}  // namespace assay::parallelism
