#include <gtest/gtest.h>

#include <QClipboard>

#include "gui/theme.h"
#include "gui/views/compare_view.h"
#include "gui/views/trends_view.h"
#include "harness/history.h"
#include "tests/gui/window_for_tests.h"

namespace assay::gui {
namespace {

constexpr std::int64_t day_ns = 86'400'000'000'000;

// Thirty nights of one case, 10% slower from the twentieth on, and an alert that says so.
std::string with_a_step(const Scratch& scratch) {
  const std::string path = scratch.file("step.db");
  auto sample = results_db::Store::open(scratch.sample(), results_db::Open::read_only);
  auto store = results_db::Store::open(path, results_db::Open::create);
  auto run = sample.find_run("latest");
  std::int64_t id = 0, other = 0;
  for (int night = 0; night < 30; ++night) {
    run.id = "5a3b1e00-0000-8000-8000-0000000001" + std::to_string(10 + night);
    run.started_ns += day_ns;
    run.build.commit = "c0ffee00" + std::to_string(10 + night);
    run.build.id = run.build.commit;
    run.tags = night % 2 == 0 ? std::vector<std::string>{"even"} : std::vector<std::string>{};
    store.begin_run(run);
    results_db::CaseRecord record;
    record.backend = "cpu";
    record.parameters_json = R"({"tokens":4096})";
    for (const char* technique : {"sample/tiled-attention", "sample/naive-attention"}) {
      record.technique = technique;
      record.key = record.technique + " cpu tokens=4096";
      (record.technique == "sample/tiled-attention" ? id : other) = store.put_case(record);
    }
    for (int ordinal = 0; ordinal < 3; ++ordinal)
      for (const std::int64_t which : {id, other}) {
        results_db::LaunchRecord launch;
        launch.run = run.id;
        launch.case_id = which;
        launch.ordinal = ordinal;
        launch.started_ns = run.started_ns + ordinal;
        const double noise = 1 + 0.003 * ((night * 7 + ordinal * 5) % 11 - 5);
        launch.metrics = {{"time", (night >= 20 ? 0.11 : 0.10) * noise, "s", results_db::Provenance::measured, {}, {}},
                          {"flops_rate",
                           1e9 / (night >= 20 ? 0.11 : 0.10) / noise,
                           "FLOP/s",
                           results_db::Provenance::measured,
                           {},
                           {}},
                          {"bytes", night * 100.0, "B", results_db::Provenance::measured, {}, {}}};
        launch.code_hash = "sample";
        store.append_launch(launch);
      }
    if (night == 20)
      for (const std::int64_t which : {id, other}) {
        results_db::AlertRecord alert;
        alert.run = run.id;
        alert.case_id = which;
        alert.kind = "regression";
        alert.metric = "time";
        alert.effect = which == id ? 0.10 : 0.08;
        alert.outcome = "open";
        alert.note = "SLOWER +10%";
        alert.at_ns = run.started_ns;
        store.put_alert(alert);
      }
  }
  store.close();
  return path;
}

class Trends : public testing::Test {
 protected:
  Trends() {
    window.resize(1280, 800);
    window.show();
    window.open(QString::fromStdString(path));
    window.session().set_filter(QStringLiteral("tiled"));
    window.show_view(QStringLiteral("trends"));
    QCoreApplication::processEvents();
  }
  TrendsView& trends() { return view_of<TrendsView>(window, "trends"); }
  Scratch scratch;
  std::string path = with_a_step(scratch);
  MainWindow window{Remember::nothing};
};

TEST_F(Trends, LevelsAreThoseOfAssayHistory) {
  auto store = results_db::Store::open(path, results_db::Open::read_only);
  const auto row = harness::find_case(store, "tiled-attention");
  const auto history = harness::read_history(store, row, store.find_run("latest").machine, "");
  ASSERT_EQ(history.levels.changes.size(), 1U);
  ASSERT_EQ(trends().levels().changes.size(), 1U);
  EXPECT_EQ(trends().levels().changes[0].at, history.levels.changes[0].first);
  EXPECT_EQ(trends().levels().changes[0].at, 20U);
  EXPECT_DOUBLE_EQ(trends().levels().changes[0].ratio, history.levels.changes[0].ratio());
  ASSERT_EQ(trends().levels().levels.size(), 2U);
  EXPECT_DOUBLE_EQ(trends().levels().levels[1].level, history.levels.segments[1].level);
}

TEST_F(Trends, LevelsAreDrawnWithTheirIntervals) {
  const PlotSpec& spec = trends().plot().spec();
  // Two levels, each with the two ends of its interval: 20 and 10 runs have one.
  EXPECT_EQ(spec.segments.size(), 6U);
  EXPECT_DOUBLE_EQ(spec.segments[0].y0, trends().levels().levels[0].level);
  ASSERT_EQ(std::count_if(spec.references.begin(), spec.references.end(),
                          [](const PlotReference& line) { return line.text.contains(QLatin1Char('%')); }),
            1);
}

TEST_F(Trends, TheDetectorIsReplayedWithAnotherPrice) {
  trends().penalty_box()->setValue(50);
  EXPECT_TRUE(trends().levels().changes.empty());
  trends().penalty_box()->setValue(3);
  EXPECT_EQ(trends().levels().changes.size(), 1U);
}

TEST_F(Trends, ARowIsComparedWithTheRunBeforeIt) {
  const qint64 id = static_cast<qint64>(trends().trend().points[20].run) + 1;
  trends().runs().select_id(id);
  const auto decision =
      judge_pair(*window.session().database(), window.session().run()->find(*window.session().selected_case())->info,
                 trends().trend(), 19, 20);
  EXPECT_TRUE(trends().pair_text().contains(QString::fromLatin1(to_string(decision.verdict))));
  EXPECT_TRUE(trends().pair_text().contains(QString::number(decision.ratio, 'f', 3)));
}

void choose(QComboBox* box, const char* metric) {
  const int row = box->findData(QString::fromLatin1(metric));
  ASSERT_GE(row, 0) << metric;
  box->setCurrentIndex(row);
  Q_EMIT box->activated(row);
}

TEST_F(Trends, AnyMetricOfTheCaseCanBeFollowed) {
  QComboBox* box = trends().metric_box();
  ASSERT_EQ(box->count(), 3);
  EXPECT_EQ(box->currentData().toString(), QStringLiteral("time"));
  choose(box, "flops_rate");
  ASSERT_EQ(trends().trend().points.size(), 30U);
  EXPECT_EQ(trends().trend().metric, "flops_rate");
  EXPECT_FALSE(trends().trend().lower_is_better);
  EXPECT_NEAR(trends().trend().points[0].median, 1e10, 2e8);
  ASSERT_EQ(trends().levels().changes.size(), 1U);
  EXPECT_LT(trends().levels().changes[0].ratio, 1);  // slower: fewer FLOPs a second, and worse
  EXPECT_EQ(trends().plot().spec().y.unit, "FLOP/s");
  EXPECT_TRUE(trends().answer().contains(QStringLiteral("FLOP rate")));
  EXPECT_EQ(trends().runs().grid().columns[1].title, QStringLiteral("FLOP rate"));
  EXPECT_EQ(trends().arguments(), QStringList{QStringLiteral("metric=flops_rate")});
  trends().set_arguments({});
  trends().refresh();
  EXPECT_EQ(trends().trend().metric, "time");
}

TEST_F(Trends, AMetricThatIsNeitherBetterNorWorseGetsNoVerdict) {
  choose(trends().metric_box(), "bytes");
  EXPECT_EQ(trends().trend().points.size(), 30U);
  EXPECT_TRUE(trends().answer().contains(QStringLiteral("x the bytes of"))) << trends().answer().toStdString();
  for (const char* verdict : {"FASTER", "SLOWER", "SAME", "UNSURE"})
    EXPECT_FALSE(trends().answer().contains(QString::fromLatin1(verdict)));
}

TEST_F(Trends, ATagKeepsTheRunsThatHaveIt) {
  window.session().set_filter(QStringLiteral("tiled tag=even"));
  EXPECT_EQ(trends().trend().points.size(), 15U);
  window.session().set_filter(QStringLiteral("tiled -tag=even"));
  EXPECT_EQ(trends().trend().points.size(), 15U);
  window.session().set_filter(QStringLiteral("tiled"));
  EXPECT_EQ(trends().trend().points.size(), 30U);
}

TEST_F(Trends, DraggingWithShiftComparesTheEndsAndGivesTheBisectCommand) {
  PlotView& plot = trends().plot();
  const auto& points = trends().trend().points;
  const QPoint from = plot.position(points[5].at, points[5].median).toPoint();
  const QPoint to = plot.position(points[25].at, points[25].median).toPoint();
  QTest::mousePress(plot.viewport(), Qt::LeftButton, Qt::ShiftModifier, from);
  QMouseEvent move(QEvent::MouseMove, to, plot.viewport()->mapToGlobal(to), Qt::LeftButton, Qt::LeftButton,
                   Qt::ShiftModifier);
  QApplication::sendEvent(plot.viewport(), &move);
  QTest::mouseRelease(plot.viewport(), Qt::LeftButton, Qt::ShiftModifier, to);
  EXPECT_TRUE(trends().pair_text().contains(QStringLiteral("1.1"))) << trends().pair_text().toStdString();
  for (QPushButton* button : trends().findChildren<QPushButton*>())
    if (button->text() == QStringLiteral("Copy git bisect")) QTest::mouseClick(button, Qt::LeftButton);
  EXPECT_EQ(QApplication::clipboard()->text(), QStringLiteral("git bisect start c0ffee0035 c0ffee0015"));
  for (QPushButton* button : trends().findChildren<QPushButton*>())
    if (button->text() == QStringLiteral("Compare these")) QTest::mouseClick(button, Qt::LeftButton);
  ASSERT_EQ(window.current()->id(), QStringLiteral("compare"));
  const auto& comparisons = view_of<CompareView>(window, "compare").comparisons();
  ASSERT_EQ(comparisons.size(), 1U);
  EXPECT_EQ(comparisons[0].run_a.build.commit, "c0ffee0015");
  EXPECT_EQ(comparisons[0].run_b.build.commit, "c0ffee0035");
}

TEST_F(Trends, AlertsOfOneRunAreOneCause) {
  const Grid& grid = trends().alerts().grid();
  ASSERT_EQ(grid.rows.size(), 1U);
  EXPECT_EQ(grid.rows[0].cells[0].text, QStringLiteral("open"));
  EXPECT_TRUE(grid.rows[0].cells[1].text.contains(QStringLiteral("tiled-attention")));
  EXPECT_TRUE(grid.rows[0].cells[1].text.contains(QStringLiteral("and 1 more")));
  EXPECT_EQ(grid.rows[0].cells[2].text, QStringLiteral("+10.0%"));
}

TEST_F(Trends, WhatIsDecidedAboutAnAlertIsKeptWithItsAuthor) {
  setenv("USER", "ada", 1);
  ASSERT_TRUE(trends().decide(1, QStringLiteral("noise"), QStringLiteral("the fan was off")));
  EXPECT_EQ(trends().alerts().grid().rows[0].cells[0].text, QStringLiteral("noise"));
  auto store = results_db::Store::open(path, results_db::Open::read_only);
  for (const auto& alert : store.alerts()) {
    EXPECT_EQ(alert.outcome, "noise");
    EXPECT_EQ(alert.note, "SLOWER +10%; noise by ada: the fan was off");
  }
}

TEST_F(Trends, OneAlertOfSeveralIsDecidedByItself) {
  EXPECT_FALSE(trends().decide(1, QStringLiteral("noise"), {}, 2));  // there are two
  ASSERT_TRUE(trends().decide(1, QStringLiteral("noise"), QStringLiteral("another cause"), 1));
  const Grid& grid = trends().alerts().grid();
  ASSERT_EQ(grid.rows.size(), 2U);
  EXPECT_EQ(grid.rows[0].cells[0].text, QStringLiteral("open"));
  EXPECT_EQ(grid.rows[1].cells[0].text, QStringLiteral("noise"));
  EXPECT_FALSE(grid.rows[0].cells[1].text.contains(QStringLiteral("more")));
  auto store = results_db::Store::open(path, results_db::Open::read_only);
  int noise = 0;
  for (const auto& alert : store.alerts()) noise += alert.outcome == "noise" ? 1 : 0;
  EXPECT_EQ(noise, 1);
}

TEST_F(Trends, ALevelCutByHandIsCutForAssayHistoryToo) {
  setenv("USER", "ada", 1);
  const qint64 run = static_cast<qint64>(trends().trend().points[8].run) + 1;
  ASSERT_TRUE(trends().cut(run, QStringLiteral("the compiler moved")));
  ASSERT_EQ(trends().levels().changes.size(), 2U);
  EXPECT_EQ(trends().levels().changes[0].at, 8U);
  EXPECT_TRUE(trends().levels().changes[0].by_hand);
  EXPECT_FALSE(trends().levels().changes[1].by_hand);
  auto store = results_db::Store::open(path, results_db::Open::read_only);
  const auto history =
      harness::read_history(store, harness::find_case(store, "tiled-attention"), store.find_run("latest").machine, "");
  ASSERT_EQ(history.levels.segments.size(), 3U);
  EXPECT_EQ(history.levels.segments[1].first, 8U);
  EXPECT_EQ(history.levels.segments[1].end, 20U);
  EXPECT_DOUBLE_EQ(history.levels.segments[1].level, trends().levels().levels[1].level);
  bool told = false;
  for (const GridRow& row : trends().alerts().grid().rows)
    told |= row.cells[1].tip.contains(QStringLiteral("level cut by ada: the compiler moved"));
  EXPECT_TRUE(told);
  // Another case keeps its levels.
  const auto other =
      harness::read_history(store, harness::find_case(store, "naive-attention"), store.find_run("latest").machine, "");
  EXPECT_EQ(other.levels.segments.size(), 2U);
  EXPECT_TRUE(other.runs[9].fence.known());
  EXPECT_FALSE(history.runs[9].fence.known());  // it begins anew
  ASSERT_TRUE(trends().take_back(run, {}));
  EXPECT_EQ(trends().levels().changes.size(), 1U);
  ASSERT_TRUE(trends().cut(run, {}));  // once more: the same row of the database
  EXPECT_EQ(trends().levels().changes.size(), 2U);
  EXPECT_EQ(store.alerts().size(), 3U);
}

TEST_F(Trends, DecidingOverSeveralFilesIsRefusedInOneLine) {
  ASSERT_TRUE(window.open({QString::fromStdString(path), QString::fromStdString(scratch.sample())}));
  window.session().choose_run(results_db::Store::open(path, results_db::Open::read_only).find_run("latest").id);
  EXPECT_FALSE(trends().decide(1, QStringLiteral("noise"), {}));
  EXPECT_TRUE(window.banner().contains(QStringLiteral("open that one alone")));
}

// Many markers are put down as copies of one; they have to look as those of a few do.
TEST(TrendPlot, ManyMarkersLookLikeFew) {
  const auto picture = [](std::size_t points) {
    PlotView plot;
    plot.resize(600, 300);
    PlotSpec spec;
    spec.x_range = {0, 99};
    for (int i = 0; i < 6; ++i) {  // more series than Qt Charts is asked to draw
      PlotSeries series;
      series.color = QColor(10, 120, 200);
      series.line = false;
      for (std::size_t k = 0; k < points; ++k) series.points.push_back({double(k), 1.0 + i, {}, {}, 1, {}});
      spec.series.push_back(series);
    }
    plot.show_spec(spec);
    const QPoint at = plot.position(5, 3).toPoint();
    return std::pair{plot.grab().toImage(), at};
  };
  const auto [few, at] = picture(12);
  const auto [many, same] = picture(100);
  ASSERT_EQ(at, same);
  for (const QPoint& step : {QPoint(0, 0), QPoint(2, 1), QPoint(-2, -2), QPoint(0, 9)}) {
    const QColor a = few.pixelColor(at + step), b = many.pixelColor(at + step);
    EXPECT_LE(std::abs(a.red() - b.red()) + std::abs(a.green() - b.green()) + std::abs(a.blue() - b.blue()), 40);
  }
  EXPECT_NE(many.pixelColor(at), many.pixelColor(at + QPoint(0, 9)));
}

// Where there are many lines they are thin, and each is there.
TEST(TrendPlot, EveryOneOfManyLinesIsDrawn) {
  PlotView plot;
  plot.resize(700, 700);
  PlotSpec spec;
  const QColor color(10, 120, 200);
  for (int i = 0; i < 40; ++i) {
    PlotSeries series;
    series.color = color;
    for (int k = 0; k < 6; ++k) series.points.push_back({double(k), 1.0 + i, {}, {}, 1, {}});
    spec.series.push_back(series);
  }
  plot.show_spec(spec);
  const QImage image = plot.grab().toImage();
  for (int i = 0; i < 40; ++i) {
    const QPoint at = plot.position(2.5, 1.0 + i).toPoint();  // between two markers
    int nearest = 255;
    for (int y = -1; y <= 1; ++y) nearest = std::min(nearest, std::abs(image.pixelColor(at + QPoint(0, y)).red() - 10));
    EXPECT_LT(nearest, 150) << i;
  }
}

TEST(TrendPlot, ValuesThatOnlyRoundingTellsApartAreDrawnAsOne) {
  PlotView plot;
  plot.resize(600, 300);
  PlotSpec spec;
  spec.y.unit = "s";
  PlotSeries series;
  series.points = {{0, 3.2e-3, {}, {}, 1, {}}, {1, 3.2e-3 * (1 + 4e-16), {}, {}, 2, {}}};
  spec.series = {series};
  plot.show_spec(spec);
  EXPECT_GT(plot.y_range().second - plot.y_range().first, 1e-4);
  for (int i = 0; i < 400; ++i) {  // zooming ends where doubles do, it does not hang
    QWheelEvent wheel({300, 150}, {300, 150}, {}, {0, 1200}, Qt::NoButton, Qt::NoModifier, Qt::NoScrollPhase, false);
    QApplication::sendEvent(plot.viewport(), &wheel);
  }
  EXPECT_FALSE(plot.grab().isNull());
}

}  // namespace
}  // namespace assay::gui
