// Fits the constants of attention through block tables on measured times and prints them as TOML with residuals:
//   bench_attention_fit attention.csv [DEVICE-ID]
// The file is Vidur's data/profiling/a100/attention.csv of commit e2d00e9 (MIT). Residuals are held out: prefills of
// each third of the chunk sizes, decodes of each third of the batch sizes, are predicted by constants fitted on the
// rest.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "datasets/machine.h"
#include "datasets/user_error.h"
#include "impls/substrate/models/attention_profile.h"
#include "impls/substrate/models/coordinate_search.h"

namespace {

using assay::datasets::Device;
using assay::substrate::MeasuredAttention;
using Parameters = std::vector<double>;
using Rows = std::vector<const MeasuredAttention*>;

struct Group {
  std::string name;
  std::vector<std::string> keys;
  Parameters start;
  std::int64_t (*fold_by)(const MeasuredAttention&);
};

Device with(const Device& device, const Group& group, const Parameters& values) {
  Device changed = device;
  for (std::size_t i = 0; i < values.size(); ++i) changed.constants[group.keys[i]].value = values[i];
  return changed;
}

std::vector<double> errors(const Device& device, const Rows& rows) {
  const auto rates = assay::substrate::paged_rates(device, assay::substrate::OpDtype::fp16);
  std::vector<double> found;
  for (const MeasuredAttention* row : rows)
    found.push_back(assay::substrate::modelled_seconds(rates, *row) / row->seconds - 1);
  return found;
}

// Large residuals count less, as in bench_operator_fit.
Parameters fit(const Device& device, const Group& group, const Rows& rows) {
  std::vector<double> most(group.keys.size(), std::numeric_limits<double>::infinity());
  for (std::size_t i = 0; i < most.size(); ++i)
    if (group.keys[i].starts_with("eff_")) most[i] = 1;
  return assay::substrate::coordinate_search(group.start, most, [&](const Parameters& values) {
    double sum = 0;
    for (const double error : errors(with(device, group, values), rows)) {
      const double off = std::abs(std::log1p(error));
      sum += off / (1 + off / 0.1);
    }
    return sum / static_cast<double>(rows.size());
  });
}

double quantile(std::vector<double> values, double q) {
  for (double& value : values) value = std::abs(value);
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) {
    fmt::print(stderr, "usage: bench_attention_fit attention.csv [DEVICE-ID]\n");
    return 2;
  }
  const auto profile = assay::substrate::read_attention_profile(argv[1]);
  const Device device = assay::datasets::load_device(argc > 2 ? argv[2] : "a100-80g-sxm", assay::datasets::data_root());
  const Group groups[] = {
      {"prefill",
       {"eff_prefill_attention", "eff_append", "prefill_tail", "prefill_attention_seconds", "prefill_split_seconds"},
       {0.9, 0.75, 1.5, 1.5e-5, 8e-6},
       [](const MeasuredAttention& row) { return row.tokens; }},
      {"decode",
       {"eff_decode_attention", "decode_attention_seconds"},
       {0.8, 1.5e-5},
       [](const MeasuredAttention& row) { return row.batch; }},
  };
  for (const Group& group : groups) {
    Rows rows;
    std::vector<std::int64_t> sizes;
    for (const MeasuredAttention& row : profile)
      if (row.prefill == (group.name == "prefill")) {
        rows.push_back(&row);
        sizes.push_back(group.fold_by(row));
      }
    if (rows.empty()) continue;
    std::sort(sizes.begin(), sizes.end());
    const Parameters all = fit(device, group, rows);
    const auto own = errors(with(device, group, all), rows);
    std::vector<double> held, spread(all.size(), 0);
    for (std::size_t fold = 0; fold < 3; ++fold) {
      const auto edge = [&](std::size_t k) {
        return k == 3 ? std::numeric_limits<std::int64_t>::max() : k == 0 ? 0 : sizes[k * sizes.size() / 3];
      };
      Rows training, tested;
      for (const MeasuredAttention* row : rows) {
        const std::int64_t size = group.fold_by(*row);
        (size >= edge(fold) && size < edge(fold + 1) ? tested : training).push_back(row);
      }
      if (training.empty() || tested.empty()) continue;
      const Parameters without = fit(device, group, training);
      for (std::size_t i = 0; i < all.size(); ++i) spread[i] = std::max(spread[i], std::abs(without[i] / all[i] - 1));
      const auto errors_there = errors(with(device, group, without), tested);
      fmt::print("# {} {} to {} held out: n {}, median {:.3f}, P90 {:.3f}\n", group.name, edge(fold), edge(fold + 1),
                 tested.size(), quantile(errors_there, 0.5), quantile(errors_there, 0.9));
      held.insert(held.end(), errors_there.begin(), errors_there.end());
    }
    fmt::print("# {}: n {}, median {:.3f}, P90 {:.3f}; held out median {:.3f}, P90 {:.3f}\n", group.name, rows.size(),
               quantile(own, 0.5), quantile(own, 0.9), quantile(held, 0.5), quantile(held, 0.9));
    for (std::size_t i = 0; i < all.size(); ++i)
      fmt::print("{} = {{ value = {:.3g}, p90_error = {:.3f} }}  # spread between folds\n", group.keys[i], all[i],
                 spread[i]);
  }
  return 0;
} catch (const assay::UserError& wrong) {
  fmt::print(stderr, "bench_attention_fit: {}\n", wrong.what());
  return wrong.exit_code();
}
