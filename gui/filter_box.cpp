#include "gui/filter_box.h"

#include <QAbstractItemView>
#include <QCompleter>
#include <QKeyEvent>
#include <QStringListModel>

#include "gui/theme.h"

namespace assay::gui {

FilterBox::FilterBox(Session& session, QWidget* parent) : QLineEdit(parent), session_(session) {
  setPlaceholderText(tr("Filter  ( / )   flash  seq>=4k  dtype=bf16  -naive"));
  setAccessibleName(tr("filter"));
  setClearButtonEnabled(true);
  words_ = new QStringListModel(this);
  completer_ = new QCompleter(words_, this);
  // The model already holds only what fits: several words cannot be matched as one prefix.
  completer_->setCompletionMode(QCompleter::UnfilteredPopupCompletion);
  completer_->setWidget(this);
  connect(completer_, QOverload<const QString&>::of(&QCompleter::activated), this, [this](const QString& text) {
    setText(text.endsWith(QLatin1Char('=')) ? text : text + QLatin1Char(' '));
    session_.set_filter(this->text());
  });
  connect(this, &QLineEdit::textEdited, this, [this](const QString& text) {
    session_.set_filter(text);
    offer();
  });
  connect(&session_, &Session::filter_changed, this, [this] {
    const std::string& problem = session_.filter().problem;
    setToolTip(text_of(problem));
    const QString look = problem.empty() ? QString() : QStringLiteral("border: 1px solid %1;").arg(theme().bad.name());
    if (look != styleSheet()) setStyleSheet(look);  // setting it lays the window out anew
  });
}

QStringList FilterBox::offered() const { return words_->stringList(); }

void FilterBox::offer() {
  QStringList words;
  if (const auto data = session_.run(); data && !text().isEmpty()) {
    const std::string typed = text().toStdString(), before = words_before_last(typed);
    if (known_of_ != data || known_after_ != before) {
      known_ = vocabulary(*data, parse_filter(before), session_.database()->runs());
      known_of_ = data;
      known_after_ = before;
    }
    for (const std::string& line : completions(typed, known_)) words << text_of(line);
  }
  if (words.size() > 40) words.resize(40);
  words_->setStringList(words);
  const bool done = words.isEmpty() || (words.size() == 1 && words.front() == text());
  if (done || !isVisible()) {
    completer_->popup()->hide();
    return;
  }
  completer_->complete();
  // Nothing is chosen until an arrow key chooses it: Enter means what was typed.
  completer_->popup()->setCurrentIndex({});
}

void FilterBox::keyPressEvent(QKeyEvent* event) {
  const bool open = completer_->popup()->isVisible();
  if (open && (event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter || event->key() == Qt::Key_Tab)) {
    if (completer_->popup()->currentIndex().isValid()) {
      event->ignore();  // the pop-up takes it
      return;
    }
    completer_->popup()->hide();
  }
  if (event->key() == Qt::Key_Escape) {
    if (open) {
      completer_->popup()->hide();
    } else if (!text().isEmpty()) {
      clear();
      session_.set_filter({});
    } else {
      clearFocus();
    }
    return;
  }
  if (event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter || event->key() == Qt::Key_Down) {
    if (when_entered) when_entered();
    return;
  }
  QLineEdit::keyPressEvent(event);
}

}  // namespace assay::gui
