// A PostgreSQL server that we start ourselves on restored data: on no network address, reachable
// only through a socket in a private folder, and ended with us.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "connector/postgres/connection.h"

namespace salvor::postgres {

// The folder with the server's programs: `given`, else Debian's and other usual places for the
// major version, else PATH. Throws Error{kNotFound}.
[[nodiscard]] std::string find_binaries(const std::string& given, unsigned major_version);

using ServerSettings = std::vector<std::pair<std::string, std::string>>;

// For a server on what is a copy: the original's libraries need not be here, and their workers must
// not run. Those that were given to one database or role (ALTER DATABASE ... SET) are loaded still.
[[nodiscard]] ServerSettings nothing_preloaded();

struct LocalServerOptions {
  std::string binaries;
  std::string data;
  std::string
      folder;  // private, for socket, log and pg_hba.conf; owned by whoever the server runs as
  std::optional<std::pair<uid_t, gid_t>> owner;  // when we are root, which a server refuses to be
  std::string superuser = "postgres";
  ServerSettings settings;  // stronger than those of its files
  // In a network of its own without a way out, as far as the system allows that
  // (network_isolation); its socket is reached all the same.
  bool no_network = false;
};

// The words before a command that keep it from the network; nothing where the system does not allow
// that. Tries it out.
[[nodiscard]] std::vector<std::string> network_isolation();

// A private folder for a server's socket and log, short enough for a socket's path; gone with this
// object.
class RuntimeFolder {
 public:
  // `owner`: whom the server runs as; counts when we are root.
  explicit RuntimeFolder(const std::pair<uid_t, gid_t>& owner);
  ~RuntimeFolder();
  RuntimeFolder(const RuntimeFolder&) = delete;
  RuntimeFolder& operator=(const RuntimeFolder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  // It stays when this object goes.
  void keep() { kept_ = true; }

 private:
  std::string path_;
  bool kept_ = false;
};

class LocalServer {
 public:
  // Starts it; does not wait (see `wait_until_ready`). Throws Error{kFailed}.
  explicit LocalServer(LocalServerOptions options);
  // Stops it at once (as a crash would) if it still runs.
  ~LocalServer();
  LocalServer(const LocalServer&) = delete;
  LocalServer& operator=(const LocalServer&) = delete;

  [[nodiscard]] bool running();
  // Blocks until it answers. Throws Error{kFailed} with the end of its log when it ends or does not
  // answer in time.
  void wait_until_ready(const Context& context, std::chrono::seconds limit);
  [[nodiscard]] ConnectionTarget target(const std::string& database = "postgres") const;
  // The last lines that it logged.
  [[nodiscard]] std::string log_tail() const;
  // The last line of the log with `word` and without `unless` in it; "" when there is none.
  [[nodiscard]] std::string log_line(std::string_view word, std::string_view unless = "") const;
  // Fast shutdown; throws when it does not end properly.
  void stop();
  // Starts it once more, so that it outlives this object and this process; waits until it answers.
  // Throws Error.
  void leave(const Context& context, std::chrono::seconds limit);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salvor::postgres
