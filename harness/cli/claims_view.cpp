#include "harness/cli/claims_view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "datasets/quantity.h"
#include "harness/table.h"

namespace assay::cli {
namespace {

using harness::Style;
using harness::claims::Bound;
using harness::claims::Claim;
using harness::claims::Form;
using harness::claims::Outcome;
using harness::claims::RowKind;
using harness::claims::Verdict;

Style style_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::reproduced:
    case Verdict::exceeded:
      return Style::good;
    case Verdict::partial:
      return Style::warn;
    case Verdict::contradicted:
    case Verdict::not_reproduced:
      return Style::bad;
    case Verdict::untestable:
      return Style::dim;
  }
  return Style::plain;
}

std::string verdict_text(const Outcome& outcome) {
  if (outcome.verdict == Verdict::untestable && !outcome.mapped && outcome.claim->kind != "untestable") {
    return "untestable: not mapped";
  }
  return to_string(outcome.verdict);
}

// "225 TFLOP/s" -> {"225", " TFLOP/s"}, "2.1x" -> {"2.1", "x"}
std::pair<std::string, std::string> number_and_unit(const std::string& text) {
  const std::size_t end = text.find_first_not_of("0123456789.+-e");
  return end == std::string::npos ? std::pair(text, std::string()) : std::pair(text.substr(0, end), text.substr(end));
}

// Value and interval with one unit where all three share it: "210 [179-239] TFLOP/s".
std::string ours_text(const Outcome& outcome) {
  if (!outcome.ours) return "";
  const Claim& claim = *outcome.claim;
  const std::string text = shown_value(claim, *outcome.ours);
  const bool moved = outcome.low && outcome.high && *outcome.high - *outcome.low > 1e-9 * std::abs(*outcome.ours);
  if (!moved) return text;
  const std::string low = shown_value(claim, *outcome.low), high = shown_value(claim, *outcome.high);
  const auto [value, unit] = number_and_unit(text);
  const auto [least, low_unit] = number_and_unit(low);
  const auto [most, high_unit] = number_and_unit(high);
  if (unit != low_unit || unit != high_unit) return fmt::format("{} [{} - {}]", text, low, high);
  if (unit.starts_with(" ")) return fmt::format("{} [{}-{}]{}", value, least, most, unit);
  return fmt::format("{}{} [{}-{}]", value, unit, least, most);
}

// What a reader has to know beside the verdict, most important first.
std::vector<std::string> remarks(const Outcome& outcome) {
  std::vector<std::string> lines;
  const Claim& claim = *outcome.claim;
  if (!outcome.fragile.empty()) lines.push_back(fmt::format("fragile: {}", fmt::join(outcome.fragile, ", ")));
  if (!outcome.reason.empty() && outcome.reason != "not mapped") lines.push_back(outcome.reason);
  for (const std::string& flag : claim.flags) {
    lines.push_back(flag == "inconsistent" ? "inconsistent: the paper contradicts itself" : flag);
  }
  if (outcome.mapped && (claim.source == "recalled" || claim.source == "secondary")) {
    lines.push_back("claim " + claim.source + ", not read at the source");
  }
  for (const std::string& carried : outcome.carried) lines.push_back("carried: " + carried);
  return lines;
}

std::string wrapped(const std::string& text, int width, const std::string& indent) {
  std::string out, line = indent;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t end = text.find(' ', at);
    if (end == std::string::npos) end = text.size();
    const std::string word = text.substr(at, end - at);
    const bool fresh = line.size() == indent.size();
    if (!fresh && harness::display_width(line) + 1 + harness::display_width(word) > width) {
      out += line + "\n";
      line = indent + word;
    } else {
      line += (fresh ? "" : " ") + word;
    }
    at = end + 1;
  }
  return out + line + "\n";
}

std::string heading(const Claim& claim) {
  const std::string paper = claim.arxiv.empty() ? "" : fmt::format("arXiv {}", claim.arxiv);
  return claim.table == RowKind::claim ? fmt::format("{} ({})", claim.technique, paper.empty() ? "no arXiv id" : paper)
                                       : fmt::format("{}: {}s, not claims", claim.technique, to_string(claim.table));
}

}  // namespace

std::string shown_value(const Claim& claim, double value) {
  if (claim.form == Form::ratio) return fmt::format("{:.3g}x", value);
  if (claim.form == Form::boolean) return value >= 0.5 ? "holds" : "does not hold";
  if (claim.unit == "1" || claim.unit == "count") return fmt::format("{:.3g}", value);
  if (claim.unit == "token") return fmt::format("{:.6g} tokens", value);
  return datasets::format_si(value, claim.unit);
}

namespace {

// "1.7 to 3x", with the unit once where both have it.
std::string span(const std::string& low, const std::string& high) {
  const auto [least, unit] = number_and_unit(low);
  return unit == number_and_unit(high).second ? fmt::format("{} to {}", least, high)
                                              : fmt::format("{} to {}", low, high);
}

}  // namespace

std::string shown_claim(const Claim& claim) {
  switch (claim.bound) {
    case Bound::point:
      return shown_value(claim, claim.value);
    case Bound::at_least:
      return "at least " + shown_value(claim, claim.value);
    case Bound::at_most:
      return "at most " + shown_value(claim, claim.value);
    case Bound::up_to:
      return "up to " + shown_value(claim, claim.value);
    case Bound::range:
      return span(shown_value(claim, claim.low), shown_value(claim, claim.high));
  }
  return "";
}

std::string claims_tables(const std::vector<Outcome>& outcomes, int width, bool color) {
  std::string text, notes;
  harness::Table table;
  std::string current;
  const auto flush = [&] {
    if (table.rows() > 0) text += current + "\n" + table.render(width, color) + notes + "\n";
    notes.clear();
  };
  for (const Outcome& outcome : outcomes) {
    if (const std::string title = heading(*outcome.claim); title != current) {
      flush();
      current = title;
      table = harness::Table({{.title = "claim", .min_width = 16},
                              {.title = "published", .right = true},
                              {.title = "ours [interval]", .right = true},
                              {.title = "datasheet", .right = true},
                              {.title = "verdict", .min_width = 14}});
    }
    table.add_row({outcome.claim->key,
                   shown_claim(*outcome.claim),
                   ours_text(outcome),
                   outcome.datasheet ? shown_value(*outcome.claim, *outcome.datasheet) : "",
                   {verdict_text(outcome), style_of(outcome.verdict)}});
    if (const auto lines = remarks(outcome); !lines.empty()) {
      notes += wrapped(fmt::format("{}: {}", outcome.claim->key, fmt::join(lines, "; ")), width, "  ");
    }
  }
  flush();
  return text;
}

std::string claims_summary(const std::vector<Outcome>& outcomes) {
  std::string text;
  for (const RowKind kind : {RowKind::claim, RowKind::target, RowKind::check}) {
    std::array<int, 6> counts{};
    int rows = 0, unmapped = 0;
    for (const Outcome& outcome : outcomes) {
      if (outcome.claim->table != kind) continue;
      ++rows;
      ++counts[static_cast<std::size_t>(outcome.verdict)];
      unmapped += verdict_text(outcome) == "untestable: not mapped" ? 1 : 0;
    }
    if (rows == 0) continue;
    std::vector<std::string> parts;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      if (counts[i] > 0) parts.push_back(fmt::format("{} {}", counts[i], to_string(static_cast<Verdict>(i))));
    }
    text += fmt::format("{} {}{}: {}", rows, to_string(kind), rows == 1 ? "" : "s", fmt::join(parts, ", "));
    if (unmapped > 0) text += fmt::format(" ({} not mapped)", unmapped);
    text += "\n";
  }
  return text;
}

std::string claims_json(const std::vector<Outcome>& outcomes) {
  using nlohmann::json;
  const auto number = [](const std::optional<double>& value) { return value ? json(*value) : json(); };
  json rows = json::array(), counts = json::object();
  int unmapped = 0;
  for (const Outcome& outcome : outcomes) {
    const Claim& claim = *outcome.claim;
    json parts = json::array();
    for (const auto& part : outcome.parts) {
      parts.push_back({{"component", part.component}, {"class", part.operator_class}, {"value", part.value}});
    }
    json row{{"claim", claim.id},
             {"row", to_string(claim.table)},
             {"technique", claim.technique},
             {"baseline", claim.baseline},
             {"quantity", claim.quantity},
             {"form", to_string(claim.form)},
             {"bound", to_string(claim.bound)},
             {"unit", claim.unit},
             {"published", claim.published},
             {"source", claim.source},
             {"group", claim.group},
             {"arxiv", claim.arxiv},
             {"where", claim.where},
             {"flags", claim.flags},
             {"configurations", claim.configurations},
             {"verdict", to_string(outcome.verdict)},
             {"reason", outcome.reason},
             {"mapped", outcome.mapped},
             {"provenance", outcome.mapped ? "projected" : "claimed"},
             {"ours", number(outcome.ours)},
             {"ours_low", number(outcome.low)},
             {"ours_high", number(outcome.high)},
             {"datasheet", number(outcome.datasheet)},
             {"inside_domain", outcome.inside_domain},
             {"fragile", outcome.fragile},
             {"carried", outcome.carried},
             {"notes", outcome.notes},
             {"parts", std::move(parts)},
             {"descriptors", outcome.descriptors}};
    if (claim.bound == Bound::range) {
      row["low"] = claim.low;
      row["high"] = claim.high;
    } else {
      row["value"] = claim.value;
    }
    rows.push_back(std::move(row));
    const std::string word = to_string(outcome.verdict);
    counts[word] = counts.value(word, 0) + 1;
    unmapped += verdict_text(outcome) == "untestable: not mapped" ? 1 : 0;
  }
  return json{{"schema_version", 1}, {"claims", std::move(rows)}, {"counts", counts}, {"not_mapped", unmapped}}.dump(2);
}

}  // namespace assay::cli
