// One job of a cuda case, from the technique's side, on the fake device.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "harness/case_state.h"
#include "harness/gpu/device_buffer.h"
#include "harness/gpu/device_sampler.h"
#include "harness/registry.h"
#include "harness/state.h"
#include "tests/harness/gpu/fixture/fake_device.h"

namespace assay::harness {
namespace {

using gpu::DeviceBuffer;
using gpu::FakeDevice;

std::string planted;  // what goes wrong in the region

// y = 2 x as a kernel of 30 us.
void doubling(State& state) {
  constexpr std::size_t n = 64;
  struct Held {
    DeviceBuffer<float> x, y;
  };
  state.declare({.flops = n, .bytes = 8 * n});
  auto& device = dynamic_cast<FakeDevice&>(state.device());
  const auto held = std::make_shared<Held>(Held{{device, n}, {device, n}});
  state.inputs([=](std::uint64_t seed) {
    std::vector<float> x(n);
    for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(1 + (seed + i) % 97);
    held->x.upload(x);
  });
  state.device_output("y", held->y.data(), held->y.bytes());
  state.oracle([=] {
    const auto x = held->x.download();
    const auto y = held->y.download();
    Check check{.error = 0, .coverage = 1, .detail = "y"};
    for (std::size_t i = 0; i < n; ++i)
      if (!(y[i] == 2 * x[i])) check.error = 2;
    return check;
  });
  const auto launch = [=, &device](std::size_t count) {
    if (!planted.empty()) device.fault = planted;
    device.enqueue("kernel", 30e-6, [=] {
      for (std::size_t i = 0; i < count; ++i) held->y.data()[i] = 2 * held->x.data()[i];
    });
  };
  state.mutant("last-element-skipped", [=] { launch(n - 1); });
  state.measure([=] { launch(n); });
}

const Registration registration({.id = "fixture/on-device",
                                 .title = "Doubling",
                                 .paper = "baseline",
                                 .summary = "y = 2 x",
                                 .implementations = {{.backend = "cuda", .run = doubling, .source_file = __FILE__}}});

Job job_of(JobKind kind, const std::string& timer = "event") {
  Job job;
  job.kind = kind;
  job.technique = "fixture/on-device";
  job.backend = "cuda";
  job.timer = timer;
  job.cache = "hot";
  job.seed = 3;
  job.plan.budget_seconds = 0.01;
  return job;
}

class FakeActivity final : public profile::KernelActivity {
 public:
  void start() override { started_ = true; }
  std::vector<results_db::KernelRecord> stop() override {
    if (!started_) throw std::logic_error("stopped before it was started");
    return {{"doubling", "7", 100, 30000, R"({"grid":[1,1,1]})"}};
  }

 private:
  bool started_ = false;
};

Reply run_on_fake(const Job& job, FakeDevice** seen = nullptr) {
  GpuAccess gpu;
  gpu.open_device = [&] {
    auto device = std::make_unique<FakeDevice>();
    if (seen != nullptr) *seen = device.get();
    return device;
  };
  gpu.open_activity = [] { return std::make_unique<FakeActivity>(); };
  return run_job(job, {}, nullptr, gpu);
}

TEST(CudaGate, PoisonsDeviceOutputsAndRejectsTheMutants) {
  planted = "";
  const Reply reply = run_on_fake(job_of(JobKind::gate));
  EXPECT_EQ(reply.status, results_db::Status::ok) << reply.reason;
  EXPECT_EQ(reply.gate.mutants_total, 3) << "null, stale, last-element-skipped";
  EXPECT_EQ(reply.gate.mutants_caught, 3) << "without poison the skipped element keeps its old value";
}

TEST(CudaTiming, TakesTheDevicesTimeAndBatchesUpToAHundredMicroseconds) {
  planted = "";
  const Reply reply = run_on_fake(job_of(JobKind::time));
  ASSERT_EQ(reply.status, results_db::Status::ok) << reply.reason;
  for (std::size_t i = 0; i < reply.launch.samples.size(); ++i) EXPECT_NEAR(reply.launch.samples[i], 30e-6, 1e-9);
  EXPECT_GE(static_cast<double>(reply.launch.batch) * 30e-6, gpu::min_device_sample_seconds);
  const auto environment = nlohmann::json::parse(reply.launch.environment_json);
  EXPECT_EQ(environment.at("gpu").at("name"), "Fake GPU");
  EXPECT_EQ(environment.at("gpu").at("monitored"), false) << "no management library knows the fake";
}

#if ASSAY_HAVE_CUDA
// The header asks the environment for a listener at the first range of the process, whichever test that is in.
std::string listener() {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "libfixture_nvtx.so").string();
}
const bool listening = setenv("NVTX_INJECTION64_PATH", listener().c_str(), 1) == 0;

TEST(Nvtx, NamesRangesByCaseAndPhase) {
  ASSERT_TRUE(listening);
  void* library = dlopen(listener().c_str(), RTLD_NOW);
  ASSERT_NE(library, nullptr) << dlerror();
  const auto heard = reinterpret_cast<const char* (*)()>(dlsym(library, "assay_fixture_heard"));
  const auto forget = reinterpret_cast<void (*)()>(dlsym(library, "assay_fixture_forget"));
  planted = "";
  forget();
  run_on_fake(job_of(JobKind::gate));
  EXPECT_STREQ(heard(),
               "[fixture/on-device cuda [draw][run][compare][poison][compare][run][draw][compare]"
               "[mutant last-element-skipped][compare][run][compare]]");
  forget();
  run_on_fake(job_of(JobKind::time));
  EXPECT_EQ(std::string(heard()).rfind("[fixture/on-device cuda [draw][run][sample]", 0), 0U) << heard();
}
#endif

TEST(CudaTiming, TheCuptiTimerAddsUpWhatWasRecorded) {
  const Reply reply = run_on_fake(job_of(JobKind::time, "cupti"));
  ASSERT_EQ(reply.status, results_db::Status::ok) << reply.reason;
  ASSERT_FALSE(reply.launch.samples.empty());
  for (const double sample : reply.launch.samples)
    EXPECT_NEAR(sample * static_cast<double>(reply.launch.batch), 30e-6, 1e-9) << "one record, however large the batch";
}

TEST(CudaTiming, TheCuptiTimerIsSkippedWithoutCuptiNotReplaced) {
  GpuAccess gpu;
  gpu.open_device = [] { return std::make_unique<FakeDevice>(); };
  gpu.open_activity = []() -> std::unique_ptr<profile::KernelActivity> {
    throw profile::ActivityUnavailable("no CUPTI: libcupti.so.13 is not installed");
  };
  const Reply reply = run_job(job_of(JobKind::time, "cupti"), {}, nullptr, gpu);
  EXPECT_EQ(reply.status, results_db::Status::skipped);
  EXPECT_EQ(reply.reason, "no CUPTI: libcupti.so.13 is not installed");
}

class FakeCounters final : public profile::HardwareCounters {
 public:
  profile::CounterValues count(const std::function<void()>& region) override {
    for (int pass = 0; pass < 3; ++pass) region();
    return {.tensor_active = 0.25, .dram_bytes = 4096, .l2_hit_rate = 0.5, .passes = 3};
  }
};

TEST(CudaCounters, AreAPassWithoutTimesThatSurvivesItsJourney) {
  planted = "";
  GpuAccess gpu;
  gpu.open_device = [] { return std::make_unique<FakeDevice>(); };
  gpu.open_counters = [] { return std::make_unique<FakeCounters>(); };
  const Reply reply = reply_from_json(to_json_line(run_job(job_of(JobKind::counters), {}, nullptr, gpu)));
  ASSERT_EQ(reply.status, results_db::Status::ok) << reply.reason;
  EXPECT_TRUE(reply.launch.samples.empty());
  ASSERT_EQ(reply.launch.metrics.size(), 3U);
  EXPECT_EQ(reply.launch.metrics[0].name, "tensor_active");
  EXPECT_EQ(reply.launch.metrics[1].value, 4096);
  EXPECT_EQ(reply.launch.metrics[2].name, "l2_hit_rate");
  EXPECT_EQ(nlohmann::json::parse(reply.launch.environment_json).at("passes"), 3);
}

TEST(CudaJob, OfEveryKindIsTheSameInTheWorker) {
  for (const JobKind kind : {JobKind::describe, JobKind::gate, JobKind::time, JobKind::activity, JobKind::counters})
    EXPECT_EQ(job_from_json(to_json_line(job_of(kind))).kind, kind) << static_cast<int>(kind);
}

TEST(CudaCounters, ThatAreForbiddenSkipTheCaseWithTheReason) {
  GpuAccess gpu;
  gpu.open_device = [] { return std::make_unique<FakeDevice>(); };
  gpu.open_counters = []() -> std::unique_ptr<profile::HardwareCounters> {
    throw profile::CountersUnavailable("GPU counters are for administrators here");
  };
  const Reply reply = run_job(job_of(JobKind::counters), {}, nullptr, gpu);
  EXPECT_EQ(reply.status, results_db::Status::skipped);
  EXPECT_EQ(reply.reason, "GPU counters are for administrators here");
}

TEST(CudaFault, IsOneFailedRowWithItsNameAndEndsTheProcess) {
  planted = "cudaErrorIllegalAddress";
  const Reply reply = run_on_fake(job_of(JobKind::time));
  planted = "";
  EXPECT_EQ(reply.status, results_db::Status::failed);
  EXPECT_EQ(reply.reason.rfind("cudaErrorIllegalAddress: ", 0), 0U) << reply.reason;
  EXPECT_TRUE(reply.retire);
  EXPECT_TRUE(reply_from_json(to_json_line(reply)).retire) << "the runner has to hear of it";
}

TEST(CudaActivity, IsAPassWithoutTimesThatSurvivesItsJourney) {
  for (const std::string timer : {"event", "graph"}) {
    const Reply reply = reply_from_json(to_json_line(run_on_fake(job_of(JobKind::activity, timer))));
    ASSERT_EQ(reply.status, results_db::Status::ok) << reply.reason;
    EXPECT_TRUE(reply.launch.samples.empty());
    EXPECT_TRUE(reply.launch.metrics.empty()) << "times under a profiler are no times";
    ASSERT_EQ(reply.launch.kernels.size(), 1U);
    EXPECT_EQ(reply.launch.kernels[0].name, "doubling");
    EXPECT_EQ(reply.launch.kernels[0].duration_ns, 30000);
    EXPECT_EQ(reply.launch.kernels[0].launch_json, R"({"grid":[1,1,1]})");
    EXPECT_EQ(nlohmann::json::parse(reply.launch.environment_json).at("pass"), "activity");
  }
}

TEST(CudaActivity, WithoutCuptiIsSkippedWithTheReason) {
  GpuAccess gpu;
  gpu.open_device = [] { return std::make_unique<FakeDevice>(); };
  gpu.open_activity = []() -> std::unique_ptr<profile::KernelActivity> {
    throw profile::ActivityUnavailable("no CUPTI: libcupti.so.13 is not installed");
  };
  const Reply reply = run_job(job_of(JobKind::activity), {}, nullptr, gpu);
  EXPECT_EQ(reply.status, results_db::Status::skipped);
  EXPECT_EQ(reply.reason, "no CUPTI: libcupti.so.13 is not installed");
}

TEST(CudaCase, WithoutADeviceIsSkippedWithTheReasonWhateverIsAsked) {
  for (const JobKind kind : {JobKind::describe, JobKind::gate, JobKind::time}) {
    GpuAccess gpu;
    gpu.find_device = []() -> gpu::DeviceFacts { throw gpu::NoDevice("no NVIDIA driver is loaded"); };
    gpu.open_device = []() -> std::unique_ptr<gpu::Device> { throw gpu::NoDevice("no NVIDIA driver is loaded"); };
    const Reply reply = run_job(job_of(kind), {}, nullptr, gpu);
    EXPECT_EQ(reply.status, results_db::Status::skipped);
    EXPECT_EQ(reply.reason, "no device: no NVIDIA driver is loaded");
    EXPECT_EQ(reply.work.flops, 64) << "declared before the device was asked for";
  }
}

// A suite of hundreds of cases is described before the first of them runs.
TEST(CudaCase, IsDescribedWithoutOpeningTheDevice) {
  planted = "";
  GpuAccess gpu;
  gpu.find_device = [] { return gpu::DeviceFacts{.name = "Fake GPU"}; };
  gpu.open_device = []() -> std::unique_ptr<gpu::Device> { throw std::logic_error("opened"); };
  const Reply reply = run_job(job_of(JobKind::describe), {}, nullptr, gpu);
  EXPECT_EQ(reply.status, results_db::Status::ok) << reply.reason;
  EXPECT_EQ(reply.work.flops, 64);
  EXPECT_FALSE(reply.projected);
}

TEST(DeviceBuffer, GivesItsMemoryBackOnceAlsoWhenMoved) {
  FakeDevice device;
  {
    DeviceBuffer<int> first(device, 10);
    DeviceBuffer<int> second = std::move(first);
    EXPECT_EQ(second.bytes(), 40U);
    EXPECT_EQ(device.allocated, 1);
    second = DeviceBuffer<int>(device, 3);
    EXPECT_THROW(second.upload(std::vector<int>(4)), std::invalid_argument);
  }
  EXPECT_EQ(device.allocated, 0);
}

}  // namespace
}  // namespace assay::harness
