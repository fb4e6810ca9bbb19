#include "gui/views/compare_view.h"

#include <fmt/format.h>

#include <QCompleter>
#include <QHBoxLayout>
#include <QSplitter>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "datasets/user_error.h"
#include "gui/case_drawer.h"
#include "gui/model/compared_pair.h"
#include "gui/model/decision_text.h"
#include "gui/theme.h"
#include "harness/stats/median.h"

namespace assay::gui {
namespace {
using harness::ComparedCase;
using harness::stats::Decision;
using harness::stats::Verdict;

constexpr qsizetype most_contenders = 4;

int rank_of(Verdict verdict) {
  constexpr Verdict order[] = {Verdict::slower, Verdict::faster, Verdict::unsure, Verdict::same};
  return static_cast<int>(std::find(std::begin(order), std::end(order), verdict) - std::begin(order));
}

// As people would say it: the newest run is `latest`, the one before `latest~1`.
QString selector_of(const Database& database, const std::string& id) {
  for (std::size_t i = 0; i < database.runs().size(); ++i)
    if (database.runs()[i].id == id) return i == 0 ? QStringLiteral("latest") : QStringLiteral("latest~%1").arg(i);
  return text_of(id);
}

QString side_name(const harness::Selector& selector, const results_db::RunRecord& run) {
  QString name = text_of(run_title(run));
  QStringList where;
  for (const auto& [key, value] : selector.where) where << text_of(key == "technique" ? value : key + " " + value);
  return where.isEmpty() ? name : where.join(QStringLiteral(", ")) + QStringLiteral(" · ") + name;
}

// Where only a part of the run looked at is meant, the part alone.
QString short_name(const harness::Selector& selector, const results_db::RunRecord& run) {
  const QString whole = side_name(selector, run);
  return selector.where.empty() || selector.names_run ? whole : whole.section(QStringLiteral(" · "), 0, 0);
}

GridCell times_cell(const OwnNoise& noise) {
  GridCell cell = GridCell::number(
      std::isfinite(noise.times) ? text_of(fmt::format("{:.1f}x", noise.times)) : QString(), noise.times);
  const QString share = text_of(fmt::format("{:.1f}%", 100 * noise.allowance));
  if (noise.runs > 0)
    cell.tip = CompareView::tr("%1 runs at the base's level show that sessions of this case differ by up to %2")
                   .arg(noise.runs)
                   .arg(share);
  else if (noise.allowance > 0)
    cell.tip = CompareView::tr("too few runs at the base's level show how sessions differ; taken is the general %1")
                   .arg(share);
  else
    cell.tip = CompareView::tr("in multiples of the effect floor: sides taken in turns, or exact");
  return cell;
}

double median_clock(const results_db::LaunchRecord& launch) {
  std::vector<double> clocks;
  for (const float hz : launch.sample_clock_hz)
    if (hz > 0) clocks.push_back(hz);
  return clocks.empty() ? 0 : harness::stats::median(clocks);
}

StripSide side_of(const CaseResult* result, const std::string& metric) {
  return result == nullptr ? StripSide() : strip_side(*result, metric);
}

}  // namespace

CompareView::CompareView(Session& session, QWidget* parent)
    : View(session, QStringLiteral("compare"), tr("Compare"), parent) {
  auto* layout = page();
  layout->setSpacing(7);
  auto* line = new QHBoxLayout;
  base_ = new QLineEdit;
  base_->setAccessibleName(tr("base"));
  base_->setToolTip(tr("A run (id, tag, latest, latest~1), KEY=VALUE,... or RUN:KEY=VALUE,..."));
  contenders_ = new QLineEdit;
  contenders_->setAccessibleName(tr("contenders"));
  contenders_->setToolTip(tr("The same; up to four, separated by semicolons"));
  auto* go = new QPushButton(tr("Compare"));
  line->addWidget(new QLabel(tr("Base")));
  line->addWidget(base_, 2);
  line->addWidget(new QLabel(tr("against")));
  line->addWidget(contenders_, 3);
  line->addWidget(go);
  as_map_ = new QPushButton(tr("Map"));
  as_map_->setCheckable(true);
  as_map_->setToolTip(tr("Ratios over an axis as coloured cells"));
  line->addWidget(as_map_);
  by_percent_ = new QPushButton(tr("By percent"));
  by_percent_->setCheckable(true);
  by_percent_->setToolTip(
      tr("Within a verdict, the largest ratio first. Else first is what lies furthest outside what the case does by "
         "itself"));
  line->addWidget(by_percent_);
  layout->addLayout(line);
  problem_ = new QLabel;
  problem_->setWordWrap(true);
  layout->addWidget(problem_);
  summary_ = new QLabel;
  offers_all(summary_);
  summary_->setWordWrap(true);
  layout->addWidget(summary_);
  auto* splitter = new QSplitter(Qt::Vertical);
  splitter->setHandleWidth(10);
  rows_ = new GridView(tr("compared cases"));
  auto* lower = new QWidget;
  auto* down = new QVBoxLayout(lower);
  down->setContentsMargins(0, 0, 0, 0);
  explained_ = new QLabel;
  explained_->setWordWrap(true);
  explained_->setTextFormat(Qt::RichText);
  strip_ = new StripPlot;
  down->addWidget(explained_);
  down->addWidget(strip_, 1);
  heat_ = new HeatPlot;
  auto* scroll = scrolled(heat_, tr("map of ratios"));
  pages_ = new QStackedWidget;
  pages_->addWidget(rows_);
  pages_->addWidget(scroll);
  splitter->addWidget(pages_);
  splitter->addWidget(lower);
  splitter->setStretchFactor(0, 3);
  splitter->setStretchFactor(1, 2);
  splitter->setSizes({350, 250});
  layout->addWidget(splitter, 1);
  const auto start = [this] {
    touched_ = true;
    refresh();
  };
  connect(go, &QPushButton::clicked, this, start);
  connect(base_, &QLineEdit::returnPressed, this, start);
  connect(contenders_, &QLineEdit::returnPressed, this, start);
  connect(by_percent_, &QPushButton::toggled, this, [this] { show_rows(); });
  connect(as_map_, &QPushButton::toggled, this, [this](bool on) {
    pages_->setCurrentIndex(on ? 1 : 0);
    show_map();
  });
  connect(heat_, &HeatPlot::cell_chosen, this, [this](qint64 which) {
    if (which >= 0 && which < static_cast<qint64>(mapped_.size()))
      rows_->select_id(static_cast<qint64>(mapped_[static_cast<std::size_t>(which)]) + 1);
  });
  connect(rows_, &GridView::row_selected, this, [this](qint64 id) {
    show_row(id);
    if (id < 1 || id > static_cast<qint64>(shown_.size())) return;
    const auto& [which, at] = shown_[static_cast<std::size_t>(id - 1)];
    const auto data = this->session().run();
    const std::int64_t held = comparisons_[which].cases[at].id_b;
    if (data && data->find(held) != nullptr) this->session().select_case(held);
  });
  connect(rows_, &GridView::row_activated, this, [this] { activate(); });
  constexpr int settled_ms = 250;  // whoever runs through the rows does not wait for what is read with each
  clocks_later_.setSingleShot(true);
  clocks_later_.setInterval(settled_ms);
  connect(&clocks_later_, &QTimer::timeout, this, [this] { read_clocks(); });
}

void CompareView::toggle_scale() { strip_->set_log(!strip_->is_log()); }

void CompareView::read_clocks() {
  if (!explained_of_ || strip_->sides().size() != 2) return;
  const auto& [which, at] = *explained_of_;
  const harness::Comparison& comparison = comparisons_[which];
  const Pair& pair = prepared_[which][at].pair;
  std::vector<StripSide> sides = strip_->sides();
  const std::pair<const CaseResult*, const std::string*> held[] = {{pair.a, &comparison.run_a.id},
                                                                   {pair.b, &comparison.run_b.id}};
  for (std::size_t side = 0; side < sides.size(); ++side) {
    const auto& [result, run] = held[side];
    if (result == nullptr || result->info.record.timer == "virtual") continue;  // its clock is nobody's
    session().guarded([&] {
      for (const auto& launch : session().database()->store().launches(*run, result->info.id))
        for (StripLaunch& drawn : sides[side].launches)
          if (drawn.started_ns == launch.started_ns) drawn.clock_hz = median_clock(launch);
    });
  }
  const ComparedCase& row = comparison.cases[at];
  strip_->show_sides(std::move(sides), row.unit, row.metric);
}

QStringList CompareView::arguments() const {
  QStringList out = {QStringLiteral("base=") + base_->text(), QStringLiteral("against=") + contenders_->text()};
  if (as_map_->isChecked()) out << QStringLiteral("map=1");
  if (by_percent_->isChecked()) out << QStringLiteral("sort=percent");
  return out;
}

void CompareView::set_arguments(const QMap<QString, QString>& values) {
  if (values.contains(QStringLiteral("base"))) base_->setText(values.value(QStringLiteral("base")));
  if (values.contains(QStringLiteral("against"))) contenders_->setText(values.value(QStringLiteral("against")));
  if (values.contains(QStringLiteral("map")))
    as_map_->setChecked(values.value(QStringLiteral("map")) == QStringLiteral("1"));
  if (values.contains(QStringLiteral("sort")))
    by_percent_->setChecked(values.value(QStringLiteral("sort")) == QStringLiteral("percent"));
  touched_ = values.contains(QStringLiteral("base")) || values.contains(QStringLiteral("against"));
}

void CompareView::activate() {
  const qint64 id = rows_->current_id();
  if (id < 1) return;
  const auto& [which, at] = shown_[static_cast<std::size_t>(id - 1)];
  const auto data = session().run();
  if (!data) return;
  if (const std::int64_t held = comparisons_[which].cases[at].id_b; data->find(held) != nullptr)
    session().select_case(held);
  Q_EMIT view_wanted(QStringLiteral("trends"));
}

void CompareView::refresh() {
  Database* database = session().database();
  const auto data = session().run();
  if (!data) return show_empty(tr("Nothing to compare yet."), tr("assay run quick"));
  if (!touched_) {
    // The run looked at, next to the one before it of the same suite.
    const auto* before = database->previous(data->run);
    if (before == nullptr && database->runs().size() < 2)
      return show_empty(tr("One run compares with nothing. Run the suite again, or name two techniques of this run "
                           "here with the Compare command."),
                        tr("assay run %1").arg(text_of(data->run.suite)));
    base_->setText(selector_of(*database, before != nullptr ? before->id : database->runs().back().id));
    contenders_->setText(selector_of(*database, data->run.id));
  }
  show_content();
  // A keystroke in the filter hides rows; it changes no verdict.
  if (const Compared now{data, base_->text(), contenders_->text()}; !(now == compared_)) {
    compare();
    compared_ = now;
  }
  show_rows();
}

void CompareView::compare() {
  comparisons_.clear();
  noise_.clear();
  problem_->clear();
  problem_->hide();
  QStringList wrong;
  const QStringList against = contenders_->text().split(QLatin1Char(';'), Qt::SkipEmptyParts);
  if (against.size() > most_contenders)
    wrong << tr("at most %1 contenders; the others are left out").arg(most_contenders);
  for (const QString& contender : against.mid(0, most_contenders)) {
    try {
      comparisons_.push_back(harness::compare(session().database()->store(),
                                              harness::parse_selector(base_->text().trimmed().toStdString()),
                                              harness::parse_selector(contender.trimmed().toStdString()), {}));
    } catch (const UserError& typed) {
      wrong << text_of(typed.what());  // about what was typed, so it is said beside it
    }
  }
  session().guarded([this] {
    NoiseReader reader(*session().database());
    for (const harness::Comparison& comparison : comparisons_) {
      auto& held = noise_.emplace_back();
      for (const ComparedCase& row : comparison.cases) held.push_back(reader.of(comparison, row));
    }
  });
  noise_.resize(comparisons_.size());
  for (std::size_t c = 0; c < comparisons_.size(); ++c) noise_[c].resize(comparisons_[c].cases.size());
  prepare();
  if (against.isEmpty()) wrong << tr("name what to compare with: a run, a tag, latest, or KEY=VALUE");
  problem_->setText(QStringLiteral("<span style='color:%1'>%2</span>")
                        .arg(theme().bad.name(), wrong.join(QLatin1Char('\n')).toHtmlEscaped()));
  problem_->setVisible(!wrong.isEmpty());
}

// Both sides of every row and what the filter looks at in them: made when runs are compared, not at every keystroke.
void CompareView::prepare() {
  prepared_.clear();
  runs_.clear();
  shown_.clear();
  explained_of_.reset();
  const auto by_id = [this](const std::string& run) {
    std::unordered_map<std::int64_t, const CaseResult*> held;
    if (const auto data = session().database()->run(run)) {
      for (const CaseResult& result : data->cases) held[result.info.id] = &result;
      runs_.push_back(data);
    }
    return held;
  };
  for (const harness::Comparison& comparison : comparisons_) {
    const auto cases_a = by_id(comparison.run_a.id), cases_b = by_id(comparison.run_b.id);
    const auto find = [](const auto& cases, std::int64_t id) {
      const auto found = cases.find(id);
      return found == cases.end() ? nullptr : found->second;
    };
    auto& rows = prepared_.emplace_back();
    for (const ComparedCase& row : comparison.cases) {
      rows.push_back({pair_of(row, find(cases_a, row.id_a), find(cases_b, row.id_b)), {}, {}});
    }
  }
}

void CompareView::show_summary() {
  QStringList lines;
  for (const harness::Comparison& comparison : comparisons_) {
    QStringList counts;
    for (const Verdict verdict : {Verdict::slower, Verdict::faster, Verdict::same, Verdict::unsure})
      if (const int count = comparison.count(verdict); count > 0)
        counts << QStringLiteral("<b style='color:%1'>%2 %3</b>")
                      .arg(verdict_color(verdict).name())
                      .arg(count)
                      .arg(QString::fromLatin1(harness::stats::to_string(verdict)));
    if (comparison.cases.empty())
      counts << (comparison.matched == 0 ? tr("no case is on both sides")
                                         : tr("matching cases have no value in common"));
    QString text =
        tr("%1 against %2: %3")
            .arg(side_name(comparison.selector_b, comparison.run_b).toHtmlEscaped(),
                 side_name(comparison.selector_a, comparison.run_a).toHtmlEscaped(), counts.join(QStringLiteral(", ")));
    const std::size_t apart = comparison.only_a.size() + comparison.only_b.size();
    if (apart > 0) text += tr("; %1 case(s) on one side only").arg(apart);
    if (!comparison.not_compared.empty())
      text += tr("; %1 not comparable (%2)")
                  .arg(comparison.not_compared.size())
                  .arg(text_of(comparison.not_compared.front().second).toHtmlEscaped());
    if (!comparison.environment.empty())
      text += tr("; %1 difference(s) of environment: %2")
                  .arg(comparison.environment.size())
                  .arg(text_of(comparison.environment.front().what));
    lines << text;
  }
  QStringList last;
  if (!common_what_.isEmpty()) last << tr("all: %1").arg(common_what_).toHtmlEscaped();
  if (!common_why_.isEmpty()) last << common_why_.toHtmlEscaped();
  if (hidden_ > 0) last << hidden_text(tr("%1 hidden by the filter").arg(hidden_));
  if (!last.isEmpty() && lines.size() == 1)
    lines.front() += QStringLiteral(" · ") + last.join(QStringLiteral(" · "));
  else if (!last.isEmpty())
    lines << last.join(QStringLiteral(" · "));
  summary_->setText(lines.join(QStringLiteral("<br>")));
}

GridRow CompareView::make_row(const Place& at) const {
  const harness::Comparison& comparison = comparisons_[at.first];
  const ComparedCase& held = comparison.cases[at.second];
  GridRow row;
  GridCell verdict(QString::fromLatin1(harness::stats::to_string(held.decision.verdict)));
  verdict.color = verdict_color(held.decision.verdict);
  verdict.strong = true;
  row.cells = {verdict,
               text_of(prepared_[at.first][at.second].name),
               provenance_glyph(held.provenance) + QLatin1Char(' ') + text_of(metric_title(held.metric)),
               GridCell::number(text_of(value_text(held.value_a, held.unit, held.metric)), held.value_a),
               GridCell::number(text_of(value_text(held.value_b, held.unit, held.metric)), held.value_b),
               GridCell::number(
                   std::isfinite(held.decision.ratio) ? text_of(fmt::format("{:.3f}", held.decision.ratio)) : QString(),
                   held.decision.ratio),
               text_of(interval_text(held.decision)),
               times_cell(noise_[at.first][at.second]),
               QStringLiteral("%1 + %2").arg(held.decision.launches_a).arg(held.decision.launches_b),
               text_of(held.decision.reason +
                       (held.note.empty() ? "" : (held.decision.reason.empty() ? "" : "; ") + held.note))};
  row.cells[1].tip = text_of("A " + held.key_a + "\nB " + held.key_b);
  row.cells[2].tip = QString::fromLatin1(to_string(held.provenance));
  row.cells[9].tip = row.cells[9].text;
  if (comparisons_.size() > 1)
    row.cells.insert(row.cells.begin() + 1, GridCell(short_name(comparison.selector_b, comparison.run_b)));
  return row;
}

void CompareView::show_rows() {
  std::vector<Place> order;
  hidden_ = 0;
  for (std::size_t c = 0; c < comparisons_.size(); ++c)
    for (std::size_t i = 0; i < comparisons_[c].cases.size(); ++i) {
      if (matches(session().filter(), prepared_[c][i].pair))
        order.emplace_back(c, i);
      else
        ++hidden_;
    }
  const bool percent = by_percent_->isChecked();
  std::stable_sort(order.begin(), order.end(), [&](const Place& a, const Place& b) {
    const Decision& left = comparisons_[a.first].cases[a.second].decision;
    const Decision& right = comparisons_[b.first].cases[b.second].decision;
    if (left.verdict != right.verdict) return rank_of(left.verdict) < rank_of(right.verdict);
    const double l = percent ? std::abs(std::log(left.ratio)) : noise_[a.first][a.second].times;
    const double r = percent ? std::abs(std::log(right.ratio)) : noise_[b.first][b.second].times;
    return std::isfinite(l) && (!std::isfinite(r) || l > r);
  });
  // A keystroke that hides nothing more shows what stands there already.
  const bool same = !order.empty() && order == shown_ && told_.dark == theme().dark;
  if (!same) {
    shown_ = std::move(order);
    name_cases();
    Grid grid;
    grid.columns = {{tr("verdict")},
                    {tr("case"), false, true},
                    {tr("what")},
                    {tr("base"), true},
                    {tr("contender"), true},
                    {tr("ratio"), true},
                    {tr("95% interval"), true, false, 2},
                    {tr("times its noise"), true},
                    {tr("launches"), true, false, 3},
                    {tr("why"), false, true, 1}};
    if (comparisons_.size() > 1) grid.columns.insert(grid.columns.begin() + 1, {tr("against")});
    grid.rows.reserve(shown_.size());
    for (const Place& at : shown_) {
      Prepared& held = prepared_[at.first][at.second];
      if (!held.row) held.row = make_row(at);
      grid.rows.push_back(*held.row);
      grid.rows.back().id = static_cast<qint64>(grid.rows.size());
    }
    common_what_ = said_once(grid, comparisons_.size() > 1 ? 3 : 2);
    common_why_ = said_once(grid, grid.columns.size() - 1, Blank::is_passed_over);
    const QSignalBlocker quiet(rows_);
    rows_->show_grid(std::move(grid));
  }
  show_summary();
  select_shown();
  show_row(shown_.empty() ? 0 : std::max<qint64>(1, rows_->current_id()));
  if (same)
    choose_mapped();
  else
    show_map();
}

// The case that is looked at elsewhere is looked at here, where it is among the rows; else the first.
void CompareView::select_shown() {
  if (shown_.empty()) return;
  std::size_t chosen = 0;
  if (const auto selected = session().selected_case()) {
    const auto at = std::find_if(shown_.begin(), shown_.end(), [&](const Place& place) {
      return comparisons_[place.first].cases[place.second].id_b == *selected;
    });
    if (at != shown_.end()) chosen = static_cast<std::size_t>(at - shown_.begin());
  }
  const QSignalBlocker quiet(rows_);
  rows_->select_id(static_cast<qint64>(chosen) + 1);
}

void CompareView::show_map() {
  if (!as_map_->isChecked()) return;
  mapped_.clear();
  const auto current = static_cast<std::size_t>(std::max<qint64>(rows_->current_id() - 1, 0));
  const std::size_t which = current < shown_.size() ? shown_[current].first : 0;
  std::vector<const CaseInfo*> infos;
  std::vector<const ComparedCase*> cases;
  for (std::size_t i = 0; i < shown_.size(); ++i) {
    const auto& [of, at] = shown_[i];
    const CaseResult* result = of == which ? prepared_[of][at].pair.b : nullptr;
    if (result == nullptr) continue;
    infos.push_back(&result->info);
    cases.push_back(&comparisons_[of].cases[at]);
    mapped_.push_back(i);
  }
  heat_->show_map(heat_map(infos, cases));
  choose_mapped();
}

void CompareView::choose_mapped() {
  const auto current = static_cast<std::size_t>(std::max<qint64>(rows_->current_id() - 1, 0));
  const auto at = std::find(mapped_.begin(), mapped_.end(), current);
  if (at != mapped_.end()) heat_->choose(static_cast<std::size_t>(at - mapped_.begin()));
}

const CaseInfo* CompareView::same_case(const Place& at) const {
  const ComparedCase& row = comparisons_[at.first].cases[at.second];
  const CaseResult* held = prepared_[at.first][at.second].pair.b;
  return row.key_a == row.key_b && held != nullptr ? &held->info : nullptr;
}

// A case that is the same on both sides in words, without what tells it from no other; else what the sides agree in.
void CompareView::name_cases() {
  std::vector<const CaseInfo*> infos;
  for (const Place& at : shown_)
    if (const CaseInfo* info = same_case(at)) infos.push_back(info);
  Told now{common_by_technique(infos), theme().dark};
  if (now.dark != told_.dark) explained_of_.reset();
  if (!(now == told_))
    for (auto& rows : prepared_)
      for (Prepared& held : rows) held.row.reset();
  told_ = std::move(now);
  for (const Place& at : shown_) {
    Prepared& held = prepared_[at.first][at.second];
    if (held.row) continue;
    const CaseInfo* info = same_case(at);
    const std::string parameters =
        info == nullptr ? "" : parameters_text(*info, told_.common.at(info->record.technique));
    held.name = info == nullptr ? comparisons_[at.first].cases[at.second].name
                                : info->name + (parameters.empty() ? "" : ": " + parameters) +
                                      (info->record.fabric.empty() ? "" : " · " + where_text(*info));
  }
}

void CompareView::show_row(qint64 id) {
  const bool any = id >= 1 && id <= static_cast<qint64>(shown_.size());
  strip_->setVisible(any);
  explained_->setVisible(any);
  if (!any) return explained_of_.reset();
  const Place& place = shown_[static_cast<std::size_t>(id - 1)];
  const auto& [which, at] = place;
  const harness::Comparison& comparison = comparisons_[which];
  const ComparedCase& held = comparison.cases[at];
  const Decision& decision = held.decision;
  const Prepared& prepared = prepared_[which][at];
  const CaseInfo* info = same_case(place);
  QString text =
      QStringLiteral("<b>%1</b>: <b style='color:%2'>%3</b>")
          .arg(text_of(info == nullptr ? prepared.name : info->name + ": " + parameters_text(*info)).toHtmlEscaped(),
               verdict_color(decision.verdict).name(),
               QString::fromLatin1(harness::stats::to_string(decision.verdict)));
  text += tr(", ratio %1").arg(text_of(fmt::format("{:.4f}", decision.ratio)));
  if (const std::string range = interval_text(decision); !range.empty()) text += tr(" (95%: %1)").arg(text_of(range));
  if (std::isfinite(decision.p))
    text += tr("; p %1, after correction for all cases %2")
                .arg(text_of(fmt::format("{:.2g}", decision.p)), text_of(fmt::format("{:.2g}", decision.q)));
  text += tr("; launches taken %1").arg(QString::fromLatin1(to_string(decision.design)));
  if (!decision.reason.empty()) text += QStringLiteral("; ") + text_of(decision.reason).toHtmlEscaped();
  if (decision.more_launches > 0 && decision.reason.find("more launches") == std::string::npos)
    text += tr("; about %1 more launches a side would settle it").arg(decision.more_launches);
  if (held.same_code) text += tr("; the code is the same on both sides");
  explained_->setText(text);
  if (explained_of_ == place) return;  // its launches stand there already
  explained_of_ = place;
  StripSide left = side_of(prepared.pair.a, held.metric), right = side_of(prepared.pair.b, held.metric);
  left.name = tr("base: %1").arg(side_name(comparison.selector_a, comparison.run_a));
  right.name = tr("contender: %1").arg(side_name(comparison.selector_b, comparison.run_b));
  if (left.color == right.color) left.color = theme().dim;  // one technique, two runs: the older stands back
  strip_->show_sides({left, right}, held.unit, held.metric);
  clocks_later_.start();
}

}  // namespace assay::gui
