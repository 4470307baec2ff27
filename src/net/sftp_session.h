// One SFTP connection: a program (ssh) whose standard input and output speak the protocol.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/context.h"
#include "net/sftp_protocol.h"
#include "net/subprocess.h"

namespace salvor {

struct SftpSessionOptions {
  std::vector<std::string> arguments;  // the program and what it is given
  std::string place;                   // "user@host", for messages
  // How long may pass before the greeting (a person may have to type a passphrase), and later
  // without a byte in either direction while an answer is due.
  std::chrono::milliseconds connect_timeout{60'000};
  std::chrono::milliseconds stall_timeout{60'000};
};

// Requests are queued, sent without waiting for the answers to those before (up to 128 under way),
// and answered in any order; the one thread that uses the session runs its loop in `wait`. Not
// thread-safe. Memory: at most 1 MiB, besides payloads, which are the caller's and not copied.
class SftpSession {
 public:
  using Handler = std::function<void(const SftpReply&)>;

  // Starts the program and exchanges greetings. Throws Error: kPermission when the log-in was
  // refused, kUnreachable for what may go away, kFailed for what stays; with what the program wrote
  // to its standard error, and a hint. kCancelled when stopped.
  SftpSession(const Context& context, const SftpSessionOptions& options);
  SftpSession(const SftpSession&) = delete;
  SftpSession& operator=(const SftpSession&) = delete;

  [[nodiscard]] uint32_t next_id() { return ++last_id_; }
  // Queues a request. `payload` must stay until it is answered. `handler` is called from within
  // `wait`; it must not throw, and may send more.
  void send(const SftpRequest& request, Handler handler, ByteView payload = {});
  // Queues a request whose answer nobody waits for.
  void send_detached(const SftpRequest& request);
  // Until all requests with a handler are answered. Throws Error{kUnreachable} when the connection
  // is lost or silent, {kFailed} when the server answers nonsense: the session is then `broken` and
  // only good to be destroyed. Throws {kCancelled} when stopped: what was not sent is dropped, the
  // answers to the rest were awaited for up to two seconds (else: broken). No handler is called
  // after it threw.
  void wait(const Context& context);

  // For tidying up, also after a stop: runs until everything is sent and answered, at most so long.
  // Never throws; when time is up or the connection lost the session is broken.
  void settle(std::chrono::milliseconds at_most) noexcept;

  [[nodiscard]] bool broken() const { return broken_; }
  // Whether the program still runs and is silent, as it must be while nothing is asked.
  [[nodiscard]] bool alive();
  [[nodiscard]] bool has_extension(std::string_view name, std::string_view version) const;
  // The largest payload of one read or write.
  [[nodiscard]] size_t read_bytes() const { return read_bytes_; }
  [[nodiscard]] size_t write_bytes() const { return write_bytes_; }
  // How many files and directories may be open at a time; 0: it does not say.
  [[nodiscard]] uint64_t max_handles() const { return max_handles_; }

 private:
  struct Outgoing {
    uint32_t id;
    std::string head;
    ByteView payload;
    Handler handler;  // empty: detached
  };
  struct Pending {
    Handler handler;
    bool detached;
  };

  void ask_limits(const Context& context);
  [[nodiscard]] bool step(std::chrono::milliseconds at_most);
  bool send_some();
  bool receive_some();
  void take_packets();
  void answer(ByteView packet);
  void read_errors();
  void give_up_after_stop(const Context& context);
  [[noreturn]] void fail(Error error);
  [[nodiscard]] Error lost();

  const std::string place_;
  const std::chrono::milliseconds stall_timeout_;
  Subprocess program_;
  std::map<std::string, std::string> extensions_;
  size_t read_bytes_;
  size_t write_bytes_;
  uint64_t max_handles_ = 0;
  uint32_t last_id_ = 0;

  std::deque<Outgoing> queue_;  // not or only partly sent
  size_t sent_of_first_ = 0;    // bytes
  std::unordered_map<uint32_t, Pending> pending_;
  size_t awaited_ = 0;  // requests with a handler, queued or pending
  Buffer in_;           // received and not taken
  size_t in_begin_ = 0;
  size_t in_end_ = 0;
  bool greeted_ = false;
  bool broken_ = false;
  std::string errors_;  // the end of what the program wrote to its standard error
};

}  // namespace salvor
