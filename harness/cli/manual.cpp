// `assay __manual FOLDER` (hidden, called by the build) writes one manual page a command from the parser itself, so
// that a new option is documented without an edit here: assay.1, assay-run.1, assay-db-merge.1 ...
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/user_error.h"
#include "harness/cli/commands.h"

namespace assay::cli {
namespace {

// Text as roff: a backslash, a hyphen and a dot or quote that begins a line mean something to it.
std::string roff(std::string_view text) {
  std::string out;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) out += "\\&";
    line_begins = c == '\n';
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  std::vector<const CLI::App*> shown;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    if (!command->get_group().empty()) shown.push_back(command);
  return shown;
}

std::string page_name(const CLI::App& app) {
  return app.get_parent() == nullptr ? app.get_name() : page_name(*app.get_parent()) + "-" + app.get_name();
}

std::string called(const CLI::App& app) {
  return app.get_parent() == nullptr ? app.get_name() : called(*app.get_parent()) + " " + app.get_name();
}

std::string described(const CLI::Option& option) {
  std::string text = fmt::format(".TP\n\\fB{}\\fR", roff(option.get_name(option.get_positional(), true)));
  if (const std::string type = option.get_type_name(); !type.empty() && option.get_items_expected_max() > 0)
    text += fmt::format(" \\fI{}\\fR", roff(type));
  if (option.get_items_expected_max() > 1) text += " ...";
  text += "\n" + roff(option.get_description());
  if (const std::string variable = option.get_envname(); !variable.empty())
    text += roff(fmt::format(" (also from ${})", variable));
  return text + "\n";
}

// The footers say "Examples:" over indented lines and "Exit codes:" before text that may go on.
std::string footer_sections(const std::string& footer) {
  std::string text;
  bool verbatim = false;
  const auto end_verbatim = [&] {
    if (verbatim) text += ".fi\n";
    verbatim = false;
  };
  for (std::size_t from = 0; from < footer.size();) {
    const std::size_t end = std::min(footer.find('\n', from), footer.size());
    std::string_view line(footer.data() + from, end - from);
    from = end + 1;
    if (line == "Examples:") {
      text += ".SH EXAMPLES\n.nf\n";
      verbatim = true;
      continue;
    }
    if (constexpr std::string_view exit_codes = "Exit codes:"; line.starts_with(exit_codes)) {
      end_verbatim();
      text += ".SH EXIT STATUS\n";
      line.remove_prefix(exit_codes.size());
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    } else if (verbatim && !line.empty() && line.front() != ' ') {
      end_verbatim();
      text += ".PP\n";
    }
    text += roff(line) + "\n";
  }
  end_verbatim();
  return text;
}

std::string page(const CLI::App& app) {
  std::string title = page_name(app);
  std::string text = fmt::format(".TH \"{0}\" 1 \"\" \"assay {1}\" \"assay manual\"\n.SH NAME\n{2} \\- {3}\n",
                                 roff(title), ASSAY_VERSION, roff(title), roff(app.get_description()));
  const auto commands = commands_of(app);
  text += fmt::format(".SH SYNOPSIS\n\\fB{}\\fR [\\fIoptions\\fR]", roff(called(app)));
  if (!commands.empty()) text += " \\fIcommand\\fR";
  std::string options, positionals;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    if (option->get_positional()) {
      const std::string name = roff(option->get_name(true, true));
      text += option->get_required() ? fmt::format(" \\fI{}\\fR", name) : fmt::format(" [\\fI{}\\fR]", name);
      positionals += described(*option);
    } else {
      options += described(*option);
    }
  }
  text += "\n";
  if (!positionals.empty()) text += ".SH ARGUMENTS\n" + positionals;
  if (!options.empty()) text += ".SH OPTIONS\n" + options;
  if (!commands.empty()) {
    text += ".SH COMMANDS\n";
    for (const CLI::App* command : commands)
      text += fmt::format(".TP\n\\fB{}\\fR(1)\n{}\n", roff(page_name(*command)), roff(command->get_description()));
  }
  text += footer_sections(app.get_footer());
  if (const CLI::App* parent = app.get_parent(); parent != nullptr)
    text += fmt::format(".SH SEE ALSO\n\\fB{}\\fR(1)\n", roff(page_name(*parent)));
  return text;
}

void write_pages(const CLI::App& app, const std::filesystem::path& folder) {
  const auto path = folder / (page_name(app) + ".1");
  std::ofstream out(path);
  out << page(app);
  out.close();
  if (!out) throw UserError(fmt::format("{}: cannot be written", path.string()));
  for (const CLI::App* command : commands_of(app)) write_pages(*command, folder);
}

}  // namespace

void add_manual(CLI::App& app, Context&) {
  auto* command = app.add_subcommand("__manual", "write the manual pages")->group("");
  auto folder = std::make_shared<std::string>();
  command->add_option("folder", *folder, "where to")->required();
  command->callback([&app, folder] {
    std::error_code failed;
    std::filesystem::create_directories(*folder, failed);
    if (failed) throw UserError(fmt::format("{}: {}", *folder, failed.message()));
    write_pages(app, *folder);
  });
}

}  // namespace assay::cli
