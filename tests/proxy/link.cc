#include "proxy/link.h"

#include <algorithm>
#include <cerrno>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace salvor::proxy {
namespace {

constexpr size_t kWindow = size_t{6} << 20;  // what one connection may have on the way
constexpr size_t kPiece = size_t{128} << 10;

}  // namespace

Socket::~Socket() {
  ::close(fd_);
}

int Socket::connect_to(const std::string& host, uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ::inet_pton(AF_INET, host.c_str(), &address.sin_addr);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    ::close(fd);
    return -1;
  }
  const int yes = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return fd;
}

std::string Socket::read_some(size_t limit) {
  std::string bytes(std::min(limit, kPiece), '\0');
  ssize_t got = 0;
  do {
    got = ::recv(fd_, bytes.data(), bytes.size(), 0);
  } while (got < 0 && errno == EINTR);
  bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return bytes;
}

bool Socket::write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (done < 0 && errno == EINTR) {
      continue;
    }
    if (done <= 0) {
      return false;
    }
    bytes.remove_prefix(static_cast<size_t>(done));
  }
  return true;
}

void Socket::shut() {
  ::shutdown(fd_, SHUT_RDWR);
}

void Socket::end_output() {
  ::shutdown(fd_, SHUT_WR);
}

void Socket::reset() {
  // A disconnect (AF_UNSPEC) of a socket that does not linger sends RST and leaves the descriptor
  // in place, which other threads may be using.
  const linger at_once{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  sockaddr nowhere{};
  nowhere.sa_family = AF_UNSPEC;
  ::connect(fd_, &nowhere, sizeof nowhere);
}

void Socket::await_close(std::chrono::milliseconds longest) const {
  pollfd event{fd_, POLLRDHUP, 0};
  ::poll(&event, 1, static_cast<int>(longest.count()));
}

Clock::time_point Bandwidth::pass(size_t bytes) {
  const Clock::time_point now = Clock::now();
  if (rate_ == 0) {
    return now;
  }
  const auto share = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(static_cast<double>(bytes) / static_cast<double>(rate_)));
  const std::scoped_lock lock(mutex_);
  free_at_ = std::max(free_at_, now) + share;
  return free_at_;
}

DelayLine::DelayLine(Socket& out, Bandwidth& bandwidth, Clock::duration delay)
    : out_(out), bandwidth_(bandwidth), delay_(delay), thread_([this] { run(); }) {}

DelayLine::~DelayLine() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool DelayLine::push(std::string bytes) {
  const Clock::time_point due = bandwidth_.pass(bytes.size()) + delay_;
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return broken_ || queued_ == 0 || queued_ + bytes.size() <= kWindow; });
  if (broken_) {
    return false;
  }
  queued_ += bytes.size();
  pieces_.push_back({due, std::move(bytes)});
  lock.unlock();
  changed_.notify_all();
  return true;
}

bool DelayLine::drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return broken_ || (pieces_.empty() && !writing_); });
  return !broken_;
}

void DelayLine::abandon() {
  {
    const std::scoped_lock lock(mutex_);
    broken_ = true;
  }
  changed_.notify_all();
}

void DelayLine::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return broken_ || ending_ || !pieces_.empty(); });
    if (broken_ || pieces_.empty()) {
      return;
    }
    const Clock::time_point due = pieces_.front().due;
    if (changed_.wait_until(lock, due, [&] { return broken_; })) {
      return;
    }
    const std::string bytes = std::move(pieces_.front().bytes);
    pieces_.pop_front();
    writing_ = true;
    lock.unlock();
    const bool written = out_.write_all(bytes);
    lock.lock();
    writing_ = false;
    queued_ -= bytes.size();
    arrived_ += bytes.size();
    broken_ = broken_ || !written;
    changed_.notify_all();
  }
}

}  // namespace salvor::proxy
