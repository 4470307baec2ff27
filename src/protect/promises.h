// What the configuration promises of one source, worked out: objectives, intervals, how long a
// proof stands, when something is due next.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "model/application.h"
#include "model/timetable.h"

namespace salvor {

// A proof for which nothing says how long it stands.
inline constexpr std::chrono::seconds kProofStands = std::chrono::days(31);

struct Due {
  std::string what;  // "backup", "restore test", "drill <name>"
  WallTime at;
};

struct Promises {
  // The strictest that a backup is for; nothing: none was stated. An RPO of zero is not a backup's
  // to keep (a replica's), so it does not count here.
  std::optional<std::chrono::seconds> rpo;
  std::optional<std::chrono::seconds> rto;
  std::string rpo_scenario;  // whose it is; "any" where it is everybody's
  std::string rto_scenario;
  std::optional<Timetable> backup;
  std::optional<std::chrono::seconds> backup_gap;  // the longest between two
  std::chrono::seconds jitter{0};
  std::chrono::seconds proof_stands = kProofStands;
  std::optional<Due> next_backup;
  std::optional<Due> next_proof;  // a restore test or a drill
};

// Pure. The source must be the application's. What the configuration would not have let through (a
// schedule that cannot be read) counts as not there.
[[nodiscard]] Promises promises_of(const Application& application, const SourceSpec& source,
                                   WallTime now);
// The objectives of the application as a whole (those that name no source).
[[nodiscard]] Promises promises_of(const Application& application, WallTime now);

}  // namespace salvor
