// `assay completion SHELL` prints a script; the script asks the hidden `assay __complete -- WORDS...`, which walks the
// parser itself, so that a new sub-command or option completes without an edit here.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <set>

#include "datasets/machine.h"
#include "datasets/nearest_names.h"
#include "datasets/user_error.h"
#include "harness/cli/commands.h"
#include "harness/cli/stored.h"
#include "harness/registry.h"
#include "harness/suite.h"
#include "results_db/metrics.h"

namespace assay::cli {
namespace {

// The last word may be empty: the script always passes it. Candidates come as "word<TAB>meaning"; ":files" asks the
// shell for file names.
constexpr const char* bash_script = R"(# bash completion of assay: source <(assay completion bash)
_assay() {
  local current="" word line
  local -a words=()
  local i
  # Readline splits at '='; put --option=value and axis=value together again.
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word="${COMP_WORDS[i]}"
    if ((${#words[@]} > 0)) && [[ $word == "=" || ${words[-1]} == *= ]] && [[ ${words[-1]} != "=" ]]; then
      words[-1]+="$word"
    else
      words+=("$word")
    fi
  done
  current="${words[-1]}"
  local done_part=""
  [[ $current == *=* ]] && done_part="${current%"${current##*=}"}"
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == ":files" ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "${current#"$done_part"}")
      continue
    fi
    word="${line%%$'\t'*}"
    COMPREPLY+=("${word#"$done_part"}")
    [[ $word == *= ]] && compopt -o nospace 2>/dev/null
  done < <("${1/#\~/$HOME}" __complete -- "${words[@]}" 2>/dev/null)
}
complete -F _assay assay
)";

constexpr const char* zsh_script = R"(#compdef assay
# zsh completion of assay: assay completion zsh > a folder of $fpath, as _assay; or source <(assay completion zsh)
_assay() {
  local line name
  local -a names shown open_names open_shown
  while IFS= read -r line; do
    if [[ $line == ':files' ]]; then
      _files
      continue
    fi
    name=${line%%$'\t'*}
    local text=$name
    [[ $line == *$'\t'* ]] && text="$name  -- ${line#*$'\t'}"
    if [[ $name == *= ]]; then
      open_names+=("$name")
      open_shown+=("$text")
    else
      names+=("$name")
      shown+=("$text")
    fi
  done < <("${words[1]/#\~/$HOME}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
  (( $#names )) && compadd -l -d shown -- "${(@)names}"
  (( $#open_names )) && compadd -l -S '' -d open_shown -- "${(@)open_names}"
}
if [[ ${funcstack[1]} == _assay ]]; then
  _assay "$@"
else
  compdef _assay assay
fi
)";

constexpr const char* fish_script =
    R"(# fish completion of assay: assay completion fish > ~/.config/fish/completions/assay.fish
function __assay_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -e words[1]
    for line in (assay __complete -- $words "$current" 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c assay -f -a '(__assay_complete)'
)";

struct Candidate {
  std::string word;
  std::string meaning = {};
};

class Completer {
 public:
  Completer(CLI::App& root, std::string database) : at_(&root), database_(std::move(database)) {
    if (const char* named = std::getenv("ASSAY_DB"); named != nullptr) database_ = named;
  }

  std::vector<Candidate> complete(const std::vector<std::string>& words) {
    const std::string current = words.empty() ? "" : words.back();
    for (std::size_t i = 0; i + 1 < words.size(); ++i) take(words[i]);
    propose(current);
    std::set<std::string> seen;
    std::erase_if(found_, [&](const Candidate& held) {
      return held.word.compare(0, current.size(), current) != 0 || !seen.insert(held.word).second;
    });
    return found_;
  }

  bool wants_files() const { return files_; }

 private:
  // Global options may follow the sub-command, so every level up to the root knows them.
  const CLI::Option* option(const std::string& name) const {
    for (const CLI::App* app = at_; app != nullptr; app = app->get_parent())
      for (const CLI::Option* held : app->get_options())
        if (!held->get_positional() && held->check_name(name)) return held;
    return nullptr;
  }

  static bool takes_value(const CLI::Option* held) { return held != nullptr && held->get_items_expected_max() > 0; }

  void take(const std::string& word) {
    if (!pending_.empty()) {
      remember(pending_, word);
      pending_.clear();
    } else if (word.size() > 1 && word.front() == '-') {
      const auto equals = word.find('=');
      if (equals != std::string::npos) {
        remember(word.substr(0, equals), word.substr(equals + 1));
      } else if (takes_value(option(word))) {
        pending_ = word;
      }
    } else if (CLI::App* below = positionals_.empty() ? subcommand(word) : nullptr; below != nullptr) {
      at_ = below;
      path_ += (path_.empty() ? "" : " ") + word;
    } else {
      positionals_.push_back(word);
    }
  }

  CLI::App* subcommand(const std::string& name) const {
    for (CLI::App* below : at_->get_subcommands([](CLI::App*) { return true; }))
      if (below->check_name(name)) return below;
    return nullptr;
  }

  void remember(const std::string& option_name, const std::string& value) {
    if (option_name == "--db") database_ = value;
  }

  void add(const std::string& word, const std::string& meaning = {}) { found_.push_back({word, meaning}); }

  void propose(const std::string& current) {
    const auto equals = current.find('=');
    if (!pending_.empty()) {
      propose_value(pending_, current, "");
    } else if (current.size() > 1 && current.front() == '-' && equals != std::string::npos) {
      propose_value(current.substr(0, equals), current.substr(equals + 1), current.substr(0, equals + 1));
    } else if (!current.empty() && current.front() == '-') {
      for (const CLI::App* app = at_; app != nullptr; app = app->get_parent())
        for (const CLI::Option* held : app->get_options())
          for (const std::string& name : held->get_lnames())
            if (!held->get_group().empty()) add("--" + name, held->get_description());
    } else {
      if (positionals_.empty()) {
        for (const CLI::App* below : at_->get_subcommands([](CLI::App*) { return true; }))
          if (!below->get_group().empty()) add(below->get_name(), below->get_description());
      }
      propose_positional(current);
    }
  }

  void propose_value(const std::string& option_name, const std::string& typed, const std::string& before) {
    const std::size_t first = found_.size();
    if (option_name == "--family") {
      for (const std::string& family : families()) add(family);
    } else if (option_name == "--technique") {
      propose_techniques(typed);
    } else if (option_name == "--axis") {
      propose_axes(typed);
    } else if (option_name == "--backend") {
      for (const char* backend : {"cpu", "cuda"}) add(backend);
    } else if (option_name == "--fabric") {
      for (const std::string& fabric : fabrics()) add(fabric);
    } else if (option_name == "--device") {
      for (const std::string& id : datasets::device_ids(datasets::data_root())) add(id);
    } else if (option_name == "--cluster") {
      for (const std::string& id : datasets::cluster_ids(datasets::data_root())) add(id);
    } else if (option_name == "--metric") {
      for (const auto& metric : results_db::metric_registry())
        add(std::string(metric.name), std::string(metric.formula));
    } else if (option_name == "--isolate") {
      for (const char* how : {"backend", "case"}) add(how);
    } else if (option_name == "--run" || option_name == "--resume" || option_name == "--base") {
      propose_runs();
    } else {
      files_ = true;
    }
    for (std::size_t i = first; i < found_.size(); ++i) found_[i].word.insert(0, before);
  }

  void propose_positional(const std::string& current) {
    if (path_ == "run") {
      if (!positionals_.empty()) return;
      propose_suites();
      propose_techniques(current);
    } else if (path_ == "list") {
      propose_listed(current);
    } else if (path_ == "completion") {
      for (const char* shell : {"bash", "zsh", "fish"}) add(shell);
    } else if (path_ == "reproduce") {
      propose_techniques(current);
    } else if (path_ == "show" || path_ == "compare" || path_ == "rerun" || path_ == "report") {
      propose_runs();
    } else if (path_.compare(0, 3, "db ") == 0) {
      files_ = true;
    }
  }

  void propose_listed(const std::string& current) {
    if (positionals_.empty()) {
      for (const char* kind : {"techniques", "suites", "claims", "devices", "metrics"}) add(kind);
    } else if (positionals_.front() == "techniques" || positionals_.front() == "claims") {
      propose_techniques(current);
    } else if (positionals_.front() == "suites") {
      propose_suites();
    } else if (positionals_.front() == "devices") {
      for (const std::string& id : datasets::device_ids(datasets::data_root())) add(id);
      for (const std::string& id : datasets::cluster_ids(datasets::data_root())) add(id);
    } else if (positionals_.front() == "metrics") {
      for (const auto& metric : results_db::metric_registry())
        add(std::string(metric.name), std::string(metric.formula));
    }
  }

  void propose_suites() {
    for (const std::string& id : harness::suite_ids()) add(id, "suite");
  }

  // Full ids; bare names too once something is typed that they can begin with.
  void propose_techniques(const std::string& typed) {
    for (const auto& technique : harness::techniques()) add(technique.id, technique.title);
    if (typed.empty() || typed.find('/') != std::string::npos) return;
    for (const auto& technique : harness::techniques())
      add(technique.id.substr(technique.id.rfind('/') + 1), technique.title);
  }

  void propose_runs() {
    const auto runs = stored_runs(database_);
    if (!runs.empty()) add("latest", "the newest run");
    for (const StoredRun& run : runs) add(run.id, run.suite);
  }

  // Axes of the technique on the line, else of all; then the values of a closed axis.
  void propose_axes(const std::string& typed) {
    std::vector<const harness::Technique*> techniques;
    for (const auto& technique : harness::techniques()) {
      const bool named = !positionals_.empty() &&
                         (positionals_.front() == technique.id || technique.id.ends_with("/" + positionals_.front()));
      if (named) techniques.push_back(&technique);
    }
    if (techniques.empty())
      for (const auto& technique : harness::techniques()) techniques.push_back(&technique);
    const auto equals = typed.find('=');
    for (const harness::Technique* technique : techniques) {
      for (const auto& implementation : technique->implementations) {
        for (const harness::Axis& axis : implementation.axes) {
          if (equals == std::string::npos) {
            add(axis.name + "=", axis.help);
          } else if (typed.substr(0, equals) == axis.name) {
            const auto last = typed.find_last_of("=,");
            for (const harness::Value& value : axis.allowed.empty() ? axis.defaults : axis.allowed)
              add(typed.substr(0, last + 1) + harness::to_text(value));
          }
        }
      }
    }
  }

  static std::set<std::string> families() {
    std::set<std::string> names;
    for (const auto& technique : harness::techniques()) names.insert(technique.id.substr(0, technique.id.rfind('/')));
    return names;
  }

  static std::set<std::string> fabrics() {
    std::set<std::string> names;
    for (const auto& technique : harness::techniques())
      for (const auto& implementation : technique.implementations)
        names.insert(implementation.fabrics.begin(), implementation.fabrics.end());
    return names;
  }

  CLI::App* at_;
  std::string path_;  // "run", "db merge"
  std::string database_;
  std::string pending_;  // an option that waits for its value
  std::vector<std::string> positionals_;
  std::vector<Candidate> found_;
  bool files_ = false;
};

void print_script(const std::string& shell) {
  constexpr std::array<std::pair<const char*, const char*>, 3> scripts = {
      {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}}};
  for (const auto& [name, script] : scripts) {
    if (shell != name) continue;
    fmt::print("{}", script);
    return;
  }
  throw UserError(fmt::format("completion: found '{}', expected bash, zsh or fish", shell));
}

}  // namespace

void add_completion(CLI::App& app, Context& context) {
  auto* completion = app.add_subcommand("completion", "Print the completion script of a shell");
  const auto shell = std::make_shared<std::string>();
  completion->add_option("shell", *shell, "bash, zsh or fish")->required();
  completion->footer(
      "Examples:\n"
      "  source <(assay completion bash)\n"
      "  assay completion zsh > ~/.zfunc/_assay\n"
      "  assay completion fish > ~/.config/fish/completions/assay.fish");
  completion->callback([shell] { print_script(*shell); });

  auto* ask = app.add_subcommand("__complete", "Candidates for the last of the given words")->group("");
  const auto words = std::make_shared<std::vector<std::string>>();
  ask->add_option("words", *words);
  ask->callback([words, &app, &context] {
    Completer completer(app, context.database);
    for (const Candidate& held : completer.complete(*words))
      fmt::print("{}\n", held.meaning.empty() ? held.word : fmt::format("{}\t{}", held.word, held.meaning));
    if (completer.wants_files()) fmt::print(":files\n");
  });
}

}  // namespace assay::cli
