// The event model keeps every DRAM rule, as judged by a checker that shares no code with it, and the checker catches
// traces that break one.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "impls/hardware/pim/timing_check.h"
#include "tests/impls/hardware/pim_for_tests.h"

namespace assay::hardware {
namespace {

std::string first_of(const std::vector<Violation>& found) {
  return found.empty()
             ? ""
             : found.front().rule + " at " + std::to_string(found.front().index) + ": " + found.front().detail;
}

bool names(const std::vector<Violation>& found, const std::string& rule) {
  return std::ranges::any_of(found, [&](const Violation& each) { return each.rule == rule; });
}

struct Traced {
  PimDevice device;
  PimRun run;
};

Traced traced(const PimDevice& device) {
  const Mapping mapping(small_gpt(), device);
  return {device, decode(mapping, {.prompt = 3, .generated = 6, .reuse = false, .keep_trace = true})};
}

TEST(PimTiming, GeneratedTokensBreakNoRule) {
  for (const char* activation : {"all", "ganged", "single"}) {
    datasets::Device descriptor = pim_descriptor();
    const std::string how = activation;
    set(descriptor, "activate_banks", how == "all" ? 16 : how == "ganged" ? 4 : 1);
    set(descriptor, "activate_counts_as", how == "ganged" ? 4 : 1);
    const auto [device, run] = traced(pim_device(descriptor));
    ASSERT_EQ(run.trace.size(), 8U);
    for (const auto& trace : run.trace) {
      ASSERT_GT(trace.size(), 100U);
      const auto found = check_timing(trace, run.total, device);
      EXPECT_TRUE(found.empty()) << activation << ": " << first_of(found);
    }
  }
}

TEST(PimTiming, RulesHoldWhereDelaysAreUnusual) {
  // Each delay ten times longer, alone: whatever binds then is still kept.
  for (const char* key : {"t_rcd_read_seconds", "t_rcd_write_seconds", "t_rp_seconds", "t_ras_seconds", "t_rtp_seconds",
                          "t_wr_seconds", "t_cl_seconds", "t_cwl_seconds", "t_ccd_seconds", "t_rrd_seconds",
                          "t_faw_seconds", "t_wtr_seconds", "t_rfc_seconds"}) {
    datasets::Device descriptor = pim_descriptor();
    set(descriptor, key, 10 * descriptor.at(key));
    set(descriptor, "t_refi_seconds", 1e-5);
    set(descriptor, "activate_banks", 1);
    const auto [device, run] = traced(pim_device(descriptor));
    for (const auto& trace : run.trace) {
      const auto found = check_timing(trace, run.total, device);
      EXPECT_TRUE(found.empty()) << key << ": " << first_of(found);
    }
  }
}

TEST(PimTiming, CommandsAreIssuedNoLaterThanTheRulesAsk) {
  // One clock earlier, and some rule is broken: the model is not merely slow enough. Commands that wait for the start
  // of an instruction or for a refresh to fall due are left out.
  const auto [device, run] = traced(small_pim());
  std::int64_t tight = 0, loose = 0;
  for (const auto& trace : run.trace)
    for (std::size_t i = 1; i < std::min<std::size_t>(trace.size(), 600); ++i) {
      std::vector<Command> earlier(trace.begin(), trace.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      earlier.back().at -= 1;
      const auto found = check_timing(earlier, earlier.back().at, device);
      const bool broken = std::ranges::any_of(found, [&](const Violation& each) { return each.rule != "result"; });
      (broken ? tight : loose) += 1;
    }
  EXPECT_GT(tight, 20 * loose);
}

// -- traces with one thing wrong

struct Mutant {
  const char* name;
  const char* rule;
  std::function<bool(std::vector<Command>&, const DramTiming&)> apply;  // false: nothing to change in this trace
};
void PrintTo(const Mutant& mutant, std::ostream* out) { *out << mutant.name; }

// The `nth` command of a kind after the first hundred commands.
std::vector<Command>::iterator find(std::vector<Command>& trace, Op op, int nth = 0) {
  auto at = trace.begin() + std::min<std::ptrdiff_t>(100, static_cast<std::ptrdiff_t>(trace.size()));
  for (; at != trace.end(); ++at)
    if (at->op == op && nth-- == 0) return at;
  return at;
}

class PimTimingMutant : public testing::TestWithParam<Mutant> {};

TEST_P(PimTimingMutant, IsCaught) {
  const auto [device, run] = traced(pim_device(pim_descriptor()));
  std::vector<Command> trace = run.trace.front();
  ASSERT_TRUE(check_timing(trace, run.total, device).empty());
  ASSERT_TRUE(GetParam().apply(trace, device.time));
  const auto found = check_timing(trace, run.total, device);
  EXPECT_TRUE(names(found, GetParam().rule)) << "found instead: " << first_of(found);
}

bool drop(std::vector<Command>& trace, Op op) {
  const auto at = find(trace, op);
  if (at == trace.end()) return false;
  trace.erase(at);
  return true;
}

INSTANTIATE_TEST_SUITE_P(
    Each, PimTimingMutant,
    testing::Values(
        Mutant{"ColumnBeforeRowIsOpen", "tRCD",
               [](auto& trace, const auto&) {
                 const auto open = find(trace, Op::activate_group);
                 if (open == trace.end() || (open + 1)->op != Op::mac) return false;
                 (open + 1)->at = open->at + 1000;
                 return true;
               }},
        Mutant{"WriteBeforeRowIsOpen", "tRCDWR",
               [](auto& trace, const auto&) {
                 const auto write = find(trace, Op::write);
                 if (write == trace.end()) return false;
                 auto open = write;
                 while (open->op != Op::activate || open->bank != write->bank) --open;
                 write->at = open->at + 1000;
                 return true;
               }},
        Mutant{"RowIsNotPrecharged", "row", [](auto& trace, const auto&) { return drop(trace, Op::precharge_all); }},
        Mutant{"BankIsNotPrecharged", "row", [](auto& trace, const auto&) { return drop(trace, Op::precharge); }},
        Mutant{"RowIsNeverOpened", "row", [](auto& trace, const auto&) { return drop(trace, Op::activate_group); }},
        Mutant{"ActivationTooSoonAfterPrecharge", "tRP",
               [](auto& trace, const auto&) {
                 const auto close = find(trace, Op::precharge_all);
                 if (close == trace.end()) return false;
                 const auto open = std::find_if(close, trace.end(),
                                                [](const Command& each) { return each.op == Op::activate_group; });
                 if (open == trace.end()) return false;
                 open->at = close->at + 1000;
                 return true;
               }},
        Mutant{"RowClosedTooSoon", "tRAS",
               [](auto& trace, const auto&) {
                 const auto open = find(trace, Op::activate_group);
                 const auto close =
                     std::find_if(open, trace.end(), [](const Command& each) { return each.op == Op::precharge_all; });
                 if (close == trace.end()) return false;
                 close->at = open->at + 2000;
                 return true;
               }},
        Mutant{"RowClosedBeforeItsLastColumnIsRead", "tRTP",
               [](auto& trace, const auto& t) {
                 const auto close = find(trace, Op::precharge_all, 3);
                 if (close == trace.end()) return false;
                 auto mac = close;
                 while (mac->op != Op::mac) --mac;
                 close->at = mac->at + t.rtp - 1;
                 return true;
               }},
        Mutant{"RowClosedBeforeTheWriteIsRestored", "tWR",
               [](auto& trace, const auto& t) {
                 const auto write = find(trace, Op::write);
                 const auto close = std::find_if(write, trace.end(), [&](const Command& each) {
                   return each.op == Op::precharge && each.bank == write->bank;
                 });
                 if (close == trace.end()) return false;
                 close->at = write->at + t.cwl + t.burst + t.wr - 1000;
                 return true;
               }},
        Mutant{"ColumnsTooClose", "tCCD",
               [](auto& trace, const auto&) {
                 const auto mac = find(trace, Op::mac, 2);
                 (mac + 1)->at = mac->at + 500;
                 return true;
               }},
        Mutant{"FiveActivationsInTheWindow", "tFAW",
               [](auto& trace, const auto&) {
                 const auto first = find(trace, Op::activate);
                 if (first == trace.end()) return false;
                 auto at = first;
                 for (int i = 1; i < 5; ++i) {
                   at = std::find_if(at + 1, trace.end(), [](const Command& each) { return each.op == Op::activate; });
                   if (at == trace.end()) return false;
                   at->at = first->at + i * 1000;
                 }
                 return true;
               }},
        Mutant{"TwoActivationsTooClose", "tRRD",
               [](auto& trace, const auto&) {
                 auto first = find(trace, Op::activate);
                 const auto next =
                     std::find_if(first + 1, trace.end(), [](const Command& each) { return each.op == Op::activate; });
                 if (next == trace.end()) return false;
                 next->at = first->at + 1000;
                 return true;
               }},
        Mutant{"RefreshSkipped", "refresh", [](auto& trace, const auto&) { return drop(trace, Op::refresh); }},
        Mutant{"RowOpenedDuringRefresh", "tRFC",
               [](auto& trace, const auto&) {
                 const auto refresh = find(trace, Op::refresh);
                 const auto open = std::find_if(refresh, trace.end(), [](const Command& each) {
                   return each.op == Op::activate || each.op == Op::activate_group;
                 });
                 if (open == trace.end()) return false;
                 open->at = refresh->at + 1000;
                 return true;
               }},
        Mutant{"PartialSumDropped", "result", [](auto& trace, const auto&) { return drop(trace, Op::result); }},
        Mutant{"VectorBufferUsedBeforeItArrives", "vector",
               [](auto& trace, const auto&) {
                 const auto vector = find(trace, Op::vector);
                 const auto mac =
                     std::find_if(vector, trace.end(), [](const Command& each) { return each.op == Op::mac; });
                 if (mac == trace.end()) return false;
                 (mac - 2)->op == Op::vector ? (mac - 2)->at = mac->at : (mac - 1)->at = mac->at;
                 std::ranges::for_each(vector, mac, [&](Command& each) {
                   if (each.op == Op::vector) each.at = mac->at;
                 });
                 return true;
               }},
        Mutant{"CommandsInTheSameClock", "command bus",
               [](auto& trace, const auto&) {
                 trace[50].at = trace[49].at;
                 return true;
               }},
        Mutant{"WrongRow", "row",
               [](auto& trace, const auto&) {
                 const auto write = find(trace, Op::write);
                 if (write == trace.end()) return false;
                 ++write->row;
                 return true;
               }}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace assay::hardware
