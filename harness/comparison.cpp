#include "harness/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/axis_words.h"
#include "harness/params.h"
#include "harness/suite.h"
#include "results_db/metrics.h"

namespace assay::harness {
namespace {

using results_db::CaseRecord;
using results_db::CaseRow;
using results_db::LaunchSummary;
using results_db::Provenance;

// Everything that identifies a case, by name.
std::map<std::string, std::string> identity(const CaseRecord& record) {
  std::map<std::string, std::string> fields = {{"technique", record.technique},
                                               {"backend", record.backend},
                                               {"fabric", record.fabric},
                                               {"timer", record.timer},
                                               {"cache", record.cache}};
  const Params params = Params::from_json(record.parameters_json);
  for (const auto& [name, value] : params.values()) fields[name] = to_text(value);
  return fields;
}

bool technique_is(const std::string& id, const std::string& asked) {
  return id == asked || (asked.find('/') == std::string::npos && id.ends_with("/" + asked));
}

std::vector<const CaseRow*> selected(const Selector& selector, const std::vector<CaseRow>& cases) {
  std::vector<const CaseRow*> out;
  for (const CaseRow& row : cases)
    if (matches(selector, row.record)) out.push_back(&row);
  return out;
}

std::set<std::string> axes_of(const std::vector<const CaseRow*>& rows) {
  std::set<std::string> names;
  for (const CaseRow* row : rows)
    for (const auto& [name, value] : identity(row->record)) names.insert(name);
  return names;
}

// As in a case's key: the usual timer and cache state are not written.
bool goes_without_saying(const std::string& field, const std::string& value) {
  return value.empty() || (field == "timer" && value == "host") || (field == "cache" && value == "hot");
}

// The field in which two cases of one side differ, for the advice.
std::string differing_field(const CaseRecord& one, const CaseRecord& other) {
  const auto right = identity(other);
  for (const auto& [name, value] : identity(one)) {
    const auto found = right.find(name);
    if (found == right.end() || found->second != value) return name;
  }
  return "technique";
}

std::map<std::string, const CaseRow*> by_join_key(const std::vector<const CaseRow*>& rows,
                                                  const std::set<std::string>& on, const Selector& selector) {
  std::map<std::string, const CaseRow*> out;
  for (const CaseRow* row : rows) {
    std::string key;
    for (const auto& [name, value] : identity(row->record))
      if (on.contains(name)) key += name + "=" + value + "\n";
    const auto [at, added] = out.emplace(key, row);
    if (!added) {
      const std::string field = differing_field(at->second->record, row->record);
      throw UserError(fmt::format("compare: '{}' selects two cases for one comparison, {} and {}; pin {}=",
                                  selector.text, at->second->record.key, row->record.key, field));
    }
  }
  return out;
}

const results_db::Metric* metric_of(const LaunchSummary& launch, const std::string& name) {
  for (const auto& metric : launch.metrics)
    if (metric.name == name) return &metric;
  return nullptr;
}

std::vector<const LaunchSummary*> launches_with(const std::vector<LaunchSummary>& all, std::int64_t case_id,
                                                const std::string& metric) {
  std::vector<const LaunchSummary*> out;
  for (const LaunchSummary& launch : all)
    if (launch.case_id == case_id && launch.status == results_db::Status::ok && metric_of(launch, metric) != nullptr)
      out.push_back(&launch);
  return out;
}

bool has_direction(const std::string& metric) {
  const auto* definition = results_db::find_metric(metric);
  return definition != nullptr && definition->better != results_db::Better::neither;
}

// Metrics that any launch of the case has, the usual ones first.
std::vector<std::string> candidates(const std::vector<LaunchSummary>& all, std::int64_t case_id) {
  std::vector<std::string> names = {"time", "step_time"};
  for (const LaunchSummary& launch : all) {
    if (launch.case_id != case_id) continue;
    for (const auto& metric : launch.metrics)
      if (has_direction(metric.name) && std::find(names.begin(), names.end(), metric.name) == names.end())
        names.push_back(metric.name);
  }
  return names;
}

struct Sides {
  std::vector<const LaunchSummary*> a, b;
};

std::string why_not_measured(const std::vector<LaunchSummary>& all, std::int64_t case_id) {
  for (const LaunchSummary& launch : all)
    if (launch.case_id == case_id && launch.status != results_db::Status::ok)
      return fmt::format("{}: {}", results_db::to_string(launch.status), launch.reason);
  return "no launch";
}

double first_value(const std::vector<const LaunchSummary*>& launches, const std::string& metric) {
  for (const LaunchSummary* launch : launches)
    if (const auto* found = metric_of(*launch, metric)) return found->value;
  return std::numeric_limits<double>::quiet_NaN();
}

class Comparing {
 public:
  Comparing(results_db::Store& store, const Selector& a, const Selector& b, const std::string& metric,
            const Enrich& enrich)
      : metric_(metric), enrich_(enrich) {
    result_.selector_a = a;
    result_.selector_b = b;
    result_.run_a = find_run(store, a);
    result_.run_b = find_run(store, b);
    if (!metric.empty() && !has_direction(metric))
      throw UserError(fmt::format(
          "compare: --metric {}: not a metric with a better direction; expected time, flops_rate ...", metric));
    launches_a_ = store.summaries(result_.run_a.id);
    launches_b_ = result_.run_a.id == result_.run_b.id ? launches_a_ : store.summaries(result_.run_b.id);
    result_.environment = environment_differences(result_.run_a, result_.run_b);
    Join joined = join(a, store.cases_of(result_.run_a.id), b, store.cases_of(result_.run_b.id));
    result_.matched = joined.cases.size();
    result_.only_a = std::move(joined.only_a);
    result_.only_b = std::move(joined.only_b);
    for (const JoinedCase& item : joined.cases) {
      if (result_.run_a.id == result_.run_b.id && item.a.id == item.b.id)
        throw UserError(fmt::format("compare: '{}' and '{}' both select {} of run {}; nothing to compare with itself",
                                    a.text, b.text, item.a.record.key, result_.run_a.id.substr(0, 8)));
      add(item);
    }
  }

  Comparison judged(const stats::DecisionRule& rule) && {
    std::vector<stats::Decision> decisions = stats::decide(contests_, rule);
    for (std::size_t i = 0; i < decisions.size(); ++i) result_.cases[i].decision = std::move(decisions[i]);
    return std::move(result_);
  }

 private:
  std::optional<std::string> choose_metric(const JoinedCase& item) const {
    const std::vector<std::string> wanted = metric_.empty() ? candidates(launches_a_, item.a.id) : std::vector{metric_};
    for (const std::string& name : wanted)
      if (!launches_with(launches_a_, item.a.id, name).empty() && !launches_with(launches_b_, item.b.id, name).empty())
        return name;
    return std::nullopt;
  }

  void leave_out(const JoinedCase& item) {
    const auto has = [&](const std::vector<LaunchSummary>& all, std::int64_t id, results_db::Status status) {
      return std::any_of(all.begin(), all.end(),
                         [&](const LaunchSummary& launch) { return launch.case_id == id && launch.status == status; });
    };
    const bool a_is_why = has(launches_a_, item.a.id, results_db::Status::failed) ||
                          (!has(launches_b_, item.b.id, results_db::Status::failed) &&
                           !has(launches_a_, item.a.id, results_db::Status::ok));
    const std::string why =
        a_is_why ? "A " + why_not_measured(launches_a_, item.a.id) : "B " + why_not_measured(launches_b_, item.b.id);
    result_.not_compared.emplace_back(item.name, metric_.empty() ? why : why + fmt::format(" (metric {})", metric_));
  }

  void add(const JoinedCase& item) {
    std::optional<std::string> metric = choose_metric(item);
    if (!metric) return leave_out(item);
    ComparedCase row;
    row.name = item.name;
    row.key_a = item.a.record.key;
    row.key_b = item.b.record.key;
    row.id_a = item.a.id;
    row.id_b = item.b.id;
    Sides sides = {launches_with(launches_a_, item.a.id, *metric), launches_with(launches_b_, item.b.id, *metric)};
    const double work_a = first_value(sides.a, "flops");
    const double work_b = first_value(sides.b, "flops");
    if (metric_.empty() && std::abs(work_a - work_b) > 1e-9 * std::abs(work_a)) {
      metric = "flops_rate";
      row.note = "declared work differs: rates compared";
      sides = {launches_with(launches_a_, item.a.id, *metric), launches_with(launches_b_, item.b.id, *metric)};
      if (sides.a.empty() || sides.b.empty()) return leave_out(item);
    }
    const auto* first_a = metric_of(*sides.a.front(), *metric);
    const auto* first_b = metric_of(*sides.b.front(), *metric);
    if (first_a->provenance != first_b->provenance) {
      result_.not_compared.emplace_back(item.name,
                                        fmt::format("A is {}, B is {}", results_db::to_string(first_a->provenance),
                                                    results_db::to_string(first_b->provenance)));
      return;
    }
    row.metric = *metric;
    row.unit = first_a->unit;
    row.provenance = first_a->provenance;
    row.same_code = !sides.a.front()->code_hash.empty() && sides.a.front()->code_hash == sides.b.front()->code_hash;

    stats::Contest contest;
    std::vector<double> values;
    const auto side = [&](const std::vector<const LaunchSummary*>& launches, std::vector<stats::Launch>& out) {
      values.clear();
      for (const LaunchSummary* launch : launches) {
        out.push_back({metric_of(*launch, *metric)->value, launch->started_ns});
        values.push_back(out.back().value);
      }
      return stats::median(values);
    };
    row.value_a = side(sides.a, contest.a);
    row.value_b = side(sides.b, contest.b);
    const auto* definition = results_db::find_metric(*metric);
    contest.direction = definition->better == results_db::Better::lower ? stats::Direction::lower_is_better
                                                                        : stats::Direction::higher_is_better;
    contest.exact = row.provenance != Provenance::measured && row.provenance != Provenance::emulated;
    if (enrich_ && !contest.exact) enrich_(row, contest);
    contests_.push_back(std::move(contest));
    result_.cases.push_back(std::move(row));
  }

  std::string metric_;
  const Enrich& enrich_;
  std::vector<LaunchSummary> launches_a_, launches_b_;
  std::vector<stats::Contest> contests_;
  Comparison result_;
};

// What moves from one minute to the next is no difference of environments.
bool is_volatile(const std::string& pointer) {
  for (const char* word : {"load", "available", "free", "used", "current", "steal", "warnings", "schema_version"})
    if (pointer.find(word) != std::string::npos) return true;
  return false;
}

void add_json_differences(const std::string& prefix, const std::string& left, const std::string& right,
                          std::vector<EnvironmentDifference>& out) {
  const auto flat = [](const std::string& text) {
    const auto parsed = nlohmann::json::parse(text.empty() ? "{}" : text, nullptr, false);
    return parsed.is_object() ? parsed.flatten() : nlohmann::json::object();
  };
  const auto a = flat(left);
  const auto b = flat(right);
  const auto text = [](const nlohmann::json& object, const std::string& key) -> std::string {
    if (!object.contains(key)) return "";
    return object[key].is_string() ? object[key].get<std::string>() : object[key].dump();
  };
  std::set<std::string> keys;
  for (const auto& [key, value] : a.items()) keys.insert(key);
  for (const auto& [key, value] : b.items()) keys.insert(key);
  for (const std::string& key : keys) {
    if (is_volatile(key) || text(a, key) == text(b, key)) continue;
    std::string name = key.substr(1);
    std::replace(name.begin(), name.end(), '/', '.');
    out.push_back({prefix + name, text(a, key), text(b, key)});
  }
}

}  // namespace

Selector parse_selector(std::string_view text) {
  Selector selector;
  selector.text = std::string(text);
  selector.run = "latest";
  std::string_view rest = text;
  const std::size_t colon = text.find(':');
  const std::size_t equals = text.find('=');
  if (colon != std::string_view::npos && (equals == std::string_view::npos || colon < equals)) {
    selector.run = std::string(text.substr(0, colon));
    selector.names_run = true;
    rest = text.substr(colon + 1);
  } else if (equals == std::string_view::npos) {
    selector.run = std::string(text);
    selector.names_run = true;
    rest = "";
  }
  if (selector.run.empty())
    throw UserError(fmt::format("compare: '{}' names no run; expected RUN, KEY=VALUE,... or RUN:KEY=VALUE,...", text));
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    const std::string_view term = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    const std::size_t sign = term.find('=');
    if (sign == std::string_view::npos || sign == 0 || sign + 1 == term.size())
      throw UserError(fmt::format("compare: '{}': found '{}', expected KEY=VALUE", text, term));
    const std::string_view key = term.substr(0, sign);
    const bool of_run = key == "commit" || key == "machine" || key == "tag" || key == "suite";
    (of_run ? selector.of_run : selector.where).emplace_back(full_axis_name(key), term.substr(sign + 1));
  }
  return selector;
}

bool matches(const Selector& selector, const CaseRecord& record) {
  const auto fields = identity(record);
  return std::all_of(selector.where.begin(), selector.where.end(), [&](const auto& term) {
    const auto& [name, value] = term;
    if (name == "technique") return technique_is(record.technique, value);
    if (name == "family") return in_family(record.technique, value);
    if (name == "case") return record.key == value;
    const auto found = fields.find(name);
    return found != fields.end() && same_axis_value(found->second, value);
  });
}

results_db::RunRecord find_run(results_db::Store& store, const Selector& selector) {
  if (selector.of_run.empty()) return store.find_run(selector.run);
  const auto has = [](const results_db::RunRecord& run, const std::string& key, const std::string& value) {
    if (key == "commit") return run.build.commit.starts_with(value);
    if (key == "machine") return run.machine.name == value || run.machine.id.starts_with(value);
    if (key == "suite") return run.suite == value;
    return std::find(run.tags.begin(), run.tags.end(), value) != run.tags.end();
  };
  std::vector<results_db::RunRecord> fitting;  // newest first
  for (results_db::RunRecord& run : store.runs())
    if (std::all_of(selector.of_run.begin(), selector.of_run.end(),
                    [&](const auto& term) { return has(run, term.first, term.second); }))
      fitting.push_back(std::move(run));
  std::string terms;
  for (const auto& [key, value] : selector.of_run) terms += (terms.empty() ? "" : ", ") + key + "=" + value;
  if (fitting.empty()) throw UserError(fmt::format("compare: '{}': no run has {}", selector.text, terms));
  if (!selector.run.starts_with("latest")) {
    const results_db::RunRecord named = store.find_run(selector.run);
    for (const auto& run : fitting)
      if (run.id == named.id) return run;
    throw UserError(fmt::format("compare: '{}': run {} does not have {}", selector.text, named.id.substr(0, 8), terms));
  }
  std::size_t back = 0;
  if (selector.run.size() > 6) {
    const auto [end, error] = std::from_chars(selector.run.data() + 7, selector.run.data() + selector.run.size(), back);
    if (selector.run[6] != '~' || error != std::errc() || end != selector.run.data() + selector.run.size())
      throw UserError(
          fmt::format("compare: '{}': found '{}', expected latest or latest~N", selector.text, selector.run));
  }
  if (back >= fitting.size())
    throw UserError(fmt::format("compare: '{}': {} runs have {}", selector.text, fitting.size(), terms));
  return fitting[back];
}

Join join(const Selector& a, const std::vector<CaseRow>& cases_a, const Selector& b,
          const std::vector<CaseRow>& cases_b) {
  const auto rows_a = selected(a, cases_a);
  const auto rows_b = selected(b, cases_b);
  if (rows_a.empty() || rows_b.empty()) {  // nothing to agree in
    Join alone;
    for (const CaseRow* row : rows_a) alone.only_a.push_back(row->record.key);
    for (const CaseRow* row : rows_b) alone.only_b.push_back(row->record.key);
    return alone;
  }
  const std::set<std::string> axes_a = axes_of(rows_a);
  const std::set<std::string> axes_b = axes_of(rows_b);
  std::set<std::string> on;
  std::set_intersection(axes_a.begin(), axes_a.end(), axes_b.begin(), axes_b.end(), std::inserter(on, on.end()));
  for (const Selector* selector : {&a, &b}) {
    for (const auto& [name, value] : selector->where) {
      if (name == "case") on.clear();
      on.erase(name == "family" ? "technique" : name);
    }
  }
  const auto keyed_a = by_join_key(rows_a, on, a);
  const auto keyed_b = by_join_key(rows_b, on, b);

  // What the joined cases agree in goes without saying in the names, as long as something is left to tell them apart.
  std::set<std::string> varies;
  for (const std::string& name : on) {
    std::set<std::string> values;
    for (const auto& [key, row] : keyed_a) {
      const auto fields = identity(row->record);
      const auto found = fields.find(name);
      values.insert(found == fields.end() ? "" : found->second);
    }
    if (values.size() > 1) varies.insert(name);
  }
  Join out;
  for (const CaseRow* row : rows_a) {
    std::string key;
    std::string name;
    for (const auto& [field, value] : identity(row->record)) {
      if (!on.contains(field)) continue;
      key += field + "=" + value + "\n";
      if (!varies.contains(field) || goes_without_saying(field, value)) continue;
      if (field == "technique")
        name = value + (name.empty() ? "" : " " + name);
      else
        name += (name.empty() ? "" : " ") + field + "=" + value;
    }
    const auto found = keyed_b.find(key);
    if (found == keyed_b.end())
      out.only_a.push_back(row->record.key);
    else
      out.cases.push_back({name.empty() ? row->record.key : name, *row, *found->second});
  }
  for (const CaseRow* row : rows_b) {
    std::string key;
    for (const auto& [field, value] : identity(row->record))
      if (on.contains(field)) key += field + "=" + value + "\n";
    if (!keyed_a.contains(key)) out.only_b.push_back(row->record.key);
  }
  return out;
}

int Comparison::count(stats::Verdict verdict) const {
  return static_cast<int>(std::count_if(cases.begin(), cases.end(),
                                        [&](const ComparedCase& row) { return row.decision.verdict == verdict; }));
}

std::vector<EnvironmentDifference> environment_differences(const results_db::RunRecord& a,
                                                           const results_db::RunRecord& b) {
  std::vector<EnvironmentDifference> out;
  if (a.id == b.id) return out;
  const auto differ = [&](const char* what, const std::string& left, const std::string& right) {
    if (left != right) out.push_back({what, left, right});
  };
  if (a.machine.id != b.machine.id) {
    differ("machine", a.machine.name, b.machine.name);
    differ("machine.cpu", a.machine.cpu, b.machine.cpu);
    differ("machine.cores", std::to_string(a.machine.cores), std::to_string(b.machine.cores));
    add_json_differences("machine.", a.machine.facts_json, b.machine.facts_json, out);
    if (out.empty()) out.push_back({"machine", a.machine.id, b.machine.id});
  }
  if (a.build.id != b.build.id) {
    const std::size_t before = out.size();
    // A build that is known by its contents only differs as a whole.
    if (a.build.compiler.empty() != b.build.compiler.empty()) {
      const auto named = [](const results_db::BuildRecord& build) {
        if (!build.compiler.empty()) return build.commit.substr(0, 12) + (build.dirty ? " (dirty)" : "");
        const auto facts = nlohmann::json::parse(build.facts_json.empty() ? "{}" : build.facts_json, nullptr, false);
        return facts.is_object() ? facts.value("program", build.id) : build.id;
      };
      out.push_back({"build", named(a.build), named(b.build)});
      add_json_differences("", a.environment_json, b.environment_json, out);
      return out;
    }
    differ("build.commit", a.build.commit + (a.build.dirty ? " (dirty)" : ""),
           b.build.commit + (b.build.dirty ? " (dirty)" : ""));
    differ("build.compiler", a.build.compiler, b.build.compiler);
    differ("build.flags", a.build.flags, b.build.flags);
    add_json_differences("build.", a.build.facts_json, b.build.facts_json, out);
    if (out.size() == before) out.push_back({"build", a.build.id, b.build.id});
  }
  add_json_differences("", a.environment_json, b.environment_json, out);
  // The same fact may be told by the machine and by the run.
  std::set<std::string> seen;
  std::erase_if(out, [&](const EnvironmentDifference& one) {
    const std::string last = one.what.substr(one.what.rfind('.') + 1);
    return !seen.insert(last + "\n" + one.a + "\n" + one.b).second;
  });
  return out;
}

Comparison compare(results_db::Store& store, const Selector& a, const Selector& b, const stats::DecisionRule& rule,
                   const std::string& metric, const Enrich& enrich) {
  return Comparing(store, a, b, metric, enrich).judged(rule);
}

}  // namespace assay::harness
