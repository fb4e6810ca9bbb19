#pragma once
// The plan and the rank program of MR-SP: what of a step of reinforcement learning on a video sequence parallelism
// touches.
#include <cstdint>
#include <string_view>

#include "impls/parallelism/sequence/cp_balance.h"
#include "impls/parallelism/sequence/sequence_plan.h"
#include "impls/parallelism/sequence/streambp.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::parallelism {

// How far MR-SP goes. none: every use of the video encodes it again, every rank all of it, and rollouts are dealt to
// ranks. cache: encoded once. encode: every rank encodes its frames, and all are gathered. prefill: the tokens of a
// rollout are dealt to ranks as well.
enum class VideoStages : std::uint8_t { none, cache, encode, prefill };
VideoStages video_stages_from(std::string_view name);

struct VideoProblem {
  int ranks = 1;
  int frames = 1, frame_tokens = 1;           // F, p
  int rollouts = 1, response = 1;             // G of the group, R tokens of a rollout
  int heads = 1, kv_heads = 1, head_dim = 1;  // of both models
  std::int64_t inner = 0;                     // f of both inner layers; 0: 3 h
  std::int64_t vocab = 1;
  substrate::DType dtype = substrate::DType::bf16;
  VideoStages stages = VideoStages::prefill;
  int node_ranks = 0;

  std::int64_t video_tokens() const { return std::int64_t{frames} * frame_tokens; }
  std::int64_t length() const { return video_tokens() + response; }
};

struct MrSpPlan {
  explicit MrSpPlan(const VideoProblem& video);

  VideoProblem problem;
  StreamPlan encoder;  // of a frame, without a head
  StreamPlan decoder;  // of a rollout, with its head
  GatherPlan sharded;  // attention of a rollout padded to a multiple of P, over ranks
  GatherPlan local;    // the same of a rollout on one rank

  bool parallel_encode() const { return problem.stages >= VideoStages::encode; }
  bool shards_rollouts() const { return problem.stages == VideoStages::prefill; }
  int first_frame(int rank) const { return problem.frames * rank / problem.ranks; }
  // Tokens a rank encodes.
  std::int64_t encoded_tokens(int rank) const {
    const int frames = parallel_encode() ? first_frame(rank + 1) - first_frame(rank) : problem.frames;
    return std::int64_t{frames} * problem.frame_tokens;
  }
  // Times the video is encoded: G rollouts, policy and reference, or once.
  int encodings() const { return problem.stages == VideoStages::none ? problem.rollouts + 2 : 1; }
  bool works_on(int rank, int rollout) const { return shards_rollouts() || rollout % problem.ranks == rank; }
  double flops() const;  // of all ranks, nothing encoded twice

  // What is wrong in mutants; `sharded` has more.
  int lost_frames = -1;         // the embeddings of this rank are not taken in
  bool without_kl = false;      // the reference does not count
  bool not_reduced = false;     // gradients are not summed over ranks
  bool round_gradient = false;  // the gradient of the layer's output passes through bf16
};

// Weight of the divergence from the reference.
inline constexpr double kDivergence = 0.1;

// Of one rank. The frames it encodes [n][p][h]; responses [G][R][h] and their words [G][R]; an advantage a rollout;
// weights of encoder, policy and reference. Log-probabilities [G][R] in float32, zero where another rank has them, and
// the gradients of the policy's weights. All null on virtual fabrics.
struct MrSpMemory {
  std::byte *frames = nullptr, *responses = nullptr, *encoder = nullptr, *policy = nullptr, *reference = nullptr;
  const std::int32_t* words = nullptr;
  const float* advantages = nullptr;
  std::byte *policy_logp = nullptr, *reference_logp = nullptr, *d_weights = nullptr;
};

substrate::Task<> mr_sp_step(substrate::Rank& rank, const MrSpPlan& plan, MrSpMemory memory);

}  // namespace assay::parallelism
