#include "harness/claims/expectations.h"

#include <fmt/format.h>

#include <fstream>
#include <map>

#include "datasets/user_error.h"

namespace assay::harness::claims {
namespace {

std::string trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  return std::string(text);
}

}  // namespace

std::vector<Expectation> read_expectations(const std::string& file) {
  std::ifstream stream(file);
  if (!stream) throw UserError(fmt::format("{}: cannot be read, expected a file of lines claim-id = verdict", file));
  std::vector<Expectation> all;
  std::map<std::string, int> seen;
  std::string line;
  for (int number = 1; std::getline(stream, line); ++number) {
    const std::string text = trimmed(line);
    if (text.empty() || text.front() == '#') continue;
    const std::size_t equals = line.find(" = ");
    if (equals == std::string::npos) {
      throw UserError(fmt::format("{}:{}: found '{}', expected claim-id = verdict", file, number, text));
    }
    Expectation expectation;
    expectation.claim = trimmed(std::string_view(line).substr(0, equals));
    expectation.line = number;
    std::string word = trimmed(std::string_view(line).substr(equals + 3));
    if (word == "untestable: not mapped" || word == "not mapped") word = "untestable";
    const auto verdict = verdict_from(word);
    if (!verdict) {
      throw UserError(
          fmt::format("{}:{}: verdict is '{}', expected one of reproduced, exceeded, partial, contradicted, "
                      "not reproduced, untestable",
                      file, number, word));
    }
    expectation.verdict = *verdict;
    if (const auto [first, fresh] = seen.emplace(expectation.claim, number); !fresh) {
      throw UserError(fmt::format("{}:{}: {} also stands at line {}", file, number, expectation.claim, first->second));
    }
    all.push_back(std::move(expectation));
  }
  if (all.empty()) throw UserError(fmt::format("{}: no expectation, expected lines claim-id = verdict", file));
  return all;
}

}  // namespace assay::harness::claims
