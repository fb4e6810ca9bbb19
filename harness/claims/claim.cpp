#include "harness/claims/claim.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>

namespace assay::harness::claims {

const char* to_string(Form form) {
  switch (form) {
    case Form::ratio:
      return "ratio";
    case Form::absolute:
      return "absolute";
    case Form::difference:
      return "difference";
    case Form::exact:
      return "exact";
    case Form::boolean:
      return "bool";
  }
  return "?";
}

const char* to_string(Bound bound) {
  switch (bound) {
    case Bound::point:
      return "point";
    case Bound::at_least:
      return "at_least";
    case Bound::at_most:
      return "at_most";
    case Bound::up_to:
      return "up_to";
    case Bound::range:
      return "range";
  }
  return "?";
}

const char* to_string(RowKind kind) {
  switch (kind) {
    case RowKind::claim:
      return "claim";
    case RowKind::target:
      return "target";
    case RowKind::check:
      return "check";
  }
  return "?";
}

bool Claim::flagged(std::string_view flag) const {
  return std::any_of(flags.begin(), flags.end(), [&](const std::string& held) { return held == flag; });
}

std::string Fault::text() const {
  std::string place = line > 0 ? fmt::format("{}:{}", file, line) : file;
  if (!id.empty()) place += fmt::format(": {}", id);
  return fmt::format("{}: {}{}, expected {}", place, key.empty() ? "" : key + " is ", found, expected);
}

const Configuration& Library::configuration(const Claim& claim, std::string_view id) const {
  const auto file = configurations.find(claim.file);
  if (file == configurations.end()) throw std::logic_error("claim of an unknown file");
  const auto found = file->second.find(id);
  if (found == file->second.end()) throw std::logic_error("claim of an unknown configuration");
  return found->second;
}

const datasets::Model* Library::model(const Claim& claim, std::string_view id) const {
  std::string own = std::filesystem::path(claim.file).filename().string();
  if (const std::size_t at = own.find(".claims.toml"); at != std::string::npos) own = own.substr(0, at) + ".facts.toml";
  if (const auto file = models.find(own); file != models.end()) {
    if (const auto found = file->second.find(id); found != file->second.end()) return &found->second;
  }
  for (const auto& [file, held] : models) {
    if (const auto found = held.find(id); found != held.end()) return &found->second;
  }
  return nullptr;
}

}  // namespace assay::harness::claims
