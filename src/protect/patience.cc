#include "protect/patience.h"

#include <condition_variable>
#include <mutex>
#include <thread>

#include "model/duration_text.h"

namespace salvor {

Failure within(const Context& context, std::chrono::seconds patience, const std::string& late_hint,
               const std::function<void(const Context&)>& body) {
  std::stop_source inner;
  const std::stop_callback forward(context.stop, [&inner] { inner.request_stop(); });
  bool late = false;
  std::mutex mutex;
  std::condition_variable_any wake;
  std::jthread timer([&](const std::stop_token& done) {
    std::unique_lock lock(mutex);
    if (!wake.wait_for(lock, done, patience, [&done] { return done.stop_requested(); })) {
      if (!done.stop_requested()) {
        late = true;
        inner.request_stop();
      }
    }
  });
  Failure failure;
  try {
    body(context.with_stop(inner.get_token()));
  } catch (const Error& error) {
    failure = {error.message(), error.hint()};
  }
  timer.request_stop();
  timer.join();
  context.check_stopped();
  if (!failure.message.empty() && late) {
    failure = {"it has not answered within " + span_text(patience), late_hint};
  }
  return failure;
}

}  // namespace salvor
