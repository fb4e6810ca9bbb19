#include "gui/views/explore_view.h"

#include <fmt/format.h>

#include <QGridLayout>
#include <QHBoxLayout>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>
#include <map>

#include "gui/model/crossover.h"
#include "gui/model/palette.h"
#include "gui/theme.h"
#include "gui/views/front_plot.h"

namespace assay::gui {
namespace {

QString tip_of(const RunData& data, const std::string& metric, qint64 id) {
  const CaseResult* result = data.find(id);
  const Value* held = result == nullptr ? nullptr : result->value(metric);
  if (held == nullptr) return {};
  const Value& value = *held;
  QString tip = QStringLiteral("%1\n%2\n%3 %4 (%5)")
                    .arg(text_of(result->info.name), text_of(parameters_text(result->info)),
                         text_of(metric_title(value.metric)), text_of(value_text(value)), text_of(exact_text(value)));
  if (const auto interval = interval_text(value); !interval.empty())
    tip += ExploreView::tr("\n95% interval %1").arg(text_of(interval));
  if (const auto reach = reach_text(value); !reach.empty()) tip += ExploreView::tr("\nlaunches %1").arg(text_of(reach));
  return tip + QLatin1Char('\n') + text_of(evidence_text(value));
}

constexpr std::string_view metric_axis = "metric:";  // before the name of a metric that is the axis
constexpr std::size_t most_crossovers = 3;           // more of them are noise, not a finding
constexpr std::size_t most_claims = 3;               // lines in one panel

void fill(QComboBox* box, const std::vector<std::string>& names, const std::string& chosen,
          const std::function<std::string(const std::string&)>& title) {
  const QSignalBlocker quiet(box);
  const auto holds = [&](std::size_t i) { return box->itemData(static_cast<int>(i)).toString() == text_of(names[i]); };
  bool same = static_cast<std::size_t>(box->count()) == names.size();
  for (std::size_t i = 0; same && i < names.size(); ++i) same = holds(i);
  if (!same) {  // a keystroke seldom changes what there is to choose from
    box->clear();
    for (const std::string& name : names) box->addItem(text_of(title(name)), text_of(name));
  }
  box->setCurrentIndex(box->findData(text_of(chosen)));
}

struct Reach {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  void take(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

template <class Of>
Reach reach_of(const Exploration& exploration, const Of& of) {
  Reach reach;
  for (const ExplorePanel& panel : exploration.panels)
    for (const ExploreSeries& series : panel.series)
      for (const ExplorePoint& point : series.points) reach.take(of(point));
  return reach;
}

// Its number has no interval, but launches that lie apart.
bool only_reach(const Value& value) { return !(value.low && value.high) && value.launches > 1; }

bool has_reach(const Exploration& exploration) {
  for (const ExplorePanel& panel : exploration.panels)
    for (const ExploreSeries& series : panel.series)
      for (const ExplorePoint& point : series.points)
        if (only_reach(point.value)) return true;
  return false;
}

// Two decades of values say nothing on a linear scale.
bool spreads(const Exploration& exploration) {
  const Reach reach = reach_of(exploration, [](const ExplorePoint& point) { return point.value.median; });
  return reach.low > 0 && reach.high > 20 * reach.low;
}

// The technique of a panel that has several series of one alone: its title says it once.
std::string only_technique(const Exploration& exploration, const ExplorePanel& panel) {
  if (!exploration.numeric || panel.series.size() < 2) return "";
  for (const ExploreSeries& series : panel.series)
    if (series.technique != panel.series.front().technique || series.variant.empty()) return "";
  return panel.series.front().name;
}

QString label_of(const ExploreSeries& series) {
  return text_of(series.name + (series.variant.empty() ? "" : ", " + series.variant));
}

// What the row of a point is called where the axis has no numbers.
QString row_name(const Exploration& exploration, const ExplorePanel& panel, const ExploreSeries& series,
                 const ExplorePoint& point) {
  if (exploration.axis == "technique") return label_of(series);
  const QString category = text_of(exploration.categories[static_cast<std::size_t>(point.x)]);
  return panel.series.size() > 1 ? category + QStringLiteral(": ") + label_of(series) : category;
}

// The rows a panel has, the best one on top, which is last.
std::vector<QString> rows_of(const Exploration& exploration, const ExplorePanel& panel) {
  std::map<QString, double> best;
  for (const ExploreSeries& series : panel.series)
    for (const ExplorePoint& point : series.points) {
      const double value = exploration.lower_is_better ? point.value.median : -point.value.median;
      const auto [at, is_new] = best.try_emplace(row_name(exploration, panel, series, point), value);
      if (!is_new) at->second = std::min(at->second, value);
    }
  std::vector<QString> rows;
  for (const auto& [name, value] : best) rows.push_back(name);
  std::stable_sort(rows.begin(), rows.end(), [&](const QString& a, const QString& b) { return best[a] > best[b]; });
  return rows;
}

}  // namespace

ExploreView::ExploreView(Session& session, QWidget* parent)
    : View(session, QStringLiteral("explore"), tr("Explore"), parent) {
  auto* layout = page();
  auto* controls = new QHBoxLayout;
  metric_ = new QComboBox;
  metric_->setAccessibleName(tr("metric"));
  metric_->setMinimumWidth(170);
  axis_ = new QComboBox;
  axis_->setAccessibleName(tr("axis"));
  axis_->setMinimumWidth(160);
  scale_ = new QPushButton(tr("log scale"));
  scale_->setCheckable(true);
  common_ = quiet_line();
  offers_all(common_);
  controls->addWidget(metric_);
  controls->addWidget(new QLabel(tr("over")));
  controls->addWidget(axis_);
  controls->addWidget(scale_);
  controls->addSpacing(8);
  controls->addWidget(common_, 1);
  layout->addLayout(controls);
  auto* splitter = new QSplitter(Qt::Vertical);
  splitter->setHandleWidth(12);
  auto* board = new QWidget;
  grid_ = new QGridLayout(board);
  grid_->setContentsMargins(0, 0, 0, 0);
  grid_->setSpacing(10);
  scroll_ = scrolled(board, tr("plots"));
  ranking_ = new GridView(tr("ranking"));
  splitter->addWidget(scroll_);
  splitter->addWidget(ranking_);
  splitter->setStretchFactor(0, 3);
  splitter->setStretchFactor(1, 2);
  splitter->setSizes({420, 230});
  layout->addWidget(splitter, 1);

  connect(metric_, &QComboBox::activated, this, [this] {
    wish_.metric = metric_->currentData().toString().toStdString();
    log_.reset();
    refresh();
  });
  connect(axis_, &QComboBox::activated, this, [this] {
    wish_.axis = axis_->currentData().toString().toStdString();
    limit_.reset();
    refresh();
  });
  connect(scale_, &QPushButton::clicked, this, [this](bool on) {
    log_ = on;
    refresh();
  });
  connect(ranking_, &GridView::row_selected, this, [this](qint64 id) {
    if (id != 0) this->session().select_case(id);
  });
  connect(ranking_, &GridView::row_activated, this, [this] { activate(); });
}

void ExploreView::activate() {
  if (ranking_->current_id() == 0) return;
  session().select_case(ranking_->current_id());
  Q_EMIT view_wanted(QStringLiteral("trends"));
}

void ExploreView::toggle_scale() {
  if (scale_->isEnabled()) scale_->click();
}

QStringList ExploreView::arguments() const {
  QStringList out;
  if (!wish_.metric.empty()) out << QStringLiteral("metric=") + text_of(wish_.metric);
  if (!wish_.axis.empty()) out << QStringLiteral("axis=") + text_of(wish_.axis);
  if (limit_) out << QStringLiteral("limit=") + QString::number(*limit_, 'g', 12);
  if (log_) out << (*log_ ? QStringLiteral("log=1") : QStringLiteral("log=0"));
  return out;
}

void ExploreView::set_arguments(const QMap<QString, QString>& values) {
  wish_.metric = values.value(QStringLiteral("metric")).toStdString();
  wish_.axis = values.value(QStringLiteral("axis")).toStdString();
  limit_.reset();
  if (values.contains(QStringLiteral("limit"))) limit_ = values.value(QStringLiteral("limit")).toDouble();
  if (values.contains(QStringLiteral("log"))) log_ = values.value(QStringLiteral("log")) == QStringLiteral("1");
}

void ExploreView::refresh() {
  const auto data = session().run();
  if (!data) return show_empty(tr("Nothing to explore yet."), tr("assay run quick"));
  Shown now{data, kept_cases(*data, session().filter()), wish_, limit_, log_, theme().dark};
  // A keystroke that hides nothing more shows what stands there already.
  if (!is_empty() && now == shown_) return select_shown();
  shown_ = std::move(now);
  if (wish_.axis.starts_with(metric_axis)) return show_front(data);
  const Exploration exploration = explore(shown_.kept, wish_);
  if (exploration.shown == 0) {
    if (exploration.without_metric > 0)
      return show_empty(tr("%1 case(s) match, but none has a value: they failed or were skipped. Overview says why.")
                            .arg(exploration.without_metric));
    if (exploration.filtered_out > 0)
      return show_empty(
          tr("No case of this run matches the filter (%1 do not). Escape clears it.").arg(exploration.filtered_out));
    return show_empty(tr("This run measured nothing."), tr("assay run quick --db %1").arg(session().path()));
  }
  show_content();
  data_ = data;
  is_log_ = log_.value_or(spreads(exploration));
  read_claims(data);
  claimed_ = claimed_values(claims_, exploration);
  show_controls(exploration);
  show_plots(exploration);
  show_ranking(exploration);
}

// Another metric is the axis: no line runs along it, but there is a front and a limit.
void ExploreView::show_front(const std::shared_ptr<const RunData>& data) {
  const Exploration choice = explore(shown_.kept, {wish_.metric, {}, wish_.most_panels});
  const Front front = front_of(*data, session().filter(), wish_.axis.substr(metric_axis.size()), choice.metric);
  if (front.points.empty())
    return show_empty(tr("No case has both %1 and %2 (%3 match, %4 filtered out). Choose another axis, or clear the "
                         "filter with Escape.")
                          .arg(text_of(metric_title(front.x_metric)), text_of(metric_title(front.y_metric)))
                          .arg(front.without)
                          .arg(front.filtered_out));
  show_content();
  data_ = data;
  fill(metric_, choice.metrics, choice.metric, metric_title);
  fill_axes(choice, wish_.axis);
  scale_->setEnabled(false);
  const double limit = limit_.value_or(widest_limit(front));
  common_->setText(limit_text(front, limit).toHtmlEscaped());
  panels_ = 1;
  make_plots();
  place_plots();
  plots_.front()->show_spec(front_spec(front, limit, data));
  ranking_->show_grid(front_grid(front, limit));
  select_shown();
}

void ExploreView::select_shown() {
  if (const auto selected = session().selected_case()) ranking_->select_id(*selected);
}

void ExploreView::fill_axes(const Exploration& exploration, const std::string& chosen) {
  std::vector<std::string> names = exploration.axes;
  for (const std::string& metric : exploration.metrics)
    if (metric != exploration.metric) names.push_back(std::string(metric_axis) + metric);
  fill(axis_, names, chosen, [](const std::string& name) {
    return name.starts_with(metric_axis) ? metric_title(name.substr(metric_axis.size())) + " (metric)"
                                         : axis_title(name);
  });
}

void ExploreView::show_controls(const Exploration& exploration) {
  fill(metric_, exploration.metrics, exploration.metric, metric_title);
  fill_axes(exploration, exploration.axis);
  scale_->setEnabled(true);
  scale_->setChecked(is_log_);
  QStringList parts;
  if (!exploration.common.empty()) parts << tr("all: %1").arg(text_of(exploration.common)).toHtmlEscaped();
  if (exploration.filtered_out > 0) parts << hidden_text(tr("%1 filtered out").arg(exploration.filtered_out));
  if (exploration.without_metric > 0) parts << tr("%1 without this value").arg(exploration.without_metric);
  if (has_reach(exploration)) parts << tr("thin bars: the launches, too few for an interval");
  common_->setText(parts.join(QStringLiteral(" · ")));
}

PlotSpec ExploreView::spec_of(const Exploration& exploration, const ExplorePanel& panel) const {
  PlotSpec spec;
  const std::string only = only_technique(exploration, panel);
  spec.title = text_of(only + (only.empty() || panel.title.empty() ? "" : ": ") + panel.title);
  PlotAxis values;
  values.title = text_of(metric_heading(exploration.metric));
  values.unit = exploration.unit;
  values.metric = exploration.metric;
  values.log = is_log_;
  values.from_zero = !is_log_;
  PlotAxis along;
  const auto rows = exploration.numeric ? std::vector<QString>() : rows_of(exploration, panel);
  along.title = text_of(axis_title(exploration.axis));
  along.kind = AxisKind::count;
  if (exploration.numeric) {
    const auto [low, high] = reach_of(exploration, [](const ExplorePoint& point) { return point.x; });
    along.log = low > 0 && high >= 4 * low;
    if (high < 1024) along.kind = AxisKind::number;
  } else {
    along.categories = rows;
  }
  // Names are read level, so categories are rows and the values run to the right.
  spec.x = exploration.numeric ? along : values;
  spec.y = exploration.numeric ? values : along;
  if (!exploration.numeric) spec.y.title.clear();
  spec.tip = [data = data_, metric = exploration.metric](qint64 id) { return tip_of(*data, metric, id); };
  add_claims(spec, exploration, panel);
  if (exploration.numeric) {
    const auto found = crossovers(panel, exploration.lower_is_better);
    if (found.size() <= most_crossovers)
      for (const Crossover& held : found)
        spec.bands.push_back({held.from, held.to, text_of(held.after) + QStringLiteral(" from here on")});
  }
  const auto row_of = [&](const ExploreSeries& series, const ExplorePoint& point) {
    const QString name = row_name(exploration, panel, series, point);
    return static_cast<double>(std::find(rows.begin(), rows.end(), name) - rows.begin());
  };
  for (const ExploreSeries& held : panel.series) {
    PlotSeries series;
    series.name = only.empty() ? label_of(held) : text_of(held.variant);
    series.color = technique_color(held.technique);
    series.provenance = held.provenance;
    series.marker = marker_shape(held.technique);
    series.line = exploration.numeric;
    for (const ExplorePoint& point : held.points) {
      PlotPoint drawn;
      drawn.x = exploration.numeric ? point.x : point.value.median;
      drawn.y = exploration.numeric ? point.value.median : row_of(held, point);
      drawn.low = point.value.low;
      drawn.high = point.value.high;
      if (only_reach(point.value)) {
        drawn.low = point.value.lowest;
        drawn.high = point.value.highest;
        drawn.spread = Spread::launches;
      }
      drawn.id = point.result->info.id;
      series.points.push_back(std::move(drawn));
    }
    spec.series.push_back(std::move(series));
  }
  return spec;
}

// What papers say of the techniques of this panel, as lines: no point of ours, and not on this machine.
void ExploreView::add_claims(PlotSpec& spec, const Exploration& exploration, const ExplorePanel& panel) const {
  std::size_t drawn = 0;
  for (const ClaimedValue& claimed : claimed_) {
    const auto of_it = std::find_if(panel.series.begin(), panel.series.end(),
                                    [&](const ExploreSeries& series) { return series.technique == claimed.technique; });
    if (of_it == panel.series.end()) continue;
    if (++drawn > most_claims) break;
    PlotReference line{claimed.value,
                       !exploration.numeric,
                       {},
                       technique_color(claimed.technique),
                       provenance_pen(results_db::Provenance::claimed)};
    line.stretches = false;
    line.text = QStringLiteral("❝ %1 %2").arg(text_of(value_text(claimed.value, exploration.unit, exploration.metric)),
                                              text_of(claimed.published.empty() ? of_it->name : claimed.published));
    spec.references.push_back(std::move(line));
  }
}

// Once for a run that is looked at, not for every keystroke.
void ExploreView::read_claims(const std::shared_ptr<const RunData>& data) {
  if (claims_of_ == data) return;
  claims_.clear();
  session().guarded([&] { claims_ = session().database()->store().claims(); });
  claims_of_ = data;
}

void ExploreView::show_plots(const Exploration& exploration) {
  panels_ = static_cast<int>(exploration.panels.size());
  make_plots();
  place_plots();
  for (int i = 0; i < panels_; ++i)
    plots_[static_cast<std::size_t>(i)]->show_spec(
        spec_of(exploration, exploration.panels[static_cast<std::size_t>(i)]));
}

void ExploreView::make_plots() {
  while (static_cast<int>(plots_.size()) < panels_) {
    auto* plot = new PlotView;
    connect(plot, &PlotView::point_clicked, this, [this](qint64 id) {
      session().select_case(id);
      ranking_->select_id(id);
      Q_EMIT details_wanted();
    });
    connect(plot, &PlotView::point_activated, this, [this](qint64 id) {
      session().select_case(id);
      Q_EMIT view_wanted(QStringLiteral("trends"));
    });
    connect(plot, &PlotView::reference_moved, this, [this](double value) { move_limit(value); });
    plots_.push_back(plot);
  }
}

// While it is dragged only what depends on it is made again: the plot under the mouse stays.
void ExploreView::move_limit(double value) {
  limit_ = value;
  const Exploration choice = explore(*data_, session().filter(), {wish_.metric, {}, wish_.most_panels});
  const Front front = front_of(*data_, session().filter(), wish_.axis.substr(metric_axis.size()), choice.metric);
  common_->setText(limit_text(front, value).toHtmlEscaped());
  ranking_->show_grid(front_grid(front, value));
}

void ExploreView::place_plots() {
  const int width = std::max(300, scroll_->width());
  const int columns = panels_ <= 1 ? 1 : std::clamp(width / 460, 1, panels_ <= 4 ? 2 : 3);
  if (placed_ == std::pair{panels_, columns}) return;
  placed_ = {panels_, columns};
  for (std::size_t i = 0; i < plots_.size(); ++i) {
    grid_->removeWidget(plots_[i]);
    const int place = static_cast<int>(i);
    plots_[i]->setVisible(place < panels_);
    plots_[i]->setMinimumHeight(panels_ <= 2 ? 200 : 180);
    if (place < panels_) grid_->addWidget(plots_[i], place / columns, place % columns);
  }
}

void ExploreView::resizeEvent(QResizeEvent* event) {
  View::resizeEvent(event);
  if (panels_ > 0) place_plots();
}

void ExploreView::show_ranking(const Exploration& exploration) {
  Grid grid;
  grid.tip = [data = data_, metric = exploration.metric](qint64 id, std::size_t column) {
    if (column == 0) return tip_of(*data, metric, id);
    const CaseResult* result = column == 1 ? data->find(id) : nullptr;
    return result == nullptr ? QString() : text_of(result->info.record.key);
  };
  grid.columns = {
      {tr("technique")},          {tr("case"), false, true},    {text_of(metric_title(exploration.metric)), true},
      {tr("95% interval"), true}, {tr("times the best"), true}, {tr("where it comes from"), false, false, 1}};
  if (const RowsOf now{data_, exploration.metric, theme().dark}; !(now == rows_of_)) {
    rows_.clear();
    rows_of_ = now;
  }
  const auto ranks = ranking(exploration);
  grid.rows.reserve(ranks.size());
  std::vector<const CaseInfo*> infos;
  for (const auto& ranked : ranks) infos.push_back(&ranked.point.result->info);
  CommonAxes common = common_by_technique(infos);
  for (auto& [technique, axes] : common) {  // what rows are grouped by is said in each
    axes.insert(exploration.common_axes.begin(), exploration.common_axes.end());
    axes.erase(exploration.axis);
    for (const std::string& facet : exploration.facets) axes.erase(facet);
  }
  for (const auto& [point, factor] : ranks) {
    const CaseResult& result = *point.result;
    const auto [held, is_new] = rows_.try_emplace(&result);
    if (is_new) {  // the words of a case are the same at every keystroke; what sets it apart and how it ranks are not
      GridCell name(provenance_glyph(point.value.provenance) + QLatin1Char(' ') + text_of(result.info.name));
      name.color = technique_color(result.info.record.technique);
      held->second.id = result.info.id;
      held->second.cells = {name,
                            {},
                            GridCell::number(text_of(value_text(point.value)), point.value.median),
                            text_of(interval_text(point.value)),
                            {},
                            text_of(evidence_text(point.value))};
      held->second.cells[2].strong = true;
    }
    GridRow& row = grid.rows.emplace_back(held->second);
    row.cells[1] = text_of(parameters_text(result.info, common.at(result.info.record.technique))) +
                   (exploration.one_place ? QString() : QStringLiteral(" · ") + text_of(where_text(result.info)));
    row.cells[4] =
        GridCell::number(std::isfinite(factor) ? text_of(fmt::format("{:.2f}x", factor)) : QString(), factor);
  }
  ranking_->show_grid(std::move(grid));
  select_shown();
}

}  // namespace assay::gui
