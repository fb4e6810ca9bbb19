// assay-mpi: one rank of a job that the runner starts with mpirun or srun, when a case has fabric mpi.
#include <cstdio>
#include <string_view>

#include "harness/worker.h"
#include "impls/substrate/fabric/mpi/mpi_fabric.h"

int main(int argc, char** argv) {
  if (argc != 2 || std::string_view(argv[1]) != "worker") {
    std::fputs("assay-mpi: one rank of a job that `assay run` starts for fabric mpi; not for people\n", stderr);
    return 2;
  }
  assay::harness::end_with_parent();
  assay::substrate::MpiFabric fabric;
  return assay::harness::worker_loop(&fabric);
}
