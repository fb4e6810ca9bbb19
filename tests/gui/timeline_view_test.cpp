// The timeline of a program over many ranks: equal ranks folded, idle stretches, pinned lanes, one held against
// another.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <QComboBox>
#include <cmath>

#include "gui/theme.h"
#include "gui/views/timeline_view.h"
#include "tests/gui/window_for_tests.h"

namespace assay::gui {
namespace {

constexpr std::int64_t us = 1'000'000;

// Two runs of twelve ranks; the last of them is late, and in the second run its block takes 40 us longer.
std::string with_ranks(const Scratch& scratch) {
  const std::string path = scratch.file("ranks.db");
  auto store = results_db::Store::open(path, results_db::Open::create);
  auto run = results_db::Store::open(scratch.sample(), results_db::Open::read_only).find_run("latest");
  results_db::CaseRecord record;
  record.technique = "sample/ring";
  record.backend = "cpu";
  record.fabric = "cluster";
  record.timer = "virtual";
  record.parameters_json = R"({"ranks":12})";
  record.key = "sample/ring cpu/cluster ranks=12 virtual";
  for (int night = 0; night < 2; ++night) {
    run.id = "00000000-0000-8000-8000-00000000000" + std::to_string(night);
    run.started_ns += 86'400'000'000'000;
    store.begin_run(run);
    results_db::LaunchRecord launch;
    launch.run = run.id;
    launch.case_id = store.put_case(record);
    launch.metrics = {{"step_time", 1e-3, "s", results_db::Provenance::projected, {}, {}}};
    for (int rank = 0; rank < 12; ++rank) {
      const std::int64_t late = rank == 11 ? 20 * us : 0, slower = night == 1 && rank == 11 ? 40 * us : 0;
      launch.intervals.push_back({fmt::format("rank {} / compute", rank), "block", 0, 100 * us + late + slower});
      launch.intervals.push_back({fmt::format("rank {} / compute", rank), "block", 300 * us, 400 * us});
      launch.intervals.push_back({fmt::format("rank {} / send", rank), "kv", 100 * us, 250 * us});
    }
    store.append_launch(launch);
  }
  store.close();
  return path;
}

class TimelineOfRanks : public testing::Test {
 protected:
  TimelineOfRanks() {
    window.resize(1280, 800);
    window.show();
    window.open(QString::fromStdString(with_ranks(scratch)));
    window.show_view(QStringLiteral("timeline"));
    QCoreApplication::processEvents();
  }
  TimelineView& timeline() { return view_of<TimelineView>(window, "timeline"); }
  Scratch scratch;
  MainWindow window{Remember::nothing};
};

TEST_F(TimelineOfRanks, EqualRanksAreOneAndTheStragglerStandsApart) {
  TimelineCanvas& canvas = timeline().canvas();
  EXPECT_EQ(canvas.data().lanes.size(), 24U);
  EXPECT_EQ(canvas.rows(), 4U);
  QTest::mouseClick(&canvas, Qt::LeftButton, {}, {20, 8});  // a click on the first name lets the others out
  EXPECT_EQ(canvas.rows(), 24U);
  canvas.set_alike(true);
  EXPECT_EQ(canvas.rows(), 4U);
}

TEST_F(TimelineOfRanks, IdleStretchesAreColored) {
  TimelineCanvas& canvas = timeline().canvas();
  const auto color_at = [&](double picoseconds) {
    const auto [from, to] = canvas.range();
    const double share = (picoseconds - from) / (to - from);
    const int x =
        TimelineCanvas::label_width() + static_cast<int>(share * (canvas.width() - TimelineCanvas::label_width()));
    return canvas.grab().toImage().pixelColor(x, 11);
  };
  const QColor before = color_at(200.0 * us);
  EXPECT_EQ(before, theme().panel);
  canvas.set_idle(true);
  EXPECT_NE(color_at(200.0 * us), before);
  EXPECT_EQ(color_at(50.0 * us), (canvas.set_idle(false), color_at(50.0 * us)));  // work looks as it did
}

TEST_F(TimelineOfRanks, APinnedLaneStaysAboveAndMovesWithTheOthers) {
  QTest::mouseClick(&timeline().canvas(), Qt::RightButton, {}, {20, 8});
  ASSERT_FALSE(timeline().pinned().isHidden());
  ASSERT_EQ(timeline().pinned().data().lanes.size(), 1U);
  EXPECT_EQ(timeline().pinned().data().lanes[0].name, "rank 0 / compute");
  timeline().canvas().set_range(100.0 * us, 200.0 * us);
  EXPECT_EQ(timeline().pinned().range(), timeline().canvas().range());
  QTest::mouseClick(&timeline().canvas(), Qt::RightButton, {}, {20, 8});
  EXPECT_TRUE(timeline().pinned().isHidden());
}

TEST_F(TimelineOfRanks, HeldAgainstTheRunBeforeItNamesTheOperationThatGrew) {
  auto* against = timeline().against_box();
  ASSERT_EQ(against->count(), 2);
  against->setCurrentIndex(1);
  Q_EMIT against->activated(1);
  const Grid table = timeline().table();
  ASSERT_EQ(table.rows.size(), 2U);
  EXPECT_EQ(table.rows[0].cells[0].text, QStringLiteral("block"));
  EXPECT_EQ(table.rows[0].cells[4].text, QStringLiteral("+3.33 us"));  // 40 us on one rank of twelve
  EXPECT_EQ(table.rows[1].cells[4].text, QStringLiteral("0 s"));
  Q_EMIT against->activated(0);
  EXPECT_EQ(timeline().table().rows.size(), 24U);
}

class TimelineOfMessages : public testing::Test {
 protected:
  TimelineOfMessages() {
    window.resize(1280, 800);
    window.show();
    window.open(QString::fromStdString(scratch.sample()));  // four ranks; each sends three blocks to the next one
    window.show_view(QStringLiteral("timeline"));
    QCoreApplication::processEvents();
  }
  int painted() {
    canvas.grab();
    return canvas.arrows_painted();
  }
  Scratch scratch;
  MainWindow window{Remember::nothing};
  TimelineCanvas& canvas = view_of<TimelineView>(window, "timeline").canvas();
};

TEST_F(TimelineOfMessages, EveryMessageInViewIsAnArrow) {
  EXPECT_EQ(canvas.data().arrows.size(), 12U);
  EXPECT_EQ(painted(), 12);
  canvas.set_range(0, 400.0 * us);  // the first block of each is under way
  EXPECT_EQ(painted(), 4);
  canvas.set_arrows(false);
  EXPECT_EQ(painted(), 0);
}

TEST_F(TimelineOfMessages, AnArrowGoesFromTheSenderToTheReceiver) {
  for (const Arrow& arrow : canvas.data().arrows) {
    const std::string from = canvas.data().lanes[arrow.from_lane].group, to = canvas.data().lanes[arrow.to_lane].group;
    EXPECT_EQ((std::stoi(from.substr(5)) + 1) % 4, std::stoi(to.substr(5)));
    EXPECT_EQ(arrow.end - arrow.start, 500 * us);
  }
  EXPECT_EQ(only_lanes(canvas.data(), {"rank 0 / link", "rank 1 / compute"}).arrows.size(), 3U);
}

TEST_F(TimelineOfMessages, AnOperationIsFoundByItsNameAndShown) {
  auto& timeline = view_of<TimelineView>(window, "timeline");
  QTest::keyClicks(timeline.find_box(), QStringLiteral("SEND to 2"));
  EXPECT_TRUE(timeline.summary().startsWith(QStringLiteral("3 bar(s) of 28")));
  QTest::keyClick(timeline.find_box(), Qt::Key_Return);
  const auto seen = canvas.range();
  EXPECT_LT(seen.second - seen.first, 2600.0 * us);
  // In the middle of a block that rank 1 sends: they begin every 800 us and take 500.
  const double middle = (seen.first + seen.second) / 2;
  EXPECT_NEAR(std::fmod(middle, 800.0 * us), 250.0 * us, 1.0 * us);
  QTest::keyClick(timeline.find_box(), Qt::Key_Return);
  EXPECT_NE(canvas.range(), seen);
  timeline.find_box()->clear();
  EXPECT_TRUE(timeline.summary().startsWith(QStringLiteral("28 bars")));
  EXPECT_FALSE(canvas.show_next_found());
}

// Everything that the suite stores a timeline of: lanes and names as the techniques and the profiler write them.
TEST(TimelineKinds, ProgramsPipelinesMemoryStepsAndKernelsAllOpen) {
  struct Kind {
    const char *technique, *fabric, *timer;
    results_db::LaunchRecord launch;
    std::vector<std::string> lanes;
    const char* provenance;
  };
  Kind kinds[] = {{"made/allreduce",
                   "threads",
                   "host",
                   {.intervals = {{"rank 0 / send", "reduce-scatter 0", 0, 4 * us, "rank 1"},
                                  {"rank 1 / receive", "reduce-scatter 0", 1 * us, 5 * us, "rank 0"}}},
                   {"rank 0 / send", "rank 1 / receive"},
                   "measured"},
                  {"made/pipelined-serving",
                   "",
                   "virtual",
                   {.intervals = {{"stage 0 / compute", "engine 0: prefill", 0, 4 * us},
                                  {"stage 1 / compute", "engine 0: prefill", 4 * us, 8 * us},
                                  {"stage 0 / compute", "engine 1: decode", 4 * us, 5 * us}}},
                   {"stage 0 / compute", "stage 1 / compute"},
                   "projected"},
                  {"made/memory",
                   "",
                   "virtual",
                   {.intervals = {{"channels", "attention 0", 0, 3 * us}, {"chip", "norm 0", 3 * us, 4 * us}}},
                   {"channels", "chip"},
                   "projected"},
                  {"made/kernels",
                   "",
                   "cupti",
                   {.kernels = {{"gemm", "7", 1000, 500, "{}"}, {"memcpy HtoD", "13", 1100, 900, "{}"}}},
                   {"stream 7", "stream 13"},
                   "measured"}};
  const Scratch scratch;
  const std::string path = scratch.file("kinds.db");
  {
    auto store = results_db::Store::open(path, results_db::Open::create);
    auto run = results_db::Store::open(scratch.sample(), results_db::Open::read_only).find_run("latest");
    store.begin_run(run);
    for (Kind& kind : kinds) {
      results_db::CaseRecord record;
      record.technique = kind.technique;
      record.backend = "cpu";
      record.fabric = kind.fabric;
      record.timer = kind.timer;
      record.parameters_json = "{}";
      record.key = record.technique;
      kind.launch.run = run.id;
      kind.launch.case_id = store.put_case(record);
      store.append_launch(kind.launch);
    }
    store.close();
  }
  MainWindow window{Remember::nothing};
  window.open(QString::fromStdString(path));
  window.show_view(QStringLiteral("timeline"));
  auto& timeline = view_of<TimelineView>(window, "timeline");
  auto* cases = timeline.findChild<QComboBox*>();
  ASSERT_EQ(cases->count(), 4);
  for (int i = 0; i < 4; ++i) {
    Q_EMIT cases->activated(i);
    std::vector<std::string> lanes;
    for (const Lane& lane : timeline.canvas().data().lanes) lanes.push_back(lane.name);
    EXPECT_EQ(lanes, kinds[i].lanes) << kinds[i].technique;
    EXPECT_TRUE(timeline.summary().contains(QStringLiteral("· ") + QString::fromLatin1(kinds[i].provenance)))
        << timeline.summary().toStdString();
    EXPECT_EQ(timeline.table().rows.size(), lanes.size());
    EXPECT_GT(timeline.table().rows[0].cells[1].order, 0);
  }
}

// What a pipeline's stages work on has a colour each, the same in every stage; engines of ranks have theirs.
TEST(TimelineCanvasPaint, StagesOfAPipelineAreColoredByWhatTheyWorkOn) {
  TimelineCanvas canvas;
  canvas.resize(TimelineCanvas::label_width() + 800, 60);
  canvas.show_data(make_timeline({{{"stage 0 / compute", "engine 0: prefill", 0, 100 * us},
                                   {"stage 1 / compute", "engine 0: prefill", 100 * us, 200 * us},
                                   {"stage 0 / compute", "engine 1: prefill", 100 * us, 200 * us}},
                                  {}}));
  EXPECT_TRUE(canvas.by_operation());
  canvas.set_range(0, 200.0 * us);
  const QImage image = canvas.grab().toImage();
  const int row = canvas.height() / 2 - 3;
  const auto at = [&](int lane, double share) {  // low in the row, below the words
    return image.pixelColor(TimelineCanvas::label_width() + static_cast<int>(share * 800), lane * row + row - 6);
  };
  EXPECT_EQ(at(0, 0.25), at(1, 0.75));
  EXPECT_NE(at(0, 0.25), at(0, 0.75));
  canvas.show_data(
      make_timeline({{{"rank 0 / compute", "block", 0, 100 * us}, {"rank 0 / send", "kv", 0, 100 * us}}, {}}));
  EXPECT_FALSE(canvas.by_operation());
}

// Many bars in a row are painted as pixels; they have to look as the rectangles of fewer do.
TEST(TimelineCanvasPaint, ManyBarsLookLikeFew) {
  std::vector<results_db::IntervalRecord> many;
  for (int i = 0; i < 150; ++i) many.push_back({"rank 0 / compute", "a", 10LL * i * us, (10LL * i + 6) * us});
  TimelineCanvas canvas;
  canvas.resize(TimelineCanvas::label_width() + 1000, 30);
  canvas.show_data(make_timeline({many, {}}));
  canvas.set_range(0, 1500.0 * us);
  const QImage dense = canvas.grab().toImage();
  canvas.set_range(0, 500.0 * us);  // fifty bars: rectangles
  const QImage sparse = canvas.grab().toImage();
  const auto at = [](const QImage& image, double share) {
    return image.pixelColor(TimelineCanvas::label_width() + static_cast<int>(share * 1000), 11);
  };
  const QColor bar = at(dense, 1503.0 / 1500 - 1 + 0.0), ground = at(dense, 8.0 / 1500);
  EXPECT_NE(bar, ground);
  EXPECT_EQ(ground, theme().panel);
  EXPECT_EQ(at(sparse, 8.0 / 500), ground);
  const QColor same = at(sparse, 4.0 / 500);
  EXPECT_NEAR(same.red(), at(dense, 4.0 / 1500).red(), 2);
  EXPECT_NEAR(same.blue(), at(dense, 4.0 / 1500).blue(), 2);
}

}  // namespace
}  // namespace assay::gui
