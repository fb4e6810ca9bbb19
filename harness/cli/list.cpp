// `assay list`: what can be run, measured and judged here.
#include "harness/cli/list.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "datasets/nearest_names.h"
#include "datasets/user_error.h"

namespace assay::cli {
namespace {

using Lister = void (*)(const ListRequest&, const Context&);

const std::vector<std::pair<std::string, Lister>> kinds = {{"techniques", list_techniques},
                                                           {"suites", list_suites},
                                                           {"claims", list_claims},
                                                           {"devices", list_devices},
                                                           {"metrics", list_metrics}};

Lister lister_of(const std::string& kind) {
  std::vector<std::string> names;
  for (const auto& [name, lister] : kinds) {
    if (kind == name) return lister;
    names.push_back(name);
  }
  const auto near = datasets::nearest_names(kind, names);
  throw UserError(fmt::format("list: found '{}', expected one of {}{}", kind, fmt::join(names, ", "),
                              near.empty() ? std::string() : fmt::format("; nearest: {}", fmt::join(near, ", "))));
}

}  // namespace

void add_list(CLI::App& app, Context& context) {
  auto* list = app.add_subcommand("list", "Show techniques, suites, claims, devices or metrics");
  struct Given {
    std::string kind = "techniques";
    ListRequest request;
  };
  const auto given = std::make_shared<Given>();
  list->add_option("kind", given->kind, "techniques (default), suites, claims, devices or metrics");
  list->add_option("name", given->request.names, "show these in detail");
  list->add_option("--family", given->request.families, "only this family: its folder or the folder's last part")
      ->allow_extra_args(false);
  list->add_flag("--unverified", given->request.unverified,
                 "only techniques that have not yet run on their hardware, with what they need and their variants");
  list->footer(
      "Examples:\n"
      "  assay list                                    every technique, where it runs, its gate's mutation score\n"
      "  assay list techniques flash-attention-2       its axes, defaults and implementations\n"
      "  assay list suites quick                       the cases of a suite\n"
      "  assay list techniques --family sequence --json");
  list->callback([given, &context] {
    if (given->request.unverified && given->kind != "techniques")
      throw UserError("list: --unverified is of techniques");
    lister_of(given->kind)(given->request, context);
  });
}

}  // namespace assay::cli
