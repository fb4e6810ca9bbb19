// PagedAttention (arXiv 2309.06180): decode with keys and values in pages of a pool, found through a block table. The
// kernels are those of Flash-Decoding; where a key lies is looked up (key_place() of decode_kernel.h).
//
//   pool [page][Hkv][page_size][d];  key j of sequence b: page table[b][j / page_size], slot j mod page_size
//
// Pages are dealt to the sequences in random order, as a server's are after a while, or in order.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <numeric>
#include <string>

#include "datasets/user_error.h"
#include "impls/attention/cuda/decode_case.h"
#include "impls/substrate/random.h"

namespace assay::attention::cuda {
namespace {

struct Pool {
  std::vector<int> table;
  DeviceBuffer<int> device_table;
  DeviceBuffer<std::byte> k, v;
};

// K or V of the host in the pool's layout.
std::vector<std::byte> paged(const Problem& p, const substrate::View& from, const std::vector<int>& table,
                             int page_size) {
  const int pages = parts(p.keys, page_size);
  const auto row = static_cast<std::size_t>(p.head_dim) * 2;
  std::vector<std::byte> pool(table.size() * static_cast<std::size_t>(p.kv_heads * page_size) * row, std::byte{0xff});
  for (int b = 0; b < p.batch; ++b) {
    for (int kv = 0; kv < p.kv_heads; ++kv) {
      for (int key = 0; key < p.keys; ++key) {
        const auto page = static_cast<std::size_t>(table[static_cast<std::size_t>(b * pages + key / page_size)]);
        const std::size_t slot = (page * static_cast<std::size_t>(p.kv_heads) + static_cast<std::size_t>(kv)) *
                                     static_cast<std::size_t>(page_size) +
                                 static_cast<std::size_t>(key % page_size);
        std::copy_n(from.at(b, kv, key), row, pool.data() + slot * row);
      }
    }
  }
  return pool;
}

DeviceTechnique make(const Problem& p, Device& device, const DecodeChoice& choice, int page_size, bool shuffled) {
  const int pages = parts(p.keys, page_size);
  const auto workspace = decode_workspace(p, device, choice);
  const auto launch = decode_path(choice.path, p.head_dim).launch;
  const auto pool = std::make_shared<Pool>();
  pool->table.resize(static_cast<std::size_t>(p.batch * pages));
  std::iota(pool->table.begin(), pool->table.end(), 0);
  substrate::Random random(2309);
  for (std::size_t i = pool->table.size(); shuffled && i > 1; --i)
    std::swap(pool->table[i - 1], pool->table[random.below(i)]);
  const std::size_t bytes = pool->table.size() * static_cast<std::size_t>(p.kv_heads * page_size * p.head_dim) * 2;
  pool->device_table = {device, pool->table.size()};
  pool->device_table.upload(pool->table);
  pool->k = {device, bytes};
  pool->v = {device, bytes};
  return {.run =
              [=, &device](const DeviceTensors& tensors) {
                DecodeProblem problem = decode_problem(p, tensors);
                use(*workspace, problem);
                const std::int64_t head = static_cast<std::int64_t>(page_size) * p.head_dim;
                problem.k = {pool->k.data(), head * p.kv_heads, head, p.head_dim};
                problem.v = {pool->v.data(), head * p.kv_heads, head, p.head_dim};
                problem.page_table = pool->device_table.data();
                problem.pages_a_sequence = pages;
                problem.pages = static_cast<int>(pool->table.size());
                problem.page_shift = std::countr_zero(static_cast<unsigned>(page_size));
                launch(problem, p.head_dim, element_type(p.dtype), device.stream());
              },
          .load =
              [=](const Tensors& host) {
                pool->k.upload(paged(p, host.k, pool->table, page_size));
                pool->v.upload(paged(p, host.v, pool->table, page_size));
              }};
}

void run(harness::State& state) {
  const std::int64_t page_size = state.integer("page_size");
  if (page_size < 1 || page_size > 1 << 16 || !std::has_single_bit(static_cast<std::uint64_t>(page_size)))
    throw UserError(fmt::format("page_size: found {}, expected a power of two up to 65536", page_size));
  const bool shuffled = state.text("pages") == "random";
  run_decode(state, [=](const Problem& p, Device& device, const DecodeChoice& choice) {
    return make(p, device, choice, static_cast<int>(page_size), shuffled);
  });
}

std::vector<harness::Axis> paged_axes() {
  const auto text = [](const char* value) { return harness::Value(std::string(value)); };
  std::vector<harness::Axis> out = decode_axes();
  out.push_back({.name = "page_size",
                 .defaults = {harness::Value(std::int64_t{16})},
                 .help = "keys a page, a power of two (tokens)"});
  out.push_back({.name = "pages",
                 .defaults = {text("random")},
                 .help = "order of the pages in the pool",
                 .allowed = {text("random"), text("in-order")}});
  return out;
}

const harness::Registration registration({
    .id = "attention/paged-attention",
    .title = "Efficient Memory Management for Large Language Model Serving with PagedAttention",
    .paper = "arXiv 2309.06180",
    .summary = "split-KV decode through a block table",
    .implementations = {{.backend = "cuda",
                         .axes = paged_axes(),
                         .run = run,
                         .source_file = __FILE__,
                         .verified = false,
                         .needs = "sm_80, sm_90; path sm_90a: sm_90a"}},
});

}  // namespace
}  // namespace assay::attention::cuda
