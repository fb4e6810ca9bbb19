#pragma once
// What a page carries with it, embedded when assay is built: style sheet, drawing script, and Chart.js where the build
// found it.
#include <string_view>

namespace assay::reports {

std::string_view page_css();
std::string_view page_js();
std::string_view chart_js();  // empty: not there when assay was built

}  // namespace assay::reports
