#include "reports/page_parts.h"

// The assembler includes the files as they are: string literals have a length that compilers guarantee, scripts do not.
#define ASSAY_EMBED(name, file)                                                                                 \
  asm(".section .rodata\n.balign 8\n" #name "_begin:\n.incbin \"" file "\"\n" #name "_end:\n.byte 0\n.text\n"); \
  extern "C" const char name##_begin[] __asm__(#name "_begin");                                                 \
  extern "C" const char name##_end[] __asm__(#name "_end")

ASSAY_EMBED(assay_page_css, ASSAY_PAGE_CSS);
ASSAY_EMBED(assay_page_js, ASSAY_PAGE_JS);
#ifdef ASSAY_CHART_JS
ASSAY_EMBED(assay_chart_js, ASSAY_CHART_JS);
#endif

namespace assay::reports {
namespace {

std::string_view between(const char* begin, const char* end) {
  return {begin, static_cast<std::string_view::size_type>(end - begin)};
}

}  // namespace

std::string_view page_css() { return between(assay_page_css_begin, assay_page_css_end); }
std::string_view page_js() { return between(assay_page_js_begin, assay_page_js_end); }

std::string_view chart_js() {
#ifdef ASSAY_CHART_JS
  return between(assay_chart_js_begin, assay_chart_js_end);
#else
  return {};
#endif
}

}  // namespace assay::reports
