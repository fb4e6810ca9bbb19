// assay doctor: what will make numbers noisy here, and which optional parts are missing and what each needs.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "harness/capabilities.h"
#include "harness/cli/commands.h"
#include "harness/environment.h"
#include "harness/machine_lock.h"
#include "harness/table.h"

namespace assay::cli {
namespace {
using nlohmann::json;

struct Report {
  harness::SystemFacts facts;
  results_db::BuildRecord build;
  std::vector<harness::NoiseWarning> warnings;
  std::vector<harness::Capability> parts;
  std::optional<harness::MachineLock::Holder> holder;
  double busy = 0;
};

Report examine() {
  Report report;
  report.facts = harness::read_system_facts();
  report.build = harness::capture_build();
  report.warnings = harness::noise_warnings(report.facts);
  report.parts = harness::capabilities(report.facts, harness::ask_kernel());
  report.holder = harness::MachineLock::holder();
  report.busy = harness::load_per_core();
  return report;
}

std::string gibibytes(std::int64_t bytes) { return fmt::format("{:.0f} GiB", static_cast<double>(bytes) / (1 << 30)); }

std::string cores_line(const harness::SystemFacts& facts) {
  std::string line = fmt::format("{}, {} logical cores", facts.cpu, facts.logical_cores);
  if (facts.physical_cores > 0) line += fmt::format(" on {} physical", facts.physical_cores);
  if (facts.usable_cores != facts.logical_cores) line += fmt::format(" ({} usable)", facts.usable_cores);
  return line;
}

std::string caches_line(const harness::SystemFacts& facts) {
  std::string line;
  for (const harness::CpuCache& cache : facts.caches) {
    if (cache.type == "Instruction") continue;
    const bool small = cache.bytes < (1 << 20);
    line += fmt::format("{}L{} {} x {} {}", line.empty() ? "" : ", ", cache.level, cache.instances,
                        small ? cache.bytes >> 10 : cache.bytes >> 20, small ? "KiB" : "MiB");
  }
  return line;
}

void print_text(const Report& report, const Context& context) {
  const harness::SystemFacts& facts = report.facts;
  const auto heading = [&](const char* text) {
    fmt::print("\n{}\n", harness::styled(text, harness::Style::bold, context.color));
  };
  const auto indented = [&](const std::string& text, int indent) {
    fmt::print("{:{}}{}\n", "", indent, harness::shorten(text, std::max(context.width, 60) - indent));
  };
  fmt::print("{}\n", harness::styled("This machine", harness::Style::bold, context.color));
  indented(cores_line(facts), 2);
  indented(fmt::format("memory {}; caches {}", gibibytes(facts.memory_bytes), caches_line(facts)), 2);
  indented(fmt::format("Linux {}{}{}{}{}", facts.kernel, facts.hypervisor.empty() ? "" : ", virtual machine ",
                       facts.hypervisor, facts.container.empty() ? "" : ", container ", facts.container),
           2);
  indented(fmt::format("assay {}{}, {}, {}", report.build.commit.substr(0, 12), report.build.dirty ? " (modified)" : "",
                       report.build.compiler, report.build.flags),
           2);
  indented(fmt::format("other processes use {:.0f}% of the cores now; timed run: {}", report.busy * 100,
                       !report.holder ? std::string("none")
                                      : fmt::format("process {} ({})", report.holder->pid, report.holder->command)),
           2);

  heading("What will make numbers noisy");
  if (report.warnings.empty()) indented("nothing found", 2);
  for (const harness::NoiseWarning& warning : report.warnings) {
    indented(fmt::format("- {}", harness::styled(warning.what, harness::Style::warn, context.color)), 2);
    indented(warning.why, 4);
    // A line to type is never cut.
    if (!warning.mend.empty()) fmt::print("    mend: {}\n", warning.mend);
  }

  heading("Optional parts");
  for (const harness::Capability& part : report.parts) {
    const bool ready = part.readiness == harness::Readiness::ready;
    const auto style = ready                                           ? harness::Style::good
                       : part.readiness == harness::Readiness::limited ? harness::Style::warn
                                                                       : harness::Style::dim;
    fmt::print("  {} {:<14} {}\n",
               harness::styled(fmt::format("{:<8}", to_string(part.readiness)), style, context.color), part.name,
               harness::shorten(part.found + (part.used ? "" : " (assay does not use it yet)"),
                                std::max(context.width, 60) - 26));
    if (ready) continue;
    fmt::print("{:26}for: {}\n", "", part.unlocks);
    if (!part.mend.empty()) fmt::print("{:26}mend: {}\n", "", part.mend);
  }
}

void print_json(const Report& report) {
  json out = {{"schema_version", 1}};
  out["machine"] = json::parse(harness::machine_record(report.facts).facts_json);
  out["environment"] = json::parse(harness::environment_json(report.facts));
  out["build"] = json::parse(report.build.facts_json);
  out["build"]["commit"] = report.build.commit;
  out["build"]["dirty"] = report.build.dirty;
  out["build"]["compiler"] = report.build.compiler;
  out["build"]["flags"] = report.build.flags;
  out["busy_share"] = report.busy;
  out["timed_run"] = nullptr;
  if (report.holder) out["timed_run"] = {{"pid", report.holder->pid}, {"command", report.holder->command}};
  out["noise"] = json::array();
  for (const harness::NoiseWarning& warning : report.warnings)
    out["noise"].push_back({{"what", warning.what}, {"why", warning.why}, {"mend", warning.mend}});
  out["parts"] = json::array();
  for (const harness::Capability& part : report.parts)
    out["parts"].push_back({{"name", part.name},
                            {"readiness", to_string(part.readiness)},
                            {"found", part.found},
                            {"unlocks", part.unlocks},
                            {"used", part.used},
                            {"mend", part.mend}});
  fmt::print("{}\n", out.dump(2));
}

}  // namespace

void add_doctor(CLI::App& app, Context& context) {
  CLI::App* doctor =
      app.add_subcommand("doctor", "what will make numbers noisy here, and what each missing part needs");
  doctor->footer("Examples:\n  assay doctor\n  assay doctor --json | jq '.noise[].what'");
  doctor->callback([&context] {
    const Report report = examine();
    if (context.json)
      print_json(report);
    else
      print_text(report, context);
  });
}

}  // namespace assay::cli
