#pragma once
// The language of the filter box: words separated by spaces, all of which must hold.
//   flash                 somewhere in the technique, the key or the written parameters
//   dtype=bf16,fp16       one of these values; technique, family, backend, fabric, timer, cache, provenance, status,
//   axes seq>=4k  seq=1k..16k  numbers as people write them; < > <= >= and ranges -word  -key=value     not
//   /flash-.*-2/          a regular expression over the key
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "gui/model/run_data.h"

namespace assay::gui {

enum class Comparison { contains, equals, differs, less, at_most, more, at_least, expression };

struct FilterTerm {
  Comparison comparison = Comparison::contains;
  bool negated = false;
  std::string field;                // as typed, its short form resolved
  std::vector<std::string> values;  // one, or the alternatives of =
  std::optional<std::regex> expression;
};

struct Filter {
  std::string text;
  std::vector<FilterTerm> terms;
  std::string problem;  // one line about what could not be read; such a term is left out
};

Filter parse_filter(const std::string& text);
bool matches(const Filter& filter, const CaseResult& result);
// Also for things that are no cases (runs, claims): only words and expressions count, over `text`.
bool matches_text(const Filter& filter, const std::string& text);

// Ways to go on with the last word of `text`: fields of the run's cases, then their values. Only combinations that
// exist.
std::vector<std::string> completions(const std::string& text, const RunData& data);

}  // namespace assay::gui
