#pragma once
// A test with a database of its own, empty at the start and removed at the end.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>

#include "results_db/store.h"

namespace assay::harness {

class OwnDatabase : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    path_ = (std::filesystem::temp_directory_path() /
             (std::string(info->test_suite_name()) + "_" + std::to_string(getpid()) + "_" + info->name() + ".db"))
                .string();
    std::filesystem::remove(path_);
    store_.emplace(results_db::Store::open(path_, results_db::Open::create));
  }
  void TearDown() override {
    store_.reset();
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path_ + suffix);
  }

  std::string path_;
  std::optional<results_db::Store> store_;
};

}  // namespace assay::harness
