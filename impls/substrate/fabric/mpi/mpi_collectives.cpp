// The collectives of the MPI library on the `mpi` fabric: their non-blocking forms, waited for as messages are, so that
// the failure of another rank ends the wait (what the library then still does is on communicators nobody uses again, in
// tensors that outlive the run). MPI 3 has no bf16: its sums are an operation of ours on pairs of bytes.
#include <mpi.h>

#include <cstring>
#include <limits>
#include <stdexcept>
#include <vector>

#include "impls/substrate/fabric/mpi/mpi_fabric.h"
#include "impls/substrate/fabric/mpi/mpi_links.h"

namespace assay::substrate {
namespace {

void add_bf16(void* addends, void* sums, int* count, MPI_Datatype*) {
  for (int i = 0; i < *count; ++i) {
    BFloat16 a, b;
    std::memcpy(&a, static_cast<std::byte*>(addends) + std::ptrdiff_t{i} * 2, 2);
    std::memcpy(&b, static_cast<std::byte*>(sums) + std::ptrdiff_t{i} * 2, 2);
    b = to_bf16(to_float(a) + to_float(b));
    std::memcpy(static_cast<std::byte*>(sums) + std::ptrdiff_t{i} * 2, &b, 2);
  }
}

int whole(std::int64_t count) {
  if (count > std::numeric_limits<int>::max())
    throw std::runtime_error("a collective of MPI 3 takes at most 2^31 - 1 elements");
  return static_cast<int>(count);
}

// Counts and where parts of that many elements begin.
struct Cut {
  std::vector<int> counts, offsets;
  explicit Cut(std::span<const std::int64_t> parts) {
    std::int64_t begin = 0;
    for (const std::int64_t part : parts) {
      counts.push_back(whole(part));
      offsets.push_back(whole(begin));
      begin += part;
    }
    whole(begin);
  }
};

}  // namespace

class MpiFabric::Native final : public NativeCollectives {
 public:
  explicit Native(MpiFabric& fabric) : fabric_(fabric) {
    require_mpi(MPI_Type_contiguous(2, MPI_BYTE, &bf16_), "MPI_Type_contiguous");
    require_mpi(MPI_Type_commit(&bf16_), "MPI_Type_commit");
    require_mpi(MPI_Op_create(add_bf16, 1, &bf16_sum_), "MPI_Op_create");
  }

  void all_reduce(std::byte* tensor, std::int64_t count, DType dtype) override {
    MPI_Request request = MPI_REQUEST_NULL;
    require_mpi(
        MPI_Iallreduce(MPI_IN_PLACE, tensor, whole(count), type(dtype), sum(dtype), fabric_.links_->data, &request),
        "MPI_Iallreduce");
    wait(request, "MPI_Iallreduce");
  }
  void reduce_scatter(const std::byte* tensor, std::byte* part, std::span<const std::int64_t> parts,
                      DType dtype) override {
    const Cut cut(parts);
    MPI_Request request = MPI_REQUEST_NULL;
    require_mpi(
        MPI_Ireduce_scatter(tensor, part, cut.counts.data(), type(dtype), sum(dtype), fabric_.links_->data, &request),
        "MPI_Ireduce_scatter");
    wait(request, "MPI_Ireduce_scatter");
  }
  void all_gather(const std::byte* part, std::byte* tensor, std::span<const std::int64_t> parts, DType dtype) override {
    const Cut cut(parts);
    MPI_Request request = MPI_REQUEST_NULL;
    require_mpi(MPI_Iallgatherv(part, cut.counts[static_cast<std::size_t>(fabric_.rank())], type(dtype), tensor,
                                cut.counts.data(), cut.offsets.data(), type(dtype), fabric_.links_->data, &request),
                "MPI_Iallgatherv");
    wait(request, "MPI_Iallgatherv");
  }
  void broadcast(std::byte* tensor, std::int64_t count, DType dtype) override {
    MPI_Request request = MPI_REQUEST_NULL;
    require_mpi(MPI_Ibcast(tensor, whole(count), type(dtype), 0, fabric_.links_->data, &request), "MPI_Ibcast");
    wait(request, "MPI_Ibcast");
  }
  void all_to_all(const std::byte* tensor, std::byte* arrived, std::span<const std::int64_t> parts,
                  DType dtype) override {
    const Cut cut(parts);
    const std::vector<std::int64_t> mine(parts.size(), parts[static_cast<std::size_t>(fabric_.rank())]);
    const Cut come(mine);
    MPI_Request request = MPI_REQUEST_NULL;
    require_mpi(MPI_Ialltoallv(tensor, cut.counts.data(), cut.offsets.data(), type(dtype), arrived, come.counts.data(),
                               come.offsets.data(), type(dtype), fabric_.links_->data, &request),
                "MPI_Ialltoallv");
    wait(request, "MPI_Ialltoallv");
  }
  void exclusive_scan(const std::byte* tensor, std::byte* sums, std::int64_t count, DType dtype) override {
    MPI_Request request = MPI_REQUEST_NULL;
    require_mpi(MPI_Iexscan(tensor, sums, whole(count), type(dtype), sum(dtype), fabric_.links_->data, &request),
                "MPI_Iexscan");
    wait(request, "MPI_Iexscan");
  }

 private:
  MPI_Datatype type(DType dtype) const { return dtype == DType::f32 ? MPI_FLOAT : bf16_; }
  MPI_Op sum(DType dtype) const { return dtype == DType::f32 ? MPI_SUM : bf16_sum_; }
  void wait(MPI_Request& request, const char* call) {
    fabric_.stand_for(
        [&] {
          int done = 0;
          require_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
          return done != 0;
        },
        call);
  }

  MpiFabric& fabric_;
  MPI_Datatype bf16_ = MPI_DATATYPE_NULL;
  MPI_Op bf16_sum_ = MPI_OP_NULL;
};

NativeCollectives& MpiFabric::native() {
  if (!native_) native_ = std::make_unique<Native>(*this);
  return *native_;
}

}  // namespace assay::substrate
