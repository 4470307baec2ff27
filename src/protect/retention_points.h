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

// `runs` of the source, any order. A point is bad when it is marked as damaged, or when its backup
// was not complete or found a check failing and no restore has passed since; good when its backup
// was complete or a restore passed. Otherwise nobody knows: there are no records of it, or the last
// attempt to restore it failed, which a full disk or a wrong assertion does as well as damage.
[[nodiscard]] std::vector<RetentionPoint> retention_points(
    std::span<const PlacedSnapshot> snapshots, std::span<const RunRecord> runs, WallTime now);

}  // namespace salvor
