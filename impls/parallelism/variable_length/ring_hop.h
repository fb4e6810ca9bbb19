#pragma once
// One hop of the ring of an item: what a member holds goes to the next one. Between nodes it may be routed: cut into as
// many pieces as the item has members on a node, each of which goes to a neighbour, over that neighbour's NIC, and is
// put together again beyond (Zeppelin's routing layer), so that all NICs of the nodes carry one transfer.
#include <vector>

#include "impls/parallelism/variable_length/batch_program.h"

namespace assay::parallelism {

class RingHop {
 public:
  // Starts when made; `held` is borrowed until `arrived`. `blocks`: bytes of the block each member holds at this hop.
  RingHop(ItemRun& run, const substrate::Buffer& held, std::vector<std::int64_t> blocks, substrate::Tag tag,
          const char* name);
  // What the member before held.
  substrate::Task<substrate::Buffer> arrived();

 private:
  // A way between neighbouring members of different nodes, and who passes on its pieces here and there.
  struct Border {
    int from = 0, to = 0;
    std::vector<int> near, beyond;  // of one size
  };
  std::vector<Border> borders() const;
  int node_of(int member) const;
  int next_of(int member) const { return (member + 1) % run_.item.members(); }
  std::int64_t piece_begin(const Border& border, std::size_t j) const {
    return blocks_[static_cast<std::size_t>(border.from)] * static_cast<std::int64_t>(j) /
           static_cast<std::int64_t>(border.near.size());
  }
  std::int64_t piece_bytes(const Border& border, std::size_t j) const {
    return piece_begin(border, j + 1) - piece_begin(border, j);
  }

  ItemRun& run_;
  const substrate::Buffer& held_;
  std::vector<std::int64_t> blocks_;
  substrate::Tag tag_;
  const char* name_;
  std::vector<Border> borders_;          // none: nothing is routed
  std::vector<substrate::Buffer> cuts_;  // of `held`, as they are sent
  std::vector<substrate::Send> sends_;
  std::vector<substrate::Transfer> whole_;  // from a member of the same node; at most one
  std::vector<substrate::Transfer> near_;   // pieces to pass on, by border
};

}  // namespace assay::parallelism
