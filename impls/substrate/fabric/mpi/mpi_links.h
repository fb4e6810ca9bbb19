#pragma once
// What the parts of the mpi fabric share of MPI: for its own files, which alone include mpi.h.
#include <mpi.h>

#include <deque>
#include <vector>

#include "impls/substrate/fabric/mpi/mpi_fabric.h"

namespace assay::substrate {

// Throws with the library's text where a call has failed.
void require_mpi(int code, const char* call);

struct MpiFabric::Links {
  struct Op {
    Half half;
    std::vector<MPI_Request> parts;
    std::size_t next = 0;  // parts before it are complete
    Span span;
  };
  MPI_Comm data = MPI_COMM_NULL;      // halves of messages
  MPI_Comm control = MPI_COMM_NULL;   // failures, the end of a run
  MPI_Comm ensemble = MPI_COMM_NULL;  // steps of a case
  std::deque<Op> ops;                 // stable addresses
  std::vector<OpId> free_ops;
};

}  // namespace assay::substrate
