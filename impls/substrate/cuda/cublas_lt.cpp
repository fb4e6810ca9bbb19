#include "impls/substrate/cuda/cublas_lt.h"

#include <cublasLt.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include "harness/gpu/library_search.h"

namespace assay::substrate::cuda {

using harness::gpu::Device;
using harness::gpu::DeviceBuffer;
using harness::gpu::DeviceError;

namespace {

constexpr std::size_t workspace_bytes = std::size_t{32} << 20;

struct Library {
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtMatmulDescCreate) desc_create = nullptr;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) layout_create = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy = nullptr;
  decltype(&cublasLtMatrixLayoutSetAttribute) layout_set = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
};

template <typename Function>
void load(void* handle, Function& entry, const char* name) {
  entry = reinterpret_cast<Function>(dlsym(handle, name));
  if (entry == nullptr) throw CublasUnavailable(fmt::format("cuBLASLt lacks {}", name));
}

Library open() {
  const auto opened = harness::gpu::open_library({"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"});
  if (opened.handle == nullptr) throw CublasUnavailable("no cuBLAS: " + opened.reason);
  Library library;
  load(opened.handle, library.create, "cublasLtCreate");
  load(opened.handle, library.destroy, "cublasLtDestroy");
  load(opened.handle, library.desc_create, "cublasLtMatmulDescCreate");
  load(opened.handle, library.desc_destroy, "cublasLtMatmulDescDestroy");
  load(opened.handle, library.desc_set, "cublasLtMatmulDescSetAttribute");
  load(opened.handle, library.layout_create, "cublasLtMatrixLayoutCreate");
  load(opened.handle, library.layout_destroy, "cublasLtMatrixLayoutDestroy");
  load(opened.handle, library.layout_set, "cublasLtMatrixLayoutSetAttribute");
  load(opened.handle, library.preference_create, "cublasLtMatmulPreferenceCreate");
  load(opened.handle, library.preference_destroy, "cublasLtMatmulPreferenceDestroy");
  load(opened.handle, library.preference_set, "cublasLtMatmulPreferenceSetAttribute");
  load(opened.handle, library.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  load(opened.handle, library.matmul, "cublasLtMatmul");
  return library;
}

// The library's own name function is not part of the Lt library, so the common codes are named here (cublas_api.h).
const char* name_of(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "CUBLAS_STATUS";
  }
}

void check(cublasStatus_t status, const char* doing) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw DeviceError(name_of(status), fmt::format("cuBLAS status {}", static_cast<int>(status)), doing);
}

cudaDataType_t input_type(GemmType type) {
  switch (type) {
    case GemmType::bf16:
      return CUDA_R_16BF;
    case GemmType::fp16:
      return CUDA_R_16F;
    case GemmType::tf32:
      return CUDA_R_32F;
    case GemmType::fp8:
      return CUDA_R_8F_E4M3;
  }
  throw std::invalid_argument("not a type of cuBLAS products");
}
cudaDataType_t output_type(GemmType type) { return type == GemmType::fp8 ? CUDA_R_16BF : input_type(type); }

}  // namespace

std::size_t input_bytes(GemmType type) { return type == GemmType::tf32 ? 4 : type == GemmType::fp8 ? 1 : 2; }
std::size_t output_bytes(GemmType type) { return type == GemmType::tf32 ? 4 : 2; }

struct CublasGemm::Plan {
  explicit Plan(Device& on) : library(open()), device(on), workspace(on, workspace_bytes) {}
  ~Plan() {
    if (layout_c != nullptr) library.layout_destroy(layout_c);
    if (layout_b != nullptr) library.layout_destroy(layout_b);
    if (layout_a != nullptr) library.layout_destroy(layout_a);
    if (desc != nullptr) library.desc_destroy(desc);
    if (handle != nullptr) library.destroy(handle);
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  Library library;
  Device& device;
  DeviceBuffer<std::byte> workspace;
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t layout_a = nullptr, layout_b = nullptr, layout_c = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
};

CublasGemm::CublasGemm(Device& device, GemmType type, std::int64_t m, std::int64_t n, std::int64_t k,
                       std::int64_t leading)
    : CublasGemm(device, {.type = type,
                          .m = m,
                          .n = n,
                          .k = k,
                          .leading_a = leading == 0 ? k : leading,
                          .leading_b = leading == 0 ? k : leading,
                          .leading_c = m}) {}

// cuBLAS has columns where we have rows: what is [rows][columns] here is a matrix of `columns` rows there.
CublasGemm::CublasGemm(Device& device, const GemmShape& shape) : plan_(std::make_unique<Plan>(device)) {
  Plan& plan = *plan_;
  const Library& library = plan.library;
  const auto rows = static_cast<std::uint64_t>(shape.m);
  const auto columns = static_cast<std::uint64_t>(shape.n);
  const auto depth = static_cast<std::uint64_t>(shape.k);
  check(library.create(&plan.handle), "opening cuBLASLt");
  const cublasComputeType_t compute = shape.type == GemmType::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  check(library.desc_create(&plan.desc, compute, CUDA_R_32F), "describing the product");
  const cublasOperation_t of_a = shape.depth_in_rows ? CUBLAS_OP_N : CUBLAS_OP_T;
  check(library.desc_set(plan.desc, CUBLASLT_MATMUL_DESC_TRANSA, &of_a, sizeof of_a), "describing the product");
  const cudaDataType_t in = input_type(shape.type);
  check(library.layout_create(&plan.layout_a, in, shape.depth_in_rows ? rows : depth,
                              shape.depth_in_rows ? depth : rows, shape.leading_a),
        "describing A");
  check(library.layout_create(&plan.layout_b, in, depth, columns, shape.leading_b), "describing B");
  check(library.layout_create(&plan.layout_c, shape.wide_result ? CUDA_R_32F : output_type(shape.type), rows, columns,
                              shape.leading_c),
        "describing C");
  const auto batch = static_cast<std::int32_t>(shape.batch);
  const auto repeat = [&](cublasLtMatrixLayout_t layout, std::int64_t stride) {
    if (shape.batch == 1) return;
    check(library.layout_set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof batch), "describing a batch");
    check(library.layout_set(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride),
          "describing a batch");
  };
  repeat(plan.layout_a, shape.stride_a);
  repeat(plan.layout_b, shape.stride_b);
  repeat(plan.layout_c, shape.stride_c);

  cublasLtMatmulPreference_t preference = nullptr;
  check(library.preference_create(&preference), "asking for an algorithm");
  library.preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes,
                         sizeof workspace_bytes);
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const cublasStatus_t asked = library.heuristic(plan.handle, plan.desc, plan.layout_a, plan.layout_b, plan.layout_c,
                                                 plan.layout_c, preference, 1, &found, &count);
  library.preference_destroy(preference);
  if (asked != CUBLAS_STATUS_SUCCESS || count == 0)
    throw CublasUnavailable(fmt::format("cuBLAS has no algorithm for this product here ({})", name_of(asked)));
  plan.algorithm = found.algo;
}

CublasGemm::~CublasGemm() = default;
CublasGemm::CublasGemm(CublasGemm&&) noexcept = default;

void CublasGemm::operator()(const void* a, const void* b, void* c) const {
  const Plan& plan = *plan_;
  const float one = 1;
  const float zero = 0;
  check(plan.library.matmul(plan.handle, plan.desc, &one, a, plan.layout_a, b, plan.layout_b, &zero, c, plan.layout_c,
                            c, plan.layout_c, &plan.algorithm, plan.workspace.data(), plan.workspace.bytes(),
                            plan.device.stream()),
        "enqueuing a product of cuBLAS");
}

}  // namespace assay::substrate::cuda
