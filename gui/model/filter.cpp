#include "gui/model/filter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "datasets/quantity.h"
#include "datasets/user_error.h"

namespace assay::gui {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char letter) { return std::tolower(letter); });
  return text;
}

std::string resolved(const std::string& field) {
  static const std::map<std::string, std::string> longer = {{"seq", "sequence_length"}, {"d", "head_dim"}};
  const auto found = longer.find(field);
  return found == longer.end() ? field : found->second;
}

std::optional<double> number(const std::string& text) {
  try {
    return datasets::parse_quantity(text, datasets::Dimension::count, "");
  } catch (const UserError&) {
    return std::nullopt;
  }
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::size_t start = 0;
  for (std::size_t at = text.find(separator); at != std::string::npos; at = text.find(separator, start)) {
    parts.push_back(text.substr(start, at - start));
    start = at + 1;
  }
  parts.push_back(text.substr(start));
  std::erase(parts, "");
  return parts;
}

// Stored text of a field of a case, and its number where it is one.
struct Field {
  std::string text;
  std::optional<double> number;
};

std::optional<Field> field_of(const CaseResult& result, const std::string& name) {
  const auto& record = result.info.record;
  if (name == "technique") return Field{record.technique, {}};
  if (name == "family") return Field{result.info.family, {}};
  if (name == "backend") return Field{record.backend, {}};
  if (name == "fabric") return Field{record.fabric, {}};
  if (name == "timer") return Field{record.timer, {}};
  if (name == "cache") return Field{record.cache, {}};
  if (name == "status") return Field{to_string(result.status), {}};
  if (name == "provenance") {
    const Value* value = result.main_value();
    return Field{value == nullptr ? "" : to_string(value->provenance), {}};
  }
  if (const Parameter* parameter = result.info.parameter(name)) return Field{parameter->text, parameter->number};
  return std::nullopt;
}

bool equal(const Field& field, const std::string& name, const std::string& wanted) {
  if (const std::size_t range = wanted.find(".."); range != std::string::npos && field.number) {
    const auto low = number(wanted.substr(0, range));
    const auto high = number(wanted.substr(range + 2));
    return (!low || *field.number >= *low) && (!high || *field.number <= *high);
  }
  if (lower(field.text) == lower(wanted)) return true;
  if (name == "technique") return field.text.ends_with("/" + wanted);
  if (name == "family") return field.text.ends_with("/" + wanted);
  const auto as_number = number(wanted);
  return field.number && as_number && *field.number == *as_number;
}

bool holds(const FilterTerm& term, const CaseResult& result) {
  if (term.comparison == Comparison::expression) return std::regex_search(result.info.record.key, *term.expression);
  if (term.comparison == Comparison::contains)
    return result.info.searched.find(term.values.front()) != std::string::npos;
  if (term.values.empty()) return true;  // still being typed
  const auto field = field_of(result, term.field);
  if (!field) return false;
  const auto any = [&] {
    return std::any_of(term.values.begin(), term.values.end(),
                       [&](const std::string& wanted) { return equal(*field, term.field, wanted); });
  };
  if (term.comparison == Comparison::equals) return any();
  if (term.comparison == Comparison::differs) return !any();
  const auto bound = number(term.values.front());
  if (!bound || !field->number) return false;
  switch (term.comparison) {
    case Comparison::less:
      return *field->number < *bound;
    case Comparison::at_most:
      return *field->number <= *bound;
    case Comparison::more:
      return *field->number > *bound;
    default:
      return *field->number >= *bound;
  }
}

// `word` as field, sign and value; nothing when it is a plain word.
std::optional<FilterTerm> relation(const std::string& word) {
  static const std::vector<std::pair<std::string, Comparison>> signs = {
      {"!=", Comparison::differs}, {">=", Comparison::at_least}, {"<=", Comparison::at_most},
      {"=", Comparison::equals},   {">", Comparison::more},      {"<", Comparison::less}};
  std::size_t first = std::string::npos;
  const std::pair<std::string, Comparison>* sign = nullptr;
  for (const auto& candidate : signs) {
    const std::size_t at = word.find(candidate.first);
    if (at != std::string::npos && at < first) {
      first = at;
      sign = &candidate;
    }
  }
  if (sign == nullptr || first == 0) return std::nullopt;
  FilterTerm term;
  term.comparison = sign->second;
  term.field = resolved(lower(word.substr(0, first)));
  term.values = split(word.substr(first + sign->first.size()), ',');
  return term;
}

}  // namespace

Filter parse_filter(const std::string& text) {
  Filter filter;
  filter.text = text;
  for (std::string word : split(text, ' ')) {
    FilterTerm term;
    if (word.size() > 1 && word.front() == '-') {
      term.negated = true;
      word.erase(0, 1);
    }
    if (word.size() > 2 && word.front() == '/' && word.back() == '/') {
      try {
        term.expression = std::regex(word.substr(1, word.size() - 2), std::regex::icase);
        term.comparison = Comparison::expression;
      } catch (const std::regex_error&) {
        filter.problem = fmt::format("{} is no regular expression", word);
        continue;
      }
    } else if (auto found = relation(word)) {
      found->negated = term.negated;
      const bool ordered = found->comparison != Comparison::equals && found->comparison != Comparison::differs;
      if (ordered && !found->values.empty() && !number(found->values.front())) {
        filter.problem = fmt::format("{} is no number (4k, 1024)", found->values.front());
        continue;
      }
      term = std::move(*found);
    } else {
      term.values = {lower(word)};
    }
    filter.terms.push_back(std::move(term));
  }
  return filter;
}

bool matches(const Filter& filter, const CaseResult& result) {
  return std::all_of(filter.terms.begin(), filter.terms.end(),
                     [&](const FilterTerm& term) { return holds(term, result) != term.negated; });
}

bool matches_text(const Filter& filter, const std::string& text) {
  const std::string small = lower(text);
  return std::all_of(filter.terms.begin(), filter.terms.end(), [&](const FilterTerm& term) {
    bool found = true;
    if (term.comparison == Comparison::expression)
      found = std::regex_search(text, *term.expression);
    else if (term.comparison == Comparison::contains)
      found = small.find(term.values.front()) != std::string::npos;
    else if (term.comparison == Comparison::equals && (term.field == "technique" || term.field == "family"))
      found = std::any_of(term.values.begin(), term.values.end(),
                          [&](const std::string& value) { return small.find(lower(value)) != std::string::npos; });
    else
      return true;  // a field such things do not have
    return found != term.negated;
  });
}

std::vector<std::string> completions(const std::string& text, const RunData& data) {
  const std::size_t space = text.rfind(' ');
  const std::string before = space == std::string::npos ? "" : text.substr(0, space + 1);
  const std::string word = text.substr(before.size());
  std::set<std::string> found;
  // Only what the words before leave over can be added to them.
  const Filter earlier = parse_filter(before);
  const std::size_t equals = word.find('=');
  for (const CaseResult& result : data.cases) {
    if (!matches(earlier, result)) continue;
    std::vector<std::pair<std::string, std::string>> fields = {{"technique", result.info.name},
                                                               {"family", result.info.family},
                                                               {"backend", result.info.record.backend},
                                                               {"fabric", result.info.record.fabric},
                                                               {"status", to_string(result.status)}};
    if (const Value* value = result.main_value()) fields.emplace_back("provenance", to_string(value->provenance));
    for (const Parameter& parameter : result.info.parameters) fields.emplace_back(parameter.name, parameter.text);
    for (const auto& [name, value] : fields) {
      if (value.empty()) continue;
      if (equals == std::string::npos) {
        if (!word.empty() && lower(value).starts_with(lower(word))) found.insert(name + "=" + value);
        if (name.starts_with(lower(word))) found.insert(name + "=");
      } else if (name == resolved(lower(word.substr(0, equals))) &&
                 lower(value).starts_with(lower(word.substr(equals + 1)))) {
        found.insert(name + "=" + value);
      }
    }
  }
  std::vector<std::string> lines;
  for (const std::string& ending : found) lines.push_back(before + ending);
  return lines;
}

}  // namespace assay::gui
