#pragma once
// Ctrl+K: everything the window can do, found by a few letters.
#include <QDialog>
#include <functional>
#include <vector>

class QLineEdit;
class QListWidget;

namespace assay::gui {

struct Command {
  QString name;
  QString keys;  // the shortcut, where there is one
  std::function<void()> run;
};

// Letters of `wanted` in their order in `name`: lower is a better match; -1: no match.
int match_cost(const QString& wanted, const QString& name);

class CommandPalette : public QDialog {
 public:
  CommandPalette(std::vector<Command> commands, QWidget* parent);

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  void offer(const QString& wanted);
  void run_current();

  std::vector<Command> commands_;
  QLineEdit* line_;
  QListWidget* list_;
};

}  // namespace assay::gui
