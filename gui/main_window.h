#pragma once
// The window: views at the left, run and filter above, one banner for what is wrong with the file.
#include <QMainWindow>
#include <map>
#include <vector>

#include "gui/case_drawer.h"
#include "gui/command_palette.h"
#include "gui/filter_box.h"
#include "gui/filter_chips.h"
#include "gui/live_bar.h"
#include "gui/session.h"
#include "gui/views/view.h"

class QComboBox;
class QPushButton;
class QStackedWidget;
class QVBoxLayout;

namespace assay::gui {

enum class Remember { layout, nothing };  // nothing: tests and pictures neither read nor write settings

class MainWindow : public QMainWindow {
  Q_OBJECT

 public:
  explicit MainWindow(Remember remember, QWidget* parent = nullptr);
  ~MainWindow() override;

  Session& session() { return session_; }
  bool open(const QString& path) { return open(QStringList{path}); }
  bool open(const QStringList& paths);  // several are looked at as one
  bool show_view(const QString& id);    // false: there is none of that id
  View* current() const;
  View* view(const QString& id) const;
  QStringList view_ids() const;
  FilterBox* filter_box() const { return filter_; }
  FilterChips* chips() const { return chips_; }
  LiveBar* live_bar() const { return live_; }
  CaseDrawer* drawer() const { return drawer_; }
  QString banner() const;  // "" while all is well
  void copy_markdown();
  void copy_tsv();
  void copy_csv();
  // The suffix says what: .png, .svg or .csv. False, with the banner saying why, where it cannot be written.
  bool export_to(const QString& path);
  std::vector<Command> commands();
  QString page_of(View& view);
  QString how_to_show_again();  // the command line that shows the same

 protected:
  void dragEnterEvent(QDragEnterEvent* event) override;
  void dropEvent(QDropEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;
  void closeEvent(QCloseEvent* event) override;

 private:
  void add_view(View* view);
  QWidget* make_sidebar();
  QWidget* make_topbar();
  QWidget* make_banner();
  void add_keys();
  void mark_stale();  // every view; the one shown is read again at once
  void refresh_current();
  void list_runs();
  void show_failure(const QString& line);
  void show_status();
  void show_live();
  void show_palette();
  void show_help();
  void choose_file(bool add);  // beside those that are open, or instead of them
  void restore_layout();
  void remember_layout();
  void choose_export();
  void set_dark(bool dark);

  Remember remember_;
  Session session_;
  std::vector<View*> views_;
  std::map<View*, bool> stale_;
  std::vector<QPushButton*> buttons_;
  QVBoxLayout* nav_ = nullptr;
  QStackedWidget* stack_ = nullptr;
  QComboBox* run_box_ = nullptr;
  FilterBox* filter_ = nullptr;
  FilterChips* chips_ = nullptr;
  LiveBar* live_ = nullptr;
  CaseDrawer* drawer_ = nullptr;
  QWidget* banner_bar_ = nullptr;
  QLabel* banner_ = nullptr;
  QLabel* status_ = nullptr;
  QLabel* legend_ = nullptr;
};

}  // namespace assay::gui
