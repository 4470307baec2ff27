// One thread, one loop: `step` sends what the pipe takes, receives what it has, and calls the
// handlers of what was answered. Both directions are served at once, because a server that cannot
// get rid of its answers stops reading.
//
// Stopping in the middle must not poison the connection: a request of which a part is on the wire
// has to be completed, and answers that are due have to be taken away. So the loop forgets what was
// not begun, finishes what was, and waits a moment for the rest; if that does not end, the session
// is broken and gets dropped.
#include "net/sftp_session.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/format.h"
#include "net/ssh_errors.h"

namespace salvor {
namespace {

// OpenSSH's channel window is 2 MiB: with requests of 32 KiB this is twice as much, so the pipe
// never runs dry. More waits in our queue, since some servers keep what they are sent in memory.
constexpr size_t kInFlight = 128;
constexpr size_t kDefaultTransfer = size_t{32} << 10U;  // what every server must take
constexpr size_t kLargestTransfer = size_t{255} << 10U;
constexpr size_t kReceiveBuffer = size_t{1} << 20U;
constexpr size_t kErrorsKept = 4096;
constexpr std::chrono::milliseconds kPoll{100};
constexpr std::chrono::milliseconds kPatienceAfterStop{2000};

void prepare_pipe(int fd) {
  if (fd >= 0) {
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    // Fewer switches between us and ssh; a refusal (limit of the user) does not matter.
    ::fcntl(fd, F_SETPIPE_SZ, 1 << 20);
  }
}

}  // namespace

SftpSession::SftpSession(const Context& context, const SftpSessionOptions& options)
    : place_(options.place),
      stall_timeout_(options.stall_timeout),
      program_({.arguments = options.arguments,
                .pipe_stdin = true,
                .pipe_stdout = true,
                .pipe_stderr = true,
                .ignore_interrupt = true}),
      read_bytes_(kDefaultTransfer),
      write_bytes_(kDefaultTransfer),
      in_(kReceiveBuffer) {
  prepare_pipe(program_.stdin_fd());
  prepare_pipe(program_.stdout_fd());
  prepare_pipe(program_.stderr_fd());
  std::string hello;
  hello.append({0, 0, 0, 5, static_cast<char>(SftpType::kInit), 0, 0, 0, 3});
  queue_.push_back({.id = 0, .head = hello, .payload = {}, .handler = {}});
  const auto end = std::chrono::steady_clock::now() + options.connect_timeout;
  while (!greeted_) {
    context.check_stopped();
    if (!step(kPoll) && std::chrono::steady_clock::now() > end) {
      fail(Error(ErrorCode::kUnreachable,
                 "cannot connect to " + place_ + ": no answer for " +
                     std::to_string(options.connect_timeout.count() / 1000) + " s",
                 "Check that `ssh` reaches the host by itself and without asking anything."));
    }
  }
  ask_limits(context);
}

void SftpSession::ask_limits(const Context& context) {
  if (!has_extension("limits@openssh.com", "1")) {
    return;
  }
  send(SftpRequest("limits@openssh.com", next_id()), [this](const SftpReply& reply) {
    if (reply.type != SftpType::kExtendedReply || reply.data.size() < 32) {
      return;
    }
    const SftpLimits limits = parse_sftp_limits(reply.data);
    const auto within = [](uint64_t limit) {
      return limit == 0 ? kDefaultTransfer
                        : static_cast<size_t>(std::min<uint64_t>(limit, kLargestTransfer));
    };
    read_bytes_ = std::max<size_t>(within(limits.max_read), 1024);
    write_bytes_ = std::max<size_t>(within(limits.max_write), 1024);
    max_handles_ = limits.max_handles;
  });
  wait(context);
}

bool SftpSession::has_extension(std::string_view name, std::string_view version) const {
  const auto found = extensions_.find(std::string(name));
  return found != extensions_.end() && found->second == version;
}

void SftpSession::send(const SftpRequest& request, Handler handler, ByteView payload) {
  awaited_ += handler ? 1 : 0;
  queue_.push_back({.id = request.id(),
                    .head = request.bytes(),
                    .payload = payload,
                    .handler = std::move(handler)});
}

void SftpSession::send_detached(const SftpRequest& request) {
  send(request, {});
}

void SftpSession::wait(const Context& context) {
  auto last_progress = std::chrono::steady_clock::now();
  while (awaited_ > 0) {
    if (context.stop.stop_requested()) {
      give_up_after_stop(context);
    }
    if (step(kPoll)) {
      last_progress = std::chrono::steady_clock::now();
    } else if (std::chrono::steady_clock::now() - last_progress > stall_timeout_) {
      fail(Error(ErrorCode::kUnreachable,
                 "no answer from " + place_ + " for " +
                     std::to_string(stall_timeout_.count() / 1000) + " s",
                 "The connection or the server hangs."));
    }
  }
}

void SftpSession::give_up_after_stop(const Context& context) {
  // Detached requests (closing handles) are kept.
  const auto begun = [&](const Outgoing& outgoing) {
    return sent_of_first_ > 0 && &outgoing == &queue_.front();
  };
  std::deque<Outgoing> kept;
  for (Outgoing& outgoing : queue_) {
    if (begun(outgoing)) {
      kept.push_back(std::move(outgoing));
    } else if (!outgoing.handler) {
      kept.push_back(std::move(outgoing));
    } else {
      --awaited_;
    }
  }
  queue_ = std::move(kept);
  for (Outgoing& outgoing : queue_) {
    if (outgoing.handler) {
      outgoing.handler = [](const SftpReply&) {};
    }
  }
  for (auto& [id, pending] : pending_) {
    if (!pending.detached) {
      pending.handler = [](const SftpReply&) {};
    }
  }
  settle(kPatienceAfterStop);
  context.check_stopped();
}

void SftpSession::settle(std::chrono::milliseconds at_most) noexcept {
  const auto end = std::chrono::steady_clock::now() + at_most;
  try {
    while (!broken_ && !(queue_.empty() && pending_.empty())) {
      if (std::chrono::steady_clock::now() > end) {
        broken_ = true;
      } else {
        static_cast<void>(step(kPoll));
      }
    }
  } catch (const std::exception&) {
    broken_ = true;
  }
}

bool SftpSession::alive() {
  if (broken_) {
    return false;
  }
  pollfd end{.fd = program_.stdout_fd(), .events = POLLIN, .revents = 0};
  while (::poll(&end, 1, 0) > 0) {
    // Answers to detached requests, or the end.
    try {
      if (pending_.empty() || !receive_some()) {
        broken_ = true;
        return false;
      }
      take_packets();
    } catch (const Error&) {
      broken_ = true;
      return false;
    }
    end.revents = 0;
  }
  return !program_.poll().has_value();
}

// Moves what can be moved, waiting up to `at_most` for that. False when nothing moved.
bool SftpSession::step(std::chrono::milliseconds at_most) {
  const bool may_send = !queue_.empty() && (sent_of_first_ > 0 || pending_.size() < kInFlight);
  std::array<pollfd, 3> ends{
      {{.fd = program_.stdout_fd(), .events = POLLIN, .revents = 0},
       {.fd = program_.stderr_fd(), .events = POLLIN, .revents = 0},
       {.fd = may_send ? program_.stdin_fd() : -1, .events = POLLOUT, .revents = 0}}};
  if (::poll(ends.data(), ends.size(), static_cast<int>(at_most.count())) <= 0) {
    return false;
  }
  bool moved = false;
  if (ends[1].revents != 0) {
    read_errors();
  }
  if (ends[0].revents != 0) {
    if (!receive_some()) {
      fail(lost());
    }
    take_packets();
    moved = true;
  }
  if (ends[2].revents != 0) {
    moved = send_some() || moved;
  }
  return moved;
}

bool SftpSession::send_some() {
  bool moved = false;
  while (!queue_.empty() && (sent_of_first_ > 0 || pending_.size() < kInFlight)) {
    Outgoing& first = queue_.front();
    const size_t head_left = first.head.size() - std::min(first.head.size(), sent_of_first_);
    const size_t payload_done = sent_of_first_ - (first.head.size() - head_left);
    const ByteView rest = first.payload.subspan(payload_done);
    std::array<iovec, 2> parts{
        {{.iov_base = first.head.data() + (first.head.size() - head_left), .iov_len = head_left},
         {.iov_base = const_cast<std::byte*>(rest.data()), .iov_len = rest.size()}}};
    const ssize_t sent = ::writev(program_.stdin_fd(), parts.data(), parts.size());
    if (sent < 0) {
      if (errno == EAGAIN || errno == EINTR) {
        return moved;
      }
      fail(lost());
    }
    moved = true;
    sent_of_first_ += static_cast<size_t>(sent);
    if (sent_of_first_ < first.head.size() + first.payload.size()) {
      continue;  // what is left may fit nevertheless; if not, EAGAIN says so
    }
    if (first.id != 0) {
      const bool detached = !first.handler;
      pending_.insert_or_assign(first.id,
                                Pending{.handler = std::move(first.handler), .detached = detached});
    }
    queue_.pop_front();
    sent_of_first_ = 0;
  }
  return moved;
}

// False at the end of the program's output.
bool SftpSession::receive_some() {
  if (in_begin_ > 0 && in_.size() - in_end_ < kSftpMaxPacket) {
    std::memmove(in_.data(), in_.data() + in_begin_, in_end_ - in_begin_);
    in_end_ -= in_begin_;
    in_begin_ = 0;
  }
  const ssize_t got = ::read(program_.stdout_fd(), in_.data() + in_end_, in_.size() - in_end_);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    return true;
  }
  if (got <= 0) {
    return false;
  }
  in_end_ += static_cast<size_t>(got);
  return true;
}

void SftpSession::take_packets() {
  while (in_end_ - in_begin_ >= 4) {
    const size_t length = load_u32be(in_.data() + in_begin_);
    if (length > kSftpMaxPacket || length < 5) {
      const std::string start(
          as_text(in_.view(in_begin_, std::min<size_t>(in_end_ - in_begin_, 80))));
      fail(greeted_ ? Error(ErrorCode::kFailed, place_ + " sent a malformed SFTP packet")
                    : no_sftp_error(place_, start, errors_));
    }
    if (in_end_ - in_begin_ < 4 + length) {
      break;
    }
    const ByteView packet = in_.view(in_begin_ + 4, length);
    in_begin_ += 4 + length;
    try {
      answer(packet);
    } catch (Error& error) {
      fail(std::move(error.within(place_)));
    }
  }
  if (in_begin_ == in_end_) {
    in_begin_ = in_end_ = 0;
  }
}

void SftpSession::answer(ByteView packet) {
  if (!greeted_) {
    extensions_ = parse_sftp_version(packet);
    greeted_ = true;
    return;
  }
  const SftpReply reply = parse_sftp_reply(packet);
  const auto found = pending_.find(reply.id);
  if (found == pending_.end()) {
    throw Error(ErrorCode::kFailed, "an SFTP reply to a request that was not made");
  }
  const Pending pending = std::move(found->second);
  pending_.erase(found);
  if (!pending.detached) {
    --awaited_;
    pending.handler(reply);
  }
}

void SftpSession::read_errors() {
  std::array<char, 1024> chunk{};
  const ssize_t got = ::read(program_.stderr_fd(), chunk.data(), chunk.size());
  if (got <= 0) {
    return;
  }
  errors_.append(chunk.data(), static_cast<size_t>(got));
  if (errors_.size() > kErrorsKept) {
    errors_.erase(0, errors_.size() - kErrorsKept);
  }
}

// The program has ended, or is about to.
Error SftpSession::lost() {
  std::optional<ExitState> state;
  for (int i = 0; i < 20 && !state; ++i) {  // its last words may still be on the way
    pollfd end{.fd = program_.stderr_fd(), .events = POLLIN, .revents = 0};
    if (::poll(&end, 1, 50) > 0) {
      read_errors();
    }
    state = program_.poll();
  }
  for (int i = 0; i < 8; ++i) {
    read_errors();
  }
  return ssh_error(place_, greeted_, state, errors_, program_.name());
}

void SftpSession::fail(Error error) {
  broken_ = true;
  throw error;
}

}  // namespace salvor
