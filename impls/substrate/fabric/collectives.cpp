#include "impls/substrate/fabric/collectives.h"

#include <utility>

#include "impls/substrate/fabric/reduction.h"

namespace assay::substrate {

Task<std::vector<Buffer>> all_to_all(Group group, std::vector<Buffer> parts, std::vector<std::int64_t> expected,
                                     Tag tag, const char* name) {
  const int ranks = group.size();
  const int me = group.id();
  const auto from = [&](int k) { return static_cast<std::size_t>((me - k + ranks) % ranks); };
  std::vector<Transfer> under_way;
  under_way.reserve(static_cast<std::size_t>(ranks));
  for (int k = 1; k < ranks; ++k)
    under_way.push_back(group.shift(parts[static_cast<std::size_t>((me + k) % ranks)], k,
                                    {.bytes = expected[from(k)], .tag = tag, .name = name}));
  std::vector<Buffer> arrived(static_cast<std::size_t>(ranks));
  arrived[static_cast<std::size_t>(me)] = std::move(parts[static_cast<std::size_t>(me)]);
  for (int k = 1; k < ranks; ++k) arrived[from(k)] = co_await under_way[static_cast<std::size_t>(k - 1)];
  co_return arrived;
}

Task<std::vector<Buffer>> all_to_all_pairwise(Group group, std::vector<Buffer> parts,
                                              std::vector<std::int64_t> expected, Tag tag, const char* name) {
  const int size = group.size(), me = group.id();
  std::vector<Buffer> arrived(static_cast<std::size_t>(size));
  for (int k = 1; k < size; ++k) {
    const auto to = static_cast<std::size_t>((me + k) % size), from = static_cast<std::size_t>((me - k + size) % size);
    arrived[from] = co_await group.shift(parts[to], k, {.bytes = expected[from], .tag = tag, .name = name});
    parts[to] = Buffer();
  }
  arrived[static_cast<std::size_t>(me)] = std::move(parts[static_cast<std::size_t>(me)]);
  co_return arrived;
}

Task<std::vector<Buffer>> all_to_all_by_nodes(Group group, std::vector<Buffer> parts, int node_ranks,
                                              std::function<std::int64_t(int from, int to)> bytes, Tag tag,
                                              const char* name) {
  Rank& rank = group.rank();
  const Group node = group.block(node_ranks), same_place = group.across(node_ranks);
  const int nodes = same_place.size(), place = node.id(), my_node = same_place.id();
  const auto member = [&](int of_node, int at_place) { return of_node * node_ranks + at_place; };
  const auto total = [](const std::vector<std::int64_t>& sizes) {
    std::int64_t sum = 0;
    for (const std::int64_t each : sizes) sum += each;
    return sum;
  };
  // Several parts as one message, one after the other.
  const auto join = [&](const std::vector<Buffer*>& from) {
    std::int64_t size = 0;
    for (const Buffer* each : from) size += each->bytes();
    Buffer joined = rank.allocate("parts of one message", Memory::communication, size);
    if (rank.real()) {
      std::int64_t offset = 0;
      for (const Buffer* each : from) {
        copy_to(joined, offset, *each);
        offset += each->bytes();
      }
    }
    return joined;
  };

  // Inside the node: to place j everything for place j of any node.
  std::vector<Buffer> by_place;
  std::vector<std::int64_t> from_place;
  std::vector<std::vector<std::int64_t>> part_sizes;  // [from place][node of the receiver]
  for (int j = 0; j < node_ranks; ++j) {
    std::vector<Buffer*> mine;
    std::vector<std::int64_t> theirs;
    for (int m = 0; m < nodes; ++m) {
      mine.push_back(&parts[static_cast<std::size_t>(member(m, j))]);
      theirs.push_back(bytes(member(my_node, j), member(m, place)));
    }
    by_place.push_back(join(mine));
    for (Buffer* each : mine) *each = Buffer();
    from_place.push_back(total(theirs));
    part_sizes.push_back(std::move(theirs));
  }
  co_await rank.copy(total(from_place), [] {});
  const std::vector<Buffer> inside = co_await all_to_all(node, std::move(by_place), from_place, tag, name);

  // Between nodes: to node m what all places here have for this place there.
  std::vector<Buffer> by_node;
  std::vector<std::int64_t> from_node;
  std::vector<std::int64_t> offset(static_cast<std::size_t>(node_ranks), 0);
  std::int64_t moved = 0;
  for (int m = 0; m < nodes; ++m) {
    std::vector<Buffer> pieces;
    std::int64_t theirs = 0;
    for (int j = 0; j < node_ranks; ++j) {
      const auto z = static_cast<std::size_t>(j);
      const std::int64_t size = part_sizes[z][static_cast<std::size_t>(m)];
      pieces.push_back(rank.slice(inside[z], offset[z], size));
      offset[z] += size;
      theirs += bytes(member(m, j), group.id());
    }
    std::vector<Buffer*> mine;
    for (Buffer& each : pieces) mine.push_back(&each);
    by_node.push_back(join(mine));
    moved += by_node.back().bytes();
    from_node.push_back(theirs);
  }
  co_await rank.copy(moved, [] {});
  const std::vector<Buffer> between = co_await all_to_all(same_place, std::move(by_node), from_node, tag, name);

  std::vector<Buffer> arrived;
  for (int m = 0; m < nodes; ++m) {
    std::int64_t begin = 0;
    for (int j = 0; j < node_ranks; ++j) {
      const std::int64_t size = bytes(member(m, j), group.id());
      Buffer part = rank.slice(between[static_cast<std::size_t>(m)], begin, size);
      arrived.push_back(join({&part}));
      begin += size;
    }
  }
  co_return arrived;
}

namespace {

// Ranks of a node, and where this one is.
int ranks_of_node(const Rank& rank, int asked) {
  return asked > 0 && asked < rank.size() && rank.size() % asked == 0 ? asked : rank.size();
}

std::size_t at(int index) { return static_cast<std::size_t>(index); }

std::int64_t elements(const Buffer& buffer, DType dtype) { return buffer.bytes() / size_of(dtype); }

}  // namespace

AllGather::AllGather(Rank& rank, Buffer mine, std::vector<std::int64_t> bytes, int node_ranks, Tag tag,
                     const char* name)
    : rank_(&rank),
      bytes_(std::move(bytes)),
      node_ranks_(ranks_of_node(rank, node_ranks)),
      tag_(tag),
      name_(name),
      parts_(at(rank.size())) {
  const int me = rank.id(), nodes = rank.size() / node_ranks_;
  parts_[at(me)] = std::move(mine);
  for (int k = 1; k < nodes; ++k) {
    const int from = (me - k * node_ranks_ + rank.size()) % rank.size();
    between_.push_back(
        rank.shift(parts_[at(me)], k * node_ranks_, {.bytes = bytes_[at(from)], .tag = tag, .name = name}));
  }
  share(me);
}

void AllGather::share(int owner) {
  const int me = rank_->id(), first = me - me % node_ranks_;
  for (int k = 1; k < node_ranks_; ++k) {
    const int to = first + (me - first + k) % node_ranks_;
    const int from = first + (me - first - k + node_ranks_) % node_ranks_;
    const int theirs = owner - me + from;  // of the same node as `owner`
    sends_.push_back(rank_->send(parts_[at(owner)], to, tag_));
    inside_.push_back(rank_->receive(from, {.bytes = bytes_[at(theirs)], .tag = tag_, .name = name_}));
    inside_owner_.push_back(theirs);
  }
}

Task<std::vector<Buffer>> AllGather::arrived() {
  for (std::size_t k = 0; k < between_.size(); ++k) {
    const int ranks = rank_->size();
    const int from = (rank_->id() - (static_cast<int>(k) + 1) * node_ranks_ + ranks) % ranks;
    parts_[at(from)] = co_await between_[k];
    share(from);
  }
  for (std::size_t k = 0; k < inside_.size(); ++k) parts_[at(inside_owner_[k])] = co_await inside_[k];
  for (Send& send : sends_) co_await send;
  co_return std::move(parts_);
}

ReduceScatter::ReduceScatter(Rank& rank, std::vector<Buffer> parts, DType dtype, int node_ranks, Tag tag,
                             const char* name, int leave_out)
    : rank_(&rank),
      parts_(std::move(parts)),
      dtype_(dtype),
      node_ranks_(ranks_of_node(rank, node_ranks)),
      tag_(tag),
      name_(name),
      leave_out_(leave_out) {
  const int me = rank.id(), place = me % node_ranks_, first = me - place;
  for (int k = 1; k < node_ranks_; ++k) {
    const int to = (place + k) % node_ranks_, from = (place - k + node_ranks_) % node_ranks_;
    for (int at_place = 0; at_place < rank.size(); at_place += node_ranks_) {
      sends_.push_back(rank.send(parts_[at(at_place + to)], first + to, tag));
      inside_.push_back(
          rank.receive(first + from, {.bytes = parts_[at(at_place + place)].bytes(), .tag = tag, .name = name}));
    }
  }
}

Task<Buffer> ReduceScatter::sum() {
  const int me = rank_->id(), place = me % node_ranks_, first = me - place;
  const int nodes = rank_->size() / node_ranks_;
  // [place][node of the receiver]
  std::vector<std::vector<Buffer>> addends(at(node_ranks_));
  for (int k = 1; k < node_ranks_; ++k)
    for (int node = 0; node < nodes; ++node)
      addends[at((place - k + node_ranks_) % node_ranks_)].push_back(co_await inside_[at((k - 1) * nodes + node)]);
  for (Send& send : sends_) co_await send;
  for (int node = 0; node < nodes; ++node)
    addends[at(place)].push_back(std::move(parts_[at(node * node_ranks_ + place)]));
  parts_.clear();

  std::vector<Buffer> of_node;  // sums over the node, by node of the receiver
  std::int64_t bytes = 0;
  for (int node = 0; node < nodes; ++node) {
    of_node.push_back(rank_->allocate(name_, Memory::communication, addends[at(place)][at(node)].bytes()));
    bytes += of_node.back().bytes();
  }
  co_await rank_->compute(addition(bytes, node_ranks_, dtype_), [&] {
    for (int node = 0; node < nodes; ++node) {
      WideSum sum(*rank_, elements(of_node[at(node)], dtype_));
      for (int each = 0; each < node_ranks_; ++each)
        if (first + each != leave_out_) sum.add(addends[at(each)][at(node)], dtype_);
      sum.store(of_node[at(node)], dtype_);
    }
  });
  addends.clear();
  const int mine = me / node_ranks_;
  if (nodes == 1) co_return std::move(of_node[0]);

  std::vector<Transfer> between;
  for (int k = 1; k < nodes; ++k)
    between.push_back(rank_->shift(of_node[at((mine + k) % nodes)], k * node_ranks_,
                                   {.bytes = of_node[at(mine)].bytes(), .tag = tag_, .name = name_}));
  std::vector<Buffer> sums(at(nodes));
  for (int k = 1; k < nodes; ++k) sums[at((mine - k + nodes) % nodes)] = co_await between[at(k - 1)];
  sums[at(mine)] = std::move(of_node[at(mine)]);
  Buffer result = rank_->allocate(name_, Memory::communication, sums[at(mine)].bytes());
  co_await rank_->compute(addition(result.bytes(), nodes, dtype_), [&] {
    WideSum sum(*rank_, elements(result, dtype_));
    for (const Buffer& each : sums) sum.add(each, dtype_);
    sum.store(result, dtype_);
  });
  co_return result;
}

}  // namespace assay::substrate
