#include "engine/snapshots/retention.h"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "support/properties.h"

namespace salvor {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kHour = 3600;
constexpr int64_t kDay = 24 * kHour;
// 2024-01-31T12:00:00Z, a Wednesday.
constexpr int64_t kStart = 1706702400;

SnapshotId id_of(uint32_t number) {
  Digest digest{};
  for (size_t i = 0; i < 4; ++i) {
    digest[i] = static_cast<std::byte>(number >> (24 - 8 * i));
  }
  return SnapshotId(digest);
}

StoredSnapshot at(int64_t seconds, int32_t offset = 0, std::vector<std::string> tags = {}) {
  static uint32_t number = 0;
  StoredSnapshot stored{id_of(++number), {}};
  stored.snapshot.time = {seconds, 0, offset};
  stored.snapshot.tags = std::move(tags);
  return stored;
}

WallTime wall(int64_t seconds) {
  return WallTime(std::chrono::seconds(seconds));
}

std::vector<int64_t> times(const std::vector<StoredSnapshot>& snapshots) {
  std::vector<int64_t> result;
  for (const StoredSnapshot& stored : snapshots) {
    result.push_back(stored.snapshot.time.seconds);
  }
  return result;
}

TEST(CalendarSpan, ReadsAndWritesWhatResticDoes) {
  EXPECT_EQ(parse_calendar_span("2y5m7d3h"), (CalendarSpan{2, 5, 7, 3}));
  EXPECT_EQ(parse_calendar_span(" 3h2y "), (CalendarSpan{2, 0, 0, 3}));
  EXPECT_EQ((CalendarSpan{2, 0, 7, 0}).text(), "2y7d");
  EXPECT_TRUE(parse_calendar_span("").zero());
  for (const char* bad : {"5", "d", "5x", "-5d", "5d6", "99999999999d", "1.5h", "5 d"}) {
    EXPECT_THROW((void)parse_calendar_span(bad), Error) << bad;
  }
}

TEST(CalendarSpan, MonthsThatAreTooShortRunOverAsInGo) {
  // 2024-03-31 minus a month is 31 February = 2 March (leap year).
  const Timestamp march31{1711886400, 0, 0};
  EXPECT_EQ(before_by(march31, {0, 1, 0, 0}).seconds, 1709380800);  // 2024-03-02T12:00:00Z
  // 2024-02-29 minus a year is 29 February 2023 = 1 March 2023.
  EXPECT_EQ(before_by({1709208000, 0, 0}, {1, 0, 0, 0}).seconds, 1677672000);
  // Twelve months are a year.
  EXPECT_EQ(before_by({kStart, 0, 0}, {0, 12, 0, 0}).seconds,
            before_by({kStart, 0, 0}, {1, 0, 0, 0}).seconds);
}

TEST(Retention, CountsKeepTheNewestOfEachPeriod) {
  std::vector<StoredSnapshot> snapshots;
  for (int hour = 0; hour < 72; ++hour) {
    snapshots.push_back(at(kStart - hour * kHour));
  }
  RetentionPolicy policy;
  policy.daily = 2;
  const RetentionResult result = apply_retention(snapshots, policy, wall(kStart + 1));
  // The 31st's newest is at 12:00, the 30th's at 23:00.
  EXPECT_THAT(times(result.keep), ElementsAre(kStart, kStart - 13 * kHour));
  EXPECT_THAT(result.reasons[0].matches, ElementsAre("daily snapshot"));
  EXPECT_THAT(result.reasons[0].counters_left, ElementsAre(0, 0, 1, 0, 0, 0));
  EXPECT_EQ(result.remove.size(), 70U);
}

TEST(Retention, KeepsTheOldestWhenACountIsNotUsedUp) {
  RetentionPolicy policy;
  policy.monthly = 5;
  const RetentionResult result = apply_retention(
      {at(kStart), at(kStart - kDay), at(kStart - 2 * kDay)}, policy, wall(kStart + 1));
  EXPECT_THAT(times(result.keep), ElementsAre(kStart, kStart - 2 * kDay));
  EXPECT_THAT(result.reasons[1].matches, ElementsAre("oldest monthly snapshot"));
}

TEST(Retention, PeriodsAreThoseOfTheSnapshotsOwnZone) {
  RetentionPolicy policy;
  policy.daily = kKeepAll;
  // 23:30 and 00:30 in UTC are two days, but one day at +02:00. The third is only there so that
  // neither of the two is the oldest.
  const int64_t midnight = kStart + 12 * kHour;
  const auto kept = [&](int32_t offset) {
    return apply_retention({at(midnight - 1800, offset), at(midnight + 1800, offset),
                            at(midnight - 10 * kDay, offset)},
                           policy, wall(midnight + kDay))
        .keep.size();
  };
  EXPECT_EQ(kept(0), 3U);
  EXPECT_EQ(kept(7200), 2U);
}

TEST(Retention, WeeksAreIsoWeeks) {
  RetentionPolicy policy;
  policy.weekly = kKeepAll;
  // Sunday 2023-01-01 belongs to week 52 of 2022, as does Saturday; Monday the 2nd begins week 1.
  const int64_t sunday = 1672574400;
  const RetentionResult result =
      apply_retention({at(sunday + kDay), at(sunday), at(sunday - kDay), at(sunday - 30 * kDay)},
                      policy, wall(sunday + 10 * kDay));
  EXPECT_THAT(times(result.keep), ElementsAre(sunday + kDay, sunday, sunday - 30 * kDay));
}

TEST(Retention, WithinCountsFromTheNewestThatIsNotInTheFuture) {
  RetentionPolicy policy;
  policy.within = {0, 0, 2, 0};
  const RetentionResult result = apply_retention(
      {at(kStart + 100 * kDay), at(kStart), at(kStart - kDay), at(kStart - 2 * kDay)}, policy,
      wall(kStart + 1));
  // Exactly two days ago is outside.
  EXPECT_THAT(times(result.keep), ElementsAre(kStart + 100 * kDay, kStart, kStart - kDay));
  EXPECT_THAT(result.reasons[1].matches, ElementsAre("within 2d"));
}

TEST(Retention, WithinPeriodsThinOutWhatIsRecent) {
  RetentionPolicy policy;
  policy.within_daily = {0, 0, 2, 0};
  const RetentionResult result =
      apply_retention({at(kStart), at(kStart - kHour), at(kStart - kDay), at(kStart - 5 * kDay)},
                      policy, wall(kStart + 1));
  EXPECT_THAT(times(result.keep), ElementsAre(kStart, kStart - kDay));
  EXPECT_THAT(result.reasons[0].matches, ElementsAre("daily within 2d"));
}

TEST(Retention, CountsAreNumbersOrAll) {
  EXPECT_EQ(parse_keep_count("0"), 0);
  EXPECT_EQ(parse_keep_count("17"), 17);
  EXPECT_EQ(parse_keep_count("unlimited"), kKeepAll);
  EXPECT_EQ(parse_keep_count("-1"), kKeepAll);
  for (const char* bad : {"", "-2", "x", "1x", "1.5", " 1", "99999999999"}) {
    EXPECT_THROW((void)parse_keep_count(bad), Error) << bad;
  }
}

TEST(Retention, TagListsNeedAllTheirTags) {
  RetentionPolicy policy;
  policy.keep_tags = {parse_tag_list("a, b"), parse_tag_list("")};
  const RetentionResult result = apply_retention(
      {at(kStart, 0, {"a"}), at(kStart - 1, 0, {"b", "a"}), at(kStart - 2)}, policy, wall(kStart));
  EXPECT_THAT(times(result.keep), ElementsAre(kStart - 1, kStart - 2));
  EXPECT_THAT(result.reasons[0].matches, ElementsAre("has tags [a, b]"));
  EXPECT_THAT(result.reasons[1].matches, ElementsAre("has tags []"));
}

TEST(Retention, PolicyTextIsRestics) {
  RetentionPolicy policy;
  EXPECT_EQ(policy.text(), "remove");
  policy.last = 3;
  policy.daily = kKeepAll;
  policy.within_hourly = {0, 0, 0, 6};
  policy.keep_tags = {{"a", "b"}, {"c"}};
  policy.within = {0, 0, 2, 0};
  EXPECT_EQ(policy.text(),
            "keep 3 latest, all daily snapshots, hourly snapshots within 6h and all snapshots with "
            "tags [[a, b] [c]] and all snapshots within 2d of the newest");
}

TEST(Retention, GroupsByHostAndPathsWhateverTheirOrder) {
  StoredSnapshot first = at(kStart);
  first.snapshot.hostname = "h";
  first.snapshot.paths = {"/b", "/a"};
  StoredSnapshot second = at(kStart + 1);
  second.snapshot.hostname = "h";
  second.snapshot.paths = {"/a", "/b"};
  StoredSnapshot third = at(kStart + 2);
  third.snapshot.hostname = "g";
  const std::vector<StoredSnapshot> all{first, second, third};
  const std::vector<SnapshotGroup> groups = group_snapshots(all, {});
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].text(), "host g");
  EXPECT_EQ(groups[1].text(), "host h, path [/a /b]");
  EXPECT_EQ(groups[1].snapshots.size(), 2U);
  EXPECT_EQ(group_snapshots(all, parse_group_by("")).size(), 1U);
  EXPECT_THROW((void)parse_group_by("colour"), Error);
}

// --- properties over generated histories ---------------------------------------------------------

struct History {
  std::vector<StoredSnapshot> snapshots;  // newest first
  RetentionPolicy policy;
};

rc::Gen<int> count_gen() {
  return rc::gen::weightedOneOf<int>({{3, rc::gen::just(0)}, {2, rc::gen::inRange(-1, 6)}});
}

rc::Gen<CalendarSpan> span_gen() {
  return rc::gen::weightedOneOf<CalendarSpan>(
      {{4, rc::gen::just(CalendarSpan())},
       {1, rc::gen::construct<CalendarSpan>(rc::gen::inRange(0, 2), rc::gen::inRange(0, 3),
                                            rc::gen::inRange(0, 11), rc::gen::inRange(0, 31))}});
}

// Inside a property only. Times are distinct unless `ties`.
History any_history(bool ties = true) {
  History history;
  const int64_t step =
      *rc::gen::element<int64_t>(int64_t{600}, int64_t{kHour}, int64_t{kDay}, 20 * kDay);
  const auto gaps = *rc::gen::nonEmpty(
      rc::gen::container<std::vector<int64_t>>(rc::gen::inRange<int64_t>(ties ? 0 : 1, 2 * step)));
  int64_t time = kStart;
  for (const int64_t gap : gaps) {
    const auto tags = *rc::gen::element(TagList{}, TagList{"a"}, TagList{"a", "b"});
    history.snapshots.push_back(at(time, *rc::gen::inRange(-2, 3) * 3600, tags));
    time -= gap;
  }
  RetentionPolicy& policy = history.policy;
  for (int* rule : {&policy.last, &policy.hourly, &policy.daily, &policy.weekly, &policy.monthly,
                    &policy.yearly}) {
    *rule = *count_gen();
  }
  for (CalendarSpan* span :
       {&policy.within, &policy.within_hourly, &policy.within_daily, &policy.within_weekly,
        &policy.within_monthly, &policy.within_yearly}) {
    *span = *span_gen();
  }
  if (*rc::gen::inRange(0, 4) == 0) {
    policy.keep_tags = {{"a", "b"}};
  }
  return history;
}

RetentionResult apply(const History& history) {
  return apply_retention(history.snapshots, history.policy, wall(kStart + 1));
}

std::set<SnapshotId> ids(const std::vector<StoredSnapshot>& snapshots) {
  std::set<SnapshotId> result;
  for (const StoredSnapshot& stored : snapshots) {
    result.insert(stored.id);
  }
  return result;
}

TEST(RetentionProperties, NothingIsLostOrInventedAndWhatStaysHasAReason) {
  test::expect_property([] {
    const History history = any_history();
    const RetentionResult result = apply(history);
    RC_ASSERT(result.keep.size() + result.remove.size() == history.snapshots.size());
    std::set<SnapshotId> seen = ids(result.keep);
    seen.merge(ids(result.remove));
    RC_ASSERT(seen == ids(history.snapshots));
    RC_ASSERT(result.reasons.size() == result.keep.size());
    for (const KeepReason& reason : result.reasons) {
      RC_ASSERT(!reason.matches.empty());
    }
    if (history.policy.empty()) {
      RC_ASSERT(result.keep.empty());
    }
  });
}

TEST(RetentionProperties, TheOrderOfTheListDoesNotMatter) {
  test::expect_property([] {
    History history = any_history();
    const RetentionResult result = apply(history);
    std::reverse(history.snapshots.begin(), history.snapshots.end());
    RC_ASSERT(ids(apply(history).keep) == ids(result.keep));
  });
}

TEST(RetentionProperties, KeepLastKeepsTheNewestN) {
  test::expect_property([] {
    History history = any_history(false);
    const int count = *rc::gen::inRange(1, 20);
    history.policy = {};
    history.policy.last = count;
    const std::vector<StoredSnapshot> kept = apply(history).keep;
    RC_ASSERT(kept.size() == std::min<size_t>(count, history.snapshots.size()));
    for (size_t i = 0; i < kept.size(); ++i) {
      RC_ASSERT(kept[i].id == history.snapshots[i].id);
    }
  });
}

TEST(RetentionProperties, AnyCountKeepsTheNewestAndNoMoreThanItSays) {
  test::expect_property([] {
    History history = any_history();
    history.policy = {};
    RetentionPolicy& policy = history.policy;
    int* const rule = *rc::gen::element(&policy.hourly, &policy.daily, &policy.weekly,
                                        &policy.monthly, &policy.yearly);
    *rule = *rc::gen::inRange(1, 8);
    const std::vector<StoredSnapshot> kept = apply(history).keep;
    RC_ASSERT(kept.front().snapshot.time.seconds == kStart);
    RC_ASSERT(kept.size() <= static_cast<size_t>(*rule));
  });
}

// Whoever asks for more never keeps less.
TEST(RetentionProperties, AMoreGenerousPolicyKeepsAllThatTheOtherKept) {
  test::expect_property([] {
    History history = any_history();
    const std::set<SnapshotId> kept = ids(apply(history).keep);
    RetentionPolicy& policy = history.policy;
    for (int* rule : {&policy.last, &policy.hourly, &policy.daily, &policy.weekly, &policy.monthly,
                      &policy.yearly}) {
      if (*rule >= 0) {
        *rule = *rc::gen::arbitrary<bool>() ? kKeepAll : *rule;
      }
    }
    policy.keep_tags.push_back({"a"});
    const std::set<SnapshotId> more = ids(apply(history).keep);
    RC_ASSERT(std::includes(more.begin(), more.end(), kept.begin(), kept.end()));
  });
}

// With the counts it had left over, the oldest may change its reason but not its fate.
TEST(RetentionProperties, WhatIsKeptStaysKeptWhenThePolicyIsAppliedAgain) {
  test::expect_property([] {
    History history = any_history();
    const std::vector<StoredSnapshot> kept = apply(history).keep;
    history.snapshots = kept;
    RC_ASSERT(times(apply(history).keep) == times(kept));
  });
}

TEST(RetentionProperties, SpansAreReadAsTheyAreWritten) {
  test::expect_property([] {
    const CalendarSpan span = *span_gen();
    RC_ASSERT(parse_calendar_span(span.text()) == span);
  });
}

}  // namespace
}  // namespace salvor
