#include "gui/session.h"

#include <algorithm>

#include "datasets/user_error.h"
#include "gui/theme.h"

namespace assay::gui {

Session::Session(QObject* parent) : QObject(parent) {
  timer_.setInterval(1000);
  connect(&timer_, &QTimer::timeout, this, &Session::look);
}

void Session::set_following(bool follow) {
  if (follow)
    timer_.start();
  else
    timer_.stop();
}

void Session::fail(const QString& line) {
  failure_ = line;
  Q_EMIT failed(line);
}

bool Session::guarded(const std::function<void()>& body) {
  try {
    body();
    return true;
  } catch (const UserError& wrong) {
    fail(text_of(wrong.what()));
  } catch (const std::exception& broken) {
    // A file that changed under the reader shows itself as a broken invariant as often as by its name.
    fail(tr("%1: reading failed: %2").arg(path(), text_of(broken.what())));
  }
  return false;
}

bool Session::open(const QStringList& paths) {
  paths_ = paths;
  database_.reset();
  run_id_.clear();
  case_.reset();
  newest_ = true;
  waiting_ = false;
  const bool opened = guarded([&] {
    std::vector<std::string> files;
    for (const QString& path : paths) files.push_back(path.toStdString());
    database_ = std::make_unique<Database>(std::move(files));
    if (!database_->runs().empty()) run_id_ = database_->runs().front().id;
  });
  if (!opened) database_.reset();
  if (opened) fail({});
  Q_EMIT database_changed();
  return opened;
}

std::shared_ptr<const RunData> Session::run() {
  std::shared_ptr<const RunData> data;
  if (database_ && !run_id_.empty()) guarded([&] { data = database_->run(run_id_); });
  return data;
}

void Session::choose_run(const std::string& id) {
  if (!database_ || id == run_id_) return;
  run_id_ = id;
  newest_ = !database_->runs().empty() && database_->runs().front().id == id;
  Q_EMIT run_changed();
}

void Session::step_run(int older) {
  if (!database_) return;
  const auto& runs = database_->runs();
  const auto at = std::find_if(runs.begin(), runs.end(), [&](const auto& run) { return run.id == run_id_; });
  const auto next = (at - runs.begin()) + older;
  if (at == runs.end() || next < 0 || next >= static_cast<std::ptrdiff_t>(runs.size())) return;
  choose_run(runs[static_cast<std::size_t>(next)].id);
}

void Session::set_filter(const QString& text) {
  if (text.toStdString() == filter_.text) return;
  filter_ = parse_filter(text.toStdString());
  Q_EMIT filter_changed();
}

void Session::select_case(std::int64_t id) {
  if (case_ == id) return;
  case_ = id;
  Q_EMIT case_changed();
}

void Session::set_held(bool held) {
  held_ = held;
  if (!held && waiting_) guarded([this] { take_news(); });
  Q_EMIT followed();
}

void Session::take_news() {
  waiting_ = false;
  database_->reload();
  if (newest_ && !database_->runs().empty()) run_id_ = database_->runs().front().id;
  Q_EMIT run_changed();
}

void Session::look() {
  if (!database_) return;
  Database::Look seen;
  if (!guarded([&] { seen = database_->look(); })) return;
  switch (seen.change) {
    case Database::Change::none:
      if (!failure_.isEmpty()) fail({});
      break;
    case Database::Change::gone:
      return fail(tr("%1 was deleted or moved. What is shown was read before.").arg(text_of(seen.path)));
    case Database::Change::replaced:
      return fail(tr("%1 was replaced by another file. What is shown is the old one.").arg(text_of(seen.path)));
    case Database::Change::written:
      if (!failure_.isEmpty()) fail({});
      if (held_)
        waiting_ = true;
      else
        guarded([this] { take_news(); });
      break;
  }
  Q_EMIT followed();
}

}  // namespace assay::gui
