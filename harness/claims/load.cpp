// Reads claim files and holds every row against the closed schema. Faults are collected, so that one look at the output
// is enough to mend a file.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <toml++/toml.h>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

#include "datasets/content_hash.h"
#include "datasets/nearest_names.h"
#include "datasets/user_error.h"
#include "harness/claims/claim.h"
#include "harness/claims/quantities.h"

namespace assay::harness::claims {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string_view>;

const Words kRowKeys{"id",    "baseline", "quantity",      "form", "bound",  "value", "low",
                     "high",  "unit",     "configuration", "kind", "source", "group", "published",
                     "paper", "arxiv",    "where",         "note", "flags"};
const Words kNeeded{"id", "quantity", "form", "bound", "unit", "kind", "source", "group", "published"};
const Words kConfigurationKeys{"id", "model", "device", "cluster", "ranks", "dtype", "workload", "axes", "assumed"};
const Words kForms{"ratio", "absolute", "difference", "exact", "bool"};
const Words kBounds{"point", "at_least", "at_most", "up_to", "range"};
const Words kKinds{"projected", "real", "both", "untestable"};
const Words kSources{"abstract", "full-text", "artifact", "secondary", "recalled", "derived"};
const Words kGroups{"headline", "table"};

bool among(const Words& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string shown(const toml::node& node) {
  if (const auto text = node.value_exact<std::string>()) return fmt::format("'{}'", *text);
  if (const auto whole = node.value_exact<std::int64_t>()) return fmt::format("{}", *whole);
  if (const auto number = node.value_exact<double>()) return fmt::format("{}", *number);
  if (const auto flag = node.value_exact<bool>()) return *flag ? "true" : "false";
  return node.is_table() ? "a table" : node.is_array() ? "a list" : "a date";
}

bool snake_case(std::string_view name) {
  return !name.empty() && name.front() >= 'a' && name.front() <= 'z' &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

// One table of a file under inspection: every accessor that finds something wrong adds a fault and returns a default.
class Row {
 public:
  Row(const toml::table& table, std::string file, std::vector<Fault>& faults)
      : table_(table), file_(std::move(file)), faults_(faults) {
    if (const auto id = table_["id"].value_exact<std::string>()) id_ = *id;
  }

  const std::string& id() const { return id_; }
  int line() const { return static_cast<int>(table_.source().begin.line); }
  bool has(std::string_view key) const { return table_.contains(key); }

  void fault(std::string_view key, std::string found, std::string expected) const {
    const toml::node* node = table_.get(key);
    const int at = node != nullptr ? static_cast<int>(node->source().begin.line) : line();
    faults_.push_back({file_, at, id_, std::string(key), std::move(found), std::move(expected)});
  }

  void only(const Words& keys) const {
    for (const auto& [key, node] : table_) {
      if (!among(keys, key.str())) {
        fault(key.str(), "an unknown key", fmt::format("one of {}", fmt::join(keys, ", ")));
      }
    }
  }

  std::string text(std::string_view key) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return "";
    const auto value = node->value_exact<std::string>();
    if (!value) fault(key, shown(*node), "text");
    return value.value_or("");
  }

  std::string word(std::string_view key, const Words& allowed) const {
    const std::string value = text(key);
    if (has(key) && !among(allowed, value)) {
      fault(key, fmt::format("'{}'", value), fmt::format("one of {}", fmt::join(allowed, ", ")));
    }
    return value;
  }

  std::optional<double> number(std::string_view key) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return std::nullopt;
    if (!node->is_number()) {
      fault(key, shown(*node), "a number in base units");
      return std::nullopt;
    }
    return node->value<double>();
  }

  std::vector<std::string> words(std::string_view key, bool one_is_enough) const {
    std::vector<std::string> all;
    const toml::node* node = table_.get(key);
    if (node == nullptr) return all;
    if (one_is_enough && node->is_string()) return {*node->value<std::string>()};
    const toml::array* list = node->as_array();
    const bool good = list != nullptr &&
                      std::all_of(list->begin(), list->end(), [](const toml::node& item) { return item.is_string(); });
    if (!good) {
      fault(key, shown(*node), one_is_enough ? "an id or a list of ids" : "a list of texts");
      return all;
    }
    for (const toml::node& item : *list) all.push_back(*item.value<std::string>());
    return all;
  }

  const toml::table& table() const { return table_; }

 private:
  const toml::table& table_;
  std::string file_;
  std::vector<Fault>& faults_;
  std::string id_;
};

template <class Enum>
Enum chosen(const Words& words, const std::string& word) {
  const auto at = std::find(words.begin(), words.end(), word);
  return at == words.end() ? Enum{} : static_cast<Enum>(at - words.begin());
}

Configuration read_configuration(const Row& row, const std::string& file) {
  row.only(kConfigurationKeys);
  Configuration configuration;
  configuration.id = row.text("id");
  if (!row.has("id")) row.fault("id", "missing", "technique short id / short name");
  configuration.model = row.text("model");
  configuration.device = row.text("device");
  configuration.cluster = row.text("cluster");
  configuration.dtype = row.text("dtype");
  configuration.workload = row.text("workload");
  configuration.assumed = row.words("assumed", false);
  configuration.file = file;
  configuration.line = row.line();
  if (const auto ranks = row.number("ranks")) {
    if (*ranks < 1 || *ranks != static_cast<int>(*ranks)) {
      row.fault("ranks", fmt::format("{}", *ranks), "a whole number of at least 1");
    } else {
      configuration.ranks = static_cast<int>(*ranks);
    }
  }
  const toml::node* axes = row.table().get("axes");
  if (axes == nullptr) return configuration;
  if (!axes->is_table()) {
    row.fault("axes", shown(*axes), "a table of numbers and texts");
    return configuration;
  }
  for (const auto& [key, node] : *axes->as_table()) {
    const std::string name(key.str());
    if (!snake_case(name)) row.fault("axes", fmt::format("the name '{}'", name), "axis names in snake_case");
    if (const auto whole = node.value_exact<std::int64_t>()) {
      configuration.axes.set(name, *whole);
    } else if (const auto number = node.value_exact<double>()) {
      configuration.axes.set(name, *number);
    } else if (const auto text = node.value_exact<std::string>()) {
      configuration.axes.set(name, *text);
    } else {
      row.fault("axes", fmt::format("{} = {}", name, shown(node)), "a number or a text");
    }
  }
  return configuration;
}

// The rules of one claim, target or check row that need no other row.
Claim read_claim(const Row& row, RowKind kind, const std::string& file) {
  row.only(kRowKeys);
  for (const std::string_view key : kNeeded) {
    if (!row.has(key)) row.fault(key, "missing", "every row has one");
  }
  Claim claim;
  claim.table = kind;
  claim.file = file;
  claim.line = row.line();
  claim.id = row.text("id");
  const std::size_t hash = claim.id.find('#');
  claim.technique = claim.id.substr(0, hash);
  if (row.has("id") && (hash == std::string::npos || hash + 1 == claim.id.size() ||
                        claim.id.find('#', hash + 1) != std::string::npos || !is_technique_id(claim.technique))) {
    row.fault("id", fmt::format("'{}'", claim.id), "family/technique#key");
  } else if (hash != std::string::npos) {
    claim.key = claim.id.substr(hash + 1);
  }
  const std::string form = row.word("form", kForms);
  claim.form = chosen<Form>(kForms, form);
  const bool compared = form == "ratio" || form == "difference";
  claim.bound = chosen<Bound>(kBounds, row.word("bound", kBounds));
  claim.kind = row.word("kind", kKinds);
  claim.source = row.word("source", kSources);
  claim.group = row.word("group", kGroups);
  claim.quantity = row.text("quantity");
  if (row.has("quantity") && find_quantity(claim.quantity) == nullptr) {
    std::vector<std::string> names;
    for (const Quantity& known : quantities()) names.emplace_back(known.name);
    row.fault("quantity", fmt::format("'{}'", claim.quantity),
              fmt::format("one of the closed list (nearest: {})",
                          fmt::join(datasets::nearest_names(claim.quantity, names), ", ")));
  }
  claim.unit = row.word("unit", units());
  if (form == "ratio" && row.has("unit") && claim.unit != "1") {
    row.fault("unit", fmt::format("'{}'", claim.unit), "1, as every ratio has");
  }
  claim.baseline = row.text("baseline");
  if (compared && !row.has("baseline")) {
    row.fault("baseline", "missing", "a technique id or external:NAME, as a ratio or difference needs one");
  }
  if (row.has("baseline") && !is_technique_id(claim.baseline) &&
      (!claim.baseline.starts_with("external:") || claim.baseline.size() == std::string_view("external:").size())) {
    row.fault("baseline", fmt::format("'{}'", claim.baseline), "a technique id or external:NAME");
  }
  if (claim.bound == Bound::range) {
    const auto low = row.number("low"), high = row.number("high");
    claim.low = low.value_or(0);
    claim.high = high.value_or(0);
    if (!row.has("low") || !row.has("high")) {
      row.fault(row.has("low") ? "high" : "low", "missing", "low and high, as a range needs");
    } else if (low && high && claim.low > claim.high) {
      row.fault("low", fmt::format("{} above high = {}", claim.low, claim.high), "low <= high");
    }
  } else if (const auto value = row.number("value")) {
    claim.value = *value;
    if (form == "bool" && claim.value != 0 && claim.value != 1) {
      row.fault("value", fmt::format("{}", claim.value), "0 or 1, as a bool has");
    }
  } else if (!row.has("value")) {
    row.fault("value", "missing", "a number in base units");
  }
  claim.configurations = row.words("configuration", true);
  claim.flags = row.words("flags", false);
  claim.published = row.text("published");
  claim.paper = row.text("paper");
  claim.arxiv = row.text("arxiv");
  claim.where = row.text("where");
  claim.note = row.text("note");
  if (kind == RowKind::claim && claim.kind != "untestable" && claim.configurations.empty()) {
    row.fault("configuration", "missing", "the id of a configuration, as a testable claim needs");
  }
  if (claim.kind == "untestable" && claim.note.empty()) {
    row.fault("note", "missing", "the reason why the claim is untestable");
  }
  return claim;
}

// The rows of the array of tables `name`; another shape is a fault.
std::vector<const toml::table*> tables(const toml::table& document, std::string_view name, const std::string& file,
                                       std::vector<Fault>& faults) {
  std::vector<const toml::table*> rows;
  const toml::node* node = document.get(name);
  if (node == nullptr) return rows;
  if (const toml::array* list = node->as_array()) {
    for (const toml::node& item : *list) {
      if (const toml::table* row = item.as_table()) rows.push_back(row);
    }
    if (rows.size() == list->size()) return rows;
  }
  faults.push_back({file, static_cast<int>(node->source().begin.line), "", std::string(name), shown(*node),
                    fmt::format("rows headed [[{}]]", name)});
  return {};
}

std::optional<toml::table> parse(const std::string& file, std::vector<Fault>& faults) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) {
    faults.push_back({file, 0, "", "", "no readable file", "a claims file in TOML"});
    return std::nullopt;
  }
  std::ostringstream text;
  text << stream.rdbuf();
  try {
    return toml::parse(text.str(), file);
  } catch (const toml::parse_error& wrong) {
    faults.push_back(
        {file, static_cast<int>(wrong.source().begin.line), "", "", std::string(wrong.description()), "TOML"});
    return std::nullopt;
  }
}

void check_schema(const toml::table& document, const Words& keys, bool version_needed, const std::string& file,
                  std::vector<Fault>& faults) {
  const toml::node* version = document.get("schema");
  if (version == nullptr ? version_needed : version->value<std::int64_t>() != 2) {
    faults.push_back({file, version == nullptr ? 1 : static_cast<int>(version->source().begin.line), "", "schema",
                      version == nullptr ? "missing" : shown(*version), "schema = 2"});
  }
  for (const auto& [key, node] : document) {
    if (!among(keys, key.str())) {
      faults.push_back({file, static_cast<int>(node.source().begin.line), "", std::string(key.str()),
                        "an unknown table", fmt::format("one of {}", fmt::join(keys, ", "))});
    }
  }
}

void read_facts(const std::string& file, Library& library, std::vector<Fault>& faults) {
  const auto document = parse(file, faults);
  if (!document) return;
  check_schema(*document, {"schema", "model", "device", "cluster"}, false, file, faults);
  auto& models = library.models[fs::path(file).filename().string()];
  for (const std::string_view table : {"model", "device", "cluster"}) {
    std::set<std::string> seen;
    for (const toml::table* entry : tables(*document, table, file, faults)) {
      const Row row(*entry, file, faults);
      if (row.id().empty()) {
        row.fault("id", "missing", "the id that configurations name");
      } else if (!seen.insert(row.id()).second) {
        row.fault("id", "an id that stands twice", fmt::format("one [[{}]] an id", table));
      }
      if (table != "model") continue;
      datasets::Model model;
      model.id = row.id();
      model.source = row.text("source");
      model.file = fmt::format("{}:{}", file, row.line());
      for (const auto& [key, node] : *entry) {
        if (const auto number = node.value<double>(); number && node.is_number()) {
          model.numbers.emplace(std::string(key.str()), *number);
        } else if (node.is_boolean()) {
          model.numbers.emplace(std::string(key.str()), *node.value<bool>() ? 1 : 0);
        }
      }
      model.reconstructed = row.words("reconstructed", false);
      std::string content = model.source;
      for (const auto& [key, value] : model.numbers) content += fmt::format("|{}={}", key, value);
      model.hash = datasets::content_hash(content);
      models.insert_or_assign(model.id, std::move(model));
    }
  }
}

void read_claims(const std::string& file, Library& library, std::vector<Fault>& faults,
                 std::map<std::string, std::string>& seen) {
  const auto document = parse(file, faults);
  if (!document) return;
  check_schema(*document, {"schema", "configuration", "claim", "target", "check"}, true, file, faults);
  auto& configurations = library.configurations[file];
  for (const toml::table* entry : tables(*document, "configuration", file, faults)) {
    const Row row(*entry, file, faults);
    Configuration configuration = read_configuration(row, file);
    if (configurations.contains(configuration.id)) {
      row.fault("id", "an id that stands twice", "one [[configuration]] an id in a file");
      continue;
    }
    configurations.emplace(configuration.id, std::move(configuration));
  }
  std::vector<std::string> known;
  for (const RowKind kind : {RowKind::claim, RowKind::target, RowKind::check}) {
    for (const toml::table* entry : tables(*document, to_string(kind), file, faults)) {
      const Row row(*entry, file, faults);
      Claim claim = read_claim(row, kind, file);
      const auto [first, fresh] = seen.emplace(claim.id, fmt::format("{}:{}", file, row.line()));
      if (!fresh && !claim.id.empty()) row.fault("id", "an id also at " + first->second, "ids unique over all files");
      for (const std::string& id : claim.configurations) {
        if (configurations.contains(id)) continue;
        if (known.empty()) {
          for (const auto& [name, configuration] : configurations) known.push_back(name);
        }
        row.fault("configuration", fmt::format("'{}', which is not defined", id),
                  fmt::format("a [[configuration]] of this file (nearest: {})",
                              fmt::join(datasets::nearest_names(id, known), ", ")));
      }
      ++library.rows_by_file[file];
      library.claims.push_back(std::move(claim));
    }
  }
}

[[noreturn]] void refuse(const std::vector<Fault>& faults) {
  throw UserError(faults.size() == 1
                      ? faults.front().text()
                      : fmt::format("{} (and {} more faults)", faults.front().text(), faults.size() - 1));
}

}  // namespace

Library read_library(const std::vector<std::string>& files, std::vector<Fault>& faults) {
  Library library;
  std::map<std::string, std::string> seen;
  for (const std::string& file : files) {
    if (file.ends_with(".facts.toml")) {
      read_facts(file, library, faults);
    } else {
      read_claims(file, library, faults, seen);
    }
  }
  return library;
}

Library load_library(std::string_view suites_root) {
  const fs::path folder = fs::path(suites_root) / "claims";
  std::vector<std::string> files;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder, missing)) {
    if (entry.path().extension() == ".toml") files.push_back(entry.path().string());
  }
  if (files.empty()) throw UserError(fmt::format("{}: no claim files, expected *.claims.toml", folder.string()));
  std::sort(files.begin(), files.end());
  std::vector<Fault> faults;
  Library library = read_library(files, faults);
  if (!faults.empty()) refuse(faults);
  return library;
}

Library load_file(const std::string& file) {
  std::vector<Fault> faults;
  Library library = read_library({file}, faults);
  if (!faults.empty()) refuse(faults);
  return library;
}

}  // namespace assay::harness::claims
