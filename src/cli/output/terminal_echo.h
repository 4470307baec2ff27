// Turning a terminal's echo off while a password is typed, and back on whatever happens.
#pragma once

namespace salvor::cli {

// At most one at a time. Without effect when `fd` is not a terminal.
class EchoOff {
 public:
  explicit EchoOff(int fd);
  ~EchoOff();
  EchoOff(const EchoOff&) = delete;
  EchoOff& operator=(const EchoOff&) = delete;

 private:
  bool active_ = false;
};

// Async-signal-safe: for the handler that ends the process.
void restore_echo_from_signal();

}  // namespace salvor::cli
