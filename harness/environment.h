#pragma once
// The environment a number was obtained in, as the records the store keeps, and what about it will make numbers noisy.
#include <string>
#include <vector>

#include "harness/system_facts.h"
#include "results_db/records.h"

namespace assay::harness {

// The machine: facts that do not change between runs. `id` hashes processor, core and cache counts, memory size (GiB),
// GPUs, hypervisor, and outside containers (whose names are random) the host name.
results_db::MachineRecord capture_machine();
results_db::MachineRecord machine_record(const SystemFacts& facts);

// The program: commit, dirty, compiler, flags and library versions as they were when it was built.
results_db::BuildRecord capture_build();

// What may differ from run to run: kernel, load, clocks, memory in use, limits, noise warnings; one JSON object.
std::string capture_environment_json();
std::string environment_json(const SystemFacts& facts);

struct NoiseWarning {
  std::string what;  // "governor is powersave"
  std::string why;   // what it does to numbers
  std::string mend;  // the line to type, or what to do; "" where nothing can be done here
};
std::vector<NoiseWarning> noise_warnings();
std::vector<NoiseWarning> noise_warnings(const SystemFacts& facts);

}  // namespace assay::harness
