// What papers claim about the techniques of a run, and what we find.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "datasets/quantity.h"
#include "reports/escape.h"
#include "reports/sections.h"

namespace assay::reports {
namespace {

using results_db::ClaimRecord;
using results_db::VerdictRecord;

// A ratio is a factor, whatever its quantity is measured in.
std::string number(double value, const ClaimRecord& claim) {
  if (claim.form == "ratio") return fmt::format("{:.3g}x", value);
  if (claim.form == "bool") return value != 0 ? "yes" : "no";
  return claim.unit == "1" ? fmt::format("{:.3g}", value) : datasets::format_si(value, claim.unit);
}

std::string paper_text(const ClaimRecord& claim) {
  if (claim.low && claim.high) return number(*claim.low, claim) + " .. " + number(*claim.high, claim);
  if (!claim.value) return "-";
  const std::string text = number(*claim.value, claim);
  if (claim.bound == "at_least") return "at least " + text;
  if (claim.bound == "at_most") return "at most " + text;
  if (claim.bound == "up_to") return "up to " + text;
  return text;
}

std::string technique_name(const ClaimRecord& claim) { return claim.technique.substr(claim.technique.rfind('/') + 1); }

std::string claim_name(const ClaimRecord& claim) {
  std::string key = claim.id.substr(claim.id.find('#') + 1);
  std::replace(key.begin(), key.end(), '-', ' ');
  return key;
}

// "not reproduced" -> "not-reproduced", as a class of the style sheet.
std::string look_of(std::string verdict) {
  std::replace(verdict.begin(), verdict.end(), ' ', '-');
  return verdict;
}

std::string counts_text(const RunReport& report) {
  std::map<std::string, int> counts;
  int not_judged = 0;
  for (const ReportClaim& row : report.claims) row.verdict ? ++counts[row.verdict->verdict] : ++not_judged;
  std::string text;
  for (const char* verdict : {"reproduced", "exceeded", "partial", "not reproduced", "contradicted", "untestable"})
    if (counts[verdict] > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", counts[verdict], verdict);
  if (not_judged > 0) text += fmt::format("{}{} not judged", text.empty() ? "" : ", ", not_judged);
  return text;
}

}  // namespace

std::string claims_section(const RunReport& report) {
  if (report.claims.empty()) return "";
  std::string out = "<h2 id=\"claims\">What papers claim</h2>\n";
  out += fmt::format(
      "<p class=\"quiet\">About the techniques of this run: {}. Verdicts are the newest that the database holds; they "
      "are "
      "made at the paper's setting and not from this run's cases.</p>\n",
      xml(counts_text(report)));
  out +=
      "<div class=\"scroll\"><table class=\"claims\"><thead><tr><th>verdict</th><th>claim</th><th "
      "class=\"number\">paper</th><th class=\"number\">ours</th><th class=\"number\">interval</th><th>provenance</th>"
      "<th>because</th></tr></thead><tbody>\n";
  for (const ReportClaim& row : report.claims) {
    const ClaimRecord& claim = row.claim;
    const std::string verdict = row.verdict ? row.verdict->verdict : "not judged";
    out += fmt::format(
        "<tr data-claim=\"{}\" data-verdict=\"{}\"><td><span class=\"pill {}\">{}</span></td><td "
        "class=\"case\"><b>{}: {}</b><span>{}</span></td><td class=\"number\">{}</td>",
        xml(claim.id), verdict, look_of(verdict), verdict, xml(technique_name(claim)), xml(claim_name(claim)),
        xml(claim.published + (claim.where.empty() ? "" : " (" + claim.where + ")")), xml(paper_text(claim)));
    if (!row.verdict) {
      out += fmt::format("<td colspan=\"4\" class=\"quiet\">assay reproduce {} --store</td></tr>\n",
                         xml(technique_name(claim)));
      continue;
    }
    const VerdictRecord& held = *row.verdict;
    out += held.ours ? fmt::format("<td class=\"number\" data-value=\"{}\">{}</td>", *held.ours,
                                   xml(number(*held.ours, claim)))
                     : "<td class=\"number\">-</td>";
    out += held.ours_low && held.ours_high
               ? fmt::format("<td class=\"number\">{} .. {}</td>", xml(number(*held.ours_low, claim)),
                             xml(number(*held.ours_high, claim)))
               : "<td class=\"number\">-</td>";
    out += held.provenance.empty() ? "<td>-</td>"
                                   : fmt::format("<td><span class=\"from {0}\">{0}</span></td>", xml(held.provenance));
    out += fmt::format("<td>{}{}</td></tr>\n", xml(held.reason),
                       held.fragile.empty() ? "" : "; <b>fragile</b>: " + xml(held.fragile));
  }
  return out + "</tbody></table></div>\n";
}

std::string claims_markdown(const RunReport& report) {
  if (report.claims.empty()) return "";
  std::string out = fmt::format(
      "\n## What papers claim\n\n{}.\n\n| verdict | claim | paper | ours | provenance | because |\n"
      "|---|---|---:|---:|---|---|\n",
      markdown(counts_text(report)));
  for (const ReportClaim& row : report.claims)
    if (row.verdict)
      out += fmt::format("| {} | {}: {} | {} | {} | {} | {} |\n", row.verdict->verdict,
                         markdown(technique_name(row.claim)), markdown(claim_name(row.claim)),
                         markdown(paper_text(row.claim)),
                         row.verdict->ours ? markdown(number(*row.verdict->ours, row.claim)) : "-",
                         row.verdict->provenance, markdown(row.verdict->reason));
  return out;
}

}  // namespace assay::reports
