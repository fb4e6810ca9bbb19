#pragma once
// What every view is: a page over the session that can be read again, moved in by keys and handed out as a table.
#include <QLabel>
#include <QScrollArea>
#include <QStackedLayout>
#include <QVBoxLayout>
#include <QWidget>

#include "gui/grid.h"
#include "gui/session.h"

namespace assay::gui {

class View : public QWidget {
  Q_OBJECT

 public:
  View(Session& session, QString id, QString title, QWidget* parent);

  const QString& id() const { return id_; }
  const QString& title() const { return title_; }
  virtual void refresh() = 0;                           // shows what the session now holds
  virtual Grid table() const = 0;                       // what copying and the CSV export hand out
  virtual void move(int /*rows*/) {}                    // j and k
  virtual void activate() {}                            // Enter
  virtual void toggle_scale() {}                        // l: logarithmic or linear, where values are drawn
  virtual QStringList arguments() const { return {}; }  // what `assay gui` needs to show the same again
  virtual void set_arguments(const QMap<QString, QString>& /*values*/) {}
  bool is_empty() const { return pages_->currentIndex() == 0; }
  QString empty_text() const { return empty_->text(); }

 Q_SIGNALS:
  void view_wanted(const QString& id);                                    // another view, over the same session
  void comparison_wanted(const QString& base, const QString& contender);  // selectors
  void details_wanted();  // of the selected case: its launches, how to get it again

 protected:
  Session& session() { return session_; }
  const Session& session() const { return session_; }
  QWidget* content() { return content_; }
  QVBoxLayout* page();  // lays the content out from top to bottom, with the margins of all views; called once
  static QScrollArea* scrolled(QWidget* content, const QString& accessible_name);
  static QLabel* quiet_line();  // a line of facts that stands back
  // Words about what the filter hides, as a link that shows it: of labels that `offers_all` has been told of.
  static QString hidden_text(const QString& words);
  void offers_all(QLabel* label);
  void show_content();
  void show_empty(const QString& what, const QString& command = {});  // the command that would fill the view

 private:
  Session& session_;
  QString id_, title_;
  QStackedLayout* pages_;
  QLabel* empty_;
  QWidget* content_;
};

}  // namespace assay::gui
