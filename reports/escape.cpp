#include "reports/escape.h"

namespace assay::reports {

std::string xml(std::string_view text) {
  std::string out;
  for (const char letter : text) switch (letter) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '\n':
      case '\t':
        out += letter;
        break;
      default:
        if (static_cast<unsigned char>(letter) < 0x20)
          out += "\xEF\xBF\xBD";
        else
          out += letter;
    }
  return out;
}

std::string markdown(std::string_view text) {
  std::string out;
  for (const char letter : text) {
    if (letter == '|') out += '\\';
    out += letter == '\n' ? ' ' : letter;
  }
  return out;
}

}  // namespace assay::reports
