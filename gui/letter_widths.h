#pragma once
// How wide texts come out, without laying each of them out: what every letter takes, measured once. Kerning, which it
// leaves out, only makes a text narrower.
#include <QFontMetricsF>
#include <QHash>
#include <QString>
#include <array>

namespace assay::gui {

class LetterWidths {
 public:
  explicit LetterWidths(const QFont& font) : metrics_(font) {}
  int of(const QString& text) {
    double width = 0;
    for (const QChar letter : text) {
      double& held = letter.unicode() < 256 ? plain_[letter.unicode()] : others_[letter];
      if (held == 0) held = metrics_.horizontalAdvance(letter);
      width += held;
    }
    return static_cast<int>(width) + 1;
  }

 private:
  QFontMetricsF metrics_;
  std::array<double, 256> plain_{};
  QHash<QChar, double> others_;
};

}  // namespace assay::gui
