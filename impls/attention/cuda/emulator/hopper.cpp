#include "impls/attention/cuda/emulator/hopper.h"

#include <algorithm>
#include <bit>
#include <stdexcept>

#include "impls/attention/cuda/emulator/block.h"

namespace assay::attention::cuda {
namespace emulator {
namespace {

std::uint64_t bits(std::uint64_t word, int first, int count) { return word >> first & ((1ULL << count) - 1); }

// The 128-byte swizzle, which goes by the address in shared memory: bits 4-6 are turned by bits 7-9.
std::uint32_t turned(std::uint32_t address) { return address ^ ((address >> 7 & 7U) << 4); }

static_assert(sizeof(TiledTensor) <= sizeof(TensorMap));

TiledTensor decode_tiled(const TensorMap& map) {
  TiledTensor tensor;
  std::memcpy(static_cast<void*>(&tensor), map.words, sizeof tensor);
  return tensor;
}

// wgmma's matrix descriptor, taken apart.
struct Operand {
  std::uint32_t start, leading, stride;
  bool refused = false;
};

Operand decode_operand(std::uint64_t descriptor) {
  Block& block = current();
  Operand out{static_cast<std::uint32_t>(bits(descriptor, 0, 14) << 4),
              static_cast<std::uint32_t>(bits(descriptor, 16, 14) << 4),
              static_cast<std::uint32_t>(bits(descriptor, 32, 14) << 4)};
  const auto refuse = [&](const char* what) {
    block.fault(std::string("matrix descriptor: ") + what);
    out.refused = true;
  };
  if (bits(descriptor, 62, 2) != 1) refuse("a swizzle other than 128 bytes, which is not emulated");
  if (bits(descriptor, 49, 3) != 0) refuse("a base offset, which is not emulated");
  if ((descriptor & 0x3ff1'c000'c000'c000ULL) != 0) refuse("bits that are reserved");
  if (bits(out.start, 7, 3) != 0) refuse("a start that is not in the first row of its 1024-byte pattern");
  return out;
}

// Addresses of element (line, k) of an operand: `line` counts rows of A or columns of B, k its depth of 16.
std::uint32_t element_of(const Operand& operand, bool depth_in_rows, int line, int k) {
  const auto at = [](int n) { return static_cast<std::uint32_t>(n); };
  // Canonical layouts of the PTX ISA, in bytes of 16-bit elements:
  //   K-major:  ((8, n), 16) : ((128, stride), 2)            MN-major: ((64, n), (8, 2)) : ((2, leading), (128,
  //   stride))
  const std::uint32_t offset =
      depth_in_rows ? at(line % 64) * 2 + at(line / 64) * operand.leading + at(k % 8) * 128 + at(k / 8) * operand.stride
                    : at(line % 8) * 128 + at(line / 8) * operand.stride + at(k) * 2;
  return turned(operand.start + offset);
}

// The words of an operand are read, by this warp's matrix unit, from now until the product is waited for.
void read_operand(const Operand& operand, bool depth_in_rows, int first_line, int lines, const Stamp& stamp,
                  const Clock& seen) {
  Block& block = current();
  const auto chunk = [&](int line, int k) {
    const std::uint32_t address = element_of(operand, depth_in_rows, line, k);
    if (block.bad_shared(address, 16)) return;
    block.note_read(address - kSharedBase, 16, stamp, seen);
    block.need_fence(address - kSharedBase, 16);
  };
  if (depth_in_rows) {
    for (int k = 0; k < 16; ++k)
      for (int line = 0; line < lines; line += 8) chunk(first_line + line, k);
  } else {
    for (int line = 0; line < lines; ++line)
      for (int k = 0; k < 16; k += 8) chunk(first_line + line, k);
  }
}

float load_element(const Product& product, std::uint32_t address) {
  std::uint16_t bits_of = 0;
  if (address >= kSharedBase && address - kSharedBase + 2 <= current().shared.size())
    std::memcpy(&bits_of, current().shared.data() + address - kSharedBase, 2);
  return product.unpack(bits_of);
}

// Carries out a warp's quarter of a product: rows 16 q to 16 q + 15 of A, all of B.
void carry_out(const Product& product, int warp) {
  Block& block = current();
  const auto columns = static_cast<std::size_t>(product.columns);
  const Operand b = decode_operand(product.b);
  std::vector<float> right(16 * columns);
  for (int k = 0; k < 16; ++k)
    for (int n = 0; n < product.columns; ++n)
      right[static_cast<std::size_t>(k) * columns + static_cast<std::size_t>(n)] =
          load_element(product, element_of(b, product.turned, n, k));

  std::array<std::array<float, 16>, 16> left{};
  if (product.left[0] == nullptr) {
    const Operand a = decode_operand(product.a);
    for (int row = 0; row < 16; ++row)
      for (int k = 0; k < 16; ++k)
        left[static_cast<std::size_t>(row)][static_cast<std::size_t>(k)] =
            load_element(product, element_of(a, product.turned_left, warp % 4 * 16 + row, k));
  } else {
    for (std::size_t lane = 0; lane < kWarp; ++lane) {
      for (std::size_t i = 0; i < 4; ++i) {
        const std::uint32_t word = product.left[lane][i];
        if (word != product.left_before[lane * 4 + i])
          block.fault("a left side in registers changed while its product was in flight");
        // The PTX manual's figure for A of m64k16: as m16n8k16's, rows g and g + 8, columns 2t and 2t + 8 on.
        auto& row = left[lane / 4 + i % 2 * 8];
        row[lane % 4 * 2 + i / 2 * 8] = product.unpack(static_cast<std::uint16_t>(word));
        row[lane % 4 * 2 + i / 2 * 8 + 1] = product.unpack(static_cast<std::uint16_t>(word >> 16));
      }
    }
  }

  std::vector<float> sums(16 * columns);
  const auto each_accumulator = [&](const auto& visit) {
    for (std::size_t lane = 0; lane < kWarp; ++lane)
      for (std::size_t i = 0; i < columns / 2; ++i) {
        const std::size_t row = lane / 4 + i % 4 / 2 * 8;
        const std::size_t column = i / 4 * 8 + lane % 4 * 2 + i % 2;
        visit(product.c[lane][i], lane * columns / 2 + i, sums[row * columns + column]);
      }
  };
  each_accumulator([&](float& c, std::size_t index, float& sum) {
    if (!product.chained && std::bit_cast<std::uint32_t>(c) != kPoison)
      block.fault("an accumulator was written while its product was in flight");
    if (product.accumulate) sum = product.chained ? c : product.c_before[index];
  });
  for (std::size_t row = 0; row < 16; ++row)
    for (std::size_t k = 0; k < 16; ++k) {
      const float factor = left[row][k];
      for (std::size_t n = 0; n < columns; ++n) sums[row * columns + n] += factor * right[k * columns + n];
    }
  each_accumulator([](float& c, std::size_t, float sum) { c = sum; });
  block.findings.matrix_products += product.columns / 8;
}

bool overlap(const void* a, std::size_t a_bytes, const void* b, std::size_t b_bytes) {
  const auto* const first = static_cast<const std::byte*>(a);
  const auto* const second = static_cast<const std::byte*>(b);
  return first < second + b_bytes && second < first + a_bytes;
}

// The products of this lane's warp that are in flight and use the registers.
template <class Visit>
void products_with(const void* registers, std::size_t bytes, const Visit& visit) {
  Block& block = current();
  const auto lane = static_cast<std::size_t>(block.lane());
  const auto look = [&](const Product& product) {
    const bool left = product.left[lane] != nullptr && overlap(registers, bytes, product.left[lane], 16);
    const bool c =
        overlap(registers, bytes, product.c[lane], static_cast<std::size_t>(product.columns) / 2 * sizeof(float));
    if (left || c) visit(product, c);
  };
  for (const auto& group : block.warp().products) std::ranges::for_each(group, look);
  std::ranges::for_each(block.warp().open, look);
}

// Whether wgmma.fence has ordered the registers' present contents before products.
bool fenced(const void* registers, std::size_t bytes) {
  const auto* const start = static_cast<const std::byte*>(registers);
  return std::ranges::any_of(current().self().fenced, [&](const Fenced& one) {
    const auto at = start - one.start;
    return start >= one.start && start + bytes <= one.start + one.contents.size() &&
           std::memcmp(one.contents.data() + at, start, bytes) == 0;
  });
}

PhaseBarrier* phase_barrier(std::uint32_t at) {
  Block& block = current();
  const auto found = block.phase_barriers.find(at);
  if (found == block.phase_barriers.end()) {
    block.fault("no phase barrier was started at shared address " + std::to_string(at));
    return nullptr;
  }
  if (!found->second.start.seen_by(block.self().seen))
    block.fault("a phase barrier is used with no barrier between its start and that");
  return &found->second;
}

}  // namespace

TensorMap encode_tiled(const TiledTensor& tensor) {
  const auto need = [](bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(std::string("tensor map: ") + what);
  };
  need(reinterpret_cast<std::uintptr_t>(tensor.address) % 16 == 0, "the address is no multiple of 16");
  for (const std::uint64_t size : tensor.sizes) need(size > 0 && size <= 1ULL << 32, "a size is not 1 to 2^32");
  for (const std::uint64_t stride : tensor.strides)
    need(stride % 16 == 0 && stride < 1ULL << 40, "a stride is no multiple of 16 below 2^40");
  for (const std::uint32_t box : tensor.box) need(box > 0 && box <= 256, "a box is not 1 to 256 elements");
  need(tensor.box[0] * 2 % 16 == 0 && tensor.box[0] * 2 <= 128, "a box's row is not 16 to 128 bytes");
  TensorMap map;
  std::memcpy(map.words, &tensor, sizeof tensor);
  return map;
}

// -- products

void fence_products() {
  int nothing = 0;
  current().meet("wgmma.fence", nothing, [](const auto&) {});
}

void fence_registers(const void* registers, std::size_t bytes) {
  auto& all = current().self().fenced;
  std::erase_if(all, [&](const Fenced& one) { return overlap(one.start, one.contents.size(), registers, bytes); });
  const auto* const start = static_cast<const std::byte*>(registers);
  all.push_back({start, {start, start + bytes}});
}

void start_product(const ProductOf& asked) {
  Block& block = current();
  ProductOf of = asked;
  of.b += sabotage().operand;
  const std::size_t c_count = static_cast<std::size_t>(of.columns) / 2;
  bool chained = false;
  products_with(of.c, c_count * sizeof(float), [&](const Product& product, bool is_c) {
    if (is_c && product.c[static_cast<std::size_t>(block.lane())] == of.c && product.columns == of.columns)
      chained = true;
    else
      block.fault("an accumulator overlaps another use in flight");
  });
  if (!chained && !fenced(of.c, c_count * sizeof(float)))
    block.fault("an accumulator was touched since the last wgmma.fence");
  if (of.left != nullptr && !fenced(of.left, 16)) block.fault("a left side was touched since the last wgmma.fence");

  struct Arguments {
    ProductOf of;
    bool chained;
  } mine{of, chained};
  block.meet("wgmma.mma_async", mine, [&](const std::array<Arguments*, kWarp>& each) {
    Product product{.columns = of.columns,
                    .turned = of.turned,
                    .accumulate = of.accumulate,
                    .turned_left = of.turned_left,
                    .chained = chained,
                    .a = of.a,
                    .b = of.b,
                    .unpack = of.unpack};
    Clock seen = block.self().seen;  // what all lanes have seen
    for (std::size_t lane = 0; lane < kWarp; ++lane) {
      const Arguments& one = *each[lane];
      if (one.of.a != of.a || one.of.b != of.b) block.fault("lanes describe different operands");
      product.c[lane] = one.of.c;
      product.left[lane] = one.of.left;
      const Clock& other = block.fiber(block.warp_index() * kWarp + static_cast<int>(lane)).seen;
      for (std::size_t i = 0; i < seen.size(); ++i) seen[i] = std::min(seen[i], other[i]);
      if (one.of.left != nullptr) product.left_before.insert(product.left_before.end(), one.of.left, one.of.left + 4);
      if (chained) continue;
      product.c_before.insert(product.c_before.end(), one.of.c, one.of.c + c_count);
      std::fill_n(one.of.c, c_count, std::bit_cast<float>(kPoison));
    }
    Warp& warp = block.warp();
    warp.issued.push_back(std::to_string(of.columns) + (of.turned ? "t" : "") + (of.turned_left ? "T" : "") +
                          (of.accumulate ? "+" : "") + ":" + std::to_string(of.a) + ":" + std::to_string(of.b));
    const Stamp stamp{block.matrix_agent(block.warp_index()), warp.product_groups + 1};
    const Operand b = decode_operand(of.b);
    bool refused = b.refused;
    if (!refused) read_operand(b, of.turned, 0, of.columns, stamp, seen);
    if (of.left == nullptr) {
      const Operand a = decode_operand(of.a);
      refused = refused || a.refused;
      if (!refused) read_operand(a, of.turned_left, block.warp_index() % 4 * 16, 16, stamp, seen);
    }
    warp.open.push_back(std::move(product));
  });
}

void wait_for_products(int pending) {
  struct Nothing {
  } nothing;
  Block& block = current();
  block.meet("wgmma.wait_group", nothing, [&](const auto&) {
    Warp& warp = block.warp();
    while (warp.products.size() > static_cast<std::size_t>(pending)) {
      for (const Product& product : warp.products.front()) carry_out(product, block.warp_index());
      warp.products.pop_front();
    }
    const auto unit = static_cast<std::size_t>(block.matrix_agent(block.warp_index()));
    for (int lane = 0; lane < kWarp; ++lane)
      block.fiber(block.warp_index() * kWarp + lane).seen[unit] =
          warp.product_groups - static_cast<std::uint32_t>(warp.products.size());
  });
}

void need_no_product_with(const void* registers, std::size_t bytes) {
  products_with(registers, bytes, [](const Product&, bool) {
    current().fault("registers are used before the product that has them is waited for");
  });
}

void change_registers(int count, bool give) {
  Block& block = current();
  struct Arguments {
    int count;
  } mine{count};
  Warp& warp = block.warp();
  if (count < 24 || count > 256 || count % 8 != 0) block.fault("setmaxnreg takes multiples of 8 from 24 to 256");
  if (give) {
    block.meet("setmaxnreg.dec", mine, [&](const auto&) {
      if (count > warp.registers) block.fault("setmaxnreg.dec to more registers than there are");
      block.free_registers += (warp.registers - count) * kWarp;
      warp.registers = count;
      for (const int thread : block.register_waiters) block.wake(thread);
      block.register_waiters.clear();
    });
    return;
  }
  if (count < warp.registers) block.fault("setmaxnreg.inc to fewer registers than there are");
  while (warp.registers != count) {
    const int more = (count - warp.registers) * kWarp;
    if (more <= block.free_registers) {
      block.free_registers -= more;
      warp.registers = count;
    } else {
      block.register_waiters.push_back(block.running);
      block.leave();
    }
  }
}

// -- the copy engine

void Block::land_line(const BoxCopy& copy) {
  std::byte* const mine = shared.data() + copy.shared - kSharedBase;
  if (!copy.store) {
    for (std::uint32_t byte = 0; byte < copy.bytes; byte += 16)
      if (may_touch(copy.line + byte, 16, false)) std::memcpy(mine + byte, copy.line + byte, 16);
    findings.copied_bytes += copy.bytes;
    return;
  }
  for (std::uint32_t byte = 0; byte < copy.bytes; byte += sizeof(float)) {
    float value = 0;
    std::memcpy(&value, mine + byte, sizeof value);
    add(reinterpret_cast<float*>(const_cast<std::byte*>(copy.line + byte)), value);
  }
}

void Block::land_box(const BoxCopy& copy) {
  const TiledTensor& t = copy.tensor;
  std::uint32_t line = 0;  // 128 bytes of a box, in the order of its dimensions
  for (std::uint32_t sequence = 0; sequence < t.box[4]; ++sequence) {
    for (std::uint32_t head = 0; head < t.box[3]; ++head) {
      for (std::uint32_t panel = 0; panel < t.box[2]; ++panel) {
        for (std::uint32_t row = 0; row < t.box[1]; ++row, ++line) {
          const std::array<std::uint32_t, 5> within = {0, row, panel, head, sequence};
          std::array<std::int64_t, 5> at{};
          bool inside = true;
          std::int64_t offset = 0;
          for (std::size_t i = 0; i < 5; ++i) {
            at[i] = copy.first[i] + static_cast<std::int64_t>(within[i]);
            inside = inside && at[i] >= 0 && at[i] < static_cast<std::int64_t>(t.sizes[i]);
            offset += at[i] * (i == 0 ? 2 : static_cast<std::int64_t>(t.strides[i - 1]));
          }
          const auto* const global = static_cast<const std::byte*>(t.address) + offset;
          for (std::uint32_t byte = 0; byte < t.box[0] * 2; byte += 16) {
            std::byte* const mine = shared.data() + turned(copy.shared + line * t.box[0] * 2 + byte) - kSharedBase;
            if (copy.store) {
              if (inside && may_touch(global + byte, 16, true))
                std::memcpy(const_cast<std::byte*>(global + byte), mine, 16);
            } else if (inside && may_touch(global + byte, 16, false)) {
              std::memcpy(mine, global + byte, 16);
              findings.copied_bytes += 16;
            } else {
              std::memset(mine, 0, 16);
            }
          }
        }
      }
    }
  }
}

void Block::land(const BoxCopy& copy) {
  if (copy.line != nullptr)
    land_line(copy);
  else
    land_box(copy);
  if (copy.store) return;
  const std::uint32_t offset = copy.shared - kSharedBase;
  for (std::uint32_t word = offset / 4; word < (offset + copy.bytes) / 4; ++word) shadow[word].in_flight = false;
  PhaseBarrier& barrier = phase_barriers.at(copy.barrier);
  join(barrier.arriving, copy.seen);
  barrier.bytes -= copy.bytes;
  pass_if_complete(barrier);
}

bool Block::land_one(std::size_t which) {
  std::vector<std::size_t> candidates;
  for (std::size_t i = 0; i < box_copies.size(); ++i)
    if (!box_copies[i].store || launch.order != 0) candidates.push_back(i);
  if (candidates.empty()) return false;
  const auto at = box_copies.begin() + static_cast<std::ptrdiff_t>(candidates[which % candidates.size()]);
  const BoxCopy copy = std::move(*at);
  box_copies.erase(at);
  land(copy);
  return true;
}

void Block::land_some() {
  if (finished == launch.threads) return;
  std::size_t which = 0;
  if (launch.order != 0 && !box_copies.empty()) {
    random = random * 6364136223846793005ULL + 1442695040888963407ULL;
    which = random >> 40;
    if ((random >> 33 & 63) == 0) land_one(which);
  }
  while (ready.empty() && land_one(which)) {
  }
}

void Block::pass_if_complete(PhaseBarrier& barrier) {
  if (barrier.pending < 0) fault("more arrivals than a phase barrier expects");
  if (barrier.pending > 0 || barrier.bytes != 0) return;
  join(barrier.passed, barrier.arriving);
  barrier.arriving.clear();
  barrier.pending = barrier.expected;
  ++barrier.phase;
  std::erase_if(barrier.waiters, [&](const PhaseBarrier::Waiter& waiter) {
    const bool passed = (barrier.phase & 1U) != waiter.parity;
    if (passed) wake(waiter.thread);
    return passed;
  });
}

}  // namespace emulator

using emulator::current;

void start_phase_barrier(std::uint32_t at, int arrivals) {
  emulator::Block& block = current();
  if (block.bad_shared(at, 8)) return;
  block.note_write(at - emulator::kSharedBase, 8, block.running);
  if (block.phase_barriers.contains(at)) block.fault("a phase barrier is started a second time");
  const auto number = static_cast<int>(block.phase_barriers.size());
  if (number >= emulator::kMostPhaseBarriers) throw std::runtime_error("more phase barriers than the emulator has");
  emulator::PhaseBarrier& barrier = block.phase_barriers[at];
  barrier.start = block.stamp_of(block.running);
  barrier.engine = number;
  barrier.expected = barrier.pending = arrivals;
}

void publish_phase_barriers() {
  if (emulator::omitted("publish_phase_barriers")) return;
  for (auto& [at, barrier] : current().phase_barriers)
    if (barrier.start.agent == current().running) barrier.published = true;
}

namespace {

void arrive_at_phase(std::uint32_t at, std::uint32_t bytes) {
  emulator::Block& block = current();
  emulator::PhaseBarrier* const barrier = emulator::phase_barrier(at);
  if (barrier == nullptr) return;
  block.release(block.running, barrier->arriving);
  barrier->bytes += bytes;
  --barrier->pending;
  block.pass_if_complete(*barrier);
}

}  // namespace

void arrive(std::uint32_t at) {
  if (!emulator::omitted("arrive")) arrive_at_phase(at, 0);
}

void arrive_expecting(std::uint32_t at, std::uint32_t bytes) {
  arrive_at_phase(at, bytes - emulator::sabotage().fewer_bytes);
}

void wait_phase(std::uint32_t at, std::uint32_t parity) {
  if (emulator::omitted("wait_phase")) return;
  emulator::Block& block = current();
  emulator::PhaseBarrier* const barrier = emulator::phase_barrier(at);
  if (barrier == nullptr) return;
  parity &= emulator::sabotage().parity;
  while ((barrier->phase & 1U) == parity) {
    barrier->waiters.push_back({block.running, parity});
    block.leave();
  }
  block.acquire(block.running, barrier->passed);
}

namespace {

void start_load(emulator::BoxCopy copy, std::uint32_t alignment) {
  emulator::Block& block = current();
  emulator::PhaseBarrier* const barrier = emulator::phase_barrier(copy.barrier);
  if (barrier == nullptr) return;
  if (!barrier->published) block.fault("a copy is counted by a phase barrier that was not published");
  if (block.bad_shared(copy.shared, copy.bytes, alignment)) return;
  copy.stamp = {block.engine_agent(barrier->engine), ++block.engine_counts[static_cast<std::size_t>(barrier->engine)]};
  const std::uint32_t offset = copy.shared - emulator::kSharedBase;
  block.note_write(offset, copy.bytes, copy.stamp, block.self().seen);
  for (std::uint32_t word = offset / 4; word < (offset + copy.bytes) / 4; ++word) block.shadow[word].in_flight = true;
  copy.seen = block.self().seen;
  copy.seen[static_cast<std::size_t>(copy.stamp.agent)] = copy.stamp.count;
  block.box_copies.push_back(std::move(copy));
}

void start_store(emulator::BoxCopy copy, std::uint32_t alignment) {
  emulator::Block& block = current();
  if (block.bad_shared(copy.shared, copy.bytes, alignment)) return;
  const int warp = block.warp_index();
  copy.store = true;
  copy.stamp = {block.store_agent(warp), ++block.store_counts[static_cast<std::size_t>(warp)]};
  copy.thread = block.running;
  const std::uint32_t offset = copy.shared - emulator::kSharedBase;
  block.note_read(offset, copy.bytes, copy.stamp, block.self().seen);
  block.need_fence(offset, copy.bytes);
  block.box_copies.push_back(std::move(copy));
}

// The manual asks for 16 bytes of both addresses and of the size.
bool bad_line(const void* global, std::uint32_t bytes) {
  const bool bad = reinterpret_cast<std::uintptr_t>(global) % 16 != 0 || bytes % 16 != 0;
  if (bad) current().fault("a line's address or size is no multiple of 16");
  return bad;
}

}  // namespace

// The manual asks for 128 bytes: the swizzle goes by the address, so a box may begin inside of its pattern.
void load_box(std::uint32_t to, const TensorMap& from, int row, int head, int b, std::uint32_t at, int panel) {
  const TiledTensor tensor = emulator::decode_tiled(from);
  start_load({.tensor = tensor,
              .bytes = tensor.box_bytes(),
              .first = {0, row, panel, head, b},
              .shared = to + emulator::sabotage().copy_address,
              .barrier = at},
             kPanelRowBytes);
}

void store_box(const TensorMap& to, std::uint32_t from, int row, int head, int b) {
  const TiledTensor tensor = emulator::decode_tiled(to);
  start_store({.tensor = tensor, .bytes = tensor.box_bytes(), .first = {0, row, 0, head, b}, .shared = from},
              kPatternBytes);
}

void load_line(std::uint32_t to, const float* from, std::uint32_t bytes, std::uint32_t at) {
  if (bad_line(from, bytes)) return;
  start_load({.line = reinterpret_cast<const std::byte*>(from), .bytes = bytes, .shared = to, .barrier = at}, 16);
}

void add_line(float* to, std::uint32_t from, std::uint32_t bytes) {
  if (bad_line(to, bytes)) return;
  start_store({.line = reinterpret_cast<const std::byte*>(to), .bytes = bytes, .shared = from}, 16);
}

void wait_for_stores() {
  if (emulator::omitted("wait_for_stores")) return;
  emulator::Block& block = current();
  for (std::size_t i = 0; i < block.box_copies.size();) {
    if (!block.box_copies[i].store || block.box_copies[i].thread != block.running) {
      ++i;
      continue;
    }
    block.land(block.box_copies[i]);
    block.box_copies.erase(block.box_copies.begin() + static_cast<std::ptrdiff_t>(i));
  }
  const auto warp = static_cast<std::size_t>(block.warp_index());
  block.self().seen[static_cast<std::size_t>(block.store_agent(block.warp_index()))] = block.store_counts[warp];
}

void fence_for_copies() {
  if (emulator::omitted("fence_for_copies")) return;
  emulator::Fiber& self = current().self();
  std::uint32_t& count = self.seen[static_cast<std::size_t>(current().running)];
  self.fenced_for_copies = count++;
}

void product_commit() {
  if (emulator::omitted("product_commit")) return;
  int nothing = 0;
  current().meet("wgmma.commit_group", nothing, [](const auto&) {
    emulator::Warp& warp = current().warp();
    warp.products.push_back(std::move(warp.open));
    warp.open.clear();
    ++warp.product_groups;
  });
}

namespace {

// Returns whether the last of the threads has come.
bool arrive_at(int id, int threads) {
  emulator::Block& block = current();
  if (id < 1 || id > 15 || threads % kWarp != 0) block.fault("no such barrier: " + std::to_string(id));
  emulator::NamedBarrier& barrier = block.named_barriers[id];
  if (barrier.arrived > 0 && barrier.expected != threads) block.fault("threads expect different numbers at a barrier");
  barrier.expected = threads;
  block.release(block.running, barrier.clock);
  if (++barrier.arrived < threads) return false;
  for (const int waiter : barrier.waiters) {
    block.acquire(waiter, barrier.clock);
    block.wake(waiter);
  }
  return true;
}

}  // namespace

void named_barrier(int id, int threads) {
  if (emulator::omitted("named_barrier")) return;
  emulator::Block& block = current();
  const bool last = arrive_at(id, threads);
  emulator::NamedBarrier& barrier = block.named_barriers[id];
  if (last) {
    block.acquire(block.running, barrier.clock);
    barrier = {};
    return;
  }
  barrier.waiters.push_back(block.running);
  block.leave();
}

void named_arrive(int id, int threads) {
  if (emulator::omitted("named_arrive")) return;
  if (arrive_at(id, threads)) current().named_barriers[id] = {};
}

}  // namespace assay::attention::cuda
