#pragma once
// Results of other programs, brought into the same tables. A file is one run, named by its content, so importing it
// twice changes nothing. Techniques get the family `external`.
#include <string>
#include <string_view>
#include <vector>

#include "results_db/store.h"

namespace assay::results_db {

enum class ImportFormat { automatic, google_benchmark, nvbench, nccl_tests };
ImportFormat import_format_from(
    const std::string& text);  // auto, google-benchmark, nvbench, nccl-tests; else UserError

struct ImportOptions {
  ImportFormat format = ImportFormat::automatic;
  std::string name;  // nccl-tests: the collective, where the file does not say
  std::vector<std::string> tags;
};

struct ImportReport {
  std::string run;
  std::string format;
  bool known = false;  // was imported before
  int cases = 0, launches = 0, failed = 0, skipped = 0;
};

// A file that was read and found right; nothing is stored yet.
struct ImportedFile;
// UserError, one line naming the file and the place in it, when it is not what it should be.
ImportedFile read_import(const std::string& path, const ImportOptions& options = {});
ImportReport store_import(Store& store, ImportedFile file);
// Both.
ImportReport import_file(Store& store, const std::string& path, const ImportOptions& options = {});

// What a reader of one format makes of a file's text.
struct ImportedCase {
  CaseRecord which;
  LaunchRecord launch;  // run, case and ordinal are filled in by import_file
};
struct ImportedRun {
  RunRecord run;  // id, suite and times are filled in where empty
  std::vector<ImportedCase> cases;
};
struct ImportedFile {
  ImportedRun imported;
  ImportReport report;
};
ImportedRun read_google_benchmark(const std::string& path, const std::string& text);
ImportedRun read_nvbench(const std::string& path,
                         const std::string& text);  // samples from the .bin files beside it, where there
ImportedRun read_nccl_tests(const std::string& path, const std::string& text, const std::string& collective);

// The readable key of an imported case.
std::string imported_key(const CaseRecord& which);
// Letters, digits, '-', '_' and '.'; everything else becomes '-'.
std::string imported_technique(std::string_view name);

}  // namespace assay::results_db
