#include "cli/output/terminal_echo.h"

#include <atomic>

#include <termios.h>
#include <unistd.h>

namespace salvor::cli {

namespace {

// A signal handler can reach nothing but globals. NOLINTBEGIN(*-non-const-global-variables)
termios g_former{};
std::atomic<int> g_fd{-1};
// NOLINTEND(*-non-const-global-variables)

}  // namespace

EchoOff::EchoOff(int fd) {
  termios current{};
  if (::tcgetattr(fd, &current) != 0) {
    return;
  }
  g_former = current;
  g_fd.store(fd);
  active_ = true;
  current.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHOE | ECHOK | ECHONL);
  ::tcsetattr(fd, TCSAFLUSH, &current);
}

EchoOff::~EchoOff() {
  if (active_) {
    restore_echo_from_signal();
  }
}

void restore_echo_from_signal() {
  const int fd = g_fd.exchange(-1);
  if (fd >= 0) {
    ::tcsetattr(fd, TCSAFLUSH, &g_former);
  }
}

}  // namespace salvor::cli
