// A Context for tests, with everything it refers to.
#pragma once

#include <mutex>
#include <stop_token>
#include <vector>

#include "base/context.h"

namespace salvor::test {

// Keeps every event. Thread-safe.
class EventLog final : public EventSink {
 public:
  void on(const Event& event) override {
    const std::scoped_lock lock(mutex_);
    events_.push_back(event);
  }
  [[nodiscard]] bool wants_items() const override { return true; }
  [[nodiscard]] std::vector<Event> events() const {
    const std::scoped_lock lock(mutex_);
    return events_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Event> events_;
};

// Owns what a Context refers to; use `*context` or `context()` where one is wanted. The random
// source is seeded: a test that draws differently each time prints its seed.
class TestContext {
 public:
  explicit TestContext(uint64_t seed = 1) : random_(seed) {}
  [[nodiscard]] Context operator*() { return {stop.get_token(), events, clock_, random_}; }

  std::stop_source stop;
  EventLog events;

 private:
  SystemClock clock_;
  SeededRandom random_;
};

}  // namespace salvor::test
