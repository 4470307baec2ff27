// Ctrl-C and friends become a stop token.
//
//   SIGINT, SIGTERM  first: stop gracefully (nothing uploaded is lost, locks are removed);
//                    second: exit at once with status 130
//   SIGHUP           no effect, as in restic: `restic unlock` sends it to whoever holds a lock, to
//   see
//                    whether it lives (restic format, section 8)
//   SIGPIPE          no effect: writing fails with EPIPE instead
//   SIGUSR1          no effect: restic shows its progress on it, so that scripts send it
//
// Handlers that do nothing are installed rather than SIG_IGN, so that programs we start have the
// default actions again.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>

namespace salvor::cli {

// At most one at a time in a process; construct before other threads. The destructor puts the
// former handlers back.
class Interrupts {
 public:
  // `on_first` is called from a thread of ours when the first SIGINT or SIGTERM arrives.
  explicit Interrupts(std::function<void()> on_first);
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  [[nodiscard]] std::stop_token stop_token() const;
  void request_stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salvor::cli
