// assay validate: the operator and collective models against a measured profile.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "datasets/machine.h"
#include "datasets/user_error.h"
#include "harness/cli/commands.h"
#include "harness/table.h"
#include "impls/substrate/models/profile_csv.h"
#include "impls/substrate/models/residuals.h"

namespace assay::cli {
namespace {

using nlohmann::json;
using substrate::Residual;
using substrate::ResidualGroup;

struct Request {
  std::string file, device = "a100-80g-sxm", cluster = "a100-measured", plot;
};

enum class Content { operators, attention, collectives };

struct Answer {
  Content content = Content::operators;
  std::string machine, machine_hash, carried;
  std::vector<Residual> rows;
  std::vector<ResidualGroup> groups;
};

Answer validate(const Request& request) {
  Answer answer;
  const std::string root = datasets::data_root();
  {
    const substrate::ProfileCsv csv(request.file);
    answer.content = csv.has("collective")   ? Content::collectives
                     : csv.has("is_prefill") ? Content::attention
                                             : Content::operators;
  }
  if (answer.content == Content::collectives) {
    const datasets::Cluster cluster = datasets::load_cluster(request.cluster, root);
    answer.machine = cluster.id;
    answer.machine_hash = cluster.hash;
    answer.rows = substrate::residuals(cluster, substrate::read_collective_profile(request.file));
    answer.groups = substrate::collective_groups(answer.rows);
  } else {
    const datasets::Device device = datasets::load_device(request.device, root);
    answer.machine = device.id;
    answer.machine_hash = device.hash;
    answer.carried = device.calibration;
    if (answer.content == Content::attention) {
      answer.rows = substrate::residuals(device, substrate::read_attention_profile(request.file));
      answer.groups = substrate::attention_groups(answer.rows);
    } else {
      answer.rows = substrate::residuals(device, substrate::read_linear_profile(request.file));
      answer.groups = substrate::linear_groups(answer.rows);
    }
  }
  if (answer.rows.empty()) {
    throw UserError(fmt::format("{}: no measured time above 0, expected at least one", request.file));
  }
  return answer;
}

void print_table(const Answer& answer, const Request& request, const Context& context) {
  fmt::print("{} times of {} against the models of {}{}\n", answer.rows.size(), request.file, answer.machine,
             answer.carried.empty() ? "" : fmt::format(" (fitted constants carried from {})", answer.carried));
  harness::Table table({{answer.content == Content::collectives ? "collective" : "operator", false, 20},
                        {"n", true},
                        {"median error", true},
                        {"P90 error", true},
                        {"bias", true}});
  const std::string* section = nullptr;
  for (const ResidualGroup& group : answer.groups) {
    if (section != nullptr && *section != group.section) table.add_rule();
    section = &group.section;
    table.add_row({group.name, fmt::format("{}", group.n), fmt::format("{:.1f}%", 100 * group.median_abs_err),
                   fmt::format("{:.1f}%", 100 * group.p90_abs_err), fmt::format("{:+.1f}%", 100 * group.bias)});
  }
  fmt::print("{}", table.render(context.width, context.color));
  for (const ResidualGroup& group : answer.groups) {
    if (!group.note.empty())
      fmt::print("{}", harness::wrap(fmt::format("{}: {}", group.name, group.note), context.width));
  }
}

void print_json(const Answer& answer, const Request& request) {
  json out = {{"schema_version", 1},           {"file", request.file},
              {"machine", answer.machine},     {"machine_hash", answer.machine_hash},
              {"calibration", answer.carried}, {"groups", json::array()}};
  for (const ResidualGroup& group : answer.groups) {
    out["groups"].push_back({{"section", group.section},
                             {"name", group.name},
                             {"n", group.n},
                             {"median_abs_err", group.median_abs_err},
                             {"p90_abs_err", group.p90_abs_err},
                             {"bias", group.bias},
                             {"note", group.note}});
  }
  fmt::print("{}\n", out.dump(2));
}

}  // namespace

void add_validate(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("validate", "the operator and collective models against a measured profile");
  const auto request = std::make_shared<Request>();
  command->add_option("profile", request->file, "CSV of measured operator, attention or collective times")->required();
  command->add_option("--device", request->device, "descriptor for operator times")->capture_default_str();
  command->add_option("--cluster", request->cluster, "descriptor for collective times")->capture_default_str();
  command->add_option("--plot", request->plot, "write the residuals as an SVG drawing");
  command->footer(
      "Examples:\n  assay validate a100_linear_ops.csv --device a100-80g-sxm\n"
      "  assay validate a100_dgx_all_reduce.csv --cluster a100-measured --json\n"
      "Columns of operator times: model, n_head, n_kv_head, n_embd, n_ff, tensor_parallel, num_tokens, then operators\n"
      "(attn_pre_proj_ms ...). Columns of collective times: collective, ranks, devices_per_node, bytes, median_ms.\n"
      "Columns of attention through block tables: n_embd, n_q_head, n_kv_head, num_tensor_parallel_workers, "
      "batch_size,\n"
      "prefill_chunk_size, kv_cache_size, is_prefill, time_stats.attn_prefill.median, time_stats.attn_decode.median "
      "(ms).");
  command->callback([request, &context] {
    const Answer answer = validate(*request);
    if (!request->plot.empty()) {
      std::ofstream file(request->plot);
      file << substrate::residual_plot(answer.rows, fmt::format("predicted over measured, {}", answer.machine),
                                       answer.content == Content::collectives ? "bytes" : "tokens");
      if (!file.flush())
        throw UserError(fmt::format("{}: cannot be written, expected a path for an SVG", request->plot));
    }
    if (context.json) {
      print_json(answer, *request);
    } else {
      print_table(answer, *request, context);
    }
  });
}

}  // namespace assay::cli
