// Threads for blocking work: a pool, and groups of tasks that end together.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

namespace salvor {

// A callable that runs once; unlike std::function it may own move-only things (buffers, leases).
class Task {
 public:
  Task() = default;
  template <class F>
    requires(!std::is_same_v<std::decay_t<F>, Task>)
  Task(F function)  // NOLINT(google-explicit-constructor): lambdas are passed as tasks
      : body_(std::make_unique<Holder<F>>(std::move(function))) {}
  void operator()() { body_->run(); }
  explicit operator bool() const { return body_ != nullptr; }

 private:
  struct Body {
    virtual ~Body() = default;
    virtual void run() = 0;
  };
  template <class F>
  struct Holder final : Body {
    explicit Holder(F function) : function_(std::move(function)) {}
    void run() override { function_(); }
    F function_;
  };
  std::unique_ptr<Body> body_;
};

// A fixed number of threads that run posted tasks, oldest first. Tasks must not throw (TaskGroup
// sees to that). The queue is unbounded by itself: whoever posts holds a MemoryBudget lease or a
// TaskGroup limit. The destructor runs what is queued, then joins.
class ThreadPool {
 public:
  // `name` appears in debuggers and `top -H` (15 characters at most).
  ThreadPool(const char* name, unsigned threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void post(Task task);
  [[nodiscard]] unsigned size() const { return static_cast<unsigned>(threads_.size()); }

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Task> queue_;
  bool closing_ = false;
  std::vector<std::jthread> threads_;
};

// Tasks on a pool that succeed or fail as one. The first exception stops the group: tasks not yet
// begun are dropped, running ones see stop_token(). Thread-safe; tasks may add tasks.
class TaskGroup {
 public:
  // `outer` firing stops the group too. At most `limit` tasks are queued or running: `run` blocks
  // beyond that (0: no limit; needed when tasks add tasks).
  TaskGroup(ThreadPool& pool, std::stop_token outer, size_t limit = 0);
  // Stops and waits; never throws.
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Throws the group's failure (or Error{kCancelled}) instead of queueing when the group was
  // stopped.
  void run(Task task);
  // Blocks until every task has ended. Throws the first exception; throws Error{kCancelled}
  // whenever the token fired: a cancelled run must never look successful.
  void wait();
  // Records `error` as the group's failure and stops it.
  void fail(std::exception_ptr error);
  // Throws what `wait` would throw if the group has been stopped.
  void check();
  void request_stop() { stop_.request_stop(); }
  [[nodiscard]] std::stop_token stop_token() const { return stop_.get_token(); }

 private:
  void finish_one();
  void throw_if_stopped();  // under mutex_
  void drain() noexcept;

  ThreadPool& pool_;
  std::stop_source stop_;
  std::stop_callback<std::function<void()>> forward_;
  const size_t limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t active_ = 0;
  std::exception_ptr failure_;
};

}  // namespace salvor
