#include "gui/case_drawer.h"

#include <QApplication>
#include <QClipboard>
#include <QFontDatabase>
#include <QHBoxLayout>
#include <QVBoxLayout>

#include "gui/model/palette.h"
#include "gui/theme.h"

namespace assay::gui {

StripSide strip_side(const CaseResult& result, const std::string& metric) {
  StripSide side;
  side.color = technique_color(result.info.record.technique);
  side.marker = marker_shape(result.info.record.technique);
  for (const auto& launch : result.launches) {
    if (launch.status != results_db::Status::ok) continue;
    StripLaunch drawn;
    drawn.started_ns = launch.started_ns;
    if (metric == "time" && launch.distribution && launch.distribution->quantiles.size() == 8) {
      const auto& q = launch.distribution->quantiles;  // 0.01 0.05 0.10 0.25 0.75 0.90 0.95 0.99
      drawn = {launch.distribution->median, q[1], q[3], q[4], q[6], launch.started_ns, launch.distribution->n};
    } else {
      for (const auto& held : launch.metrics)
        if (held.name == metric) drawn.median = drawn.q05 = drawn.q25 = drawn.q75 = drawn.q95 = held.value;
    }
    if (drawn.median != 0) side.launches.push_back(drawn);
  }
  return side;
}

CaseDrawer::CaseDrawer(Session& session, QWidget* parent) : QDockWidget(tr("Case"), parent), session_(session) {
  setObjectName(QStringLiteral("drawer"));
  setAllowedAreas(Qt::RightDockWidgetArea);
  setFeatures(DockWidgetClosable);
  auto* body = new QWidget;
  body->setMinimumWidth(350);
  auto* layout = new QVBoxLayout(body);
  layout->setContentsMargins(12, 8, 12, 10);
  title_ = new QLabel;
  title_->setObjectName(QStringLiteral("heading"));
  title_->setWordWrap(true);
  value_ = new QLabel;
  value_->setWordWrap(true);
  value_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  strip_ = new StripPlot;
  strip_->setMinimumHeight(190);
  again_ = new QLabel(tr("The same number again"));
  again_->setObjectName(QStringLiteral("heading"));
  command_ = new QLabel;
  command_->setWordWrap(true);
  command_->setFont(QFontDatabase::systemFont(QFontDatabase::FixedFont));
  command_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  copy_command_ = new QPushButton(tr("Copy command"));
  copy_all_ = new QPushButton(tr("Copy everything"));
  copy_all_->setToolTip(tr("commands, conditions, hashes and the suite as text"));
  facts_ = new GridView(tr("conditions of the case"));
  suite_ = new QPlainTextEdit;
  suite_->setReadOnly(true);
  suite_->setAccessibleName(tr("suite of the run"));
  suite_->setFont(QFontDatabase::systemFont(QFontDatabase::FixedFont));
  suite_->setLineWrapMode(QPlainTextEdit::NoWrap);
  suite_->setTabChangesFocus(true);
  auto* buttons = new QHBoxLayout;
  buttons->addWidget(copy_command_);
  buttons->addWidget(copy_all_);
  buttons->addStretch(1);
  layout->addWidget(title_);
  layout->addWidget(value_);
  layout->addWidget(strip_, 2);
  layout->addWidget(again_);
  layout->addWidget(command_);
  layout->addLayout(buttons);
  layout->addWidget(facts_, 2);
  layout->addWidget(suite_, 1);
  setWidget(body);
  connect(copy_command_, &QPushButton::clicked, this,
          [this] { QApplication::clipboard()->setText(text_of(recipe_.rerun)); });
  connect(copy_all_, &QPushButton::clicked, this, [this] { QApplication::clipboard()->setText(whole_); });
  connect(this, &QDockWidget::visibilityChanged, this, [this](bool visible) {
    if (visible) refresh();
  });
  hide();
}

void CaseDrawer::refresh() {
  if (isHidden()) return;
  const auto data = session_.run();
  const CaseResult* result = data && session_.selected_case() ? data->find(*session_.selected_case()) : nullptr;
  for (QWidget* part :
       std::initializer_list<QWidget*>{value_, strip_, again_, command_, copy_command_, copy_all_, facts_, suite_})
    part->setVisible(result != nullptr);
  if (result == nullptr) return title_->setText(tr("Click a point or a row: its launches and how to get it again"));
  session_.guarded([&] { show_case(*data, *result); });
}

void CaseDrawer::show_case(const RunData& data, const CaseResult& result) {
  recipe_ = recipe_of(*session_.database(), data, result);
  whole_ = text_of(as_text(recipe_, result));
  const std::string parameters = parameters_text(result.info);
  title_->setText(text_of(result.info.name + (parameters.empty() ? "" : ": " + parameters)));
  const Value* value = result.main_value();
  if (value != nullptr) {
    QString words =
        provenance_glyph(value->provenance) + text_of(" " + metric_title(value->metric) + " " + value_text(*value));
    if (const std::string interval = interval_text(*value); !interval.empty())
      words += QStringLiteral(" (%1)").arg(text_of(interval));
    value_->setText(words + QLatin1Char('\n') + text_of(evidence_text(*value)));
    StripSide side = strip_side(result, value->metric);
    side.name = text_of(result.info.name);
    strip_->setVisible(!side.launches.empty());
    strip_->show_sides({side}, value->unit, value->metric);
  } else {
    strip_->hide();
    value_->setText(text_of(std::string(to_string(result.status)) + ": " + result.reason +
                            (recipe_.stderr_tail.empty() ? "" : "\n" + recipe_.stderr_tail)));
  }
  command_->setText(text_of(recipe_.rerun));
  suite_->setPlainText(text_of(recipe_.suite_toml));
  Grid grid;
  grid.columns = {{tr("what"), false, true}, {tr("value"), false, true}};
  for (const auto& [what, held] : recipe_.facts) {
    GridRow row;
    row.cells = {text_of(what), text_of(held)};
    row.cells[0].color = theme().dim;
    row.cells[1].tip = row.cells[1].text;
    grid.rows.push_back(std::move(row));
  }
  facts_->show_grid(std::move(grid));
}

}  // namespace assay::gui
