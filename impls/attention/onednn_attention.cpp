// Attention composed from oneDNN primitives, the baseline a CPU user has without a fused kernel:
//
//   S = scale * Q K^T        matmul, bf16 (or fp32) in, fp32 out
//   S = mask(S)              our own pass, only where a key is hidden
//   P = softmax(S)           softmax, fp32 in, out in the problem's dtype
//   O = P V                  matmul
//
// schedule=unblocked   the whole N x M score matrix of a head goes through memory between the steps.
// schedule=blocked     `block_rows` queries at a time (128 or 256): their scores stay in the L2 or L3, and keys that no
// query of the
//                      block sees are left out. What a careful user would write.
//
// Heads go one after the other and oneDNN runs each primitive on `threads` threads. There is no LSE to compare: O alone
// is.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "datasets/user_error.h"
#include "impls/attention/registration.h"
#include "impls/attention/techniques.h"

#if ASSAY_HAVE_ONEDNN
#include <dlfcn.h>

#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace assay::attention {

#if ASSAY_HAVE_ONEDNN
namespace {

using dnnl::memory;

// The three primitives of one block of queries, against the first `keys` keys.
struct Block {
  int first, rows, keys;
  memory::desc q, k, s, p, v, o;
  dnnl::matmul scores, output;
  dnnl::softmax_v2_forward softmax;
};

struct Composition {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::vector<Block> blocks;
  substrate::AlignedBuffer<float> s;
  substrate::AlignedBuffer<std::byte> p;
};

Block make_block(const dnnl::engine& engine, const Problem& problem, int first, int rows, int keys) {
  const auto type = problem.dtype == DType::f32 ? memory::data_type::f32 : memory::data_type::bf16;
  const memory::dim d = problem.head_dim;
  Block block;
  block.first = first;
  block.rows = rows;
  block.keys = keys;
  block.q = memory::desc({rows, d}, type, memory::dims{d, 1});
  block.k = memory::desc({d, keys}, type, memory::dims{1, d});  // K^T
  block.s = memory::desc({rows, keys}, memory::data_type::f32, memory::dims{keys, 1});
  block.p = memory::desc({rows, keys}, type, memory::dims{keys, 1});
  block.v = memory::desc({keys, d}, type, memory::dims{d, 1});
  block.o = memory::desc({rows, d}, type, memory::dims{d, 1});
  dnnl::primitive_attr scaled;
  scaled.set_output_scales(0, {problem.scale});
  block.scores = dnnl::matmul({dnnl::matmul::desc(block.q, block.k, block.s), scaled, engine});
  block.softmax =
      dnnl::softmax_v2_forward({dnnl::softmax_v2_forward::desc(dnnl::prop_kind::forward_inference,
                                                               dnnl::algorithm::softmax_accurate, block.s, block.p, 1),
                                engine});
  block.output = dnnl::matmul({dnnl::matmul::desc(block.p, block.v, block.o), engine});
  return block;
}

// oneDNN is built on OpenMP here; the library itself has no call for the number of threads.
bool set_threads(int threads) {
  using SetThreads = void (*)(int);
  const auto set = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  if (set == nullptr) return false;
  set(threads);
  return true;
}

}  // namespace

Kernel onednn_attention(const Problem& problem, const Execution& execution) {
  const int block_rows = execution.block_rows == 0 ? problem.queries : execution.block_rows;
  const auto work = std::make_shared<Composition>();
  set_threads(execution.threads);
  for (int first = 0; first < problem.queries; first += block_rows) {
    const int rows = std::min(block_rows, problem.queries - first);
    const int keys = execution.block_rows == 0 ? problem.keys : problem.visible(first + rows - 1);
    if (keys == 0) {
      work->blocks.push_back({.first = first, .rows = rows, .keys = 0});
    } else {
      work->blocks.push_back(make_block(work->engine, problem, first, rows, keys));
    }
  }
  const auto scores =
      static_cast<std::size_t>(std::min(block_rows, problem.queries)) * static_cast<std::size_t>(problem.keys);
  work->s = substrate::AlignedBuffer<float>(scores);
  work->p = substrate::AlignedBuffer<std::byte>(scores * size_of(problem.dtype));

  return [=](const Tensors& tensors) {
    set_threads(execution.threads);
    const auto at = [&](const memory::desc& desc, void* data) { return memory(desc, work->engine, data); };
    for (int b = 0; b < problem.batch; ++b) {
      for (int h = 0; h < problem.heads; ++h) {
        const int kv = problem.kv_head(h);
        for (const Block& block : work->blocks) {
          std::byte* const o = tensors.o.at(b, h, block.first);
          const std::size_t row_bytes = static_cast<std::size_t>(problem.head_dim) * size_of(problem.dtype);
          if (block.keys > 0) {
            const memory s = at(block.s, work->s.data());
            const memory p = at(block.p, work->p.data());
            block.scores.execute(work->stream, {{DNNL_ARG_SRC, at(block.q, tensors.q.at(b, h, block.first))},
                                                {DNNL_ARG_WEIGHTS, at(block.k, tensors.k.at(b, kv, 0))},
                                                {DNNL_ARG_DST, s}});
            work->stream.wait();
            for (int row = 0; row < block.rows; ++row) {
              const int visible = problem.visible(block.first + row);
              float* line = work->s.data() + static_cast<std::int64_t>(row) * block.keys;
              std::fill(line + std::min(visible, block.keys), line + block.keys,
                        -std::numeric_limits<float>::infinity());
            }
            block.softmax.execute(work->stream, {{DNNL_ARG_SRC, s}, {DNNL_ARG_DST, p}});
            block.output.execute(work->stream, {{DNNL_ARG_SRC, p},
                                                {DNNL_ARG_WEIGHTS, at(block.v, tensors.v.at(b, kv, 0))},
                                                {DNNL_ARG_DST, at(block.o, o)}});
            work->stream.wait();
          }
          for (int row = 0; row < block.rows; ++row) {  // a softmax over nothing is NaN
            if (problem.visible(block.first + row) == 0) std::fill_n(o + row * row_bytes, row_bytes, std::byte{0});
          }
        }
      }
    }
  };
}

namespace {

double issued(const Problem& problem, const Execution& execution) {
  double pairs = 0;
  const int block_rows = execution.block_rows == 0 ? problem.queries : execution.block_rows;
  for (int first = 0; first < problem.queries; first += block_rows) {
    const int rows = std::min(block_rows, problem.queries - first);
    pairs += static_cast<double>(rows) * (execution.block_rows == 0 ? problem.keys : problem.visible(first + rows - 1));
  }
  return 4.0 * pairs * problem.head_dim * problem.heads * problem.batch;
}

void run_composition(harness::State& state) {
  const Problem problem = read_problem(state);
  Execution execution = read_execution(state, problem);
  const std::string& schedule = state.text("schedule");
  if (schedule != "unblocked" && schedule != "blocked") {
    throw UserError(fmt::format("schedule: found '{}', expected unblocked or blocked", schedule));
  }
  if (schedule == "blocked") {
    const std::int64_t rows = state.integer("block_rows");
    if (rows != 128 && rows != 256) throw UserError(fmt::format("block_rows: found {}, expected 128 or 256", rows));
    execution.block_rows = static_cast<int>(rows);
  }
  if (!set_threads(execution.threads) && execution.threads > 1) state.skip("oneDNN here is not built on OpenMP");
  run(state, problem, execution, onednn_attention, issued, Gives::output_only);
}

}  // namespace
#else
Kernel onednn_attention(const Problem&, const Execution&) { return {}; }

namespace {

void run_composition(harness::State& state) { state.skip("this build has no oneDNN (Debian package libdnnl-dev)"); }

}  // namespace
#endif

namespace {

std::vector<harness::Axis> composition_axes() {
  std::vector<harness::Axis> all = axes();
  std::erase_if(all, [](const harness::Axis& axis) { return axis.name == "isa"; });  // oneDNN chooses
  all.push_back({.name = "schedule",
                 .defaults = {std::string("unblocked")},
                 .help = "unblocked: whole score matrix; blocked: block_rows queries at a time",
                 .allowed = {std::string("unblocked"), std::string("blocked")}});
  all.push_back({.name = "block_rows",
                 .defaults = {std::int64_t{128}},
                 .help = "queries a block when schedule=blocked",
                 .allowed = {std::int64_t{128}, std::int64_t{256}}});
  return all;
}

const harness::Registration registration({
    .id = "attention/onednn-attention",
    .title = "Attention composed from oneDNN primitives",
    .paper = "baseline",
    .summary = "matmul, softmax, matmul; scores in memory, whole or by row blocks",
    .implementations = {{.axes = composition_axes(), .run = run_composition, .source_file = __FILE__}},
});

}  // namespace
}  // namespace assay::attention
