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
// Error{kNotFound} that names the versions found.
[[nodiscard]] std::string find_client_tools(const std::string& given, const std::string& program,
                                            unsigned major_version);

struct ToolRun {
  std::string program;                 // full path
  std::vector<std::string> arguments;  // without the program; no secrets
  std::vector<std::string> environment = {};
  ByteView input = {};
  // Told each line of stderr that is not the cause of a failure (warnings).
  std::function<void(const std::string&)> on_message = {};
  size_t output_limit = size_t{1} << 30;
};

// Runs it to its end and returns its stdout. Throws Error{kFailed} (kPermission for a refused
// right) with its last words when it fails. Ends it when the context is stopped.
[[nodiscard]] Buffer run_tool(const Context& context, const ToolRun& run);

// A file without a name on any disk that a program of ours can open by `path`, also more than once.
// Gone with this object.
class ToolFile {
 public:
  explicit ToolFile(std::string_view content);
  [[nodiscard]] std::string path() const;

 private:
  UniqueFd file_;
};

}  // namespace salvor::postgres
