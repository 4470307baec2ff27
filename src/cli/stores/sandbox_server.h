// A PostgreSQL server in a sandbox, asked and broken on purpose; how its data got there is the
// caller's business.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "cli/stores/store_site.h"
#include "connector/postgres/local_server.h"
#include "engine/postgres/postgres_inspect.h"

namespace salvor::cli {

struct SandboxServerOptions {
  std::string data;  // the data directory
  bool isolated = true;
  std::string superuser;
  std::function<std::string()> database;  // of the assertions; asked when it is needed
};

// On a private socket, with archiving off. Ends with this object. Thread-compatible.
class SandboxServer {
 public:
  SandboxServer(const SourceSpec& source, SandboxServerOptions options)
      : source_(source), options_(std::move(options)) {}

  // Starts it on the data directory and waits until it answers.
  void start(const Context& context);
  void stop();  // properly
  void drop();  // at once, as it may be damaged
  [[nodiscard]] bool started() const { return server_ != nullptr; }
  [[nodiscard]] const postgres::LocalServer& server() const { return *server_; }

  // What it is like now counts as right from here on.
  void remember(const Context& context) { content_ = content_of(context, *server_); }
  [[nodiscard]] bool remembers() const { return content_.has_value(); }

  // As SandboxedStore has them.
  [[nodiscard]] TextMap outputs() const;
  [[nodiscard]] std::vector<CheckResult> check(const Context& context);
  std::string break_it(const Context& context, const std::string& scenario);
  // The server goes on after this object; for SandboxedStore::leave.
  [[nodiscard]] KeptStore leave(const Context& context);

 private:
  struct VictimTable;

  [[nodiscard]] VictimTable largest_table(const Context& context);
  std::string corrupt(const Context& context);
  std::string encrypt(const Context& context);
  std::string migrate(const Context& context);

  const SourceSpec& source_;
  const SandboxServerOptions options_;
  std::string binaries_;
  std::optional<ServerContent> content_;
  std::unique_ptr<postgres::RuntimeFolder> folder_;
  std::unique_ptr<postgres::LocalServer> server_;
};

// Whom a file belongs to. Throws Error.
[[nodiscard]] std::pair<uid_t, gid_t> owner_of(const std::string& path);

}  // namespace salvor::cli
