// backup_label and tablespace_map: the two small files that tell PostgreSQL that a data directory
// is a backup.
//
// Without backup_label a server starts from whatever checkpoint pg_control names, and the result is
// corrupt.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "connector/postgres/lsn.h"

namespace salvor::postgres {

struct BackupLabel {
  Lsn start;  // replay begins here
  std::string start_segment;
  Lsn checkpoint;
  Timeline timeline;  // 0 before PostgreSQL 11
  std::string method;
  bool from_standby = false;
  std::string start_time;  // the server's text, in its log_timezone
  std::string label;
  // Only in an incremental backup's (17 and later), with which a server refuses to start.
  std::optional<Lsn> incremental_from;
  Timeline incremental_timeline;
};

// Throws Error{kDamaged} when a line that is needed is missing or malformed.
[[nodiscard]] BackupLabel parse_backup_label(std::string_view text);
// The text without the lines that mark an incremental backup; everything else byte for byte.
[[nodiscard]] std::string without_incremental_lines(std::string_view text);

struct TablespaceLocation {
  uint32_t oid = 0;
  std::string path;
  friend bool operator==(const TablespaceLocation&, const TablespaceLocation&) = default;
};

// tablespace_map: "oid path" a line; backslashes and line ends in a path follow a backslash.
// Throws Error{kDamaged} for anything else, relative paths included.
[[nodiscard]] std::vector<TablespaceLocation> parse_tablespace_map(std::string_view text);
[[nodiscard]] std::string format_tablespace_map(const std::vector<TablespaceLocation>& map);

}  // namespace salvor::postgres
