#include "results_db/records.h"

#include <array>
#include <stdexcept>

namespace assay::results_db {
namespace {
constexpr std::array provenance_names = {"measured", "emulated", "projected", "derived", "claimed"};
}

const char* to_string(Provenance provenance) { return provenance_names.at(static_cast<std::size_t>(provenance)); }

Provenance provenance_from(const std::string& text) {
  for (std::size_t i = 0; i < provenance_names.size(); ++i)
    if (text == provenance_names.at(i)) return static_cast<Provenance>(i);
  throw std::invalid_argument("not a provenance: " + text);
}

const char* to_string(Status status) {
  switch (status) {
    case Status::ok:
      return "ok";
    case Status::failed:
      return "failed";
    case Status::skipped:
      return "skipped";
  }
  throw std::invalid_argument("not a status");
}

Status status_from(const std::string& text) {
  for (const Status status : {Status::ok, Status::failed, Status::skipped})
    if (text == to_string(status)) return status;
  throw std::invalid_argument("not a status: " + text);
}

}  // namespace assay::results_db
