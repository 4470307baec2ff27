#include "engine/postgres/wal_server.h"

#include <array>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/format.h"

namespace salvor {
namespace {

// One request and one answer a connection: "name\n" -> "0 path\n", "1\n" or "255 message\n".
constexpr size_t kLineLimit = 4096;
constexpr int kStepMilliseconds = 200;
constexpr const char* kPart = ".part";  // of a file that is being written

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    throw Error(ErrorCode::kUsage, "the path of the socket " + path + " is too long");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

std::string read_line(int fd) {
  std::string line;
  std::byte byte{};
  while (line.size() < kLineLimit && read_some(fd, {&byte, 1}, "the socket") == 1) {
    if (byte == std::byte{'\n'}) {
      return line;
    }
    line += static_cast<char>(byte);
  }
  throw Error(ErrorCode::kUnreachable, "the other end of the socket has gone");
}

}  // namespace

WalServer::WalServer(const Context& context, const WalArchive& archive, WalServerOptions options)
    : context_(context),
      archive_(archive),
      options_(std::move(options)),
      listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      pool_("salvor-wal", options_.threads) {
  const sockaddr_un address = address_of(options_.socket);
  if (!listener_ ||
      ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_.get(), 8) != 0) {
    throw Error::from_errno(errno, "cannot listen at " + options_.socket);
  }
  if (options_.owner &&
      ::chown(options_.socket.c_str(), options_.owner->first, options_.owner->second) != 0) {
    throw Error::from_errno(errno, "cannot give away " + options_.socket);
  }
  taken_ = UniqueFd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!taken_ ||
      ::inotify_add_watch(taken_.get(), options_.folder.c_str(), IN_MOVED_FROM | IN_ONLYDIR) < 0) {
    taken_.reset();  // then files come ahead only of what is asked for
  }
  thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
}

WalServer::~WalServer() {
  stopping_ = true;
  thread_.request_stop();
  ::shutdown(listener_.get(), SHUT_RDWR);  // it need not wait for its next look
  thread_.join();
  ::unlink(options_.socket.c_str());
}

void WalServer::serve(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::array<pollfd, 2> waiting{pollfd{.fd = listener_.get(), .events = POLLIN, .revents = 0},
                                  pollfd{.fd = taken_.get(), .events = POLLIN, .revents = 0}};
    if (poll(waiting.data(), waiting.size(), kStepMilliseconds) <= 0) {
      continue;
    }
    if (waiting[1].revents != 0) {
      see_taken();
    }
    if (waiting[0].revents == 0) {
      continue;
    }
    const UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client) {
      continue;
    }
    try {
      const timeval limit{.tv_sec = 5, .tv_usec = 0};
      static_cast<void>(::setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
      const std::string reply = answer(read_line(client.get())) + "\n";
      write_full(client.get(), as_bytes(reply), "the socket");
    } catch (const Error&) {
      continue;  // the client went away: its server will ask again or has ended
    }
  }
}

void WalServer::request(const std::string& name) {
  if (files_.try_emplace(name).second) {
    pool_.post([this, name] { bring(name); });
  }
}

void WalServer::request_ahead(const std::string& name, const postgres::WalFileName& parsed) {
  last_asked_ = name;
  for (unsigned i = 1; i <= options_.ahead; ++i) {
    request(postgres::segment_name(parsed.timeline, {parsed.segment.value + i},
                                   archive_.segment_size()));
  }
}

void WalServer::expect(const std::string& segment) {
  const auto parsed = postgres::parse_wal_file_name(segment, archive_.segment_size());
  if (parsed && parsed->kind == postgres::WalFileKind::kSegment) {
    const std::scoped_lock lock(mutex_);
    request(segment);
    request_ahead(segment, *parsed);
    last_asked_.clear();
  }
}

std::string WalServer::restore_command(const std::string& folder, const std::string& program,
                                       const std::string& socket) {
  return "mv -f '" + folder + "/%f' '%p' 2>/dev/null || '" + program + "' wal fetch --socket '" +
         socket + "' %f %p";
}

// Moved away by a restore_command, or by the program that was told where the file is.
void WalServer::see_taken() {
  alignas(inotify_event) std::array<char, kLineLimit> events{};
  const ssize_t got = ::read(taken_.get(), events.data(), events.size());
  for (ssize_t at = 0; at + static_cast<ssize_t>(sizeof(inotify_event)) <= got;) {
    inotify_event event{};
    std::memcpy(&event, events.data() + at, sizeof event);
    const std::string name =
        event.len > 0 ? std::string(events.data() + at + sizeof event) : std::string();
    at += static_cast<ssize_t>(sizeof event + event.len);
    const auto parsed = postgres::parse_wal_file_name(name, archive_.segment_size());
    if (!parsed || parsed->kind != postgres::WalFileKind::kSegment) {
      continue;
    }
    const std::scoped_lock lock(mutex_);
    const auto found = files_.find(name);
    if (found != files_.end() && found->second == State::kThere) {
      files_.erase(found);  // asked for again it must be brought again
    }
    request_ahead(name, *parsed);
  }
}

// Under its name only when it is whole.
void WalServer::put(const std::string& name, ByteView content) const {
  const std::string whole = options_.folder + "/" + name;
  const std::string path = whole + kPart;
  const UniqueFd out(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!out) {
    throw Error::from_errno(errno, "cannot write " + path);
  }
  write_full(out.get(), content, path);
  if (options_.owner && ::fchown(out.get(), options_.owner->first, options_.owner->second) != 0) {
    throw Error::from_errno(errno, "cannot give away " + path);
  }
  if (::rename(path.c_str(), whole.c_str()) != 0) {
    throw Error::from_errno(errno, "cannot put " + whole + " in place");
  }
}

void WalServer::bring(const std::string& name) {
  State state = State::kAbsent;
  try {
    // When stopping, nobody asks any more; who still waits must not wait for ever.
    const std::optional<Buffer> content = stopping_ ? std::nullopt : archive_.fetch(context_, name);
    if (content) {
      put(name, content->view());
      state = State::kThere;
    }
  } catch (const std::exception&) {
    // Whoever needs the file will ask for it, and be told.
  }
  const std::scoped_lock lock(mutex_);
  files_[name] = state;
  changed_.notify_all();
}

std::string WalServer::answer(const std::string& name) {
  const auto parsed = postgres::parse_wal_file_name(name, archive_.segment_size());
  if (!parsed) {
    return "255 \"" + printable(name) + "\" is not a WAL file's name";
  }
  const std::string path = options_.folder + "/" + name;
  if (was_brought(name, *parsed)) {
    return "0 " + path;
  }
  // What was looked for ahead may have come since: only what is found now counts.
  Error failed = cancelled();
  try {
    if (stopping_) {
      throw cancelled();
    }
    const std::string local = std::filesystem::path(options_.folder).parent_path() / name;
    const auto content = archive_.fetch_for_recovery(context_, name, local);
    if (!content) {
      return "1";
    }
    put(name, content->view());
    return "0 " + path;
  } catch (const Error& error) {
    failed = error;
  } catch (const std::exception& error) {
    failed = Error(ErrorCode::kFailed, error.what());
  }
  const std::scoped_lock lock(mutex_);
  failure_ = failed;
  return "255 " + failed.message();
}

// Waits for a file that is or was asked for; whether it is in the folder. Begins to bring what
// comes behind it.
bool WalServer::was_brought(const std::string& name, const postgres::WalFileName& parsed) {
  const std::string path = options_.folder + "/" + name;
  State state = State::kComing;
  std::unique_lock lock(mutex_);
  request(name);
  if (parsed.kind == postgres::WalFileKind::kSegment) {
    request_ahead(name, parsed);
  }
  do {
    request(name);
    changed_.wait(lock, [&] { return files_[name] != State::kComing; });
    state = files_[name];
    files_.erase(name);
    // It may have been taken as soon as it had its name, before we knew that it was there.
  } while (state == State::kThere && ::access(path.c_str(), F_OK) != 0);
  return state == State::kThere;
}

std::string WalServer::last_asked() const {
  const std::scoped_lock lock(mutex_);
  return last_asked_;
}

std::optional<Error> WalServer::failure() const {
  const std::scoped_lock lock(mutex_);
  return failure_;
}

bool ask_wal_server(const std::string& socket, const std::string& name,
                    const std::string& destination) {
  const sockaddr_un address = address_of(socket);
  const UniqueFd connection(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!connection || ::connect(connection.get(), reinterpret_cast<const sockaddr*>(&address),
                               sizeof address) != 0) {
    throw Error::from_errno(errno, "cannot reach the recovering salvor at " + socket);
  }
  write_full(connection.get(), as_bytes(name + "\n"), "the socket");
  const std::string reply = read_line(connection.get());
  if (reply == "1") {
    return false;
  }
  if (!reply.starts_with("0 ")) {
    throw Error(ErrorCode::kFailed, reply.substr(std::min(reply.find(' ') + 1, reply.size())));
  }
  if (::rename(reply.c_str() + 2, destination.c_str()) != 0) {
    throw Error::from_errno(errno, "cannot put " + destination + " in place");
  }
  return true;
}

}  // namespace salvor
