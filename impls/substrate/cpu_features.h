#pragma once
// What the processor we run on can do, and the instruction sets a kernel may be asked to use.
#include <string>
#include <string_view>
#include <vector>

namespace assay::substrate {

enum class Isa { portable, avx2, avx512, avx512_bf16, amx };

std::string_view to_string(Isa isa);  // portable, avx2, avx512, avx512-bf16, amx

// "" when code for `isa` can run here, else why it cannot. Asking about amx also asks the kernel for permission to use
// the tile registers (arch_prctl ARCH_REQ_XCOMP_PERM), once per process.
std::string missing(Isa isa);
inline bool available(Isa isa) { return missing(isa).empty(); }

// CPUs this process may run on, in ascending order.
std::vector<int> allowed_cpus();

}  // namespace assay::substrate
