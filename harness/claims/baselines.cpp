#include "harness/claims/baselines.h"

#include <functional>
#include <map>

namespace assay::harness::claims {
namespace {

std::map<std::string, Projector, std::less<>>& known() {
  static std::map<std::string, Projector, std::less<>> all;
  return all;
}

}  // namespace

BaselineRegistration::BaselineRegistration(const std::string& technique, Projector project) {
  known().insert_or_assign(technique, project);
}

Projector projector_of_baselines(std::string_view technique) {
  const auto found = known().find(technique);
  return found == known().end() ? nullptr : found->second;
}

}  // namespace assay::harness::claims
