#include "impls/substrate/models/collective_profile.h"

#include <fmt/format.h>

#include <utility>

#include "datasets/user_error.h"
#include "impls/substrate/models/profile_csv.h"

namespace assay::substrate {

std::vector<MeasuredCollective> read_collective_profile(const std::string& file) {
  const ProfileCsv csv(file);
  csv.require({"collective", "ranks", "devices_per_node", "bytes", "median_ms"});
  std::vector<MeasuredCollective> rows;
  rows.reserve(csv.rows());
  for (std::size_t row = 0; row < csv.rows(); ++row) {
    MeasuredCollective measured;
    const std::string& kind = csv.text(row, "collective");
    if (kind == "all_reduce") {
      measured.work.kind = CollectiveKind::all_reduce;
    } else if (kind == "send_recv") {
      measured.work.kind = CollectiveKind::send_recv;
    } else {
      throw UserError(fmt::format("{}: unknown operator '{}', expected all_reduce or send_recv",
                                  csv.place(row, "collective"), kind));
    }
    measured.work.ranks = static_cast<int>(csv.count(row, "ranks"));
    measured.work.devices_per_node = static_cast<int>(csv.count(row, "devices_per_node"));
    measured.work.bytes = csv.number(row, "bytes");
    measured.seconds = csv.number(row, "median_ms") * 1e-3;
    if (measured.seconds <= 0) {
      throw UserError(fmt::format("{}: 0, expected a time above 0", csv.place(row, "median_ms")));
    }
    if (measured.work.kind == CollectiveKind::send_recv && measured.work.ranks != 2)
      throw UserError(fmt::format("{}: {}, expected 2 of send_recv", csv.place(row, "ranks"), measured.work.ranks));
    measured.place = csv.place(row, "ranks");
    rows.push_back(std::move(measured));
  }
  return rows;
}

}  // namespace assay::substrate
