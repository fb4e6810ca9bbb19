#pragma once
// Published claims as closed data (schema: docs/claims.md), read from suites/claims or from a user's file.
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/machine.h"
#include "harness/params.h"

namespace assay::harness::claims {

enum class Form { ratio, absolute, difference, exact, boolean };
enum class Bound { point, at_least, at_most, up_to, range };
enum class RowKind { claim, target, check };  // target: a kernel library's anchor; check: a structural identity
const char* to_string(Form form);
const char* to_string(Bound bound);
const char* to_string(RowKind kind);

struct Configuration {
  std::string id;
  std::string model, device, cluster, dtype, workload;  // "" where the row names none
  int ranks = 1;
  Params axes;
  std::vector<std::string> assumed;
  std::string file;
  int line = 0;
};

struct Claim {
  RowKind table = RowKind::claim;
  std::string id;         // technique#key
  std::string technique;  // the part before '#'
  std::string key;
  std::string baseline;  // technique id, "external:NAME", or ""
  std::string quantity;
  Form form = Form::absolute;
  Bound bound = Bound::point;
  double value = 0;          // of every bound but range
  double low = 0, high = 0;  // of a range
  std::string unit;
  std::vector<std::string> configurations;
  std::string kind;    // projected | real | both | untestable
  std::string source;  // abstract | full-text | artifact | secondary | recalled | derived
  std::string group;   // headline | table
  std::string published, paper, arxiv, where, note;
  std::vector<std::string> flags;
  std::string file;
  int line = 0;

  bool flagged(std::string_view flag) const;
};

// One broken rule: where it stands, what was found and what was expected.
struct Fault {
  std::string file;
  int line = 0;
  std::string id;   // of the row, "" outside rows
  std::string key;  // "" where the row as a whole is wrong
  std::string found, expected;
  std::string text() const;  // "file:line: id: key is ..., expected ..."
};

// All rows of one or several claim files and the models of their facts files.
struct Library {
  std::vector<Claim> claims;
  // Models of the facts files: family file ("attention") -> id. A family's own facts come before another's.
  std::map<std::string, std::map<std::string, datasets::Model, std::less<>>, std::less<>> models;
  std::map<std::string, int, std::less<>> rows_by_file;
  std::map<std::string, std::map<std::string, Configuration, std::less<>>, std::less<>> configurations;  // file -> id

  // The configuration of a row; ids are unique in a file.
  const Configuration& configuration(const Claim& claim, std::string_view id) const;
  const datasets::Model* model(const Claim& claim, std::string_view id) const;  // null where no facts file has it
};

// Reads claim files (*.claims.toml; *.facts.toml for models), collecting every fault instead of stopping at the first.
Library read_library(const std::vector<std::string>& files, std::vector<Fault>& faults);

// Every file of <suites>/claims. A fault is a UserError that shows the first and counts the rest.
Library load_library(std::string_view suites_root);
// One user's file in the same schema, under the same checks.
Library load_file(const std::string& file);

}  // namespace assay::harness::claims
