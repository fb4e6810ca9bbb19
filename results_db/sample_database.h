#pragma once
// A small database to try viewers on before anything has run. Nothing in it was measured: every label says so (machine,
// suite and tag "sample", techniques of the family "sample").
#include <string>

namespace assay::results_db {

// Makes `path`; UserError when it exists. Always the same content.
void write_sample_database(const std::string& path);

}  // namespace assay::results_db
