// A time limit for what listens to a stop token.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>

namespace salvor::plan {

// Asks `stop` to stop after `limit`, unless it is gone by then.
class Alarm {
 public:
  Alarm(std::stop_source stop, std::chrono::seconds limit)
      : thread_([this, stop, limit](const std::stop_token& ended) mutable {
          std::mutex mutex;
          std::unique_lock lock(mutex);
          std::condition_variable_any never;
          never.wait_for(lock, ended, limit, [] { return false; });
          if (!ended.stop_requested()) {
            rang_ = true;
            stop.request_stop();
          }
        }) {}
  [[nodiscard]] bool rang() const { return rang_; }

 private:
  std::atomic<bool> rang_ = false;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace salvor::plan
