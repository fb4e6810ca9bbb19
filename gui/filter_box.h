#pragma once
// The filter line of the window: completes its last word from the cases of the run.
#include <QLineEdit>
#include <functional>
#include <memory>
#include <string>

#include "gui/session.h"

class QCompleter;
class QStringListModel;

namespace assay::gui {

class FilterBox : public QLineEdit {
 public:
  explicit FilterBox(Session& session, QWidget* parent = nullptr);
  QStringList offered() const;         // what the pop-up holds
  std::function<void()> when_entered;  // Enter: on to what the filter left

 protected:
  void keyPressEvent(QKeyEvent* event) override;

 private:
  void offer();

  Session& session_;
  // Of the words before the one that is typed, so that a letter more costs a look into it and no more.
  std::shared_ptr<const RunData> known_of_;
  std::string known_after_;
  Vocabulary known_;
  QCompleter* completer_;
  QStringListModel* words_;
};

}  // namespace assay::gui
