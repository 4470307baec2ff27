// Which snapshots a retention policy keeps, and why. Pure: no I/O, no clock of its own.
//
// The rules are restic's (restic format, section 9, and `restic forget --help`), judged against the
// real program in tests/interop: snapshots are divided into groups, each group is walked from the
// newest to the oldest, and every rule that wants a snapshot gives a reason to keep it.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "model/snapshot.h"

namespace salvor {

// A length of time in calendar units: a month is as long as the month it is taken from.
struct CalendarSpan {
  int years = 0;
  int months = 0;
  int days = 0;
  int hours = 0;

  [[nodiscard]] bool zero() const { return years == 0 && months == 0 && days == 0 && hours == 0; }
  // "2y5m7d3h"; "" when zero.
  [[nodiscard]] std::string text() const;
  friend bool operator==(const CalendarSpan&, const CalendarSpan&) = default;
};

// Reads "2y5m7d3h": any subset of the units, in any order. Throws Error{kUsage} for anything else,
// negative numbers included.
[[nodiscard]] CalendarSpan parse_calendar_span(std::string_view text);

// The instant that lies `span` before `time` on the calendar of `time`'s own zone. Days that do not
// exist run over into the next month, as in Go (31 March minus one month is 3 March).
[[nodiscard]] Timestamp before_by(const Timestamp& time, const CalendarSpan& span);

inline constexpr int kKeepAll = -1;

// Reads a count of `--keep-last` and the like: a number, "unlimited" or -1. Throws Error{kUsage}.
[[nodiscard]] int parse_keep_count(std::string_view text);

// A set of tags, all of which a snapshot must have.
using TagList = std::vector<std::string>;

// "a,b" as restic reads it: split at commas, white space around tags dropped.
[[nodiscard]] TagList parse_tag_list(std::string_view text);
// Whether the snapshot has every tag of the list; an empty tag stands for "has no tags at all".
[[nodiscard]] bool has_all_tags(const Snapshot& snapshot, const TagList& tags);

struct RetentionPolicy {
  // How many of each to keep; 0 = rule not used, kKeepAll = no limit.
  int last = 0;
  int hourly = 0;
  int daily = 0;
  int weekly = 0;  // ISO 8601 weeks
  int monthly = 0;
  int yearly = 0;
  // Counted back from the newest snapshot of the group that does not lie in the future.
  CalendarSpan within;
  CalendarSpan within_hourly;
  CalendarSpan within_daily;
  CalendarSpan within_weekly;
  CalendarSpan within_monthly;
  CalendarSpan within_yearly;
  // Snapshots that satisfy any of the lists stay.
  std::vector<TagList> keep_tags;

  [[nodiscard]] bool empty() const;
  // "keep 3 latest, 7 daily snapshots and all snapshots within 2d of the newest"; "remove" if
  // empty.
  [[nodiscard]] std::string text() const;
};

struct GroupBy {
  bool host = true;
  bool paths = true;
  bool tags = false;
};

// "host,paths,tags" in any order, singular or plural; "" turns grouping off. Throws Error{kUsage}.
[[nodiscard]] GroupBy parse_group_by(std::string_view text);

// Snapshots that are judged together. The parts of the key that grouping does not use are empty.
struct SnapshotGroup {
  std::string host;
  std::vector<std::string> paths;  // sorted
  std::vector<std::string> tags;   // sorted
  std::vector<StoredSnapshot> snapshots;

  // "host a, path [/x /y], tags [t]", as restic names a group.
  [[nodiscard]] std::string text() const;
};

// Groups in ascending order of host, paths, tags. The snapshots' own paths come back sorted, and
// so do their tags when grouping by tags, as in restic's output.
[[nodiscard]] std::vector<SnapshotGroup> group_snapshots(std::vector<StoredSnapshot> snapshots,
                                                         const GroupBy& by);

// Why a snapshot stays.
struct KeepReason {
  std::vector<std::string> matches;  // "last snapshot", "daily snapshot", "within 2d" ...
  // What is left of each count after this snapshot: last, hourly, daily, weekly, monthly, yearly.
  std::array<int, 6> counters_left{};
};

struct RetentionResult {
  std::vector<StoredSnapshot> keep;  // newest first
  std::vector<KeepReason> reasons;   // one for each in `keep`
  std::vector<StoredSnapshot> remove;
};

// Applies the policy to one group. Snapshots of equal time are taken in order of id. `now` decides
// which snapshots lie in the future; hours, days, weeks, months and years are those of each
// snapshot's own zone.
[[nodiscard]] RetentionResult apply_retention(std::vector<StoredSnapshot> snapshots,
                                              const RetentionPolicy& policy, WallTime now);

}  // namespace salvor
