#pragma once
// Paged key-value memory (PagedAttention, arXiv 2309.06180): a pool of blocks of `block_tokens` tokens, a table of
// blocks per sequence, reference counts for what sequences share. Nothing here touches a device: operations return the
// block copies a device would have to make.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace assay::serving {

class KvPool {
 public:
  struct Copy {
    std::int32_t from = 0, to = 0;
  };

  // `watermark` blocks stay free when a sequence is admitted, so that running ones do not have to be preempted at once.
  KvPool(std::int64_t blocks, int block_tokens, std::int64_t watermark, std::size_t sequences);

  std::int64_t blocks() const { return static_cast<std::int64_t>(references_.size()); }
  std::int64_t free_blocks() const { return free_; }
  std::int64_t used_blocks() const { return blocks() - free_; }
  std::int64_t watermark() const { return watermark_; }
  int block_tokens() const { return block_tokens_; }
  std::int64_t blocks_for(std::int64_t tokens) const { return (tokens + block_tokens_ - 1) / block_tokens_; }

  bool can_ever_admit(std::int64_t tokens) const { return blocks_for(tokens) <= blocks() - watermark_; }
  bool can_admit(std::int64_t tokens) const { return free_ - blocks_for(tokens) >= watermark_; }

  // A table of blocks for `tokens` tokens; the sequence must have none. The caller has asked can_admit.
  void allocate(std::size_t sequence, std::int64_t tokens);
  // One more block at the end; false when none is free.
  bool grow(std::size_t sequence);
  // Gives the sequence's hold on its blocks back; a block returns to the free list with its last reference.
  void release(std::size_t sequence);
  // `child`, which has no table, shares every block of `parent`.
  void fork(std::size_t parent, std::size_t child);
  // Makes block `index` of the sequence its own before it is written: the copy to make, none when it was not shared.
  // False when it is shared and no block is free.
  bool make_writable(std::size_t sequence, std::size_t index, std::optional<Copy>& copy);

  std::span<const std::int32_t> table(std::size_t sequence) const { return tables_[sequence]; }
  std::int32_t references(std::int32_t block) const { return references_[static_cast<std::size_t>(block)]; }

  // The first broken invariant, or nothing: referenced and free blocks are the pool; every table entry is referenced;
  // a block stands in exactly as many tables as it has references; no block is free twice. O(pool + tables).
  std::optional<std::string> broken_invariant() const;
  // And `tokens` of the sequence fit its table.
  std::optional<std::string> broken_invariant(std::size_t sequence, std::int64_t tokens) const;

 private:
  std::int32_t take();
  void drop(std::int32_t block);

  int block_tokens_;
  std::int64_t watermark_;
  std::int64_t free_;
  // Blocks leave at the head and come back at the tail: the one freed longest ago is reused first, so that what a freed
  // block holds stays readable as long as possible.
  std::vector<std::int32_t> free_ring_;
  std::size_t head_ = 0;
  std::vector<std::int32_t> references_;
  std::vector<std::vector<std::int32_t>> tables_;
};

}  // namespace assay::serving
