// How quick the dashboard is over a large database: 1,000 runs, 2,000 cases, 1,000,000 samples, 200,000 intervals.
//   bench_gui                 makes the database in a temporary folder, measures, removes it
//   bench_gui FILE.db         measures an existing one
// With ASSAY_BENCH_KEYS in the environment every keystroke has a line of its own.
#include <fmt/format.h>

#include <QApplication>
#include <QElapsedTimer>
#include <QProcess>
#include <QTemporaryDir>
#include <QTest>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "gui/main_window.h"
#include "gui/theme.h"
#include "gui/views/explore_view.h"
#include "gui/views/timeline_view.h"
#include "gui/views/trends_view.h"

namespace {
using namespace assay;
using results_db::Store;

constexpr int runs = 1000, all_cases = 2000, nightly_cases = 23, samples = 20, lanes = 64, intervals = 200'000;
constexpr std::int64_t day_ns = 86'400'000'000'000;

results_db::CaseRecord case_record(int i) {
  results_db::CaseRecord record;
  const int technique = i % 20, size = (i / 20) % 10, type = (i / 200) % 2, heads = i / 400;
  record.technique = fmt::format("bench/kernel-{}", technique);
  record.backend = "cpu";
  record.parameters_json = fmt::format(R"({{"dtype":"{}","heads":{},"sequence_length":{}}})",
                                       type == 0 ? "bf16" : "fp32", 1 << heads, 512 << size);
  record.key = fmt::format("{} cpu dtype={} heads={} sequence_length={}", record.technique, type == 0 ? "bf16" : "fp32",
                           1 << heads, 512 << size);
  return record;
}

results_db::LaunchRecord launch_of(const std::string& run, std::int64_t case_id, int which, int ordinal,
                                   std::int64_t at, std::mt19937_64& engine) {
  results_db::LaunchRecord launch;
  launch.run = run;
  launch.case_id = case_id;
  launch.ordinal = ordinal;
  launch.stop_reason = "noise";
  launch.started_ns = at + ordinal * 1'000'000'000LL;
  std::uniform_real_distribution<double> noise(0.97, 1.03);
  const double centre = 1e-5 * (1 + which % 20) * std::exp2((which / 20) % 10) * noise(engine);
  for (int i = 0; i < samples; ++i) launch.samples.push_back(centre * noise(engine));
  launch.metrics = {{"time", centre, "s", results_db::Provenance::measured, {}, {}},
                    {"flops_rate", 1e9 / centre, "FLOP/s", results_db::Provenance::measured, {}, {}},
                    {"intensity", 100, "FLOP/B", results_db::Provenance::derived, {}, {}}};
  launch.code_hash = "bench";
  return launch;
}

results_db::LaunchRecord timeline_of(const std::string& run, std::int64_t case_id, std::int64_t at) {
  results_db::LaunchRecord launch;
  launch.run = run;
  launch.case_id = case_id;
  launch.stop_reason = "fixed";
  launch.started_ns = at;
  launch.metrics = {{"step_time", 0.3125, "s", results_db::Provenance::projected, {}, {}}};
  for (int i = 0; i < intervals; ++i) {
    const std::int64_t start = (i / lanes) * 100'000'000LL;
    launch.intervals.push_back({fmt::format("rank {} / {}", i % lanes / 2, i % 2 == 0 ? "compute" : "send"),
                                fmt::format("block {}", i % 7), start, start + 60'000'000 + i % 39'000'000});
  }
  return launch;
}

void make(const std::string& path) {
  Store store = Store::open(path, results_db::Open::create);
  std::mt19937_64 engine(1);
  std::vector<std::int64_t> ids;
  results_db::RunRecord run;
  run.machine = {"bench", "bench", "generated", 2, 1LL << 34, "{}"};
  run.build = {"bench", "0123456789ab", false, "none", "", "{}"};
  run.suite_toml = run.environment_json = "{}";
  for (int r = 0; r < runs; ++r) {
    const bool full = r == runs - 1 || r == runs - 3;
    run.id = fmt::format("{:08x}-0000-8000-8000-000000000000", r);
    run.suite = full ? "full" : "nightly";
    run.started_ns = 1'700'000'000'000'000'000 + r * day_ns;
    run.status = "running";
    store.begin_run(run);
    while (static_cast<int>(ids.size()) < (full ? all_cases : nightly_cases))
      ids.push_back(store.put_case(case_record(static_cast<int>(ids.size()))));
    std::vector<results_db::LaunchRecord> launches;
    for (int c = 0; c < (full ? all_cases : nightly_cases); ++c)
      for (int ordinal = 0; ordinal < (full ? 1 : 2); ++ordinal)
        launches.push_back(launch_of(run.id, ids[static_cast<std::size_t>(c)], c, ordinal, run.started_ns, engine));
    if (r == runs - 1) {
      results_db::CaseRecord ring;
      ring.technique = "bench/ring";
      ring.backend = "cpu";
      ring.fabric = "cluster";
      ring.timer = "virtual";
      ring.parameters_json = R"({"ranks":32})";
      ring.key = "bench/ring cpu/cluster ranks=32 virtual";
      launches.push_back(timeline_of(run.id, store.put_case(ring), run.started_ns));
    }
    store.append_launches(launches);
    store.finish_run(run.id, "finished", run.started_ns + 60'000'000'000);
  }
  store.close();
}

const bool keystrokes_listed = std::getenv("ASSAY_BENCH_KEYS") != nullptr;

long resident_kib(const char* what) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(what)) return std::stol(line.substr(line.find(':') + 1));
  return 0;
}

// As a clock on the wall has it, and what this program computed in it: on a machine that others use the second is what
// the dashboard needs.
struct Took {
  double wall = 0, computing = 0;  // ms
};

double computed_ms() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

template <class Body>
Took took(const Body& body) {
  QElapsedTimer timer;
  timer.start();
  const double before = computed_ms();
  body();
  return {static_cast<double>(timer.nsecsElapsed()) * 1e-6, computed_ms() - before};
}

// Sees to it that something is painted: what is shown is painted by the event loop, until nothing is left to paint.
class PaintWatch : public QObject {
 public:
  PaintWatch() { qApp->installEventFilter(this); }
  int painted = 0;

 protected:
  bool eventFilter(QObject* /*watched*/, QEvent* event) override {
    painted += event->type() == QEvent::Paint ? 1 : 0;
    return false;
  }
};

void paint(gui::MainWindow& window) {
  static PaintWatch watch;
  watch.painted = 0;
  for (int before = -1; before != watch.painted;) {
    before = watch.painted;
    QCoreApplication::processEvents();
  }
  if (watch.painted == 0) window.grab();  // nothing changed on the screen: it is painted all the same
}

void report(const char* what, const std::vector<Took>& times, double target) {
  std::vector<double> wall, computing;
  for (const Took& one : times) {
    wall.push_back(one.wall);
    computing.push_back(one.computing);
  }
  std::sort(wall.begin(), wall.end());
  std::sort(computing.begin(), computing.end());
  fmt::print("{:<46} median {:7.1f} ms, worst {:7.1f} ms; computing {:7.1f} ms, worst {:7.1f} ms; target {:.0f} ms\n",
             what, wall[wall.size() / 2], wall.back(), computing[computing.size() / 2], computing.back(), target);
}

// Every letter, then Backspace until nothing is left: what the words had hidden comes back, all cases at once too.
std::vector<Took> typed(gui::MainWindow& window, const char* view, const char* text) {
  window.show_view(QString::fromLatin1(view));
  window.session().set_filter({});
  paint(window);
  std::vector<Took> times;
  const auto press = [&](const auto& key) {
    times.push_back(took([&] {
      QTest::keyClick(window.filter_box(), key);
      paint(window);
    }));
    if (keystrokes_listed)
      fmt::print("  {:<12}{:<32}{:7.1f} ms, computing {:7.1f} ms\n", view,
                 "'" + window.filter_box()->text().toStdString() + "'", times.back().wall, times.back().computing);
  };
  for (const char* letter = text; *letter != '\0'; ++letter) press(*letter);
  while (!window.filter_box()->text().isEmpty()) press(Qt::Key_Backspace);
  return times;
}

void measure(const QString& path) {
  gui::MainWindow* window = nullptr;
  const Took opening = took([&] {
    window = new gui::MainWindow(gui::Remember::nothing);
    window->resize(1280, 800);
    window->show();
    window->open(path);
    paint(*window);
  });
  const auto data = window->session().run();
  fmt::print("{} runs; the newest has {} cases\n", window->session().database()->runs().size(), data->cases.size());
  report("opening to first paint (Overview)", {opening}, 1000);
  for (const char* view : {"overview", "compare", "explore", "trends"})
    report(fmt::format("filter keystroke to repaint, {}", view).c_str(),
           typed(*window, view, "kernel-7 dtype=bf16 seq>=4k"), 50);
  std::vector<Took> trends;
  for (std::size_t i = 0; i < 5; ++i) {
    window->session().select_case(data->cases.at(i).info.id);  // another one each time: what stands there is not read
    window->show_view(QStringLiteral("runs"));
    paint(*window);
    auto* view = window->view(QStringLiteral("trends"));
    trends.push_back(took([&] {
      window->show_view(QStringLiteral("trends"));
      view->refresh();
      paint(*window);
    }));
  }
  const auto points = dynamic_cast<gui::TrendsView*>(window->view(QStringLiteral("trends")))->trend().points.size();
  report(fmt::format("Trends over {} runs", points).c_str(), trends, 200);
  const Took timeline = took([&] {
    window->show_view(QStringLiteral("timeline"));
    paint(*window);
  });
  auto& canvas = dynamic_cast<gui::TimelineView*>(window->view(QStringLiteral("timeline")))->canvas();
  report(fmt::format("opening a timeline of {} intervals", canvas.data().bars).c_str(), {timeline}, 1000);
  std::vector<Took> frames;
  canvas.zoom(0.2, 0.5);
  for (int i = 0; i < 60; ++i)
    frames.push_back(took([&] {
      if (i < 30)
        canvas.pan(0.02);
      else
        canvas.zoom(0.93, 0.5);
      canvas.grab();
    }));
  report("a frame while moving and zooming the timeline", frames, 1000.0 / 60);
  fmt::print("resident memory {:.0f} MiB (highest {:.0f} MiB)   target 300 MiB\n",
             static_cast<double>(resident_kib("VmRSS")) / 1024, static_cast<double>(resident_kib("VmHWM")) / 1024);
  delete window;
}

}  // namespace

int main(int argc, char** argv) {
  setenv("QT_QPA_PLATFORM", "offscreen", 0);
  qInstallMessageHandler([](QtMsgType, const QMessageLogContext&, const QString&) {});
  QApplication application(argc, argv);
  gui::apply_theme(application, false);
  if (argc == 3 && std::string(argv[1]) == "--make") {
    make(argv[2]);
    return 0;
  }
  QTemporaryDir folder;
  QString path = argc > 1 ? QString::fromLocal8Bit(argv[1]) : folder.filePath(QStringLiteral("large.db"));
  if (argc == 1) {
    // In a process of its own: what making it allocates is not the dashboard's.
    const double seconds = took([&] {
                             QProcess::execute(QString::fromLocal8Bit(argv[0]), {QStringLiteral("--make"), path});
                           }).wall /
                           1000;
    fmt::print("made {} in {:.0f} s\n", path.toStdString(), seconds);
  }
  measure(path);
  return 0;
}
