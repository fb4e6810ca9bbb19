// Cases by the work they declare, under the roofs measured in the same run, as a picture on logarithmic axes and as a
// table.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "datasets/quantity.h"
#include "reports/escape.h"
#include "reports/sections.h"

namespace assay::reports {
namespace {

using results_db::Provenance;

constexpr const char* roof_techniques[] = {"hardware/cpu-roofs", "hardware/gpu-roofs"};

struct Roof {
  std::string name;
  bool memory = false;  // a slope; else a level
  double value = 0;     // B/s or FLOP/s
};

struct Place {
  const ReportRow* row = nullptr;
  double intensity = 0, rate = 0;
  std::optional<double> share;  // of the roof that binds
};

struct Roofline {
  std::vector<Roof> roofs;  // highest first
  std::vector<Place> places;
};

std::optional<double> measured(const ReportRow& row, const std::string& metric) {
  if (row.metric == metric && row.provenance == Provenance::measured) return row.value;
  for (const auto& held : row.others)
    if (held.name == metric && held.provenance == Provenance::measured) return held.value;
  return std::nullopt;
}

// Intensity is derived from what the case declares.
std::optional<double> value_of(const ReportRow& row, const std::string& metric) {
  for (const auto& held : row.others)
    if (held.name == metric) return held.value;
  return std::nullopt;
}

std::string bytes_text(std::int64_t bytes) {
  const std::string text = datasets::format_count(bytes);
  if (text.back() >= '0' && text.back() <= '9') return text + " B";
  return text.substr(0, text.size() - 1) + " " + (text.back() == 'k' ? 'K' : text.back()) + "iB";
}

std::optional<Roof> roof_of(const ReportRow& row) {
  const auto parameters = nlohmann::json::parse(row.item.record.parameters_json, nullptr, false);
  if (!parameters.is_object()) return std::nullopt;
  Roof roof{.name = parameters.value("probe", "roof")};
  if (roof.name == "shared" || roof.name == "launch") return std::nullopt;  // no roof over declared memory traffic
  std::replace(roof.name.begin(), roof.name.end(), '-', ' ');
  if (const auto rate = measured(row, "flops_rate")) {
    roof.value = *rate;
  } else if (const auto bandwidth = measured(row, "bandwidth")) {
    roof.memory = true;
    roof.value = *bandwidth;
    if (parameters.contains("working_set") && parameters["working_set"].is_number_integer())
      roof.name += ", " + bytes_text(parameters["working_set"].get<std::int64_t>());
  }
  if (const auto threads = parameters.value("threads", 1); threads != 1)
    roof.name += fmt::format(", {} threads", threads);
  return roof.value > 0 ? std::optional(roof) : std::nullopt;
}

// Of every level its name says something; of many slopes the highest and the lowest say what the others would.
std::vector<Roof> telling(std::vector<Roof> roofs) {
  std::stable_sort(roofs.begin(), roofs.end(), [](const Roof& a, const Roof& b) { return a.value > b.value; });
  std::vector<Roof> out, slopes;
  for (const Roof& roof : roofs) (roof.memory ? slopes : out).push_back(roof);
  if (!slopes.empty()) out.push_back(slopes.front());
  if (slopes.size() > 1 && slopes.front().value > 1.3 * slopes.back().value) out.push_back(slopes.back());
  return out;
}

std::map<std::string, Roofline> rooflines(const RunReport& report) {
  std::map<std::string, Roofline> by_backend;
  for (const ReportRow& row : report.rows)
    if (is_roof(row))
      if (const auto roof = roof_of(row)) by_backend[row.item.record.backend].roofs.push_back(*roof);
  for (const ReportRow& row : report.rows) {
    if (is_roof(row)) continue;
    const auto at = by_backend.find(row.item.record.backend);
    const auto rate = measured(row, "flops_rate"), intensity = value_of(row, "intensity");
    if (at == by_backend.end() || !rate || !intensity || !(*rate > 0) || !(*intensity > 0)) continue;
    at->second.places.push_back({&row, *intensity, *rate, value_of(row, "roof_share")});
  }
  std::erase_if(by_backend, [](const auto& held) { return held.second.places.empty(); });
  for (auto& [backend, held] : by_backend) held.roofs = telling(std::move(held.roofs));
  return by_backend;
}

std::string technique_of(const Place& place) {
  const std::string& id = place.row->item.record.technique;
  return id.substr(id.rfind('/') + 1);
}

// Okabe and Ito's colours, as page.js has them.
constexpr std::array colours = {"#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C", "#B8A800"};

struct Frame {
  double left = 96, right = 700, top = 14, bottom = 372;
  double low_x = 1, high_x = 1, low_y = 1, high_y = 1;
  double x(double value) const { return left + std::log(value / low_x) / std::log(high_x / low_x) * (right - left); }
  double y(double value) const { return bottom - std::log(value / low_y) / std::log(high_y / low_y) * (bottom - top); }
};

Frame frame_of(const Roofline& roofline) {
  Frame frame;
  frame.low_x = frame.low_y = 1e300;
  frame.high_x = frame.high_y = 0;
  double level = 0, slope = 0;
  for (const Place& place : roofline.places) {
    frame.low_x = std::min(frame.low_x, place.intensity / 2);
    frame.high_x = std::max(frame.high_x, place.intensity * 2);
    frame.low_y = std::min(frame.low_y, place.rate / 1.6);
    frame.high_y = std::max(frame.high_y, place.rate * 1.6);
  }
  for (const Roof& roof : roofline.roofs)
    (roof.memory ? slope : level) = std::max(roof.memory ? slope : level, roof.value);
  frame.high_y = std::max(frame.high_y, 1.6 * level);
  if (slope > 0 && level > 0) {
    frame.low_x = std::min({frame.low_x, level / slope / 2, frame.low_y / slope});  // slopes begin at the foot
    frame.high_x = std::max(frame.high_x, 4 * level / slope);
  }
  return frame;
}

// 1, 2, 5, 10, ...; tens alone where they would crowd.
std::vector<double> round_values(double low, double high) {
  const bool few = high / low < 1000;
  std::vector<double> out;
  for (int power = static_cast<int>(std::floor(std::log10(low))); std::pow(10, power) <= high; ++power)
    for (const double lead : {1.0, 2.0, 5.0})
      if (const double value = lead * std::pow(10, power); value >= low && value <= high && (few || lead == 1.0))
        out.push_back(value);
  return out;
}

std::string axes_svg(const Frame& frame) {
  std::string out;
  for (const double value : round_values(frame.low_x, frame.high_x))
    out += fmt::format(
        "<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/><text x=\"{0:.1f}\" "
        "y=\"{3:.1f}\" text-anchor=\"middle\">{4:g}</text>",
        frame.x(value), frame.top, frame.bottom, frame.bottom + 18, value);
  for (const double value : round_values(frame.low_y, frame.high_y))
    out += fmt::format(
        "<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/><text x=\"{3:.1f}\" "
        "y=\"{4:.1f}\" text-anchor=\"end\">{5}</text>",
        frame.left, frame.right, frame.y(value), frame.left - 7, frame.y(value) + 4,
        xml(datasets::format_si(value, "FLOP/s")));
  return out +
         fmt::format(
             "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">declared FLOPs for each declared byte</text>",
             (frame.left + frame.right) / 2, frame.bottom + 38);
}

std::string roofs_svg(const Roofline& roofline, const Frame& frame) {
  double top = 0, slope = 0;
  for (const Roof& roof : roofline.roofs) (roof.memory ? slope : top) = std::max(roof.memory ? slope : top, roof.value);
  std::string out;
  double last_label = -100;
  for (const Roof& roof : roofline.roofs) {
    const std::string name =
        xml(fmt::format("{}: {}", roof.name, datasets::format_si(roof.value, roof.memory ? "B/s" : "FLOP/s")));
    if (roof.memory) {
      const double from = std::max(frame.low_x, frame.low_y / roof.value);
      const double to = std::min(frame.high_x, (top > 0 ? top : frame.high_y) / roof.value);
      if (to <= from) continue;
      const double x0 = frame.x(from), y0 = frame.y(from * roof.value), x1 = frame.x(to), y1 = frame.y(to * roof.value);
      out +=
          fmt::format("<line class=\"roof\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>", x0, y0, x1, y1);
      out += fmt::format("<text transform=\"translate({:.1f} {:.1f}) rotate({:.1f})\">{}</text>", x0 + 10,
                         y0 - 10 * (y0 - y1) / (x1 - x0) - 5, std::atan2(y1 - y0, x1 - x0) * 57.29577951, name);
    } else {
      const double y = frame.y(roof.value),
                   x = frame.x(std::max(frame.low_x, slope > 0 ? roof.value / slope : frame.low_x));
      out += fmt::format("<line class=\"roof\" x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{2:.1f}\" y2=\"{1:.1f}\"/>", x, y,
                         frame.right);
      last_label = std::max(y + 4, last_label + 14);  // levels close to each other are named below one another
      out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", frame.right + 8, last_label, name);
    }
  }
  return out;
}

}  // namespace

bool is_roof(const ReportRow& row) {
  return std::find(std::begin(roof_techniques), std::end(roof_techniques), row.item.record.technique) !=
         std::end(roof_techniques);
}

std::string roofline_section(const RunReport& report) {
  std::string out;
  for (const auto& [backend, roofline] : rooflines(report)) {
    if (out.empty())
      out =
          "<h2 id=\"roofline\">Under the roofs</h2>\n<p class=\"quiet\">The rate of each measured case by the work it "
          "declares, under what the machine reached in the same run.</p>\n";
    const Frame frame = frame_of(roofline);
    std::map<std::string, std::size_t> techniques;
    for (const Place& place : roofline.places) techniques.try_emplace(technique_of(place), techniques.size());
    out += fmt::format(
        "<section class=\"chart\"><h3>{}</h3><svg class=\"roofline\" viewBox=\"0 0 960 420\" role=\"img\" "
        "aria-label=\"roofline of {}; the table has the numbers\">{}{}",
        xml(backend), xml(backend), axes_svg(frame), roofs_svg(roofline, frame));
    for (const Place& place : roofline.places) {
      const std::size_t colour = techniques.at(technique_of(place)) % colours.size();
      out += fmt::format(
          "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\" fill=\"{}\"><title>{}\n{} at {:.3g} FLOP/B</title></circle>",
          frame.x(place.intensity), frame.y(place.rate), colours.at(colour), xml(place.row->item.record.key),
          xml(datasets::format_si(place.rate, "FLOP/s")), place.intensity);
    }
    out += "</svg><ul class=\"legend\">";
    std::vector<std::string> order(techniques.size());
    for (const auto& [name, at] : techniques) order[at] = name;
    for (std::size_t i = 0; i < order.size(); ++i)
      out += fmt::format("<li><span style=\"border-top-color: {}\"></span>{}</li>", colours.at(i % colours.size()),
                         xml(order[i]));
    out +=
        "</ul></section>\n<details><summary>The numbers</summary><div class=\"scroll\"><table "
        "class=\"roofline\"><thead><tr><th>case</th><th class=\"number\">rate</th><th class=\"number\">FLOP/B</th><th "
        "class=\"number\">share of its roof</th></tr></thead><tbody>\n";
    for (const Place& place : roofline.places)
      out += fmt::format(
          "<tr data-roofline=\"{0}\"><td class=\"mono\">{0}</td><td class=\"number\" data-value=\"{1}\">{2}</td><td "
          "class=\"number\" data-value=\"{3}\">{3:.3g}</td><td class=\"number\">{4}</td></tr>\n",
          xml(place.row->item.record.key), place.rate, xml(datasets::format_si(place.rate, "FLOP/s")), place.intensity,
          place.share ? fmt::format("{:.1f}%", 100 * *place.share) : "-");
    out += "</tbody></table></div></details>\n";
  }
  return out;
}

}  // namespace assay::reports
