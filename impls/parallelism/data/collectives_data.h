#pragma once
// One collective: its problem, its rank program, and the data of its ranks with the float64 oracle.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "datasets/machine.h"
#include "impls/parallelism/program_case.h"
#include "impls/substrate/dtype.h"

namespace assay::substrate {
class NativeCollectives;
}

namespace assay::parallelism {

// The algorithm of the library that carries the fabric, where it has one; its messages are not counted.
inline constexpr const char* kNative = "native";

struct CollectiveProblem {
  std::string collective = "all-reduce";
  std::string algorithm = "auto";
  int ranks = 1;
  std::int64_t elements = 0;  // N of a rank's tensor
  substrate::DType dtype = substrate::DType::f32;
  int node_ranks = 0;
  std::int64_t piece_bytes = 512 * 1024;

  // What is wrong in mutants.
  int leave_out = -1;              // the tensor of this rank counts as zeros
  bool last_element_lost = false;  // the last element of every result stays unwritten

  // Elements [begin, end) of part `index` of a tensor cut over the ranks.
  std::int64_t part_begin(int index) const;
  std::int64_t part_elements(int index) const { return part_begin(index + 1) - part_begin(index); }
  std::int64_t input_elements(int rank) const;
  std::int64_t output_elements(int rank) const;
};

// With the algorithm chosen where it is `auto`, and the node: from the cluster. UserError for an algorithm that the
// collective does not have, or nodes that do not divide the ranks.
CollectiveProblem resolve_collective(CollectiveProblem problem, const datasets::Cluster& cluster);

// `library`: of an algorithm that is kNative, on real data.
RankProgram collective_program(const CollectiveProblem& problem, substrate::NativeCollectives* library = nullptr);

class CollectiveData : public ProgramData {
 public:
  CollectiveData(CollectiveProblem problem, std::optional<int> only);

  void draw(std::uint64_t seed) override;
  std::vector<std::span<std::byte>> outputs_of(int rank) override;
  std::vector<harness::Output> outputs() override;
  // |got - sum| <= (P - 1) u sum |x| with the dtype's rounding u, and nothing at all where nothing is added.
  harness::Check compare(std::uint64_t seed) const override;
  bool compares_all() const override { return true; }
  void refer(std::uint64_t seed) const override;

  std::byte* input(int rank) { return inputs_[static_cast<std::size_t>(rank)].data(); }
  std::byte* output(int rank) { return outputs_[static_cast<std::size_t>(rank)].data(); }
  // The same where the rank's program finds them, which may be in the memory of a device.
  virtual const std::byte* given(int rank) { return input(rank); }
  virtual std::byte* result(int rank) { return output(rank); }

 private:
  CollectiveProblem problem_;
  std::vector<std::vector<std::byte>> inputs_, outputs_;  // by rank; all inputs are drawn by whoever compares
  mutable std::vector<std::vector<double>> exact_, magnitude_;
};

}  // namespace assay::parallelism
