// The order of the Compare view: what lies furthest outside a case's own noise first, or the largest ratio.
#include <gtest/gtest.h>

#include <cmath>

#include "gui/views/compare_view.h"
#include "tests/gui/window_for_tests.h"

namespace assay::gui {
namespace {

constexpr std::int64_t day_ns = 86'400'000'000'000;

// Nine nights of a quiet case (sessions within 0.2%) and a wild one (within 20%); on the last the quiet one is 4%
// slower, the wild one 8%.
std::string quiet_and_wild(const Scratch& scratch) {
  const std::string path = scratch.file("noise.db");
  auto store = results_db::Store::open(path, results_db::Open::create);
  auto run = results_db::Store::open(scratch.sample(), results_db::Open::read_only).find_run("latest");
  run.tags.clear();
  for (int night = 0; night < 9; ++night) {
    run.id = "5a3b1e00-0000-8000-8000-00000000000" + std::to_string(night);
    run.started_ns += day_ns;
    store.begin_run(run);
    for (const bool wild : {false, true}) {
      results_db::CaseRecord record;
      record.technique = wild ? "made/wild" : "made/quiet";
      record.backend = "cpu";
      record.parameters_json = R"({"n":1})";
      record.key = record.technique + " cpu n=1";
      const std::int64_t id = store.put_case(record);
      for (int ordinal = 0; ordinal < 6; ++ordinal) {
        results_db::LaunchRecord launch;
        launch.run = run.id;
        launch.case_id = id;
        launch.ordinal = ordinal;
        launch.started_ns = run.started_ns + ordinal;
        const double swing = ((night * 5 + ordinal * 3) % 7 - 3) / 3.0 * (wild ? 0.2 : 0.002);
        const double slower = night < 8 ? 1.0 : wild ? 1.08 : 1.04;
        launch.metrics = {
            {"time", 0.1 * slower * (1 + (night < 7 ? swing : 0)), "s", results_db::Provenance::measured, {}, {}}};
        store.append_launch(launch);
      }
    }
    store.finish_run(run.id, "finished", run.started_ns + 1);
  }
  store.close();
  return path;
}

class CompareOrder : public testing::Test {
 protected:
  CompareOrder() {
    window.resize(1280, 800);
    window.show();
    window.open(QString::fromStdString(quiet_and_wild(scratch)));
    window.show_view(QStringLiteral("compare"));
  }
  CompareView& compare() { return view_of<CompareView>(window, "compare"); }
  Scratch scratch;
  MainWindow window{Remember::nothing};
};

TEST_F(CompareOrder, ASmallDifferenceOfAQuietCaseComesBeforeALargeOneOfAWildCase) {
  Grid table = compare().table();
  ASSERT_EQ(table.rows.size(), 2U);
  EXPECT_EQ(table.rows[0].cells[0].text, table.rows[1].cells[0].text);  // one verdict
  EXPECT_TRUE(table.rows[0].cells[1].text.startsWith(QStringLiteral("quiet")));
  // log 1.04 over log 1.02, the floor: the fence is narrower.
  EXPECT_EQ(cell_of(table, QStringLiteral("quiet"), QStringLiteral("times its noise")), QStringLiteral("2.0x"));
  const QString wild = cell_of(table, QStringLiteral("wild"), QStringLiteral("times its noise"));
  EXPECT_LT(wild.chopped(1).toDouble(), 0.7) << wild.toStdString();
  QTest::mouseClick(compare().percent_button(), Qt::LeftButton);
  table = compare().table();
  EXPECT_TRUE(table.rows[0].cells[1].text.startsWith(QStringLiteral("wild")));
  EXPECT_TRUE(compare().arguments().contains(QStringLiteral("sort=percent")));
}

TEST_F(CompareOrder, TheTooltipSaysWhatTheNoiseIsKnownFrom) {
  const Grid table = compare().table();
  for (const GridRow& row : table.rows)
    EXPECT_TRUE(row.cells[7].tip.contains(QStringLiteral("8 runs at the base's level")))
        << row.cells[7].tip.toStdString();
}

TEST_F(CompareOrder, WhatAllRowsShareIsSaidOnceAndStillHandedOut) {
  const auto* rows = compare().findChild<GridView*>();
  EXPECT_TRUE(rows->isColumnHidden(2));
  EXPECT_TRUE(compare().summary().contains(QStringLiteral("all: ● time"))) << compare().summary().toStdString();
  EXPECT_EQ(as_csv(compare().table()).count(QStringLiteral("● time")), 2);
}

TEST_F(CompareOrder, TheSelectedCaseIsTheSameInEveryView) {
  const auto data = window.session().run();
  compare().move(1);  // to the second row
  ASSERT_TRUE(window.session().selected_case().has_value());
  EXPECT_EQ(data->find(*window.session().selected_case())->info.name, "wild");
  window.show_view(QStringLiteral("explore"));
  for (const CaseResult& result : data->cases)
    if (result.info.name == "quiet") window.session().select_case(result.info.id);
  window.show_view(QStringLiteral("compare"));
  const auto* rows = compare().findChild<GridView*>();
  ASSERT_GT(rows->current_id(), 0);
  EXPECT_TRUE(rows->grid().rows[static_cast<std::size_t>(rows->current_id()) - 1].cells[1].text.startsWith(
      QStringLiteral("quiet")));
}

TEST_F(CompareOrder, AKeystrokeInTheFilterComparesNothingAnew) {
  const harness::Comparison* before = compare().comparisons().data();
  window.session().set_filter(QStringLiteral("quiet"));
  EXPECT_EQ(compare().table().rows.size(), 1U);
  EXPECT_EQ(compare().comparisons().data(), before);
}

TEST_F(CompareOrder, AxesAndVerdictsFilterTheRows) {
  const auto rows = [&](const char* filter) {
    window.session().set_filter(QString::fromLatin1(filter));
    return compare().table().rows.size();
  };
  EXPECT_EQ(rows("n=1"), 2U);
  EXPECT_EQ(rows("n>1"), 0U);
  EXPECT_EQ(rows("technique=wild"), 1U);
  const QString verdict = [&] {
    rows("");
    return compare().table().rows[0].cells[0].text;
  }();
  EXPECT_EQ(rows(verdict.toLatin1().constData()), 2U);
  EXPECT_EQ(rows("n=1 -wild"), 1U);
}

}  // namespace
}  // namespace assay::gui
