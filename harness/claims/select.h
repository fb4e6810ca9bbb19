#pragma once
// Which claims a name or a family means.
#include <string>
#include <vector>

#include "harness/claims/claim.h"

namespace assay::harness::claims {

// `name`: an arXiv id (2307.08691), a technique id or its last part, with #key for one claim of it; "" means all.
// `family`: a folder (attention, parallelism/sequence) or its last part; "" means all. Unknown names are UserErrors
// with the nearest ones.
std::vector<const Claim*> select(const Library& library, const std::string& name, const std::string& family);

// The row with that id; else UserError beginning with `where` and the nearest ids.
const Claim& find_claim(const Library& library, const std::string& id, const std::string& where);

}  // namespace assay::harness::claims
