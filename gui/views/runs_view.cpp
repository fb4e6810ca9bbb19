#include "gui/views/runs_view.h"

#include <fmt/format.h>

#include <QSplitter>
#include <QVBoxLayout>
#include <map>
#include <set>

#include "datasets/quantity.h"
#include "gui/theme.h"
#include "harness/comparison.h"

namespace assay::gui {
namespace {
using results_db::RunRecord;

QString tags_of(const RunRecord& run) {
  QStringList tags;
  for (const std::string& tag : run.tags) tags << text_of(tag);
  return tags.join(QStringLiteral(", "));
}

QString seconds_text(const RunRecord& run) {
  if (run.finished_ns == 0) return {};
  const double seconds = static_cast<double>(run.finished_ns - run.started_ns) * 1e-9;
  if (seconds < 60) return text_of(fmt::format("{:.1f} s", seconds));
  return text_of(fmt::format("{} min {:02} s", static_cast<int>(seconds) / 60, static_cast<int>(seconds) % 60));
}

GridRow fact(const QString& what, const std::string& value, const std::string& before = {}) {
  GridRow row;
  row.cells = {what, text_of(value), text_of(before)};
  row.cells[0].color = theme().dim;
  row.cells[1].tip = text_of(value);
  return row;
}

}  // namespace

RunsView::RunsView(Session& session, QWidget* parent)
    : View(session, QStringLiteral("runs"), tr("Runs & machines"), parent) {
  auto* layout = page();
  summary_ = quiet_line();
  layout->addWidget(summary_);
  auto* splitter = new QSplitter(Qt::Vertical);
  splitter->setHandleWidth(12);
  runs_ = new GridView(tr("runs"));
  auto* lower = new QWidget;
  auto* lower_layout = new QVBoxLayout(lower);
  lower_layout->setContentsMargins(0, 0, 0, 0);
  title_ = new QLabel;
  title_->setObjectName(QStringLiteral("heading"));
  facts_ = new GridView(tr("conditions of the run"));
  lower_layout->addWidget(title_);
  lower_layout->addWidget(facts_);
  splitter->addWidget(runs_);
  splitter->addWidget(lower);
  splitter->setStretchFactor(0, 3);
  splitter->setStretchFactor(1, 2);
  layout->addWidget(splitter);
  connect(runs_, &GridView::row_selected, this, [this](qint64 id) {
    Database* database = this->session().database();
    if (database == nullptr || id < 1 || id > static_cast<qint64>(database->runs().size())) return;
    this->session().choose_run(database->runs()[static_cast<std::size_t>(id - 1)].id);
    show_facts();
  });
  connect(runs_, &GridView::row_activated, this, [this] { activate(); });
}

void RunsView::activate() { Q_EMIT view_wanted(QStringLiteral("overview")); }

void RunsView::refresh() {
  Database* database = session().database();
  if (database == nullptr)
    return show_empty(tr("No database is open. Drop a file here, press Ctrl+O, or make one:"), tr("assay run quick"));
  if (database->runs().empty())
    return show_empty(tr("%1 holds no run yet.").arg(session().path()),
                      tr("assay run quick --db %1").arg(session().path()));
  std::map<std::string, results_db::RunCounts> counts;
  if (!session().guarded([&] { counts = database->store().run_counts(); })) return;
  show_content();
  Grid grid;
  grid.columns = {
      {tr("started")},        {tr("suite"), false, true}, {tr("state")},   {tr("cases"), true}, {tr("failed"), true},
      {tr("launches"), true}, {tr("took"), true},         {tr("machine")}, {tr("commit")},      {tr("tags")}};
  std::set<std::string> machines;
  qint64 id = 0, selected = 0;
  const auto data = session().run();
  for (const RunRecord& run : database->runs()) {
    ++id;
    machines.insert(run.machine.id);
    if (data && data->run.id == run.id) selected = id;
    const QString tags = tags_of(run);
    if (!matches_run(session().filter(), run) ||
        !matches_text(session().filter(), run.suite + " " + run.machine.name + " " + run.machine.cpu + " " +
                                              run.build.commit + " " + run.status + " " + tags.toStdString() + " " +
                                              run.id))
      continue;
    const auto& count = counts[run.id];
    GridRow row;
    row.id = id;
    GridCell started = GridCell::number(text_of(moment_text(run.started_ns)), static_cast<double>(run.started_ns));
    started.tip = tr("run %1").arg(text_of(run.id));
    GridCell state(text_of(run.status));
    if (run.status != "finished") state.color = theme().warn;
    GridCell failed = GridCell::number(count.failed == 0 ? QString() : QString::number(count.failed),
                                       static_cast<double>(count.failed));
    failed.color = theme().bad;
    failed.strong = true;
    row.cells = {started,
                 text_of(run.suite.substr(run.suite.rfind('/') + 1)),
                 state,
                 GridCell::number(QString::number(count.cases), static_cast<double>(count.cases)),
                 failed,
                 GridCell::number(QString::number(count.launches), static_cast<double>(count.launches)),
                 GridCell::number(seconds_text(run), static_cast<double>(run.finished_ns - run.started_ns)),
                 text_of(run.machine.name),
                 text_of(short_commit(run.build)),
                 tags};
    row.cells[1].tip = text_of(run.suite);
    row.cells[7].tip = text_of(run.machine.cpu);
    grid.rows.push_back(std::move(row));
  }
  const auto shown = grid.rows.size();
  summary_->setText(
      tr("%1 of %2 runs on %3 machine(s) in %4. Enter: what the run says; [ and ]: the run before and after.")
          .arg(shown)
          .arg(database->runs().size())
          .arg(machines.size())
          .arg(session().path()));
  runs_->show_grid(std::move(grid));
  runs_->select_id(selected);
  show_facts();
}

void RunsView::show_facts() {
  const auto data = session().run();
  if (!data) return;
  const RunRecord& run = data->run;
  title_->setText(tr("Conditions of %1").arg(text_of(run_title(run))));
  Grid grid;
  const RunRecord* before = session().database()->previous(run);
  const QString other = before == nullptr ? QString() : tr("before (%1)").arg(text_of(moment_text(before->started_ns)));
  grid.columns = {{tr("what")}, {tr("this run"), false, true}, {other, false, before != nullptr}};
  grid.rows.push_back(fact(tr("processor"), run.machine.cpu));
  grid.rows.push_back(fact(
      tr("cores, memory"),
      fmt::format("{}, {:.0f} GiB", run.machine.cores, static_cast<double>(run.machine.memory_bytes) / (1LL << 30))));
  grid.rows.push_back(fact(tr("commit"), short_commit(run.build) + (run.build.dirty ? " (files were changed)" : "")));
  grid.rows.push_back(fact(tr("compiler"), run.build.compiler));
  if (!run.build.flags.empty()) grid.rows.push_back(fact(tr("flags"), run.build.flags));
  grid.rows.push_back(fact(tr("command"), run.command));
  grid.rows.push_back(fact(tr("seed"), std::to_string(run.seed)));
  grid.rows.push_back(fact(tr("run id"), run.id));
  if (before != nullptr)
    for (const auto& difference : harness::environment_differences(*before, run)) {
      GridRow row = fact(tr("changed: %1").arg(text_of(difference.what)), difference.b, difference.a);
      row.cells[0].color = theme().warn;
      grid.rows.push_back(std::move(row));
    }
  facts_->show_grid(std::move(grid));
}

}  // namespace assay::gui
