#include "impls/hardware/pim/channel.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace assay::hardware {

const char* to_string(Op op) {
  switch (op) {
    case Op::activate:
      return "ACT";
    case Op::activate_group:
      return "ACTG";
    case Op::precharge:
      return "PRE";
    case Op::precharge_all:
      return "PREA";
    case Op::mac:
      return "MAC";
    case Op::result:
      return "RES";
    case Op::vector:
      return "VEC";
    case Op::read:
      return "RD";
    case Op::write:
      return "WR";
    case Op::refresh:
      return "REF";
  }
  return "?";
}

Channel::Channel(const PimDevice& device) : device_(&device), banks_(static_cast<std::size_t>(device.banks)) {}

Picoseconds Channel::earliest(const Command& command) const {
  const auto forbid = [&](bool wrong, const char* why) {
    if (wrong) throw std::logic_error(fmt::format("{} bank {}: {}", to_string(command.op), command.bank, why));
  };
  const auto bank = [&]() -> const Bank& { return banks_.at(static_cast<std::size_t>(command.bank)); };
  Picoseconds at = now_;
  const auto after = [&](Picoseconds time) { at = std::max(at, time); };
  switch (command.op) {
    case Op::activate:
      forbid(bank().open, "a row is open");
      after(bank().activate_ok);
      after(rrd_ok_);
      after(faw_ok_[0]);
      break;
    case Op::activate_group: {
      const int first = command.bank * device_->group_banks;
      for (int b = first; b < first + device_->group_banks; ++b) {
        const Bank& each = banks_.at(static_cast<std::size_t>(b));
        forbid(each.open, "a row is open");
        after(each.activate_ok);
      }
      after(rrd_ok_);
      after(faw_ok_[device_->group_activations - 1]);
      break;
    }
    case Op::precharge:
      forbid(!bank().open, "no row is open");
      after(bank().precharge_ok);
      break;
    case Op::precharge_all:
      for (const Bank& each : banks_)
        if (each.open) after(each.precharge_ok);
      break;
    case Op::mac:
      for (const Bank& each : banks_) {
        forbid(!each.open, "not every bank has a row open");
        after(each.read_ok);
      }
      after(ccd_ok_);
      after(vector_ok_);
      break;
    case Op::result:
      after(ccd_ok_);
      after(pins_read_ok_);
      break;
    case Op::vector:
      after(pins_write_ok_);
      break;
    case Op::read:
      forbid(!bank().open, "no row is open");
      after(bank().read_ok);
      after(ccd_ok_);
      after(pins_read_ok_);
      break;
    case Op::write:
      forbid(!bank().open, "no row is open");
      after(bank().write_ok);
      after(ccd_ok_);
      after(pins_write_ok_);
      break;
    case Op::refresh:
      for (const Bank& each : banks_) {
        forbid(each.open, "a row is open");
        after(each.activate_ok);
      }
      break;
  }
  return at;
}

void Channel::opened(Bank& bank, Picoseconds at) {
  const DramTiming& t = device_->time;
  if (open_banks_++ == 0) opened_at_ = at;
  bank.open = true;
  bank.read_ok = at + t.rcd_read;
  bank.write_ok = at + t.rcd_write;
  bank.precharge_ok = at + t.ras;
  bank.activate_ok = at + t.ras + t.rp;
  ++counts_.activations;
}

void Channel::closed(Bank& bank, Picoseconds at) {
  bank.open = false;
  bank.activate_ok = std::max(bank.activate_ok, at + device_->time.rp);
  if (--open_banks_ == 0) counts_.open += at - opened_at_;
}

void Channel::counted_activation(Picoseconds at, int weight) {
  for (int i = 0; i < weight; ++i) {
    std::shift_left(std::begin(faw_ok_), std::end(faw_ok_), 1);
    faw_ok_[3] = at + device_->time.faw;
  }
  rrd_ok_ = at + device_->time.rrd;
}

Picoseconds Channel::issue(const Command& command) {
  const DramTiming& t = device_->time;
  const Picoseconds at = earliest(command);
  now_ = at + t.clock;
  const auto later = [](Picoseconds& field, Picoseconds time) { field = std::max(field, time); };
  // Reads put data on the pins tCL after the command, writes tCWL after it; turning the pins round takes one clock.
  const auto pins_read = [&] {
    later(pins_read_ok_, at + t.burst);
    later(pins_write_ok_, at + t.cl + t.burst + t.clock - t.cwl);
    later(data_end_, at + t.cl + t.burst);
  };
  const auto pins_write = [&] {
    later(pins_write_ok_, at + t.burst);
    later(pins_read_ok_, at + t.cwl + t.burst + t.wtr);
    later(data_end_, at + t.cwl + t.burst);
  };
  switch (command.op) {
    case Op::activate:
      opened(banks_[static_cast<std::size_t>(command.bank)], at);
      counted_activation(at, 1);
      break;
    case Op::activate_group: {
      const int first = command.bank * device_->group_banks;
      for (int b = first; b < first + device_->group_banks; ++b) opened(banks_[static_cast<std::size_t>(b)], at);
      counted_activation(at, device_->group_activations);
      break;
    }
    case Op::precharge:
      closed(banks_[static_cast<std::size_t>(command.bank)], at);
      break;
    case Op::precharge_all:
      for (Bank& each : banks_)
        if (each.open) closed(each, at);
      break;
    case Op::mac:
      ccd_ok_ = at + t.ccd;
      for (Bank& each : banks_) later(each.precharge_ok, at + t.rtp);
      ++counts_.macs;
      break;
    case Op::result:
      ccd_ok_ = at + t.ccd;
      pins_read();
      ++counts_.results;
      break;
    case Op::vector:
      pins_write();
      later(vector_ok_, at + t.cwl + t.burst);
      ++counts_.vectors;
      break;
    case Op::read:
      ccd_ok_ = at + t.ccd;
      pins_read();
      later(banks_[static_cast<std::size_t>(command.bank)].precharge_ok, at + t.rtp);
      ++counts_.reads;
      break;
    case Op::write:
      ccd_ok_ = at + t.ccd;
      pins_write();
      later(banks_[static_cast<std::size_t>(command.bank)].precharge_ok, at + t.cwl + t.burst + t.wr);
      ++counts_.writes;
      break;
    case Op::refresh:
      for (Bank& each : banks_) each.activate_ok = at + t.rfc;
      ++counts_.refreshes;
      break;
  }
  return at;
}

void Channel::wait_until(Picoseconds time) { now_ = std::max(now_, time); }

std::vector<Picoseconds> Channel::delays() const {
  if (open_banks_ != 0) throw std::logic_error("a channel's state is taken with all rows closed");
  std::vector<Picoseconds> found;
  found.reserve(banks_.size() + 9);
  const auto add = [&](Picoseconds time) { found.push_back(std::max<Picoseconds>(0, time - now_)); };
  for (const Bank& each : banks_) add(each.activate_ok);
  for (const Picoseconds time : {rrd_ok_, ccd_ok_, pins_read_ok_, pins_write_ok_, vector_ok_}) add(time);
  for (const Picoseconds time : faw_ok_) add(time);
  return found;
}

void Channel::restart(const std::vector<Picoseconds>& delays) {
  std::size_t next = 0;
  for (Bank& each : banks_) each = {.activate_ok = delays.at(next++)};
  for (Picoseconds* field : {&rrd_ok_, &ccd_ok_, &pins_read_ok_, &pins_write_ok_, &vector_ok_})
    *field = delays.at(next++);
  for (Picoseconds& field : faw_ok_) field = delays.at(next++);
  open_banks_ = 0;
  now_ = data_end_ = opened_at_ = 0;
  counts_ = {};
}

}  // namespace assay::hardware
