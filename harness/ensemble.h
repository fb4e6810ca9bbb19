#pragma once
// The processes of a launched job that run one case together (fabric mpi). All call the technique's function; the first
// conducts: it decides what is drawn, run, compared and timed, and the others do the same at the same time.
#include <string>

namespace assay::harness {

class Ensemble {
 public:
  Ensemble() = default;
  virtual ~Ensemble() = default;
  Ensemble(const Ensemble&) = delete;
  Ensemble& operator=(const Ensemble&) = delete;

  virtual int rank() const = 0;  // of this process; 0 conducts
  virtual int size() const = 0;
  virtual void broadcast(std::string& text) = 0;  // gives everyone the conductor's text
  virtual void barrier() = 0;
  // True when all processes know of the last failure of this one, so that they remain in step after it.
  virtual bool failed_together() const = 0;
  virtual std::string description() const = 0;  // "Open MPI 4.1.4"
};

}  // namespace assay::harness
