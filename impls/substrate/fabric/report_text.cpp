#include "impls/substrate/fabric/report_text.h"

#include <fmt/format.h>

#include <iterator>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace assay::substrate {

std::string to_text(const RankReport& report, const std::vector<Interval>& intervals) {
  std::string out;
  const auto put = [&](const auto&... numbers) { (fmt::format_to(std::back_inserter(out), "{} ", numbers), ...); };
  const auto name = [&](const char* text) { fmt::format_to(std::back_inserter(out), "{}\n", text); };
  for (const Picoseconds busy : report.busy) put(busy);
  put(report.exposed, report.exposed_transfer, report.finish, report.memory.live(), report.memory.peak());
  for (std::size_t c = 0; c < kMemoryCategories; ++c) put(report.memory.peak(static_cast<Memory>(c)));
  put(report.memory.entries().size(), report.messages.entries().size(), intervals.size());
  for (const LedgerEntry& each : report.memory.entries()) {
    put(static_cast<int>(each.category), each.live, each.peak, each.at_peak, each.allocations, each.first, each.last);
    name(each.name);
  }
  for (const MessageLogEntry& each : report.messages.entries()) {
    put(each.peer, each.tag.value, static_cast<int>(each.direction), each.messages, each.bytes, each.in_flight,
        each.exposed, each.exposed_transfer);
    name(each.tag.name);
  }
  for (const Interval& each : intervals) {
    put(each.rank, static_cast<int>(each.lane), each.start, each.end, each.peer, each.bytes, each.posted, each.exposed);
    name(each.name);
    out += ' ';
    name(each.link);
  }
  return out;
}

RankReport report_from_text(const std::string& text, const std::function<const char*(const std::string&)>& keep,
                            std::vector<Interval>& intervals) {
  std::istringstream in(text);
  const auto number = [&] {
    std::int64_t value = 0;
    if (!(in >> value)) throw std::logic_error("a rank's report is cut short");
    return value;
  };
  const auto name = [&] {
    std::string word;
    in.get();  // the space before it
    std::getline(in, word);
    return keep(word);
  };
  RankReport report;
  for (Picoseconds& busy : report.busy) busy = number();
  report.exposed = number();
  report.exposed_transfer = number();
  report.finish = number();
  MemoryLedger::Contents memory;
  memory.live = number();
  memory.peak = number();
  for (std::int64_t& peak : memory.category_peak) peak = number();
  const std::int64_t entries = number(), messages = number(), spans = number();
  for (std::int64_t i = 0; i < entries; ++i) {
    LedgerEntry each;
    each.category = static_cast<Memory>(number());
    each.live = number();
    each.peak = number();
    each.at_peak = number();
    each.allocations = number();
    each.first = number();
    each.last = number();
    each.name = name();
    memory.entries.push_back(each);
  }
  report.memory = MemoryLedger::of(std::move(memory));
  for (std::int64_t i = 0; i < messages; ++i) {
    MessageLogEntry each;
    each.peer = static_cast<int>(number());
    each.tag.value = static_cast<std::uint16_t>(number());
    each.direction = static_cast<Direction>(number());
    each.messages = number();
    each.bytes = number();
    each.in_flight = number();
    each.exposed = number();
    each.exposed_transfer = number();
    each.tag.name = name();
    report.messages[report.messages.entry(each.peer, each.tag, each.direction)] = each;
  }
  for (std::int64_t i = 0; i < spans; ++i) {
    Interval each;
    each.rank = static_cast<int>(number());
    each.lane = static_cast<Lane>(number());
    each.start = number();
    each.end = number();
    each.peer = static_cast<int>(number());
    each.bytes = number();
    each.posted = number();
    each.exposed = number();
    each.name = name();
    each.link = name();
    intervals.push_back(each);
  }
  return report;
}

}  // namespace assay::substrate
