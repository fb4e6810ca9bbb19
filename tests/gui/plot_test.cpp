// Plots by their pixels' places: names that nothing crosses, bars that say what they are, a part dragged out and zoomed
// into; and tables that cut no text short.
#include <gtest/gtest.h>

#include <QClipboard>
#include <QLabel>
#include <cmath>

#include "gui/plot/name_places.h"
#include "gui/plot/strip_plot.h"
#include "gui/theme.h"
#include "gui/views/claims_view.h"
#include "gui/views/compare_view.h"
#include "gui/views/explore_view.h"
#include "gui/views/overview_view.h"
#include "gui/views/timeline_view.h"
#include "gui/views/trends_view.h"
#include "tests/gui/window_for_tests.h"

namespace assay::gui {
namespace {

const QRectF area(0, 0, 600, 400);

QPolygonF polygon_of(const QRectF& place) { return QPolygonF(place); }

TEST(NamePlaces, ALevelIsNamedAtItsRightEndWhereNothingIsInTheWay) {
  Obstacles none;
  const QRectF place = place_of_level(QLineF(50, 100, 580, 100), area, 120, none);
  EXPECT_DOUBLE_EQ(place.right(), 578);
  EXPECT_LT(place.bottom(), 100);
}

TEST(NamePlaces, ANameMovesAwayFromALineThatWouldCrossIt) {
  Obstacles others;
  others.lines = {QLineF(50, 100, 580, 100), QLineF(520, 20, 520, 300)};  // itself and what comes down through it
  const QRectF place = place_of_level(others.lines[0], area, 120, others);
  EXPECT_LT(place.right(), 520);
  EXPECT_FALSE(others.crossed(polygon_of(place)));
}

TEST(NamePlaces, ANameStandsOnNoPointAndOnNoOtherName) {
  Obstacles others;
  others.points = {{500, 92}, {500, 108}};
  others.names = {polygon_of(QRectF(300, 80, 100, 40))};
  const QRectF place = place_of_level(QLineF(50, 100, 580, 100), area, 150, others);
  EXPECT_FALSE(others.crossed(polygon_of(place)));
  EXPECT_FALSE(others.named(polygon_of(place)));
}

TEST(NamePlaces, OfTwoSlopesSideBySideNeitherNameIsCrossedByTheOther) {
  Obstacles others;
  others.lines = {QLineF(50, 380, 350, 80), QLineF(62, 380, 362, 80)};  // 8 pixels apart
  for (const QLineF& line : {others.lines[0], others.lines[1]}) {
    const AlongLine place = place_on_slope(line, 150, others);
    EXPECT_FALSE(others.crossed(place.corners(150)));
    EXPECT_NEAR(place.degrees, -45, 1e-6);
    others.names.push_back(place.corners(150));
  }
  EXPECT_FALSE(others.names[0].intersects(others.names[1]));
}

// -- bars

PlotSpec with_bar(Spread spread) {
  PlotSpec spec;
  for (int i = 0; i < 2; ++i) {
    PlotSeries series;
    series.color = QColor(200, 30, 30);
    series.line = false;
    PlotPoint point;
    point.x = i;
    point.y = 5;
    if (i == 0) {
      point.low = 2;
      point.high = 8;
      point.spread = spread;
    }
    series.points = {point};
    spec.series.push_back(series);
  }
  return spec;
}

TEST(PlotBars, AnIntervalHasCapsAndTheReachOfLaunchesHasNone) {
  for (const Spread spread : {Spread::interval, Spread::launches}) {
    PlotView plot;
    plot.resize(600, 400);
    plot.show_spec(with_bar(spread));
    const QImage image = plot.grab().toImage();
    const auto is_red = [&](QPointF at) {
      const QColor color = image.pixelColor(at.toPoint());
      return color.red() > color.green() + 25;
    };
    const QPointF end = plot.position(0, 8);
    EXPECT_TRUE(is_red(plot.position(0, 6.5)) || is_red(plot.position(0, 6.5) - QPointF(1, 0)));
    EXPECT_EQ(is_red(end + QPointF(3, 0)) || is_red(end + QPointF(3, -1)), spread == Spread::interval);
  }
}

void drag(QWidget* widget, QPoint from, QPoint to, Qt::KeyboardModifiers keys) {
  QTest::mousePress(widget, Qt::LeftButton, keys, from);
  QMouseEvent move(QEvent::MouseMove, to, widget->mapToGlobal(to), Qt::LeftButton, Qt::LeftButton, keys);
  QApplication::sendEvent(widget, &move);
  QTest::mouseRelease(widget, Qt::LeftButton, keys, to);
}

TEST(PlotZoom, APartDraggedOutWithControlIsWhatIsShown) {
  PlotView plot;
  plot.resize(600, 400);
  plot.show();
  plot.show_spec(with_bar(Spread::interval));
  const QPoint from = plot.position(0.2, 7).toPoint(), to = plot.position(0.6, 3).toPoint();
  drag(plot.viewport(), from, to, Qt::ControlModifier);
  EXPECT_NEAR(plot.x_range().first, 0.2, 0.01);
  EXPECT_NEAR(plot.x_range().second, 0.6, 0.01);
  EXPECT_NEAR(plot.y_range().first, 3, 0.05);
  EXPECT_NEAR(plot.y_range().second, 7, 0.05);
  const auto seen = plot.x_range();
  drag(plot.viewport(), {300, 200}, {302, 201}, Qt::ControlModifier);  // a click is no part
  EXPECT_EQ(plot.x_range(), seen);
}

// -- launches

TEST(LaunchPlot, ALaunchTellsItsNumbersItsTimeAndItsClock) {
  StripPlot plot;
  plot.resize(900, 260);
  StripSide side;
  side.name = QStringLiteral("base");
  side.launches = {{0.012345678, 0.0120, 0.0122, 0.0125, 0.0130, 1'000'000'000, 72, 2.5e9},
                   {0.0140, 0.0139, 0.0140, 0.0140, 0.0141, 2'000'000'000, 60, 2.1e9}};
  plot.show_sides({side}, "s", "time");
  const QString tip = plot.tip_at(plot.place_of(0));
  EXPECT_TRUE(tip.contains(QStringLiteral("0.012345678 s"))) << tip.toStdString();
  EXPECT_TRUE(tip.contains(QStringLiteral("72 samples")));
  EXPECT_TRUE(tip.contains(QStringLiteral("2.50 GHz")));
  EXPECT_TRUE(plot.tip_at(plot.place_of(1)).contains(QStringLiteral("0.014 s")));
  EXPECT_EQ(plot.tip_at({2, 2}), QString());
  const double high = plot.place_of(0).y() - plot.place_of(1).y();
  plot.set_log(true);
  EXPECT_NE(plot.place_of(0).y() - plot.place_of(1).y(), high);
  EXPECT_FALSE(plot.grab().isNull());
}

// -- tables

TEST(Tables, ALongTextGoesOnInTheNextLineAndARowIsAsHighAsItNeeds) {
  GridView view(QStringLiteral("made"));
  Grid grid;
  grid.columns = {{QStringLiteral("case"), false, true}, {QStringLiteral("value"), true}};
  GridRow brief, lengthy;
  brief.id = 1;
  brief.cells = {QStringLiteral("seq 1k"), GridCell::number(QStringLiteral("1 ms"), 1)};
  lengthy.id = 2;
  lengthy.cells = {QStringLiteral("seq 1k, not backward, ranks 2, d 64, heads 4, layout contiguous"),
                   GridCell::number(QStringLiteral("2 ms"), 2)};
  grid.rows = {brief, lengthy};
  view.show_grid(grid);
  const auto heights = [&](int width) {
    view.resize(width, 200);
    view.show();
    QCoreApplication::processEvents();
    return std::pair{view.rowHeight(0), view.rowHeight(1)};
  };
  const auto wide = heights(900);
  EXPECT_EQ(wide.first, wide.second);
  const auto narrow = heights(340);
  EXPECT_EQ(narrow.first, wide.first);
  EXPECT_GT(narrow.second, wide.second);
  view.sortByColumn(1, Qt::DescendingOrder);  // the height goes with the row
  EXPECT_GT(view.rowHeight(0), view.rowHeight(1));
  EXPECT_EQ(heights(900), wide);
}

TEST(Numbers, AreWrittenWithThePrefixesThatPeopleUse) {
  EXPECT_EQ(value_text(0.958, "request/s", "request_throughput"), "0.958 request/s");
  EXPECT_EQ(value_text(2080, "s", "ttft_p90"), "2080 s");
  EXPECT_EQ(value_text(0.0123, "s", "time"), "12.3 ms");
  EXPECT_EQ(value_text(2.5e12, "FLOP/s", "flops_rate"), "2.50 TFLOP/s");
  EXPECT_EQ(metric_title("ttft_p90"), "TTFT, 90th percentile");
  EXPECT_EQ(metric_title("scheduling_delay_p50"), "scheduling delay, median");
  EXPECT_EQ(metric_title("tbt_p99"), "TBT, 99th percentile");
}

TEST(Tables, WhatAllRowsThatSayAnythingSayIsPutAside) {
  Grid grid;
  grid.columns = {{QStringLiteral("case")}, {QStringLiteral("why")}};
  for (const char* why : {"taken apart", "", "taken apart"})
    grid.rows.push_back({{QStringLiteral("a"), QString::fromLatin1(why)}});
  EXPECT_EQ(said_once(grid, 1), QString());  // a row without a reason counts
  EXPECT_FALSE(grid.columns[1].aside);
  EXPECT_EQ(said_once(grid, 1, Blank::is_passed_over), QStringLiteral("taken apart"));
  EXPECT_TRUE(grid.columns[1].aside);
  EXPECT_EQ(as_csv(grid).count(QStringLiteral("taken apart")), 2);
}

TEST(LaunchPlot, OneSlowLaunchDoesNotPressTheOthersFlat) {
  StripPlot plot;
  StripSide side;
  side.launches = {{1, 0.9, 0.95, 1.05, 1.1, 1, 9, 0}, {1, 0.9, 0.95, 1.05, 1.3, 2, 9, 0}};
  plot.show_sides({side}, "s", "time");
  EXPECT_FALSE(plot.is_log());
  side.launches[1].q95 = 20;
  plot.show_sides({side}, "s", "time");
  EXPECT_TRUE(plot.is_log());
  plot.set_log(false);
  EXPECT_FALSE(plot.is_log());
}

class Words : public testing::Test {
 protected:
  Words() {
    window.resize(1280, 800);
    window.show();
    QApplication::setActiveWindow(&window);
    window.setFocus();
    window.open(QString::fromStdString(scratch.sample()));
  }
  Scratch scratch;
  MainWindow window{Remember::nothing};
};

TEST_F(Words, WhatTheFilterHidesIsCountedAndOneClickAway) {
  const std::pair<const char*, const char*> views[] = {
      {"overview", "tiled"}, {"compare", "tiled"}, {"explore", "tiled"}, {"claims", "partial"}};
  for (const auto& [id, filter] : views) {
    window.show_view(QString::fromLatin1(id));
    window.session().set_filter(QString::fromLatin1(filter));
    QLabel* link = nullptr;
    for (QLabel* label : window.current()->findChildren<QLabel*>())
      if (label->text().contains(QStringLiteral("href='#all'"))) link = label;
    ASSERT_NE(link, nullptr) << id;
    Q_EMIT link->linkActivated(QStringLiteral("#all"));
    EXPECT_EQ(window.session().filter().text, "") << id;
    for (const QLabel* label : window.current()->findChildren<QLabel*>())
      EXPECT_FALSE(label->text().contains(QStringLiteral("href='#all'"))) << id;
  }
}

TEST_F(Words, FewLaunchesShowHowFarTheyLieApart) {
  window.show_view(QStringLiteral("explore"));
  window.session().set_filter(QStringLiteral("tiled tokens=4k"));
  auto& explore = view_of<ExploreView>(window, "explore");
  const auto data = window.session().run();
  int bars = 0;
  for (const PlotSeries& series : explore.plots().front()->spec().series)
    for (const PlotPoint& point : series.points) {
      const Value* value = data->find(point.id)->value("time");
      ASSERT_NE(value, nullptr);
      EXPECT_EQ(point.spread, Spread::launches);  // four launches make no interval
      EXPECT_EQ(point.low, value->lowest);
      EXPECT_EQ(point.high, value->highest);
      const QString tip = explore.plots().front()->tip_of(point);
      EXPECT_TRUE(tip.contains(text_of(exact_text(*value)))) << tip.toStdString();
      ++bars;
    }
  EXPECT_EQ(bars, 1);
  EXPECT_TRUE(explore.common().contains(QStringLiteral("too few for an interval")));
}

TEST_F(Words, AnAxisSaysWhatIsBetter) {
  window.show_view(QStringLiteral("explore"));
  const PlotSpec& spec = view_of<ExploreView>(window, "explore").plots().front()->spec();
  EXPECT_TRUE((spec.x.title + spec.y.title).contains(QStringLiteral("↓ less is better")));
  EXPECT_EQ(metric_heading("flops_rate"), "FLOP rate  ↑ more is better");
  EXPECT_EQ(metric_heading("bytes"), "bytes");
}

TEST_F(Words, LTogglesTheScaleOfWhateverDrawsValues) {
  const auto press = [&] { QTest::keyClick(&window, Qt::Key_L); };
  window.show_view(QStringLiteral("trends"));
  auto& trends = view_of<TrendsView>(window, "trends");
  EXPECT_FALSE(trends.plot().spec().y.log);
  press();
  EXPECT_TRUE(trends.plot().spec().y.log);
  EXPECT_TRUE(trends.arguments().contains(QStringLiteral("log=1")));
  window.show_view(QStringLiteral("compare"));
  press();
  EXPECT_TRUE(view_of<CompareView>(window, "compare").strip().is_log());
  window.show_view(QStringLiteral("claims"));
  auto& claims = view_of<ClaimsView>(window, "claims");
  const bool before = claims.plot().spec().x.log;
  press();
  EXPECT_NE(claims.plot().spec().x.log, before);
}

TEST_F(Words, AClaimLeadsToTheTimelineOfItsProgram) {
  {
    auto store = results_db::Store::open(scratch.sample(), results_db::Open::read_write);
    results_db::ClaimRecord claim;
    claim.id = "sample/ring#hidden";
    claim.technique = "sample/ring";
    claim.quantity = "step_time";
    claim.form = "absolute";
    claim.unit = "s";
    claim.value = 3e-3;
    store.put_claim(claim);
    store.close();
  }
  window.open(QString::fromStdString(scratch.sample()));
  window.show_view(QStringLiteral("claims"));
  auto& claims = view_of<ClaimsView>(window, "claims");
  for (const GridRow& row : claims.table().rows) {
    claims.findChild<GridView*>()->select_id(row.id);
    EXPECT_EQ(claims.timeline_button()->isEnabled(), row.cells[2].text == QStringLiteral("hidden"));
  }
  for (const GridRow& row : claims.table().rows)
    if (row.cells[2].text == QStringLiteral("hidden")) claims.findChild<GridView*>()->select_id(row.id);
  QTest::mouseClick(claims.timeline_button(), Qt::LeftButton);
  ASSERT_EQ(window.current()->id(), QStringLiteral("timeline"));
  EXPECT_EQ(window.session().run()->find(*window.session().selected_case())->info.name, "ring");
}

TEST_F(Words, TheTableIsCopiedAsCsvToo) {
  window.show_view(QStringLiteral("runs"));
  window.copy_csv();
  EXPECT_TRUE(QApplication::clipboard()->text().startsWith(QStringLiteral("started,suite,")));
}

// -- the timeline

TEST_F(Words, AStretchDraggedOutWithControlIsZoomedIntoAndIsInTheLink) {
  window.show_view(QStringLiteral("timeline"));
  QCoreApplication::processEvents();
  auto& timeline = view_of<TimelineView>(window, "timeline");
  TimelineCanvas& canvas = timeline.canvas();
  const double whole = canvas.range().second - canvas.range().first;
  const int left = TimelineCanvas::label_width(), width = canvas.width() - left;
  drag(&canvas, {left + width / 4, 8}, {left + width / 2, 8}, Qt::ControlModifier);
  const auto seen = canvas.range();
  EXPECT_NEAR((seen.second - seen.first) / whole, 0.25, 0.01);
  EXPECT_FALSE(canvas.measured().has_value());
  QMap<QString, QString> link;
  for (const QString& argument : timeline.arguments())
    link[argument.section(QLatin1Char('='), 0, 0)] = argument.section(QLatin1Char('='), 1);
  ASSERT_TRUE(link.contains(QStringLiteral("from")));
  canvas.show_all();
  link[QStringLiteral("idle")] = QStringLiteral("1");
  timeline.set_arguments(link);
  timeline.refresh();
  EXPECT_NEAR(canvas.range().first, seen.first, 1e-6 * whole);
  EXPECT_NEAR(canvas.range().second, seen.second, 1e-6 * whole);
  EXPECT_TRUE(timeline.arguments().contains(QStringLiteral("idle=1")));
}

TEST_F(Words, EveryRankFoldsIntoOneLineAtOnce) {
  window.show_view(QStringLiteral("timeline"));
  TimelineCanvas& canvas = view_of<TimelineView>(window, "timeline").canvas();
  ASSERT_EQ(canvas.rows(), 8U);
  ASSERT_TRUE(canvas.has_foldable());
  canvas.fold_all(true);
  EXPECT_EQ(canvas.rows(), 4U);
  canvas.fold_all(false);
  EXPECT_EQ(canvas.rows(), 8U);
}

TEST_F(Words, AClickOnABarTellsHowLongAllOfItsKindTake) {
  window.show_view(QStringLiteral("timeline"));
  QCoreApplication::processEvents();
  auto& timeline = view_of<TimelineView>(window, "timeline");
  TimelineCanvas& canvas = timeline.canvas();
  const TimelineData& data = canvas.data();
  const Bar& bar = data.lanes[0].bars[0];
  const double middle = (static_cast<double>(bar.start) + static_cast<double>(bar.end)) / 2;
  const auto [from, to] = canvas.range();
  const int left = TimelineCanvas::label_width();
  QTest::mouseClick(&canvas, Qt::LeftButton, {},
                    {left + static_cast<int>((middle - from) / (to - from) * (canvas.width() - left)), 8});
  const OperationUse use = operation_use(data, data.lanes[0].kind, bar.name);
  EXPECT_TRUE(timeline.summary().startsWith(text_of(data.names[bar.name]))) << timeline.summary().toStdString();
  EXPECT_TRUE(timeline.summary().contains(QStringLiteral("all %1 of them").arg(use.bars)));
}

}  // namespace
}  // namespace assay::gui
