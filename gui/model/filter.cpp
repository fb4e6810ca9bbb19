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

FilterValue value_of(const std::string& typed) {
  FilterValue value{typed, lower(typed), number(typed), false, {}, {}};
  const std::size_t range = typed.find("..");
  if (range == std::string::npos) return value;
  value.range = true;
  value.low = number(typed.substr(0, range));
  value.high = number(typed.substr(range + 2));
  return value;
}

bool equal(const Field& field, const std::string& name, const FilterValue& wanted) {
  if (wanted.range && field.number)
    return (!wanted.low || *field.number >= *wanted.low) && (!wanted.high || *field.number <= *wanted.high);
  if (lower(field.text) == wanted.small) return true;
  if (name == "technique" || name == "family") return field.text.ends_with("/" + wanted.text);
  return field.number && wanted.number && *field.number == *wanted.number;
}

// Still being typed: it hides nothing yet.
bool is_typed(const FilterTerm& term) { return term.values.empty() && term.comparison != Comparison::expression; }

bool is_relation(const FilterTerm& term) {
  return term.comparison == Comparison::equals || term.comparison == Comparison::differs;
}

// A case by itself has no verdict.
bool is_of_verdict(const FilterTerm& term) { return is_relation(term) && term.field == "verdict"; }

bool verdict_holds(const FilterTerm& term, const std::string& verdict) {
  const bool any = std::any_of(term.values.begin(), term.values.end(),
                               [&](const FilterValue& wanted) { return lower(verdict).starts_with(wanted.small); });
  return any != (term.comparison == Comparison::differs);
}

// What a term says of runs holds for every case of one.
bool is_of_runs(const FilterTerm& term) {
  return is_relation(term) &&
         (term.field == "tag" || term.field == "suite" || term.field == "machine" || term.field == "commit");
}

bool has_metric(const FilterTerm& term, const CaseResult& result) {
  const bool any = std::any_of(term.values.begin(), term.values.end(),
                               [&](const FilterValue& wanted) { return result.value(wanted.small) != nullptr; });
  return any != (term.comparison == Comparison::differs);
}

bool holds(const FilterTerm& term, const CaseResult& result) {
  if (term.comparison == Comparison::expression) return std::regex_search(result.info.record.key, *term.expression);
  if (term.comparison == Comparison::contains)
    return result.info.searched.find(term.values.front().small) != std::string::npos;
  if (term.field == "metric") return has_metric(term, result);
  const auto field = field_of(result, term.field);
  if (!field) return false;
  const auto any = [&] {
    return std::any_of(term.values.begin(), term.values.end(),
                       [&](const FilterValue& wanted) { return equal(*field, term.field, wanted); });
  };
  if (term.comparison == Comparison::equals) return any();
  if (term.comparison == Comparison::differs) return !any();
  const auto& bound = term.values.front().number;
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
  for (const std::string& typed : split(word.substr(first + sign->first.size()), ','))
    term.values.push_back(value_of(typed));
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
      if (ordered && !found->values.empty() && !found->values.front().number) {
        filter.problem = fmt::format("{} is no number (4k, 1024)", found->values.front().text);
        continue;
      }
      term = std::move(*found);
    } else {
      term.values = {{word, lower(word), {}, false, {}, {}}};
    }
    filter.terms.push_back(std::move(term));
  }
  return filter;
}

bool matches(const Filter& filter, const CaseResult& result) {
  return std::all_of(filter.terms.begin(), filter.terms.end(), [&](const FilterTerm& term) {
    return is_typed(term) || is_of_runs(term) || is_of_verdict(term) || holds(term, result) != term.negated;
  });
}

bool matches(const Filter& filter, const Pair& pair) {
  return std::all_of(filter.terms.begin(), filter.terms.end(), [&](const FilterTerm& term) {
    if (is_typed(term) || is_of_runs(term)) return true;
    if (is_of_verdict(term)) return verdict_holds(term, pair.verdict) != term.negated;
    bool found = false;
    if (term.comparison == Comparison::expression)
      found = std::regex_search(pair.keys, *term.expression);
    else if (term.comparison == Comparison::contains)
      found = pair.searched.find(term.values.front().small) != std::string::npos;
    else if (pair.a == nullptr && pair.b == nullptr)
      return true;
    else
      found = (pair.a != nullptr && holds(term, *pair.a)) || (pair.b != nullptr && holds(term, *pair.b));
    return found != term.negated;
  });
}

bool matches_text(const Filter& filter, const std::string& text, const std::string& verdict) {
  const std::string small = lower(text);
  return std::all_of(filter.terms.begin(), filter.terms.end(), [&](const FilterTerm& term) {
    if (is_typed(term)) return true;
    bool found = true;
    if (is_of_verdict(term))
      found = verdict.empty() ? !term.negated : verdict_holds(term, verdict);
    else if (term.comparison == Comparison::expression)
      found = std::regex_search(text, *term.expression);
    else if (term.comparison == Comparison::contains)
      found = small.find(term.values.front().small) != std::string::npos;
    else if (term.comparison == Comparison::equals && (term.field == "technique" || term.field == "family"))
      found = std::any_of(term.values.begin(), term.values.end(),
                          [&](const FilterValue& value) { return small.find(value.small) != std::string::npos; });
    else
      return true;  // a field such things do not have
    return found != term.negated;
  });
}

bool matches_run(const Filter& filter, const results_db::RunRecord& run) {
  return std::all_of(filter.terms.begin(), filter.terms.end(), [&](const FilterTerm& term) {
    if (!is_of_runs(term) || term.values.empty()) return true;
    const auto is = [&](const FilterValue& wanted) {
      if (term.field == "tag")
        return std::any_of(run.tags.begin(), run.tags.end(),
                           [&](const std::string& tag) { return lower(tag) == wanted.small; });
      if (term.field == "suite") return lower(run.suite) == wanted.small;
      if (term.field == "commit") return lower(run.build.commit).starts_with(wanted.small);
      return lower(run.machine.name) == wanted.small;
    };
    const bool any = std::any_of(term.values.begin(), term.values.end(), is);
    return (any != (term.comparison == Comparison::differs)) != term.negated;
  });
}

std::string run_words(const Filter& filter) {
  std::string words;
  for (const FilterTerm& term : filter.terms) {
    if (!is_of_runs(term)) continue;
    words += (term.negated ? "-" : "") + term.field + (term.comparison == Comparison::differs ? "!=" : "=");
    for (const FilterValue& value : term.values) words += value.text + ",";
    words.back() = ' ';  // for the last comma, or the sign that no value follows
  }
  return words;
}

Vocabulary vocabulary(const RunData& data, const Filter& filter, const std::vector<results_db::RunRecord>& runs) {
  Vocabulary words;
  const auto add = [&](std::string_view name, const std::string& value) {
    if (value.empty()) return;
    auto at = words.find(name);
    if (at == words.end()) at = words.emplace(name, std::set<std::string>()).first;
    at->second.insert(value);
  };
  for (const CaseResult& result : data.cases) {
    if (!matches(filter, result)) continue;
    add("technique", result.info.name);
    add("family", result.info.family);
    add("backend", result.info.record.backend);
    add("fabric", result.info.record.fabric);
    add("status", to_string(result.status));
    if (const Value* value = result.main_value()) add("provenance", to_string(value->provenance));
    for (const Value& value : result.values) add("metric", value.metric);
    for (const Parameter& parameter : result.info.parameters) add(parameter.name, parameter.text);
  }
  for (const char* verdict : {"faster", "slower", "same", "unsure"}) add("verdict", verdict);
  for (const results_db::RunRecord& run : runs) {
    add("suite", run.suite);
    add("machine", run.machine.name);
    for (const std::string& tag : run.tags) add("tag", tag);
  }
  return words;
}

std::string words_before_last(const std::string& text) {
  const std::size_t space = text.rfind(' ');
  return space == std::string::npos ? "" : text.substr(0, space + 1);
}

std::vector<std::string> completions(const std::string& text, const Vocabulary& words) {
  const std::string before = words_before_last(text);
  const std::string word = lower(text.substr(before.size()));
  const std::size_t equals = word.find('=');
  std::set<std::string> found;
  if (equals != std::string::npos) {
    const std::string name = resolved(word.substr(0, equals)), start = word.substr(equals + 1);
    if (const auto values = words.find(name); values != words.end())
      for (const std::string& value : values->second)
        if (lower(value).starts_with(start)) found.insert(name + "=" + value);
  } else {
    for (const auto& [name, values] : words) {
      if (name.starts_with(word)) found.insert(name + "=");
      if (word.empty()) continue;
      for (const std::string& value : values)
        if (lower(value).starts_with(word)) found.insert(name + "=" + value);
    }
  }
  std::vector<std::string> lines;
  for (const std::string& ending : found) lines.push_back(before + ending);
  return lines;
}

}  // namespace assay::gui
