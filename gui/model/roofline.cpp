#include "gui/model/roofline.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "datasets/quantity.h"

namespace assay::gui {
namespace {

std::string words_of(std::string probe) {
  std::replace(probe.begin(), probe.end(), '-', ' ');
  return probe;
}

// Working sets are whole KiB or MiB; anything else is written out.
std::string bytes_text(double bytes) {
  const std::string text = datasets::format_count(static_cast<std::int64_t>(bytes));
  return text.back() >= '0' && text.back() <= '9'
             ? text + " B"
             : text.substr(0, text.size() - 1) + " " + (text.back() == 'k' ? 'K' : text.back()) + "iB";
}

Roof roof_of(const CaseResult& result, const Value& value, bool memory) {
  Roof roof;
  const Parameter* probe = result.info.parameter("probe");
  const Parameter* threads = result.info.parameter("threads");
  const Parameter* bytes = result.info.parameter("working_set");
  roof.name = words_of(probe != nullptr ? probe->text : "roof");
  if (memory && bytes != nullptr && bytes->number) roof.name += ", " + bytes_text(*bytes->number);
  if (threads != nullptr && threads->text != "1") roof.name += ", " + threads->text + " threads";
  roof.memory = memory;
  roof.value = value.median;
  roof.launches = value.launches;
  roof.case_id = result.info.id;
  return roof;
}

}  // namespace

Roofline roofline_of(const RunData& data, const Filter& filter, const std::string& backend) {
  Roofline out;
  std::map<std::string, std::vector<Roof>> roofs;
  for (const CaseResult& result : data.cases) {
    if (!is_roof(result.info)) continue;
    const Parameter* probe = result.info.parameter("probe");
    if (probe != nullptr && (probe->text == "shared" || probe->text == "launch")) continue;  // not what cases declare
    auto& of_backend = roofs[result.info.record.backend];
    if (const Value* rate = result.value("flops_rate"))
      of_backend.push_back(roof_of(result, *rate, false));
    else if (const Value* bandwidth = result.value("bandwidth"))
      of_backend.push_back(roof_of(result, *bandwidth, true));
  }
  std::erase_if(roofs, [](const auto& held) { return held.second.empty(); });
  for (const auto& [name, held] : roofs) out.backends.push_back(name);
  std::map<std::string, std::vector<RoofPoint>> points;
  std::map<std::string, int> matching;
  for (const CaseResult& result : data.cases) {
    if (is_roof(result.info)) continue;
    if (!matches(filter, result)) {
      ++out.filtered_out;
      continue;
    }
    ++matching[result.info.record.backend];
    const Value* rate = result.value("flops_rate");
    const Value* intensity = result.value("intensity");
    if (rate == nullptr || intensity == nullptr || !(intensity->median > 0) || !(rate->median > 0) ||
        rate->provenance == results_db::Provenance::projected)
      continue;
    const Value* share = result.value("roof_share");
    points[result.info.record.backend].push_back(
        {&result, intensity->median, *rate, share == nullptr ? std::nan("") : share->median});
  }
  if (roofs.contains(backend)) out.backend = backend;
  for (const std::string& name : out.backends)
    if (out.backend.empty() && points.contains(name)) out.backend = name;
  if (out.backend.empty() && !out.backends.empty()) out.backend = out.backends.front();
  out.roofs = roofs[out.backend];
  out.points = points[out.backend];
  out.without_work = matching[out.backend] - static_cast<int>(out.points.size());
  for (const auto& [name, count] : matching) out.elsewhere += name == out.backend ? 0 : count;
  std::sort(out.roofs.begin(), out.roofs.end(),
            [](const Roof& a, const Roof& b) { return a.memory != b.memory ? !a.memory : a.value > b.value; });
  return out;
}

}  // namespace assay::gui
