#include "impls/substrate/fabric/collectives.h"

#include <cstring>
#include <utility>

namespace assay::substrate {

Task<std::vector<Buffer>> all_to_all(Rank& rank, std::vector<Buffer> parts, std::vector<std::int64_t> expected, Tag tag,
                                     const char* name) {
  const int ranks = rank.size();
  const int me = rank.id();
  const auto from = [&](int k) { return static_cast<std::size_t>((me - k + ranks) % ranks); };
  std::vector<Transfer> under_way;
  under_way.reserve(static_cast<std::size_t>(ranks));
  for (int k = 1; k < ranks; ++k)
    under_way.push_back(rank.shift(parts[static_cast<std::size_t>((me + k) % ranks)], k,
                                   {.bytes = expected[from(k)], .tag = tag, .name = name}));
  std::vector<Buffer> arrived(static_cast<std::size_t>(ranks));
  arrived[static_cast<std::size_t>(me)] = std::move(parts[static_cast<std::size_t>(me)]);
  for (int k = 1; k < ranks; ++k) arrived[from(k)] = co_await under_way[static_cast<std::size_t>(k - 1)];
  co_return arrived;
}

namespace {

// Ranks of a node, and where this one is.
int ranks_of_node(const Rank& rank, int asked) {
  return asked > 0 && asked < rank.size() && rank.size() % asked == 0 ? asked : rank.size();
}

std::size_t at(int index) { return static_cast<std::size_t>(index); }

std::size_t elements(const Buffer& buffer, DType dtype) {
  return static_cast<std::size_t>(buffer.bytes() / size_of(dtype));
}

// Elements to and from float32.
void add_to(std::vector<float>& sum, const Buffer& addend, DType dtype) {
  if (dtype == DType::f32) {
    const auto values = addend.read<float>();
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
  } else {
    const auto values = addend.read<BFloat16>();
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += to_float(values[i]);
  }
}
void store_sum(const std::vector<float>& sum, Buffer& to, DType dtype) {
  if (dtype == DType::f32) {
    std::memcpy(to.write<float>().data(), sum.data(), sum.size() * sizeof(float));
    return;
  }
  const auto values = to.write<BFloat16>();
  for (std::size_t i = 0; i < sum.size(); ++i) values[i] = to_bf16(sum[i]);
}

OpWork addition(std::int64_t bytes, std::size_t addends, DType dtype) {
  const auto count = static_cast<double>(addends);
  return {.kind = OpKind::pointwise,
          .dtype = OpDtype::fp32,
          .flops = count * static_cast<double>(bytes) / size_of(dtype),
          .bytes = (count + 1) * static_cast<double>(bytes)};
}

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
  co_await rank_->compute(addition(bytes, at(node_ranks_), dtype_), [&] {
    for (int node = 0; node < nodes; ++node) {
      std::vector<float> sum(elements(of_node[at(node)], dtype_));
      for (int each = 0; each < node_ranks_; ++each)
        if (first + each != leave_out_) add_to(sum, addends[at(each)][at(node)], dtype_);
      store_sum(sum, of_node[at(node)], dtype_);
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
  co_await rank_->compute(addition(result.bytes(), at(nodes), dtype_), [&] {
    std::vector<float> sum(elements(result, dtype_));
    for (const Buffer& each : sums) add_to(sum, each, dtype_);
    store_sum(sum, result, dtype_);
  });
  co_return result;
}

}  // namespace assay::substrate
