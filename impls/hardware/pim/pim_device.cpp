#include "impls/hardware/pim/pim_device.h"

#include <fmt/format.h>

#include <cmath>

#include "datasets/user_error.h"

namespace assay::hardware {

namespace {

class Reader {
 public:
  explicit Reader(const datasets::Device& device) : device_(device) {}

  double positive(const char* key) const {
    const double value = device_.at(key);
    if (!(value > 0)) wrong(key, value, "a number above 0");
    return value;
  }
  int whole(const char* key) const {
    const double value = positive(key);
    if (value != std::floor(value) || value > 1e9) wrong(key, value, "a whole number of at least 1");
    return static_cast<int>(value);
  }
  [[noreturn]] void wrong(const char* key, double found, const char* expected) const {
    throw UserError(fmt::format("{}: {} is {:g}, expected {}", device_.file, key, found, expected));
  }

 private:
  const datasets::Device& device_;
};

// Controllers count clocks: a delay of 14.82 ns takes 15 of them at 1 GHz. The slack is for decimal fractions.
Picoseconds clocks_up(double seconds, Picoseconds clock) {
  return static_cast<Picoseconds>(std::ceil(seconds * 1e12 / static_cast<double>(clock) - 1e-6)) * clock;
}

DramTiming read_timing(const Reader& read, double burst_seconds) {
  DramTiming t;
  t.clock = substrate::to_picoseconds(1 / read.positive("clock_hz") - 1e-15);
  const auto up = [&](const char* key) { return clocks_up(read.positive(key), t.clock); };
  t.rcd_read = up("t_rcd_read_seconds");
  t.rcd_write = up("t_rcd_write_seconds");
  t.rp = up("t_rp_seconds");
  t.ras = up("t_ras_seconds");
  t.rtp = up("t_rtp_seconds");
  t.wr = up("t_wr_seconds");
  t.cl = up("t_cl_seconds");
  t.cwl = up("t_cwl_seconds");
  t.ccd = up("t_ccd_seconds");
  t.rrd = up("t_rrd_seconds");
  t.faw = up("t_faw_seconds");
  t.wtr = up("t_wtr_seconds");
  t.rfc = up("t_rfc_seconds");
  // An interval that must not be exceeded is rounded down.
  t.refi = static_cast<Picoseconds>(read.positive("t_refi_seconds") * 1e12) / t.clock * t.clock;
  t.burst = substrate::to_picoseconds(burst_seconds - 1e-15);
  return t;
}

}  // namespace

datasets::Device changed(datasets::Device device, const PimChange& change) {
  const auto set = [&](const char* key, double value) {
    device.constants.insert_or_assign(key, datasets::Constant{.value = value, .source = "axis of the case"});
  };
  const auto scale = [&](const char* key, double factor) {
    if (factor != 1 && device.has(key)) device.constants.find(key)->second.value *= factor;
  };
  scale("channels", change.channels);
  scale("pin_rate_bits_per_second", change.pin_rate);
  scale("asic_clock_hz", change.asic_clock);
  if (change.activation == "ganged") {
    set("activate_banks", 4);
    set("activate_counts_as", 4);
  } else if (change.activation == "single") {
    set("activate_banks", 1);
    set("activate_counts_as", 1);
  }
  return device;
}

PimDevice pim_device(const datasets::Device& device) {
  const Reader read(device);
  PimDevice pim;
  pim.id = device.id;
  pim.channels = read.whole("channels");
  pim.banks = read.whole("banks_per_channel");
  pim.rows = read.whole("rows_per_bank");
  pim.column_bytes = read.whole("column_bytes");
  const int row_bytes = read.whole("row_bytes");
  if (row_bytes % pim.column_bytes != 0) read.wrong("row_bytes", row_bytes, "a multiple of column_bytes");
  pim.row_columns = row_bytes / pim.column_bytes;
  pim.lanes = read.whole("mac_lanes");
  if (pim.lanes * 2 != pim.column_bytes) read.wrong("mac_lanes", pim.lanes, "one lane for every 2 bytes of a column");
  if (pim.banks != pim.lanes)
    read.wrong("banks_per_channel", pim.banks, "as many as mac_lanes: one burst returns one result of every bank");
  const int buffer_bytes = read.whole("vector_buffer_bytes");
  if (buffer_bytes % pim.column_bytes != 0)
    read.wrong("vector_buffer_bytes", buffer_bytes, "a multiple of column_bytes");
  pim.vector_columns = buffer_bytes / pim.column_bytes;
  pim.group_banks = read.whole("activate_banks");
  if (pim.banks % pim.group_banks != 0) read.wrong("activate_banks", pim.group_banks, "a divisor of banks_per_channel");
  pim.group_activations = read.whole("activate_counts_as");
  if (pim.group_activations > 4) read.wrong("activate_counts_as", pim.group_activations, "at most 4 activations");
  const double pins = read.positive("pins_per_channel") * read.positive("pin_rate_bits_per_second");
  pim.time = read_timing(read, 8.0 * pim.column_bytes / pins);

  pim.asic_clock_hz = read.positive("asic_clock_hz");
  pim.asic_adders = read.whole("asic_adders");
  pim.asic_multipliers = read.whole("asic_multipliers");

  const double column_bits = 8.0 * pim.column_bytes;
  const double cell = read.positive("cell_joules_per_bit") * column_bits;
  const double mac_watts = read.positive("mac_watts_per_channel");
  pim.energy.activate = read.positive("activate_joules_per_bit") * 8.0 * row_bytes;
  pim.energy.cell_column = cell;
  pim.energy.mac_column = cell + mac_watts / pim.banks * substrate::to_seconds(pim.time.ccd);
  pim.energy.pin_column = (read.positive("die_joules_per_bit") + read.positive("pin_joules_per_bit")) * column_bits;
  pim.energy.standby_open = read.positive("standby_open_watts_per_channel");
  pim.energy.standby_closed = read.positive("standby_closed_watts_per_channel");
  pim.energy.asic = read.positive("asic_watts");

  // The longest stretch without a refresh is one row (or one group of writes): it has to end before the next is due.
  const DramTiming& t = pim.time;
  const Picoseconds row = pim.banks * t.faw + t.rcd_read + 2 * pim.row_columns * t.ccd + t.cl + t.burst + t.rp;
  if (t.refi <= row + t.rfc)
    read.wrong("t_refi_seconds", device.at("t_refi_seconds"), "more than one row and one refresh take");
  return pim;
}

}  // namespace assay::hardware
