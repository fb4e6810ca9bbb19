// In place of the .cu files: the entry points, on the emulated device.
#include "host_device.h"
#include "impls/attention/cuda/emulator/kernels.h"

namespace assay::attention::cuda {
namespace {

template <class Problem>
using Emulated = emulator::Findings (*)(const Problem&, int, ElementType, std::vector<emulator::Region>&,
                                        std::uint64_t);

template <class Problem>
void run(Emulated<Problem> emulated, const Problem& problem, int head_dim, ElementType element) {
  HostDevice& device = *HostDevice::current();
  std::vector<emulator::Region> memory = device.regions();
  device.note(emulated(problem, head_dim, element, memory, 0));
}

}  // namespace

void flash_attention_2_forward(const ForwardProblem& problem, int head_dim, ElementType element, CUstream_st*) {
  run(emulator::flash_attention_2_forward, problem, head_dim, element);
}
void flash_attention_2_backward(const BackwardProblem& problem, int head_dim, ElementType element, CUstream_st*) {
  run(emulator::flash_attention_2_backward, problem, head_dim, element);
}
void flash_decoding(const DecodeProblem& problem, int head_dim, ElementType element, CUstream_st*) {
  run(emulator::flash_decoding, problem, head_dim, element);
}
void hopper_decoding(const DecodeProblem& problem, int head_dim, ElementType element, CUstream_st*) {
  run(emulator::hopper_decoding, problem, head_dim, element);
}
void naive_attention(const NaiveProblem& problem, int head_dim, ElementType element, CUstream_st*) {
  run(emulator::naive_attention, problem, head_dim, element);
}
void flash_attention_1(const FlashAttention1Problem& problem, int head_dim, ElementType element, CUstream_st*) {
  run(emulator::flash_attention_1, problem, head_dim, element);
}
void flash_attention_3_forward(const FlashAttention3Problem& problem, int head_dim, ElementType element, CUstream_st*) {
  run(emulator::flash_attention_3_forward, problem, head_dim, element);
}
void flash_attention_3_backward(const BackwardProblem& problem, int head_dim, ElementType element, CUstream_st*) {
  run(emulator::flash_attention_3_backward, problem, head_dim, element);
}

}  // namespace assay::attention::cuda
