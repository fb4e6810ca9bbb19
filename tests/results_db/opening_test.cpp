// How a results database is recognised, upgraded, shared and closed.
#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "results_db/connection.h"
#include "results_db/schema.h"
#include "tests/results_db/example_records.h"

namespace assay::results_db {
namespace {

using examples::attention_case;
using examples::launch;
using examples::read_file;
using examples::run;
using examples::Scratch;
using examples::user_error;
using examples::write_file;

std::string opening(const std::string& path, Open how = Open::read_only) {
  return user_error([&] { Store::open(path, how); });
}

void fill(const std::string& path, int launches = 1) {
  Store store = Store::open(path, Open::create);
  store.begin_run(run("r1"));
  const std::int64_t id = store.put_case(attention_case());
  for (int i = 0; i < launches; ++i) store.append_launch(launch("r1", id, i));
}

TEST(Opening, NamesAMissingFileAndSaysWhatMakesOne) {
  const Scratch scratch;
  const std::string path = scratch.file("none.db");
  EXPECT_EQ(opening(path),
            path + ": no such results database (`assay run` makes one, `assay db sample " + path + "` one to try)");
  EXPECT_NE(opening(path, Open::read_write).find("no such results database"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Opening, RefusesWhatIsNotADatabase) {
  const Scratch scratch;
  const std::string text = scratch.file("text.db");
  write_file(text,
             "this is not a database, however long the text may go on and on and on, past a hundred bytes or so of it");
  EXPECT_EQ(opening(text), text + ": not a results database (not an SQLite file)");
  EXPECT_EQ(opening(text, Open::create), text + ": not a results database (not an SQLite file)");
  const std::string empty = scratch.file("empty.db");
  write_file(empty, "");
  EXPECT_EQ(opening(empty), empty + ": an empty file, not a results database");
  EXPECT_NE(opening(scratch.file(".")).find("is a folder"), std::string::npos);
  EXPECT_NE(opening(scratch.file("no/such/folder/a.db"), Open::create).find("cannot be opened"), std::string::npos);
}

TEST(Opening, RefusesAnotherProgramsDatabaseAndLeavesItAlone) {
  const Scratch scratch;
  const std::string path = scratch.file("foreign.db");
  {
    SQLite::Database other(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    other.exec("CREATE TABLE bookmarks (url TEXT); PRAGMA application_id = 252006675");
  }
  const std::string before = read_file(path);
  for (const Open how : {Open::read_only, Open::read_write, Open::create})
    EXPECT_EQ(opening(path, how),
              path + ": an SQLite database of another program (application id 0x0f055113, assay's is 0x61737379)");
  EXPECT_EQ(read_file(path), before);
}

TEST(Opening, RefusesANewerSchema) {
  const Scratch scratch;
  const std::string path = scratch.file("newer.db");
  fill(path);
  {
    SQLite::Database raw(path, SQLite::OPEN_READWRITE);
    raw.exec("PRAGMA user_version = 99");
  }
  EXPECT_EQ(opening(path),
            path + ": written by a newer assay (schema version 99, this one knows up to 4); use that one");
  EXPECT_EQ(opening(path, Open::create), opening(path));
}

TEST(Opening, SaysThatAFileCutShortIsDamaged) {
  const Scratch scratch;
  const std::string path = scratch.file("short.db");
  fill(path);
  const std::string whole = read_file(path);
  write_file(path, whole.substr(0, whole.size() / 2));
  EXPECT_EQ(opening(path), fmt::format("{}: damaged: {} bytes where its header says {} (cut short?)", path,
                                       whole.size() / 2, whole.size()));
  write_file(path, whole.substr(0, 50));
  EXPECT_NE(opening(path).find("damaged"), std::string::npos);
}

TEST(Opening, TurnsDamageInsideIntoOneLine) {
  const Scratch scratch;
  const std::string path = scratch.file("bad.db");
  fill(path, 50);
  std::string whole = read_file(path);
  // Everything but the first page, the one SQLite needs to open the file.
  for (std::size_t i = 4096; i < whole.size(); ++i) whole[i] = static_cast<char>(i * 31);
  write_file(path, whole);
  const std::string said = user_error([&] {
    Store store = Store::open(path, Open::read_only);
    store.runs();
  });
  EXPECT_TRUE(said.starts_with(path + ": ")) << said;
  EXPECT_NE(said.find("damaged"), std::string::npos) << said;
  EXPECT_EQ(said.find('\n'), std::string::npos) << said;
}

TEST(Opening, RefusesADatabaseWithoutOneOfItsTables) {
  const Scratch scratch;
  const std::string path = scratch.file("gone.db");
  fill(path);
  {
    SQLite::Database raw(path, SQLite::OPEN_READWRITE);
    raw.exec("DROP TABLE artifact");
  }
  EXPECT_EQ(opening(path), path + ": damaged: table artifact is missing");
}

// -- versions

void make_version_1(const std::string& path) {
  SQLite::Database db(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
  db.exec(read_file(std::string(ASSAY_SOURCE_DIR) + "/tests/results_db/schema_v1.sql"));
  db.exec(
      "INSERT INTO machine VALUES ('m', 'lab', 'cpu', 4, 5, ''); INSERT INTO build VALUES ('b', 'c', 0, 'clang', '', "
      "'');"
      "INSERT INTO run VALUES ('r1', 'quick', '', '', 'm', 'b', 7, 9, 'finished', 1, 1, '');"
      "INSERT INTO technique VALUES ('attention/x', '', ''); INSERT INTO metric VALUES ('time', 's', 'lower', '', 1);"
      "INSERT INTO case_ VALUES (3, 'attention/x cpu', 'attention/x', 'cpu', '', '{}', 'host', 'hot');"
      "INSERT INTO launch VALUES (5, 'r1', 3, 0, 7, 0.5, 1, 1, '', '', ''), (6, 'r1', 3, 1, 8, 0.5, 1, 1, '', '', '');"
      "INSERT INTO result VALUES (5, 'ok', '', '', 'noise', 0.75), (6, 'ok', '', '', 'noise', 0.5);"
      "INSERT INTO sample VALUES (5, 'time', 1, 0, NULL, NULL, x'000000000000f03f'), (6, 'time', 1, 0, NULL, NULL, "
      "x'0000000000000040');"
      "INSERT INTO distribution (launch_id, metric, n, warmup, minimum, maximum, mean, deviation, median) VALUES "
      "(5, 'time', 1, 0, 1, 1, 1, 0, 1), (6, 'time', 1, 0, 2, 2, 2, 0, 2);"
      "PRAGMA application_id = 1634956153; PRAGMA user_version = 1");
}

void expect_version_1_content(Store& store) {
  EXPECT_EQ(store.info().schema, schema_version());
  const std::vector<LaunchRecord> launches = store.launches("r1", 3);
  ASSERT_EQ(launches.size(), 2U);
  EXPECT_EQ(launches[0].samples, (std::vector<double>{1.0}));
  EXPECT_EQ(launches[1].samples, (std::vector<double>{2.0}));
  // The one thing version 1 knew of the gate.
  const std::optional<GateRecord> gate = store.gate("r1", 3);
  ASSERT_TRUE(gate);
  EXPECT_EQ(gate->coverage, 0.5);
  EXPECT_TRUE(store.check().clean());
}

TEST(Opening, UpgradesAnOlderFileInPlaceWhenWriting) {
  const Scratch scratch;
  const std::string path = scratch.file("old.db");
  make_version_1(path);
  {
    Store store = Store::open(path, Open::read_write);
    ASSERT_EQ(store.notes().size(), 1U);
    EXPECT_EQ(store.notes()[0], path + ": upgraded from schema version 1 to 4");
    expect_version_1_content(store);
  }
  Store again = Store::open(path, Open::read_only);
  EXPECT_TRUE(again.notes().empty());
  expect_version_1_content(again);
}

TEST(Opening, ReadsAnOlderFileWithoutTouchingIt) {
  const Scratch scratch;
  const std::string path = scratch.file("old.db");
  make_version_1(path);
  const std::string before = read_file(path);
  {
    Store store = Store::open(path, Open::read_only);
    expect_version_1_content(store);
    EXPECT_EQ(store.notes().size(), 1U);
  }
  EXPECT_EQ(read_file(path), before);
}

std::string schema_of(SQLite::Database& db) {
  std::string text;
  SQLite::Statement objects(db,
                            "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name");
  while (objects.executeStep()) {
    const std::string name = objects.getColumn(1).getString();
    text += objects.getColumn(0).getString() + " " + name + "\n";
    SQLite::Statement fields(db,
                             "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?) ORDER BY name");
    fields.bind(1, name);
    while (fields.executeStep()) {
      for (int i = 0; i < 5; ++i) text += " " + fields.getColumn(i).getString();
      text += "\n";
    }
    SQLite::Statement keys(
        db, "SELECT \"from\", \"table\", \"to\", on_delete FROM pragma_foreign_key_list(?) ORDER BY 1, 2, 3");
    keys.bind(1, name);
    while (keys.executeStep()) {
      for (int i = 0; i < 4; ++i) text += " " + keys.getColumn(i).getString();
      text += "\n";
    }
  }
  return text;
}

TEST(Opening, MakesTheSameSchemaByMigrationAsAnew) {
  const Scratch scratch;
  make_version_1(scratch.file("old.db"));
  SQLite::Database old(scratch.file("old.db"), SQLite::OPEN_READWRITE);
  run_migrations(old);
  fill(scratch.file("new.db"));
  SQLite::Database fresh(scratch.file("new.db"), SQLite::OPEN_READONLY);
  EXPECT_EQ(schema_of(old), schema_of(fresh));
}

// -- sharing

TEST(Opening, LetsAReaderReadWhileAWriterWrites) {
  const Scratch scratch;
  const std::string path = scratch.file("a.db");
  Store writer = Store::open(path, Open::create);
  writer.begin_run(run("r1"));
  const std::int64_t id = writer.put_case(attention_case());
  Store reader = Store::open(path, Open::read_only);
  for (int i = 0; i < 20; ++i) {
    const std::int64_t before = reader.data_version();
    writer.append_launch(launch("r1", id, i));
    EXPECT_EQ(reader.launches("r1", id).size(), static_cast<std::size_t>(i + 1));
    EXPECT_NE(reader.data_version(), before);
  }
}

TEST(Opening, TellsASecondWriterThatTheFileIsInUse) {
  const Scratch scratch;
  const std::string path = scratch.file("a.db");
  fill(path);
  Store keeper = Store::open(path, Open::read_write);
  SQLite::Database first(path, SQLite::OPEN_READWRITE);
  first.exec("BEGIN IMMEDIATE");
  StoreOptions impatient;
  impatient.busy_timeout_ms = 20;
  Store second = Store::open(path, Open::read_write, impatient);
  EXPECT_EQ(user_error([&] { second.put_case(attention_case("4096")); }),
            path + ": another process is writing to it; one writer at a time, try again when it is done");
  first.exec("COMMIT");
  EXPECT_GT(second.put_case(attention_case("4096")), 0);
}

TEST(Opening, LeavesOneFileWhenTheWriterCloses) {
  const Scratch scratch;
  const std::string path = scratch.file("a.db");
  Store writer = Store::open(path, Open::create);
  writer.begin_run(run("r1"));
  EXPECT_TRUE(std::filesystem::exists(path + "-wal"));
  writer.close();
  EXPECT_FALSE(std::filesystem::exists(path + "-wal"));
  EXPECT_FALSE(std::filesystem::exists(path + "-shm"));
  {
    Store reader = Store::open(path, Open::read_only);
    EXPECT_EQ(reader.runs().size(), 1U);
    EXPECT_FALSE(std::filesystem::exists(path + "-wal"));
  }
  EXPECT_EQ(Store::open(path, Open::read_write).info().journal, "wal");  // and back again for the next writer
}

TEST(Opening, FoldsTheLogInEvenWhileAReaderHasTheFileOpen) {
  const Scratch scratch;
  const std::string path = scratch.file("a.db");
  fill(path);
  Store reader = Store::open(path, Open::read_only);
  EXPECT_EQ(reader.runs().size(), 1U);
  Store writer = Store::open(path, Open::read_write);
  writer.begin_run(run("r2"));
  writer.close();
  std::filesystem::copy_file(path, scratch.file("copy.db"));  // the file alone, without a log
  EXPECT_EQ(Store::open(scratch.file("copy.db"), Open::read_only).runs().size(), 2U);
}

TEST(Opening, FallsBackFromWalOnNetworkFileSystems) {
  const Scratch scratch;
  const std::string path = scratch.file("a.db");
  fill(path);
  EXPECT_EQ(Store::open(path, Open::read_write).info().journal, "wal");
  StoreOptions on_nfs;
  on_nfs.filesystem = 0x6969;
  {
    Store store = Store::open(path, Open::read_write, on_nfs);
    EXPECT_EQ(store.info().journal, "truncate");
    ASSERT_EQ(store.notes().size(), 1U);
    EXPECT_NE(store.notes()[0].find("on a network file system"), std::string::npos);
    store.begin_run(run("r2"));
    EXPECT_FALSE(std::filesystem::exists(path + "-wal"));
  }
  EXPECT_EQ(Store::open(path, Open::read_only).runs().size(), 2U);
  for (const std::int64_t magic :
       {0x6969LL, 0x517BLL, 0xFF534D42LL, 0xFE534D42LL, 0x65735546LL, 0x01021997LL, 0x0BD00BD0LL})
    EXPECT_TRUE(is_network_filesystem(magic)) << magic;
  for (const std::int64_t magic :
       {0xEF53LL /* ext4 */, 0x58465342LL /* xfs */, 0x01021994LL /* tmpfs */, 0x794C7630LL /* overlay */})
    EXPECT_FALSE(is_network_filesystem(magic)) << magic;
}

TEST(Opening, RefusesToWriteThroughAReader) {
  const Scratch scratch;
  fill(scratch.file("a.db"));
  Store reader = Store::open(scratch.file("a.db"), Open::read_only);
  EXPECT_THROW(reader.begin_run(run("r2")), std::logic_error);
}

}  // namespace
}  // namespace assay::results_db
