#include "gui/model/roofline.h"

#include <algorithm>
#include <cmath>

#include "datasets/quantity.h"

namespace assay::gui {
namespace {

constexpr const char* roofs_technique = "hardware/cpu-roofs";

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

Roofline roofline_of(const RunData& data, const Filter& filter) {
  Roofline out;
  for (const CaseResult& result : data.cases) {
    if (result.info.record.technique == roofs_technique) {
      if (const Value* rate = result.value("flops_rate"))
        out.roofs.push_back(roof_of(result, *rate, false));
      else if (const Value* bandwidth = result.value("bandwidth"))
        out.roofs.push_back(roof_of(result, *bandwidth, true));
      continue;
    }
    if (!matches(filter, result)) {
      ++out.filtered_out;
      continue;
    }
    const Value* rate = result.value("flops_rate");
    const Value* intensity = result.value("intensity");
    if (rate == nullptr || intensity == nullptr || !(intensity->median > 0) || !(rate->median > 0)) {
      ++out.without_work;
      continue;
    }
    const Value* share = result.value("roof_share");
    out.points.push_back({&result, intensity->median, *rate, share == nullptr ? std::nan("") : share->median});
  }
  std::sort(out.roofs.begin(), out.roofs.end(),
            [](const Roof& a, const Roof& b) { return a.memory != b.memory ? !a.memory : a.value > b.value; });
  return out;
}

}  // namespace assay::gui
