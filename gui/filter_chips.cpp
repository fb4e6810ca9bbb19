#include "gui/filter_chips.h"

#include <QHBoxLayout>
#include <QMenu>
#include <QPushButton>
#include <map>
#include <set>

#include "gui/theme.h"

namespace assay::gui {
namespace {

constexpr int most_values = 24;  // of one field in the menu; the filter line completes the others

// `text` without its `which`-th word.
QString without_word(const QString& text, int which) {
  QStringList words = text.split(QLatin1Char(' '), Qt::SkipEmptyParts);
  words.removeAt(which);
  return words.join(QLatin1Char(' '));
}

// `text` where `field` is held to `value` and to nothing else.
QString with_value(const QString& text, const QString& field, const QString& value) {
  QStringList words = text.split(QLatin1Char(' '), Qt::SkipEmptyParts);
  words.removeIf([&](const QString& word) { return word.startsWith(field + QLatin1Char('=')); });
  words << field + QLatin1Char('=') + value;
  return words.join(QLatin1Char(' '));
}

}  // namespace

FilterChips::FilterChips(Session& session, QWidget* parent) : QWidget(parent), session_(session) {
  setObjectName(QStringLiteral("chips"));
  setAttribute(Qt::WA_StyledBackground);
  row_ = new QHBoxLayout(this);
  row_->setContentsMargins(16, 0, 16, 6);
  row_->setSpacing(6);
  menu_ = new QMenu(this);
  add_ = new QToolButton;
  add_->setText(tr("+ only"));
  add_->setToolTip(tr("keep only one family, data type, fabric, ..."));
  add_->setAccessibleName(tr("add to the filter"));
  add_->setPopupMode(QToolButton::InstantPopup);
  add_->setMenu(menu_);
  row_->addStretch(1);
  hide();
  connect(menu_, &QMenu::aboutToShow, this, [this] { offer(); });
  connect(&session_, &Session::filter_changed, this, [this] { refresh(); });
}

QStringList FilterChips::words() const {
  QStringList words;
  for (const QPushButton* chip : chips_) words << chip->property("word").toString();
  return words;
}

void FilterChips::refresh() {
  const QStringList words = text_of(session_.filter().text).split(QLatin1Char(' '), Qt::SkipEmptyParts);
  if (words == this->words()) return;
  // A keystroke changes the last of them: what a button costs to make is paid for new words only.
  while (static_cast<qsizetype>(chips_.size()) > words.size()) {
    row_->removeWidget(chips_.back());
    chips_.back()->hide();
    chips_.back()->deleteLater();
    chips_.pop_back();
  }
  while (static_cast<qsizetype>(chips_.size()) < words.size()) {
    const int which = static_cast<int>(chips_.size());
    auto* chip = new QPushButton;
    chip->setObjectName(QStringLiteral("chip"));
    connect(chip, &QPushButton::clicked, this,
            [this, which] { session_.set_filter(without_word(text_of(session_.filter().text), which)); });
    row_->insertWidget(which, chip);
    chips_.push_back(chip);
  }
  for (qsizetype i = 0; i < words.size(); ++i) {
    QPushButton* chip = chips_[static_cast<std::size_t>(i)];
    if (chip->property("word").toString() == words[i]) continue;
    chip->setProperty("word", words[i]);
    chip->setText(QString(words[i]).replace(QLatin1Char('&'), QStringLiteral("&&")) + QStringLiteral("  ✕"));
    chip->setAccessibleName(tr("take %1 out of the filter").arg(words[i]));
    chip->setToolTip(chip->accessibleName());
  }
  setVisible(!chips_.empty());
}

void FilterChips::offer() {
  menu_->clear();
  const auto data = session_.run();
  if (!data) return;
  std::map<std::string, std::set<std::string>> fields;
  std::map<std::string, std::map<double, std::string>> numbers;  // in their order, not in that of their letters
  for (const CaseResult& result : data->cases) {
    fields["family"].insert(result.info.family);
    fields["technique"].insert(result.info.name);
    fields["backend"].insert(result.info.record.backend);
    if (!result.info.record.fabric.empty()) fields["fabric"].insert(result.info.record.fabric);
    fields["status"].insert(to_string(result.status));
    if (const Value* value = result.main_value()) fields["provenance"].insert(to_string(value->provenance));
    for (const Parameter& parameter : result.info.parameters) {
      fields[parameter.name].insert(parameter.text);
      if (parameter.number) numbers[parameter.name][*parameter.number] = parameter.text;
    }
  }
  for (const char* verdict : {"faster", "slower", "same", "unsure"}) fields["verdict"].insert(verdict);
  const auto add = [&](QMenu* to, const std::string& field, const std::string& value) {
    to->addAction(text_of(value), this, [this, field = text_of(field), value = text_of(value)] {
      session_.set_filter(with_value(text_of(session_.filter().text), field, value));
    });
  };
  for (const auto& [field, values] : fields) {
    if (values.size() < 2) continue;
    QMenu* of_field = menu_->addMenu(text_of(axis_title(field)));
    int listed = 0;
    if (const auto ordered = numbers.find(field); ordered != numbers.end() && ordered->second.size() == values.size()) {
      for (const auto& [number, value] : ordered->second)
        if (++listed <= most_values) add(of_field, field, value);
    } else {
      for (const std::string& value : values)
        if (++listed <= most_values) add(of_field, field, value);
    }
  }
}

}  // namespace assay::gui
