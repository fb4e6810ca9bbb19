// Runs that are not repeated: the same figures, and a new run where anything the program uses has changed.
#include "impls/parallelism/remembered_run.h"

#include <gtest/gtest.h>

#include "impls/parallelism/sequence/ring_attention_case.h"
#include "impls/parallelism/sequence/sequence_plan.h"

namespace assay::parallelism {
namespace {

class Remembering : public ::testing::Test {
 protected:
  CriticalPath run(const std::string& name) {
    const auto time = [&](const substrate::OpWork& work) { return substrate::operator_time(device_, work); };
    return run_or_remember(name, device_, cluster_, problem_.ranks, time, [&] {
      ++made_;
      return ring_program(problem_);
    });
  }
  void move(const char* constant, double factor) { device_.constants.at(constant).value *= factor; }

  datasets::Device device_ = datasets::load_device("a100-80g-sxm", datasets::data_root());
  datasets::Cluster cluster_ = datasets::load_cluster("dgx-a100", datasets::data_root());
  SequenceProblem problem_{
      .length = 8192, .ranks = 4, .heads = 8, .kv_heads = 8, .head_dim = 64, .causal = true, .backward = true};
  int made_ = 0;
};

TEST_F(Remembering, GivesTheFiguresOfTheRunItself) {
  const auto time = [&](const substrate::OpWork& work) { return substrate::operator_time(device_, work); };
  const CriticalPath itself = run_on_cluster(device_, cluster_, problem_.ranks, time, ring_program(problem_));
  for (int again = 0; again < 2; ++again) {
    const CriticalPath kept = run("figures");
    EXPECT_EQ(kept.seconds, itself.seconds);
    EXPECT_EQ(kept.computing, itself.computing);
    EXPECT_EQ(kept.copying, itself.copying);
    EXPECT_EQ(kept.exposed, itself.exposed);
    EXPECT_EQ(kept.inside_domain, itself.inside_domain);
  }
  EXPECT_EQ(made_, 1);
}

TEST_F(Remembering, RunsAgainWhereAnOperatorOfTheProgramTakesAnotherTime) {
  const double before = run("operators").seconds;
  move("host_iteration_seconds", 2);  // times nothing here
  EXPECT_EQ(run("operators").seconds, before);
  EXPECT_EQ(made_, 1);
  move("eff_gemm", 0.5);
  EXPECT_GT(run("operators").seconds, before);
  EXPECT_EQ(made_, 2);
}

TEST_F(Remembering, RunsAgainOnOtherLinksAndUnderAnotherName) {
  const double before = run("links").seconds;
  cluster_.constants.at("intra_bandwidth").value /= 64;
  datasets::apply_constants(cluster_);
  EXPECT_GT(run("links").seconds, before);
  problem_.length *= 2;
  EXPECT_GT(run("links, twice the length").seconds, before);
  EXPECT_EQ(made_, 3);
}

}  // namespace
}  // namespace assay::parallelism
