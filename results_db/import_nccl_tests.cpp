// The text nccl-tests print (all_reduce_perf and so on). A line is two cases, out of place and in place; the columns
// are found by their headings, which differ between versions and collectives.
#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "datasets/user_error.h"
#include "results_db/import.h"

namespace assay::results_db {
namespace {

std::vector<std::string> words(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> result;
  for (std::string word; stream >> word;) result.push_back(word);
  return result;
}

double number(const std::string& word, const std::string& where, const std::string& column) {
  double value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size())
    throw UserError(fmt::format("{}: {}: found '{}', expected a number", where, column, word));
  return value;
}

// "all_reduce_perf" of a heading or of the file's name -> all_reduce.
std::string collective_in(const std::string& text) {
  const std::size_t end = text.find("_perf");
  if (end == std::string::npos) return "";
  std::size_t begin = end;
  while (begin > 0 && (std::isalpha(static_cast<unsigned char>(text[begin - 1])) != 0 || text[begin - 1] == '_'))
    --begin;
  return text.substr(begin, end - begin);
}

struct Header {
  std::vector<std::string> columns;  // size count type ... then time algbw busbw #wrong twice
  std::size_t column(const std::string& name, std::size_t from = 0) const {
    for (std::size_t i = from; i < columns.size(); ++i)
      if (columns[i] == name) return i;
    return columns.size();
  }
};

ImportedCase case_at(const Header& header, const std::vector<std::string>& row, std::size_t first,
                     const std::string& place, const std::string& collective, int ranks, const std::string& where) {
  ImportedCase item;
  item.which.technique = imported_technique("nccl-" + collective);
  item.which.backend = "cuda";
  item.which.fabric = "nccl";
  nlohmann::json parameters = {
      {"bytes", static_cast<std::int64_t>(number(row[0], where, "size"))}, {"place", place}, {"ranks", ranks}};
  for (const char* name : {"type", "redop", "root"})
    if (const std::size_t at = header.column(name);
        at < first && at < row.size() && row[at] != "none" && row[at] != "-1")
      parameters[name] = row[at];
  item.which.parameters_json = parameters.dump();
  LaunchRecord& launch = item.launch;
  launch.stop_reason = "fixed";
  launch.metrics = {
      {"time", number(row[first], where, "time") * 1e-6, "s", Provenance::measured, {}, {}},
      {"bandwidth", number(row[first + 1], where, "algbw") * 1e9, "B/s", Provenance::measured, {}, {}},
      {"bus_bandwidth", number(row[first + 2], where, "busbw") * 1e9, "B/s", Provenance::measured, {}, {}},
  };
  // "N/A" where the check was switched off.
  if (const std::string& wrong = row[first + 3];
      wrong != "N/A" && number(wrong, where, header.columns[first + 3]) != 0) {
    const bool counted = header.columns[first + 3] == "#wrong";
    if (counted || number(wrong, where, "error") > 1e-3) {
      launch.status = Status::failed;
      launch.reason = fmt::format("nccl-tests found {} = {}", header.columns[first + 3], wrong);
      launch.metrics.clear();  // a wrong result has no time
    }
  }
  return item;
}

}  // namespace

ImportedRun read_nccl_tests(const std::string& path, const std::string& text, const std::string& collective) {
  ImportedRun imported;
  std::string what = collective.empty() ? collective_in(std::filesystem::path(path).filename().string()) : collective;
  Header header;
  int ranks = 0;
  nlohmann::json devices = nlohmann::json::array();
  std::istringstream lines(text);
  int line_number = 0;
  std::string settings;
  for (std::string line; std::getline(lines, line);) {
    ++line_number;
    const std::string where = fmt::format("{}:{}", path, line_number);
    std::vector<std::string> row = words(line);
    if (row.empty()) continue;
    if (row[0] == "#") {
      if (row.size() > 2 && row[1] == "Rank") {
        ++ranks;
        devices.push_back(line.substr(line.find("Rank")));
        if (const std::size_t on = line.find(" on "); on != std::string::npos && imported.run.machine.name.empty())
          imported.run.machine.name = words(line.substr(on + 4)).at(0);
      }
      if (row.size() > 1 && (row[1] == "nThread" || row[1] == "minBytes")) settings = line;
      if (const std::string named = collective_in(line); !named.empty() && collective.empty()) what = named;
      if (row.size() > 1 && row[1] == "size") header.columns.assign(row.begin() + 1, row.end());
      continue;
    }
    // What a launcher or NCCL itself prints between the lines.
    if (std::isdigit(static_cast<unsigned char>(row[0][0])) == 0) continue;
    if (header.columns.empty())
      throw UserError(fmt::format("{}: a row before the line of headings (# size count ...)", where));
    if (what.empty())
      throw UserError(
          fmt::format("{}: does not say which collective it measured; name it with --name all_reduce", path));
    const std::size_t first = header.column("time");
    const std::size_t second = header.column("time", first + 1);
    if (second + 3 >= header.columns.size())
      throw UserError(fmt::format("{}: headings: expected time, algbw, busbw and #wrong twice", path));
    if (row.size() < header.columns.size())
      throw UserError(fmt::format("{}: found {} columns, expected {}", where, row.size(), header.columns.size()));
    imported.cases.push_back(case_at(header, row, first, "out", what, ranks, where));
    imported.cases.push_back(case_at(header, row, second, "in", what, ranks, where));
  }
  imported.run.suite = "import nccl-tests " + what;
  imported.run.machine.facts_json = nlohmann::json{{"devices", devices}}.dump();
  imported.run.build.compiler = "nccl-tests";
  imported.run.build.facts_json = nlohmann::json{{"settings", settings}}.dump();
  return imported;
}

}  // namespace assay::results_db
