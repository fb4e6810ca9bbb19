#include "harness/launcher.h"

#include <fmt/format.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <sstream>

#include "datasets/user_error.h"

namespace assay::harness {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

bool runs(const std::string& file) { return access(file.c_str(), X_OK) == 0; }

// The file a word names: itself with a slash, else the first on PATH; "" when there is none.
std::string path_of(const std::string& program) {
  if (program.find('/') != std::string::npos) return runs(program) ? program : "";
  std::istringstream folders(variable("PATH"));
  for (std::string folder; std::getline(folders, folder, ':');)
    if (const std::string file = folder + "/" + program; runs(file)) return file;
  return {};
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// Containers often filter the call by which Open MPI copies between processes of one machine; it then fails at run time
// instead of choosing another way.
bool single_copy_refused() {
  char from = 1;
  char to = 0;
  const iovec local{&to, 1};
  const iovec remote{&from, 1};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) < 0 && (errno == EPERM || errno == ENOSYS);
}

}  // namespace

bool is_launched(std::string_view fabric) { return fabric == "mpi"; }

std::string rank_program_of(const std::string& program) {
  return program.substr(0, program.rfind('/') + 1) + "assay-mpi";
}

Launcher find_launcher(const std::string& named, const std::string& rank_program) {
  Launcher launcher;
  const std::string asked = named.empty() ? variable("ASSAY_MPIRUN") : named;
  if (!asked.empty()) {
    const char* where = named.empty() ? "ASSAY_MPIRUN" : "--launcher";
    launcher.words = words_of(asked);
    launcher.path = launcher.words.empty() ? "" : path_of(launcher.words.front());
    if (launcher.path.empty())
      throw UserError(
          fmt::format("{}: found '{}', expected a program that can be executed (mpirun, mpiexec, srun)", where, asked));
  } else {
    std::vector<const char*> candidates = {"mpirun", "mpiexec"};
    if (!variable("SLURM_JOB_ID").empty()) candidates.insert(candidates.begin(), "srun");
    for (const char* candidate : candidates) {
      launcher.path = path_of(candidate);
      if (launcher.path.empty()) continue;
      launcher.words = {candidate};
      break;
    }
    if (launcher.path.empty())
      launcher.problem =
          "fabric mpi: no mpirun, mpiexec or srun on PATH (sudo apt-get install openmpi-bin, or name one in "
          "ASSAY_MPIRUN)";
  }
  if (launcher.problem.empty() && !runs(rank_program))
    launcher.problem = fmt::format(
        "fabric mpi: {} is missing, this build has no MPI (sudo apt-get install libopenmpi-dev, then configure and "
        "build again)",
        base_name(rank_program));
  return launcher;
}

WorkerCommand job_command(const Launcher& launcher, const std::string& rank_program, int ranks) {
  WorkerCommand command;
  command.arguments = launcher.words;
  command.arguments.front() = launcher.path;
  const std::string count = std::to_string(ranks);
  const bool slurm = base_name(launcher.path) == "srun";
  if (slurm) command.arguments.insert(command.arguments.end(), {"--input=0", "--unbuffered"});
  command.arguments.insert(command.arguments.end(), {"-n", count, rank_program, "worker"});
  // Open MPI reads these; other launchers and libraries do not know them. The ranks are not bound, as threads are not.
  command.environment = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                         {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                         {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
                         {"OMPI_MCA_hwloc_base_binding_policy", "none"}};
  // srun reads these as its options: Open MPI finds its ranks by PMIx alone, which Slurm does not choose by itself;
  // more ranks than the allocation has CPUs; and a rank that ends badly ends the job.
  if (slurm)
    for (const char* name : {"SLURM_OVERCOMMIT", "SLURM_KILL_BAD_EXIT"}) command.environment.emplace_back(name, "1");
  if (slurm) command.environment.emplace_back("SLURM_MPI_TYPE", "pmix");
  if (ranks > sysconf(_SC_NPROCESSORS_ONLN)) command.environment.emplace_back("OMPI_MCA_mpi_yield_when_idle", "1");
  if (single_copy_refused()) command.environment.emplace_back("OMPI_MCA_btl_vader_single_copy_mechanism", "none");
  command.starts_ranks = true;
  return command;
}

void refuse_to_be_launched() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"})
    if (!variable(name).empty())
      throw UserError(
          fmt::format("started under a launcher ({} is set): start assay once, by itself; it starts the ranks of "
                      "fabric mpi on its own",
                      name));
}

}  // namespace assay::harness
