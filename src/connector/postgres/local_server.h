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

struct LocalServerOptions {
  std::string binaries;
  std::string data;
  std::string
      folder;  // private, for socket, log and pg_hba.conf; owned by whoever the server runs as
  std::optional<std::pair<uid_t, gid_t>> owner;  // when we are root, which a server refuses to be
  std::string superuser = "postgres";
  std::vector<std::pair<std::string, std::string>> settings;  // stronger than those of its files
};

class LocalServer {
 public:
  // Starts it; does not wait. Throws Error{kFailed}.
  explicit LocalServer(LocalServerOptions options);
  // Stops it at once (as a crash would) if it still runs.
  ~LocalServer();
  LocalServer(const LocalServer&) = delete;
  LocalServer& operator=(const LocalServer&) = delete;

  [[nodiscard]] bool running();
  [[nodiscard]] ConnectionTarget target(const std::string& database = "postgres") const;
  // The last lines that it logged.
  [[nodiscard]] std::string log_tail() const;
  // The last line of the log with `word` and without `unless` in it; "" when there is none.
  [[nodiscard]] std::string log_line(std::string_view word, std::string_view unless = "") const;
  // Fast shutdown; throws when it does not end properly.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salvor::postgres
