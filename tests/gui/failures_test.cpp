// A database that is missing, damaged, locked, newer, deleted or replaced is one line and a way on.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <QPushButton>
#include <fstream>

#include "tests/gui/window_for_tests.h"

namespace assay::gui {
namespace {

void execute(const std::string& path, const char* sql) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
}

class Failures : public testing::Test {
 protected:
  Failures() { window.show(); }
  bool open(const std::string& path) { return window.open(QString::fromStdString(path)); }
  // Whatever is wrong, every view can be looked at and tells how to go on.
  void every_view_stands() {
    for (const QString& id : window.view_ids()) {
      window.show_view(id);
      QCoreApplication::processEvents();
    }
  }
  Scratch scratch;
  MainWindow window{Remember::nothing};
};

TEST_F(Failures, AMissingFileIsNamed) {
  EXPECT_FALSE(open(scratch.file("absent.db")));
  EXPECT_TRUE(window.banner().contains(QStringLiteral("absent.db")));
  every_view_stands();
  EXPECT_TRUE(window.current()->is_empty());
  EXPECT_TRUE(window.current()->empty_text().contains(QStringLiteral("assay run")));
}

TEST_F(Failures, AFileOfAnotherProgramIsRefused) {
  std::ofstream(scratch.file("letter.db")) << std::string(5000, 'x');
  EXPECT_FALSE(open(scratch.file("letter.db")));
  EXPECT_TRUE(window.banner().contains(QStringLiteral("not a results database")));
  every_view_stands();
}

TEST_F(Failures, ATruncatedFileIsSaidToBeDamaged) {
  const std::string path = scratch.sample();
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 3);
  open(path);
  every_view_stands();
  EXPECT_FALSE(window.banner().isEmpty());
}

TEST_F(Failures, ANewerSchemaSaysSo) {
  const std::string path = scratch.sample();
  execute(path, "PRAGMA user_version = 999");
  EXPECT_FALSE(open(path));
  EXPECT_TRUE(window.banner().contains(QStringLiteral("999")));
  every_view_stands();
}

TEST_F(Failures, ALockedFileSaysSoAndOpensWhenItIsFree) {
  const std::string path = scratch.sample();
  execute(path, "PRAGMA journal_mode = DELETE");
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN EXCLUSIVE", nullptr, nullptr, nullptr), SQLITE_OK);
  EXPECT_FALSE(open(path));
  EXPECT_TRUE(window.banner().contains(QStringLiteral("another process"))) << window.banner().toStdString();
  every_view_stands();
  sqlite3_exec(other, "COMMIT", nullptr, nullptr, nullptr);
  sqlite3_close(other);
  for (QPushButton* button : window.findChildren<QPushButton*>())
    if (button->text() == QStringLiteral("Try again")) QTest::mouseClick(button, Qt::LeftButton);
  EXPECT_EQ(window.banner(), QString());
  EXPECT_NE(window.session().database(), nullptr);
}

TEST_F(Failures, ADeletedFileKeepsWhatWasRead) {
  const std::string path = scratch.sample();
  ASSERT_TRUE(open(path));
  std::filesystem::remove(path);
  window.session().look();
  EXPECT_TRUE(window.banner().contains(QStringLiteral("was deleted")));
  every_view_stands();
  window.show_view(QStringLiteral("explore"));
  EXPECT_FALSE(window.current()->is_empty());
}

TEST_F(Failures, AReplacedFileIsNoticed) {
  const std::string path = scratch.sample();
  ASSERT_TRUE(open(path));
  results_db::write_sample_database(scratch.file("other.db"));
  std::filesystem::rename(scratch.file("other.db"), path);
  window.session().look();
  EXPECT_TRUE(window.banner().contains(QStringLiteral("was replaced")));
}

TEST_F(Failures, ARunThatIsWrittenWhileOpenAppears) {
  const std::string path = scratch.sample();
  ASSERT_TRUE(open(path));
  auto writer = results_db::Store::open(path, results_db::Open::read_write);
  auto run = writer.find_run("latest");
  run.id = "00000000-0000-8000-8000-0000000000ff";
  run.started_ns += 86'400'000'000'000;
  run.status = "running";
  writer.begin_run(run);
  window.session().look();
  EXPECT_EQ(window.banner(), QString());
  EXPECT_EQ(window.session().run()->run.id, run.id);
  every_view_stands();
}

TEST_F(Failures, AnEmptyDatabaseNamesTheCommandThatFillsIt) {
  results_db::Store::open(scratch.file("empty.db"), results_db::Open::create).close();
  ASSERT_TRUE(open(scratch.file("empty.db")));
  for (const QString& id : window.view_ids()) {
    window.show_view(id);
    EXPECT_TRUE(window.current()->is_empty()) << id.toStdString();
    EXPECT_TRUE(window.current()->empty_text().contains(QStringLiteral("assay "))) << id.toStdString();
  }
}

}  // namespace
}  // namespace assay::gui
