// assay-gui: the dashboard over one results database.
#include <CLI/CLI.hpp>
#include <QApplication>
#include <QFileInfo>
#include <QSettings>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "datasets/user_error.h"
#include "gui/main_window.h"
#include "gui/theme.h"
#include "harness/history.h"

namespace {
using assay::gui::MainWindow;

struct Arguments {
  std::vector<std::string> databases;  // several are looked at as one
  std::vector<std::string> more;       // of --db
  std::string view;
  std::string run;
  std::string filter;
  std::string case_key;  // whole, or words that only one case of the run has
  bool details = false;
  std::string theme = "auto";
  std::string size = "1280x800";
  std::vector<std::string> screenshot;  // view, file
  std::vector<std::string> settings;    // key=value of the view
};

QSize size_from(const std::string& text) {
  int width = 0, height = 0;
  char rest = 0;
  if (std::sscanf(text.c_str(), "%dx%d%c", &width, &height, &rest) != 2 || width < 320 || height < 240 ||
      width > 16384 || height > 16384)
    throw assay::UserError("gui: --size " + text +
                           ": expected WIDTHxHEIGHT from 320x240 to 16384x16384, as in 1280x800");
  return {width, height};
}

bool wants_dark(const Arguments& given, bool pictured) {
  if (given.theme == "dark") return true;
  if (given.theme == "light" || pictured) return false;
  const QSettings held(QStringLiteral("assay"), QStringLiteral("assay-gui"));
  if (held.contains(QStringLiteral("dark"))) return held.value(QStringLiteral("dark")).toBool();
  return QApplication::palette().color(QPalette::Window).lightness() < 128;
}

void apply(MainWindow& window, const Arguments& given) {
  const std::string wanted = given.screenshot.empty() ? given.view : given.screenshot.front();
  if (!given.filter.empty()) window.session().set_filter(QString::fromStdString(given.filter));
  if (!given.run.empty() && window.session().database() != nullptr)
    window.session().choose_run(window.session().database()->store().find_run(given.run).id);
  if (!given.case_key.empty() && window.session().database() != nullptr)
    window.session().select_case(assay::harness::find_case(window.session().database()->store(), given.case_key).id);
  if (given.details) window.drawer()->show();
  if (wanted.empty()) return;
  assay::gui::View* view = window.view(QString::fromStdString(wanted));
  if (view == nullptr)
    throw assay::UserError("gui: unknown view '" + wanted + "'; expected " +
                           window.view_ids().join(QStringLiteral(", ")).toStdString());
  QMap<QString, QString> values;
  for (const std::string& setting : given.settings) {
    const std::size_t sign = setting.find('=');
    if (sign == std::string::npos) throw assay::UserError("gui: --set " + setting + ": expected KEY=VALUE");
    values[QString::fromStdString(setting.substr(0, sign))] = QString::fromStdString(setting.substr(sign + 1));
  }
  if (!values.isEmpty()) view->set_arguments(values);
  window.show_view(view->id());
}

int take_picture(MainWindow& window, const Arguments& given) {
  window.resize(size_from(given.size));
  window.setAttribute(Qt::WA_DontShowOnScreen);
  window.show();
  for (int i = 0; i < 4; ++i) QCoreApplication::processEvents();  // layouts settle, plots learn their size
  if (!window.banner().isEmpty()) throw assay::UserError(window.banner().toStdString());
  const QString path = QString::fromStdString(given.screenshot.back());
  if (!window.grab().save(path))
    throw assay::UserError(path.toStdString() +
                           ": cannot be written as a picture; does its folder exist, is its ending .png?");
  return 0;
}

QStringList databases_to_open(const Arguments& given, bool pictured) {
  QStringList named;
  for (const std::string& path : given.databases) named << QString::fromStdString(path);
  if (!named.isEmpty()) return named;
  if (pictured || QFileInfo::exists(QStringLiteral("assay.db"))) return {QStringLiteral("assay.db")};
  const QSettings held(QStringLiteral("assay"), QStringLiteral("assay-gui"));
  const QStringList recent = held.value(QStringLiteral("recent")).toStringList();
  return recent.isEmpty() ? QStringList() : recent.front().split(QLatin1Char('\n'));
}

int run(int argc, char** argv) {
  Arguments given;
  CLI::App parser{"assay-gui: look at a results database", "assay-gui"};
  parser.set_version_flag("--version", std::string("assay-gui ") + ASSAY_VERSION);
  parser.add_option("databases", given.databases,
                    "results databases; several are looked at as one (none: ASSAY_DB, else assay.db)");
  parser.add_option("--db", given.more, "one more of them")->expected(1)->take_all();
  parser.add_option("--view", given.view, "the view to begin with")->type_name("VIEW");
  parser.add_option("--run", given.run, "run id or the start of one, a tag, latest, latest~1")->type_name("RUN");
  parser.add_option("--filter", given.filter, "as in the filter box");
  parser.add_option("--case", given.case_key, "select a case: its key, or words that only one has")->type_name("CASE");
  parser.add_flag("--details", given.details, "open the selected case at the right");
  parser.add_option("--set", given.settings, "a setting of the view, as `Copy the command that shows this` writes it")
      ->type_name("KEY=VALUE");
  parser.add_option("--theme", given.theme, "dark, light or auto")->check(CLI::IsMember({"dark", "light", "auto"}));
  parser.add_option("--size", given.size, "of the picture")->type_name("WxH");
  parser.add_option("--screenshot", given.screenshot, "write a picture of a view and stop; needs no display")
      ->expected(2)
      ->type_name("VIEW FILE.png");
  parser.footer(
      "Examples:\n"
      "  assay-gui results.db\n"
      "  assay-gui mine.db theirs.db\n"
      "  assay-gui results.db --view explore --filter 'attention seq=16k'\n"
      "  assay-gui results.db --screenshot overview overview.png --size 2560x1440 --theme dark");
  try {
    parser.parse(argc, argv);
  } catch (const CLI::CallForHelp& asked) {
    return parser.exit(asked);
  } catch (const CLI::CallForVersion& asked) {
    return parser.exit(asked);
  } catch (const CLI::ParseError& wrong) {
    throw assay::UserError(std::string("gui: ") + wrong.what() + " (`assay-gui --help` shows what it takes)");
  }
  given.databases.insert(given.databases.end(), given.more.begin(), given.more.end());
  if (const char* named = std::getenv("ASSAY_DB"); named != nullptr && given.databases.empty())
    given.databases.emplace_back(named);
  const bool pictured = !given.screenshot.empty();
  size_from(given.size);
  const bool display = std::getenv("DISPLAY") != nullptr || std::getenv("WAYLAND_DISPLAY") != nullptr;
  if (pictured && std::getenv("QT_QPA_PLATFORM") == nullptr) setenv("QT_QPA_PLATFORM", "offscreen", 1);
  if (!pictured && !display && std::getenv("QT_QPA_PLATFORM") == nullptr)
    throw assay::UserError(
        "gui: no display here (DISPLAY and WAYLAND_DISPLAY are not set); --screenshot VIEW FILE.png needs none", 3);
  // The offscreen platform warns of hints it does not pass on; for a picture nothing less than an error matters.
  if (pictured)
    qInstallMessageHandler([](QtMsgType type, const QMessageLogContext&, const QString& message) {
      if (type == QtCriticalMsg || type == QtFatalMsg) std::fprintf(stderr, "assay-gui: %s\n", qPrintable(message));
    });
  QApplication application(argc, argv);
  QApplication::setApplicationName(QStringLiteral("assay-gui"));
  assay::gui::apply_theme(application, wants_dark(given, pictured));
  MainWindow window(pictured ? assay::gui::Remember::nothing : assay::gui::Remember::layout);
  if (const QStringList paths = databases_to_open(given, pictured); !paths.isEmpty()) window.open(paths);
  apply(window, given);
  if (pictured) return take_picture(window, given);
  window.show();
  return QApplication::exec();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const assay::UserError& wrong) {
    std::fprintf(stderr, "assay-gui: %s\n", wrong.what());
    return wrong.exit_code();
  } catch (const std::exception& broken) {
    std::fprintf(stderr, "assay-gui: internal error, please report it: %s\n", broken.what());
    return 70;
  }
}
