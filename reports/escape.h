#pragma once
// Text as XML, HTML and Markdown have it.
#include <string>
#include <string_view>

namespace assay::reports {

// & < > " ' as entities; what XML 1.0 cannot hold (control characters) as U+FFFD.
std::string xml(std::string_view text);
// As cell of a Markdown table: | escaped, on one line.
std::string markdown(std::string_view text);

}  // namespace assay::reports
