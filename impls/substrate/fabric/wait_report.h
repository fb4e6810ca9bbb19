#pragma once
// The texts of a broken exchange, the same on every fabric.
#include <string>

#include "impls/substrate/fabric/fabric.h"

namespace assay::substrate {

// "rank 1 waits to receive 64 B 'kv' from rank 0, posted at ring.cpp:41"
std::string describe_wait(int rank, const Half& half);
// Throws ContractViolation when the two halves of one message differ in tag or size.
void check_match(int sender, const Half& send, int receiver, const Half& receive);

}  // namespace assay::substrate
