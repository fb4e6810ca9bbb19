#pragma once
// The language of the filter box: words separated by spaces, all of which must hold.
//   flash                 somewhere in the technique, the key or the written parameters
//   dtype=bf16,fp16       one of these values; technique, family, backend, fabric, timer, cache, provenance, status,
//   axes seq>=4k  seq=1k..16k  numbers as people write them; < > <= >= and ranges -word  -key=value     not
//   metric=throughput     has such a value
//   verdict=slower        of a comparison or a claim; where there is none it hides nothing
//   tag=nightly           of the run, as are suite, machine and commit: which runs a history and the list of runs show
//   /flash-.*-2/          a regular expression over the key
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "gui/model/run_data.h"

namespace assay::gui {

enum class Comparison { contains, equals, differs, less, at_most, more, at_least, expression };

// What a term asks for, read once: a keystroke asks thousands of cases.
struct FilterValue {
  std::string text;                 // as typed
  std::string small;                // in small letters
  std::optional<double> number;     // where it is one
  bool range = false;               // LOW..HIGH
  std::optional<double> low, high;  // of a range; none: open
};

struct FilterTerm {
  Comparison comparison = Comparison::contains;
  bool negated = false;
  std::string field;                // as typed, its short form resolved
  std::vector<FilterValue> values;  // one, or the alternatives of =
  std::optional<std::regex> expression;
};

struct Filter {
  std::string text;
  std::vector<FilterTerm> terms;
  std::string problem;  // one line about what could not be read; such a term is left out
};

Filter parse_filter(const std::string& text);
bool matches(const Filter& filter, const CaseResult& result);
// Also for things that are no cases (runs, claims): only words, expressions and `verdict` (where there is one) count.
bool matches_text(const Filter& filter, const std::string& text, const std::string& verdict = {});
// Two cases held against each other. A relation has to hold for one of them.
struct Pair {
  const CaseResult* a = nullptr;  // null: nothing is known of that side
  const CaseResult* b = nullptr;
  std::string keys;      // what expressions look at
  std::string searched;  // what words look at, in small letters
  std::string verdict;
};
bool matches(const Filter& filter, const Pair& pair);

// A run: words and expressions as above, and those about runs.
bool matches_run(const Filter& filter, const results_db::RunRecord& run);
// The words about runs, as typed: what a history depends on beside its case.
std::string run_words(const Filter& filter);

// What can be filtered by: fields and their values. Only what exists: of the cases that `filter` leaves, and of the
// runs.
using Vocabulary = std::map<std::string, std::set<std::string>, std::less<>>;
Vocabulary vocabulary(const RunData& data, const Filter& filter, const std::vector<results_db::RunRecord>& runs = {});

// Ways to go on with the last word of `text`: fields, then their values.
std::vector<std::string> completions(const std::string& text, const Vocabulary& words);
std::string words_before_last(const std::string& text);  // with the space after them

}  // namespace assay::gui
