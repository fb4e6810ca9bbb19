#pragma once
// What `assay list` knows, one function a kind: rows of a table or a JSON document on standard output.
#include <string>
#include <vector>

#include "harness/cli/commands.h"

namespace assay::cli {

struct ListRequest {
  std::vector<std::string> names;     // empty: all in one table; else each in detail
  std::vector<std::string> families;  // folder or its last part; empty: all
  bool unverified = false;            // of techniques: only what has not yet run on its hardware, with its variants
};

void list_techniques(const ListRequest& request, const Context& context);
void list_suites(const ListRequest& request, const Context& context);
void list_devices(const ListRequest& request, const Context& context);
void list_metrics(const ListRequest& request, const Context& context);
void list_claims(const ListRequest& request, const Context& context);

constexpr int list_schema_version = 1;

}  // namespace assay::cli
