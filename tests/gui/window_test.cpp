// What the window as a whole does: several files as one, a run that goes on, the filter as chips, the case drawer, the
// keyboard, what is remembered.
#include <gtest/gtest.h>

#include <QAbstractButton>
#include <QClipboard>
#include <QComboBox>
#include <QDragEnterEvent>
#include <QFile>
#include <QImage>
#include <QMenu>
#include <QMimeData>
#include <QPlainTextEdit>
#include <QSettings>
#include <QSplitter>
#include <set>

#include "gui/model/live_run.h"
#include "gui/theme.h"
#include "gui/views/compare_view.h"
#include "gui/views/explore_view.h"
#include "gui/views/roofline_view.h"
#include "tests/gui/window_for_tests.h"

namespace assay::gui {
namespace {

constexpr std::int64_t second = 1'000'000'000;

// The newest sample run again under another id, `later` seconds after it.
results_db::RunRecord run_after(const std::string& path, const std::string& id, const std::string& status,
                                std::int64_t later) {
  auto store = results_db::Store::open(path, results_db::Open::read_write);
  auto run = store.find_run("latest");
  run.id = id;
  run.started_ns += later * second;
  run.finished_ns = 0;
  run.status = status;
  run.suite_toml = "id = \"sample\"\nlaunches = 4\n[[case]]\ntechnique = \"sample/tiled-attention\"\nlaunches = 9\n";
  run.expected_cases = 2;
  store.begin_run(run);
  return run;
}

void add_launch(const std::string& path, const results_db::RunRecord& run, const char* key, int ordinal, double time) {
  auto store = results_db::Store::open(path, results_db::Open::read_write);
  results_db::LaunchRecord launch;
  launch.run = run.id;
  launch.case_id = store.find_case(key)->id;
  launch.ordinal = ordinal;
  launch.started_ns = run.started_ns + (ordinal + 1) * 10 * second;
  launch.metrics = {{"time", time, "s", results_db::Provenance::measured, {}, {}}};
  launch.code_hash = "sample";
  store.append_launch(launch);
}

class Window : public testing::Test {
 protected:
  Window() {
    window.resize(1280, 800);
    window.show();
    QApplication::setActiveWindow(&window);
    window.setFocus();
  }
  void open_sample() { ASSERT_TRUE(window.open(QString::fromStdString(scratch.sample()))); }
  Scratch scratch;
  MainWindow window{Remember::nothing};
};

// -- several files

TEST_F(Window, SeveralFilesAreOneWithEveryRunOnce) {
  const std::string second_file = scratch.file("second.db");
  std::filesystem::copy_file(scratch.sample(), second_file);
  run_after(second_file, "00000000-0000-8000-8000-0000000000aa", "interrupted", 3600);
  const auto before = std::filesystem::last_write_time(scratch.sample());
  ASSERT_TRUE(window.open({QString::fromStdString(scratch.sample()), QString::fromStdString(second_file)}));
  EXPECT_EQ(window.session().database()->runs().size(), 9U);
  EXPECT_EQ(window.session().run()->run.id, "00000000-0000-8000-8000-0000000000aa");
  EXPECT_TRUE(window.windowTitle().startsWith(QStringLiteral("sample.db + second.db")));
  EXPECT_TRUE(window.how_to_show_again().contains(QStringLiteral("second.db")));
  EXPECT_EQ(std::filesystem::last_write_time(scratch.sample()), before);
  auto untouched = results_db::Store::open(scratch.sample(), results_db::Open::read_only);
  EXPECT_EQ(untouched.runs().size(), 8U);
}

TEST_F(Window, ThePrivateCopyOfSeveralFilesIsRemoved) {
  const auto copies = [] {
    std::set<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::temp_directory_path()))
      if (entry.path().filename().string().starts_with("assay-merged-")) found.insert(entry.path().string());
    return found;
  };
  const std::string second_file = scratch.file("second.db");
  std::filesystem::copy_file(scratch.sample(), second_file);
  const auto before = copies();
  {
    Database database({scratch.sample(), second_file});
    EXPECT_GT(copies().size(), before.size());
    EXPECT_EQ(database.runs().size(), 8U);
  }
  EXPECT_EQ(copies(), before);
}

TEST_F(Window, WhatIsWrittenToOneOfSeveralFilesAppears) {
  const std::string second_file = scratch.file("second.db");
  std::filesystem::copy_file(scratch.sample(), second_file);
  ASSERT_TRUE(window.open({QString::fromStdString(scratch.sample()), QString::fromStdString(second_file)}));
  run_after(second_file, "00000000-0000-8000-8000-0000000000ab", "interrupted", 7200);
  window.session().look();
  EXPECT_EQ(window.session().run()->run.id, "00000000-0000-8000-8000-0000000000ab");
  EXPECT_EQ(window.banner(), QString());
}

TEST_F(Window, OneBadFileOfSeveralIsNamed) {
  EXPECT_FALSE(window.open({QString::fromStdString(scratch.sample()), QString::fromStdString(scratch.file("no.db"))}));
  EXPECT_TRUE(window.banner().contains(QStringLiteral("no.db")));
  EXPECT_EQ(window.session().database(), nullptr);
}

TEST_F(Window, DroppedFilesOpenTogether) {
  const std::string second_file = scratch.file("second.db");
  std::filesystem::copy_file(scratch.sample(), second_file);
  run_after(second_file, "00000000-0000-8000-8000-0000000000ac", "interrupted", 3600);
  QMimeData files;
  files.setUrls({QUrl::fromLocalFile(QString::fromStdString(scratch.sample())),
                 QUrl::fromLocalFile(QString::fromStdString(second_file))});
  QDragEnterEvent enter({5, 5}, Qt::CopyAction, &files, Qt::LeftButton, Qt::NoModifier);
  QApplication::sendEvent(&window, &enter);
  EXPECT_TRUE(enter.isAccepted());
  QDropEvent drop({5, 5}, Qt::CopyAction, &files, Qt::LeftButton, Qt::NoModifier);
  QApplication::sendEvent(&window, &drop);
  EXPECT_EQ(window.session().database()->runs().size(), 9U);
}

// -- a run that goes on

TEST_F(Window, ARunThatGoesOnShowsHowFarItIs) {
  const std::string path = scratch.sample();
  const auto run = run_after(path, "00000000-0000-8000-8000-0000000000ad", "running", 86400);
  add_launch(path, run, "sample/tiled-attention cpu tokens=4096", 0, 0.0625);
  open_sample();
  window.live_bar()->refresh(run.started_ns + 20 * second);
  EXPECT_FALSE(window.live_bar()->isHidden());
  // Two cases of four launches each, one launch is there after ten of twenty seconds.
  EXPECT_EQ(window.live_bar()->percent(), 12);
  EXPECT_TRUE(window.live_bar()->text().contains(QStringLiteral("launch 1 of about 8")));
  EXPECT_TRUE(window.live_bar()->text().contains(QStringLiteral("about 60 s to go")))
      << window.live_bar()->text().toStdString();
  EXPECT_TRUE(window.live_bar()->text().contains(QStringLiteral("last: tiled-attention: 62.5 ms")));
  window.live_bar()->refresh(run.started_ns + 3600 * second);
  EXPECT_TRUE(window.live_bar()->text().contains(QStringLiteral("was it stopped?")));
}

TEST_F(Window, ARunThatHasEndedHasNoProgress) {
  open_sample();
  EXPECT_TRUE(window.live_bar()->isHidden());
  EXPECT_FALSE(live_run_of(*window.session().run(), 0).has_value());
}

TEST_F(Window, NothingMovesWhileThePageIsHeld) {
  const std::string path = scratch.sample();
  const auto run = run_after(path, "00000000-0000-8000-8000-0000000000ae", "running", 86400);
  add_launch(path, run, "sample/tiled-attention cpu tokens=4096", 0, 0.0625);
  open_sample();
  QTest::keyClick(&window, Qt::Key_H);
  add_launch(path, run, "sample/tiled-attention cpu tokens=4096", 1, 0.0626);
  window.session().look();
  EXPECT_EQ(window.session().run()->cases.front().launches.size(), 1U);
  EXPECT_EQ(window.live_bar()->hold_button()->text(), QStringLiteral("Show what is new"));
  QTest::keyClick(&window, Qt::Key_H);
  EXPECT_EQ(window.session().run()->cases.front().launches.size(), 2U);
  EXPECT_EQ(window.live_bar()->hold_button()->text(), QStringLiteral("Hold"));
}

// -- chips

TEST_F(Window, EveryWordOfTheFilterIsAChipThatAClickTakesAway) {
  open_sample();
  EXPECT_TRUE(window.chips()->isHidden());
  QTest::keyClicks(window.filter_box(), QStringLiteral("tiled tokens=4k"));
  EXPECT_EQ(window.chips()->words(), (QStringList{QStringLiteral("tiled"), QStringLiteral("tokens=4k")}));
  QTest::mouseClick(window.chips()->chips().front(), Qt::LeftButton);
  EXPECT_EQ(window.session().filter().text, "tokens=4k");
  EXPECT_EQ(window.filter_box()->text(), QStringLiteral("tokens=4k"));
  EXPECT_EQ(window.chips()->words(), QStringList{QStringLiteral("tokens=4k")});
}

TEST_F(Window, TheMenuOfTheFilterOffersWhatTheCasesDifferIn) {
  open_sample();
  Q_EMIT window.chips()->menu()->aboutToShow();
  QMenu* tokens = nullptr;
  for (QAction* action : window.chips()->menu()->actions()) {
    EXPECT_NE(action->text(), QStringLiteral("backend"));  // all of them have one
    if (action->text() == QStringLiteral("tokens")) tokens = action->menu();
  }
  ASSERT_NE(tokens, nullptr);
  ASSERT_EQ(tokens->actions().size(), 2);
  EXPECT_EQ(tokens->actions()[0]->text(), QStringLiteral("1k"));
  tokens->actions()[1]->trigger();
  EXPECT_EQ(window.session().filter().text, "tokens=4k");
  tokens->actions()[0]->trigger();
  EXPECT_EQ(window.session().filter().text, "tokens=1k");
}

// -- the case drawer

TEST_F(Window, AClickOnAPointOpensTheCaseWithItsLaunchesAsStored) {
  open_sample();
  window.show_view(QStringLiteral("explore"));
  window.session().set_filter(QStringLiteral("tokens=4k"));
  QCoreApplication::processEvents();
  PlotView* plot = view_of<ExploreView>(window, "explore").plots().front();
  const PlotPoint point = plot->spec().series.front().points.front();
  QTest::mouseClick(plot->viewport(), Qt::LeftButton, {}, plot->position(point.x, point.y).toPoint());
  ASSERT_FALSE(window.drawer()->isHidden());
  ASSERT_EQ(window.drawer()->strip().sides().size(), 1U);
  auto store = results_db::Store::open(scratch.sample(), results_db::Open::read_only);
  const auto launches = store.launches(store.find_run("latest").id, point.id);
  const auto& drawn = window.drawer()->strip().sides().front().launches;
  ASSERT_EQ(drawn.size(), launches.size());
  for (std::size_t i = 0; i < drawn.size(); ++i) EXPECT_EQ(drawn[i].median, launches[i].distribution->median);
}

TEST_F(Window, ADoubleClickStillOpensTrendsWhenTheDrawerMovedThePlot) {
  open_sample();
  window.show_view(QStringLiteral("explore"));
  window.session().set_filter(QStringLiteral("tokens=4k"));
  QCoreApplication::processEvents();
  PlotView* plot = view_of<ExploreView>(window, "explore").plots().front();
  const PlotPoint point = plot->spec().series.front().points.front();
  const QPoint at = plot->position(point.x, point.y).toPoint();
  QTest::mouseClick(plot->viewport(), Qt::LeftButton, {}, at);
  QCoreApplication::processEvents();
  QTest::mouseDClick(plot->viewport(), Qt::LeftButton, {}, at);
  EXPECT_EQ(window.current()->id(), QStringLiteral("trends"));
  EXPECT_EQ(window.session().selected_case(), point.id);
}

TEST_F(Window, TheDrawerGivesTheCommandThatRunsTheCaseAgain) {
  open_sample();
  auto store = results_db::Store::open(scratch.sample(), results_db::Open::read_only);
  const auto row = store.find_case("sample/tiled-attention cpu tokens=4096");
  window.session().select_case(row->id);
  QTest::keyClick(&window, Qt::Key_I);
  ASSERT_FALSE(window.drawer()->isHidden());
  QTest::mouseClick(window.drawer()->copy_command_button(), Qt::LeftButton);
  const QString command = QApplication::clipboard()->text();
  EXPECT_TRUE(command.startsWith(QStringLiteral("assay rerun 'sample/tiled-attention cpu tokens=4096' --run ")));
  // What the command names is found by the store that `assay rerun` asks.
  EXPECT_EQ(
      store.find_run(command.section(QStringLiteral("--run "), 1).section(QLatin1Char(' '), 0, 0).toStdString()).id,
      store.find_run("latest").id);
  QTest::mouseClick(window.drawer()->copy_all_button(), Qt::LeftButton);
  const QString all = QApplication::clipboard()->text();
  EXPECT_TRUE(all.contains(QStringLiteral("code hash: sample")));
  EXPECT_TRUE(all.contains(QStringLiteral("4 of 4 mutants rejected")));
  EXPECT_TRUE(all.contains(text_of(store.find_run("latest").suite_toml)));
}

TEST_F(Window, TheDrawerSaysWhyACaseFailed) {
  open_sample();
  auto store = results_db::Store::open(scratch.sample(), results_db::Open::read_only);
  window.drawer()->show();
  window.session().select_case(store.find_case("sample/broken-attention cpu tokens=1024")->id);
  EXPECT_TRUE(window.drawer()->strip().isHidden());
  bool oracle = false;
  for (const GridRow& row : window.drawer()->facts().rows)
    oracle |= row.cells[0].text == QStringLiteral("oracle") && row.cells[1].text.contains(QStringLiteral("failed"));
  EXPECT_TRUE(oracle);
}

TEST_F(Window, TheCommandToShowTheSameNamesTheCaseAndTheDrawer) {
  open_sample();
  auto store = results_db::Store::open(scratch.sample(), results_db::Open::read_only);
  window.session().select_case(store.find_case("sample/tiled-attention cpu tokens=4096")->id);
  window.drawer()->show();
  EXPECT_TRUE(
      window.how_to_show_again().contains(QStringLiteral("--case 'sample/tiled-attention cpu tokens=4096' --details")));
}

TEST_F(Window, EveryViewIsExportedAsPictureDrawingAndTable) {
  open_sample();
  for (const QString& id : window.view_ids()) {
    window.show_view(id);
    QCoreApplication::processEvents();
    if (window.current()->is_empty()) continue;  // the sample probes no roofs
    for (const char* ending : {"png", "svg", "csv"}) {
      const QString path = QString::fromStdString(scratch.file("out.") + ending);
      ASSERT_TRUE(window.export_to(path)) << id.toStdString() << " " << ending;
    }
    QFile csv(QString::fromStdString(scratch.file("out.csv")));
    ASSERT_TRUE(csv.open(QIODevice::ReadOnly));
    const Grid table = window.current()->table();
    EXPECT_EQ(csv.readAll().count('\n'), static_cast<qsizetype>(table.rows.size()) + 1) << id.toStdString();
    EXPECT_EQ(QImage(QString::fromStdString(scratch.file("out.png"))).size(), window.current()->size());
    QFile svg(QString::fromStdString(scratch.file("out.svg")));
    ASSERT_TRUE(svg.open(QIODevice::ReadOnly));
    EXPECT_TRUE(svg.readAll().contains("<text")) << id.toStdString();
  }
}

// -- keyboard

TEST_F(Window, TabReachesEveryControlOfEveryViewAndComesBack) {
  open_sample();
  for (const QString& id : window.view_ids()) {
    window.show_view(id);
    QCoreApplication::processEvents();
    std::set<const QWidget*> wanted, reached;
    for (const QWidget* widget : window.findChildren<QWidget*>())
      if (widget->isVisible() && widget->isEnabled() && (widget->focusPolicy() & Qt::TabFocus) != 0 &&
          widget->focusProxy() == nullptr)
        wanted.insert(widget);
    window.filter_box()->setFocus();
    for (int step = 0; step < 200; ++step) {
      if (const QWidget* now = window.focusWidget()) reached.insert(now);
      QTest::keyClick(window.focusWidget(), Qt::Key_Tab);
      if (window.focusWidget() == window.filter_box()) break;
    }
    EXPECT_EQ(window.focusWidget(), window.filter_box()) << id.toStdString();
    for (const QWidget* widget : wanted)
      EXPECT_TRUE(reached.contains(widget)) << id.toStdString() << ": " << widget->metaObject()->className() << " "
                                            << widget->accessibleName().toStdString();
  }
}

TEST_F(Window, WhateverTakesTheFocusHasAName) {
  open_sample();
  window.drawer()->show();
  for (const QString& id : window.view_ids()) {
    window.show_view(id);
    QCoreApplication::processEvents();
    for (const QWidget* widget : window.findChildren<QWidget*>()) {
      if (!widget->isVisible() || (widget->focusPolicy() & Qt::TabFocus) == 0 || widget->focusProxy() != nullptr)
        continue;
      const auto* button = qobject_cast<const QAbstractButton*>(widget);
      const bool inner = widget->objectName().startsWith(QStringLiteral("qt_"));  // parts of Qt's own widgets
      EXPECT_TRUE(inner || !widget->accessibleName().isEmpty() || (button != nullptr && !button->text().isEmpty()))
          << id.toStdString() << ": " << widget->metaObject()->className() << " in "
          << widget->parentWidget()->metaObject()->className();
    }
  }
}

TEST_F(Window, ArrowsAndSignsMoveAndZoomAPlot) {
  open_sample();
  window.show_view(QStringLiteral("explore"));
  window.session().set_filter(QStringLiteral("tokens=4k"));
  QCoreApplication::processEvents();
  PlotView* plot = view_of<ExploreView>(window, "explore").plots().front();
  plot->setFocus();
  const auto whole = plot->x_range();
  QTest::keyClick(plot, Qt::Key_Plus);
  EXPECT_LT(plot->x_range().second - plot->x_range().first, whole.second - whole.first);
  const auto zoomed = plot->x_range();
  QTest::keyClick(plot, Qt::Key_Right);
  EXPECT_GT(plot->x_range().first, zoomed.first);
  QTest::keyClick(plot, Qt::Key_0);
  EXPECT_EQ(plot->x_range(), whole);
}

// -- what is remembered

class Remembered : public testing::Test {
 protected:
  Remembered() {
    QSettings::setDefaultFormat(QSettings::IniFormat);
    QSettings::setPath(QSettings::NativeFormat, QSettings::UserScope, QString::fromStdString(scratch.file("settings")));
  }
  Scratch scratch;
};

TEST_F(Remembered, ViewFilterSplittersDrawerAndFilesComeBack) {
  const QString path = QString::fromStdString(scratch.sample());
  QList<int> sizes;
  QSize size;
  {
    MainWindow window(Remember::layout);
    window.resize(1111, 777);
    window.show();
    window.open(path);
    window.show_view(QStringLiteral("explore"));
    window.session().set_filter(QStringLiteral("tokens=4k"));
    auto* splitter = window.view(QStringLiteral("explore"))->findChild<QSplitter*>();
    QCoreApplication::processEvents();
    splitter->setSizes({200, 400});
    sizes = splitter->sizes();
    window.drawer()->show();
    QCoreApplication::processEvents();
    size = window.size();
    window.close();
  }
  MainWindow again(Remember::layout);
  again.show();
  again.open(path);
  QCoreApplication::processEvents();
  EXPECT_EQ(again.size(), size);
  EXPECT_EQ(again.current()->id(), QStringLiteral("explore"));
  EXPECT_EQ(again.session().filter().text, "tokens=4k");
  EXPECT_EQ(again.filter_box()->text(), QStringLiteral("tokens=4k"));
  EXPECT_FALSE(again.drawer()->isHidden());
  const auto now = again.view(QStringLiteral("explore"))->findChild<QSplitter*>()->sizes();
  EXPECT_NEAR(now[0], sizes[0], 40);  // chips and drawer take room of their own
  bool offered = false;
  for (const Command& command : again.commands()) offered |= command.name == QStringLiteral("Open ") + path;
  EXPECT_TRUE(offered);
}

}  // namespace
}  // namespace assay::gui
