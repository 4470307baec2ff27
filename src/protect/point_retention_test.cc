#include "protect/point_retention.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "support/properties.h"

namespace salvor {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

const WallTime kNow = std::chrono::sys_days(std::chrono::year(2026) / 11 / 21) + hours(12);

WallTime day(int year, unsigned month, unsigned day, int hour = 2) {
  return std::chrono::sys_days(std::chrono::year(year) / static_cast<int>(month) /
                               static_cast<int>(day)) +
         hours(hour);
}

RetentionPoint point(const std::string& name, WallTime captured,
                     PointQuality quality = PointQuality::kGood) {
  return {.snapshot = name, .captured = captured, .quality = quality};
}

std::set<std::string> kept(const PointRetentionPlan& plan) {
  std::set<std::string> names;
  for (const PointDecision& decision : plan.decisions) {
    if (decision.keep()) {
      names.insert(decision.point.snapshot);
    }
  }
  return names;
}

std::set<std::string> kept(const std::vector<RetentionPoint>& points, const RetentionRule& rule,
                           const TimeZone& zone = TimeZone::utc()) {
  return kept(plan_point_retention(points, rule, zone, kNow));
}

std::string reasons(const PointRetentionPlan& plan, const std::string& name) {
  for (const PointDecision& decision : plan.decisions) {
    if (decision.point.snapshot == name) {
      std::string all;
      for (const std::string& reason : decision.reasons) {
        all += (all.empty() ? "" : "; ") + reason;
      }
      return all;
    }
  }
  return "(not there)";
}

// One a day at 02:00 UTC, d1 the newest.
std::vector<RetentionPoint> daily_points(int count, WallTime newest = day(2026, 11, 21)) {
  std::vector<RetentionPoint> points;
  for (int i = 0; i < count; ++i) {
    points.push_back(point("d" + std::to_string(i + 1), newest - hours(24 * i)));
  }
  return points;
}

// "deleting by file age removes the only good backup when new ones have been failing for 30 days"
TEST(PointRetention, WhenNewBackupsFailForAMonthTheLastGoodOneStays) {
  std::vector<RetentionPoint> points = daily_points(60);
  for (int i = 0; i < 30; ++i) {
    points[static_cast<size_t>(i)].quality = PointQuality::kBad;
  }
  const RetentionRule rule{.daily = 7, .within = hours(24 * 7)};
  const PointRetentionPlan plan = plan_point_retention(points, rule, TimeZone::utc(), kNow);
  const std::set<std::string> stay = kept(plan);
  for (int i = 31; i <= 37; ++i) {
    EXPECT_TRUE(stay.contains("d" + std::to_string(i))) << i << ": seven good days, however old";
  }
  EXPECT_FALSE(stay.contains("d38"));
  EXPECT_TRUE(stay.contains("d1")) << "the only trace of these days";
  // Once there is a good one again, the bad ones go.
  points.push_back(point("new", kNow - hours(1)));
  const std::set<std::string> later = kept(points, rule);
  EXPECT_TRUE(later.contains("new"));
  EXPECT_TRUE(later.contains("d36"));
  EXPECT_FALSE(later.contains("d1"));
  EXPECT_FALSE(later.contains("d37"));
}

TEST(PointRetention, ABackupThatWasNotCompleteFillsNoSlot) {
  std::vector<RetentionPoint> points = daily_points(4);
  points[1].quality = PointQuality::kBad;
  EXPECT_EQ(kept(points, {.daily = 2}), (std::set<std::string>{"d1", "d3"}));
  EXPECT_EQ(kept(points, {.last = 3}), (std::set<std::string>{"d1", "d3", "d4"}));
}

TEST(PointRetention, WeeksGoBySundayOrTheNearestLaterDay) {
  // 2026-11-15 and -08 are Sundays.
  const std::vector<RetentionPoint> points{
      point("sat21", day(2026, 11, 21)), point("mon16", day(2026, 11, 16)),
      point("sun15", day(2026, 11, 15)), point("sun15b", day(2026, 11, 15, 20)),
      point("wed11", day(2026, 11, 11)), point("tue10", day(2026, 11, 10)),
      point("sat07", day(2026, 11, 7)),  point("sun01", day(2026, 11, 1))};
  const PointRetentionPlan plan =
      plan_point_retention(points, {.weekly = 3}, TimeZone::utc(), kNow);
  EXPECT_EQ(kept(plan), (std::set<std::string>{"sat21", "sun15b", "tue10", "sun01"}));
  EXPECT_EQ(reasons(plan, "sun15b"), "weekly 1 of 3");
  EXPECT_EQ(reasons(plan, "tue10"), "weekly 2 of 3 (no good one on Sunday)");
  EXPECT_EQ(reasons(plan, "sat21"), "the newest good one");
  // On Mondays.
  EXPECT_EQ(kept(points, {.weekly = 2, .weekly_on = 1}),
            (std::set<std::string>{"sat21", "mon16", "tue10"}));
}

TEST(PointRetention, MonthsGoByTheirPreferredDayThenLaterThenEarlier) {
  const std::vector<RetentionPoint> points{
      point("nov21", day(2026, 11, 21)), point("oct20", day(2026, 10, 20)),
      point("oct16", day(2026, 10, 16)), point("oct14", day(2026, 10, 14)),
      point("sep14", day(2026, 9, 14)),  point("sep02", day(2026, 9, 2)),
      point("feb28", day(2026, 2, 28)),  point("feb27", day(2026, 2, 27))};
  EXPECT_EQ(kept(points, {.monthly = 4, .monthly_on = 15}),
            (std::set<std::string>{"nov21", "oct16", "sep14", "feb27"}));
  EXPECT_EQ(kept(points, {.monthly = 4, .monthly_on = 31}),  // the last, where there is no 31st
            (std::set<std::string>{"nov21", "oct20", "sep14", "feb28"}));
  EXPECT_EQ(kept(points, {.monthly = 4}),
            (std::set<std::string>{"nov21", "oct14", "sep02", "feb27"}));
  EXPECT_EQ(kept(points, {.yearly = 2}), (std::set<std::string>{"nov21", "feb27"}));
}

TEST(PointRetention, DaysAreThoseOfThePolicysZone) {
  // 23:30 UTC is the next day in Berlin; 22:30 UTC in summer, too.
  const std::vector<RetentionPoint> points{
      point("a", day(2026, 11, 20, 23) + minutes(30)), point("b", day(2026, 11, 20, 22)),
      point("c", day(2026, 11, 19, 23) + minutes(30)), point("d", day(2026, 11, 19, 12))};
  EXPECT_EQ(kept(points, {.daily = 2}), (std::set<std::string>{"a", "c"}));
  EXPECT_EQ(kept(points, {.daily = 2}, TimeZone::named("Europe/Berlin")),
            (std::set<std::string>{"a", "b"}));
  // The hour that comes twice is one hour of the clock on the wall.
  const WallTime autumn = day(2026, 10, 25, 0);
  const std::vector<RetentionPoint> twice{point("first", autumn + minutes(10)),
                                          point("second", autumn + minutes(70)),
                                          point("before", autumn - minutes(20))};
  EXPECT_EQ(kept(twice, {.hourly = 2}, TimeZone::named("Europe/Berlin")),
            (std::set<std::string>{"second", "before"}));
}

TEST(PointRetention, WhatWasProvenLastIsNeverRemoved) {
  std::vector<RetentionPoint> points = daily_points(20);
  points[18].proven_at = kNow - hours(24 * 10);
  points[19].proven_at = kNow - hours(24 * 15);
  const PointRetentionPlan plan = plan_point_retention(points, {.last = 2}, TimeZone::utc(), kNow);
  EXPECT_EQ(kept(plan), (std::set<std::string>{"d1", "d2", "d19"}));
  EXPECT_EQ(reasons(plan, "d19"), "proven last");
}

// A drill that failed for a full disk says nothing of the backup that an earlier one has proven.
TEST(PointRetention, WhatWasProvenLastStaysWhateverALaterAttemptSaid) {
  std::vector<RetentionPoint> points = daily_points(20);
  points[17].proven_at = kNow - hours(24 * 5);
  points[17].quality = PointQuality::kUnknown;  // refuted since
  points[18].proven_at = kNow - hours(24 * 7);
  points[18].quality = PointQuality::kBad;
  points[19].proven_at = kNow - hours(24 * 10);
  const PointRetentionPlan plan = plan_point_retention(points, {.last = 2}, TimeZone::utc(), kNow);
  EXPECT_EQ(kept(plan), (std::set<std::string>{"d1", "d2", "d18", "d20"}))
      << "the one proven last, and the one of the good ones";
}

TEST(PointRetention, TagsLabelsAndHoldsStay) {
  std::vector<RetentionPoint> points = daily_points(10);
  points[5].tags = {"audit"};
  points[6].promise = "kept until 2026-12-01";
  EXPECT_EQ(kept(points, {.last = 1, .keep_tags = {"audit"}}),
            (std::set<std::string>{"d1", "d6", "d7"}));
  EXPECT_EQ(kept(points, {.last = 1, .legal_hold = true}).size(), 10U);
  EXPECT_EQ(kept(points, {}).size(), 10U) << "no rule is not a rule that everything goes";
}

TEST(PointRetention, EveryMomentNeedsAPointBeforeIt) {
  std::vector<RetentionPoint> points = daily_points(10);
  const RetentionRule rule{.last = 1, .journal = hours(24 * 3)};
  const PointRetentionPlan plan = plan_point_retention(points, rule, TimeZone::utc(), kNow);
  // Three days before now is the 18th, 12:00; the point of that morning begins the log.
  EXPECT_EQ(kept(plan), (std::set<std::string>{"d1", "d4"}));
  EXPECT_EQ(plan.log_from, day(2026, 11, 18));
  // Without a length of time, the log goes with the points.
  EXPECT_EQ(plan_point_retention(points, {.last = 2}, TimeZone::utc(), kNow).log_from,
            day(2026, 11, 20));
  // A bad point begins no log.
  points[3].quality = PointQuality::kBad;
  EXPECT_EQ(plan_point_retention(points, rule, TimeZone::utc(), kNow).log_from, day(2026, 11, 17));
}

TEST(PointRetention, WhatNobodyKnowsAboutIsNotThrownAwayForIt) {
  std::vector<RetentionPoint> points = daily_points(6);
  for (const size_t i : {1U, 2U, 4U}) {
    points[i].quality = PointQuality::kUnknown;
  }
  const PointRetentionPlan plan = plan_point_retention(points, {.daily = 3}, TimeZone::utc(), kNow);
  // Good: d1, d4, d6. As if all were good: d1, d2, d3.
  EXPECT_EQ(kept(plan), (std::set<std::string>{"d1", "d2", "d3", "d4", "d6"}));
  EXPECT_EQ(reasons(plan, "d2"), "daily 2 of 3; not known whether it is good");
  for (RetentionPoint& each : points) {
    each.quality = PointQuality::kUnknown;
  }
  EXPECT_EQ(kept(points, {.daily = 3}).size(), 6U) << "no good one at all: nothing goes";
}

// --- properties

struct Drawn {
  std::vector<RetentionPoint> points;
  RetentionRule rule;
  TimeZone zone = TimeZone::utc();
};

Drawn draw() {
  Drawn drawn;
  const int count = *rc::gen::inRange(0, 60);
  const int64_t stretch = *rc::gen::element<int64_t>(1, 7, 30, 400);  // days
  for (int i = 0; i < count; ++i) {
    RetentionPoint one = point("p" + std::to_string(i),
                               kNow - seconds(*rc::gen::inRange<int64_t>(0, stretch * 86400)));
    one.quality = *rc::gen::weightedElement<PointQuality>(
        {{6, PointQuality::kGood}, {2, PointQuality::kUnknown}, {2, PointQuality::kBad}});
    if (*rc::gen::inRange(0, 5) == 0) {
      one.proven_at = one.captured + hours(*rc::gen::inRange(1, 500));
    }
    if (*rc::gen::inRange(0, 20) == 0) {
      one.tags = {"audit"};
    }
    drawn.points.push_back(std::move(one));
  }
  const auto small = [](unsigned most) { return *rc::gen::inRange(0U, most); };
  drawn.rule = {.last = small(4),
                .hourly = small(5),
                .daily = small(8),
                .weekly = small(5),
                .monthly = small(5),
                .yearly = small(3),
                .weekly_on = small(7),
                .monthly_on = 1 + small(31),
                .within = hours(small(72)),
                .keep_tags = {"audit"},
                .journal = hours(small(72))};
  drawn.zone = TimeZone::named(
      *rc::gen::element<std::string>("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"));
  return drawn;
}

PointRetentionPlan plan_of(const Drawn& drawn) {
  return plan_point_retention(drawn.points, drawn.rule, drawn.zone, kNow);
}

TEST(PointRetentionProperty, ASecondTimeRemovesNothing) {
  test::expect_property([] {
    Drawn drawn = draw();
    const PointRetentionPlan first = plan_of(drawn);
    drawn.points.clear();
    for (const PointDecision& decision : first.decisions) {
      if (decision.keep()) {
        drawn.points.push_back(decision.point);
      }
    }
    const PointRetentionPlan second = plan_of(drawn);
    RC_ASSERT(second.removed().empty());
    RC_ASSERT(second.log_from == first.log_from);
  });
}

TEST(PointRetentionProperty, MoreIsNeverLess) {
  test::expect_property([] {
    Drawn drawn = draw();
    const std::set<std::string> before = kept(plan_of(drawn));
    unsigned* const counts[] = {&drawn.rule.last,   &drawn.rule.hourly,  &drawn.rule.daily,
                                &drawn.rule.weekly, &drawn.rule.monthly, &drawn.rule.yearly};
    *counts[*rc::gen::inRange(0, 6)] += *rc::gen::inRange(1U, 5U);
    const std::set<std::string> after = kept(plan_of(drawn));
    RC_ASSERT(std::includes(after.begin(), after.end(), before.begin(), before.end()));
  });
}

TEST(PointRetentionProperty, TheLastProvenAndTheNewestGoodStayAndCountsAreBounded) {
  test::expect_property([] {
    Drawn drawn = draw();
    const PointRetentionPlan plan = plan_of(drawn);
    const RetentionPoint* proven = nullptr;
    const RetentionPoint* proven_good = nullptr;
    const RetentionPoint* newest = nullptr;
    const auto later = [](const RetentionPoint& one, const RetentionPoint* than) {
      return one.proven_at && (than == nullptr || *one.proven_at > *than->proven_at);
    };
    for (const PointDecision& decision : plan.decisions) {
      const RetentionPoint& one = decision.point;
      const bool good = one.quality == PointQuality::kGood;
      proven = later(one, proven) ? &one : proven;
      proven_good = good && later(one, proven_good) ? &one : proven_good;
      newest = good && newest == nullptr ? &one : newest;
      RC_ASSERT(decision.keep() == decision.why_not.empty());
    }
    const std::set<std::string> stay = kept(plan);
    RC_ASSERT((proven == nullptr || stay.contains(proven->snapshot)));
    RC_ASSERT((proven_good == nullptr || stay.contains(proven_good->snapshot)));
    RC_ASSERT((newest == nullptr || stay.contains(newest->snapshot)));
    const RetentionRule& rule = drawn.rule;
    const size_t slots =
        rule.last + rule.hourly + rule.daily + rule.weekly + rule.monthly + rule.yearly;
    size_t slotted = 0;
    for (const PointDecision& decision : plan.decisions) {
      const RetentionPoint& one = decision.point;
      const bool young = one.captured >= kNow - rule.within && rule.within.count() > 0;
      slotted += one.quality == PointQuality::kGood && decision.keep() && !young &&
                         one.tags.empty() && &one != newest && &one != proven && &one != proven_good
                     ? 1
                     : 0;
    }
    RC_ASSERT(slotted <= slots + 1);  // one begins the log
  });
}

// The rules for good points once more, point by point and slowly: how many buckets are newer, and
// does any other good point of the bucket come before this one?
bool reference_keeps(const Drawn& drawn, const RetentionPoint& one) {
  struct Wall {
    int64_t year, month, day, hour, days, second;
  };
  const auto wall = [&](const RetentionPoint& p) {
    const LocalSeconds local =
        drawn.zone.local(std::chrono::floor<std::chrono::seconds>(p.captured));
    const int64_t all = local.time_since_epoch().count();
    const int64_t days = (all >= 0 ? all : all - 86399) / 86400;
    const std::chrono::year_month_day civil{std::chrono::local_days(std::chrono::days(days))};
    return Wall{static_cast<int>(civil.year()),
                static_cast<unsigned>(civil.month()),
                static_cast<unsigned>(civil.day()),
                (all - days * 86400) / 3600,
                days,
                all - days * 86400};
  };
  const auto newer = [](const RetentionPoint& a, const RetentionPoint& b) {
    return a.captured != b.captured ? a.captured > b.captured : a.snapshot < b.snapshot;
  };
  const RetentionRule& rule = drawn.rule;
  const auto last_day = [](int64_t year, int64_t month) {
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    constexpr int64_t kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return kDays[month - 1] + (month == 2 && leap ? 1 : 0);
  };
  // Day 0 (1970-01-01) was a Thursday.
  const auto week = [&](const Wall& w) {
    return w.days - ((w.days % 7 + 7 + 4 - rule.weekly_on) % 7);
  };
  const auto distance = [](int64_t day, int64_t wanted) {  // smaller is better
    return day >= wanted ? day - wanted : 1'000'000 + wanted - day;
  };
  const auto slot = [&](unsigned count, auto bucket, auto rank) {
    std::set<int64_t> newer_buckets;
    for (const RetentionPoint& other : drawn.points) {
      if (other.quality != PointQuality::kGood) {
        continue;
      }
      const Wall mine = wall(one);
      const Wall theirs = wall(other);
      if (bucket(theirs) > bucket(mine)) {
        newer_buckets.insert(bucket(theirs));
      } else if (bucket(theirs) == bucket(mine) &&
                 (rank(theirs) < rank(mine) || (rank(theirs) == rank(mine) && newer(other, one)))) {
        return false;
      }
    }
    return newer_buckets.size() < count;
  };
  const auto none = [](const Wall&) { return int64_t{0}; };
  size_t before = 0;
  for (const RetentionPoint& other : drawn.points) {
    before += other.quality == PointQuality::kGood && newer(other, one) ? 1 : 0;
  }
  const auto in_month = [&](const Wall& w) {
    return distance(w.day, std::min<int64_t>(rule.monthly_on, last_day(w.year, w.month)));
  };
  const auto in_year = [&](const Wall& w) {
    const int64_t first = std::min<int64_t>(rule.monthly_on, 31);
    int64_t day_of_year = w.day;
    for (int64_t month = 1; month < w.month; ++month) {
      day_of_year += last_day(w.year, month);
    }
    return distance(day_of_year, first);
  };
  return before < rule.last ||
         slot(
             rule.hourly, [](const Wall& w) { return w.days * 24 + w.hour; }, none) ||
         slot(
             rule.daily, [](const Wall& w) { return w.days; }, none) ||
         slot(
             rule.weekly, week, [&](const Wall& w) { return distance(w.days, week(w)); }) ||
         slot(
             rule.monthly, [](const Wall& w) { return w.year * 12 + w.month; }, in_month) ||
         slot(rule.yearly, [](const Wall& w) { return w.year; }, in_year);
}

TEST(PointRetentionProperty, SlotsAreThoseOfASlowReference) {
  test::expect_property([] {
    const Drawn drawn = draw();
    const PointRetentionPlan plan = plan_of(drawn);
    for (const PointDecision& decision : plan.decisions) {
      if (decision.point.quality != PointQuality::kGood) {
        continue;
      }
      const bool slotted = std::any_of(decision.reasons.begin(), decision.reasons.end(),
                                       [](const std::string& reason) {
                                         return reason.find(" of ") != std::string::npos &&
                                                reason.find("reached from") == std::string::npos;
                                       });
      RC_ASSERT(slotted == reference_keeps(drawn, decision.point));
    }
  });
}

}  // namespace
}  // namespace salvor
