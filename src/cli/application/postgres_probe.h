// What `salvor init` finds out about a PostgreSQL server on a socket of this machine by connecting
// to it, once somebody wants it protected.
#pragma once

#include <string>

#include "base/context.h"

namespace salvor::cli {

struct ProbedServer {
  // How it can be connected to; where nobody can, how this user would. Without a password.
  std::string url;
  // Of the server, when it says and it is on this machine: where a recovery puts the data.
  std::string data_directory;
  std::string problem;  // why it cannot be connected to; empty: it can
  std::string hint;
};

// Tries this user's own role, then `postgres`. The database is the only one that somebody made,
// else `postgres`. Takes five seconds a try at most. Throws only Error{kCancelled}.
[[nodiscard]] ProbedServer probe_postgres(const Context& context, const std::string& folder,
                                          const std::string& port);

}  // namespace salvor::cli
