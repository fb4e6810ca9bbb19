#pragma once
// Runs of one rank program on machines that differ in nothing the program uses are one run. The claims engine moves
// every fitted constant of a device by itself; most of them time no operator of a given program.
#include <functional>
#include <string>

#include "datasets/machine.h"
#include "impls/parallelism/program_case.h"
#include "impls/substrate/models/operator_time.h"

namespace assay::parallelism {

// Of a program on a modelled cluster.
struct CriticalPath {
  double seconds = 0;
  double computing = 0, copying = 0, exposed = 0;  // of the rank that finishes last
  bool inside_domain = true;
};

using TimeOfOperator = std::function<substrate::OperatorTime(const substrate::OpWork&)>;

CriticalPath run_on_cluster(const datasets::Device& device, const datasets::Cluster& cluster, int ranks,
                            const TimeOfOperator& time, const RankProgram& program);

// The same. `name` says all that the program and `time` follow from beside the machine: programs of one name have the
// same operators on every machine with this number of ranks. A run is given again where every operator of the program
// takes what it took then, on a cluster of the same numbers.
CriticalPath run_or_remember(const std::string& name, const datasets::Device& device, const datasets::Cluster& cluster,
                             int ranks, const TimeOfOperator& time, const std::function<RankProgram()>& make);

}  // namespace assay::parallelism
