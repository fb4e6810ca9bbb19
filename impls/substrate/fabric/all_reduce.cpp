#include "impls/substrate/fabric/all_reduce.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <stdexcept>

#include "impls/substrate/fabric/reduction.h"

namespace assay::substrate {

namespace {

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }
std::size_t modulo(int index, int size) { return at((index % size + size) % size); }

constexpr const char* kAddend = "addend";

Task<> add(Group group, Buffer& sum, const Buffer& addend, DType dtype) {
  co_await group.rank().compute(addition(sum.bytes(), 1, dtype), [&] { add_into(sum, addend, dtype); });
}

Task<> ring(Group group, Buffer& tensor, DType dtype, Tag tag) {
  std::vector<Buffer> parts = cut(group.rank(), tensor, group.size(), dtype);
  co_await ring_reduce_scatter(group, parts, dtype, tag);
  co_await ring_all_gather(group, parts, 1, tag);
}

// Rabenseifner: halve what is exchanged with ever nearer partners, then double it again.
Task<> halving_doubling(Group group, Buffer& tensor, DType dtype, Tag tag) {
  Rank& rank = group.rank();
  const int me = group.id();
  const int core = static_cast<int>(std::bit_floor(static_cast<unsigned>(group.size())));
  const int folded = group.size() - core;  // pairs that fold into their odd member
  if (me < 2 * folded && me % 2 == 0) {
    co_await group.send(tensor, me + 1, tag);
    tensor = co_await group.receive(me + 1, std::move(tensor), tag);
    co_return;
  }
  if (me < 2 * folded) {
    const Buffer addend = co_await group.receive(me - 1, {.bytes = tensor.bytes(), .tag = tag, .name = kAddend});
    co_await add(group, tensor, addend, dtype);
  }
  const int place = me < 2 * folded ? me / 2 : me - folded;
  const auto member = [&](int other) { return other < folded ? 2 * other + 1 : other + folded; };

  const auto range = [&](int first, int last) {
    const std::int64_t start = part_begin(tensor.bytes(), core, first, dtype);
    return rank.slice(tensor, start, part_begin(tensor.bytes(), core, last, dtype) - start);
  };
  int begin = 0, end = core;
  for (int distance = core / 2; distance > 0; distance /= 2) {
    const int middle = (begin + end) / 2;
    const bool upper = (place & distance) != 0;
    const Buffer give = upper ? range(begin, middle) : range(middle, end);
    (upper ? begin : end) = middle;
    Buffer keep = range(begin, end);
    const Buffer addend =
        co_await group.exchange(give, member(place ^ distance), {.bytes = keep.bytes(), .tag = tag, .name = kAddend});
    co_await add(group, keep, addend, dtype);
  }
  for (int distance = 1; distance < core; distance *= 2) {
    const int width = end - begin;
    const bool upper = (place & distance) != 0;
    const Buffer mine = range(begin, end);
    Buffer theirs = upper ? range(begin - width, begin) : range(end, end + width);
    theirs = co_await group.exchange(mine, member(place ^ distance), std::move(theirs), tag);
    (upper ? begin : end) += upper ? -width : width;
  }
  if (me < 2 * folded) co_await group.send(tensor, me - 1, tag);
}

// What a member is in one tree, with the pieces of its half of the tensor.
class Tree {
 public:
  Tree(const Group& group, TreePlace place, const Buffer& half, std::int64_t piece_bytes, DType dtype, Tag tag)
      : group_(group), place_(place), dtype_(dtype), tag_(tag) {
    const std::int64_t step = std::max<std::int64_t>(piece_bytes / size_of(dtype) * size_of(dtype), size_of(dtype));
    for (std::int64_t begin = 0; begin < half.bytes(); begin += step)
      pieces_.push_back(group.rank().slice(half, begin, std::min(step, half.bytes() - begin)));
    raised_.resize(pieces_.size());
  }
  int pieces() const { return static_cast<int>(pieces_.size()); }
  bool has(int index) const { return index >= 0 && index < pieces(); }

  void expect_from_children(int index) {
    for (std::size_t child = 0; child < 2 && has(index); ++child)
      if (place_.down[child] >= 0)
        rising_[at(index % 2)][child].emplace(
            group_.receive(place_.down[child], {.bytes = pieces_[at(index)].bytes(), .tag = tag_, .name = kAddend}));
  }
  void expect_from_parent(int index) {
    if (has(index) && place_.up >= 0)
      falling_[at(index % 2)].emplace(group_.receive(place_.up, std::move(pieces_[at(index)]), tag_));
  }

  // Adds the children's piece to this member's and hands the sum on to the parent.
  Task<> raise(int index) {
    if (!has(index)) co_return;
    for (std::optional<Transfer>& child : rising_[at(index % 2)]) {
      if (!child) continue;
      const Buffer addend = co_await *child;
      child.reset();
      co_await add(group_, pieces_[at(index)], addend, dtype_);
    }
    if (place_.up >= 0) raised_[at(index)].emplace(group_.send(pieces_[at(index)], place_.up, tag_));
  }
  // Takes the whole sum of a piece from the parent and hands it to the children.
  Task<> lower(int index) {
    if (!has(index)) co_return;
    if (place_.up >= 0) {
      co_await *raised_[at(index)];  // arrived long ago: the sum contains it
      pieces_[at(index)] = co_await *falling_[at(index % 2)];
      falling_[at(index % 2)].reset();
    }
    for (const int child : place_.down)
      if (child >= 0) lowered_.push_back(group_.send(pieces_[at(index)], child, tag_));
  }
  Task<> finish() {
    for (Send& each : lowered_) co_await each;
  }

 private:
  Group group_;
  TreePlace place_;
  DType dtype_;
  Tag tag_;
  std::vector<Buffer> pieces_;
  std::array<std::array<std::optional<Transfer>, 2>, 2> rising_;  // by parity of the piece, child
  std::array<std::optional<Transfer>, 2> falling_;
  std::vector<std::optional<Send>> raised_;
  std::vector<Send> lowered_;
};

// Every member goes through the pieces in one order, a piece down `lag` pieces after it went up, so that the pipeline
// of both directions is full and nobody waits for somebody who waits for him. While one piece is added the next is
// under way: receives are posted a step ahead, in the order of the sends, since an edge of one tree may be one of the
// other.
Task<> double_trees(Group group, Buffer& tensor, AllReducePlan plan, DType dtype, Tag tag) {
  const std::vector<Buffer> halves = cut(group.rank(), tensor, 2, dtype);
  const auto places = double_tree(group.size(), group.id());
  Tree first(group, places[0], halves[0], plan.piece_bytes, dtype, tag);
  Tree second(group, places[1], halves[1], plan.piece_bytes, dtype, tag);
  const int lag = 2 * static_cast<int>(std::bit_width(static_cast<unsigned>(group.size())));
  const auto expect = [&](int step) {
    first.expect_from_children(step);
    second.expect_from_children(step);
    first.expect_from_parent(step - lag);
    second.expect_from_parent(step - lag);
  };
  expect(0);
  for (int step = 0; step < first.pieces() + lag; ++step) {  // the first half is the longer one
    expect(step + 1);
    co_await first.raise(step);
    co_await second.raise(step);
    co_await first.lower(step - lag);
    co_await second.lower(step - lag);
  }
  co_await first.finish();
  co_await second.finish();
}

Task<> hierarchical(Group group, Buffer& tensor, int node_ranks, DType dtype, Tag tag) {
  const int of_node = node_ranks > 0 ? node_ranks : group.size();
  const Group node = group.block(of_node), same_place = group.across(of_node);
  std::vector<Buffer> parts = cut(group.rank(), tensor, of_node, dtype);
  if (of_node > 1) co_await ring_reduce_scatter(node, parts, dtype, tag);
  if (same_place.size() > 1) co_await ring(same_place, parts[modulo(node.id() + 1, of_node)], dtype, tag);
  if (of_node > 1) co_await ring_all_gather(node, parts, 1, tag);
}

// The master adds in the order of members.
Task<> star(Group group, Buffer& tensor, DType dtype, Tag tag) {
  if (group.id() != 0) {
    co_await group.send(tensor, 0, tag);
    tensor = co_await group.receive(0, std::move(tensor), tag);
    co_return;
  }
  std::vector<Transfer> arriving;
  for (int member = 1; member < group.size(); ++member)
    arriving.push_back(group.receive(member, {.bytes = tensor.bytes(), .tag = tag, .name = kAddend}));
  for (Transfer& each : arriving) {
    const Buffer addend = co_await each;
    co_await add(group, tensor, addend, dtype);
  }
  std::vector<Send> leaving;
  for (int member = 1; member < group.size(); ++member) leaving.push_back(group.send(tensor, member, tag));
  for (Send& each : leaving) co_await each;
}

// Place in a binary tree whose inner members are the even ones, the root member 0 with one child.
TreePlace even_tree(int members, int member) {
  int bit = 1;
  while (bit < members && (bit & member) == 0) bit <<= 1;
  TreePlace place;
  if (member == 0) {
    if (members > 1) place.down[1] = bit >> 1;
    return place;
  }
  const int above = (member ^ bit) | (bit << 1);
  place.up = above < members ? above : member ^ bit;
  int step = bit >> 1;
  if (step == 0) return place;
  place.down[0] = member - step;
  while (step > 0 && member + step >= members) step >>= 1;
  if (step > 0) place.down[1] = member + step;
  return place;
}

}  // namespace

std::string_view to_string(AllReduce algorithm) {
  switch (algorithm) {
    case AllReduce::ring:
      return "ring";
    case AllReduce::halving_doubling:
      return "halving-doubling";
    case AllReduce::double_tree:
      return "double-tree";
    case AllReduce::hierarchical:
      return "hierarchical";
    case AllReduce::star:
      return "star";
  }
  return "?";
}

// The second tree is the first one mirrored, or shifted by one where an odd number of members has no mirror image that
// swaps even and odd.
std::array<TreePlace, 2> double_tree(int members, int member) {
  const bool even = members % 2 == 0;
  const auto turned = [&](int index) { return even ? members - 1 - index : (index + members - 1) % members; };
  const auto back = [&](int index) {
    if (index < 0) return -1;
    return even ? members - 1 - index : (index + 1) % members;
  };
  TreePlace second = even_tree(members, turned(member));
  second.up = back(second.up);
  for (int& child : second.down) child = back(child);
  return {even_tree(members, member), second};
}

Task<> ring_reduce_scatter(Group group, std::vector<Buffer>& parts, DType dtype, Tag tag) {
  const int size = group.size(), me = group.id();
  for (int step = 0; step + 1 < size; ++step) {
    Buffer& sum = parts[modulo(me - step - 1, size)];
    const Buffer addend =
        co_await group.shift(parts[modulo(me - step, size)], +1, {.bytes = sum.bytes(), .tag = tag, .name = kAddend});
    co_await add(group, sum, addend, dtype);
  }
}

Task<> ring_all_gather(Group group, std::vector<Buffer>& parts, int shift, Tag tag) {
  const int size = group.size(), me = group.id() + shift;
  for (int step = 0; step + 1 < size; ++step) {
    Buffer& hole = parts[modulo(me - step - 1, size)];
    hole = co_await group.shift(parts[modulo(me - step, size)], +1, std::move(hole), tag);
  }
}

Task<> all_reduce(Group group, Buffer& tensor, AllReducePlan plan, DType dtype, Tag tag) {
  if (group.size() == 1) co_return;
  switch (plan.algorithm) {
    case AllReduce::ring:
      co_await ring(group, tensor, dtype, tag);
      co_return;
    case AllReduce::halving_doubling:
      co_await halving_doubling(group, tensor, dtype, tag);
      co_return;
    case AllReduce::double_tree:
      co_await double_trees(group, tensor, plan, dtype, tag);
      co_return;
    case AllReduce::hierarchical:
      co_await hierarchical(group, tensor, plan.node_ranks, dtype, tag);
      co_return;
    case AllReduce::star:
      co_await star(group, tensor, dtype, tag);
      co_return;
  }
  throw std::logic_error("an all-reduce that is none");
}

}  // namespace assay::substrate
