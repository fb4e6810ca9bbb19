#pragma once
// How the processes of one job are started: mpirun, mpiexec or srun, with what each needs as root and where there are
// more ranks than cores. The runner itself is never a process of such a job.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace assay::harness {

struct WorkerCommand {
  std::vector<std::string> arguments;                            // program first
  std::vector<std::pair<std::string, std::string>> environment;  // for the child, unless it is set already
  bool starts_ranks = false;                                     // a launcher: the worker's processes are below it
};

struct Launcher {
  std::vector<std::string> words;  // "mpirun", "--bind-to", "core"
  std::string path;                // of its program
  std::string problem;             // one line: why no job can be started; empty: one can
};

// True for fabrics whose ranks are processes of a launched job.
bool is_launched(std::string_view fabric);

// `named` (--launcher, with arguments), else ASSAY_MPIRUN, else srun inside a Slurm allocation, else mpirun or mpiexec
// on PATH. UserError when a named one cannot be executed. `rank_program` is what it would start; its absence is a
// problem too.
Launcher find_launcher(const std::string& named, const std::string& rank_program);

// The program of the ranks, beside `program` or the running one: built where MPI was found.
std::string rank_program_of(const std::string& program);

// `rank_program worker` on every rank; standard input and output are those of rank 0.
WorkerCommand job_command(const Launcher& launcher, const std::string& rank_program, int ranks);

// UserError when this process was itself started by a launcher: `mpirun assay run` would measure once a rank.
void refuse_to_be_launched();

}  // namespace assay::harness
