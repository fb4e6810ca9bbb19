#include "impls/substrate/fork_join.h"

#include <pthread.h>
#include <sched.h>

#include <utility>

#include "impls/substrate/cpu_features.h"

namespace assay::substrate {
namespace {

void pin_to(const std::vector<int>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);  // a refusal costs steadiness, not correctness
}

}  // namespace

ForkJoin::ForkJoin(int threads) : threads_(threads), cpus_(allowed_cpus()) {
  for (int worker = 1; worker < threads_; ++worker) workers_.emplace_back([this, worker] { work(worker); });
}

ForkJoin::~ForkJoin() {
  stop_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ForkJoin::take_tasks(int worker) {
  for (;;) {
    const std::int64_t index = next_.fetch_add(1, std::memory_order_relaxed);
    if (index >= count_) return;
    try {
      (*task_)(index, worker);
    } catch (...) {  // kept and thrown to the caller of run
      const std::lock_guard lock(failure_mutex_);
      if (!failure_) failure_ = std::current_exception();
      next_.store(count_, std::memory_order_relaxed);
    }
  }
}

void ForkJoin::work(int worker) {
  pin_to({cpus_[static_cast<std::size_t>(worker) % cpus_.size()]});
  std::uint64_t seen = 0;
  for (;;) {
    generation_.wait(seen, std::memory_order_acquire);
    seen = generation_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    take_tasks(worker);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
  }
}

void ForkJoin::run(std::int64_t count, const std::function<void(std::int64_t, int)>& task) {
  count_ = count;
  task_ = &task;
  next_.store(0, std::memory_order_relaxed);
  if (threads_ == 1) {
    take_tasks(0);
  } else {
    pin_to({cpus_.front()});
    busy_.store(threads_ - 1, std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    take_tasks(0);
    for (int left = busy_.load(std::memory_order_acquire); left != 0; left = busy_.load(std::memory_order_acquire)) {
      busy_.wait(left, std::memory_order_acquire);
    }
    pin_to(cpus_);
  }
  task_ = nullptr;
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

}  // namespace assay::substrate
