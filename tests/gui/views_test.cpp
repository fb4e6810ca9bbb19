#include <gtest/gtest.h>

#include <QClipboard>
#include <QFile>
#include <QImage>
#include <array>
#include <cmath>
#include <fstream>

#include "gui/theme.h"
#include "gui/views/claims_view.h"
#include "gui/views/compare_view.h"
#include "gui/views/explore_view.h"
#include "gui/views/overview_view.h"
#include "gui/views/roofline_view.h"
#include "gui/views/runs_view.h"
#include "gui/views/timeline_view.h"
#include "gui/views/trends_view.h"
#include "harness/stats/median.h"
#include "tests/gui/window_for_tests.h"

namespace assay::gui {
namespace {

class Views : public testing::Test {
 protected:
  Views() {
    window.resize(1280, 800);
    window.show();
    QApplication::setActiveWindow(&window);
    window.setFocus();
    window.open(QString::fromStdString(scratch.sample()));
  }
  results_db::Store store() { return results_db::Store::open(scratch.sample(), results_db::Open::read_only); }
  // Median over the launches of a case in the newest run, straight from the store.
  double stored_time(const std::string& key) {
    auto opened = store();
    std::vector<double> medians;
    for (const auto& launch : opened.launches(opened.find_run("latest").id, opened.find_case(key)->id))
      for (const auto& metric : launch.metrics)
        if (metric.name == "time") medians.push_back(metric.value);
    return harness::stats::median(medians);
  }
  Scratch scratch;
  MainWindow window{Remember::nothing};
};

TEST_F(Views, OverviewCountsTheVerdictsOfTheSharedLibrary) {
  auto& overview = view_of<OverviewView>(window, "overview");
  auto opened = store();
  const auto comparison =
      harness::compare(opened, harness::parse_selector("latest~1"), harness::parse_selector("latest"), {});
  using harness::stats::Verdict;
  EXPECT_TRUE(overview.sentence().contains(QStringLiteral("%1 unsure").arg(comparison.count(Verdict::unsure))));
  EXPECT_TRUE(overview.sentence().contains(QStringLiteral("%1 same").arg(comparison.count(Verdict::same))));
  EXPECT_TRUE(overview.sentence().contains(QStringLiteral("1 failed")));
  EXPECT_EQ(overview.table().rows.size(), comparison.cases.size());
}

TEST_F(Views, OverviewOfTheFirstRunShowsWhatWasMeasured) {
  window.session().choose_run(store().runs().back().id);
  auto& overview = view_of<OverviewView>(window, "overview");
  const Grid table = overview.table();
  std::size_t timed = 0;
  for (const CaseResult& result : window.session().run()->cases) timed += result.main_value() != nullptr ? 1 : 0;
  EXPECT_EQ(table.rows.size(), timed);
  EXPECT_GT(timed, 3U);
  const CaseResult& first = window.session().run()->cases.front();
  EXPECT_EQ(table.rows[0].id, first.info.id);
  EXPECT_EQ(table.rows[0].cells[3].text, text_of(value_text(*first.main_value())));
}

TEST_F(Views, OverviewShowsAFailedCaseWithItsReason) {
  const Grid& health = view_of<OverviewView>(window, "overview").health().grid();
  ASSERT_FALSE(health.rows.empty());
  EXPECT_TRUE(health.rows[0].cells[0].text.contains(QStringLiteral("broken-attention")));
  EXPECT_TRUE(health.rows[0].cells[1].text.contains(QStringLiteral("37.5 times the tolerance")));
}

TEST_F(Views, ExploreShowsTheMediansOfTheStore) {
  window.show_view(QStringLiteral("explore"));
  QTest::keyClicks(window.filter_box(), QStringLiteral("tokens=4k"));
  const Grid table = window.current()->table();
  ASSERT_EQ(table.rows.size(), 2U);
  const double tiled = stored_time("sample/tiled-attention cpu tokens=4096");
  const double naive = stored_time("sample/naive-attention cpu tokens=4096");
  EXPECT_EQ(cell_of(table, QStringLiteral("● tiled-attention"), QStringLiteral("time")),
            text_of(value_text(tiled, "s", "time")));
  EXPECT_EQ(cell_of(table, QStringLiteral("● naive-attention"), QStringLiteral("times the best")),
            QString::number(naive / tiled, 'f', 2) + QLatin1Char('x'));
}

TEST_F(Views, ExploreDrawsWhatItsTableSays) {
  window.show_view(QStringLiteral("explore"));
  window.session().set_filter(QStringLiteral("tiled tokens=4k"));
  auto& explore = view_of<ExploreView>(window, "explore");
  ASSERT_EQ(explore.panels(), 1);
  const PlotSpec& spec = explore.plots().front()->spec();
  ASSERT_FALSE(spec.series.empty());
  for (const PlotSeries& series : spec.series) {
    EXPECT_EQ(series.color, technique_color("sample/tiled-attention"));
    for (const PlotPoint& point : series.points)
      EXPECT_TRUE(explore.plots().front()->tip_of(point).contains(QStringLiteral("measured, 4 launches")));
  }
}

TEST_F(Views, ExploreTellsNothingMatchedFromNothingMeasured) {
  window.show_view(QStringLiteral("explore"));
  window.session().set_filter(QStringLiteral("no-such-technique"));
  EXPECT_TRUE(window.current()->is_empty());
  EXPECT_TRUE(window.current()->empty_text().contains(QStringLiteral("matches the filter")));
  window.session().set_filter(QStringLiteral("broken"));
  EXPECT_TRUE(window.current()->empty_text().contains(QStringLiteral("failed or were skipped")));
}

TEST_F(Views, AClickOnAPointSelectsItsCaseEverywhere) {
  window.show_view(QStringLiteral("explore"));
  window.session().set_filter(QStringLiteral("tokens=4k"));
  PlotView* plot = view_of<ExploreView>(window, "explore").plots().front();
  QCoreApplication::processEvents();
  const PlotPoint& point = plot->spec().series.front().points.front();
  QTest::mouseClick(plot->viewport(), Qt::LeftButton, {}, plot->position(point.x, point.y).toPoint());
  EXPECT_EQ(window.session().selected_case(), point.id);
}

TEST_F(Views, TheWheelZoomsAtTheCursorAndADoubleClickShowsAllAgain) {
  window.show_view(QStringLiteral("explore"));
  window.session().set_filter(QStringLiteral("tokens=4k"));
  QCoreApplication::processEvents();
  PlotView* plot = view_of<ExploreView>(window, "explore").plots().front();
  const auto whole = plot->x_range();
  const QPointF middle = plot->chart()->plotArea().center();
  QWheelEvent wheel(middle, plot->mapToGlobal(middle), {}, {0, 240}, Qt::NoButton, Qt::NoModifier, Qt::NoScrollPhase,
                    false);
  QApplication::sendEvent(plot->viewport(), &wheel);
  EXPECT_LT(plot->x_range().second - plot->x_range().first, whole.second - whole.first);
  plot->reset_zoom();
  EXPECT_EQ(plot->x_range(), whole);
}

// What a keystroke leaves as it is costs nothing, and what it hides comes back as it was.
TEST_F(Views, AKeystrokeThatHidesNothingMoreWritesNoTableAnew) {
  const std::pair<const char*, const char*> tables[] = {
      {"overview", "changes"}, {"compare", "compared cases"}, {"explore", "ranking"}, {"trends", "cases"}};
  for (const auto& [view, name] : tables) {
    window.session().set_filter({});
    window.show_view(QString::fromLatin1(view));
    const GridView* table = nullptr;
    for (const auto* candidate : window.current()->findChildren<GridView*>())
      if (candidate->accessibleName() == QString::fromLatin1(name)) table = candidate;
    ASSERT_NE(table, nullptr) << view;
    const QString all = as_tsv(table->grid());
    const GridRow* rows = table->grid().rows.data();
    window.session().set_filter(QStringLiteral("sample"));
    EXPECT_EQ(table->grid().rows.data(), rows) << view;
    window.session().set_filter(QStringLiteral("sample tiled"));
    EXPECT_NE(table->grid().rows.data(), rows) << view;
    EXPECT_LT(as_tsv(table->grid()).size(), all.size()) << view;
    window.session().set_filter(QStringLiteral("no-such-case"));
    window.session().set_filter({});
    EXPECT_EQ(as_tsv(table->grid()), all) << view;
  }
}

TEST_F(Views, AnotherThemeColorsWhatStandsThere) {
  auto& application = *qobject_cast<QApplication*>(QApplication::instance());
  for (const char* view : {"overview", "compare", "explore"}) {
    window.show_view(QString::fromLatin1(view));
    const auto first_color = [&] {
      window.current()->refresh();
      const Grid table = window.current()->table();
      for (const GridCell& cell : table.rows.front().cells)
        if (cell.color.isValid()) return cell.color;
      return QColor();
    };
    apply_theme(application, false);
    const QColor light = first_color();
    apply_theme(application, true);
    EXPECT_NE(first_color(), light) << view;
    apply_theme(application, false);
    EXPECT_EQ(first_color(), light) << view;
  }
}

TEST_F(Views, BracketsStepThroughRuns) {
  window.show_view(QStringLiteral("overview"));
  const std::string newest = window.session().run()->run.id;
  QTest::keyClick(&window, Qt::Key_BracketLeft);
  EXPECT_NE(window.session().run()->run.id, newest);
  QTest::keyClick(&window, Qt::Key_BracketRight);
  EXPECT_EQ(window.session().run()->run.id, newest);
}

TEST_F(Views, KeysMoveAndOpenRows) {
  window.show_view(QStringLiteral("explore"));
  window.session().set_filter(QStringLiteral("tokens=4k"));
  QTest::keyClick(&window, Qt::Key_J);
  ASSERT_TRUE(window.session().selected_case().has_value());
  QTest::keyClick(&window, Qt::Key_Return);
  EXPECT_EQ(window.current()->id(), QStringLiteral("trends"));
}

TEST_F(Views, FromOpeningToTheAnswerInThreeActions) {
  QTest::keyClick(&window, Qt::Key_3);
  QTest::keyClick(&window, Qt::Key_Slash);
  QTest::keyClicks(window.filter_box(), QStringLiteral("attention 4k"));
  EXPECT_TRUE(window.current()->table().rows.front().cells[0].text.contains(QStringLiteral("tiled-attention")));
  QTest::keyClick(window.filter_box(), Qt::Key_Return);
  QTest::keyClick(window.focusWidget(), Qt::Key_Return);
  ASSERT_EQ(window.current()->id(), QStringLiteral("trends"));
  EXPECT_TRUE(view_of<TrendsView>(window, "trends").answer().contains(QStringLiteral("a week before")));
}

TEST_F(Views, TrendsHasOnePointARunAndAnswersAgainstLastWeek) {
  window.session().set_filter(QStringLiteral("technique=tiled-attention tokens=4k"));
  window.show_view(QStringLiteral("trends"));
  auto& trends = view_of<TrendsView>(window, "trends");
  ASSERT_EQ(trends.trend().points.size(), 8U);
  EXPECT_DOUBLE_EQ(trends.trend().points.back().median, stored_time("sample/tiled-attention cpu tokens=4096"));
  EXPECT_EQ(trends.plot().spec().series.front().points.size(), 8U);
  EXPECT_TRUE(trends.answer().contains(QStringLiteral("the run before")));
  EXPECT_TRUE(trends.answer().contains(QStringLiteral("a week before")));
}

TEST_F(Views, CompareShowsTheDecisionsOfTheSharedLibrary) {
  auto& compare = view_of<CompareView>(window, "compare");
  compare.set_arguments({{QStringLiteral("base"), QStringLiteral("technique=naive-attention")},
                         {QStringLiteral("against"), QStringLiteral("technique=tiled-attention")}});
  window.show_view(QStringLiteral("compare"));
  auto opened = store();
  const auto expected = harness::compare(opened, harness::parse_selector("technique=naive-attention"),
                                         harness::parse_selector("technique=tiled-attention"), {});
  const Grid table = compare.table();
  ASSERT_EQ(table.rows.size(), expected.cases.size());
  for (const auto& held : expected.cases) {
    EXPECT_EQ(cell_of(table, text_of(held.name), QStringLiteral("verdict")),
              QString::fromLatin1(to_string(held.decision.verdict)));
    EXPECT_EQ(cell_of(table, text_of(held.name), QStringLiteral("ratio")),
              QString::number(held.decision.ratio, 'f', 3));
  }
  ASSERT_EQ(compare.strip().sides().size(), 2U);
  EXPECT_EQ(compare.strip().sides()[0].launches.size(), 4U);
}

TEST_F(Views, CompareTakesSeveralContenders) {
  auto& compare = view_of<CompareView>(window, "compare");
  compare.set_arguments({{QStringLiteral("base"), QStringLiteral("latest~7")},
                         {QStringLiteral("against"), QStringLiteral("latest; latest~1; latest~2")}});
  window.show_view(QStringLiteral("compare"));
  EXPECT_EQ(compare.comparisons().size(), 3U);
  EXPECT_EQ(compare.table().columns[1].title, QStringLiteral("against"));
}

TEST_F(Views, CompareSaysWhatIsWrongWithASelectorAndStaysUsable) {
  auto& compare = view_of<CompareView>(window, "compare");
  compare.set_arguments(
      {{QStringLiteral("base"), QStringLiteral("no-such-run")}, {QStringLiteral("against"), QStringLiteral("latest")}});
  window.show_view(QStringLiteral("compare"));
  EXPECT_TRUE(compare.comparisons().empty());
  EXPECT_EQ(window.banner(), QString());
}

TEST_F(Views, ClaimsShowsPaperAndOursAsStored) {
  window.show_view(QStringLiteral("claims"));
  auto& claims = view_of<ClaimsView>(window, "claims");
  const Grid table = claims.table();
  ASSERT_EQ(table.rows.size(), 3U);
  EXPECT_EQ(cell_of(table, QStringLiteral("speed"), QStringLiteral("paper")), QStringLiteral("3.2x"));
  EXPECT_EQ(cell_of(table, QStringLiteral("speed"), QStringLiteral("ours")), QStringLiteral("● 3.36x"));
  EXPECT_EQ(cell_of(table, QStringLiteral("speed"), QStringLiteral("verdict")), QStringLiteral("reproduced"));
  EXPECT_EQ(cell_of(table, QStringLiteral("energy"), QStringLiteral("ours")), QString());
  EXPECT_TRUE(claims.detail().contains(QStringLiteral("made up for the sample database")));
  window.session().set_filter(QStringLiteral("partial"));
  ASSERT_EQ(claims.table().rows.size(), 1U);
  EXPECT_TRUE(claims.detail().contains(QStringLiteral("62% of the gain")));
}

TEST_F(Views, ATableGivesUpSpareColumnsBeforeItCutsTextsShort) {
  GridView view(QStringLiteral("made"));
  Grid grid;
  grid.columns = {{QStringLiteral("name"), false, true},
                  {QStringLiteral("least"), false, false, 2},
                  {QStringLiteral("more"), false, false, 1},
                  {QStringLiteral("value"), true}};
  const QString words = QStringLiteral("a name of some thirty letters");
  GridRow row;
  row.cells = {words, QStringLiteral("of little use here"), QStringLiteral("of some use here"),
               QStringLiteral("12.3 ms")};
  grid.rows = {row};
  view.show_grid(grid);
  const auto shown = [&](int width) {
    view.resize(width, 200);
    view.show();
    QCoreApplication::processEvents();
    std::vector<bool> columns;
    for (int column = 0; column < 4; ++column) columns.push_back(!view.isColumnHidden(column));
    return columns;
  };
  const int text = QFontMetrics(view.font()).horizontalAdvance(words);
  EXPECT_EQ(shown(1000), (std::vector<bool>{true, true, true, true}));
  EXPECT_EQ(shown(520), (std::vector<bool>{true, false, true, true}));
  EXPECT_EQ(shown(380), (std::vector<bool>{true, false, false, true}));
  EXPECT_GE(view.columnWidth(0), std::min(text, 220));
  EXPECT_EQ(shown(1000), (std::vector<bool>{true, true, true, true}));
  EXPECT_EQ(as_csv(view.grid()).count(QLatin1Char(',')), 6);  // handed out whole
}

TEST_F(Views, ARoomyTableSpreadsItsColumnsEvenly) {
  GridView view(QStringLiteral("made"));
  Grid grid;
  grid.columns = {{QStringLiteral("name")}, {QStringLiteral("case"), false, true}, {QStringLiteral("value"), true}};
  GridRow row;
  row.cells = {QStringLiteral("naive"), QStringLiteral("seq 1k, bf16"), QStringLiteral("12.3 ms")};
  grid.rows = {row};
  view.show_grid(grid);
  const auto widths = [&](int width) {
    view.resize(width, 200);
    view.show();
    QCoreApplication::processEvents();
    return std::array{view.columnWidth(0), view.columnWidth(1), view.columnWidth(2)};
  };
  const auto narrow = widths(900), wide = widths(1500);
  for (const std::size_t column : {0U, 1U, 2U}) EXPECT_NEAR(wide[column] - narrow[column], 200, 1);
}

TEST_F(Views, ClaimsDrawsPaperAndOursApart) {
  window.show_view(QStringLiteral("claims"));
  const PlotSpec& spec = view_of<ClaimsView>(window, "claims").plot().spec();
  ASSERT_EQ(spec.series.size(), 2U);
  EXPECT_EQ(spec.series[0].provenance, results_db::Provenance::claimed);
  EXPECT_EQ(spec.series[0].points[0].x, 10);
  EXPECT_EQ(spec.series[1].provenance, results_db::Provenance::measured);
  EXPECT_EQ(spec.series[1].points[0].x, 6.6);
}

TEST_F(Views, TimelineShowsTheIntervalsOfTheStore) {
  window.show_view(QStringLiteral("timeline"));
  auto& timeline = view_of<TimelineView>(window, "timeline");
  EXPECT_EQ(timeline.canvas().data().lanes.size(), 8U);
  EXPECT_EQ(timeline.canvas().data().bars, 28U);
  EXPECT_TRUE(timeline.summary().contains(QStringLiteral("3.20 ms")));
  EXPECT_TRUE(timeline.summary().contains(QStringLiteral("projected")));
  const Grid table = timeline.table();
  EXPECT_EQ(cell_of(table, QStringLiteral("rank 0 / compute"), QStringLiteral("busy")), QStringLiteral("3.20 ms"));
  EXPECT_EQ(cell_of(table, QStringLiteral("rank 0 / link"), QStringLiteral("busy")), QStringLiteral("1.50 ms"));
  EXPECT_EQ(cell_of(table, QStringLiteral("rank 0 / link"), QStringLiteral("not hidden by compute")),
            QStringLiteral("0 s"));
}

TEST_F(Views, TimelineMeasuresBetweenTwoPointsWithShift) {
  window.show_view(QStringLiteral("timeline"));
  QCoreApplication::processEvents();
  auto& timeline = view_of<TimelineView>(window, "timeline");
  TimelineCanvas& canvas = timeline.canvas();
  canvas.set_range(0, 3.2e9);
  const auto x_of = [&](double share) {
    return QPoint(
        TimelineCanvas::label_width() + static_cast<int>(share * (canvas.width() - TimelineCanvas::label_width())), 8);
  };
  QTest::mousePress(&canvas, Qt::LeftButton, Qt::ShiftModifier, x_of(0.25));
  QMouseEvent move(QEvent::MouseMove, x_of(0.5), canvas.mapToGlobal(x_of(0.5)), Qt::LeftButton, Qt::LeftButton,
                   Qt::ShiftModifier);
  QApplication::sendEvent(&canvas, &move);
  QTest::mouseRelease(&canvas, Qt::LeftButton, Qt::ShiftModifier, x_of(0.5));
  ASSERT_TRUE(canvas.measured().has_value());
  EXPECT_NEAR(canvas.measured()->second - canvas.measured()->first, 0.8e9, 0.01e9);
  EXPECT_TRUE(timeline.summary().startsWith(QStringLiteral("measured stretch")));
}

TEST_F(Views, TimelineZoomsAtTheCursorAndFoldsARank) {
  window.show_view(QStringLiteral("timeline"));
  QCoreApplication::processEvents();
  TimelineCanvas& canvas = view_of<TimelineView>(window, "timeline").canvas();
  const auto before = canvas.range();
  const double x = TimelineCanvas::label_width() + 0.5 * (canvas.width() - TimelineCanvas::label_width());
  const double held = (before.first + before.second) / 2;
  QWheelEvent wheel({x, 10}, canvas.mapToGlobal(QPointF(x, 10)), {}, {0, 480}, Qt::NoButton, Qt::NoModifier,
                    Qt::NoScrollPhase, false);
  QApplication::sendEvent(&canvas, &wheel);
  EXPECT_LT(canvas.range().second - canvas.range().first, 0.6 * (before.second - before.first));
  EXPECT_NEAR((canvas.range().first + canvas.range().second) / 2, held, 0.01 * (before.second - before.first));
  QTest::keyClick(&canvas, Qt::Key_0);
  EXPECT_NEAR(canvas.range().second, before.second, 1);
  EXPECT_EQ(canvas.rows(), 8U);
  QTest::mouseClick(&canvas, Qt::LeftButton, {}, {20, 8});
  EXPECT_EQ(canvas.rows(), 7U);
}

// A run with two roofs, a case under them and one that declares no work.
std::string with_roofs(const Scratch& scratch) {
  const std::string path = scratch.file("roofs.db");
  auto store = results_db::Store::open(path, results_db::Open::create);
  auto sample = results_db::Store::open(scratch.sample(), results_db::Open::read_only);
  auto run = sample.find_run("latest");
  store.begin_run(run);
  const auto add = [&](const std::string& technique, const std::string& parameters,
                       std::vector<results_db::Metric> metrics) {
    results_db::CaseRecord record;
    record.technique = technique;
    record.backend = "cpu";
    record.parameters_json = parameters;
    record.key = technique + " cpu " + parameters;
    results_db::LaunchRecord launch;
    launch.run = run.id;
    launch.case_id = store.put_case(record);
    launch.metrics = std::move(metrics);
    store.append_launch(launch);
  };
  using enum results_db::Provenance;
  add("hardware/cpu-roofs", R"({"probe":"fp32-fma","threads":1})", {{"flops_rate", 100e9, "FLOP/s", measured, {}, {}}});
  add("hardware/cpu-roofs", R"({"probe":"memory-read","threads":1,"working_set":16777216})",
      {{"bandwidth", 50e9, "B/s", measured, {}, {}}});
  add("made/up", R"({"n":1})",
      {{"time", 1, "s", measured, {}, {}},
       {"flops_rate", 25e9, "FLOP/s", measured, {}, {}},
       {"intensity", 1.0, "FLOP/B", derived, {}, {}},
       {"roof_share", 0.5, "1", measured, {}, {}}});
  add("made/plain", R"({"n":1})", {{"time", 1, "s", measured, {}, {}}});
  store.close();
  return path;
}

TEST_F(Views, RooflineDrawsTheRoofsOfTheRunAndCasesByDeclaredWork) {
  window.open(QString::fromStdString(with_roofs(scratch)));
  window.show_view(QStringLiteral("roofline"));
  const PlotSpec& spec = view_of<RooflineView>(window, "roofline").plot().spec();
  ASSERT_EQ(spec.segments.size(), 2U);
  EXPECT_EQ(spec.segments[0].y0, 100e9);
  EXPECT_EQ(spec.segments[0].x0, 2);  // the ridge: 100 GFLOP/s at 50 GB/s
  EXPECT_DOUBLE_EQ(spec.segments[1].y0 / spec.segments[1].x0, 50e9);
  EXPECT_EQ(spec.segments[1].text, QStringLiteral("memory read, 16 MiB: 50.0 GB/s"));
  ASSERT_EQ(spec.series.size(), 1U);
  EXPECT_EQ(spec.series[0].points[0].x, 1);
  EXPECT_EQ(spec.series[0].points[0].y, 25e9);
  EXPECT_EQ(cell_of(window.current()->table(), QStringLiteral("● up"), QStringLiteral("share of its roof")),
            QStringLiteral("50.0%"));
}

TEST_F(Views, RunsListsEveryRunWithItsFailures) {
  window.show_view(QStringLiteral("runs"));
  const Grid table = window.current()->table();
  ASSERT_EQ(table.rows.size(), 8U);
  EXPECT_EQ(table.rows[0].cells[4].text, QStringLiteral("1"));
  EXPECT_EQ(table.rows[0].cells[5].text, QStringLiteral("19"));
}

TEST_F(Views, TheClipboardGetsMarkdownAndTabs) {
  window.show_view(QStringLiteral("runs"));
  window.copy_markdown();
  EXPECT_TRUE(QApplication::clipboard()->text().startsWith(QStringLiteral("| started | suite |")));
  window.copy_tsv();
  EXPECT_EQ(QApplication::clipboard()->text().count(QLatin1Char('\n')), 9);
}

TEST_F(Views, ExportsWriteWhatIsShown) {
  window.show_view(QStringLiteral("explore"));
  for (const char* ending : {"csv", "svg", "png", "html"}) {
    const QString path = QString::fromStdString(scratch.file(std::string("out.") + ending));
    ASSERT_TRUE(window.export_to(path));
    ASSERT_GT(QFile(path).size(), 100);
  }
  std::ifstream csv(scratch.file("out.csv"));
  std::string first;
  std::getline(csv, first);
  EXPECT_EQ(first, "technique,case,time,95% interval,times the best,where it comes from\r");
  QFile svg(QString::fromStdString(scratch.file("out.svg")));
  ASSERT_TRUE(svg.open(QIODevice::ReadOnly));
  EXPECT_TRUE(svg.readAll().contains("tiled-attention"));
  EXPECT_FALSE(window.export_to(QString::fromStdString(scratch.file("out.doc"))));
  EXPECT_TRUE(window.banner().contains(QStringLiteral(".png, .svg, .html or .csv")));
}

TEST_F(Views, AViewIsOnePageWithItsPictureAndItsTable) {
  window.show_view(QStringLiteral("explore"));
  window.session().set_filter(QStringLiteral("tokens=4k"));
  const QString path = QString::fromStdString(scratch.file("view.html"));
  ASSERT_TRUE(window.export_to(path));
  QFile file(path);
  ASSERT_TRUE(file.open(QIODevice::ReadOnly));
  const QString page = QString::fromUtf8(file.readAll());
  for (const GridRow& row : window.current()->table().rows)
    for (const GridCell& cell : row.cells)
      EXPECT_TRUE(page.contains(QLatin1Char('>') + cell.text.toHtmlEscaped() + QLatin1Char('<')))
          << cell.text.toStdString();
  const qsizetype at = page.indexOf(QStringLiteral("base64,")) + 7;
  const QImage picture =
      QImage::fromData(QByteArray::fromBase64(page.mid(at, page.indexOf(QLatin1Char('"'), at) - at).toLatin1()), "PNG");
  EXPECT_EQ(picture.size(), window.current()->size());
  EXPECT_TRUE(page.contains(QStringLiteral("--filter &#39;tokens=4k&#39;")) ||
              page.contains(QStringLiteral("--filter 'tokens=4k'")));
}

TEST_F(Views, EveryViewPaintsInBothThemesAtBothSizes) {
  for (const bool dark : {false, true}) {
    apply_theme(*qobject_cast<QApplication*>(QApplication::instance()), dark);
    for (const QSize size : {QSize(1280, 800), QSize(2560, 1440)}) {
      window.resize(size);
      for (const QString& id : window.view_ids()) {
        ASSERT_TRUE(window.show_view(id));
        window.current()->refresh();
        QCoreApplication::processEvents();
        // The sample probes no roofs; that page says how to.
        EXPECT_EQ(window.current()->is_empty(), id == QStringLiteral("roofline")) << id.toStdString();
        if (window.current()->is_empty()) continue;
        const QImage image = window.grab().toImage();
        ASSERT_EQ(image.size(), size);
        // A page with text and plots has many colours; a blank one has a handful.
        std::set<QRgb> colors;
        for (int y = 60; y < image.height(); y += 2)
          for (int x = 200; x < image.width(); x += 2) colors.insert(image.pixel(x, y));
        EXPECT_GT(colors.size(), 60U) << id.toStdString();
      }
    }
  }
  apply_theme(*qobject_cast<QApplication*>(QApplication::instance()), false);
}

TEST_F(Views, EveryControlHasAName) {
  for (const QWidget* widget : window.findChildren<QWidget*>()) {
    if (qobject_cast<const QLineEdit*>(widget) == nullptr && qobject_cast<const QComboBox*>(widget) == nullptr &&
        qobject_cast<const QTableView*>(widget) == nullptr)
      continue;
    if (widget->objectName().startsWith(QStringLiteral("qt_"))) continue;  // inside a spin box, which has the name
    EXPECT_FALSE(widget->accessibleName().isEmpty()) << widget->metaObject()->className();
  }
}

TEST_F(Views, TheFilterCompletesFromTheRun) {
  QTest::keyClicks(window.filter_box(), QStringLiteral("tok"));
  EXPECT_EQ(window.filter_box()->offered(), QStringList{QStringLiteral("tokens=")});
}

TEST_F(Views, TheCommandLineToShowTheSameNamesViewAndFilter) {
  window.show_view(QStringLiteral("explore"));
  window.session().set_filter(QStringLiteral("tokens=4k"));
  EXPECT_TRUE(window.how_to_show_again().contains(QStringLiteral("--view explore --filter 'tokens=4k'")));
}

TEST_F(Views, CommandsAreFoundByAFewLetters) {
  EXPECT_GE(match_cost(QStringLiteral("shexp"), QStringLiteral("Show Explore")), 0);
  EXPECT_EQ(match_cost(QStringLiteral("xyz"), QStringLiteral("Show Explore")), -1);
  bool ran = false;
  for (const Command& command : window.commands())
    if (command.name == QStringLiteral("Show Trends")) {
      command.run();
      ran = true;
    }
  EXPECT_TRUE(ran);
  EXPECT_EQ(window.current()->id(), QStringLiteral("trends"));
}

}  // namespace
}  // namespace assay::gui
