#include "impls/substrate/cuda/cudnn_graph.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <bit>
#include <deque>
#include <ranges>
#include <utility>

#include "harness/gpu/library_search.h"

namespace assay::substrate::cuda {

using harness::gpu::Device;
using harness::gpu::DeviceBuffer;
using harness::gpu::DeviceError;

namespace {

// cudnn_graph.h: cudnnBackendDescriptorType_t, cudnnBackendAttributeName_t, cudnnBackendAttributeType_t.
enum Kind : int {
  kPointwise = 0,
  kEngineConfig = 3,
  kEngineHeuristic = 4,
  kExecutionPlan = 5,
  kOperationPointwise = 13,
  kOperationGraph = 15,
  kVariantPack = 16,
  kTensor = 17,
  kMatmul = 18,
  kOperationMatmul = 19,
  kReduction = 21,
  kOperationReduction = 22
};
enum Attribute : int {
  kPointwiseMode = 0,
  kPointwisePrecision = 1,
  kPointwiseAxis = 9,
  kHeuristicMode = 200,
  kHeuristicGraph = 201,
  kHeuristicResults = 202,
  kPlanHandle = 400,
  kPlanConfig = 401,
  kPlanWorkspace = 402,
  kOpPointwise = 750,
  kOpPointwiseX = 751,
  kOpPointwiseB = 752,
  kOpPointwiseY = 753,
  kOpPointwiseT = 758,
  kGraphHandle = 800,
  kGraphOperations = 801,
  kTensorAlignment = 900,
  kTensorType = 901,
  kTensorDimensions = 902,
  kTensorStrides = 903,
  kTensorId = 906,
  kTensorVirtual = 907,
  kTensorByValue = 908,
  kPackIds = 1000,
  kPackPointers = 1001,
  kPackWorkspace = 1003,
  kMatmulPrecision = 1500,
  kOpMatmulA = 1520,
  kOpMatmulB = 1521,
  kOpMatmulC = 1522,
  kOpMatmul = 1523,
  kReductionOperator = 1600,
  kReductionPrecision = 1601,
  kOpReductionX = 1610,
  kOpReductionY = 1611,
  kOpReduction = 1612
};
enum ValueType : int {
  kHandle = 0,
  kDataType = 1,
  kBoolean = 2,
  kInt64 = 3,
  kPointer = 6,
  kHeurMode = 8,
  kPointwiseModeType = 14,
  kDescriptor = 15,
  kReductionOperatorType = 18
};
constexpr int kHeurModeA = 3;
constexpr int kHeurModeFallback = 2;
constexpr std::int64_t kMostConfigs = 16;

using Handle = void*;
using Descriptor = void*;

struct Library {
  int (*create)(Handle*) = nullptr;
  int (*destroy)(Handle) = nullptr;
  int (*set_stream)(Handle, CUstream_st*) = nullptr;
  std::size_t (*get_version)() = nullptr;
  const char* (*error_string)(int) = nullptr;
  void (*last_error)(char*, std::size_t) = nullptr;
  int (*create_descriptor)(int kind, Descriptor*) = nullptr;
  int (*destroy_descriptor)(Descriptor) = nullptr;
  int (*set)(Descriptor, int attribute, int type, std::int64_t count, const void*) = nullptr;
  int (*get)(Descriptor, int attribute, int type, std::int64_t wanted, std::int64_t* count, void*) = nullptr;
  int (*finalize)(Descriptor) = nullptr;
  int (*execute)(Handle, Descriptor plan, Descriptor pack) = nullptr;
};

template <typename Function>
void load(void* handle, Function& entry, const char* name) {
  entry = reinterpret_cast<Function>(dlsym(handle, name));
  if (entry == nullptr) throw CudnnUnavailable(fmt::format("cuDNN lacks {} (9 or later is needed)", name));
}

// cuDNN's parts name these as what they need and leave it to the loader to find them. In a Python environment that
// nobody activated it would not; a library that is loaded already it takes, wherever that came from.
void open_what_it_needs() {
  for (const char* name : {"libcublasLt.so.13", "libnvrtc.so.13"}) harness::gpu::open_library({name});
}

Library open(const std::vector<std::string>& names) {
  open_what_it_needs();
  const auto opened = harness::gpu::open_library(names);
  if (opened.handle == nullptr) throw CudnnUnavailable("no cuDNN: " + opened.reason);
  Library library;
  load(opened.handle, library.create, "cudnnCreate");
  load(opened.handle, library.destroy, "cudnnDestroy");
  load(opened.handle, library.set_stream, "cudnnSetStream");
  load(opened.handle, library.get_version, "cudnnGetVersion");
  load(opened.handle, library.error_string, "cudnnGetErrorString");
  load(opened.handle, library.last_error, "cudnnGetLastErrorString");
  load(opened.handle, library.create_descriptor, "cudnnBackendCreateDescriptor");
  load(opened.handle, library.destroy_descriptor, "cudnnBackendDestroyDescriptor");
  load(opened.handle, library.set, "cudnnBackendSetAttribute");
  load(opened.handle, library.get, "cudnnBackendGetAttribute");
  load(opened.handle, library.finalize, "cudnnBackendFinalize");
  load(opened.handle, library.execute, "cudnnBackendExecute");
  return library;
}

}  // namespace

struct CudnnGraph::Parts {
  Parts(Device& on, const std::vector<std::string>& names) : library(open(names)), device(on) {}
  ~Parts() {
    for (const Descriptor each : std::ranges::reverse_view(owned)) library.destroy_descriptor(each);
    if (handle != nullptr) library.destroy(handle);
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  void expect(int status, const char* doing) const {
    if (status == 0) return;
    char detail[256] = "";
    library.last_error(detail, sizeof detail);
    std::string text = detail;
    if (const auto line = text.find('\n'); line != std::string::npos) text.resize(line);
    throw CudnnUnavailable(
        fmt::format("cuDNN refuses: {}{}{} ({})", library.error_string(status), text.empty() ? "" : ": ", text, doing));
  }
  Descriptor make(int kind, const char* doing) {
    Descriptor made = nullptr;
    expect(library.create_descriptor(kind, &made), doing);
    owned.push_back(made);
    return made;
  }
  template <typename Value>
  void set(Descriptor on, int attribute, int type, const Value& value, const char* doing) const {
    expect(library.set(on, attribute, type, 1, &value), doing);
  }
  void set_tensor(Descriptor on, int attribute, Tensor value) const {
    const Descriptor held = tensors.at(static_cast<std::size_t>(value.id - 1));
    set(on, attribute, kDescriptor, held, "naming a tensor");
  }
  void finish(Descriptor on, const char* doing) const { expect(library.finalize(on), doing); }

  Tensor add_tensor(Type type, const Shape& dims, const Shape& strides, bool is_virtual, bool by_value) {
    const char* const doing = "describing a tensor";
    const Descriptor made = make(kTensor, doing);
    tensors.push_back(made);
    const auto id = static_cast<std::int64_t>(tensors.size());
    set(made, kTensorType, kDataType, static_cast<int>(type), doing);
    expect(library.set(made, kTensorDimensions, kInt64, 4, dims.data()), doing);
    expect(library.set(made, kTensorStrides, kInt64, 4, strides.data()), doing);
    set(made, kTensorId, kInt64, id, doing);
    set(made, kTensorAlignment, kInt64, std::int64_t{16}, doing);
    set(made, kTensorVirtual, kBoolean, is_virtual, doing);
    set(made, kTensorByValue, kBoolean, by_value, doing);
    finish(made, doing);
    return {id};
  }

  // The first of the heuristic's proposals that can be made into a plan.
  bool plan_from(Descriptor graph, int mode) {
    const char* const doing = "asking for an engine";
    const Descriptor heuristic = make(kEngineHeuristic, doing);
    set(heuristic, kHeuristicGraph, kDescriptor, graph, doing);
    set(heuristic, kHeuristicMode, kHeurMode, mode, doing);
    if (library.finalize(heuristic) != 0) return false;
    std::vector<Descriptor> configs;
    for (std::int64_t i = 0; i < kMostConfigs; ++i) configs.push_back(make(kEngineConfig, doing));
    std::int64_t count = 0;
    if (library.get(heuristic, kHeuristicResults, kDescriptor, kMostConfigs, &count, configs.data()) != 0) return false;
    for (std::int64_t i = 0; i < count && i < kMostConfigs; ++i) {
      const Descriptor candidate = make(kExecutionPlan, doing);
      set(candidate, kPlanHandle, kHandle, handle, doing);
      set(candidate, kPlanConfig, kDescriptor, configs[static_cast<std::size_t>(i)], doing);
      if (library.finalize(candidate) != 0) continue;
      std::int64_t bytes = 0;
      std::int64_t one = 0;
      expect(library.get(candidate, kPlanWorkspace, kInt64, 1, &one, &bytes), "asking for the workspace");
      workspace = {device, static_cast<std::size_t>(bytes)};
      plan = candidate;
      return true;
    }
    return false;
  }

  Library library;
  Device& device;
  Handle handle = nullptr;
  std::vector<Descriptor> owned, tensors, operations;
  std::deque<std::pair<Tensor, std::array<std::byte, 4>>> scalars;  // by value: read from the host at every launch
  Descriptor plan = nullptr;
  DeviceBuffer<std::byte> workspace;
};

CudnnGraph::CudnnGraph(Device& device, const std::vector<std::string>& libraries)
    : parts_(std::make_unique<Parts>(device, libraries)) {
  parts_->expect(parts_->library.create(&parts_->handle), "opening cuDNN");
  parts_->expect(parts_->library.set_stream(parts_->handle, device.stream()), "giving cuDNN the stream");
}
CudnnGraph::~CudnnGraph() = default;

int CudnnGraph::version() const { return static_cast<int>(parts_->library.get_version()); }

CudnnGraph::Tensor CudnnGraph::tensor(Type type, const Shape& dims, const Shape& strides) {
  return parts_->add_tensor(type, dims, strides, false, false);
}
CudnnGraph::Tensor CudnnGraph::between(Type type, const Shape& dims, const Shape& strides) {
  return parts_->add_tensor(type, dims, strides, true, false);
}
CudnnGraph::Tensor CudnnGraph::scalar(float value) {
  const Tensor made = parts_->add_tensor(Type::f32, {1, 1, 1, 1}, {1, 1, 1, 1}, false, true);
  parts_->scalars.emplace_back(made, std::bit_cast<std::array<std::byte, 4>>(value));
  return made;
}
CudnnGraph::Tensor CudnnGraph::scalar(std::int32_t value) {
  const Tensor made = parts_->add_tensor(Type::int32, {1, 1, 1, 1}, {1, 1, 1, 1}, false, true);
  parts_->scalars.emplace_back(made, std::bit_cast<std::array<std::byte, 4>>(value));
  return made;
}

void CudnnGraph::matmul(Tensor a, Tensor b, Tensor c) {
  const char* const doing = "describing a product";
  Parts& p = *parts_;
  const Descriptor how = p.make(kMatmul, doing);
  p.set(how, kMatmulPrecision, kDataType, static_cast<int>(Type::f32), doing);
  p.finish(how, doing);
  const Descriptor made = p.make(kOperationMatmul, doing);
  p.set(made, kOpMatmul, kDescriptor, how, doing);
  p.set_tensor(made, kOpMatmulA, a);
  p.set_tensor(made, kOpMatmulB, b);
  p.set_tensor(made, kOpMatmulC, c);
  p.finish(made, doing);
  p.operations.push_back(made);
}

void CudnnGraph::pointwise(Pointwise mode, Tensor x, Tensor b, Tensor y, Type precision, Tensor t, std::int64_t axis) {
  const char* const doing = "describing an operation on elements";
  Parts& p = *parts_;
  const Descriptor how = p.make(kPointwise, doing);
  p.set(how, kPointwiseMode, kPointwiseModeType, static_cast<int>(mode), doing);
  p.set(how, kPointwisePrecision, kDataType, static_cast<int>(precision), doing);
  if (axis >= 0) p.set(how, kPointwiseAxis, kInt64, axis, doing);
  p.finish(how, doing);
  const Descriptor made = p.make(kOperationPointwise, doing);
  p.set(made, kOpPointwise, kDescriptor, how, doing);
  p.set_tensor(made, kOpPointwiseX, x);
  if (b.id != 0) p.set_tensor(made, kOpPointwiseB, b);
  if (t.id != 0) p.set_tensor(made, kOpPointwiseT, t);
  p.set_tensor(made, kOpPointwiseY, y);
  p.finish(made, doing);
  p.operations.push_back(made);
}

void CudnnGraph::reduce(Reduction mode, Tensor x, Tensor y) {
  const char* const doing = "describing a reduction";
  Parts& p = *parts_;
  const Descriptor how = p.make(kReduction, doing);
  p.set(how, kReductionOperator, kReductionOperatorType, static_cast<int>(mode), doing);
  p.set(how, kReductionPrecision, kDataType, static_cast<int>(Type::f32), doing);
  p.finish(how, doing);
  const Descriptor made = p.make(kOperationReduction, doing);
  p.set(made, kOpReduction, kDescriptor, how, doing);
  p.set_tensor(made, kOpReductionX, x);
  p.set_tensor(made, kOpReductionY, y);
  p.finish(made, doing);
  p.operations.push_back(made);
}

void CudnnGraph::plan() {
  const char* const doing = "describing the graph";
  Parts& p = *parts_;
  const Descriptor graph = p.make(kOperationGraph, doing);
  p.set(graph, kGraphHandle, kHandle, p.handle, doing);
  p.expect(p.library.set(graph, kGraphOperations, kDescriptor, static_cast<std::int64_t>(p.operations.size()),
                         p.operations.data()),
           doing);
  p.finish(graph, doing);
  if (p.plan_from(graph, kHeurModeA) || p.plan_from(graph, kHeurModeFallback)) return;
  char detail[256] = "";
  p.library.last_error(detail, sizeof detail);
  std::string text = detail;
  if (const auto line = text.find('\n'); line != std::string::npos) text.resize(line);
  throw CudnnUnavailable(
      fmt::format("cuDNN {} has no engine for this graph here{}{}", version(), text.empty() ? "" : ": ", text));
}

void CudnnGraph::enqueue(const std::vector<Bound>& tensors) const {
  const Parts& p = *parts_;
  std::vector<std::int64_t> ids;
  std::vector<void*> data;
  for (const Bound& each : tensors) {
    ids.push_back(each.tensor.id);
    data.push_back(each.data);
  }
  for (const auto& [tensor, value] : p.scalars) {
    ids.push_back(tensor.id);
    data.push_back(const_cast<std::byte*>(value.data()));
  }
  const auto count = static_cast<std::int64_t>(ids.size());
  void* const workspace = p.workspace.data();
  Descriptor pack = nullptr;
  int status = p.library.create_descriptor(kVariantPack, &pack);
  if (status == 0) status = p.library.set(pack, kPackIds, kInt64, count, ids.data());
  if (status == 0) status = p.library.set(pack, kPackPointers, kPointer, count, data.data());
  if (status == 0) status = p.library.set(pack, kPackWorkspace, kPointer, 1, &workspace);
  if (status == 0) status = p.library.finalize(pack);
  if (status == 0) status = p.library.execute(p.handle, p.plan, pack);
  if (pack != nullptr) p.library.destroy_descriptor(pack);
  if (status != 0)
    throw DeviceError(p.library.error_string(status), fmt::format("cuDNN status {}", status),
                      "enqueuing a graph of cuDNN");
}

}  // namespace assay::substrate::cuda
