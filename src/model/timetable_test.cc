#include "model/timetable.h"

#include <gtest/gtest.h>

namespace salvor {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr SysSeconds at(int day, int hour, int minute = 0) {
  return std::chrono::sys_days(std::chrono::year(2026) / 3 / day) + hours(hour) + minutes(minute);
}

Timetable nightly(const std::string& schedule) {
  return Timetable(Schedule::parse(schedule, TimeZone::utc()), TimeWindow{hours(22), hours(6)},
                   TimeZone::utc());
}

TEST(Timetable, WithoutAWindowItIsTheSchedule) {
  const Timetable all(Schedule::parse("every 6 h", TimeZone::utc()));
  EXPECT_EQ(all.next(at(10, 6)), at(10, 12));
  EXPECT_EQ(all.previous(at(10, 11)), at(10, 6));
  EXPECT_EQ(all.longest_gap(at(10, 0)), hours(6));
}

// 06:00, 12:00 and 18:00 wait for 22:00.
TEST(Timetable, WhatIsDueWhileTheWindowIsClosedBeginsWhenItOpens) {
  const Timetable table = nightly("every 6 h");
  EXPECT_EQ(table.begins(at(10, 12)), at(10, 22));
  EXPECT_EQ(table.next(at(10, 0)), at(10, 22));
  EXPECT_EQ(table.next(at(10, 21, 59)), at(10, 22));
  EXPECT_EQ(table.next(at(10, 22)), at(11, 0));
  EXPECT_EQ(table.previous(at(10, 21, 59)), at(10, 0));
  EXPECT_EQ(table.previous(at(10, 22)), at(10, 22));
  EXPECT_EQ(table.previous(at(10, 23)), at(10, 22));
  EXPECT_EQ(table.longest_gap(at(10, 0)), hours(22));
}

TEST(Timetable, NextAndPreviousAgree) {
  for (const char* schedule : {"every 15 min", "hourly at :20", "daily 02:00", "Sun 12:00"}) {
    const Timetable table = nightly(schedule);
    SysSeconds last = table.previous(at(1, 0));
    for (int runs = 0; runs < 200; ++runs) {
      const SysSeconds next = table.next(last);
      ASSERT_GT(next, last) << schedule;
      ASSERT_EQ(table.previous(next), next) << schedule;
      ASSERT_EQ(table.previous(next - seconds(1)), last) << schedule;
      last = next;
    }
  }
}

TEST(Timetable, TheClosedHoursAreAGapOfADenseSchedule) {
  EXPECT_EQ(nightly("every 15 min").longest_gap(at(10, 0)), hours(16) + minutes(15));
  EXPECT_EQ(nightly("daily 02:00").longest_gap(at(10, 0)), hours(24));
}

}  // namespace
}  // namespace salvor
