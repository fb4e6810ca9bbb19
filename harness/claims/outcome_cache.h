#pragma once
// Verdicts that took long to compute, kept by the hash of all they follow from: the claim's row, its configurations,
// the descriptors of its machines and models, and the program itself. A changed program starts an empty cache.
#include <optional>
#include <string>

#include "harness/claims/evaluate.h"

namespace assay::harness::claims {

class OutcomeCache {
 public:
  // Below `folder`; "" keeps nothing. What cannot be read or written is computed again: never an error.
  explicit OutcomeCache(const std::string& folder);
  // $ASSAY_CACHE, else assay below $XDG_CACHE_HOME or ~/.cache; "" where none of them is set.
  static std::string default_folder();

  std::optional<Outcome> find(const std::string& key, const Claim& claim) const;
  void keep(const std::string& key, const Outcome& outcome) const;

 private:
  std::string file_of(const std::string& key) const;
  std::string folder_;  // of this program's outcomes
};

// What the outcome follows from but the program; nothing where a descriptor is missing.
std::optional<std::string> outcome_key(const Claim& claim, const Library& library, std::string_view data_root);

// The kept outcome or a new one, kept when it took longer than reading one would.
Outcome evaluate_cached(const Claim& claim, const Library& library, std::string_view data_root,
                        const OutcomeCache& cache, FindProjector find = registered_projector);

}  // namespace assay::harness::claims
