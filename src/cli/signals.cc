#include "cli/signals.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <thread>

#include <fcntl.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "cli/output/terminal_echo.h"

namespace salvor::cli {

namespace {

// A signal handler can reach nothing but globals.
std::atomic<int> g_pipe{-1};     // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<int> g_received{0};  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

static_assert(std::atomic<int>::is_always_lock_free);

constexpr int kInterruptedStatus = 130;
constexpr std::array<int, 5> kSignals{SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1};

extern "C" void salvor_on_interrupt(int) {
  const int saved = errno;
  if (g_received.fetch_add(1) > 0) {
    restore_echo_from_signal();
    ::_exit(kInterruptedStatus);
  }
  const char byte = 's';
  [[maybe_unused]] const ssize_t written = ::write(g_pipe.load(), &byte, 1);
  errno = saved;
}

extern "C" void salvor_on_ignored(int) {}

}  // namespace

struct Interrupts::State {
  std::stop_source stop;
  std::function<void()> on_first;
  UniqueFd read_end;
  UniqueFd write_end;
  std::array<struct sigaction, kSignals.size()> former{};
  std::thread watcher;
};

Interrupts::Interrupts(std::function<void()> on_first) : state_(std::make_unique<State>()) {
  state_->on_first = std::move(on_first);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    throw Error::from_errno(errno, "cannot make a pipe");
  }
  state_->read_end = UniqueFd(ends[0]);
  state_->write_end = UniqueFd(ends[1]);
  g_pipe.store(ends[1]);
  g_received.store(0);
  // The watcher must not itself run the handlers' victims: it only waits.
  state_->watcher = std::thread([state = state_.get()] {
    char byte = 0;
    ssize_t got = 0;
    while ((got = ::read(state->read_end.get(), &byte, 1)) < 0 && errno == EINTR) {
    }
    if (got == 1 && byte == 's') {
      state->stop.request_stop();
      state->on_first();
    }
  });
  for (size_t i = 0; i < kSignals.size(); ++i) {
    struct sigaction action{};
    const bool interrupt = kSignals[i] == SIGINT || kSignals[i] == SIGTERM;
    action.sa_handler = interrupt ? salvor_on_interrupt : salvor_on_ignored;
    // Interrupts break off blocking reads (a password prompt); the others must not.
    action.sa_flags = interrupt ? 0 : SA_RESTART;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(kSignals[i], nullptr, &state_->former[i]);
    // Started with nohup or in the background of a script: what was ignored stays ignored.
    if (interrupt && state_->former[i].sa_handler == SIG_IGN) {
      continue;
    }
    ::sigaction(kSignals[i], &action, nullptr);
  }
}

Interrupts::~Interrupts() {
  for (size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], &state_->former[i], nullptr);
  }
  g_pipe.store(-1);
  const char byte = 'q';
  [[maybe_unused]] const ssize_t written = ::write(state_->write_end.get(), &byte, 1);
  state_->watcher.join();
}

std::stop_token Interrupts::stop_token() const {
  return state_->stop.get_token();
}
void Interrupts::request_stop() {
  state_->stop.request_stop();
}

}  // namespace salvor::cli
