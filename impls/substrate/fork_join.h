#pragma once
// A small fork-join pool: the caller and threads-1 workers, each pinned to one CPU, take task numbers from a counter.
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace assay::substrate {

class ForkJoin {
 public:
  // threads >= 1. Worker t runs on the t-th CPU this process may use (modulo their number); the caller becomes worker 0
  // and is pinned only while a pool of more than one thread runs work.
  explicit ForkJoin(int threads);
  ~ForkJoin();
  ForkJoin(const ForkJoin&) = delete;
  ForkJoin& operator=(const ForkJoin&) = delete;

  int threads() const { return threads_; }

  // Runs task(index, worker) for every index in [0, count), each exactly once, and returns when all are done. Tasks are
  // handed out in index order, so put the longest first. The first exception a task throws is thrown again here.
  void run(std::int64_t count, const std::function<void(std::int64_t index, int worker)>& task);

 private:
  void work(int worker);
  void take_tasks(int worker);

  int threads_;
  std::vector<int> cpus_;
  std::vector<std::thread> workers_;
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<int> busy_{0};
  std::atomic<std::int64_t> next_{0};
  std::atomic<bool> stop_{false};
  std::int64_t count_ = 0;
  const std::function<void(std::int64_t, int)>* task_ = nullptr;
  std::mutex failure_mutex_;
  std::exception_ptr failure_;
};

}  // namespace assay::substrate
