#pragma once
// How long one engine iteration takes on a device group: a transformer layer's products and streaming operators by the
// number of new tokens, attention of prompts by their own and earlier tokens, attention of decodes by the tokens they
// read, all-reduces of tensor parallelism, the output head, and the host. Operators come from the device models.
//
// Times are whole picoseconds and additive: an iteration is linear(T) + head(rows) + sum of prefill(t, keys) +
// decode(n, keys) + host. Every part can be taken at either end of its residuals (iteration_reach.h). With a pipeline
// these are of the layers of one stage, all alike; the head is on the last. An engine that keeps running sums gets the
// same bits as one that adds up every sequence.
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "datasets/machine.h"
#include "impls/substrate/fabric/virtual_time.h"
#include "impls/substrate/models/operator_work.h"
#include "impls/substrate/models/paged_attention.h"

namespace assay::serving {

using substrate::Picoseconds;

// What the engine's host side costs an iteration: scheduling, preparing inputs, sampling, processing outputs.
enum class HostCost {
  none,
  async,  // prepared while the device works: counts where it is longer than the device's time
  sync,   // added to the device's time
};
HostCost host_cost(const std::string& name);  // UserError for an unknown name

// The host's work of one iteration; the residuals of both constants are those of `Device` keys host_iteration_seconds
// and host_sequence_seconds, which every deployment has: the descriptor's, else those of the public measurements.
struct HostSeconds {
  double iteration = 0, sequence = 0;  // s; of each sequence
};

struct Deployment {
  datasets::Model model;
  datasets::Device device;
  datasets::Cluster cluster;  // of more than one device
  int tensor = 1;             // devices that share every layer, next to each other
  int pipeline = 1;           // stages of as many layers each
  substrate::OpDtype dtype = substrate::OpDtype::fp16;
  HostCost host = HostCost::sync;
};

// A prompt's slice of an iteration: `tokens` new ones whose last sees `keys` tokens.
struct PrefillSlice {
  std::int64_t tokens = 0, keys = 0;
};

// What an iteration takes on its way through the stages: `first` on the first, with the host's work before it, `stage`
// on those between, `last` on the last, and `hop` from one to the next. With one stage there is only `first`.
struct Passage {
  Picoseconds first = 0, stage = 0, last = 0, hop = 0;
};

class IterationReach;
struct RelativeReach;
enum class Edge { nominal, fast, slow };

class IterationTime {
 public:
  explicit IterationTime(Deployment deployment);
  // Every part at one end of its reach.
  IterationTime(std::shared_ptr<const IterationReach> reach, Edge edge);

  const Deployment& deployment() const { return deployment_; }

  // Cached: each argument is computed once.
  Picoseconds linear(std::int64_t tokens);
  Picoseconds head(std::int64_t rows);
  Picoseconds prefill(const PrefillSlice& slice);
  // n sequences that read `keys` tokens together, their newest included.
  Picoseconds decode(std::int64_t sequences, std::int64_t keys) const;
  // The device's time with the host's.
  Picoseconds with_host(Picoseconds device, std::int64_t sequences) const;
  // Activations of so many tokens from one stage to the next.
  Picoseconds hop(std::int64_t tokens);
  // An iteration of `sequences` sequences whose layers take `layers` on a stage.
  Passage passage(Picoseconds layers, Picoseconds head, Picoseconds hop, std::int64_t sequences) const;

  // The same from the operators, nothing kept: for an oracle, slow. Decodes by the tokens each reads.
  Picoseconds uncached(std::span<const PrefillSlice> prefills, std::span<const std::int64_t> decode_keys,
                       std::int64_t head_rows) const;

  Passage uncached_passage(std::span<const PrefillSlice> prefills, std::span<const std::int64_t> decode_keys,
                           std::int64_t head_rows) const;

  // The parts in seconds, from the operators, at no edge.
  double linear_seconds(std::int64_t tokens) const;
  double head_seconds(std::int64_t rows) const;
  double prefill_seconds(const PrefillSlice& slice) const;
  double hop_seconds(std::int64_t tokens) const;
  double decode_call_seconds() const { return decode_fixed_; }
  double decode_key_seconds() const { return key_seconds_; }
  HostSeconds host_seconds() const { return host_; }

  // Whether every operator asked for so far was inside what the device's constants were fitted on.
  bool inside_domain() const { return inside_; }

 private:
  Picoseconds linear_now(std::int64_t tokens) const;
  Picoseconds head_now(std::int64_t rows) const;
  Picoseconds prefill_now(const PrefillSlice& slice) const;
  substrate::PagedHeads paged_heads() const { return {heads_, kv_heads_, width_}; }
  double at_edge(double seconds, const RelativeReach& reach) const;
  double seconds(const substrate::OpWork& work) const;
  double all_reduce(double bytes) const;
  Picoseconds hop_now(std::int64_t tokens) const;

  Deployment deployment_;
  // Of one device of the group.
  std::int64_t layers_, hidden_, heads_, kv_heads_, width_, inner_, vocab_;
  bool gated_;
  double key_seconds_;  // of reading one token's keys and values in all layers
  double decode_fixed_;
  HostSeconds host_;
  substrate::PagedRates attention_;
  std::shared_ptr<const IterationReach> reach_;
  Edge edge_ = Edge::nominal;
  mutable bool inside_ = true;
  std::vector<Picoseconds> linear_, head_, hop_;
  std::unordered_map<std::uint64_t, Picoseconds> prefill_;
};

// Bytes of keys and values of one token on one device of the group.
double kv_bytes_per_token(const datasets::Model& model, int tensor, int pipeline, substrate::OpDtype dtype);

// Blocks of `block_tokens` tokens that fit beside weights and the activations of `batch_tokens` tokens. UserError when
// not even one does.
std::int64_t kv_blocks(const Deployment& deployment, double memory_share, int block_tokens, std::int64_t batch_tokens,
                       std::int64_t head_rows);

}  // namespace assay::serving
