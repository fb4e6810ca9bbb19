#pragma once
// Colours and words of the dashboard, dark and light. Colour never stands alone: verdicts have words, provenance has a
// line style and a marker, techniques have names.
#include <QColor>
#include <QString>
#include <string>

#include "harness/stats/decide.h"
#include "results_db/records.h"

class QApplication;

namespace assay::gui {

struct Theme {
  bool dark = false;
  QColor window, panel, raised, text, dim, line, accent;
  QColor good, bad, warn;  // blue, vermilion, amber: told apart by every kind of colour vision
};

const Theme& theme();
void apply_theme(QApplication& application, bool dark);

QColor technique_color(const std::string& technique);
QColor slot_color(std::size_t slot);         // of the eight colours, over and over
QColor lane_color(const std::string& kind);  // of an engine in a timeline: compute, send, ...
QColor verdict_color(harness::stats::Verdict verdict);
QColor claim_color(const std::string& verdict);

Qt::PenStyle provenance_pen(
    results_db::Provenance provenance);  // measured and derived solid, projected dashed, emulated dotted
QString provenance_glyph(results_db::Provenance provenance);  // one character for tables and legends

QString text_of(const std::string& utf8);

}  // namespace assay::gui
