// PostgreSQL's own client programs: pg_dump, pg_restore, pg_dumpall.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/context.h"
#include "base/fd.h"
#include "connector/postgres/connection.h"

namespace salvor::postgres {

// The folder whose `program` is the oldest that is not older than `major_version` (a newer pg_dump
// writes what an older server may not understand): `given`, else PATH and the usual places. Throws
// Error{kNotFound} that names the versions found; `of`: whose version that is.
[[nodiscard]] std::string find_client_tools(const std::string& given, const std::string& program,
                                            unsigned major_version,
                                            const std::string& of = "the server");

// The oldest major version whose pg_restore reads this archive of pg_dump's; 0: any that we know.
// Source: K_VERS_* in PostgreSQL's pg_backup_archiver.h.
[[nodiscard]] unsigned oldest_reader(ByteView archive);

// The folder of a pg_restore for the schema of a backup: one that reads `archive`, and not older
// than the server that was backed up. Throws as find_client_tools.
[[nodiscard]] std::string find_restore_tools(const std::string& given, ByteView archive,
                                             int server_version);

// A file without a name on any disk. The program that it is given to can open it by `path`, also
// more than once. Gone with this object.
class ToolFile {
 public:
  explicit ToolFile(std::string_view content);
  [[nodiscard]] std::string path() const;
  [[nodiscard]] int descriptor() const { return file_.get(); }

 private:
  UniqueFd file_;
};

struct ToolRun {
  std::string program;                 // full path
  std::vector<std::string> arguments;  // without the program; no secrets
  std::vector<std::string> environment = {};
  ByteView input = {};
  const ToolFile* file = nullptr;  // that the arguments name
  // Told each line of stderr that is not the cause of a failure (warnings).
  std::function<void(const std::string&)> on_message = {};
  size_t output_limit = size_t{1} << 30;
};

// Runs it to its end and returns its stdout. Throws Error{kFailed} (kPermission for a refused
// right) with its last words when it fails. Ends it when the context is stopped.
[[nodiscard]] Buffer run_tool(const Context& context, const ToolRun& run);

}  // namespace salvor::postgres
