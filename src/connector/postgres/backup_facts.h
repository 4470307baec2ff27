// What is known about a physical backup, beside its files: kept as tags of its snapshot, so that
// any restic shows it and copying a snapshot takes it along.
//
//   postgresql  pg:system=7301...  pg:version=15.18  pg:timeline=1  pg:start=0/2000028
//   pg:stop=0/2000138 pg:stop-time=2026-11-21T07:00:00.123456Z  pg:damaged
//   pg:since=4f1c2a9e  pg:turn=7  pg:read-since=2026-11-21T06:59:58.000000Z
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "connector/postgres/lsn.h"

namespace salvor::postgres {

inline constexpr std::string_view kBackupTag = "postgresql";
inline constexpr std::string_view kDamagedTag = "pg:damaged";

struct BackupFacts {
  uint64_t system_identifier = 0;
  std::string version;  // "15.18"
  Timeline timeline;    // at the stop
  Lsn start;
  Lsn stop;  // the first position to which the backup can be recovered
  WallTime
      stop_time;  // an instant, by the server's clock where possible, not before `stop` was reached
  bool damaged = false;  // pages with wrong checksums were found
  // What did not change since this snapshot was taken over from it; empty: all was read.
  std::string since;
  // Of a backup from the data directory: what it read was read after this instant by the clock of
  // the file system.
  std::optional<WallTime> read_since = {};
  uint64_t turn = 0;  // whose turn it was to be read whole; goes up by one a backup
};

[[nodiscard]] std::vector<std::string> to_tags(const BackupFacts& facts);
// Nothing when the tags are not those of a physical backup. A backup whose tags were edited is not
// one any more.
[[nodiscard]] std::optional<BackupFacts> from_tags(const std::vector<std::string>& tags);

// "2026-11-21T07:00:00.123456Z"
[[nodiscard]] std::string format_utc(WallTime time);
[[nodiscard]] std::optional<WallTime> parse_utc(std::string_view text);

// What a snapshot of the cluster says as its path.
[[nodiscard]] std::string snapshot_path(uint64_t system_identifier);

}  // namespace salvor::postgres
