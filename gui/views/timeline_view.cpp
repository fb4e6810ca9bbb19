#include "gui/views/timeline_view.h"

#include <fmt/format.h>

#include <QHBoxLayout>
#include <QScrollArea>
#include <QSplitter>
#include <QVBoxLayout>

#include "gui/theme.h"

namespace assay::gui {

TimelineView::TimelineView(Session& session, QWidget* parent)
    : View(session, QStringLiteral("timeline"), tr("Timeline"), parent) {
  auto* layout = new QVBoxLayout(content());
  layout->setContentsMargins(16, 12, 16, 12);
  auto* controls = new QHBoxLayout;
  case_ = new QComboBox;
  case_->setAccessibleName(tr("case and launch"));
  case_->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
  critical_ = new QPushButton(tr("Chain that ends last"));
  critical_->setCheckable(true);
  critical_->setToolTip(
      tr("From the last bar back, always to the one that had ended last when it began: what the end waited for"));
  auto* all = new QPushButton(tr("All"));
  all->setToolTip(tr("show all of it (0)"));
  controls->addWidget(case_, 1);
  controls->addWidget(critical_);
  controls->addWidget(all);
  layout->addLayout(controls);
  summary_ = new QLabel;
  summary_->setObjectName(QStringLiteral("dim"));
  summary_->setWordWrap(true);
  layout->addWidget(summary_);
  auto* splitter = new QSplitter(Qt::Vertical);
  splitter->setHandleWidth(10);
  auto* upper = new QWidget;
  auto* down = new QVBoxLayout(upper);
  down->setContentsMargins(0, 0, 0, 0);
  down->setSpacing(0);
  canvas_ = new TimelineCanvas;
  ruler_ = new TimelineRuler(canvas_);
  auto* scroll = new QScrollArea;
  scroll->setWidgetResizable(true);
  scroll->setFrameShape(QFrame::NoFrame);
  scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  scroll->setWidget(canvas_);
  down->addWidget(ruler_);
  down->addWidget(scroll, 1);
  lanes_ = new GridView(tr("lanes"));
  splitter->addWidget(upper);
  splitter->addWidget(lanes_);
  splitter->setStretchFactor(0, 3);
  splitter->setStretchFactor(1, 1);
  splitter->setSizes({430, 190});
  layout->addWidget(splitter, 1);
  connect(case_, &QComboBox::activated, this,
          [this](int row) { this->session().guarded([this, row] { choose(row); }); });
  connect(critical_, &QPushButton::toggled, canvas_, &TimelineCanvas::set_critical);
  connect(all, &QPushButton::clicked, canvas_, &TimelineCanvas::show_all);
  connect(canvas_, &TimelineCanvas::measure_changed, this, [this] { show_use(); });
}

void TimelineView::refresh() {
  const auto data = session().run();
  const QString command = tr("assay run ring-attention --fabric cluster --axis ranks=64");
  if (!data) return show_empty(tr("No timeline yet. Programs over ranks on a modelled cluster record one:"), command);
  std::vector<results_db::TimelineSummary> all;
  if (!session().guarded([&] { all = session().database()->store().timelines(data->run.id); })) return;
  std::vector<results_db::TimelineSummary> found;
  QStringList titles;
  int wanted = 0;
  for (const auto& held : all) {
    const CaseResult* result = data->find(held.case_id);
    if (result == nullptr || !matches(session().filter(), *result)) continue;
    if (session().selected_case() == held.case_id) wanted = static_cast<int>(found.size());
    QString title = text_of(result->info.name + ": " + parameters_text(result->info));
    if (held.ordinal > 0) title += tr(", launch %1").arg(held.ordinal + 1);
    titles << title;
    found.push_back(held);
  }
  if (found.empty()) {
    shown_ = -1;
    if (!all.empty())
      return show_empty(
          tr("None of the %1 timeline(s) of this run matches the filter. Escape clears it.").arg(all.size()));
    return show_empty(tr("This run has no timeline. Programs over ranks on a modelled cluster record one:"), command);
  }
  show_content();
  const bool same = shown_run_ == data->run.id && found.size() == found_.size();
  found_ = std::move(found);
  shown_run_ = data->run.id;
  {
    const QSignalBlocker quiet(case_);
    case_->clear();
    case_->addItems(titles);
  }
  if (same && shown_ == wanted) {
    case_->setCurrentIndex(shown_);
    show_use();
    return;
  }
  session().guarded([&] { choose(wanted); });
}

void TimelineView::choose(int row) {
  if (row < 0 || row >= static_cast<int>(found_.size())) return;
  shown_ = row;
  case_->setCurrentIndex(row);
  const auto& held = found_[static_cast<std::size_t>(row)];
  canvas_->show_data(make_timeline(session().database()->store().timeline(shown_run_, held.case_id, held.ordinal)));
  session().select_case(held.case_id);
  show_use();
}

void TimelineView::show_use() {
  const TimelineData& data = canvas_->data();
  const auto data_of_run = session().run();
  const CaseResult* result =
      data_of_run && shown_ >= 0 ? data_of_run->find(found_[static_cast<std::size_t>(shown_)].case_id) : nullptr;
  std::int64_t from = data.begin, to = data.end;
  if (const auto measured = canvas_->measured()) {
    from = static_cast<std::int64_t>(measured->first);
    to = static_cast<std::int64_t>(measured->second);
  }
  const auto span = static_cast<double>(to - from);
  const bool real =
      result != nullptr && result->info.record.timer != "virtual" && result->info.record.fabric != "cluster";
  QString text = canvas_->measured()
                     ? tr("measured stretch: %1, beginning at %2")
                           .arg(time_text(span), time_text(static_cast<double>(from - data.begin)))
                     : tr("%1 bars on %2 lanes over %3").arg(data.bars).arg(data.lanes.size()).arg(time_text(span));
  if (!canvas_->measured() && data.end > data.begin)
    text += tr("; the chain that ends last works %1% of it")
                .arg(std::lround(100.0 * static_cast<double>(data.critical_busy) /
                                 static_cast<double>(data.end - data.begin)));
  text += real ? tr(" · measured") : tr(" · projected");
  text += tr(" · wheel zooms, drag moves, Shift and drag measures, a click on a name folds its rank");
  summary_->setText(text);
  Grid grid;
  grid.columns = {{tr("lane"), false, true},           {tr("busy"), true}, {tr("busy share"), true}, {tr("idle"), true},
                  {tr("not hidden by compute"), true}, {tr("bars"), true}};
  for (std::size_t i = 0; i < data.lanes.size(); ++i) {
    const Lane& lane = data.lanes[i];
    const LaneUse use = use_of(lane, from, to);
    const auto busy = static_cast<double>(use.busy);
    GridRow row;
    row.id = static_cast<qint64>(i) + 1;
    GridCell name(text_of(lane.name));
    name.color = technique_color(lane.kind);
    const bool transfer = lane.kind != "compute" && !is_waiting(lane) && lane.kind != lane.name;
    const auto alone = transfer ? static_cast<double>(exposed(data, lane, from, to)) : 0.0;
    row.cells = {name,
                 GridCell::number(time_text(busy), busy),
                 GridCell::number(span > 0 ? text_of(fmt::format("{:.1f}%", 100 * busy / span)) : QString(), busy),
                 GridCell::number(time_text(span - busy), span - busy),
                 GridCell::number(transfer ? time_text(alone) : QString(), alone),
                 GridCell::number(QString::number(use.bars), static_cast<double>(use.bars))};
    grid.rows.push_back(std::move(row));
  }
  lanes_->show_grid(std::move(grid));
}

}  // namespace assay::gui
