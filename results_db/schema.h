#pragma once
// The SQL a results database is made of, and the numbers that mark the file as one.
#include <cstdint>
#include <span>

namespace assay::results_db {

// PRAGMA application_id of every results database: "assy". A file without it belongs to another program.
inline constexpr std::int32_t application_id = 0x61737379;

const char* schema_sql();                        // all tables of the current version
const char* views_sql();                         // the stable views, made anew by every migration
std::span<const char* const> migration_steps();  // step i takes version i + 1 to i + 2
inline int schema_version() { return 1 + static_cast<int>(migration_steps().size()); }

}  // namespace assay::results_db
