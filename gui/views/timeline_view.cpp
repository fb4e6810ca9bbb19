#include "gui/views/timeline_view.h"

#include <fmt/format.h>

#include <QHBoxLayout>
#include <QSplitter>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "gui/choice_box.h"
#include "gui/model/timeline_diff.h"
#include "gui/theme.h"

namespace assay::gui {
namespace {
using results_db::Provenance;

Provenance provenance_of(const CaseResult* result) {
  if (result == nullptr || result->info.record.timer == "virtual" || result->info.record.fabric == "cluster")
    return Provenance::projected;
  return result->info.record.fabric == "emulated" ? Provenance::emulated : Provenance::measured;
}

QString titled(const CaseInfo& info, const std::set<std::string>& told) {
  const std::string parameters = parameters_text(info, told);
  return text_of(info.name + (parameters.empty() ? "" : ": " + parameters));
}

// Of one technique only what differs is said; of another all of it.
std::set<std::string> common_of(const CaseResult& ours, const CaseResult& other) {
  if (ours.info.record.technique != other.info.record.technique) return {};
  return common_axes({&ours.info, &other.info});
}

}  // namespace

TimelineView::TimelineView(Session& session, QWidget* parent)
    : View(session, QStringLiteral("timeline"), tr("Timeline"), parent) {
  auto* layout = page();
  auto* controls = new QHBoxLayout;
  case_ = new ChoiceBox;
  case_->setAccessibleName(tr("case and launch"));
  critical_ = new QPushButton(tr("Last chain"));
  critical_->setCheckable(true);
  critical_->setToolTip(
      tr("The chain that ends last: from the last bar back, always to the one that had ended last when it began: what "
         "the end waited for"));
  idle_ = new QPushButton(tr("Idle"));
  idle_->setCheckable(true);
  idle_->setToolTip(tr("Colour the stretches in which a compute lane does nothing"));
  lines_ = new QPushButton(tr("Line a rank"));
  lines_->setCheckable(true);
  lines_->setToolTip(tr("All engines of a rank in one line; a click on its name lets them out"));
  colors_ = new QPushButton(tr("Operations"));
  colors_->setCheckable(true);
  colors_->setToolTip(tr("A colour an operation instead of a colour an engine"));
  alike_ = new QPushButton(tr("Fold equal"));
  alike_->setCheckable(true);
  alike_->setToolTip(tr("One for all ranks that do the same at the same times; a click on its name shows the others"));
  arrows_ = new QPushButton(tr("Messages"));
  arrows_->setCheckable(true);
  arrows_->setChecked(true);
  arrows_->setToolTip(tr("Arrows from sends to receives, once few enough are in view; between ranks that are shown"));
  auto* all = new QPushButton(tr("All"));
  all->setToolTip(tr("show all of it (0)"));
  against_ = new ChoiceBox;
  against_->setAccessibleName(tr("timeline to hold it against"));
  against_->setMinimumContentsLength(14);
  controls->addWidget(case_, 3);
  controls->addWidget(against_, 2);
  find_ = new QLineEdit;
  find_->setAccessibleName(tr("find an operation"));
  find_->setPlaceholderText(tr("Find an operation"));
  find_->setToolTip(tr("Operations with these letters in their name stand out; Enter goes to the next"));
  find_->setClearButtonEnabled(true);
  connect(find_, &QLineEdit::textEdited, this, [this] { find(); });
  connect(find_, &QLineEdit::textChanged, this, [this](const QString& words) {
    if (words.isEmpty()) find();
  });
  connect(find_, &QLineEdit::returnPressed, this, [this] { canvas_->show_next_found(); });
  controls->addWidget(critical_);
  controls->addWidget(idle_);
  controls->addWidget(colors_);
  controls->addWidget(lines_);
  controls->addWidget(alike_);
  controls->addWidget(arrows_);
  controls->addWidget(all);
  layout->addLayout(controls);
  summary_ = quiet_line();
  find_->setFixedWidth(170);
  auto* below = new QHBoxLayout;
  below->addWidget(summary_, 1);
  below->addWidget(find_);
  layout->addLayout(below);
  legend_ = quiet_line();
  legend_->setTextFormat(Qt::RichText);
  layout->addWidget(legend_);
  auto* splitter = new QSplitter(Qt::Vertical);
  splitter->setHandleWidth(10);
  auto* upper = new QWidget;
  auto* down = new QVBoxLayout(upper);
  down->setContentsMargins(0, 0, 0, 0);
  down->setSpacing(0);
  canvas_ = new TimelineCanvas;
  pinned_ = new TimelineCanvas;
  pinned_->setAccessibleName(tr("pinned lanes"));
  pinned_->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
  pinned_->hide();
  ruler_ = new TimelineRuler(canvas_);
  auto* scroll = scrolled(canvas_, tr("lanes of the timeline"));
  scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  down->addWidget(ruler_);
  down->addWidget(pinned_);
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
  connect(against_, &QComboBox::activated, this,
          [this](int row) { this->session().guarded([this, row] { hold_against(row); }); });
  for (TimelineCanvas* canvas : {canvas_, pinned_}) {
    connect(critical_, &QPushButton::toggled, canvas, &TimelineCanvas::set_critical);
    connect(idle_, &QPushButton::toggled, canvas, &TimelineCanvas::set_idle);
    connect(arrows_, &QPushButton::toggled, canvas, &TimelineCanvas::set_arrows);
    connect(colors_, &QPushButton::toggled, canvas, &TimelineCanvas::set_by_operation);
    connect(canvas, &TimelineCanvas::lane_chosen, this, [this](const QString& lane) { pin(lane); });
  }
  connect(alike_, &QPushButton::clicked, canvas_, &TimelineCanvas::set_alike);
  connect(colors_, &QPushButton::toggled, this, [this] { show_legend(); });
  connect(lines_, &QPushButton::toggled, canvas_, &TimelineCanvas::fold_all);
  connect(canvas_, &TimelineCanvas::bar_chosen, this,
          [this](std::size_t lane, std::size_t bar) { tell_bar(lane, bar); });
  connect(canvas_, &TimelineCanvas::range_changed, this, [this] {
    if (!pins_.empty()) pinned_->set_range(canvas_->range().first, canvas_->range().second);
  });
  connect(pinned_, &TimelineCanvas::range_changed, this, [this] {
    if (!pins_.empty()) canvas_->set_range(pinned_->range().first, pinned_->range().second);
  });
  connect(lanes_, &GridView::row_activated, this, [this] { activate(); });
  connect(all, &QPushButton::clicked, canvas_, &TimelineCanvas::show_all);
  connect(canvas_, &TimelineCanvas::measure_changed, this, [this] { show_use(); });
}

void TimelineView::refresh() {
  const auto data = session().run();
  const QString command = tr("assay run ring-attention --fabric cluster --axis ranks=64");
  if (!data)
    return show_empty(
        tr("No timeline yet. Programs over ranks on a modelled cluster and simulated serving record one:"), command);
  std::vector<results_db::TimelineSummary> all;
  if (!session().guarded([&] { all = session().database()->store().timelines(data->run.id); })) return;
  std::vector<results_db::TimelineSummary> found;
  QStringList titles, whole;
  int wanted = 0;
  std::vector<const CaseInfo*> infos;  // what tells one of them from the others is said of each
  for (const auto& held : all)
    if (const CaseResult* result = data->find(held.case_id); result != nullptr) infos.push_back(&result->info);
  const CommonAxes common = common_by_technique(infos);
  for (const auto& held : all) {
    const CaseResult* result = data->find(held.case_id);
    if (result == nullptr || !matches(session().filter(), *result)) continue;
    if (session().selected_case() == held.case_id) wanted = static_cast<int>(found.size());
    const QString launch = held.ordinal > 0 ? tr(", launch %1").arg(held.ordinal + 1) : QString();
    titles << titled(result->info, common.at(result->info.record.technique)) + launch;
    whole << titled(result->info, {}) + launch;
    found.push_back(held);
  }
  if (found.empty()) {
    shown_ = -1;
    if (!all.empty())
      return show_empty(
          tr("None of the %1 timeline(s) of this run matches the filter. Escape clears it.").arg(all.size()));
    return show_empty(
        tr("This run has no timeline. Programs over ranks on a modelled cluster, simulated serving and, on a GPU, "
           "assay run --kernels record one:"),
        command);
  }
  show_content();
  const bool same = shown_run_ == data->run.id && found.size() == found_.size();
  found_ = std::move(found);
  shown_run_ = data->run.id;
  {
    const QSignalBlocker quiet(case_);
    case_->clear();
    case_->addItems(titles);
    for (qsizetype i = 0; i < whole.size(); ++i) case_->setItemData(static_cast<int>(i), whole[i], Qt::ToolTipRole);
  }
  if (same && shown_ == wanted) {
    case_->setCurrentIndex(shown_);
    show_use();
  } else if (!session().guarded([&] { choose(wanted); })) {
    return;
  }
  apply_wish();
}

QStringList TimelineView::arguments() const {
  QStringList out;
  const auto begin = static_cast<double>(canvas_->data().begin);
  const auto [from, to] = canvas_->range();
  if (to - from < static_cast<double>(canvas_->data().end) - begin)  // some of it
    out << QStringLiteral("from=") + QString::number((from - begin) * 1e-12, 'g', 9)
        << QStringLiteral("to=") + QString::number((to - begin) * 1e-12, 'g', 9);
  if (critical_->isChecked()) out << QStringLiteral("chain=1");
  if (idle_->isChecked()) out << QStringLiteral("idle=1");
  if (lines_->isChecked()) out << QStringLiteral("lines=1");
  if (!find_->text().isEmpty()) out << QStringLiteral("find=") + find_->text();
  return out;
}

void TimelineView::set_arguments(const QMap<QString, QString>& values) { wish_ = values; }

// What a link asks for: buttons, words searched for, a stretch in seconds.
void TimelineView::apply_wish() {
  if (wish_.isEmpty()) return;
  const QMap<QString, QString> wish = std::exchange(wish_, {});
  const auto is_on = [&](const char* name) { return wish.value(QString::fromLatin1(name)) == QStringLiteral("1"); };
  critical_->setChecked(is_on("chain"));
  idle_->setChecked(is_on("idle"));
  lines_->setChecked(is_on("lines"));
  if (const QString words = wish.value(QStringLiteral("find")); !words.isEmpty()) {
    find_->setText(words);
    find();
  }
  if (!wish.contains(QStringLiteral("from")) || !wish.contains(QStringLiteral("to"))) return;
  const auto begin = static_cast<double>(canvas_->data().begin);
  canvas_->set_range(begin + wish.value(QStringLiteral("from")).toDouble() * 1e12,
                     begin + wish.value(QStringLiteral("to")).toDouble() * 1e12);
}

// Which colour is which operation, those that take longest first.
void TimelineView::show_legend() {
  constexpr std::size_t most_named = 8;  // there are as many colours
  const TimelineData& data = canvas_->data();
  std::map<std::uint32_t, std::int64_t> times;
  if (canvas_->by_operation())
    for (const Lane& lane : data.lanes)
      for (const Bar& bar : lane.bars) times[bar.name] += bar.end - bar.start;
  std::vector<std::uint32_t> order;
  for (const auto& [name, time] : times) order.push_back(name);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return times[a] > times[b]; });
  QStringList parts;
  for (std::size_t i = 0; i < std::min(order.size(), most_named); ++i)
    parts << QStringLiteral("<span style='color:%1'>■</span>&nbsp;%2")
                 .arg(
                     slot_color(order[i]).name(),
                     text_of(data.names[order[i]]).toHtmlEscaped().replace(QLatin1Char(' '), QStringLiteral("&nbsp;")));
  if (order.size() > most_named) parts << tr("and %1 more").arg(order.size() - most_named);
  legend_->setText(parts.join(QStringLiteral(" &nbsp; ")));
  legend_->setVisible(!parts.isEmpty());
}

// One operation over the whole timeline: is the bar that was clicked a usual one?
void TimelineView::tell_bar(std::size_t lane, std::size_t bar) {
  const TimelineData& data = canvas_->data();
  const Lane& held = data.lanes[lane];
  const OperationUse use = operation_use(data, held.kind, held.bars[bar].name);
  summary_->setText(tr("%1 on %2: this one %3; all %4 of them %5 to %6, median %7, together %8")
                        .arg(text_of(data.names[held.bars[bar].name]), text_of(held.name),
                             time_text(static_cast<double>(held.bars[bar].end - held.bars[bar].start)))
                        .arg(use.bars)
                        .arg(time_text(static_cast<double>(use.shortest)), time_text(static_cast<double>(use.longest)),
                             time_text(use.median), time_text(static_cast<double>(use.all))));
}

void TimelineView::choose(int row) {
  if (row < 0 || row >= static_cast<int>(found_.size())) return;
  shown_ = row;
  case_->setCurrentIndex(row);
  case_->setToolTip(case_->currentData(Qt::ToolTipRole).toString());
  const auto& held = found_[static_cast<std::size_t>(row)];
  canvas_->show_data(make_timeline(session().database()->store().timeline(shown_run_, held.case_id, held.ordinal)));
  alike_->setChecked(canvas_->folds_alike());
  {
    const QSignalBlocker quiet(lines_);
    lines_->setChecked(false);
  }
  lines_->setVisible(canvas_->has_foldable());
  colors_->setChecked(canvas_->by_operation());
  show_legend();
  arrows_->setVisible(!canvas_->data().arrows.empty());
  pins_.clear();
  pinned_->hide();
  find_->clear();
  session().select_case(held.case_id);
  if (const auto data = session().run()) list_others(*data);
  show_use();
}

void TimelineView::find() {
  const std::size_t bars = canvas_->search(find_->text());
  show_summary();
  if (!find_->text().isEmpty())
    summary_->setText(tr("%1 bar(s) of %2 have '%3' in their name · Enter shows the next")
                          .arg(bars)
                          .arg(canvas_->data().bars)
                          .arg(find_->text()));
}

void TimelineView::list_others(const RunData& data) {
  others_.clear();
  other_.reset();
  const auto& shown = found_[static_cast<std::size_t>(shown_)];
  const CaseResult* ours = data.find(shown.case_id);
  const auto add = [&](const RunData& run, const results_db::TimelineSummary& held) {
    const CaseResult* result = run.find(held.case_id);
    const bool itself = run.run.id == shown_run_ && held.case_id == shown.case_id && held.ordinal == shown.ordinal;
    if (result == nullptr || ours == nullptr || itself) return;
    QString title = titled(result->info, common_of(*ours, *result));
    if (held.ordinal > 0) title += tr(", launch %1").arg(held.ordinal + 1);
    if (run.run.id != shown_run_) title += QStringLiteral(" · ") + text_of(run_title(run.run));
    others_.push_back({run.run.id, held.case_id, held.ordinal, title});
  };
  // The same case a run earlier first: what got slower is the commonest question.
  if (const auto* before = session().database()->previous(data.run))
    if (const auto earlier = session().database()->run(before->id))
      for (const auto& held : session().database()->store().timelines(before->id))
        if (held.case_id == shown.case_id) add(*earlier, held);
  for (const auto& held : session().database()->store().timelines(data.run.id)) add(data, held);
  const QSignalBlocker quiet(against_);
  against_->clear();
  against_->addItem(tr("hold against ..."));
  for (const Other& other : others_) against_->addItem(other.title);
  against_->setVisible(!others_.empty());
}

void TimelineView::hold_against(int row) {
  other_.reset();
  if (row >= 1 && row <= static_cast<int>(others_.size())) {
    const Other& other = others_[static_cast<std::size_t>(row - 1)];
    other_ = make_timeline(session().database()->store().timeline(other.run, other.case_id, other.ordinal));
  }
  against_->setCurrentIndex(other_ ? row : 0);
  show_use();
}

void TimelineView::activate() {
  const qint64 id = lanes_->current_id();
  if (!other_ && id >= 1 && id <= static_cast<qint64>(canvas_->data().lanes.size()))
    pin(text_of(canvas_->data().lanes[static_cast<std::size_t>(id - 1)].name));
}

void TimelineView::pin(const QString& lane) {
  const std::string name = lane.toStdString();
  if (std::erase(pins_, name) == 0) pins_.push_back(name);
  pinned_->setVisible(!pins_.empty());
  if (pins_.empty()) return;
  const auto range = canvas_->range();  // showing other lanes shows all of them
  pinned_->setMaximumHeight(QWIDGETSIZE_MAX);
  pinned_->show_data(only_lanes(canvas_->data(), pins_));
  pinned_->set_alike(false);
  pinned_->set_by_operation(canvas_->by_operation());
  pinned_->setMaximumHeight(pinned_->minimumHeight());
  pinned_->set_range(range.first, range.second);
  canvas_->set_range(range.first, range.second);
}

std::pair<std::int64_t, std::int64_t> TimelineView::stretch() const {
  if (const auto measured = canvas_->measured())
    return {static_cast<std::int64_t>(measured->first), static_cast<std::int64_t>(measured->second)};
  return {canvas_->data().begin, canvas_->data().end};
}

void TimelineView::show_summary() {
  const TimelineData& data = canvas_->data();
  const auto data_of_run = session().run();
  const CaseResult* result =
      data_of_run && shown_ >= 0 ? data_of_run->find(found_[static_cast<std::size_t>(shown_)].case_id) : nullptr;
  const auto [from, to] = stretch();
  const auto span = static_cast<double>(to - from);
  QString text = canvas_->measured() ? tr("measured stretch: %1, beginning at %2")
                                           .arg(time_text(span), time_text(static_cast<double>(from - data.begin)))
                                     : tr("%1 bars on %2 %3 over %4")
                                           .arg(data.bars)
                                           .arg(data.lanes.size())
                                           .arg(data.lanes.size() == 1 ? tr("lane") : tr("lanes"), time_text(span));
  if (!canvas_->measured() && data.end > data.begin)
    text += tr("; the chain that ends last works %1% of it")
                .arg(std::lround(100.0 * static_cast<double>(data.critical_busy) /
                                 static_cast<double>(data.end - data.begin)));
  text += QStringLiteral(" · ") + QString::fromLatin1(to_string(provenance_of(result)));
  text +=
      tr(" · wheel zooms, drag moves, Shift and drag measures, Ctrl and drag zooms in, a click on a name folds its "
         "rank, a right click pins");
  summary_->setText(text);
}

void TimelineView::show_use() {
  if (other_) return show_difference();
  show_summary();
  const TimelineData& data = canvas_->data();
  const auto [from, to] = stretch();
  const auto span = static_cast<double>(to - from);
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
    name.color = lane_color(lane.kind);
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

void TimelineView::show_difference() {
  const TimelineDifference held = difference_of(*other_, canvas_->data());
  const auto base = static_cast<double>(held.base_span), now = static_cast<double>(held.other_span);
  summary_->setText(tr("%1 here, %2 in %3: %4 · what a rank spends on each operation, largest difference first")
                        .arg(time_text(now), time_text(base), against_->currentText(),
                             base > 0 ? text_of(fmt::format("{:+.1f}%", 100 * (now / base - 1))) : QString()));
  Grid grid;
  grid.columns = {{tr("operation"), false, true}, {tr("lane")},      {tr("there"), true}, {tr("here"), true},
                  {tr("difference"), true},       {tr("bars"), true}};
  qint64 id = 0;
  for (const OperationDifference& row : held.operations) {
    GridRow line;
    line.id = ++id;
    GridCell lane(text_of(row.lane));
    lane.color = lane_color(row.lane);
    GridCell difference = GridCell::number(
        (row.difference() > 0 ? QStringLiteral("+") : QString()) + time_text(row.difference()), row.difference());
    difference.color = row.difference() > 0 ? theme().bad : row.difference() < 0 ? theme().good : theme().dim;
    line.cells = {text_of(row.name),
                  lane,
                  GridCell::number(time_text(row.base), row.base),
                  GridCell::number(time_text(row.other), row.other),
                  difference,
                  GridCell::number(QStringLiteral("%1, %2").arg(row.base_bars).arg(row.other_bars),
                                   static_cast<double>(row.other_bars))};
    grid.rows.push_back(std::move(line));
  }
  lanes_->show_grid(std::move(grid));
}

}  // namespace assay::gui
