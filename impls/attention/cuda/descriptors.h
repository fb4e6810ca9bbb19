#pragma once
// The two descriptors of sm_90a that say how a tile lies in memory: that of a tensor in global memory for the copy
// engine (TMA), and that of an operand in shared memory for wgmma. Both are for 16-bit elements in the 128-byte
// swizzle: a tile is panels of 64 columns, one after the other; in a panel a row is 128 bytes whose 16-byte chunks are
// turned by the row, as swizzled<64>() says. A panel starts at a multiple of 1024 bytes, where the pattern starts.
#include "impls/attention/cuda/geometry.h"

namespace assay::attention::cuda {

inline constexpr int kPanelColumns = 64;
inline constexpr std::uint32_t kPanelRowBytes = 128;
inline constexpr std::uint32_t kPatternBytes = 1024;  // eight rows of a panel, after which the swizzle repeats

// What cuTensorMapEncodeTiled is told. A tensor [B, heads, rows, d] in five dimensions, the first contiguous: columns
// of a panel, rows, panels of a row, heads, sequences; so that one copy brings whole rows of a tile. Rows beyond the
// tensor's are zeros when loaded and left out when stored.
struct TiledTensor {
  const void* address = nullptr;
  std::uint64_t sizes[5] = {};
  std::uint64_t strides[4] = {};  // bytes, of dimensions 1 to 4
  std::uint32_t box[5] = {};      // elements of a copy

  ASSAY_HOST_DEVICE std::uint32_t box_bytes() const { return box[0] * box[1] * box[2] * box[3] * box[4] * 2; }
};

ASSAY_HOST_DEVICE TiledTensor tiled(const Matrix& matrix, int batch, int heads, int rows, int head_dim, int box_rows) {
  const auto size = [](std::int64_t n) { return static_cast<std::uint64_t>(n); };
  // A single sequence is never stepped over; its stride must be one all the same.
  const std::int64_t batch_stride = batch > 1 ? matrix.batch : matrix.head * heads;
  return {matrix.data,
          {kPanelColumns, size(rows), size(head_dim / kPanelColumns), size(heads), size(batch)},
          {size(matrix.row * 2), kPanelRowBytes, size(matrix.head * 2), size(batch_stride * 2)},
          {kPanelColumns, static_cast<std::uint32_t>(box_rows), static_cast<std::uint32_t>(head_dim / kPanelColumns), 1,
           1}};
}

// CUtensorMap: opaque, made by the driver for the device (encode_tensor.cu) and by the emulator for itself.
struct alignas(128) TensorMap {
  std::uint64_t words[16] = {};
};
using EncodeTensor = TensorMap (*)(const TiledTensor& tensor);

// wgmma's matrix descriptor (PTX ISA, "Matrix Descriptor Format"): bits 0-13 start address, 16-29 leading and 32-45
// stride byte offset, all three without their low four bits; 49-51 base offset, 0 for patterns that start at multiples
// of 1024; 62-63 swizzle, 1 for 128 bytes.
ASSAY_HOST_DEVICE std::uint64_t operand(std::uint32_t address, std::uint32_t leading, std::uint32_t stride) {
  const auto field = [](std::uint32_t bytes) { return static_cast<std::uint64_t>((bytes & 0x3ffffU) >> 4); };
  return field(address) | field(leading) << 16 | field(stride) << 32 | 1ULL << 62;
}
// The operand whose depth runs along its rows (Q, K): eight rows to the next eight is the stride; there is no leading
// offset in a swizzled layout. 16 of its 64 columns are a step of 32 bytes in the start address.
ASSAY_HOST_DEVICE std::uint64_t operand_by_rows(std::uint32_t address) { return operand(address, 16, kPatternBytes); }
// The operand whose depth is its rows (V as the right side): eight rows to the next eight is the stride, one panel to
// the next the leading offset.
ASSAY_HOST_DEVICE std::uint64_t operand_by_columns(std::uint32_t address, std::uint32_t panel_bytes) {
  return operand(address, panel_bytes, kPatternBytes);
}

}  // namespace assay::attention::cuda
