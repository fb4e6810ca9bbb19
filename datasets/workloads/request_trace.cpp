#include "datasets/workloads/request_trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string_view>

#include "datasets/content_hash.h"
#include "datasets/user_error.h"

namespace assay::datasets {
namespace {

constexpr std::int64_t kMostTokens = 100'000'000;  // a prompt longer than this is no prompt
constexpr std::size_t kShown = 40;                 // of what was found

struct Place {
  const std::string& path;
  std::size_t line = 0;
};

[[noreturn]] void refuse(const Place& place, std::size_t column, std::string_view name, std::string_view found,
                         std::string_view expected) {
  std::string shown(found.substr(0, kShown));
  for (char& c : shown)
    if (static_cast<unsigned char>(c) < 0x20) c = '?';
  if (found.size() > kShown) shown += "...";
  throw UserError(
      fmt::format("{}:{}:{}: {}: found '{}', expected {}", place.path, place.line, column, name, shown, expected));
}

struct Cell {
  std::string_view text;
  std::size_t column = 1;
};

std::vector<Cell> split(std::string_view line) {
  std::vector<Cell> cells;
  std::size_t begin = 0;
  for (;;) {
    const std::size_t comma = line.find(',', begin);
    cells.push_back({line.substr(begin, comma == std::string_view::npos ? comma : comma - begin), begin + 1});
    if (comma == std::string_view::npos) return cells;
    begin = comma + 1;
  }
}

std::int32_t tokens(const Place& place, const Cell& cell, std::string_view name, std::int64_t least) {
  std::int64_t value = 0;
  const char* last = cell.text.data() + cell.text.size();
  const auto [end, error] = std::from_chars(cell.text.data(), last, value);
  if (error != std::errc() || end != last || value < least || value > kMostTokens)
    refuse(place, cell.column, name, cell.text, fmt::format("a whole number from {} to {}", least, kMostTokens));
  return static_cast<std::int32_t>(value);
}

// A non-negative decimal number in units of 10^-9, without rounding through floating point.
std::optional<std::int64_t> nano_units(std::string_view text, std::int64_t most_whole) {
  const std::size_t dot = text.find('.');
  const std::string_view whole = text.substr(0, dot);
  const std::string_view decimals = dot == std::string_view::npos ? std::string_view() : text.substr(dot + 1);
  if (whole.empty() || whole.size() > 18 || (dot != std::string_view::npos && decimals.empty())) return std::nullopt;
  std::int64_t value = 0;
  for (const char c : whole) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  if (value > most_whole) return std::nullopt;
  value *= 1'000'000'000;
  std::int64_t unit = 100'000'000;
  for (const char c : decimals) {
    if (c < '0' || c > '9') return std::nullopt;
    value += unit * (c - '0');
    unit /= 10;
  }
  return value;
}

// Days since 1970-01-01 of a date of the Gregorian calendar (Howard Hinnant's days_from_civil).
std::int64_t days_of(std::int64_t year, std::int64_t month, std::int64_t day) {
  const std::int64_t shifted = month <= 2 ? year - 1 : year;
  const std::int64_t era = shifted / 400, in_era = shifted - era * 400;
  const std::int64_t in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

// 2023-11-16 18:15:46.6805900, also with a T between date and time and with +00:00 behind.
std::optional<std::int64_t> date_time(std::string_view text) {
  if (text.ends_with("+00:00")) text.remove_suffix(6);
  if (text.ends_with("Z")) text.remove_suffix(1);
  constexpr std::string_view kShape = "dddd-dd-dd dd:dd:dd";
  if (text.size() < kShape.size()) return std::nullopt;
  std::array<std::int64_t, 5> fields{};
  std::size_t field = 0;
  for (std::size_t i = 0; i + 2 < kShape.size(); ++i) {
    if (kShape[i] == 'd') {
      if (text[i] < '0' || text[i] > '9') return std::nullopt;
      fields[field] = fields[field] * 10 + (text[i] - '0');
    } else {
      if (text[i] != kShape[i] && !(kShape[i] == ' ' && text[i] == 'T')) return std::nullopt;
      ++field;
    }
  }
  const std::string_view last = text.substr(kShape.size() - 2);
  const auto nanoseconds = nano_units(last, 60);
  const auto [year, month, day, hour, minute] = fields;
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  constexpr std::array<std::int64_t, 12> kDays{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (!nanoseconds || last.find('.') == 1 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59)
    return std::nullopt;
  if (day > kDays[static_cast<std::size_t>(month - 1)] + (leap && month == 2 ? 1 : 0)) return std::nullopt;
  if (year < 1970 || year > 2200) return std::nullopt;
  return ((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60'000'000'000 + *nanoseconds;
}

constexpr std::string_view kDateTime = "a date and time such as 2023-11-16 18:15:46.6805900";
constexpr std::string_view kSeconds = "seconds since the start, a number of at least 0";
constexpr std::string_view kMilliseconds = "milliseconds since the start, a number of at least 0";
constexpr std::int64_t kMostSeconds = 1'000'000'000;  // 31 years, well inside 64 bits of nanoseconds

// A table with a header line: which columns hold what.
struct Table {
  const char* format;
  const char* arrival;  // name of the column; nullptr: none
  const char* input;
  const char* output;
  bool dates = false;
  bool failures = false;  // no output tokens marks a request that failed
};
constexpr std::array kTables{
    Table{"azure-llm-2023", "TIMESTAMP", "ContextTokens", "GeneratedTokens", true, false},
    Table{"burstgpt", "Timestamp", "Request tokens", "Response tokens", false, true},
    Table{"lengths", nullptr, "num_prefill_tokens", "num_decode_tokens", false, false},
};

std::optional<std::size_t> find(const std::vector<Cell>& header, const char* name) {
  for (std::size_t i = 0; i < header.size(); ++i)
    if (header[i].text == name) return i;
  return std::nullopt;
}

// Lines with their numbers; a carriage return before the line feed belongs to the line's end.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}
  bool next(std::string_view& line) {
    if (rest_.empty()) return false;
    const std::size_t feed = rest_.find('\n');
    line = rest_.substr(0, feed);
    rest_ = feed == std::string_view::npos ? std::string_view() : rest_.substr(feed + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++number_;
    return true;
  }
  std::size_t number() const { return number_; }
  bool at_end() const { return rest_.find_first_not_of("\r\n") == std::string_view::npos; }

 private:
  std::string_view rest_;
  std::size_t number_ = 0;
};

// Keeps the order of arrival and makes arrivals relative to the first request.
class Arrivals {
 public:
  std::int64_t relative(const Place& place, std::size_t column, std::string_view name, std::string_view text,
                        std::int64_t absolute) {
    if (first_ && absolute < previous_) refuse(place, column, name, text, "a time not before that of the line above");
    if (!first_) first_ = absolute;
    previous_ = absolute;
    return absolute - *first_;
  }

 private:
  std::optional<std::int64_t> first_;
  std::int64_t previous_ = 0;
};

void read_table(const Table& table, const std::vector<Cell>& header, Lines& lines, const std::string& path,
                RequestTrace& trace) {
  const std::size_t input = *find(header, table.input), output = *find(header, table.output);
  const std::size_t arrival = table.arrival == nullptr ? 0 : *find(header, table.arrival);
  trace.has_arrivals = table.arrival != nullptr;
  Arrivals arrivals;
  std::string_view line;
  while (lines.next(line)) {
    if (line.empty() && lines.at_end()) break;
    const Place place{path, lines.number()};
    const std::vector<Cell> cells = split(line);
    if (cells.size() != header.size())
      refuse(place, cells.size() < header.size() ? line.size() + 1 : cells[header.size()].column, "line", line,
             fmt::format("{} values, as many as the header has", header.size()));
    TraceRequest request;
    if (table.arrival != nullptr) {
      const Cell& cell = cells[arrival];
      const auto time = table.dates ? date_time(cell.text) : nano_units(cell.text, kMostSeconds);
      if (!time) refuse(place, cell.column, table.arrival, cell.text, table.dates ? kDateTime : kSeconds);
      request.arrival_ns = arrivals.relative(place, cell.column, table.arrival, cell.text, *time);
    }
    request.input_tokens = tokens(place, cells[input], table.input, table.failures ? 0 : 1);
    request.output_tokens = tokens(place, cells[output], table.output, table.failures ? 0 : 1);
    if (request.input_tokens == 0 || request.output_tokens == 0) {
      ++trace.left_out;
    } else {
      trace.requests.push_back(request);
    }
  }
}

// Where the value of a key stands in a line of JSON; the line parses, so that the key's first colon is the value's.
Cell value_of(std::string_view line, std::string_view key) {
  const std::size_t at = line.find(fmt::format("\"{}\"", key));
  if (at == std::string_view::npos) return {line, 1};
  const std::size_t begin = line.find_first_not_of(" \t", line.find(':', at + key.size() + 2) + 1);
  if (begin == std::string_view::npos) return {line, 1};
  const bool nested = line[begin] == '[' || line[begin] == '{' || line[begin] == '"';
  return {line.substr(begin, nested ? kShown : line.find_first_of(",}", begin) - begin), begin + 1};
}

std::int64_t whole(const nlohmann::json& object, const char* key, const Place& place, std::string_view line,
                   std::int64_t least) {
  const auto found = object.find(key);
  const std::string expected = fmt::format("a whole number from {} to {}", least, kMostTokens);
  if (found == object.end())
    throw UserError(fmt::format("{}:{}:{}: {}: found no such key, expected {}", place.path, place.line, line.size(),
                                key, expected));
  const Cell cell = value_of(line, key);
  if (!found->is_number_integer() || found->get<double>() < static_cast<double>(least) ||
      found->get<double>() > static_cast<double>(kMostTokens))
    refuse(place, cell.column, key, cell.text, expected);
  return found->get<std::int64_t>();
}

void read_mooncake(Lines& lines, const std::string& path, RequestTrace& trace) {
  Arrivals arrivals;
  std::string_view line;
  while (lines.next(line)) {
    if (line.empty() && lines.at_end()) break;
    const Place place{path, lines.number()};
    nlohmann::json object;
    try {
      object = nlohmann::json::parse(line);
    } catch (const nlohmann::json::parse_error& wrong) {
      const std::size_t byte = std::min<std::size_t>(std::max<std::size_t>(wrong.byte, 1), line.size() + 1);
      refuse(place, byte, "line", line.substr(byte - 1), "a JSON object with timestamp, input_length, output_length");
    }
    if (!object.is_object()) refuse(place, 1, "line", line, "a JSON object");
    const Cell time = value_of(line, "timestamp");
    const auto stamp = object.find("timestamp");
    if (stamp == object.end())
      throw UserError(fmt::format("{}:{}:{}: timestamp: found no such key, expected {}", path, place.line, line.size(),
                                  kMilliseconds));
    // Milliseconds as text, a millionth of a nano unit more than seconds.
    const auto nano = stamp->is_number() ? nano_units(time.text, kMostSeconds) : std::nullopt;
    if (!nano) refuse(place, time.column, "timestamp", time.text, kMilliseconds);
    TraceRequest request;
    request.arrival_ns = arrivals.relative(place, time.column, "timestamp", time.text, *nano / 1000);
    request.input_tokens = static_cast<std::int32_t>(whole(object, "input_length", place, line, 1));
    request.output_tokens = static_cast<std::int32_t>(whole(object, "output_length", place, line, 1));
    if (const auto ids = object.find("hash_ids"); ids != object.end()) {
      const Cell cell = value_of(line, "hash_ids");
      const bool good = ids->is_array() && std::all_of(ids->begin(), ids->end(), [](const nlohmann::json& id) {
                          return id.is_number_unsigned();
                        });
      if (!good) refuse(place, cell.column, "hash_ids", cell.text, "a list of whole numbers of at least 0");
    }
    trace.requests.push_back(request);
  }
}

}  // namespace

RequestTrace read_request_trace(const std::string& path) {
  std::error_code problem;
  if (!std::filesystem::is_regular_file(path, problem))
    throw UserError(fmt::format("{}: found no file, expected a request trace", path));
  std::ifstream file(path, std::ios::binary);
  std::stringstream buffer;
  buffer << file.rdbuf();
  if (!file) throw UserError(fmt::format("{}: found a file that cannot be read, expected a request trace", path));
  const std::string text = buffer.str();

  RequestTrace trace;
  trace.name = std::filesystem::path(path).filename().string();
  trace.origin = path;
  trace.hash = content_hash(text);
  Lines lines(text);
  std::string_view first;
  Lines peek(text);
  const bool any = peek.next(first);
  if (any && first.starts_with("\xEF\xBB\xBF")) first.remove_prefix(3);  // byte order mark
  if (any && first.starts_with('{')) {
    trace.format = "mooncake";
    read_mooncake(lines, path, trace);
  } else {
    const std::vector<Cell> header = split(first);
    const Table* found = nullptr;
    for (const Table& table : kTables)
      if (find(header, table.input) && find(header, table.output) &&
          (table.arrival == nullptr || find(header, table.arrival)))
        found = &table;
    if (found == nullptr)
      refuse({path, 1}, 1, "header", first,
             "TIMESTAMP,ContextTokens,GeneratedTokens (Azure), a JSON object (Mooncake), BurstGPT's columns, or "
             "num_prefill_tokens and num_decode_tokens");
    trace.format = found->format;
    lines.next(first);
    if (first.starts_with("\xEF\xBB\xBF")) first.remove_prefix(3);
    read_table(*found, split(first), lines, path, trace);
  }
  if (trace.requests.empty())
    throw UserError(fmt::format("{}:{}: found no request, expected at least one", path, lines.number()));
  return trace;
}

}  // namespace assay::datasets
