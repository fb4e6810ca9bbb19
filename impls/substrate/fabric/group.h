#pragma once
// Some ranks of a fabric as ranks 0, 1, ... of their own: the ranks of a node, those at one place of every node, the
// rows and columns of a mesh. A group is a value; who belongs to it follows from the plan, so making one costs no
// message. A Rank stands for the group of all.
#include <functional>
#include <memory>
#include <vector>

#include "impls/substrate/fabric/rank.h"

namespace assay::substrate {

class Group {
 public:
  Group(Rank& rank)  // NOLINT(google-explicit-constructor): a program over all ranks is one over that group
      : rank_(&rank), id_(rank.id()), size_(rank.size()) {}
  // The ranks of `color`, which must be that of the rank itself, in order; `color_of` is asked for every rank.
  static Group split(Rank& rank, const std::function<int(int rank)>& color_of);
  // Exactly these ranks, in this order; the rank itself must be among them.
  static Group of(Rank& rank, std::vector<int> members);

  Rank& rank() const { return *rank_; }
  int id() const { return id_; }
  int size() const { return size_; }
  // The fabric's rank of a member.
  int member(int index) const {
    return members_ ? (*members_)[static_cast<std::size_t>(index)] : first_ + index * stride_;
  }

  // How far apart members are; 0: they are listed one by one.
  int stride() const { return members_ ? 0 : stride_; }

  // Of `count` consecutive members, which must divide the size: that with this rank; and that of the members at its
  // place in every such block.
  Group block(int count) const;
  Group across(int count) const;

  Transfer shift(const Buffer& out, int offset, const Expect& expect = {},
                 std::source_location where = std::source_location::current()) const {
    return rank_->exchange(out, at(offset), at(-offset), expect, where);
  }
  Transfer shift(const Buffer& out, int offset, Buffer into, Tag tag,
                 std::source_location where = std::source_location::current()) const {
    return rank_->exchange(out, at(offset), at(-offset), std::move(into), tag, where);
  }
  // With one other member.
  Transfer exchange(const Buffer& out, int peer, const Expect& expect,
                    std::source_location where = std::source_location::current()) const {
    return rank_->exchange(out, member(peer), member(peer), expect, where);
  }
  Transfer exchange(const Buffer& out, int peer, Buffer into, Tag tag,
                    std::source_location where = std::source_location::current()) const {
    return rank_->exchange(out, member(peer), member(peer), std::move(into), tag, where);
  }
  Send send(const Buffer& out, int peer, Tag tag, std::source_location where = std::source_location::current()) const {
    return rank_->send(out, member(peer), tag, where);
  }
  Transfer receive(int peer, const Expect& expect, std::source_location where = std::source_location::current()) const {
    return rank_->receive(member(peer), expect, where);
  }
  Transfer receive(int peer, Buffer into, Tag tag, std::source_location where = std::source_location::current()) const {
    return rank_->receive(member(peer), std::move(into), tag, where);
  }

 private:
  Group(Rank& rank, int id, int size) : rank_(&rank), id_(id), size_(size) {}
  int at(int offset) const { return member(((id_ + offset) % size_ + size_) % size_); }
  void check_divides(int count) const;

  Rank* rank_;
  int id_, size_;
  int first_ = 0, stride_ = 1;
  std::shared_ptr<const std::vector<int>> members_;  // where they are not evenly spaced
};

}  // namespace assay::substrate
