#include "gui/plot/ticks.h"

#include <fmt/format.h>

#include <QDateTime>
#include <algorithm>
#include <cmath>

#include "datasets/quantity.h"
#include "gui/model/run_data.h"
#include "gui/theme.h"

namespace assay::gui {
namespace {

// 3 significant digits are too many where steps are coarse ("10.0 ms") and too few where they are fine.
QString number_text(const PlotAxis& axis, double value, double step) {
  if (axis.kind == AxisKind::count && value >= 1 && value == std::floor(value) && value < 9e15)
    return text_of(datasets::format_count(static_cast<std::int64_t>(value)));
  if (value == 0) return QStringLiteral("0");
  if (axis.unit == "1" || axis.unit.empty() || axis.unit == "count") {
    const std::string text = value_text(value, axis.unit.empty() ? "1" : axis.unit, axis.metric);
    if (text.ends_with("%")) return text_of(fmt::format("{:.{}f}%", 100 * value, step < 0.01 ? 1 : 0));
    return text_of(fmt::format("{:.6g}", value));
  }
  constexpr const char* prefixes[] = {"p", "n", "u", "m", "", "k", "M", "G", "T", "P", "E"};
  const auto [least, largest] = usual_powers(axis.unit);
  const int group = std::clamp(static_cast<int>(std::floor(std::log10(std::abs(value)) / 3 + 1e-9)), least, largest);
  const double scaled = value / std::pow(10, 3 * group);
  const double fine = step > 0 ? step / std::pow(10, 3 * group) : scaled;
  const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(std::abs(fine)) - 1e-9)), 0, 4);
  return text_of(fmt::format("{:.{}f} {}{}", scaled, decimals, prefixes[group + 4], axis.unit));
}

std::vector<Tick> linear_ticks(const PlotAxis& axis, double low, double high, int most) {
  const double rough = (high - low) / std::max(most, 2);
  // Below what doubles tell apart no step gets anywhere.
  if (!(rough > 1e-12 * std::max(std::abs(low), std::abs(high)))) return {{low, number_text(axis, low, 0)}};
  const double decade = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * decade;
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * decade >= rough) {
      step = factor * decade;
      break;
    }
  std::vector<Tick> out;
  for (double at = std::ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step) {
    const double value = std::abs(at) < step * 1e-9 ? 0 : at;
    out.push_back({value, number_text(axis, value, step)});
  }
  return out;
}

std::vector<Tick> log_ticks(const PlotAxis& axis, double low, double high, int most) {
  std::vector<Tick> out;
  if (axis.kind == AxisKind::count) {
    const int first = static_cast<int>(std::ceil(std::log2(low) - 1e-9));
    const int last = static_cast<int>(std::floor(std::log2(high) + 1e-9));
    const int stride = std::max(1, (last - first) / std::max(most, 1) + 1);
    for (int power = first; power <= last; power += stride)
      out.push_back({std::exp2(power), number_text(axis, std::exp2(power), 0)});
    return out;
  }
  const double decades = std::log10(high / low);
  if (decades < 0.7) return linear_ticks(axis, low, high, most);
  const int first = static_cast<int>(std::floor(std::log10(low)));
  const int last = static_cast<int>(std::ceil(std::log10(high)));
  const int stride = std::max(1, static_cast<int>(std::ceil(decades / most)));
  for (int power = first; power <= last; ++power)
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor > 1 && decades * 3 > most) continue;
      if (factor == 1 && (power - first) % stride != 0) continue;
      const double value = factor * std::pow(10, power);
      if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) out.push_back({value, number_text(axis, value, 0)});
    }
  return out;
}

std::vector<Tick> moment_ticks(double low, double high, int most) {
  constexpr double minute = 60, hour = 3600, day = 86400;
  double step = 400 * day;
  for (const double candidate : {minute, 5 * minute, 15 * minute, hour, 3 * hour, 6 * hour, 12 * hour, day, 2 * day,
                                 4 * day, 7 * day, 14 * day, 30 * day, 60 * day, 90 * day, 180 * day})
    if ((high - low) / candidate <= most) {
      step = candidate;
      break;
    }
  const QString form = step < day ? QStringLiteral("MM-dd HH:mm") : QStringLiteral("yyyy-MM-dd");
  const double shift = static_cast<double>(QDateTime::fromSecsSinceEpoch(static_cast<qint64>(low)).offsetFromUtc());
  std::vector<Tick> out;
  for (double at = std::ceil((low + shift) / step) * step - shift; at <= high; at += step)
    out.push_back({at, QDateTime::fromSecsSinceEpoch(static_cast<qint64>(at)).toString(form)});
  return out;
}

}  // namespace

std::vector<Tick> ticks(const PlotAxis& axis, std::pair<double, double> range, int most) {
  const auto [low, high] = range;
  if (!axis.categories.empty()) {
    std::vector<Tick> out;
    for (std::size_t i = 0; i < axis.categories.size(); ++i)
      out.push_back({static_cast<double>(i), axis.categories[i]});
    return out;
  }
  if (axis.kind == AxisKind::moment) return moment_ticks(low, high, most);
  return axis.log ? log_ticks(axis, low, high, most) : linear_ticks(axis, low, high, most);
}

}  // namespace assay::gui
