#pragma once
// What listing and completion take from a results database that may not exist yet: a missing one has nothing to say.
#include <map>
#include <string>
#include <vector>

namespace assay::cli {

struct Score {
  std::string run;
  int caught = 0;
  int total = 0;
};
using Scores = std::map<std::string, Score, std::less<>>;  // by technique id

// Mutants the gate rejected in the newest run that gated the technique. Empty when the file is absent; a file that
// cannot be read is told on standard error, since a list is worth having without it.
Scores mutation_scores(const std::string& database);

struct StoredRun {
  std::string id;
  std::string suite;
};
std::vector<StoredRun> stored_runs(const std::string& database);  // newest first; empty when it cannot be read

}  // namespace assay::cli
