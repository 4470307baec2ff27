// Which recovery points of one source in one place stay, and why (T3). Pure.
//
// A calendar rule keeps the newest so many buckets (hours, days, weeks, months, years, in the
// policy's zone) that hold a good point, and of each bucket one: the newest of its preferred day,
// else of the nearest later day that has one, else of the nearest earlier. A week begins on its
// preferred day, so that the nearest later one is in it.
//
// A point is good when it was restored and looked into, or when its backup was complete and its
// cheap check passed. Only good points fill slots: when backups fail for a month, the last good one
// does not grow old. Points that are not known to be good (made by restic, or before there were
// records, or the last attempt to restore them failed) can neither fill slots nor be thrown away
// for it: the rules are applied a second time as if they were good, and what that keeps stays, too.
//
// Whatever the rules say, these stay: everything under a legal hold; what was proven last, whatever
// was found of it since, and what was proven last of what is good; the newest good point; what is
// newer than that (it may be all there is of those days); tags and labels that promise it; what the
// log is needed from.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "model/application.h"
#include "model/time_zone.h"

namespace salvor {

enum class PointQuality : uint8_t {
  kBad,      // incomplete, damaged, or a check failed when it was made
  kUnknown,  // nothing is written down about it, or the last attempt to restore it failed
  kGood,
};

struct RetentionPoint {
  std::string snapshot;  // full id, in this place
  WallTime captured;
  PointQuality quality = PointQuality::kUnknown;
  std::optional<WallTime> proven_at;  // when a restore of it passed last, however long ago
  std::vector<std::string> tags;
  std::string promise;  // of a label or tag, that holds now: "kept until 2026-12-01"; else empty
};

struct PointDecision {
  RetentionPoint point;
  std::vector<std::string> reasons;  // why it stays; empty: it goes
  std::string why_not;               // why it goes, a phrase
  [[nodiscard]] bool keep() const { return !reasons.empty(); }
};

struct PointRetentionPlan {
  std::vector<PointDecision> decisions;  // newest first
  // The log is needed from here on, without a gap; before it, each kept point needs only what
  // belongs to the backup itself. Nothing: no point is kept.
  std::optional<WallTime> log_from;
  std::string log_reason;

  [[nodiscard]] size_t kept() const;
  [[nodiscard]] std::vector<std::string> removed() const;  // snapshots, newest first
};

// Points of equal time are taken in order of id. Rules that keep nothing at all (every count zero,
// no tags, no `within`) keep everything: nobody means them.
[[nodiscard]] PointRetentionPlan plan_point_retention(std::span<const RetentionPoint> points,
                                                      const RetentionRule& rule,
                                                      const TimeZone& zone, WallTime now);

// "7 daily, 4 weekly (Sunday), 12 monthly (the 1st), everything of 2 days"; for people.
[[nodiscard]] std::string rule_text(const RetentionRule& rule);

}  // namespace salvor
