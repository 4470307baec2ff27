// Recovery points of a source in one place as retention judges them: with what was found out about
// each. Pure.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "model/run_record.h"
#include "protect/point_retention.h"

namespace salvor {

struct PlacedSnapshot {
  std::string snapshot;  // full id, in that place
  std::string original;  // in the source's own repository: what runs say things about
  WallTime captured;
  std::vector<std::string> tags;
  bool damaged = false;
};

// `runs` of the source, any order. A point is bad when it is marked as damaged, when its backup was
// not complete or found a check failing, and when the last attempt to restore it failed; good when
// its backup was complete or a restore passed; otherwise nobody knows.
[[nodiscard]] std::vector<RetentionPoint> retention_points(
    std::span<const PlacedSnapshot> snapshots, std::span<const RunRecord> runs, WallTime now);

}  // namespace salvor
