#include "gui/views/view.h"

#include "gui/theme.h"

namespace assay::gui {

View::View(Session& session, QString id, QString title, QWidget* parent)
    : QWidget(parent), session_(session), id_(std::move(id)), title_(std::move(title)) {
  setAccessibleName(title_);
  pages_ = new QStackedLayout(this);
  empty_ = new QLabel;
  empty_->setObjectName(QStringLiteral("empty"));
  empty_->setAlignment(Qt::AlignCenter);
  empty_->setWordWrap(true);
  empty_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  empty_->setMargin(40);
  content_ = new QWidget;
  pages_->addWidget(empty_);
  pages_->addWidget(content_);
}

QVBoxLayout* View::page() {
  auto* layout = new QVBoxLayout(content_);
  layout->setContentsMargins(16, 12, 16, 12);
  return layout;
}

QScrollArea* View::scrolled(QWidget* content, const QString& accessible_name) {
  auto* area = new QScrollArea;
  area->setWidgetResizable(true);
  area->setFrameShape(QFrame::NoFrame);
  area->setAccessibleName(accessible_name);
  area->setWidget(content);
  return area;
}

QLabel* View::quiet_line() {
  auto* line = new QLabel;
  line->setObjectName(QStringLiteral("dim"));
  line->setWordWrap(true);
  return line;
}

QString View::hidden_text(const QString& words) {
  return QStringLiteral("<a href='#all' style='color:%1'>%2</a>").arg(theme().accent.name(), words.toHtmlEscaped());
}

void View::offers_all(QLabel* label) {
  label->setTextFormat(Qt::RichText);
  connect(label, &QLabel::linkActivated, this, [this] { session_.set_filter({}); });
}

void View::show_content() { pages_->setCurrentIndex(1); }

void View::show_empty(const QString& what, const QString& command) {
  QString text = what.toHtmlEscaped();
  if (!command.isEmpty())
    text += QStringLiteral("<br><br><code style='font-size:14px'>%1</code>").arg(command.toHtmlEscaped());
  empty_->setText(text);
  pages_->setCurrentIndex(0);
}

}  // namespace assay::gui
