#include "impls/serving/kv_pool.h"

#include <fmt/format.h>

#include <numeric>
#include <stdexcept>

namespace assay::serving {

KvPool::KvPool(std::int64_t blocks, int block_tokens, std::int64_t watermark, std::size_t sequences)
    : block_tokens_(block_tokens),
      watermark_(watermark),
      free_(blocks),
      free_ring_(static_cast<std::size_t>(blocks)),
      references_(static_cast<std::size_t>(blocks), 0),
      tables_(sequences) {
  if (blocks < 1 || block_tokens < 1 || watermark < 0) throw std::logic_error("a pool needs blocks with tokens");
  std::iota(free_ring_.begin(), free_ring_.end(), 0);
}

std::int32_t KvPool::take() {
  if (free_ == 0) throw std::logic_error("no block is free");
  const std::int32_t block = free_ring_[head_];
  head_ = head_ + 1 == free_ring_.size() ? 0 : head_ + 1;
  --free_;
  references_[static_cast<std::size_t>(block)] = 1;
  return block;
}

void KvPool::drop(std::int32_t block) {
  if (--references_[static_cast<std::size_t>(block)] > 0) return;
  std::size_t tail = head_ + static_cast<std::size_t>(free_);
  if (tail >= free_ring_.size()) tail -= free_ring_.size();
  free_ring_[tail] = block;
  ++free_;
}

void KvPool::allocate(std::size_t sequence, std::int64_t tokens) {
  std::vector<std::int32_t>& table = tables_[sequence];
  if (!table.empty()) throw std::logic_error("the sequence has a block table already");
  const std::int64_t need = blocks_for(tokens);
  if (need > free_) throw std::logic_error("more blocks are asked for than are free");
  table.reserve(static_cast<std::size_t>(need));
  for (std::int64_t k = 0; k < need; ++k) table.push_back(take());
}

bool KvPool::grow(std::size_t sequence) {
  if (free_ == 0) return false;
  tables_[sequence].push_back(take());
  return true;
}

void KvPool::release(std::size_t sequence) {
  for (const std::int32_t block : tables_[sequence]) drop(block);
  tables_[sequence].clear();
}

void KvPool::fork(std::size_t parent, std::size_t child) {
  if (!tables_[child].empty()) throw std::logic_error("the sequence has a block table already");
  tables_[child] = tables_[parent];
  for (const std::int32_t block : tables_[child]) ++references_[static_cast<std::size_t>(block)];
}

bool KvPool::make_writable(std::size_t sequence, std::size_t index, std::optional<Copy>& copy) {
  copy.reset();
  std::int32_t& held = tables_[sequence].at(index);
  if (references_[static_cast<std::size_t>(held)] == 1) return true;
  if (free_ == 0) return false;
  copy = Copy{held, take()};
  drop(held);
  held = copy->to;
  return true;
}

std::optional<std::string> KvPool::broken_invariant() const {
  std::vector<std::int32_t> standing(references_.size(), 0);
  for (std::size_t sequence = 0; sequence < tables_.size(); ++sequence)
    for (const std::int32_t block : tables_[sequence]) {
      if (block < 0 || block >= blocks())
        return fmt::format("sequence {} holds block {}, outside the pool", sequence, block);
      ++standing[static_cast<std::size_t>(block)];
    }
  std::int64_t referenced = 0;
  for (std::size_t block = 0; block < references_.size(); ++block) {
    if (references_[block] != standing[block])
      return fmt::format("block {} has {} references and stands in {} tables", block, references_[block],
                         standing[block]);
    referenced += references_[block] > 0 ? 1 : 0;
  }
  if (referenced + free_ != blocks())
    return fmt::format("{} blocks are referenced and {} free, of {}", referenced, free_, blocks());
  std::vector<bool> seen(references_.size(), false);
  for (std::int64_t k = 0; k < free_; ++k) {
    const std::int32_t block = free_ring_[(head_ + static_cast<std::size_t>(k)) % free_ring_.size()];
    if (seen[static_cast<std::size_t>(block)]) return fmt::format("block {} is free twice", block);
    if (references_[static_cast<std::size_t>(block)] > 0) return fmt::format("block {} is free and referenced", block);
    seen[static_cast<std::size_t>(block)] = true;
  }
  return std::nullopt;
}

std::optional<std::string> KvPool::broken_invariant(std::size_t sequence, std::int64_t tokens) const {
  const auto room = static_cast<std::int64_t>(tables_[sequence].size()) * block_tokens_;
  if (tokens <= room) return std::nullopt;
  return fmt::format("sequence {} has {} tokens in blocks for {}", sequence, tokens, room);
}

}  // namespace assay::serving
