// A logical backup of PostgreSQL in the repository: found, and its parts read.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "connector/postgres/connection.h"
#include "connector/postgres/logical/dump_manifest.h"
#include "engine/reading/blob_stream.h"
#include "repo/repository.h"

namespace salvor {

struct DumpQuery {
  std::string snapshot;  // id or prefix; "latest" or empty: the newest that agrees with the rest
  std::string label;     // salvor:label=
  std::string database;  // pg:database=
  std::vector<std::string> hosts;
  std::optional<WallTime> before;  // taken before that
};

// Throws Error{kNotFound} when no logical backup matches, Error{kUsage} when they are of several
// databases and nothing says which.
[[nodiscard]] StoredSnapshot find_dump(const Context& context, const Repository& repository,
                                       const DumpQuery& query);

// One backup. Thread-safe for const calls.
class DumpView {
 public:
  // Reads the manifest. The index is loaded. Throws Error{kNotFound} when the snapshot is no
  // logical backup.
  DumpView(const Context& context, const Repository& repository, StoredSnapshot stored);

  [[nodiscard]] const StoredSnapshot& stored() const { return stored_; }
  [[nodiscard]] const postgres::DumpManifest& manifest() const { return manifest_; }
  // "/schema/pre-data.sql", whole; nothing when it is not there.
  [[nodiscard]] std::optional<std::string> text(const Context& context,
                                                const std::string& path) const;
  // A file's bytes, piece by piece. Throws Error{kNotFound}, Error{kDamaged}.
  void stream(const Context& context, const std::string& path,
              const std::function<void(ByteView)>& on_bytes) const;
  [[nodiscard]] static std::string part_path(const postgres::DumpTable& table,
                                             const postgres::DumpPart& part);

 private:
  const Repository& repository_;
  const StoredSnapshot stored_;
  postgres::DumpManifest manifest_;
};

// Sends one part to `COPY <command> FROM STDIN` and returns how many rows the server took. Throws
// Error{kDamaged} when the backup holds another number of rows than its manifest says.
void copy_part(const Context& context, postgres::Connection& connection, const std::string& command,
               const DumpView& dump, const postgres::DumpTable& table,
               const postgres::DumpPart& part);

// `COPY target (columns) FROM STDIN WITH (ENCODING ...)`
[[nodiscard]] std::string copy_in_command(const std::string& target,
                                          const std::vector<std::string>& columns,
                                          const std::string& encoding);

}  // namespace salvor
