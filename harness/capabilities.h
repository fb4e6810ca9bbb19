#pragma once
// The parts of the machine and of the installation that assay can use but does not need: which are there, and what each
// missing one takes.
#include <string>
#include <vector>

#include "harness/system_facts.h"

namespace assay::harness {

enum class Readiness { ready, limited, absent };
const char* to_string(Readiness readiness);

struct Capability {
  std::string name;  // "oneDNN"
  Readiness readiness = Readiness::absent;
  std::string found;    // version or reason
  std::string unlocks;  // what it is for
  std::string mend;     // the line that makes it ready; "" when it is, or where nothing can
  bool used = true;     // false: assay cannot use it yet, ready or not
};

// Answers of the kernel that need a system call; a value, so that what follows from them can be tested.
struct KernelAnswers {
  int perf_error = 0;    // errno of opening a cycle counter for this process; 0: it opens
  int amx_error = 0;     // errno of asking for the AMX tile state; 0: granted
  int energy_error = 0;  // errno of opening the RAPL package counter for reading; 0: readable
  bool nccl = false;     // the libraries load
  bool cupti = false;
  std::string no_device;              // why CUDA has no device to run on; "" where it has one
  bool profiling_admin_only = false;  // the NVIDIA driver keeps GPU counters to administrators
  std::string launcher;               // of fabric mpi, its path; "" when there is none
  bool rank_program = false;          // this build has the program it starts
  bool dashboard = false;             // assay-gui stands beside this program
  std::string launcher_problem;       // one line, where a launcher was named and cannot be used
};
KernelAnswers ask_kernel();

std::vector<Capability> capabilities(const SystemFacts& facts, const KernelAnswers& answers);

}  // namespace assay::harness
