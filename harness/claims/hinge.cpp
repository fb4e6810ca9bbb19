#include "harness/claims/hinge.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/claims/grid.h"

namespace assay::harness::claims {
namespace {

constexpr double kSame = 1e-9;  // relative: a move below this changes nothing

struct Base {
  const Claim& claim;
  const Machines& machines;
  const std::vector<Setting>& settings;
  Projector technique;
  Projector baseline;
  double ours;
  Verdict verdict;

  HingeSide side(const std::string& text, const std::vector<Setting>& moved, const Machines& on) const {
    HingeSide side{.setting = text, .ours = {}};
    try {
      const Judgement judged = judge_grid(claim, evaluate_grid(claim, moved, on, technique, baseline));
      side.ours = judged.ours;
      side.verdict = judged.verdict;
    } catch (const Missing&) {  // the model has no answer there: the bar says so
    }
    return side;
  }
};

std::string shown(const Value& value) {
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return datasets::format_count(*whole);
  return to_text(value);
}

// "8k", or "512 to 16k" where the configurations differ.
template <class Of>
std::string nominal_text(const std::vector<Setting>& settings, Of&& of) {
  std::vector<std::string> texts;
  for (const Setting& setting : settings) {
    const std::string text = of(setting);
    if (std::find(texts.begin(), texts.end(), text) == texts.end()) texts.push_back(text);
  }
  if (texts.empty()) return "";
  return texts.size() == 1 ? texts.front() : fmt::format("{} to {}", texts.front(), texts.back());
}

// The other values worth trying for one that is `now`: at most two for numbers, all of a closed set.
struct Move {
  std::string text;
  std::function<Value(const Value&)> of;
};

std::vector<Move> moves_of(const Value& now, const Axis* axis) {
  std::vector<Move> moves;
  if (axis != nullptr && !axis->allowed.empty()) {
    for (const Value& value : axis->allowed)
      if (value != now) moves.push_back({shown(value), [value](const Value&) { return value; }});
    return moves;
  }
  if (const auto* whole = std::get_if<std::int64_t>(&now)) {
    if (axis != nullptr ? axis->minimum == 0 && *whole <= 1 : *whole == 0) {
      moves.push_back({"other", [](const Value& v) {
                         const auto* flag = std::get_if<std::int64_t>(&v);
                         return Value(std::int64_t{flag != nullptr && *flag == 0 ? 1 : 0});
                       }});
      return moves;
    }
    const auto least = static_cast<std::int64_t>(axis != nullptr ? axis->minimum : 1);
    moves.push_back({"half", [least](const Value& v) {
                       const auto* n = std::get_if<std::int64_t>(&v);
                       return n == nullptr ? v : Value(std::max(least, *n / 2));
                     }});
    moves.push_back({"double", [](const Value& v) {
                       const auto* n = std::get_if<std::int64_t>(&v);
                       return n == nullptr ? v : Value(*n * 2);
                     }});
  } else if (std::holds_alternative<double>(now)) {
    for (const double factor : {0.5, 2.0})
      moves.push_back({factor < 1 ? "half" : "double", [factor](const Value& v) {
                         const auto* x = std::get_if<double>(&v);
                         return x == nullptr ? v : Value(*x * factor);
                       }});
  }
  return moves;
}

bool mentions(const std::string& text, const std::string& axis) {
  std::string spaced = axis;
  std::replace(spaced.begin(), spaced.end(), '_', ' ');
  for (const std::string& name : {axis, spaced}) {
    for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
      const bool starts = at == 0 || std::isalnum(static_cast<unsigned char>(text[at - 1])) == 0;
      const std::size_t end = at + name.size();
      if (starts && (end == text.size() || std::isalnum(static_cast<unsigned char>(text[end])) == 0)) return true;
    }
  }
  return false;
}

// The axes of the technique's implementations; a name two of them share counts once.
std::map<std::string, const Axis*> axes_of(const Claim& claim) {
  std::map<std::string, const Axis*> axes;
  const Technique* technique = find_technique(claim.technique);
  if (technique == nullptr) return axes;
  for (const Implementation& implementation : technique->implementations)
    for (const Axis& axis : implementation.axes) axes.emplace(axis.name, &axis);
  return axes;
}

class Bars {
 public:
  explicit Bars(const Base& base) : base_(base) {}

  void add(Hinge bar) {
    bool moved = false;
    for (const HingeSide& side : bar.sides) {
      if (!side.ours) {
        moved = true;
        continue;
      }
      const double reach = std::abs(*side.ours - base_.ours) / std::max(std::abs(base_.ours), 1e-300);
      moved = moved || reach > kSame;
      bar.reach = std::max(bar.reach, reach);
      bar.decides = bar.decides || side.verdict != base_.verdict;
    }
    if (!moved) {
      table_.without_move.push_back(bar.condition);
    } else {
      table_.hinges.push_back(std::move(bar));
    }
  }

  HingeTable finish() {
    std::stable_sort(table_.hinges.begin(), table_.hinges.end(),
                     [](const Hinge& a, const Hinge& b) { return a.reach > b.reach; });
    return std::move(table_);
  }

  HingeTable& table() { return table_; }

 private:
  const Base& base_;
  HingeTable table_;
};

void add_fitted(const Base& base, Bars& bars) {
  std::vector<Hinge> found;
  perturb(base.machines, [&](const std::string& constant, const Machines& moved) {
    if (found.empty() || found.back().condition != constant)
      found.push_back({.condition = constant, .kind = ConditionKind::fitted, .nominal = "", .sides = {}});
    const bool down = found.back().sides.empty();
    found.back().sides.push_back(base.side(down ? "low" : "high", base.settings, moved));
  });
  const auto residual = [&](const std::string& condition) {
    const auto dot = condition.find('.');
    const std::string machine = condition.substr(0, dot), key = condition.substr(dot + 1);
    if (const auto device = base.machines.devices.find(machine); device != base.machines.devices.end())
      return device->second.constants.at(key);
    return base.machines.clusters.at(machine).constants.at(key);
  };
  for (Hinge& bar : found) {
    const datasets::Constant constant = residual(bar.condition);
    bar.nominal = fmt::format("{:.3g}", constant.value);
    for (std::size_t i = 0; i < bar.sides.size(); ++i)
      bar.sides[i].setting = fmt::format("{}{:.1f}%", i == 0 ? "-" : "+", 100 * constant.p90_error);
    bars.add(std::move(bar));
  }
}

void add_axes(const Base& base, const std::vector<const Configuration*>& configurations, Bars& bars) {
  const auto declared = axes_of(base.claim);
  std::set<std::string> named;
  for (const Setting& setting : base.settings)
    for (const auto& [name, value] : setting.axes.values()) named.insert(name);
  std::set<std::string> assumed;
  for (const Configuration* configuration : configurations) {
    for (const std::string& text : configuration->assumed) {
      bool carried = false;
      for (const std::string& name : named) {
        if (!mentions(text, name)) continue;
        assumed.insert(name);
        carried = true;
      }
      auto& words = bars.table().as_text;
      if (!carried && std::find(words.begin(), words.end(), text) == words.end()) words.push_back(text);
    }
  }
  const auto bar_of = [&](const std::string& name, ConditionKind kind, const std::vector<Move>& moves,
                          const Value& otherwise) {
    Hinge bar{.condition = name, .kind = kind, .nominal = "", .sides = {}};
    bar.nominal = nominal_text(base.settings, [&](const Setting& setting) {
      return setting.axes.has(name) ? shown(setting.axes.values().find(name)->second) : shown(otherwise);
    });
    for (const Move& move : moves) {
      std::vector<Setting> moved = base.settings;
      for (Setting& setting : moved) {
        const auto& values = setting.axes.values();
        const auto at = values.find(name);
        setting.axes.set(name, move.of(at == values.end() ? otherwise : at->second));
      }
      bar.sides.push_back(base.side(move.text, moved, base.machines));
    }
    if (!bar.sides.empty()) bars.add(std::move(bar));
  };
  for (const std::string& name : named) {
    const auto known = declared.find(name);
    const Axis* axis = known == declared.end() ? nullptr : known->second;
    const auto holder = std::find_if(base.settings.begin(), base.settings.end(),
                                     [&](const Setting& setting) { return setting.axes.has(name); });
    const Value& now = holder->axes.values().find(name)->second;
    bar_of(name, assumed.contains(name) ? ConditionKind::assumed : ConditionKind::stated, moves_of(now, axis), now);
  }
  for (const auto& [name, axis] : declared) {
    if (named.contains(name) || axis->defaults.empty() || name == "ranks" || name == "dtype") continue;
    bar_of(name, ConditionKind::unstated, moves_of(axis->defaults.front(), axis), axis->defaults.front());
  }
}

void add_ranks_and_dtype(const Base& base, Bars& bars) {
  const bool ranked =
      std::any_of(base.settings.begin(), base.settings.end(), [](const Setting& setting) { return setting.ranks > 1; });
  if (ranked) {
    Hinge bar{.condition = "ranks", .kind = ConditionKind::stated, .nominal = "", .sides = {}};
    bar.nominal = nominal_text(base.settings, [](const Setting& setting) { return fmt::format("{}", setting.ranks); });
    for (const bool twice : {false, true}) {
      std::vector<Setting> moved = base.settings;
      for (Setting& setting : moved) setting.ranks = twice ? setting.ranks * 2 : std::max(1, setting.ranks / 2);
      bar.sides.push_back(base.side(twice ? "double" : "half", moved, base.machines));
    }
    bars.add(std::move(bar));
  }
  Hinge bar{.condition = "dtype", .kind = ConditionKind::stated, .nominal = "", .sides = {}};
  bar.nominal = nominal_text(base.settings, [](const Setting& setting) { return setting.dtype; });
  if (bar.nominal.empty()) return;
  for (const char* other : {"fp8", "bf16", "fp32"}) {
    const bool same_width = std::string_view(other) == "bf16" && base.settings.front().dtype == "fp16";
    if (same_width || base.settings.front().dtype == other) continue;
    std::vector<Setting> moved = base.settings;
    for (Setting& setting : moved) setting.dtype = other;
    HingeSide side = base.side(other, moved, base.machines);
    if (side.ours) bar.sides.push_back(std::move(side));
  }
  if (!bar.sides.empty()) bars.add(std::move(bar));
}

}  // namespace

const char* to_string(ConditionKind kind) {
  switch (kind) {
    case ConditionKind::fitted:
      return "fitted";
    case ConditionKind::stated:
      return "stated";
    case ConditionKind::assumed:
      return "assumed";
    case ConditionKind::unstated:
      return "unstated";
  }
  return "?";
}

std::optional<HingeTable> hinge(const Claim& claim, const Library& library, std::string_view data_root,
                                FindProjector find) {
  const Projector technique = find(claim.technique);
  const bool compared = claim.form == Form::ratio || claim.form == Form::difference;
  const Projector baseline = compared ? baseline_projector(claim, find) : nullptr;
  if (claim.kind == "untestable" || technique == nullptr || (compared && baseline == nullptr) ||
      claim.configurations.empty())
    return std::nullopt;
  try {
    const Machines machines = load_machines(claim, library, data_root);
    const std::vector<Setting> settings = make_settings(claim, library, machines, data_root);
    const Judgement nominal = judge_grid(claim, evaluate_grid(claim, settings, machines, technique, baseline));
    const Base base{.claim = claim,
                    .machines = machines,
                    .settings = settings,
                    .technique = technique,
                    .baseline = baseline,
                    .ours = nominal.ours,
                    .verdict = nominal.verdict};
    std::vector<const Configuration*> configurations;
    for (const std::string& id : claim.configurations) configurations.push_back(&library.configuration(claim, id));
    Bars bars(base);
    add_fitted(base, bars);
    add_ranks_and_dtype(base, bars);
    add_axes(base, configurations, bars);
    return bars.finish();
  } catch (const Missing&) {
    return std::nullopt;
  }
}

}  // namespace assay::harness::claims
