#include "gui/views/overview_view.h"

#include <fmt/format.h>

#include <QHBoxLayout>
#include <QPainter>
#include <QPushButton>
#include <QSplitter>
#include <QVBoxLayout>
#include <cmath>
#include <map>
#include <set>
#include <unordered_map>

#include "gui/model/decision_text.h"
#include "gui/theme.h"

namespace assay::gui {
namespace {
using harness::ComparedCase;
using harness::stats::Verdict;

QString verdict_word(Verdict verdict) { return QString::fromLatin1(harness::stats::to_string(verdict)); }

QString glyph(Verdict verdict) {
  switch (verdict) {
    case Verdict::faster:
      return QStringLiteral("▲ ");
    case Verdict::slower:
      return QStringLiteral("▼ ");
    case Verdict::same:
      return QStringLiteral("= ");
    case Verdict::unsure:
      return QStringLiteral("? ");
  }
  return {};
}

// A count as it stands in the line of counts: coloured, with its word.
QString chip(int count, const QString& words, const QColor& color) {
  const QColor shown = count == 0 ? theme().dim : color;
  return QStringLiteral("<span style='color:%1'><b style='font-size:19px'>%2</b> %3</span>&nbsp;&nbsp;&nbsp;&nbsp;")
      .arg(shown.name(), QString::number(count), words);
}

GridRow change_row(const ComparedCase& compared, const CaseInfo& info, const std::set<std::string>& told,
                   bool several_places) {
  const auto& decision = compared.decision;
  GridRow row;
  row.id = info.id;
  GridCell verdict(glyph(decision.verdict) + verdict_word(decision.verdict));
  verdict.color = verdict_color(decision.verdict);
  verdict.strong = decision.verdict == Verdict::faster || decision.verdict == Verdict::slower;
  GridCell name(provenance_glyph(compared.provenance) + QLatin1Char(' ') + text_of(info.name));
  name.color = technique_color(info.record.technique);
  name.tip = text_of(to_string(compared.provenance));
  QStringList what;
  if (compared.metric != "time") what << text_of(metric_title(compared.metric));
  if (const std::string parameters = parameters_text(info, told); !parameters.empty()) what << text_of(parameters);
  QString words = what.join(QStringLiteral(", "));
  if (several_places) words += (words.isEmpty() ? QString() : QStringLiteral(" · ")) + text_of(where_text(info));
  row.cells = {
      verdict,
      name,
      words,
      GridCell::number(text_of(value_text(compared.value_a, compared.unit, compared.metric)), compared.value_a),
      GridCell::number(text_of(value_text(compared.value_b, compared.unit, compared.metric)), compared.value_b),
      GridCell::number(text_of(fmt::format("{:.3f}", decision.ratio)), decision.ratio),
      text_of(interval_text(decision)),
      QStringLiteral("%1 + %2").arg(decision.launches_a).arg(decision.launches_b),
      text_of(decision.reason)};
  row.cells[2].tip = text_of(info.record.key);
  row.cells.back().tip = text_of(decision.reason);
  return row;
}

// The cases themselves, where there is no run before.
Grid measured_grid(const std::vector<CaseResult>& cases, const std::vector<std::size_t>& kept) {
  Grid grid;
  grid.columns = {{OverviewView::tr("technique")},
                  {OverviewView::tr("case"), false, true},
                  {OverviewView::tr("what")},
                  {OverviewView::tr("value"), true},
                  {OverviewView::tr("95% interval"), true, false, 2},
                  {OverviewView::tr("where it comes from"), false, false, 1}};
  std::vector<const CaseInfo*> infos;
  for (const std::size_t i : kept) infos.push_back(&cases[i].info);
  const CommonAxes common = common_by_technique(infos);
  for (const std::size_t i : kept) {
    const CaseResult& result = cases[i];
    const Value* value = result.main_value();
    if (value == nullptr) continue;  // what failed or was skipped is told below
    GridRow row;
    row.id = result.info.id;
    GridCell name(provenance_glyph(value->provenance) + QLatin1Char(' ') + text_of(result.info.name));
    name.color = technique_color(result.info.record.technique);
    QString words = text_of(parameters_text(result.info, common.at(result.info.record.technique)));
    if (!result.info.record.fabric.empty()) words += QStringLiteral(" · ") + text_of(where_text(result.info));
    row.cells = {name,
                 words,
                 text_of(metric_title(value->metric)),
                 GridCell::number(text_of(value_text(*value)), value->median),
                 text_of(interval_text(*value)),
                 text_of(evidence_text(*value))};
    row.cells[1].tip = text_of(result.info.record.key);
    row.cells[3].tip = text_of(exact_text(*value));
    grid.rows.push_back(std::move(row));
  }
  return grid;
}

}  // namespace

// Verdicts of all claims as one bar, each part with its word and count.
class ClaimBar : public QWidget {
 public:
  explicit ClaimBar(QWidget* parent = nullptr) : QWidget(parent) { setFixedHeight(46); }
  void show_counts(ClaimCounts counts) {
    counts_ = std::move(counts);
    QStringList words;
    for (const auto& [verdict, count] : counts_.verdicts)
      if (count > 0) words << QStringLiteral("%1 %2").arg(count).arg(text_of(verdict));
    setAccessibleName(tr("claims: %1").arg(words.join(QStringLiteral(", "))));
    setToolTip(words.join(QLatin1Char('\n')));
    update();
  }

 protected:
  void paintEvent(QPaintEvent* /*event*/) override {
    if (counts_.judged == 0) return;
    QPainter painter(this);
    painter.setRenderHint(QPainter::Antialiasing);
    QFont font = painter.font();
    font.setPixelSize(12);
    painter.setFont(font);
    const QFontMetrics metrics(font);
    double x = 0;
    int words_x = 0;
    for (const auto& [verdict, count] : counts_.verdicts) {
      if (count == 0) continue;
      const double part = static_cast<double>(width()) * count / counts_.judged;
      QColor color = claim_color(verdict);
      if (verdict == "exceeded") color = color.lighter(theme().dark ? 125 : 135);
      if (verdict == "not reproduced") color = color.lighter(theme().dark ? 75 : 130);
      painter.fillRect(QRectF(x, 0, std::max(2.0, part - 2), 16), color);
      x += part;
      const QString words = QStringLiteral("%1 %2").arg(count).arg(text_of(verdict));
      painter.fillRect(QRectF(words_x, 27, 9, 9), color);
      painter.setPen(theme().text);
      painter.drawText(words_x + 14, 36, words);
      words_x += metrics.horizontalAdvance(words) + 30;
    }
  }

 private:
  ClaimCounts counts_;
};

OverviewView::OverviewView(Session& session, QWidget* parent)
    : View(session, QStringLiteral("overview"), tr("Overview"), parent) {
  auto* layout = page();
  layout->setSpacing(7);
  machines_ = new QWidget;
  machine_row_ = new QHBoxLayout(machines_);
  machine_row_->setContentsMargins(0, 0, 0, 4);
  layout->addWidget(machines_);
  heading_ = quiet_line();
  sentence_ = new QLabel;
  sentence_->setObjectName(QStringLiteral("sentence"));
  sentence_->setWordWrap(true);
  chips_ = new QLabel;
  chips_->setTextFormat(Qt::RichText);
  layout->addWidget(chips_);
  layout->addWidget(sentence_);
  layout->addWidget(heading_);
  auto* splitter = new QSplitter(Qt::Vertical);
  splitter->setHandleWidth(10);
  auto* upper = new QWidget;
  auto* upper_layout = new QVBoxLayout(upper);
  upper_layout->setContentsMargins(0, 4, 0, 0);
  changes_title_ = new QLabel;
  changes_title_->setObjectName(QStringLiteral("heading"));
  offers_all(changes_title_);
  changes_ = new GridView(tr("changes"));
  upper_layout->addWidget(changes_title_);
  upper_layout->addWidget(changes_, 1);
  auto* lower = new QWidget;
  auto* lower_layout = new QVBoxLayout(lower);
  lower_layout->setContentsMargins(0, 0, 0, 0);
  lower_layout->setSizeConstraint(QLayout::SetMinAndMaxSize);  // no higher than its rows: what is left, changes get
  auto* health_title = new QLabel(tr("How far to trust it"));
  health_title->setObjectName(QStringLiteral("heading"));
  health_title->setSizePolicy(QSizePolicy::Preferred, QSizePolicy::Fixed);
  health_ = new GridView(tr("health of the data"));
  health_->keep_as_high_as_rows();
  claims_title_ = new QLabel;
  claims_title_->setObjectName(QStringLiteral("heading"));
  claims_title_->setSizePolicy(QSizePolicy::Preferred, QSizePolicy::Fixed);
  claims_ = new ClaimBar;
  lower_layout->addWidget(health_title);
  lower_layout->addWidget(health_, 1);
  lower_layout->addWidget(claims_title_);
  lower_layout->addWidget(claims_);
  splitter->addWidget(upper);
  splitter->addWidget(lower);
  splitter->setStretchFactor(0, 3);
  splitter->setStretchFactor(1, 2);
  layout->addWidget(splitter, 1);
  connect(changes_, &GridView::row_selected, this, [this](qint64 id) {
    if (id > 0) this->session().select_case(id);
  });
  connect(changes_, &GridView::row_activated, this, [this] { activate(); });
}

void OverviewView::activate() {
  if (changes_->current_id() <= 0) return;
  session().select_case(changes_->current_id());
  Q_EMIT view_wanted(QStringLiteral("trends"));
}

void OverviewView::refresh() {
  Database* database = session().database();
  if (database == nullptr)
    return show_empty(tr("No database is open. Drop a file here, press Ctrl+O, or make one:"), tr("assay run quick"));
  const auto data = session().run();
  if (!data)
    return show_empty(tr("%1 holds no run yet.").arg(session().path()),
                      tr("assay run quick --db %1").arg(session().path()));
  // Judging thousands of cases takes a while; a keystroke in the filter changes none of it.
  if (judged_ != data) {
    judged_.reset();
    listed_ = {};
    compared_.clear();
    if (!session().guarded([&] {
          held_ = overview_of(*database, data->run);
          counts_ = count_claims(database->store());
        }))
      return;
    judged_ = data;
    std::unordered_map<std::int64_t, const CaseResult*> cases;
    for (const CaseResult& result : data->cases) cases[result.info.id] = &result;
    for (const ComparedCase& row : held_.changes)
      if (const auto found = cases.find(row.id_b); found != cases.end())
        compared_.emplace_back(&row, pair_of(row, nullptr, found->second));
  }
  show_content();
  show_summary(*data);
  show_changes();
}

void OverviewView::show_summary(const RunData& data) {
  const MachineOverview& held = held_;
  chips_->setText(
      held.before ? chip(held.cases, tr("cases"), theme().text) + chip(held.slower, tr("slower"), theme().bad) +
                        chip(held.faster, tr("faster"), theme().good) + chip(held.same, tr("same"), theme().text) +
                        chip(held.unsure, tr("unsure"), theme().warn) + chip(held.failed, tr("failed"), theme().bad) +
                        chip(held.skipped, tr("skipped"), theme().dim)
                  : chip(held.cases, tr("cases"), theme().text) + chip(held.failed, tr("failed"), theme().bad) +
                        chip(held.skipped, tr("skipped"), theme().dim));
  chips_->setAccessibleName(text_of(held.sentence));
  sentence_->setVisible(!held.worst.empty());
  sentence_->setText(tr("Worst: %1").arg(text_of(held.worst)));
  const QString against =
      held.before ? tr("against the run before, %1 (commit %2)")
                        .arg(text_of(moment_text(held.before->started_ns)), text_of(short_commit(held.before->build)))
                  : text_of(held.not_compared);
  heading_->setText(tr("%1 on %2 · commit %3 · %4")
                        .arg(text_of(run_title(data.run)), text_of(data.run.machine.name),
                             text_of(short_commit(data.run.build)), against));
}

void OverviewView::show_machines() {
  while (QLayoutItem* item = machine_row_->takeAt(0)) {
    if (item->widget() != nullptr) item->widget()->deleteLater();
    delete item;
  }
  const auto data = session().run();
  std::set<std::string> seen;
  for (const auto& run : session().database()->runs()) {
    if (seen.size() == 5) break;
    if (!seen.insert(run.machine.id).second) continue;
    auto* card = new QPushButton(QStringLiteral("%1\n%2").arg(text_of(run.machine.name), text_of(run_title(run))));
    card->setCheckable(true);
    card->setChecked(data->run.machine.id == run.machine.id);
    card->setToolTip(QStringLiteral("%1, %2 cores").arg(text_of(run.machine.cpu)).arg(run.machine.cores));
    card->setStyleSheet(QStringLiteral("text-align:left; padding:6px 12px;"));
    connect(card, &QPushButton::clicked, this, [this, id = run.id] { session().choose_run(id); });
    machine_row_->addWidget(card);
  }
  machine_row_->addStretch(1);
  machines_->setVisible(seen.size() > 1);
}

void OverviewView::show_changes() {
  Listed now{judged_, {}, theme().dark};
  // With nothing to compare with, what was measured is what there is to see.
  const auto& cases = judged_->cases;
  const bool pairs = !compared_.empty();
  const std::size_t all = pairs ? compared_.size() : cases.size();
  for (std::size_t i = 0; i < all; ++i)
    if (pairs ? matches(session().filter(), compared_[i].second) : matches(session().filter(), cases[i]))
      now.rows.push_back(i);
  const std::size_t hidden = all - now.rows.size();
  const auto select = [&] {
    if (const auto selected = session().selected_case()) changes_->select_id(*selected);
  };
  // A keystroke that hides nothing more shows what stands there already.
  if (now == listed_) return select();
  const bool other_run = now.data != listed_.data || now.dark != listed_.dark;
  listed_ = std::move(now);
  if (other_run) {
    show_machines();
    show_health();
  }
  Grid grid;
  if (pairs) {
    grid.columns = {{tr("verdict")},
                    {tr("technique")},
                    {tr("case"), false, true},
                    {tr("before"), true},
                    {tr("now"), true},
                    {tr("ratio"), true},
                    {tr("95% interval"), true, false, 2},
                    {tr("launches"), true, false, 3},
                    {tr("why"), false, true, 1}};
    std::vector<const CaseInfo*> infos;
    std::map<std::string, std::set<std::string>> places;  // of a technique
    for (const std::size_t row : listed_.rows) {
      infos.push_back(&compared_[row].second.b->info);
      places[infos.back()->record.technique].insert(where_text(*infos.back()));
    }
    const CommonAxes common = common_by_technique(infos);
    grid.rows.reserve(infos.size());
    for (std::size_t i = 0; i < infos.size(); ++i)
      grid.rows.push_back(change_row(*compared_[listed_.rows[i]].first, *infos[i],
                                     common.at(infos[i]->record.technique),
                                     places.at(infos[i]->record.technique).size() > 1));
  }
  if (!pairs) grid = measured_grid(cases, listed_.rows);
  const bool none = held_.before && held_.slower + held_.faster == 0 && !held_.changes.empty();
  QString title = held_.before ? tr("What changed") : tr("Measured; nothing to compare with yet");
  if (none) title = tr("Nothing significant changed");
  if (held_.before && held_.changes.empty()) title = tr("No case is in both runs");
  title = title.toHtmlEscaped();
  if (pairs && !grid.rows.empty())
    if (const QString why = said_once(grid, grid.columns.size() - 1, Blank::is_passed_over); !why.isEmpty())
      title += QStringLiteral(" &nbsp;<span style='font-size:13px; font-weight:400; color:%1'>%2</span>")
                   .arg(theme().dim.name(), why.toHtmlEscaped());
  if (hidden > 0) title += QStringLiteral(" &nbsp;") + hidden_text(tr("%1 hidden by the filter").arg(hidden));
  changes_title_->setText(title);
  changes_->setVisible(!grid.rows.empty());
  changes_->show_grid(std::move(grid));
  select();
}

void OverviewView::show_health() {
  Grid grid;
  grid.columns = {{tr("what")}, {tr("why, or what it means"), false, true}};
  for (const HealthNote& note : held_.health) {
    GridRow row;
    row.id = note.case_id;
    GridCell what((note.grave ? QStringLiteral("✕ ") : QStringLiteral("· ")) + text_of(note.what));
    if (note.grave) what.color = theme().bad;
    row.cells = {what, text_of(note.why)};
    row.cells[1].tip = text_of(note.why);
    grid.rows.push_back(std::move(row));
  }
  if (held_.health.empty()) {
    GridRow row;
    row.cells = {tr("nothing found"), tr("no failed, skipped or noisy launch")};
    grid.rows.push_back(std::move(row));
  }
  health_->show_grid(std::move(grid));
  claims_title_->setVisible(counts_.total > 0);
  claims_->setVisible(counts_.judged > 0);
  claims_title_->setText(counts_.judged > 0
                             ? tr("Claims of papers: %1 judged").arg(counts_.judged)
                             : tr("Claims of papers: %1, none judged (assay reproduce --store)").arg(counts_.total));
  claims_->show_counts(counts_);
}

}  // namespace assay::gui
