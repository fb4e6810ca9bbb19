#pragma once
// Every word of the filter as a chip that a click takes away, and a menu of what the run's cases differ in that adds
// one.
#include <QToolButton>
#include <QWidget>
#include <vector>

#include "gui/session.h"

class QHBoxLayout;
class QMenu;
class QPushButton;

namespace assay::gui {

class FilterChips : public QWidget {
  Q_OBJECT

 public:
  explicit FilterChips(Session& session, QWidget* parent = nullptr);
  QStringList words() const;  // of the chips, left to right
  const std::vector<QPushButton*>& chips() const { return chips_; }
  QMenu* menu() const { return menu_; }
  QToolButton* add_button() const { return add_; }  // stands elsewhere: the row is there only when it has chips

 private:
  void refresh();
  void offer();  // fills the menu

  Session& session_;
  QHBoxLayout* row_;
  QToolButton* add_;
  QMenu* menu_;
  std::vector<QPushButton*> chips_;
};

}  // namespace assay::gui
