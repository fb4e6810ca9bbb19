#include "harness/claims/select.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "datasets/nearest_names.h"
#include "datasets/user_error.h"
#include "harness/claims/quantities.h"

namespace assay::harness::claims {
namespace {

std::string_view last_part(std::string_view id) { return id.substr(id.rfind('/') + 1); }
std::string_view folder(std::string_view id) { return id.substr(0, id.rfind('/')); }

bool looks_like_arxiv(std::string_view name) {
  return name.size() >= 9 && std::count(name.begin(), name.end(), '.') == 1 &&
         std::all_of(name.begin(), name.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.' || c == 'v'; });
}

// 2307.08691v2 names the same paper as 2307.08691.
std::string_view without_version(std::string_view id) { return id.substr(0, id.find('v')); }

std::string hint(const std::string& wanted, const std::set<std::string>& names) {
  const auto near = datasets::nearest_names(wanted, {names.begin(), names.end()});
  return near.empty() ? "" : fmt::format("; nearest: {}", fmt::join(near, ", "));
}

}  // namespace

std::vector<const Claim*> select(const Library& library, const std::string& name, const std::string& family) {
  std::set<std::string> papers, techniques, families_seen;
  for (const Claim& claim : library.claims) {
    papers.insert(claim.arxiv);
    techniques.insert(claim.technique);
    families_seen.emplace(folder(claim.technique));
  }
  if (!family.empty()) {
    const bool known = std::any_of(families_seen.begin(), families_seen.end(), [&](const std::string& held) {
      return held == family || last_part(held) == family || held.starts_with(family + "/");
    });
    if (!known) throw UserError(fmt::format("unknown family '{}'{}", family, hint(family, families_seen)));
  }
  std::string paper, technique, key;
  if (!name.empty()) {
    const auto hash = std::min(name.find('#'), name.size());  // technique#key names one claim
    const std::string wanted_technique = name.substr(0, hash);
    if (hash < name.size()) key = name.substr(hash + 1);
    std::vector<std::string> matches;
    for (const std::string& id : techniques) {
      if (id == wanted_technique || last_part(id) == wanted_technique) matches.push_back(id);
    }
    if (matches.size() > 1 && name.find('/') == std::string::npos) {
      throw UserError(fmt::format("'{}' names several techniques: {}", name, fmt::join(matches, ", ")));
    }
    if (!matches.empty()) {
      technique = matches.front();
    } else if (const std::string wanted(without_version(name)); looks_like_arxiv(name) && papers.contains(wanted)) {
      paper = wanted;
    } else if (looks_like_arxiv(name)) {
      throw UserError(fmt::format("no claim is from paper '{}'{}", name, hint(name, papers)));
    } else {
      throw UserError(fmt::format("unknown paper or technique '{}'{}", name, hint(name, techniques)));
    }
  }
  std::vector<const Claim*> chosen;
  for (const Claim& claim : library.claims) {
    if (!technique.empty() && claim.technique != technique) continue;
    if (!key.empty() && claim.key != key) continue;
    if (!paper.empty() && claim.arxiv != paper) continue;
    const std::string_view held = folder(claim.technique);
    if (!family.empty() && held != family && last_part(held) != family && !held.starts_with(family + "/")) continue;
    chosen.push_back(&claim);
  }
  if (chosen.empty() && !key.empty()) {
    std::set<std::string> keys;
    for (const Claim& claim : library.claims)
      if (claim.technique == technique) keys.insert(claim.key);
    throw UserError(fmt::format("{} has no claim '{}'{}", technique, key, hint(key, keys)));
  }
  if (chosen.empty()) {
    throw UserError(fmt::format("no claim of '{}' is in family '{}'", name, family));
  }
  return chosen;
}

const Claim& find_claim(const Library& library, const std::string& id, const std::string& where) {
  std::vector<std::string> ids;
  for (const Claim& claim : library.claims) {
    if (claim.id == id) return claim;
    ids.push_back(claim.id);
  }
  const auto near = datasets::nearest_names(id, ids);
  throw UserError(fmt::format("{}: unknown claim '{}'{}", where, id,
                              near.empty() ? "" : fmt::format("; nearest: {}", fmt::join(near, ", "))));
}

}  // namespace assay::harness::claims
