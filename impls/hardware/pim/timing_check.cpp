#include "impls/hardware/pim/timing_check.h"

#include <fmt/format.h>

#include <deque>
#include <limits>
#include <set>

namespace assay::hardware {

namespace {

constexpr Picoseconds kNever = std::numeric_limits<Picoseconds>::min() / 4;

// When each thing last happened; nothing is precomputed, every rule is a difference of two of these.
struct BankHistory {
  int row = -1;  // open row
  Picoseconds activated = kNever, precharged = kNever;
  Picoseconds column = kNever;      // RD or MAC
  Picoseconds write_data = kNever;  // end of the last write's data
};

class Judge {
 public:
  Judge(std::span<const Command> trace, const PimDevice& device)
      : trace_(trace), device_(device), t_(device.time), banks_(static_cast<std::size_t>(device.banks)) {}

  std::vector<Violation> run(Picoseconds end) {
    for (index_ = 0; index_ < trace_.size(); ++index_) {
      const Command& command = trace_[index_];
      require("command bus", last_command_, t_.clock);
      judge(command);
      last_command_ = command.at;
    }
    if (summed_ > 0) fail("result", "the last partial sum was never read");
    refreshed_by(end);
    return std::move(found_);
  }

 private:
  Picoseconds at() const { return trace_[index_].at; }
  void fail(std::string rule, std::string detail) { found_.push_back({std::move(rule), index_, std::move(detail)}); }

  void require(const char* rule, Picoseconds since, Picoseconds delay) {
    if (at() - since < delay)
      fail(rule, fmt::format("{} at {} ps: {} ps after, at least {} ps", to_string(trace_[index_].op), at(),
                             at() - since, delay));
  }

  // The k-th refresh is due at k tREFI and may be one interval late.
  void refreshed_by(Picoseconds time) {
    if (time / t_.refi - refreshes_ > 1)
      fail("refresh", fmt::format("{} refreshes in {} ps, {} were due", refreshes_, time, time / t_.refi));
  }

  void activate(int first, int banks, int weight) {
    for (int b = first; b < first + banks; ++b) {
      BankHistory& bank = banks_[static_cast<std::size_t>(b)];
      if (bank.row >= 0) fail("row", fmt::format("bank {} is activated with row {} open", b, bank.row));
      require("tRP", bank.precharged, t_.rp);
      require("tRC", bank.activated, t_.ras + t_.rp);
      bank.row = trace_[index_].row;
      bank.activated = at();
    }
    require("tRFC", refreshed_, t_.rfc);
    if (!activations_.empty()) require("tRRD", activations_.back(), t_.rrd);
    for (int i = 0; i < weight; ++i) activations_.push_back(at());
    while (activations_.size() > 8) activations_.pop_front();
    // Any five activations span at least tFAW.
    for (std::size_t i = 4; i < activations_.size(); ++i)
      if (activations_[i] == at() && activations_[i] - activations_[i - 4] < t_.faw) {
        fail("tFAW", fmt::format("five activations within {} ps", activations_[i] - activations_[i - 4]));
        break;
      }
  }

  void precharge(BankHistory& bank) {
    require("tRAS", bank.activated, t_.ras);
    require("tRTP", bank.column, t_.rtp);
    require("tWR", bank.write_data, t_.wr);
    bank.row = -1;
    bank.precharged = at();
  }

  void column_of(int b, bool write) {
    BankHistory& bank = banks_[static_cast<std::size_t>(b)];
    if (bank.row != trace_[index_].row)
      fail("row", fmt::format("column of row {} of bank {}, which has row {} open", trace_[index_].row, b, bank.row));
    require(write ? "tRCDWR" : "tRCD", bank.activated, write ? t_.rcd_write : t_.rcd_read);
    if (!write) bank.column = at();
  }

  void pins_in() {
    require("burst", pins_in_, t_.burst);
    // Write data must not meet read data on the pins, one clock apart.
    if (pins_out_ != kNever && at() + t_.cwl < pins_out_ + t_.cl + t_.burst + t_.clock)
      fail("tRTW",
           fmt::format("write data at {} ps, read data until {} ps", at() + t_.cwl, pins_out_ + t_.cl + t_.burst));
    pins_in_ = at();
  }

  void pins_out() {
    require("burst", pins_out_, t_.burst);
    if (pins_in_ != kNever) require("tWTR", pins_in_ + t_.cwl + t_.burst, t_.wtr);
    pins_out_ = at();
  }

  void judge(const Command& command) {
    const auto column = [&] {
      require("tCCD", column_, t_.ccd);
      column_ = at();
    };
    switch (command.op) {
      case Op::activate:
        return activate(command.bank, 1, 1);
      case Op::activate_group:
        return activate(command.bank * device_.group_banks, device_.group_banks, device_.group_activations);
      case Op::precharge:
        return precharge(banks_[static_cast<std::size_t>(command.bank)]);
      case Op::precharge_all:
        for (BankHistory& bank : banks_)
          if (bank.row >= 0) precharge(bank);
        return;
      case Op::mac:
        column();
        for (int b = 0; b < device_.banks; ++b) column_of(b, false);
        if (!loaded_.contains(command.slot))
          fail("vector", fmt::format("slot {} of the vector buffer was never loaded", command.slot));
        require("vector", pins_in_ == kNever ? kNever : pins_in_ + t_.cwl + t_.burst, 0);
        if (command.begins && summed_ > 0)
          fail("result", fmt::format("a partial sum of {} columns is dropped", summed_));
        if (!command.begins && summed_ == 0) fail("result", "a sum goes on that was already read");
        ++summed_;
        return;
      case Op::result:
        column();
        pins_out();
        if (summed_ == 0) fail("result", "nothing was summed");
        summed_ = 0;
        return;
      case Op::vector:
        pins_in();
        loaded_.insert(command.slot);
        return;
      case Op::read:
        column();
        pins_out();
        return column_of(command.bank, false);
      case Op::write:
        column();
        pins_in();
        column_of(command.bank, true);
        banks_[static_cast<std::size_t>(command.bank)].write_data = at() + t_.cwl + t_.burst;
        return;
      case Op::refresh:
        refreshed_by(at());
        for (const BankHistory& bank : banks_) {
          if (bank.row >= 0) fail("row", "refresh with a row open");
          require("tRP", bank.precharged, t_.rp);
        }
        require("tRFC", refreshed_, t_.rfc);
        ++refreshes_;
        refreshed_ = at();
        return;
    }
  }

  std::span<const Command> trace_;
  const PimDevice& device_;
  const DramTiming& t_;
  std::vector<BankHistory> banks_;
  std::deque<Picoseconds> activations_;
  std::set<int> loaded_;
  Picoseconds last_command_ = kNever, column_ = kNever, pins_in_ = kNever, pins_out_ = kNever, refreshed_ = kNever;
  std::int64_t refreshes_ = 0;
  int summed_ = 0;
  std::size_t index_ = 0;
  std::vector<Violation> found_;
};

}  // namespace

std::vector<Violation> check_timing(std::span<const Command> trace, Picoseconds end, const PimDevice& device) {
  return Judge(trace, device).run(end);
}

}  // namespace assay::hardware
