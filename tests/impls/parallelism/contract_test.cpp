// What every technique over ranks promises, asked of all that are registered: on real data its result is that of the
// one-rank float64 oracle, forward and in every gradient; it counts the same bytes, messages and memory peaks as in
// virtual time (the gate compares them before any time counts); and its wrong versions are rejected.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "harness/case_state.h"
#include "harness/registry.h"

namespace assay::parallelism {
namespace {

using harness::Axis;
using harness::Implementation;

const Implementation* over_threads(const harness::Technique& technique) {
  for (const Implementation& each : technique.implementations)
    if (std::ranges::find(each.fabrics, "threads") != each.fabrics.end()) return &each;
  return nullptr;
}

const Axis* axis_of(const Implementation& implementation, const std::string& name) {
  for (const Axis& axis : implementation.axes)
    if (axis.name == name) return &axis;
  return nullptr;
}

struct Point {
  std::string technique;
  std::string layout;  // "" where the technique has none
};
std::ostream& operator<<(std::ostream& out, const Point& point) {
  return out << point.technique << (point.layout.empty() ? "" : " ") << point.layout;
}

// Every technique on threads, with each of its layouts.
std::vector<Point> points() {
  std::vector<Point> all;
  for (const harness::Technique& technique : harness::techniques()) {
    const Implementation* implementation = over_threads(technique);
    if (implementation == nullptr) continue;
    const Axis* layout = axis_of(*implementation, "layout");
    if (layout == nullptr) all.push_back({technique.id, ""});
    for (std::size_t i = 0; layout != nullptr && i < layout->allowed.size(); ++i)
      all.push_back({technique.id, harness::to_text(layout->allowed[i])});
  }
  return all;
}

struct Shape {
  std::int64_t length = 96;
  bool causal = true, backward = true;
  const char* dtype = "fp32";
  std::int64_t kv_heads = 24, batch = 1;
  bool of_other_lengths = false;  // batches and videos too have lengths that are not their axes' defaults, all odd
};

class Contract : public ::testing::TestWithParam<Point> {
 protected:
  const Implementation& implementation() const {
    return *over_threads(harness::resolve_technique(GetParam().technique));
  }
  bool has(const char* axis) const { return axis_of(implementation(), axis) != nullptr; }

  harness::Reply gate(std::int64_t ranks, const Shape& shape) const {
    harness::Job job{
        .kind = harness::JobKind::gate, .technique = GetParam().technique, .backend = "cpu", .fabric = "threads"};
    for (const Axis& axis : implementation().axes) job.params.set(axis.name, axis.defaults.front());
    const auto set = [&](const char* axis, harness::Value value) {
      if (has(axis)) job.params.set(axis, std::move(value));
    };
    set("ranks", ranks);
    set("sequence_length", shape.length);
    set("heads", std::int64_t{24});  // every number of ranks here divides it
    set("kv_heads", shape.kv_heads);
    set("head_dim", std::int64_t{8});
    set("batch", shape.batch);
    set("causal", std::int64_t{shape.causal});
    set("backward", std::int64_t{shape.backward});
    set("dtype", std::string(shape.dtype));
    if (shape.of_other_lengths) {
      set("sequences", std::int64_t{7});
      set("longest", shape.length);
      set("batch_seed", std::int64_t{9});
      set("frames", std::int64_t{5});
      set("frame_tokens", std::int64_t{7});
      set("response", std::int64_t{6});
    }
    if (!GetParam().layout.empty()) set("layout", GetParam().layout);
    job.seed = static_cast<std::uint64_t>(ranks) + 40;
    job.mutant_budget_seconds = 1e9;
    return harness::run_job(job);
  }

  void expect_kept(std::int64_t ranks, const Shape& shape) const {
    const harness::Reply reply = gate(ranks, shape);
    ASSERT_EQ(reply.status, results_db::Status::ok)
        << ranks << " ranks, " << shape.length << " tokens, " << shape.dtype << ": " << reply.reason;
    EXPECT_LE(reply.gate.error, 1);
    EXPECT_EQ(reply.gate.coverage, 1);
    EXPECT_GE(reply.gate.mutants_total, 2);
    EXPECT_EQ(reply.gate.mutants_caught, reply.gate.mutants_total) << ranks << " ranks, " << shape.dtype;
  }
};

TEST_P(Contract, HoldsForEveryNumberOfRanks) {
  for (const std::int64_t ranks : {1, 2, 3, 4, 8}) expect_kept(ranks, {});
}

TEST_P(Contract, HoldsForLengthsThatCannotBeDealtEvenly) {
  for (const char* length : {"sequence_length", "longest", "frames"})
    if (has(length)) {
      for (const std::int64_t ranks : {1, 2, 3, 4, 8})
        expect_kept(ranks, {.length = 101, .batch = 2, .of_other_lengths = true});
      return;
    }
  // Collectives: their buffers' bytes are tried in collectives_test.
  EXPECT_FALSE(GetParam().technique.starts_with("parallelism/sequence/"));
}

TEST_P(Contract, HoldsForFullAttentionForwardAloneAndBf16) {
  for (const std::int64_t ranks : {1, 4}) {
    expect_kept(ranks, {.causal = false});
    expect_kept(ranks, {.backward = false});
    expect_kept(ranks, {.length = 97, .dtype = "bf16"});
  }
}

TEST_P(Contract, HoldsForSharedKeyHeadsOrSaysWhyNot) {
  if (!has("kv_heads")) GTEST_SKIP() << "has no key heads of its own number";
  for (const std::int64_t ranks : {1, 2, 3, 4, 8}) {
    const Shape shape{.length = 75, .kv_heads = 2, .batch = 2};
    const harness::Reply reply = gate(ranks, shape);
    if (reply.user_error) {
      EXPECT_NE(reply.reason.find("kv_heads: found 2, expected"), std::string::npos) << reply.reason;
      EXPECT_EQ(reply.reason.find('\n'), std::string::npos);
    } else {
      expect_kept(ranks, shape);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Techniques, Contract, ::testing::ValuesIn(points()), [](const auto& point) {
  std::string name = point.param.technique.substr(point.param.technique.rfind('/') + 1) + "_" + point.param.layout;
  std::ranges::replace_if(
      name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

TEST(ContractPoints, AreThoseOfEveryTechniqueOverRanks) { EXPECT_GE(points().size(), 3U); }

}  // namespace
}  // namespace assay::parallelism
