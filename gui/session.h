#pragma once
// What all views share: the open database, the run looked at, the filter, the selected case. Reading that fails ends in
// one line (`failed`), never in an exception that leaves an event handler.
#include <QObject>
#include <QStringList>
#include <QTimer>
#include <functional>
#include <memory>
#include <optional>

#include "gui/model/database.h"
#include "gui/model/filter.h"

namespace assay::gui {

class Session : public QObject {
  Q_OBJECT

 public:
  explicit Session(QObject* parent = nullptr);

  bool open(const QString& path) { return open(QStringList{path}); }
  // Several are looked at as one. False: `failed` has said why; what was open before stays closed.
  bool open(const QStringList& paths);
  const QStringList& paths() const { return paths_; }
  QString path() const { return paths_.join(QStringLiteral(" + ")); }
  Database* database() { return database_.get(); }
  std::shared_ptr<const RunData> run();  // null: nothing is open, or it holds no run
  const Filter& filter() const { return filter_; }
  std::optional<std::int64_t> selected_case() const { return case_; }
  const QString& failure() const { return failure_; }

  void choose_run(const std::string& id);
  void step_run(int older);  // +1: the run before, -1: the run after
  void set_filter(const QString& text);
  void select_case(std::int64_t id);
  void set_following(bool follow);
  // While held, what others write is noticed and not shown: nothing moves under a reader's eyes.
  void set_held(bool held);
  bool held() const { return held_; }
  bool waiting() const { return waiting_; }  // something was written while held

  // Runs `body`, which may read the database. A failure of the file becomes the banner; false then.
  bool guarded(const std::function<void()>& body);
  void look();  // has a file changed? Called by the timer

 Q_SIGNALS:
  void database_changed();
  void run_changed();
  void filter_changed();
  void case_changed();
  void followed();  // the timer has looked, or what waits has changed: time passes for a run that goes on
  void failed(const QString& line);  // "" when all is well again

 private:
  void fail(const QString& line);
  void take_news();

  QStringList paths_;
  QString failure_;
  std::unique_ptr<Database> database_;
  std::string run_id_;
  bool newest_ = true;  // the newest run is looked at, so a newer one takes its place
  bool held_ = false, waiting_ = false;
  Filter filter_;
  std::optional<std::int64_t> case_;
  QTimer timer_;
};

}  // namespace assay::gui
