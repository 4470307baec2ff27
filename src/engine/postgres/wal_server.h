// Hands archived WAL to a server that we recover ourselves: restore_command asks us over a socket,
// so that the repository is opened once, by who may open it, and segments are brought ahead while
// the server replays. What was brought ahead may simply be moved away: a file in the folder is
// whole and verified from when it has its name; that it has gone is seen and the next ones are
// brought.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include <sys/types.h>

#include "base/fd.h"
#include "base/task.h"
#include "engine/postgres/wal_archive.h"

namespace salvor {

struct WalServerOptions {
  std::string socket;  // where to listen; at most 100 bytes
  std::string folder;  // where files are put: on the data directory's file system
  std::optional<std::pair<uid_t, gid_t>> owner;  // who gets the files (when we are root)
  unsigned ahead = 8;
  unsigned threads = 2;
};

// Serves from construction to destruction, on threads of its own.
class WalServer {
 public:
  WalServer(const Context& context, const WalArchive& archive, WalServerOptions options);
  ~WalServer();
  WalServer(const WalServer&) = delete;
  WalServer& operator=(const WalServer&) = delete;

  // Begins to bring segments from this one on, before anybody asks.
  void expect(const std::string& segment);
  // What restore_command may be: takes what is there at once, without a program of ours, and asks
  // for the rest. `folder` as the server sees it; `program` is ours.
  [[nodiscard]] static std::string restore_command(const std::string& folder,
                                                   const std::string& program,
                                                   const std::string& socket);

  // The segment asked for or taken last, for progress; "" before the first.
  [[nodiscard]] std::string last_asked() const;
  // Why recovery was stopped; nothing when it was not our doing.
  [[nodiscard]] std::optional<Error> failure() const;

 private:
  enum class State : uint8_t { kComing, kThere, kAbsent /* or it could not be brought */ };

  void serve(const std::stop_token& stop);
  [[nodiscard]] std::string answer(const std::string& name);
  [[nodiscard]] bool was_brought(const std::string& name, const postgres::WalFileName& parsed);
  void request(const std::string& name);                                             // under mutex_
  void request_ahead(const std::string& name, const postgres::WalFileName& parsed);  // the same
  void see_taken();
  void bring(const std::string& name);
  void put(const std::string& name, ByteView content) const;

  const Context context_;
  const WalArchive& archive_;
  const WalServerOptions options_;
  UniqueFd listener_;
  UniqueFd taken_;  // tells what was moved out of the folder
  std::atomic<bool> stopping_ = false;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::map<std::string, State> files_;
  std::string last_asked_;
  std::optional<Error> failure_;
  ThreadPool pool_;
  std::jthread thread_;  // last: it uses all the others
};

// The other end: `salvor wal fetch --socket`. Puts the file at `destination` and returns true,
// false when there is none; throws Error for everything else.
[[nodiscard]] bool ask_wal_server(const std::string& socket, const std::string& name,
                                  const std::string& destination);

}  // namespace salvor
