// A point in time with the zone it was written in: restic stores both, so both must survive a
// decode-encode round trip.
#pragma once

#include <compare>
#include <cstdint>
#include <ctime>

#include "base/clock.h"

namespace salvor {

struct Timestamp {
  int64_t seconds = 0;             // since 1970-01-01T00:00:00Z
  uint32_t nanoseconds = 0;        // 0..999,999,999
  int32_t utc_offset_seconds = 0;  // east positive; whole minutes once written

  [[nodiscard]] WallTime wall() const {
    return WallTime(std::chrono::seconds(seconds) + std::chrono::nanoseconds(nanoseconds));
  }
  // The same instant, whatever the zone.
  [[nodiscard]] bool same_instant(const Timestamp& other) const {
    return seconds == other.seconds && nanoseconds == other.nanoseconds;
  }
  [[nodiscard]] bool before(const Timestamp& other) const {
    return seconds != other.seconds ? seconds < other.seconds : nanoseconds < other.nanoseconds;
  }
  friend bool operator==(const Timestamp&, const Timestamp&) = default;
};

// Gives the offset of the process's local zone (TZ or /etc/localtime) at an instant, as restic
// writes it. Caches the last answers: a tree of 100,000 files asks 300,000 times. Not thread-safe:
// one a thread.
class LocalZone {
 public:
  [[nodiscard]] Timestamp stamp(int64_t seconds, uint32_t nanoseconds);
  [[nodiscard]] Timestamp stamp(WallTime time);

 private:
  // An hour of wall-clock time never straddles a change of offset that begins on its boundary;
  // zones change on quarter hours at the finest, so the cache works in units of 15 minutes.
  static constexpr size_t kSlots = 64;
  struct Slot {
    int64_t quarter = INT64_MIN;
    int32_t offset = 0;
  };
  Slot slots_[kSlots];
};

}  // namespace salvor
