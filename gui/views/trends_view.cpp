#include "gui/views/trends_view.h"

#include <fmt/format.h>

#include <QApplication>
#include <QClipboard>
#include <QHBoxLayout>
#include <QInputDialog>
#include <QMenu>
#include <QSplitter>
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "gui/model/decision_text.h"
#include "gui/theme.h"
#include "gui/views/trend_plots.h"

namespace assay::gui {
namespace {
using harness::stats::Decision;
using harness::stats::Verdict;

bool is_listed(const CaseResult& result, const Filter& filter) {
  return !is_roof(result.info) && result.main_value() != nullptr && matches(filter, result);
}

QString decision_text(const Decision& decision, const QString& other, const Trend& trend) {
  const std::string& metric = trend.metric;
  if (!trend.judged)  // more bytes are neither better nor worse
    return std::isfinite(decision.ratio)
               ? TrendsView::tr("%1x the %2 of %3")
                     .arg(text_of(fmt::format("{:.3f}", decision.ratio)), text_of(metric_title(metric)), other)
               : TrendsView::tr("no ratio to %1").arg(other);
  QString words;
  switch (decision.verdict) {
    case Verdict::faster:
    case Verdict::slower:
      words = TrendsView::tr("than %1");
      break;
    case Verdict::same:
      words = TrendsView::tr("as %1");
      break;
    case Verdict::unsure:
      words = TrendsView::tr("whether it differs from %1");
      break;
  }
  QString text =
      QStringLiteral("<b style='color:%1'>%2</b> %3: %4x its %5")
          .arg(verdict_color(decision.verdict).name(), QString::fromLatin1(harness::stats::to_string(decision.verdict)),
               words.arg(other), text_of(fmt::format("{:.3f}", decision.ratio)), text_of(metric_title(metric)));
  if (const std::string range = interval_text(decision); !range.empty())
    text += TrendsView::tr(" (95%: %1)").arg(text_of(range));
  if (!decision.reason.empty())
    text += QStringLiteral("<br><span style='color:%1'>%2</span>")
                .arg(theme().dim.name(), text_of(decision.reason).toHtmlEscaped());
  return text;
}

}  // namespace

TrendsView::TrendsView(Session& session, QWidget* parent)
    : View(session, QStringLiteral("trends"), tr("Trends"), parent) {
  auto* layout = page();
  auto* across = new QSplitter(Qt::Horizontal);
  across->setHandleWidth(12);
  across->addWidget(make_left());
  across->addWidget(make_right());
  across->setStretchFactor(0, 1);
  across->setStretchFactor(1, 3);
  across->setSizes({520, 550});
  layout->addWidget(across);
  connect(cases_, &GridView::row_selected, this, [this](qint64 id) {
    if (id == 0) return;
    this->session().select_case(id);
    this->session().guarded([this] { show_case(); });
  });
  connect(alerts_, &GridView::row_activated, this, [this](qint64 id) {
    if (id < 1) return;
    const AlertGroup& group = groups_[static_cast<std::size_t>(id - 1)];
    this->session().select_case(group.alerts.front().case_id);
    cases_->select_id(group.alerts.front().case_id);
  });
  alerts_->setContextMenuPolicy(Qt::CustomContextMenu);
  connect(alerts_, &GridView::customContextMenuRequested, this, [this](const QPoint& at) { offer_decisions(at); });
  for (PlotView* plot : {level_, from_before_, from_first_}) {
    connect(plot, &PlotView::point_clicked, this, [this](qint64 id) { runs_->select_id(id); });
    connect(plot, &PlotView::range_selected, this, [this](double from, double to) {
      const auto nearest = [&](double x) {
        return static_cast<std::size_t>(std::min_element(trend_.points.begin(), trend_.points.end(),
                                                         [&](const TrendPoint& a, const TrendPoint& b) {
                                                           return std::abs(a.at - x) < std::abs(b.at - x);
                                                         }) -
                                        trend_.points.begin());
      };
      if (!trend_.points.empty())
        this->session().guarded([&] { show_pair(nearest(std::min(from, to)), nearest(std::max(from, to))); });
    });
  }
  connect(level_, &PlotView::point_menu_wanted, this, [this](qint64 id, const QPoint& at) { offer_cut(id, at); });
  runs_->setContextMenuPolicy(Qt::CustomContextMenu);
  connect(runs_, &GridView::customContextMenuRequested, this,
          [this](const QPoint& at) { offer_cut(runs_->current_id(), runs_->viewport()->mapToGlobal(at)); });
  connect(runs_, &GridView::row_activated, this, [this] { activate(); });
  connect(runs_, &GridView::row_selected, this, [this](qint64 id) {
    const auto at = std::find_if(trend_.points.begin(), trend_.points.end(),
                                 [&](const TrendPoint& point) { return static_cast<qint64>(point.run) + 1 == id; });
    if (at == trend_.points.end() || at == trend_.points.begin()) return;
    const auto place = static_cast<std::size_t>(at - trend_.points.begin());
    this->session().guarded([&] { show_pair(place - 1, place); });
  });
  connect(compare_, &QPushButton::clicked, this, [this] {
    const auto& runs = this->session().database()->runs();
    Q_EMIT comparison_wanted(text_of(runs[trend_.points[ends_.first].run].id),
                             text_of(runs[trend_.points[ends_.second].run].id));
  });
  connect(bisect_, &QPushButton::clicked, this,
          [this] { QApplication::clipboard()->setText(bisect_->property("command").toString()); });
}

QWidget* TrendsView::make_left() {
  auto* left = new QWidget;
  auto* down = new QVBoxLayout(left);
  down->setContentsMargins(0, 0, 0, 0);
  cases_ = new GridView(tr("cases"));
  alerts_title_ = new QLabel;
  alerts_title_->setObjectName(QStringLiteral("heading"));
  alerts_ = new GridView(tr("alerts"));
  alerts_->setToolTip(tr("Enter shows the case; the context menu says what came of it"));
  down->addWidget(cases_, 3);
  down->addWidget(alerts_title_);
  down->addWidget(alerts_, 1);
  return left;
}

QWidget* TrendsView::make_right() {
  auto* right = new QWidget;
  auto* down = new QVBoxLayout(right);
  down->setContentsMargins(0, 0, 0, 0);
  title_ = new QLabel;
  title_->setObjectName(QStringLiteral("heading"));
  title_->setWordWrap(true);
  metric_ = new QComboBox;
  metric_->setAccessibleName(tr("metric"));
  metric_->setToolTip(tr("what is followed over the runs"));
  metric_->setMinimumWidth(170);
  connect(metric_, &QComboBox::activated, this, [this] {
    wish_ = metric_->currentData().toString().toStdString();
    refresh();
  });
  auto* head = new QHBoxLayout;
  head->addWidget(title_, 1);
  head->addWidget(metric_);
  answer_ = new QLabel;
  answer_->setTextFormat(Qt::RichText);
  answer_->setWordWrap(true);
  level_ = new PlotView;
  from_before_ = new PlotView;
  from_first_ = new PlotView;
  runs_ = new GridView(tr("history"));
  auto* pair = new QHBoxLayout;
  pair->addWidget(from_before_);
  pair->addWidget(from_first_);
  pair_ = new QLabel;
  pair_->setTextFormat(Qt::RichText);
  pair_->setWordWrap(true);
  compare_ = new QPushButton(tr("Compare these"));
  compare_->setToolTip(tr("all cases of the two runs"));
  bisect_ = new QPushButton(tr("Copy git bisect"));
  auto* told = new QHBoxLayout;
  told->addWidget(pair_, 1);
  told->addWidget(compare_);
  told->addWidget(bisect_);
  down->addLayout(head);
  down->addWidget(answer_);
  down->addWidget(make_rule());
  down->addWidget(level_, 4);
  down->addLayout(pair, 3);
  down->addLayout(told);
  down->addWidget(runs_, 3);
  return right;
}

QWidget* TrendsView::make_rule() {
  auto* rule = new QWidget;
  auto* line = new QHBoxLayout(rule);
  line->setContentsMargins(0, 0, 0, 0);
  levels_text_ = quiet_line();
  const harness::stats::ChangeRule usual;
  const auto box = [&](double value, double low, double high, double step, const QString& name, const QString& tip) {
    auto* made = new QDoubleSpinBox;
    made->setRange(low, high);
    made->setSingleStep(step);
    made->setDecimals(1);
    made->setValue(value);
    made->setAccessibleName(name);
    made->setToolTip(tip);
    connect(made, &QDoubleSpinBox::valueChanged, this, [this] { replay(); });
    return made;
  };
  penalty_ =
      box(usual.penalty, 0.5, 50, 0.5, tr("price of a change of level"),
          tr("Replay the detector: higher finds fewer changes. %1 is what assay history uses").arg(usual.penalty));
  floor_ = box(100 * usual.effect_floor, 0, 100, 0.5, tr("smallest change of level, percent"),
               tr("Replay the detector: smaller changes do not count. %1% is what assay history uses")
                   .arg(100 * usual.effect_floor));
  floor_->setSuffix(QStringLiteral("%"));
  line->addWidget(levels_text_, 1);
  line->addWidget(new QLabel(tr("price")));
  line->addWidget(penalty_);
  line->addWidget(new QLabel(tr("from")));
  line->addWidget(floor_);
  return rule;
}

void TrendsView::activate() {
  Database* database = session().database();
  const qint64 run = runs_->current_id();
  if (database == nullptr || run < 1 || run > static_cast<qint64>(database->runs().size())) return;
  session().choose_run(database->runs()[static_cast<std::size_t>(run - 1)].id);
}

void TrendsView::toggle_scale() {
  log_ = !log_;
  session().guarded([this] { replay(); });
}

QStringList TrendsView::arguments() const {
  QStringList out;
  if (!wish_.empty()) out << QStringLiteral("metric=") + text_of(wish_);
  if (log_) out << QStringLiteral("log=1");
  return out;
}

void TrendsView::set_arguments(const QMap<QString, QString>& values) {
  wish_ = values.value(QStringLiteral("metric")).toStdString();
  log_ = values.value(QStringLiteral("log")) == QStringLiteral("1");
}

const Value& TrendsView::wished(const CaseResult& result) const {
  const Value* value = wish_.empty() ? nullptr : result.value(wish_);
  return value != nullptr ? *value : *result.main_value();
}

void TrendsView::list_metrics(const CaseResult& result) {
  const QSignalBlocker quiet(metric_);
  metric_->clear();
  for (const Value& value : result.values) metric_->addItem(text_of(metric_title(value.metric)), text_of(value.metric));
  metric_->setCurrentIndex(metric_->findData(text_of(trend_.metric)));
  metric_->setEnabled(result.values.size() > 1);
}

const CaseResult* TrendsView::shown_case() const { return shown_.data ? shown_.data->find(shown_.id) : nullptr; }

void TrendsView::refresh() {
  const auto data = session().run();
  if (!data) return show_empty(tr("No history yet: every run adds a point."), tr("assay run quick"));
  list_cases(data);
  if (cases_->grid().rows.empty())
    return show_empty(tr("No timed case of this run matches the filter. Escape clears it."));
  show_content();
  const auto selected = session().selected_case();
  {
    const QSignalBlocker quiet(cases_);
    cases_->select_id(selected.value_or(0));
    if (cases_->current_id() == 0) cases_->select_id(cases_->grid().rows.front().id);
  }
  // A keystroke in the filter that leaves the case in the list changes nothing of its history.
  if (shown_ == Shown{data, cases_->current_id(), wish_, run_words(session().filter()), theme().dark}) return;
  session().select_case(cases_->current_id());
  show_case();
  show_alerts(data->run.machine.id);
}

void TrendsView::list_cases(const std::shared_ptr<const RunData>& data) {
  Listed now{data, {}, wish_, theme().dark};
  for (const CaseResult& result : data->cases)
    if (is_listed(result, session().filter())) now.cases.push_back(&result);
  if (!now.cases.empty() && now == listed_) return;  // the keystroke hides nothing more
  listed_ = std::move(now);
  Grid grid;
  grid.columns = {{tr("technique")}, {tr("case"), false, true}, {tr("value"), true}};
  std::vector<const CaseInfo*> infos;
  for (const CaseResult* result : listed_.cases) infos.push_back(&result->info);
  const CommonAxes common = common_by_technique(infos);  // the title says all of it
  grid.rows.reserve(listed_.cases.size());
  for (const CaseResult* result : listed_.cases) {
    const Value& value = wished(*result);
    GridRow row;
    row.id = result->info.id;
    GridCell name(text_of(result->info.name));
    name.color = technique_color(result->info.record.technique);
    row.cells = {name, text_of(parameters_text(result->info, common.at(result->info.record.technique))),
                 GridCell::number(provenance_glyph(value.provenance) + QLatin1Char(' ') + text_of(value_text(value)),
                                  value.median)};
    if (!wish_.empty() && value.metric != wish_) {
      row.cells[2].color = theme().dim;
      row.cells[2].tip =
          tr("has no %1; this is its %2").arg(text_of(metric_title(wish_)), text_of(metric_title(value.metric)));
    }
    grid.rows.push_back(std::move(row));
  }
  grid.tip = [held = data](qint64 id, std::size_t column) {
    const CaseResult* result = column < 2 ? held->find(id) : nullptr;
    return result == nullptr ? QString() : text_of(result->info.record.key);
  };
  cases_->show_grid(std::move(grid));
}

void TrendsView::show_case() {
  const auto data = session().run();
  const CaseResult* result = data ? data->find(cases_->current_id()) : nullptr;
  if (result == nullptr) return;
  shown_ = {data, result->info.id, wish_, run_words(session().filter()), theme().dark};
  trend_ = trend_of(*session().database(), result->info, data->run.machine.id, wished(*result), session().filter());
  list_metrics(*result);
  title_->setText(text_of(result->info.name + ": " + parameters_text(result->info) + " on " + data->run.machine.name));
  std::size_t at = trend_.points.size();
  for (std::size_t i = 0; i < trend_.points.size(); ++i)
    if (session().database()->runs()[trend_.points[i].run].id == data->run.id) at = i;
  show_answer(*result, at);
  const double now = at < trend_.points.size() ? trend_.points[at].at : std::nan("");
  replay();
  for (const bool from_first : {false, true}) {
    PlotView* plot = from_first ? from_first_ : from_before_;
    PlotSpec spec = change_spec(trend_, from_first, now);
    plot->setVisible(!spec.series.front().points.empty());  // of one run there is no change
    plot->show_spec(std::move(spec));
  }
  show_runs();
  const bool pair = at > 0 && at < trend_.points.size();
  for (QWidget* part : std::initializer_list<QWidget*>{pair_, compare_, bisect_}) part->setVisible(pair);
  if (pair) show_pair(at - 1, at);
}

void TrendsView::replay() {
  const CaseResult* result = shown_case();
  if (result == nullptr) return;
  harness::stats::ChangeRule rule;
  rule.penalty = penalty_->value();
  rule.effect_floor = floor_->value() / 100;
  levels_ = levels_of(*session().database(), trend_, rule);
  QStringList words;
  for (const TrendChange& change : levels_.changes)
    words << tr("%1 of %2 on %3")
                 .arg(change.by_hand ? tr("cut by hand") : QString::fromLatin1(to_string(change.kind)),
                      text_of(fmt::format("{:+.1f}%", 100 * (change.ratio - 1))), moment(trend_.points[change.at].at));
  constexpr qsizetype most_named = 3;
  const qsizetype changes = words.size();
  if (changes > most_named) words = words.mid(changes - most_named);
  levels_text_->setText(changes == 0
                            ? (trend_.points.size() == 1 ? tr("one run, so no levels yet")
                                                         : tr("one level over %1 runs").arg(trend_.points.size()))
                            : tr("%1 change(s) of level; %2").arg(changes).arg(words.join(QStringLiteral(", "))));
  double now = std::nan("");
  for (const TrendPoint& point : trend_.points)
    if (session().database()->runs()[point.run].id == shown_.data->run.id) now = point.at;
  show_level(now);
}

void TrendsView::show_answer(const CaseResult& result, std::size_t at) {
  const TrendAnswer answer = judge_trend(*session().database(), result.info, trend_, at);
  QStringList lines;
  if (const Value* value = result.value(trend_.metric))
    lines << tr("%1 %2 in this run (%3)")
                 .arg(text_of(metric_title(trend_.metric)), text_of(value_text(*value)),
                      text_of(evidence_text(*value)));
  if (answer.last_from)
    lines << decision_text(answer.last, tr("the run before, %1").arg(moment(trend_.points[*answer.last_from].at)),
                           trend_);
  if (answer.week_from && answer.week_from != answer.last_from)
    lines << decision_text(answer.week, tr("a week before, %1").arg(moment(trend_.points[*answer.week_from].at)),
                           trend_);
  if (!answer.last_from) lines << tr("the first run of this case on this machine: nothing to compare with");
  answer_->setText(lines.join(QStringLiteral("<br>")));
}

void TrendsView::show_pair(std::size_t from, std::size_t to) {
  const CaseResult* result = shown_case();
  if (result == nullptr || from >= trend_.points.size() || to >= trend_.points.size() || from == to) return;
  ends_ = {from, to};
  const auto decision = judge_pair(*session().database(), result->info, trend_, from, to);
  // Of this run and the one before it everything has been said above.
  const auto& run = session().database()->runs()[trend_.points[to].run];
  const bool told = to == from + 1 && run.id == shown_.data->run.id;
  pair_->setText(told ? tr("this run and the one before it")
                      : tr("%1: %2").arg(moment(trend_.points[to].at),
                                         decision_text(decision, moment(trend_.points[from].at), trend_)));
  const auto& runs = session().database()->runs();
  const auto& good = runs[trend_.points[from].run].build;
  const auto& bad = runs[trend_.points[to].run].build;
  bisect_->setEnabled(!good.commit.empty() && !bad.commit.empty() && good.commit != bad.commit);
  bisect_->setToolTip(good.commit == bad.commit
                          ? tr("both runs were built from one commit")
                          : tr("from %1 to %2").arg(text_of(short_commit(good)), text_of(short_commit(bad))));
  bisect_->setProperty("command", text_of("git bisect start " + bad.commit + " " + good.commit));
}

void TrendsView::show_level(double now) {
  if (const CaseResult* result = shown_case())
    level_->show_spec(trend_spec(trend_, levels_, result->info.record.technique, now, log_));
}

void TrendsView::show_alerts(const std::string& machine) {
  groups_ = alert_groups(*session().database(), machine);
  alerts_title_->setVisible(!groups_.empty());
  alerts_->setVisible(!groups_.empty());
  Grid grid;
  grid.columns = {{tr("state")}, {tr("cases"), false, true}, {tr("effect"), true}, {tr("since")}};
  int open = 0;
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    const AlertGroup& group = groups_[i];
    const bool is_open = group.outcome == "open";
    open += is_open ? 1 : 0;
    GridRow row;
    row.id = static_cast<qint64>(i) + 1;
    GridCell state(text_of(group.outcome));
    state.strong = is_open;
    if (group.outcome == "open" || group.outcome == "confirmed") state.color = theme().bad;
    const double effect = group.alerts.front().effect.value_or(std::nan(""));
    row.cells = {
        state, text_of(group.cases),
        GridCell::number(std::isfinite(effect) ? text_of(fmt::format("{:+.1f}%", 100 * effect)) : QString(), effect),
        GridCell::number(text_of(moment_text(group.run.started_ns)), static_cast<double>(group.run.started_ns))};
    row.cells[1].tip =
        text_of(group.kind + " of " + metric_title(group.alerts.front().metric) + "\n" + group.alerts.front().note);
    grid.rows.push_back(std::move(row));
  }
  alerts_title_->setText(tr("Alerts: %1 cause(s), %2 open").arg(groups_.size()).arg(open));
  alerts_->show_grid(std::move(grid));
}

void TrendsView::offer_decisions(const QPoint& at) {
  const qint64 id = alerts_->current_id();
  if (id < 1) return;
  QMenu menu(this);
  const auto offer = [&](QMenu* to, std::optional<std::size_t> alone) {
    for (const std::string& outcome : alert_outcomes())
      to->addAction(text_of(outcome), this, [this, id, outcome, alone] { ask_and_decide(id, outcome, alone); });
  };
  offer(&menu, {});
  const AlertGroup& group = groups_[static_cast<std::size_t>(id - 1)];
  if (group.alerts.size() > 1) {
    constexpr std::size_t most_listed = 30;
    QMenu* one = menu.addMenu(tr("Only one of them"));
    for (std::size_t i = 0; i < std::min(group.names.size(), most_listed); ++i)
      offer(one->addMenu(text_of(group.names[i])), i);
  }
  menu.exec(alerts_->viewport()->mapToGlobal(at));
}

void TrendsView::ask_and_decide(qint64 group, const std::string& outcome, std::optional<std::size_t> alone) {
  bool agreed = false;
  const QString remark = QInputDialog::getText(this, tr("Alert: %1").arg(text_of(outcome)), tr("Remark (may be empty)"),
                                               QLineEdit::Normal, {}, &agreed);
  if (agreed) decide(group, text_of(outcome), remark, alone);
}

bool TrendsView::decide(qint64 group, const QString& outcome, const QString& remark, std::optional<std::size_t> alone) {
  if (group < 1 || group > static_cast<qint64>(groups_.size())) return false;
  const AlertGroup& whole = groups_[static_cast<std::size_t>(group - 1)];
  if (alone && *alone >= whole.alerts.size()) return false;
  const char* user = std::getenv("USER");
  return session().guarded([&] {
    decide_alerts(*session().database(), alone ? only(whole, *alone) : whole, outcome.toStdString(),
                  user == nullptr ? "somebody" : user, remark.toStdString());
    show_alerts(shown_.data->run.machine.id);
  });
}

bool TrendsView::change_cut(qint64 run, const QString& remark, bool cut) {
  Database* database = session().database();
  if (database == nullptr || run < 1 || run > static_cast<qint64>(database->runs().size())) return false;
  const char* user = std::getenv("USER");
  const LevelCut place = {database->runs()[static_cast<std::size_t>(run - 1)].id, trend_.case_id, trend_.metric};
  return session().guarded([&] {
    (cut ? cut_level : take_cut_back)(*database, place, user == nullptr ? "somebody" : user, remark.toStdString());
    show_alerts(shown_.data->run.machine.id);
    replay();
  });
}

bool TrendsView::cut(qint64 run, const QString& remark) { return change_cut(run, remark, true); }
bool TrendsView::take_back(qint64 run, const QString& remark) { return change_cut(run, remark, false); }

void TrendsView::offer_cut(qint64 run, const QPoint& at) {
  const auto point = std::find_if(trend_.points.begin(), trend_.points.end(),
                                  [&](const TrendPoint& held) { return static_cast<qint64>(held.run) + 1 == run; });
  if (point == trend_.points.end()) return;
  const auto place = static_cast<std::size_t>(point - trend_.points.begin());
  const auto change = std::find_if(levels_.changes.begin(), levels_.changes.end(),
                                   [&](const TrendChange& held) { return held.at == place; });
  const bool by_hand = change != levels_.changes.end() && change->by_hand;
  QMenu menu(this);
  QAction* look = menu.addAction(tr("Look at this run"));
  QAction* begin = nullptr;
  if (by_hand)
    begin = menu.addAction(tr("No new level begins here"));
  else if (change == levels_.changes.end() && place > 0)
    begin = menu.addAction(tr("A new level begins here"));
  QAction* chosen = menu.exec(at);
  if (chosen == nullptr) return;
  if (chosen == look) return session().choose_run(session().database()->runs()[point->run].id);
  bool agreed = false;
  const QString remark =
      QInputDialog::getText(this, begin->text(), tr("Remark (may be empty)"), QLineEdit::Normal, {}, &agreed);
  if (agreed) change_cut(run, remark, !by_hand);
}

void TrendsView::show_runs() {
  Grid grid;
  grid.columns = {{tr("run"), false, true},
                  {text_of(metric_title(trend_.metric)), true},
                  {tr("from the run before"), true},
                  {tr("launches"), true, false, 2},
                  {tr("commit"), false, false, 1}};
  for (std::size_t i = trend_.points.size(); i-- > 0;) {
    const TrendPoint& point = trend_.points[i];
    const auto& run = session().database()->runs()[point.run];
    const double change = i > 0 ? point.median / trend_.points[i - 1].median - 1 : std::nan("");
    GridRow row;
    row.id = static_cast<qint64>(point.run) + 1;
    row.cells = {
        GridCell::number(text_of(run_title(run)), point.at),
        GridCell::number(text_of(value_text(point.median, trend_.unit, trend_.metric)), point.median),
        GridCell::number(std::isfinite(change) ? text_of(fmt::format("{:+.1f}%", 100 * change)) : QString(), change),
        GridCell::number(QString::number(point.launches), point.launches), text_of(short_commit(run.build))};
    grid.rows.push_back(std::move(row));
  }
  runs_->show_grid(std::move(grid));
}

}  // namespace assay::gui
