#include "base/task.h"

#include <system_error>

#include <pthread.h>

#include "base/error.h"

namespace salvor {

ThreadPool::ThreadPool(const char* name, unsigned threads) {
  threads_.reserve(threads);
  for (unsigned i = 0; i < threads; ++i) {
    try {
      threads_.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {
      if (i > 0) {
        return;  // fewer do as well; unwinding would wait for those that run, without end
      }
      throw Error::from_errno(error.code().value(), "cannot start a thread");
    }
    pthread_setname_np(threads_.back().native_handle(), name);
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::scoped_lock lock(mutex_);
    closing_ = true;
  }
  ready_.notify_all();
}

void ThreadPool::post(Task task) {
  {
    const std::scoped_lock lock(mutex_);
    queue_.push_back(std::move(task));
  }
  ready_.notify_one();
}

void ThreadPool::work() {
  for (;;) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      ready_.wait(lock, [this] { return closing_ || !queue_.empty(); });
      if (queue_.empty()) {
        return;
      }
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
}

TaskGroup::TaskGroup(ThreadPool& pool, std::stop_token outer, size_t limit)
    : pool_(pool), forward_(std::move(outer), [this] { stop_.request_stop(); }), limit_(limit) {}

TaskGroup::~TaskGroup() {
  stop_.request_stop();
  drain();
}

void TaskGroup::run(Task task) {
  {
    std::unique_lock lock(mutex_);
    if (limit_ > 0) {
      changed_.wait(lock, [this] { return active_ < limit_; });
    }
    throw_if_stopped();
    ++active_;
  }
  const auto work = [this](Task& one) {
    if (!stop_.stop_requested()) {
      try {
        one();
      } catch (...) {
        fail(std::current_exception());
      }
    }
    one = Task();  // what it owns is released before the group may be seen as finished
    finish_one();
  };
  try {
    pool_.post([work, task = std::move(task)]() mutable { work(task); });
  } catch (...) {
    finish_one();  // no memory for it: nobody must wait for what will never run
    throw;
  }
}

void TaskGroup::fail(std::exception_ptr error) {
  {
    const std::scoped_lock lock(mutex_);
    if (!failure_) {
      failure_ = std::move(error);
    }
  }
  stop_.request_stop();
}

void TaskGroup::finish_one() {
  // Notified under the lock: once active_ is 0 the waiter may destroy the group.
  const std::scoped_lock lock(mutex_);
  --active_;
  changed_.notify_all();
}

void TaskGroup::drain() noexcept {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return active_ == 0; });
}

void TaskGroup::wait() {
  drain();
  check();
}

void TaskGroup::check() {
  const std::scoped_lock lock(mutex_);
  throw_if_stopped();
}

void TaskGroup::throw_if_stopped() {
  if (failure_) {
    std::rethrow_exception(failure_);
  }
  if (stop_.stop_requested()) {
    throw cancelled();
  }
}

}  // namespace salvor
