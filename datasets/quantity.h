#pragma once
// Numbers as people write them in suites and on the command line: 4k, 16MiB, 1.5e9, 250ms, 2%.
#include <cstdint>
#include <string>
#include <string_view>

namespace assay::datasets {

enum class Dimension { count, bytes, seconds, fraction };

// Parses `text` as a quantity of `dimension`, in base units. Counts take k, M, G, T as powers of 1024 when the result
// is a token-like size (4k = 4096, as the field writes sequence lengths). Bytes take B, KB/MB/GB (powers of 1000) and
// KiB/MiB/GiB (powers of 1024). Seconds take ns, us, ms, s, min, h. Fractions take % or a bare number.
// Throws UserError naming `where` (file:line: key), what was found and what was expected; negative sizes are refused.
double parse_quantity(std::string_view text, Dimension dimension, std::string_view where);

// The same for whole numbers; a fractional result is refused.
std::int64_t parse_count(std::string_view text, std::string_view where);

// 4096 -> "4k", 1536 -> "1536"; exact, so that parse_count(format_count(n)) == n.
std::string format_count(std::int64_t value);

// Three significant digits with an SI prefix and the unit: 1.23e-5 s -> "12.3 us", 2.5e12 FLOP/s -> "2.50 TFLOP/s".
std::string format_si(double value, std::string_view unit);

}  // namespace assay::datasets
