#include "gui/command_palette.h"

#include <QKeyEvent>
#include <QLineEdit>
#include <QListWidget>
#include <QVBoxLayout>
#include <algorithm>

namespace assay::gui {

int match_cost(const QString& wanted, const QString& name) {
  int cost = 0;
  qsizetype at = 0;
  for (const QChar letter : wanted) {
    if (letter.isSpace()) continue;
    const qsizetype found = name.indexOf(letter, at, Qt::CaseInsensitive);
    if (found < 0) return -1;
    cost += static_cast<int>(found - at);
    at = found + 1;
  }
  return cost;
}

CommandPalette::CommandPalette(std::vector<Command> commands, QWidget* parent)
    : QDialog(parent, Qt::Popup), commands_(std::move(commands)) {
  setAccessibleName(tr("commands"));
  resize(520, 360);
  auto* layout = new QVBoxLayout(this);
  line_ = new QLineEdit;
  line_->setPlaceholderText(tr("What do you want to do?"));
  line_->setAccessibleName(tr("command"));
  line_->installEventFilter(this);
  list_ = new QListWidget;
  list_->setFocusPolicy(Qt::NoFocus);
  layout->addWidget(line_);
  layout->addWidget(list_);
  connect(line_, &QLineEdit::textChanged, this, [this](const QString& text) { offer(text); });
  connect(line_, &QLineEdit::returnPressed, this, [this] { run_current(); });
  connect(list_, &QListWidget::itemClicked, this, [this] { run_current(); });
  offer({});
  line_->setFocus();
}

void CommandPalette::offer(const QString& wanted) {
  std::vector<std::pair<int, int>> found;  // cost, which
  for (std::size_t i = 0; i < commands_.size(); ++i)
    if (const int cost = match_cost(wanted, commands_[i].name); cost >= 0)
      found.emplace_back(cost, static_cast<int>(i));
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  list_->clear();
  for (const auto& [cost, which] : found) {
    const Command& command = commands_[static_cast<std::size_t>(which)];
    auto* item = new QListWidgetItem(
        command.keys.isEmpty() ? command.name : QStringLiteral("%1    %2").arg(command.name, command.keys));
    item->setData(Qt::UserRole, which);
    list_->addItem(item);
  }
  list_->setCurrentRow(0);
}

void CommandPalette::run_current() {
  const QListWidgetItem* item = list_->currentItem();
  if (item == nullptr) return;
  const auto run = commands_[static_cast<std::size_t>(item->data(Qt::UserRole).toInt())].run;
  accept();
  run();
}

bool CommandPalette::eventFilter(QObject* watched, QEvent* event) {
  if (watched == line_ && event->type() == QEvent::KeyPress) {
    const int key = static_cast<QKeyEvent*>(event)->key();
    if (key == Qt::Key_Down || key == Qt::Key_Up) {
      list_->setCurrentRow(
          std::clamp(list_->currentRow() + (key == Qt::Key_Down ? 1 : -1), 0, std::max(0, list_->count() - 1)));
      return true;
    }
  }
  return QDialog::eventFilter(watched, event);
}

}  // namespace assay::gui
