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
  changes_ = new GridView(tr("changes"));
  upper_layout->addWidget(changes_title_);
  upper_layout->addWidget(changes_, 1);
  auto* lower = new QWidget;
  auto* lower_layout = new QVBoxLayout(lower);
  lower_layout->setContentsMargins(0, 0, 0, 0);
  auto* health_title = new QLabel(tr("How far to trust it"));
  health_title->setObjectName(QStringLiteral("heading"));
  health_ = new GridView(tr("health of the data"));
  claims_title_ = new QLabel;
  claims_title_->setObjectName(QStringLiteral("heading"));
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
    if (!session().guarded([&] {
          held_ = overview_of(*database, data->run);
          counts_ = count_claims(database->store());
        }))
      return;
    judged_ = data;
  }
  const MachineOverview& held = held_;
  const ClaimCounts& claims = counts_;
  show_content();
  show_machines();
  chips_->setText(
      held.before ? chip(held.cases, tr("cases"), theme().text) + chip(held.slower, tr("slower"), theme().bad) +
                        chip(held.faster, tr("faster"), theme().good) + chip(held.same, tr("same"), theme().text) +
                        chip(held.unsure, tr("unsure"), theme().warn) + chip(held.failed, tr("failed"), theme().bad) +
                        chip(held.skipped, tr("skipped"), theme().dim)
                  : chip(held.cases, tr("cases"), theme().text) + chip(held.failed, tr("failed"), theme().bad) +
                        chip(held.skipped, tr("skipped"), theme().dim));
  chips_->setAccessibleName(text_of(held.sentence));
  const bool worse = held.slower > 0;
  sentence_->setVisible(worse);
  if (worse) {
    const ComparedCase& worst = held.changes.front();
    sentence_->setText(tr("Worst: %1, %2 times its %3 before")
                           .arg(text_of(worst.name), text_of(fmt::format("{:.2f}", worst.decision.ratio)),
                                text_of(metric_title(worst.metric))));
  }
  const QString against =
      held.before ? tr("against the run before, %1 (commit %2)")
                        .arg(text_of(moment_text(held.before->started_ns)), text_of(short_commit(held.before->build)))
                  : text_of(held.not_compared);
  heading_->setText(
      tr("%1 · commit %2 · %3").arg(text_of(run_title(data->run)), text_of(short_commit(data->run.build)), against));
  show_changes(held, *data);
  show_health(held);
  claims_title_->setVisible(claims.total > 0);
  claims_->setVisible(claims.judged > 0);
  claims_title_->setText(claims.judged > 0
                             ? tr("Claims of papers: %1 judged").arg(claims.judged)
                             : tr("Claims of papers: %1, none judged (assay reproduce --store)").arg(claims.total));
  claims_->show_counts(claims);
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

void OverviewView::show_changes(const MachineOverview& held, const RunData& data) {
  Grid grid;
  std::size_t hidden = 0;
  if (held.before) {
    std::map<std::string, const CaseResult*> by_key;
    for (const CaseResult& result : data.cases) by_key[result.info.record.key] = &result;
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
    for (const ComparedCase& compared : held.changes)
      if (const auto found = by_key.find(compared.key_b); found != by_key.end()) infos.push_back(&found->second->info);
    const auto common = common_axes(infos);
    for (const ComparedCase& compared : held.changes) {
      const auto found = by_key.find(compared.key_b);
      if (found == by_key.end()) continue;
      if (!matches(session().filter(), *found->second)) {
        ++hidden;
        continue;
      }
      const auto& decision = compared.decision;
      const CaseInfo& info = found->second->info;
      GridRow row;
      row.id = info.id;
      GridCell verdict(glyph(decision.verdict) + verdict_word(decision.verdict));
      verdict.color = verdict_color(decision.verdict);
      verdict.strong = decision.verdict == Verdict::faster || decision.verdict == Verdict::slower;
      GridCell name(provenance_glyph(compared.provenance) + QLatin1Char(' ') + text_of(info.name));
      name.color = technique_color(info.record.technique);
      name.tip = text_of(to_string(compared.provenance));
      const QString interval =
          decision.interval.bounded() && decision.interval.high < 1e6
              ? text_of(fmt::format("{:.3f} to {:.3f}", decision.interval.low, decision.interval.high))
              : QString();
      QString what = text_of(parameters_text(info, common)) + QStringLiteral(" · ") + text_of(where_text(info));
      if (compared.metric != "time") what = text_of(metric_title(compared.metric)) + QStringLiteral(", ") + what;
      row.cells = {
          verdict,
          name,
          what,
          GridCell::number(text_of(value_text(compared.value_a, compared.unit, compared.metric)), compared.value_a),
          GridCell::number(text_of(value_text(compared.value_b, compared.unit, compared.metric)), compared.value_b),
          GridCell::number(text_of(fmt::format("{:.3f}", decision.ratio)), decision.ratio),
          interval,
          QStringLiteral("%1 + %2").arg(decision.launches_a).arg(decision.launches_b),
          text_of(decision.reason)};
      row.cells[2].tip = text_of(info.record.key);
      row.cells.back().tip = text_of(decision.reason);
      grid.rows.push_back(std::move(row));
    }
  }
  const bool none = held.before && held.slower + held.faster == 0 && !held.changes.empty();
  QString title = held.before ? tr("What changed") : tr("Nothing to compare with yet");
  if (none) title = tr("Nothing significant changed");
  if (held.before && held.changes.empty()) title = tr("No case is in both runs");
  if (hidden > 0) title += tr("  (%1 hidden by the filter)").arg(hidden);
  changes_title_->setText(title);
  changes_->setVisible(!grid.rows.empty());
  changes_->show_grid(std::move(grid));
  if (const auto selected = session().selected_case()) changes_->select_id(*selected);
}

void OverviewView::show_health(const MachineOverview& held) {
  Grid grid;
  grid.columns = {{tr("what")}, {tr("why, or what it means"), false, true}};
  for (const HealthNote& note : held.health) {
    GridRow row;
    row.id = note.case_id;
    GridCell what((note.grave ? QStringLiteral("✕ ") : QStringLiteral("· ")) + text_of(note.what));
    if (note.grave) what.color = theme().bad;
    row.cells = {what, text_of(note.why)};
    row.cells[1].tip = text_of(note.why);
    grid.rows.push_back(std::move(row));
  }
  if (held.health.empty()) {
    GridRow row;
    row.cells = {tr("nothing found"), tr("no failed, skipped or noisy launch")};
    grid.rows.push_back(std::move(row));
  }
  health_->show_grid(std::move(grid));
}

}  // namespace assay::gui
