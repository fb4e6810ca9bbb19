#include <fmt/format.h>

#include "harness/cli/commands.h"

int main(int argc, char** argv) { return assay::cli::run_program(argc, argv); }
