// Choosing among techniques: a metric against another, papers' numbers beside ours, ratios as a map, what a claim
// hinges on.
#include <gtest/gtest.h>

#include <QComboBox>
#include <QPushButton>

#include "gui/model/hinge.h"
#include "gui/model/pareto.h"
#include "gui/theme.h"
#include "gui/views/claims_view.h"
#include "gui/views/compare_view.h"
#include "gui/views/explore_view.h"
#include "tests/gui/window_for_tests.h"

namespace assay::gui {
namespace {
using enum results_db::Provenance;

struct Served {
  const char* technique;
  int batch;
  double ttft, rate;
};
constexpr Served served[] = {{"serving/plain", 1, 0.10, 5},
                             {"serving/plain", 8, 0.40, 9},
                             {"serving/clever", 1, 0.12, 7},
                             {"serving/clever", 8, 0.30, 12},
                             {"serving/clever", 32, 0.90, 15}};

// Five ways to serve, each with a latency and a rate, and a paper that has a word on the rate.
std::string with_serving(const Scratch& scratch) {
  const std::string path = scratch.file("serving.db");
  auto store = results_db::Store::open(path, results_db::Open::create);
  auto run = results_db::Store::open(scratch.sample(), results_db::Open::read_only).find_run("latest");
  store.begin_run(run);
  for (const Served& held : served) {
    results_db::CaseRecord record;
    record.technique = held.technique;
    record.backend = "cpu";
    record.timer = "virtual";
    record.parameters_json = "{\"batch\":" + std::to_string(held.batch) + "}";
    record.key = record.technique + " batch=" + std::to_string(held.batch);
    results_db::LaunchRecord launch;
    launch.run = run.id;
    launch.case_id = store.put_case(record);
    launch.metrics = {{"request_throughput", held.rate, "request/s", projected, {}, {}},
                      {"ttft_p99", held.ttft, "s", projected, {}, {}}};
    store.append_launch(launch);
  }
  results_db::ClaimRecord claim;
  claim.id = "serving/clever#rate";
  claim.technique = "serving/clever";
  claim.quantity = "request_throughput";
  claim.form = "absolute";
  claim.unit = "request/s";
  claim.value = 11;
  claim.published = "11 requests a second";
  store.put_claim(claim);
  claim.id = "serving/clever#far";
  claim.value = 4000;
  store.put_claim(claim);
  claim.id = "serving/clever#ratio";
  claim.form = "ratio";
  claim.value = 2;
  store.put_claim(claim);
  results_db::VerdictRecord verdict;
  verdict.claim = "serving/clever#rate";
  verdict.verdict = "reproduced";
  verdict.ours = 12;
  verdict.provenance = "projected";
  verdict.detail_json =
      R"({"hinge":{"conditions":[{"condition":"dtype","kind":"stated","nominal":"bf16","reach":0.5,"decides":true,
      "sides":[{"setting":"fp32","ours":6,"verdict":"not reproduced"}]},{"condition":"eff","kind":"fitted",
      "nominal":"0.7","reach":0.1,"decides":false,"sides":[{"setting":"-10%","ours":11.2,"verdict":"reproduced"},
      {"setting":"+10%","ours":null,"verdict":null}]}],"no_influence":["seed"],"in_words":[]}})";
  verdict.at_ns = 1;
  store.put_verdict(verdict);
  store.close();
  return path;
}

class Choices : public testing::Test {
 protected:
  Choices() {
    window.resize(1280, 800);
    window.show();
    window.open(QString::fromStdString(with_serving(scratch)));
  }
  ExploreView& explore() { return view_of<ExploreView>(window, "explore"); }
  void latency_against_rate() {
    explore().set_arguments({{QStringLiteral("metric"), QStringLiteral("request_throughput")},
                             {QStringLiteral("axis"), QStringLiteral("metric:ttft_p99")}});
    window.show_view(QStringLiteral("explore"));
    explore().refresh();
    QCoreApplication::processEvents();
  }
  Scratch scratch;
  MainWindow window{Remember::nothing};
};

TEST_F(Choices, TheFrontHasWhatNothingElseBeatsInBoth) {
  const Front front = front_of(*window.session().run(), parse_filter(""), "ttft_p99", "request_throughput");
  ASSERT_EQ(front.points.size(), 5U);
  std::vector<double> on;
  for (const FrontPoint& point : front.points)
    if (point.on_front) on.push_back(point.y.median);
  EXPECT_EQ(on, (std::vector<double>{5, 7, 12, 15}));  // 9 at 0.4 s is beaten by 12 at 0.3 s
  EXPECT_EQ(best_inside(front, 0.35, projected)->y.median, 12);
  EXPECT_EQ(best_inside(front, 0.05, projected), nullptr);
  EXPECT_EQ(best_inside(front, 1, measured), nullptr);
}

TEST_F(Choices, AMetricAsAxisDrawsTheFrontAndTheLimitIsDragged) {
  latency_against_rate();
  PlotView* plot = explore().plots().front();
  ASSERT_FALSE(plot->spec().series.empty());
  EXPECT_EQ(plot->spec().series.front().points.size(), 4U);  // the front itself
  EXPECT_TRUE(explore().common().contains(QStringLiteral("15")));
  const QPoint from = plot->position(0.9, 10).toPoint(), to = plot->position(0.35, 10).toPoint();
  QTest::mousePress(plot->viewport(), Qt::LeftButton, {}, from);
  QMouseEvent move(QEvent::MouseMove, to, plot->viewport()->mapToGlobal(to), Qt::LeftButton, Qt::LeftButton, {});
  QApplication::sendEvent(plot->viewport(), &move);
  QTest::mouseRelease(plot->viewport(), Qt::LeftButton, {}, to);
  EXPECT_TRUE(explore().common().contains(QStringLiteral("clever, batch 8"))) << explore().common().toStdString();
  const Grid table = explore().table();
  EXPECT_TRUE(table.rows[0].cells[0].text.contains(QStringLiteral("clever")));
  EXPECT_EQ(table.rows[0].cells[2].text, QStringLiteral("12.0 request/s"));
  EXPECT_EQ(table.rows.back().cells[5].text, QStringLiteral("no"));
  EXPECT_TRUE(explore().arguments().join(QLatin1Char(' ')).contains(QStringLiteral("limit=0.3")));
}

TEST_F(Choices, TheLimitMovesWithTheArrowKeys) {
  latency_against_rate();
  PlotView* plot = explore().plots().front();
  plot->setFocus();
  const double before = plot->spec().references.front().value;
  QTest::keyClick(plot, Qt::Key_Left);
  EXPECT_LT(plot->spec().references.front().value, before);
}

TEST_F(Choices, AMetricWithoutACommonCaseSaysSo) {
  explore().set_arguments({{QStringLiteral("axis"), QStringLiteral("metric:energy")}});
  window.show_view(QStringLiteral("explore"));
  explore().refresh();
  EXPECT_TRUE(explore().is_empty());
  EXPECT_TRUE(explore().empty_text().contains(QStringLiteral("energy")));
}

TEST_F(Choices, WhatAPaperClaimsIsALineAndNeverStretchesTheAxis) {
  explore().set_arguments({{QStringLiteral("metric"), QStringLiteral("request_throughput")},
                           {QStringLiteral("axis"), QStringLiteral("batch")}});
  window.show_view(QStringLiteral("explore"));
  explore().refresh();
  const PlotSpec& spec = explore().plots().front()->spec();
  ASSERT_EQ(spec.references.size(), 2U);  // the ratio has no place on this axis
  EXPECT_EQ(spec.references[0].value, 11);
  EXPECT_EQ(spec.references[0].pen, provenance_pen(claimed));
  EXPECT_TRUE(spec.references[0].text.contains(QStringLiteral("11 requests a second")));
  EXPECT_EQ(spec.references[1].value, 4000);
  EXPECT_LT(explore().plots().front()->y_range().second, 100);
}

TEST_F(Choices, TheHingeChartHasARowAConditionAndMarksWhatChangesTheVerdict) {
  window.show_view(QStringLiteral("claims"));
  auto& claims = view_of<ClaimsView>(window, "claims");
  QPushButton* button = nullptr;
  for (QPushButton* held : claims.findChildren<QPushButton*>())
    if (held->text().startsWith(QStringLiteral("What the verdict"))) button = held;
  ASSERT_NE(button, nullptr);
  for (const GridRow& row : claims.table().rows)
    if (row.cells[2].text == QStringLiteral("rate")) claims.findChild<GridView*>()->select_id(row.id);
  ASSERT_TRUE(button->isEnabled());
  QTest::mouseClick(button, Qt::LeftButton);
  const PlotSpec& spec = claims.plot().spec();
  ASSERT_EQ(spec.y.categories.size(), 2U);
  EXPECT_EQ(spec.y.categories[1], QStringLiteral("dtype = bf16"));  // the widest is on top
  ASSERT_EQ(spec.series.size(), 2U);
  ASSERT_EQ(spec.series[1].points.size(), 1U);  // the one that changes the verdict
  EXPECT_EQ(spec.series[1].points[0].x, 6);
  EXPECT_EQ(spec.series[1].points[0].high, 12);
  EXPECT_EQ(spec.series[0].points.size(), 1U);  // a side without a value is no point
}

TEST(Hinge, TheFindingNamesWhatChangesTheVerdict) {
  results_db::VerdictRecord verdict;
  EXPECT_FALSE(hinge_of(verdict).has_value());
  verdict.detail_json = R"({"hinge":{"conditions":[{"condition":"batch","kind":"stated","nominal":"8","decides":true,
      "sides":[{"setting":"4","ours":1,"verdict":"partial"}]},{"condition":"x","kind":"fitted","nominal":"1",
      "decides":false,"sides":[]}]}})";
  const auto table = hinge_of(verdict);
  ASSERT_TRUE(table.has_value());
  EXPECT_EQ(finding(*table), "1 of 2 conditions change the verdict: batch = 8 (4: partial)");
}

TEST_F(Choices, TheMapHasACellACaseAndAClickSelectsItsRow) {
  window.open(QString::fromStdString(scratch.sample()));
  auto& compare = view_of<CompareView>(window, "compare");
  compare.set_arguments(
      {{QStringLiteral("base"), QStringLiteral("latest~7")}, {QStringLiteral("against"), QStringLiteral("latest")}});
  window.show_view(QStringLiteral("compare"));
  QTest::mouseClick(compare.map_button(), Qt::LeftButton);
  QCoreApplication::processEvents();
  const HeatMap& map = compare.heat().map();
  ASSERT_EQ(map.cells.size(), compare.comparisons()[0].cases.size());
  EXPECT_EQ(map.axis, "tokens");
  const Grid table = compare.table();
  for (const HeatCell& cell : map.cells) {
    const auto& row = table.rows[cell.which];
    EXPECT_EQ(row.cells[5].text, QString::number(cell.ratio, 'f', 3));
    EXPECT_EQ(row.cells[0].text, QString::fromLatin1(to_string(cell.verdict)));
  }
  const HeatCell& last = map.cells.back();
  QTest::mouseClick(&compare.heat(), Qt::LeftButton, {}, compare.heat().cell_place(last).center().toPoint());
  EXPECT_EQ(compare.findChild<GridView*>()->current_id(), static_cast<qint64>(last.which) + 1);
}

}  // namespace
}  // namespace assay::gui
