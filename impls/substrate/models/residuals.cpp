#include "impls/substrate/models/residuals.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <span>

#include "datasets/user_error.h"
#include "impls/substrate/models/operator_time.h"

namespace assay::substrate {
namespace {

using Selected = std::vector<const Residual*>;

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

Selected select(const std::vector<Residual>& rows, const std::function<bool(const Residual&)>& wanted) {
  Selected found;
  for (const Residual& row : rows) {
    if (wanted(row)) found.push_back(&row);
  }
  return found;
}

void add(std::vector<ResidualGroup>& groups, const char* section, std::string name, const Selected& rows) {
  if (!rows.empty()) groups.push_back(summarise(section, std::move(name), rows));
}

void add_domains(std::vector<ResidualGroup>& groups, const std::vector<Residual>& rows) {
  add(groups, "domain", "inside the calibrated domain",
      select(rows, [](const Residual& r) { return r.inside_domain; }));
  add(groups, "domain", "outside the calibrated domain",
      select(rows, [](const Residual& r) { return !r.inside_domain; }));
}

// The best split of log residuals in two by Otsu's rule: two modes where each holds a tenth or more, they lie a quarter
// or more apart, and less than a tenth lies between them.
struct Modes {
  bool two = false;
  double lower = 0, upper = 0;  // medians of predicted / measured
  double lower_share = 0;
};

Modes modes_of(const Selected& rows) {
  std::vector<double> values;
  for (const Residual* row : rows) {
    if (row->size >= 1 << 20) values.push_back(std::log(row->predicted / row->measured));  // latency scatters below
  }
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  if (values.size() < 40) return {};
  double sum = 0, below = 0, best = -1;
  std::size_t split = 0;
  for (const double value : values) sum += value;
  for (std::size_t i = 1; i < values.size(); ++i) {
    below += values[i - 1];
    const double left = static_cast<double>(i), right = n - left;
    const double apart = below / left - (sum - below) / right;
    const double between = left * right * apart * apart;
    if (between > best) {
      best = between;
      split = i;
    }
  }
  Modes modes;
  const double lower = values[split / 2], upper = values[(split + values.size()) / 2];
  const double low_edge = lower + (upper - lower) / 3, high_edge = upper - (upper - lower) / 3;
  const auto middle =
      std::count_if(values.begin(), values.end(), [&](double v) { return v > low_edge && v < high_edge; });
  modes.lower = std::exp(lower);
  modes.upper = std::exp(upper);
  modes.lower_share = static_cast<double>(split) / n;
  modes.two = modes.lower_share >= 0.1 && modes.lower_share <= 0.9 && upper - lower > std::log(1.25) &&
              static_cast<double>(middle) < 0.1 * n;
  return modes;
}

CollectiveTime modelled(const datasets::Cluster& cluster, const MeasuredCollective& row) try {
  return collective_time(cluster, row.work);
} catch (const UserError& refused) {  // a setting the cluster does not have: said with the row that asks for it
  throw UserError(fmt::format("{}: {}", row.place, refused.what()));
}

}  // namespace

std::vector<Residual> residuals(const datasets::Device& device, const std::vector<MeasuredOperator>& rows) {
  std::vector<Residual> found;
  found.reserve(rows.size());
  for (const MeasuredOperator& row : rows) {
    const OperatorTime time = operator_time(device, row.work);
    found.push_back({row.column.substr(0, row.column.size() - 3), row.group, static_cast<double>(row.tokens),
                     row.seconds, time.seconds, time.inside_domain});
  }
  return found;
}

std::vector<Residual> residuals(const datasets::Device& device, const std::vector<MeasuredAttention>& rows) {
  std::vector<Residual> found;
  found.reserve(rows.size());
  const PagedRates rates = paged_rates(device, OpDtype::fp16);
  for (const MeasuredAttention& row : rows) {
    const bool inside = row.prefill ? paged_prefill_calibrated(rates, row.heads, row.keys + row.tokens)
                                    : device.has("eff_decode_attention") && row.heads.head_dim == 128;
    found.push_back({row.prefill ? "attn_prefill" : "attn_decode", row.prefill ? "prefill" : "decode",
                     static_cast<double>(row.prefill ? row.tokens : row.batch), row.seconds,
                     modelled_seconds(rates, row), inside});
  }
  return found;
}

std::vector<Residual> residuals(const datasets::Cluster& cluster, const std::vector<MeasuredCollective>& rows) {
  std::vector<Residual> found;
  found.reserve(rows.size());
  for (const MeasuredCollective& row : rows) {
    const CollectiveTime time = modelled(cluster, row);
    const char* name = row.work.kind == CollectiveKind::all_reduce ? "all_reduce" : "send_recv";
    found.push_back({name, fmt::format("{} {} ranks, {} a node", name, row.work.ranks, row.work.devices_per_node),
                     row.work.bytes, row.seconds, time.seconds, time.inside_domain});
  }
  return found;
}

ResidualGroup summarise(std::string section, std::string name, const Selected& rows) {
  ResidualGroup group{.section = std::move(section), .name = std::move(name), .n = rows.size()};
  std::vector<double> sizes, signs;
  for (const Residual* row : rows) {
    signs.push_back(row->error());
    sizes.push_back(std::abs(row->error()));
  }
  group.median_abs_err = quantile(sizes, 0.5);
  group.p90_abs_err = quantile(sizes, 0.9);
  group.bias = quantile(signs, 0.5);
  return group;
}

std::vector<ResidualGroup> linear_groups(const std::vector<Residual>& rows) {
  std::vector<ResidualGroup> groups;
  add(groups, "class", "linear operators, 64 or more tokens",
      select(rows, [](const Residual& r) { return r.group == "gemm" && r.size >= 64; }));
  add(groups, "class", "linear operators", select(rows, [](const Residual& r) { return r.group == "gemm"; }));
  for (const char* group : {"pointwise", "norm", "copy"}) {
    add(groups, "class", group, select(rows, [&](const Residual& r) { return r.group == group; }));
  }
  std::set<std::string> names;
  for (const Residual& row : rows) names.insert(row.operator_name);
  for (const std::string& name : names) {
    add(groups, "operator", name, select(rows, [&](const Residual& r) { return r.operator_name == name; }));
  }
  constexpr double kEdges[] = {1, 64, 256, 1024, std::numeric_limits<double>::infinity()};
  for (int i = 0; i < 4; ++i) {
    const std::string range =
        i == 3 ? "1024 or more tokens" : fmt::format("{:g} to {:g} tokens", kEdges[i], kEdges[i + 1] - 1);
    add(groups, "range", "linear operators, " + range, select(rows, [&](const Residual& r) {
          return r.group == "gemm" && r.size >= kEdges[i] && r.size < kEdges[i + 1];
        }));
  }
  add_domains(groups, rows);
  return groups;
}

std::vector<ResidualGroup> attention_groups(const std::vector<Residual>& rows) {
  std::vector<ResidualGroup> groups;
  constexpr double kTokens[] = {1, 129, 513, 1025, std::numeric_limits<double>::infinity()};
  constexpr double kBatches[] = {1, 9, 33, 65, std::numeric_limits<double>::infinity()};
  for (const char* group : {"prefill", "decode"})
    add(groups, "class", group, select(rows, [&](const Residual& r) { return r.group == group; }));
  const auto ranges = [&](const char* group, std::span<const double> edges, const char* unit) {
    for (std::size_t i = 0; i + 1 < edges.size(); ++i) {
      const std::string range = std::isinf(edges[i + 1])
                                    ? fmt::format("{:g} or more {}", edges[i], unit)
                                    : fmt::format("{:g} to {:g} {}", edges[i], edges[i + 1] - 1, unit);
      add(groups, "range", fmt::format("{}, {}", group, range), select(rows, [&](const Residual& r) {
            return r.group == group && r.size >= edges[i] && r.size < edges[i + 1];
          }));
    }
  };
  ranges("prefill", kTokens, "new tokens");
  ranges("decode", kBatches, "sequences");
  add_domains(groups, rows);
  return groups;
}

std::vector<ResidualGroup> collective_groups(const std::vector<Residual>& rows) {
  std::vector<ResidualGroup> groups;
  for (const char* name : {"all_reduce", "send_recv"}) {
    add(groups, "class", fmt::format("{}, pooled", name),
        select(rows, [&](const Residual& r) { return r.operator_name == name; }));
  }
  std::set<std::string> settings;
  for (const Residual& row : rows) settings.insert(row.group);
  for (const std::string& setting : settings) {
    const Selected chosen = select(rows, [&](const Residual& r) { return r.group == setting; });
    add(groups, "setting", setting, chosen);
    if (const Modes modes = modes_of(chosen); modes.two) {
      groups.back().note = fmt::format(
          "bimodal: predicted over measured {:.2f} in {:.0f}% of the rows of 1 MiB or more, {:.2f} in {:.0f}%",
          modes.lower, 100 * modes.lower_share, modes.upper, 100 * (1 - modes.lower_share));
    }
  }
  constexpr double kEdges[] = {0, 65536, 1 << 20, 8 << 20, std::numeric_limits<double>::infinity()};
  constexpr const char* kNames[] = {"below 64 KiB", "64 KiB to 1 MiB", "1 to 8 MiB", "8 MiB or more"};
  for (int i = 0; i < 4; ++i) {
    add(groups, "range", kNames[i],
        select(rows, [&](const Residual& r) { return r.size >= kEdges[i] && r.size < kEdges[i + 1]; }));
  }
  add_domains(groups, rows);
  return groups;
}

std::string residual_plot(const std::vector<Residual>& rows, const std::string& title, const std::string& size_name) {
  constexpr double kWidth = 330, kHeight = 210, kLeft = 44, kTop = 46;
  constexpr double kReach = 0.5;  // of the vertical axis, either way; what lies beyond is drawn at the edge
  std::set<std::string> names;
  double least = std::numeric_limits<double>::infinity(), most = 1;
  for (const Residual& row : rows) {
    names.insert(row.group);
    least = std::min(least, row.size);
    most = std::max(most, row.size);
  }
  const double low = std::log2(std::max(1.0, least)), span = std::max(1e-9, std::log2(most) - low);
  const auto columns = std::min<std::size_t>(3, names.size());
  const std::size_t lines = (names.size() + columns - 1) / columns;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0f}\" height=\"{:.0f}\" font-family=\"sans-serif\" "
      "font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"18\" "
      "font-size=\"13\">{}</text>\n",
      static_cast<double>(columns) * kWidth, static_cast<double>(lines) * kHeight + 30, title);
  std::size_t index = 0;
  for (const std::string& name : names) {
    const std::size_t line = index / columns;
    const double x0 = static_cast<double>(index % columns) * kWidth + kLeft;
    const double y0 = static_cast<double>(line) * kHeight + kTop;
    const double width = kWidth - kLeft - 12, height = kHeight - 60;
    ++index;
    const auto y_of = [&](double error) {
      return y0 + height * (0.5 - std::clamp(error, -kReach, kReach) / (2 * kReach));
    };
    svg += fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\">{}</text>\n", x0, y0 - 5, name);
    for (const double mark : {-0.5, -0.15, 0.0, 0.15, 0.5}) {
      svg += fmt::format(
          "<line x1=\"{:.0f}\" x2=\"{:.0f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\"/>"
          "<text x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">{:+.0f}%</text>\n",
          x0, x0 + width, y_of(mark), y_of(mark), mark == 0 ? "#888" : "#ddd", x0 - 4, y_of(mark) + 4, 100 * mark);
    }
    // Points that share a pixel are drawn once.
    std::set<std::pair<long, long>> drawn;
    std::string path;
    for (const Residual& row : rows) {
      if (row.group != name) continue;
      const long x = std::lround(x0 + width * (std::log2(std::max(1.0, row.size)) - low) / span);
      const long y = std::lround(y_of(row.error()));
      if (drawn.emplace(x, y).second) path += fmt::format("M{} {}h2v2h-2z", x - 1, y - 1);
    }
    svg += fmt::format("<path d=\"{}\" fill=\"#2563eb\" fill-opacity=\"0.6\"/>\n", path);
    svg += fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\">{:g} .. {:g} {} (log scale)</text>\n", x0, y0 + height + 14,
                       least, most, size_name);
  }
  return svg + "</svg>\n";
}

}  // namespace assay::substrate
