// What of a live data directory belongs into a physical backup: the server's own rules (as in
// BASE_BACKUP), by names alone.
//
// Source: PostgreSQL's documentation, "Making a Base Backup Using the Low Level API" and
// "Streaming Replication Protocol" (BASE_BACKUP).
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace salvor::postgres {

// Left out wherever it is: the running server's own, temporary files, what a backup brings itself.
[[nodiscard]] bool is_left_out(std::string_view name);
// A directory that a backup has empty ("pg_notify"), by its path in the data directory.
[[nodiscard]] bool is_emptied(std::string_view path);
// "base/5", "pg_tblspc/16400/PG_15_202209061/5": here are relations that may be unlogged.
[[nodiscard]] bool is_database_directory(std::string_view path);

// Of one database's directory: temporary relations, and of unlogged ones everything but the init
// fork, are left out.
class DatabaseFilter {
 public:
  explicit DatabaseFilter(const std::vector<std::string>& names);
  [[nodiscard]] bool leaves_out(std::string_view name) const;

 private:
  std::set<std::string, std::less<>> unlogged_;  // file numbers
};

}  // namespace salvor::postgres
