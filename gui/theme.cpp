#include "gui/theme.h"

#include <QApplication>
#include <QFontDatabase>
#include <QPalette>
#include <QStyleFactory>
#include <array>

#include "gui/model/palette.h"

namespace assay::gui {
namespace {

using results_db::Provenance;

Theme& current() {
  static Theme held;
  return held;
}

Theme make_theme(bool dark) {
  if (dark)
    return {true,
            QColor(0x14, 0x18, 0x1f),
            QColor(0x1b, 0x20, 0x29),
            QColor(0x26, 0x2d, 0x39),
            QColor(0xe4, 0xe8, 0xee),
            QColor(0x98, 0xa2, 0xb3),
            QColor(0x36, 0x3e, 0x4c),
            QColor(0x5a, 0xa9, 0xf0),
            QColor(0x5a, 0xa9, 0xf0),
            QColor(0xff, 0x8a, 0x4c),
            QColor(0xe8, 0xb8, 0x3a)};
  return {false,
          QColor(0xf3, 0xf4, 0xf7),
          QColor(0xff, 0xff, 0xff),
          QColor(0xe8, 0xeb, 0xf0),
          QColor(0x1c, 0x22, 0x2c),
          QColor(0x5d, 0x67, 0x78),
          QColor(0xd5, 0xda, 0xe2),
          QColor(0x00, 0x63, 0xa8),
          QColor(0x00, 0x63, 0xa8),
          QColor(0xc2, 0x4a, 0x00),
          QColor(0x8f, 0x69, 0x00)};
}

// Okabe and Ito's eight, darkened or lightened until each has a contrast of 3 to 1 with its background.
constexpr std::array<unsigned, palette_slots> on_light = {0x0072b2, 0xb97700, 0x00875f, 0xc24a00,
                                                          0xb0508a, 0x2a8fc7, 0x7d7400, 0x3d4450};
constexpr std::array<unsigned, palette_slots> on_dark = {0x4aa3e0, 0xe69f00, 0x1fc195, 0xf07c3e,
                                                         0xdf8fbd, 0x7cc7f2, 0xf0e442, 0xc3cad6};

constexpr const char* style_sheet = R"css(
* { font-size: 13px; }
QToolTip { background: %raised; color: %text; border: 1px solid %line; padding: 5px; }
QWidget#sidebar { background: %panel; border-right: 1px solid %line; }
QWidget#topbar { background: %panel; border-bottom: 1px solid %line; }
QLabel#brand { font-size: 18px; font-weight: 600; padding: 2px 0 6px 0; }
QLabel#heading { font-size: 16px; font-weight: 600; }
QLabel#sentence { font-size: 15px; }
QLabel#dim, QLabel#legend { color: %dim; }
QLabel#banner { background: %bad; color: %window; padding: 0; font-weight: 600; }
QWidget#bannerbar { background: %bad; }
QLabel#empty { color: %dim; font-size: 15px; }
QLineEdit, QComboBox { background: %window; border: 1px solid %line; border-radius: 5px; padding: 4px 7px; min-height: 19px; }
QLineEdit:focus, QComboBox:focus { border: 1px solid %accent; }
QComboBox::drop-down { border: 0; width: 20px; }
QComboBox::down-arrow { image: none; width: 0; height: 0; border-left: 4px solid %window; border-right: 4px solid %window;
  border-top: 5px solid %dim; margin-right: 7px; }
QComboBox QAbstractItemView { background: %panel; border: 1px solid %line; selection-background-color: %accent; }
QPushButton { background: %raised; border: 1px solid %line; border-radius: 5px; padding: 4px 11px; min-height: 19px; }
QPushButton:focus { border: 1px solid %accent; }
QPushButton:checked { background: %accent; color: %window; }
QPushButton#chip { padding: 1px 9px; min-height: 17px; border-radius: 10px; }
QToolButton { background: %raised; border: 1px solid %line; border-radius: 5px; padding: 4px 9px; min-height: 19px; }
QToolButton:focus { border: 1px solid %accent; }
QToolButton::menu-indicator { image: none; }
QWidget#chips { background: %panel; border-bottom: 1px solid %line; }
QWidget#livebar { background: %raised; border-bottom: 1px solid %line; }
QProgressBar { background: %window; border: 1px solid %line; border-radius: 5px; text-align: center; min-height: 17px; }
QProgressBar::chunk { background: %accent; border-radius: 4px; }
QDockWidget { background: %window; }
QDockWidget::title { background: %panel; padding: 6px 12px; border-bottom: 1px solid %line; }
QPlainTextEdit { background: %panel; border: 1px solid %line; border-radius: 6px; }
QMenu { background: %panel; border: 1px solid %line; }
QMenu::item { padding: 5px 22px; }
QMenu::item:selected { background: %raised; }
QPushButton#nav { background: transparent; border: 0; border-radius: 6px; padding: 7px 10px; text-align: left; }
QPushButton#nav:hover { background: %raised; }
QPushButton#nav:checked { background: %raised; color: %text; font-weight: 600; }
QPushButton#nav:focus { border: 1px solid %accent; }
QTableView { background: %panel; alternate-background-color: %panel; border: 1px solid %line; border-radius: 6px;
  gridline-color: transparent; selection-background-color: %raised; selection-color: %text; }
QTableView::item { border: 0; padding: 0 8px; }
QScrollBar { background: transparent; border: 0; margin: 0; }
QScrollBar:vertical { width: 10px; }
QScrollBar:horizontal { height: 10px; }
QScrollBar::handle { background: %line; border-radius: 4px; min-height: 24px; min-width: 24px; margin: 1px; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QTableView:focus { border: 1px solid %accent; }
QHeaderView { background: %panel; }
QHeaderView::section { background: %panel; color: %dim; border: 0; border-bottom: 1px solid %line; padding: 5px 8px; }
QSplitter::handle { background: transparent; }
QFrame#card { background: %panel; border: 1px solid %line; border-radius: 8px; }
QStatusBar { background: %panel; border-top: 1px solid %line; color: %dim; }
QStatusBar::item { border: 0; }
QScrollArea, QScrollArea > QWidget > QWidget { background: transparent; border: 0; }
)css";

QString sheet_for(const Theme& held) {
  QString sheet = QString::fromLatin1(style_sheet);
  const std::array<std::pair<const char*, QColor>, 8> names = {{{"%window", held.window},
                                                                {"%panel", held.panel},
                                                                {"%raised", held.raised},
                                                                {"%text", held.text},
                                                                {"%dim", held.dim},
                                                                {"%line", held.line},
                                                                {"%accent", held.accent},
                                                                {"%bad", held.bad}}};
  for (const auto& [name, color] : names) sheet.replace(QString::fromLatin1(name), color.name());
  return sheet;
}

}  // namespace

const Theme& theme() { return current(); }

void apply_theme(QApplication& application, bool dark) {
  current() = make_theme(dark);
  const Theme& held = current();
  application.setStyle(QStyleFactory::create(QStringLiteral("Fusion")));
  QPalette palette;
  palette.setColor(QPalette::Window, held.window);
  palette.setColor(QPalette::Base, held.panel);
  palette.setColor(QPalette::AlternateBase, held.raised);
  palette.setColor(QPalette::Button, held.raised);
  palette.setColor(QPalette::ToolTipBase, held.raised);
  for (const auto role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText, QPalette::ToolTipText})
    palette.setColor(role, held.text);
  palette.setColor(QPalette::PlaceholderText, held.dim);
  palette.setColor(QPalette::Highlight, held.accent);
  palette.setColor(QPalette::HighlightedText, held.window);
  palette.setColor(QPalette::Link, held.accent);
  palette.setColor(QPalette::Mid, held.line);
  palette.setColor(QPalette::Disabled, QPalette::Text, held.dim);
  palette.setColor(QPalette::Disabled, QPalette::ButtonText, held.dim);
  application.setPalette(palette);
  if (QFontDatabase::families().contains(QStringLiteral("DejaVu Sans"))) {
    QFont font(QStringLiteral("DejaVu Sans"));
    font.setPixelSize(13);
    application.setFont(font);
  }
  application.setStyleSheet(sheet_for(held));
}

QColor slot_color(std::size_t slot) {
  return QColor::fromRgb(theme().dark ? on_dark.at(slot % palette_slots) : on_light.at(slot % palette_slots));
}

QColor technique_color(const std::string& technique) {
  return slot_color(static_cast<std::size_t>(palette_slot(technique)));
}

QColor lane_color(const std::string& kind) {
  // What stands next to each other must not look alike; kinds of other programs fall where their names put them.
  static constexpr std::array<const char*, 6> known = {"compute", "send", "receive", "copy", "wait", "link"};
  for (std::size_t i = 0; i < known.size(); ++i)
    if (kind == known.at(i)) return slot_color(i == 5 ? 1 : i);
  return technique_color(kind);
}

QColor verdict_color(harness::stats::Verdict verdict) {
  switch (verdict) {
    case harness::stats::Verdict::faster:
      return theme().good;
    case harness::stats::Verdict::slower:
      return theme().bad;
    case harness::stats::Verdict::unsure:
      return theme().warn;
    case harness::stats::Verdict::same:
      return theme().dim;
  }
  return theme().dim;
}

QColor claim_color(const std::string& verdict) {
  if (verdict.starts_with("reproduced") || verdict.starts_with("exceeded")) return theme().good;
  if (verdict.starts_with("partial")) return theme().warn;
  if (verdict.starts_with("contradicted") || verdict.starts_with("not reproduced")) return theme().bad;
  return theme().dim;
}

Qt::PenStyle provenance_pen(Provenance provenance) {
  switch (provenance) {
    case Provenance::projected:
      return Qt::DashLine;
    case Provenance::emulated:
      return Qt::DotLine;
    case Provenance::claimed:
      return Qt::DashDotLine;
    case Provenance::measured:
    case Provenance::derived:
      return Qt::SolidLine;
  }
  return Qt::SolidLine;
}

QString provenance_glyph(Provenance provenance) {
  switch (provenance) {
    case Provenance::measured:
      return QStringLiteral("●");
    case Provenance::emulated:
      return QStringLiteral("◌");
    case Provenance::projected:
      return QStringLiteral("◇");
    case Provenance::derived:
      return QStringLiteral("ƒ");
    case Provenance::claimed:
      return QStringLiteral("❝");
  }
  return {};
}

QString text_of(const std::string& utf8) { return QString::fromStdString(utf8); }

}  // namespace assay::gui
