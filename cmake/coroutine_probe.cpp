// Exits 0 when the compiler handles the coroutine shapes that rank programs use. Each numbered part names the defect
// it looks for; the exit code is the number of the part that failed.
#include <coroutine>
#include <cstdio>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace {
struct Task {
  struct promise_type {
    std::coroutine_handle<> parent = std::noop_coroutine();
    Task get_return_object() { return Task{std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    struct Final {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) noexcept {
        return h.promise().parent;
      }
      void await_resume() noexcept {}
    };
    Final final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  explicit Task(std::coroutine_handle<promise_type> h) : handle(h) {}
  Task(Task&& other) noexcept : handle(std::exchange(other.handle, {})) {}
  Task(const Task&) = delete;
  ~Task() {
    if (handle) handle.destroy();
  }
  bool await_ready() { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> parent) {
    handle.promise().parent = parent;
    return handle;
  }
  void await_resume() {}
  std::coroutine_handle<promise_type> handle;
};

int live = 0;
struct Counted {
  Counted() { ++live; }
  Counted(const Counted&) { ++live; }
  Counted(Counted&&) noexcept { ++live; }
  Counted& operator=(const Counted&) = default;
  ~Counted() { --live; }
};
struct Work {
  std::shared_ptr<int> owner;
  std::vector<int> shape;
  Counted counted;
};

struct Compute {
  Work work;
  std::function<void()> body;
  bool await_ready() { return false; }
  bool await_suspend(std::coroutine_handle<>) {
    body();
    return false;
  }
  void await_resume() {}
};
Compute compute(Work work, std::function<void()> body) { return {std::move(work), std::move(body)}; }

Task temporaries(std::shared_ptr<int> owner, int& ran) {
  for (int i = 0; i < 4; ++i)
    co_await compute(Work{.owner = owner, .shape = {i, i + 1}, .counted = {}}, [owner, &ran] { ran += *owner; });
}
Task leaf() { co_return; }
Task deep(int n) {
  for (int i = 0; i < n; ++i) co_await leaf();
}
}  // namespace

int main() {
  auto owner = std::make_shared<int>(1);
  int ran = 0;
  {
    Task t = temporaries(owner, ran);
    t.handle.resume();
    if (!t.handle.done()) return 1;
  }
  if (ran != 4 || owner.use_count() != 1 || live != 0) return 2;  // 2: temporaries destroyed twice or never
  {
    Task t = deep(2'000'000);  // 3 (a crash): symmetric transfer grows the stack
    t.handle.resume();
    if (!t.handle.done()) return 3;
  }
  std::puts("ok");
  return 0;
}
