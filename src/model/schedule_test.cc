#include "model/schedule.h"

#include <array>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "support/properties.h"

namespace salvor {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;
using std::chrono::sys_days;
using std::chrono::year;

SysSeconds utc(int y, unsigned m, unsigned d, int hour = 0, int minute = 0) {
  return sys_days(year(y) / std::chrono::month(m) / std::chrono::day(d)) +
         std::chrono::hours(hour) + std::chrono::minutes(minute);
}

std::string shown(SysSeconds instant) {
  const std::time_t time = instant.time_since_epoch().count();
  std::tm fields{};
  gmtime_r(&time, &fields);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%a %Y-%m-%d %H:%M", &fields);
  return text.data();
}

// The next three instants at which it is due after 2026-01-01T00:00Z.
std::vector<std::string> next_three(std::string_view text, std::string_view zone = "UTC") {
  const Schedule schedule = Schedule::parse(text, TimeZone::named(zone));
  std::vector<std::string> found;
  SysSeconds at = utc(2026, 1, 1);
  for (int i = 0; i < 3; ++i) {
    at = schedule.next(at);
    found.push_back(shown(at));
  }
  return found;
}

std::string message_of(std::string_view text) {
  try {
    (void)Schedule::parse(text, TimeZone::utc());
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    return error.message() + "\n" + error.hint();
  }
  return "";
}

using Three = std::vector<std::string>;

TEST(Schedule, UnderstandsWhatItsHeaderShows) {
  EXPECT_EQ(next_three("every 15 min"),
            (Three{"Thu 2026-01-01 00:15", "Thu 2026-01-01 00:30", "Thu 2026-01-01 00:45"}));
  EXPECT_EQ(next_three("every 6h"),
            (Three{"Thu 2026-01-01 06:00", "Thu 2026-01-01 12:00", "Thu 2026-01-01 18:00"}));
  EXPECT_EQ(next_three("hourly at :20"),
            (Three{"Thu 2026-01-01 00:20", "Thu 2026-01-01 01:20", "Thu 2026-01-01 02:20"}));
  EXPECT_EQ(next_three("daily 02:00 Europe/Berlin"),
            (Three{"Thu 2026-01-01 01:00", "Fri 2026-01-02 01:00", "Sat 2026-01-03 01:00"}));
  EXPECT_EQ(next_three("daily 02:00, 14:00"),
            (Three{"Thu 2026-01-01 02:00", "Thu 2026-01-01 14:00", "Fri 2026-01-02 02:00"}));
  EXPECT_EQ(next_three("weekdays 02:00"),
            (Three{"Thu 2026-01-01 02:00", "Fri 2026-01-02 02:00", "Mon 2026-01-05 02:00"}));
  EXPECT_EQ(next_three("Sun 04:00"),
            (Three{"Sun 2026-01-04 04:00", "Sun 2026-01-11 04:00", "Sun 2026-01-18 04:00"}));
  EXPECT_EQ(next_three("Mon,Thu 04:00"),
            (Three{"Thu 2026-01-01 04:00", "Mon 2026-01-05 04:00", "Thu 2026-01-08 04:00"}));
  EXPECT_EQ(next_three("Fri-Mon 22:30"),
            (Three{"Fri 2026-01-02 22:30", "Sat 2026-01-03 22:30", "Sun 2026-01-04 22:30"}));
  EXPECT_EQ(next_three("first Monday 03:00"),
            (Three{"Mon 2026-01-05 03:00", "Mon 2026-02-02 03:00", "Mon 2026-03-02 03:00"}));
  EXPECT_EQ(next_three("first Monday"),
            (Three{"Mon 2026-01-05 00:00", "Mon 2026-02-02 00:00", "Mon 2026-03-02 00:00"}));
  EXPECT_EQ(next_three("last Fri 22:00"),
            (Three{"Fri 2026-01-30 22:00", "Fri 2026-02-27 22:00", "Fri 2026-03-27 22:00"}));
  EXPECT_EQ(next_three("second Tue of Jan, Jul 05:00"),
            (Three{"Tue 2026-01-13 05:00", "Tue 2026-07-14 05:00", "Tue 2027-01-12 05:00"}));
  EXPECT_EQ(next_three("monthly on 15, last 02:00"),
            (Three{"Thu 2026-01-15 02:00", "Sat 2026-01-31 02:00", "Sun 2026-02-15 02:00"}));
  EXPECT_EQ(next_three("last day 23:00"),
            (Three{"Sat 2026-01-31 23:00", "Sat 2026-02-28 23:00", "Tue 2026-03-31 23:00"}));
  EXPECT_EQ(next_three("quarterly first Monday 06:00"),
            (Three{"Mon 2026-01-05 06:00", "Mon 2026-04-06 06:00", "Mon 2026-07-06 06:00"}));
  EXPECT_EQ(next_three("yearly Jan 1 03:00"),
            (Three{"Thu 2026-01-01 03:00", "Fri 2027-01-01 03:00", "Sat 2028-01-01 03:00"}));
  EXPECT_EQ(next_three("0 2 * * 1-5"), next_three("weekdays 02:00"));
  EXPECT_EQ(next_three("@daily Europe/Berlin"), next_three("every day 00:00 Europe/Berlin"));
}

// "daily 2" was the 2nd of each month, "Mon Thu 04:00" Thursdays alone.
TEST(Schedule, RefusesWhatWouldRunLessOftenThanItSays) {
  for (const char* text :
       {"daily 2", "daily at 14", "every day 2", "weekly 2", "daily 02:00 Jan"}) {
    EXPECT_THAT(message_of(text), HasSubstr("names a day of the month or a month")) << text;
  }
  EXPECT_THAT(message_of("hourly at 20"), HasSubstr("\"20\" is no minute"));
  EXPECT_THAT(message_of("hourly 02:00"), HasSubstr("\"02:00\" is no minute"));
  EXPECT_THAT(message_of("02:00 hourly"), HasSubstr("a time of the day"));
  EXPECT_THAT(message_of("daily Sun 04:00"), HasSubstr("it is daily, and names weekdays"));
  for (const char* text : {"Mon Thu 04:00", "weekdays Sat 04:00", "first Monday third Monday"}) {
    EXPECT_THAT(message_of(text), HasSubstr("weekdays twice")) << text;
  }
  EXPECT_THAT(message_of("monthly 1 15 02:00"), HasSubstr("days of the month twice"));
  EXPECT_THAT(message_of("Jan Jul 1 03:00"), HasSubstr("months twice"));
  // As "@weekly", and as "monthly" is the 1st.
  EXPECT_EQ(next_three("weekly 04:00"), next_three("Sun 04:00"));
  EXPECT_EQ(next_three("weekly on Mon 04:00"), next_three("Mon 04:00"));
  EXPECT_EQ(next_three("hourly at :20 Mon-Fri"), next_three("20 * * * 1-5"));
}

TEST(Schedule, CronJoinsDayOfMonthAndWeekdayAsCronDoes) {
  EXPECT_EQ(next_three("0 0 13 * fri"),  // either
            (Three{"Fri 2026-01-02 00:00", "Fri 2026-01-09 00:00", "Tue 2026-01-13 00:00"}));
  EXPECT_EQ(next_three("0 0 */2 * fri"),  // begins with a star: both
            (Three{"Fri 2026-01-09 00:00", "Fri 2026-01-23 00:00", "Fri 2026-02-13 00:00"}));
  EXPECT_EQ(next_three("30 4 * * 7"), next_three("30 4 * * sun"));
}

TEST(Schedule, LeapDaysAreWaitedFor) {
  EXPECT_EQ(next_three("0 0 29 2 *"),
            (Three{"Tue 2028-02-29 00:00", "Sun 2032-02-29 00:00", "Fri 2036-02-29 00:00"}));
  EXPECT_EQ(next_three("fifth Monday of Feb")[0], "Mon 2044-02-29 00:00");
}

TEST(Schedule, SkippedTimesRunAfterTheGapAndRepeatedOnesOnce) {
  const TimeZone berlin = TimeZone::named("Europe/Berlin");
  const Schedule nightly = Schedule::parse("daily 02:30", berlin);
  // 29 March: 02:00 becomes 03:00 (01:00Z). 25 October: 03:00 becomes 02:00 (01:00Z).
  EXPECT_EQ(shown(nightly.next(utc(2026, 3, 28, 12))), "Sun 2026-03-29 01:00");
  EXPECT_EQ(shown(nightly.next(utc(2026, 3, 29, 1))), "Mon 2026-03-30 00:30");
  EXPECT_EQ(shown(nightly.next(utc(2026, 10, 24, 12))), "Sun 2026-10-25 00:30");
  EXPECT_EQ(shown(nightly.next(utc(2026, 10, 25, 0, 30))), "Mon 2026-10-26 01:30");
  // What runs every hour leaves none out.
  const Schedule often = Schedule::parse("*/30 * * * *", berlin);
  EXPECT_EQ(often.longest_gap(utc(2026, 1, 1)), 30min);
  EXPECT_EQ(often.count(utc(2026, 10, 24, 22), utc(2026, 10, 25, 23)), 50U);
  // A whole day that never was: Samoa went from the 29th to the 31st of December 2011.
  const Schedule samoan = Schedule::parse("daily 12:00", TimeZone::named("Pacific/Apia"));
  EXPECT_EQ(samoan.count(utc(2011, 12, 29, 12), utc(2011, 12, 31, 12)), 3U);
}

TEST(Schedule, SaysWhatItDoesNotUnderstand) {
  EXPECT_THAT(message_of("dialy 02:00"), HasSubstr("unknown word \"dialy\"\nDid you mean daily?"));
  EXPECT_THAT(message_of("daily 25:00"), HasSubstr("\"25:00\" is no time of day"));
  EXPECT_THAT(message_of("daily 2:0"), HasSubstr("is no time of day"));
  EXPECT_THAT(message_of("every 15 parsecs"), HasSubstr("\"parsecs\" is no unit of time"));
  EXPECT_THAT(message_of("every 0 min"), HasSubstr("how often?"));
  EXPECT_THAT(message_of("every"), HasSubstr("schedule \"every\""));
  EXPECT_THAT(message_of(""), HasSubstr("it is empty"));
  EXPECT_THAT(message_of("first"), HasSubstr("unknown word \"first\""));
  EXPECT_THAT(message_of("Mon 15 02:00"), HasSubstr("both a weekday and a day of the month"));
  EXPECT_THAT(message_of("monthly Mon 02:00"), HasSubstr("which of the month's weekdays?"));
  EXPECT_THAT(message_of("daily 02:00 Europe/Berlim"), HasSubstr("unknown time zone"));
  EXPECT_THAT(message_of("60 2 * * *"), HasSubstr("\"60\" is no minute"));
  EXPECT_THAT(message_of("0 2 * * mo"), HasSubstr("\"mo\" is no weekday"));
  EXPECT_THAT(message_of("0 0 2 * * *  UTC"), HasSubstr("it has 7 fields"));
  EXPECT_THAT(message_of("0 0 30 2 *"), HasSubstr("is never due"));
  EXPECT_THAT(message_of(std::string(10'000, 'x')), HasSubstr("longer than"));
}

// ---- against a slow reference: every minute of two years, by the C library's zones ----

struct Reading {
  SysSeconds instant;
  std::tm fields;
  int64_t local_minute = 0;  // counts minutes of the wall clock
};

std::vector<Reading> two_years(const char* zone) {
  setenv("TZ", zone, 1);
  tzset();
  std::vector<Reading> readings;
  for (SysSeconds at = utc(2025, 12, 31); at < utc(2028, 1, 2); at += 1min) {
    Reading reading{.instant = at, .fields = {}};
    const std::time_t time = at.time_since_epoch().count();
    localtime_r(&time, &reading.fields);
    reading.local_minute = (time + reading.fields.tm_gmtoff) / 60;
    readings.push_back(reading);
  }
  unsetenv("TZ");
  tzset();
  return readings;
}

std::tm fields_of(int64_t local_minute) {
  const std::time_t time = local_minute * 60;
  std::tm fields{};
  gmtime_r(&time, &fields);
  return fields;
}

// Goes through the minutes as a patient person with a wall clock would.
std::vector<SysSeconds> reference(const std::vector<Reading>& readings, bool follows_hours,
                                  const std::function<bool(const std::tm&)>& matches) {
  std::vector<SysSeconds> due;
  int64_t seen = readings.front().local_minute;
  for (const Reading& reading : readings) {
    bool now = false;
    for (int64_t skipped = seen + 1; skipped < reading.local_minute && !now; ++skipped) {
      now = matches(fields_of(skipped));
    }
    const bool repeated = reading.local_minute <= seen && reading.instant != readings[0].instant;
    now = now || (matches(reading.fields) && (!repeated || follows_hours));
    seen = std::max(seen, reading.local_minute);
    if (now && reading.instant >= utc(2026, 1, 1) && reading.instant < utc(2028, 1, 1)) {
      due.push_back(reading.instant);
    }
  }
  return due;
}

std::vector<SysSeconds> by_schedule(const Schedule& schedule) {
  std::vector<SysSeconds> due;
  for (SysSeconds at = schedule.next(utc(2026, 1, 1) - 1s); at < utc(2028, 1, 1);
       at = schedule.next(at)) {
    due.push_back(at);
  }
  return due;
}

class ScheduleInZone : public ::testing::TestWithParam<const char*> {};

TEST_P(ScheduleInZone, AgreesWithAPatientPerson) {
  const std::vector<Reading> readings = two_years(GetParam());
  const TimeZone zone = TimeZone::named(GetParam());
  test::expect_property(
      [&] {
        // A few minutes and hours, any months; days by date, by weekday, or both joined by cron's
        // rule.
        const auto minutes = *rc::gen::container<std::set<int>>(2, rc::gen::inRange(0, 60));
        const bool all_hours = *rc::gen::weightedElement<bool>({{3, false}, {1, true}});
        const auto hours = *rc::gen::container<std::set<int>>(3, rc::gen::inRange(0, 24));
        const auto dates =
            *rc::gen::container<std::set<int>>(*rc::gen::inRange(0, 4), rc::gen::inRange(1, 29));
        const auto weekdays =
            *rc::gen::container<std::set<int>>(*rc::gen::inRange(0, 3), rc::gen::inRange(0, 7));
        const auto field = [](const std::set<int>& values) {
          std::string text;
          for (const int value : values) {
            text += (text.empty() ? "" : ",") + std::to_string(value);
          }
          return text.empty() ? "*" : text;
        };
        const std::string line = field(minutes) + " " + (all_hours ? "*" : field(hours)) + " " +
                                 field(dates) + " * " + field(weekdays);
        RC_LOG() << line;
        const auto expected = reference(readings, all_hours, [&](const std::tm& fields) {
          const bool by_date = dates.contains(fields.tm_mday);
          const bool by_weekday = weekdays.contains(fields.tm_wday);
          const bool day = dates.empty() && weekdays.empty() ? true
                           : dates.empty()                   ? by_weekday
                           : weekdays.empty()                ? by_date
                                                             : by_date || by_weekday;
          return day && minutes.contains(fields.tm_min) &&
                 (all_hours || hours.contains(fields.tm_hour));
        });
        const Schedule schedule = Schedule::parse(line, zone);
        RC_ASSERT(by_schedule(schedule) == expected);
        RC_ASSERT(schedule.count(utc(2026, 1, 1) - 1s, utc(2028, 1, 1) - 1s) == expected.size());
        // previous() is the other way round.
        const auto some = expected[expected.size() / 2];
        RC_ASSERT(schedule.previous(some) == some);
        RC_ASSERT(schedule.next(schedule.previous(some - 1s)) == some);
      },
      4);
}

INSTANTIATE_TEST_SUITE_P(Zones, ScheduleInZone,
                         ::testing::Values("Europe/Berlin", "America/New_York",
                                           "Australia/Lord_Howe",  // half an hour
                                           "America/Santiago"));   // changes at midnight

TEST(StableJitter, IsTheSameEveryTimeAndDiffersByName) {
  std::set<std::chrono::seconds> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string name = "host" + std::to_string(i);
    const auto jitter = stable_jitter(name, 3600s);
    EXPECT_EQ(jitter, stable_jitter(name, 3600s));
    EXPECT_GE(jitter, 0s);
    EXPECT_LE(jitter, 3600s);
    seen.insert(jitter);
  }
  EXPECT_GT(seen.size(), 90U);
  EXPECT_EQ(stable_jitter("x", 0s), 0s);
}

}  // namespace
}  // namespace salvor
