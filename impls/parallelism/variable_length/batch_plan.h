#pragma once
// A batch of sequences of different lengths on ranks: which ranks share which sequences, and how. Planners make it; the
// rank program (batch_program.h) carries it out, whoever planned.
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "impls/parallelism/sequence/attention_block.h"
#include "impls/parallelism/variable_length/token_slices.h"
#include "impls/substrate/models/op_work.h"

namespace assay::parallelism {

// One causal attention layer over sequences that do not see each other.
struct BatchProblem {
  std::vector<std::int64_t> lengths;
  int ranks = 1;
  int heads = 1, kv_heads = 1, head_dim = 1;
  substrate::DType dtype = substrate::DType::bf16;
  bool backward = false;

  std::int64_t tokens() const;
  double pairs() const;  // unmasked, of one head
  double flops() const;  // forward, and backward where asked for; masked pairs not counted
  BlockShape block() const;
};

// How the members of an item meet. ring: tokens stay, K and V travel (Ring Attention, zigzag for each sequence). heads:
// tokens become heads and back (Ulysses).
enum class Exchange : std::uint8_t { ring, heads };

// Sequences that a set of ranks works on at one time, packed.
struct BatchItem {
  std::vector<int> ranks;      // rising
  std::vector<int> sequences;  // indices into lengths
  Exchange exchange = Exchange::ring;
  double offload = 0;         // share of what backward needs that spends the time in between in host memory
  std::vector<Share> shares;  // by member

  int members() const { return static_cast<int>(ranks.size()); }
};
// Deals the tokens as the exchange wants them.
BatchItem make_item(const BatchProblem& problem, std::vector<int> ranks, std::vector<int> sequences, Exchange exchange,
                    double offload = 0);

// Tokens that a rank gives to another for what is computed beside attention.
struct TokenMove {
  int from = 0, to = 0;
  std::int64_t tokens = 0;
};

// What is wrong in mutants.
struct BatchFault {
  bool across_sequences = false;     // a sequence sees the one before it in its item
  bool last_member_unheard = false;  // the tokens of an item's last member are not taken in by the others
  bool own_gradient_only = false;    // dK and dV of other members' queries are left out
  bool nothing_comes_back = false;   // what was offloaded is lost
  bool first_route_lost = false;     // of what is routed between nodes, the piece of the first neighbour
  bool remapped_lost = false;        // tokens that were given away come back empty
  float scale = 1;
};

struct BatchPlan {
  BatchProblem problem;
  std::vector<BatchItem> items;  // every rank works on those it is a member of, in this order
  int routed_node_ranks = 0;     // of a node, where rings route what crosses a border of nodes; 0: nothing is routed
  std::vector<TokenMove> moves;  // none: what is computed beside attention stays where attention left the tokens
  // What a rank computes for its tokens beside attention, in projections: products and streaming operators of a layer.
  std::function<std::vector<substrate::OpWork>(std::int64_t tokens, bool backward)> linear;
  BatchFault fault;
};

// Throws std::logic_error unless every token of every sequence is in exactly one share, and no item has a rank twice or
// one that does not exist.
void require_whole(const BatchPlan& plan);

// Tokens of a rank in the item where it has most: what its capacity has to hold.
std::int64_t most_tokens_of_a_rank(const BatchPlan& plan);
// Causal pairs each rank computes, of one head; their sum is that of the problem.
std::vector<double> pairs_by_rank(const BatchPlan& plan);

}  // namespace assay::parallelism
